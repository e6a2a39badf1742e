/** The story of a path, as a host with peers tells it. */
import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { WhyResult } from '../../src/node/answers.ts';
import { Cluster, codeOf, contentsOf, converged, expectSame, sameAddress, someBytes, until } from './cluster.ts';

function whatHolds({ holds }: WhyResult): string[] {
  return holds.map(({ what, code, message }) => `${what} ${code ?? '-'} ${message}`);
}

test('a file that is the same everywhere; one that is new; a record', async () => {
  await using cluster = new Cluster();
  cluster.write('a', 'found.txt', 'found');
  const [a, b] = await cluster.pair();
  await converged(a, b);
  cluster.write('b', 'written.txt', 'written');
  await a.api.putRecord('labels/1', Buffer.from('one'), undefined);
  await expectSame(a, b);

  expect(await a.api.why('f/found.txt')).toMatchObject({
    key: 'f/found.txt',
    state: 'present',
    copyOf: undefined,
    versions: [{ name: 'found.txt', found: true, shown: true, kind: 'file', bytes: 5, author: { nodeId: undefined } }],
    disk: { kind: 'file', asKnown: true },
    peers: [{ nodeId: b.id, connected: true, state: 'same', by: 'root', versions: undefined }],
    holds: [],
    trash: [],
  });
  const written = await a.api.why('f/written.txt');
  expect(written.versions).toMatchObject([{ found: true }]);
  cluster.write('b', 'written.txt', 'again');
  await expectSame(a, b);
  const again = await a.api.why('f/written.txt');
  expect(again.versions).toMatchObject([{ found: false, author: { nodeId: b.id, replicaId: b.api.status().replicaId, here: false } }]);
  expect(again.trash).toMatchObject([{ path: 'written.txt', bytes: 7 }]);
  expect(await b.api.why('r/labels/1')).toMatchObject({
    state: 'present',
    versions: [{ name: 'r/labels/1', kind: 'record', bytes: 3, shown: true, author: { nodeId: a.id, here: false } }],
    disk: undefined,
  });
});

test('what is not replicated, and why: rules, names, files that are none; and what nobody has heard of', async () => {
  await using cluster = new Cluster();
  cluster.write('a', '.samerootignore', '# what we make\n*.tmp\n!keep.tmp\n/build/\n');
  cluster.write('a', 'x.tmp', 'x');
  cluster.write('a', 'keep.tmp', 'x');
  cluster.write('a', 'build/deep/y.txt', 'y');
  const a = await cluster.start('a');
  await a.api.scan();
  const ignored = await a.api.why('f/x.tmp');
  expect([ignored.state, ignored.disk]).toEqual(['unknown', { kind: 'file', asKnown: true }]);
  expect(whatHolds(ignored)).toEqual(['ignored - line 2 of .samerootignore leaves it alone: *.tmp']);
  expect(whatHolds(await a.api.why('f/build/deep/y.txt'))).toEqual(['ignored - line 4 of .samerootignore leaves it alone: /build/']);
  expect(await a.api.why('f/keep.tmp')).toMatchObject({ state: 'present', holds: [] });
  expect(whatHolds(await a.api.why('f/.sameroot/db'))).toEqual(['refused NAME_RESERVED a path of this name is not replicated']);
  expect(await a.api.why('f/nowhere')).toMatchObject({
    state: 'unknown',
    versions: [],
    deletions: [],
    holds: [],
    disk: { kind: 'nothing' },
  });
  expect(await codeOf(a.api.why('nowhere'))).toBe('KEY_INVALID');
});

