/** The barrier and the list of differences: what they say is so on the disk of the peer. */
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DiffResult } from '../../src/node/node-api.ts';
import { Cluster, codeOf, connections, converged, sameAddress, someBytes, until, type TestNode } from './cluster.ts';

function unlessUnreachable(error: unknown): undefined {
  if ((error as { code?: string }).code !== 'PEER_UNREACHABLE') throw error;
}

/** The hosts are the same for all: starting them is most of the work. */
describe('wait of two hosts', () => {
  let cluster: Cluster;
  let a: TestNode;
  let b: TestNode;
  beforeAll(async () => {
    cluster = new Cluster();
    [a, b] = await cluster.pair();
    await converged(a, b);
  });
  afterAll(() => cluster[Symbol.asyncDispose]());

  test('returns only when the peer shows the change, fifty times', async () => {
    for (let round = 0; round < 50; round++) {
      const [from, to] = round % 3 === 0 ? [b, a] : [a, b];
      const bytes = round % 10 === 9 ? someBytes(700_000, round) : Buffer.from(`round ${round}`);
      const name = round % 2 === 0 ? 'same.txt' : `folder/${round}.bin`;
      cluster.write(from === a ? 'a' : 'b', name, bytes);
      if (round % 5 === 4) rmSync(`${from.folder}/folder/${round - 1 - (round % 2)}.bin`, { force: true });
      const { done, peers } = await from.api.wait({ timeoutMs: 30_000 });
      expect(done).toBe(true);
      expect(peers.map(({ nodeId, confirmed }) => [nodeId, confirmed])).toEqual([[to.id, true]]);
      expect(Buffer.compare(readFileSync(`${to.folder}/${name}`), bytes)).toBe(0);
    }
  });

  test('a delete and a rename are done on the other side, too', async () => {
    for (let i = 0; i < 30; i++) cluster.write('a', `many/${i}`, `file ${i}`);
    cluster.write('a', 'old name', 'renamed');
    await converged(a, b);
    rmSync(cluster.path('a', 'many'), { recursive: true });
    renameSync(cluster.path('a', 'old name'), cluster.path('a', 'new name'));
    expect((await a.api.wait({ timeoutMs: 30_000 })).done).toBe(true);
    expect(['many', 'old name'].map((name) => existsSync(cluster.path('b', name)))).toEqual([false, false]);
    expect(readFileSync(cluster.path('b', 'new name'), 'utf8')).toBe('renamed');
  });

  test('for a root of the peer: returns when that is here', async () => {
    cluster.write('a', 'big', someBytes(2_000_000, 1));
    await a.api.scan();
    const { root } = a.api.status();
    const waited = await b.api.wait({ root, timeoutMs: 30_000 });
    expect(waited.done).toBe(true);
    expect(existsSync(cluster.path('b', 'big'))).toBe(true);
    expect((await b.api.wait({ root: 'ab'.repeat(32), timeoutMs: 200 })).done).toBe(false);
  });
});

describe('wait', () => {
  test('of a host that is alone returns at once; with a peer that is away it times out and says who', async () => {
    await using cluster = new Cluster();
    const a = await cluster.start('a');
    cluster.write('a', 'x', 'x');
    expect(await a.api.wait({ timeoutMs: 30_000 })).toMatchObject({ done: true, peers: [] });
    const b = await cluster.join('b', a);
    await converged(a, b);
    await cluster.stop(b);
    cluster.write('a', 'y', 'y');
    const { done, peers } = await a.api.wait({ timeoutMs: 300 });
    expect(done).toBe(false);
    expect(peers).toMatchObject([{ nodeId: b.id, confirmed: false }]);
    expect(await codeOf(a.api.wait({ timeoutMs: 300, peers: ['nobody'] }))).toBe('NOT_FOUND');
    // It goes through when the peer is back.
    const waiting = a.api.wait({ timeoutMs: 30_000, peers: [b.id.slice(0, 8)] });
    await cluster.start('b');
    expect((await waiting).done).toBe(true);
    expect(readFileSync(cluster.path('b', 'y'), 'utf8')).toBe('y');
  });

  test('after restart of the one that waits: what was confirmed before counts', async () => {
    await using cluster = new Cluster();
    cluster.write('a', 'x', 'x');
    const [a, b] = await cluster.pair();
    await converged(a, b);
    const address = sameAddress(a);
    await cluster.stop(a);
    const again = await cluster.start('a', address);
    const { done, peers } = await again.api.wait({ timeoutMs: 30_000 });
    expect(done).toBe(true);
    expect(peers).toMatchObject([{ nodeId: b.id, confirmed: true }]);
  });
});

describe('diff', () => {
  test('lists exactly what differs, and how', async () => {
    await using cluster = new Cluster();
    for (let i = 0; i < 500; i++) cluster.write('a', `same/${i}`, `file ${i}`);
    cluster.write('a', 'changed', 'before');
    cluster.write('a', 'deleted', 'x');
    const [a, b] = await cluster.pair();
    await converged(a, b);
    expect(await a.api.diff(undefined, 100)).toMatchObject({ differences: [], truncated: false, totals: { entries: 0, bytes: 0 } });
    // While contents are on their way to `b`, the entries of `a` are ahead: a large file keeps them so for a moment.
    cluster.write('a', 'changed', 'after!');
    rmSync(cluster.path('a', 'deleted'));
    cluster.write('a', 'new', someBytes(60_000_000, 1));
    await a.api.scan();
    const result = await a.api.diff(b.id, 100);
    const keys = result.differences.map(({ key, how }) => `${key} ${how}`);
    for (const key of keys) expect(['f/changed different', 'f/deleted different', 'f/new only-here']).toContain(key);
    expect(keys).toContain('f/new only-here');
    expect(result.totals.entries).toBe(keys.length);
    await converged(a, b);
    expect((await b.api.diff(a.id.slice(0, 12), 100)).differences).toEqual([]);
    expect(await codeOf(a.api.diff('nobody', 10))).toBe('NOT_FOUND');
  });

  test('is cut at its limit, and says so; without a peer it fails plainly', async () => {
    await using cluster = new Cluster();
    const a = await cluster.start('a');
    expect(await codeOf(a.api.diff(undefined, 10))).toBe('PEER_UNREACHABLE');
    const b = await cluster.join('b', a);
    await converged(a, b);
    await cluster.stop(b);
    expect(await codeOf(a.api.diff(b.id, 10))).toBe('PEER_UNREACHABLE');
    // A peer that can take nothing over stays behind: its disk has less free than it must keep.
    const full = await cluster.start('b', { minFreeBytes: 2 ** 50 });
    for (let i = 0; i < 20; i++) cluster.write('a', `f/${i}`, `file ${i}`);
    await a.api.scan();
    await until('both are connected', () => [a, full].every(({ api }) => connections(api.status()) === 1));
    let result: DiffResult | undefined;
    await until('there is a peer to compare with', async () => {
      result = await a.api.diff(full.id, 5).catch(unlessUnreachable);
      return result !== undefined;
    });
    expect(result!.differences).toHaveLength(5);
    expect(result!.truncated).toBe(true);
    expect(result!.differences.every(({ how }) => how === 'only-here')).toBe(true);
    // What fails there ends the connection, which is made again soon.
    let all: DiffResult | undefined;
    await until('there is a peer to compare with', async () => {
      all = await full.api.diff(undefined, 1_000).catch(unlessUnreachable);
      return all !== undefined;
    });
    // The folder itself needs no room and may be there.
    const files = all!.differences.map(({ key }) => key).filter((key) => key.startsWith('f/f/'));
    expect(files.sort()).toEqual([...Array(20).keys()].map((i) => `f/f/${i}`).sort());
    expect(all!.differences.every(({ how }) => how === 'only-there')).toBe(true);
    await until('the disk is said to be full', () => full.api.status().errors.some(({ code }) => code === 'DISK_FULL'));
    expect(full.api.status().state).not.toBe('in-sync');
    writeFileSync(cluster.path('b', 'from b'), 'still sends');
    await until(
      'a has it',
      () => existsSync(cluster.path('a', 'from b')),
      () => [a.api.status(), full.api.status()],
    );
  });
});