test('a conflict and its copy', async () => {
  await using cluster = new Cluster();
  const [a, away] = await cluster.pair();
  await converged(a, away);
  const address = sameAddress(away);
  await cluster.stop(away);
  cluster.write('a', 'n.txt', 'from a');
  await a.api.scan();
  cluster.write('b', 'n.txt', 'from b');
  const b = await cluster.start('b', address);
  await expectSame(a, b);
  const winner = readFileSync(cluster.path('a', 'n.txt'), 'utf8');
  const copy = Object.keys(contentsOf(a.folder)).find((path) => path.includes('.conflict-'))!;
  expect(await b.api.why('f/n.txt')).toMatchObject({
    state: 'conflict',
    versions: [
      { name: 'n.txt', shown: true },
      { name: copy, shown: true },
    ],
  });
  const told = await b.api.why(`f/${copy}`);
  expect(told).toMatchObject({
    key: `f/${copy}`,
    state: 'conflict-copy',
    copyOf: 'f/n.txt',
    disk: { kind: 'file', asKnown: true },
    holds: [],
  });
  expect(told.versions).toHaveLength(1);
  expect(told.versions[0]).toMatchObject({ name: copy, bytes: 6 });
  expect(readFileSync(cluster.path('b', copy), 'utf8')).toBe(winner === 'from a' ? 'from b' : 'from a');
  // Edited, it is a file of its own.
  writeFileSync(cluster.path('b', copy), 'edited');
  await expectSame(a, b);
  expect(await a.api.why(`f/${copy}`)).toMatchObject({ state: 'present', copyOf: undefined });
});

test('a peer that is away: what it had, as far as that is known', async () => {
  await using cluster = new Cluster();
  cluster.write('a', 'old.txt', 'old');
  const [a, b] = await cluster.pair();
  await converged(a, b);
  await cluster.stop(b);
  await until('it is away', () => a.api.status().peers.every(({ connected }) => !connected));
  const peerOf = async (path: string): Promise<unknown> => (await a.api.why(`f/${path}`)).peers[0];
  expect(await peerOf('old.txt')).toMatchObject({ nodeId: b.id, connected: false, state: 'same', by: 'history' });
  cluster.write('a', 'old.txt', 'newer');
  cluster.write('a', 'new.txt', 'new');
  await a.api.scan();
  expect(await peerOf('old.txt')).toMatchObject({ connected: false, state: 'behind', by: 'history', versions: [{ bytes: 3 }] });
  expect(await peerOf('new.txt')).toMatchObject({ connected: false, state: 'behind', by: 'history', versions: [] });
});

test('bytes that do not arrive: what is missing, from whom, and which error holds it', async () => {
  await using cluster = new Cluster();
  const a = await cluster.start('a');
  const b = await cluster.join('b', a);
  await converged(a, b);
  const address = sameAddress(b);
  await cluster.stop(b);
  const full = await cluster.start('b', { ...address, minFreeBytes: Number.MAX_SAFE_INTEGER });
  await converged(a, full);
  cluster.write('a', 'large.bin', someBytes(400_000, 1));
  await a.api.scan();
  const problem = async (): Promise<WhyResult> => full.api.why('f/large.bin');
  await until(
    'the disk takes nothing',
    async () => (await problem()).holds.some(({ code }) => code === 'DISK_FULL'),
    () => full.api.status(),
  );
  const there = await problem();
  expect(there).toMatchObject({ state: 'unknown', versions: [], disk: { kind: 'nothing' } });
  expect(there.peers).toMatchObject([{ nodeId: a.id, state: 'ahead', versions: [{ name: 'large.bin', bytes: 400_000 }] }]);
  expect(there.holds.find(({ what }) => what === 'arriving')?.message).toMatch(/waits for its 400000 bytes, from /);
  const { peers }: { peers: WhyResult['peers'] } = await a.api.why('f/large.bin');
  expect(peers).toMatchObject([{ nodeId: full.id, connected: true, state: 'behind', versions: [] }]);
});

test('what was just changed here and is not taken in yet', async () => {
  await using cluster = new Cluster();
  const a = await cluster.start('a', { settleMs: 600_000 });
  cluster.write('a', 'n.txt', 'one');
  await a.api.scan();
  cluster.write('a', 'n.txt', 'one and two');
  const holds = async (): Promise<string[]> => whatHolds(await a.api.why('f/n.txt')).map((text) => text.split(' ')[0]!);
  expect(['changed', 'settling']).toContain((await holds())[0]);
  expect((await a.api.why('f/n.txt')).disk).toEqual({ kind: 'file', asKnown: false });
  await until('the watch has told of it', async () => (await holds())[0] === 'settling');
  await a.api.scan();
  expect(await holds()).toEqual([]);
});
