/**
 * A host that has lost its database comes back: nothing that others deleted rises again, nothing that others wrote gets a
 * rival, nothing that only this host had is lost, and what it has is not fetched.
 */
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, statSync, utimesSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { realRandom } from '../../src/app/real-world.ts';
import { ByteWriter, utf8 } from '../../src/base/bytes.ts';
import { realDisk } from '../../src/folder/real-disk.ts';
import { Incarnation } from '../../src/node/incarnation.ts';
import { metaKey } from '../../src/store/keyspace.ts';
import { openLevelStore } from '../../src/store/level-store.ts';
import {
  contentsOf,
  codeOf,
  Cluster,
  connections,
  converged,
  expectSame,
  receivedBytes,
  sameAddress,
  sleep,
  someBytes,
  until,
  type TestNode,
} from './cluster.ts';

const REPAIR = { returning: { unknown: 'keep', alone: false } } as const;

function loseDatabase(cluster: Cluster, name: string): void {
  rmSync(cluster.path(name, '.sameroot/db'), { recursive: true });
}

/** Started again without its database, and one like any other by now. */
async function repaired(cluster: Cluster, name: string, more: Parameters<Cluster['start']>[1] = {}): Promise<TestNode> {
  const node = await cluster.start(name, { ...REPAIR, ...more });
  await until(
    'it has come back',
    () => node.api.status().returning?.done === true,
    () => node.api.status(),
  );
  return node;
}

/** Paths in the quarantine, below the folder of their time. */
function setAside(cluster: Cluster, name: string): string[] {
  const base = cluster.path(name, '.sameroot/quarantine');
  if (!existsSync(base)) return [];
  return readdirSync(base).flatMap((time) =>
    readdirSync(`${base}/${time}`, { recursive: true, encoding: 'utf8' }).filter((path) => statSync(`${base}/${time}/${path}`).isFile()),
  );
}

function text(cluster: Cluster, name: string, path: string): string {
  return readFileSync(cluster.path(name, path), 'utf8');
}

describe('a lost database', () => {
  test('is an error with advice, for start never makes a new share of the folder nor empties it', async () => {
    await using cluster = new Cluster();
    cluster.write('a', 'x', 'x');
    const a = await cluster.start('a');
    await a.api.scan();
    await cluster.stop(a);
    loseDatabase(cluster, 'a');
    expect(await codeOf(cluster.start('a'))).toBe('DATABASE_MISSING');
    // The empty database that the first attempt has left changes nothing.
    expect(await codeOf(cluster.start('a'))).toBe('DATABASE_MISSING');
    rmSync(cluster.path('a', '.sameroot/recovery.json'));
    expect(await codeOf(cluster.start('a'))).toBe('DATABASE_MISSING');
    expect(await codeOf(cluster.start('a', REPAIR))).toBe('DATABASE_MISSING');
    expect(text(cluster, 'a', 'x')).toBe('x');
  });

  test('is rebuilt from folder and peers', async () => {
    await using cluster = new Cluster();
    const large = someBytes(3_000_000, 1);
    cluster.write('a', 'large', large);
    for (const name of ['kept', 'edited', 'deleted', 'rewritten', 'often']) cluster.write('a', `d/${name}`, `${name} 1`);
    let [a, b] = await cluster.pair();
    await converged(a, b);
    // Nothing of this has a birth dot any more.
    for (let round = 2; round < 5; round++) {
      for (const name of ['edited', 'deleted', 'often']) cluster.write('a', `d/${name}`, `${name} ${round}`);
      cluster.write('b', 'd/rewritten', `rewritten ${round}`);
      await converged(a, b);
    }
    await a.api.putRecord('r', Buffer.from('record'), undefined);
    await converged(a, b);
    const address = sameAddress(b);
    const before = b.api.status();
    await cluster.stop(b);

    cluster.write('a', 'd/edited', 'edited there');
    rmSync(cluster.path('a', 'd/deleted'));
    cluster.write('a', 'd/new there', 'new there');
    cluster.write('b', 'd/new here', 'new here');
    cluster.write('b', 'd/often', 'unsynced edit');
    loseDatabase(cluster, 'b');
    await a.api.scan();
    b = await repaired(cluster, 'b', address);
    const files = await expectSame(a, b);

    expect(Object.keys(files).filter((path) => path.includes('conflict'))).toEqual([]);
    expect(Object.keys(files).sort()).toEqual(
      ['d', 'd/edited', 'd/kept', 'd/new here', 'd/new there', 'd/often', 'd/rewritten', 'large'].sort(),
    );
    expect(text(cluster, 'b', 'd/edited')).toBe('edited there');
    expect(text(cluster, 'a', 'd/new here')).toBe('new here');
    expect(text(cluster, 'b', 'd/often')).toBe('often 4');
    expect(setAside(cluster, 'b').sort()).toEqual(['d/deleted', 'd/edited', 'd/often']);
    const { quarantine, setAside: count } = b.api.status().returning!;
    expect(count).toBe(3);
    expect(text(cluster, 'b', `${quarantine}/d/often`)).toBe('unsynced edit');
    expect((await b.api.getRecord('r'))?.value).toEqual(Buffer.from('record'));
    expect(b.api.status()).toMatchObject({ shareId: before.shareId, nodeId: before.nodeId, conflicts: 0 });
    expect(b.api.status().replicaId).not.toBe(before.replicaId);
    expect(receivedBytes(b)).toBeLessThan(large.length / 10);

    // And it goes on as any other does.
    await cluster.stop(b);
    b = await cluster.start('b', address);
    expect(b.api.status().returning).toBeUndefined();
    cluster.write('b', 'd/kept', 'after');
    await expectSame(a, b);
    expect(text(cluster, 'a', 'd/kept')).toBe('after');
  });

  test('waits for a member that comes back a moment later, for who is there may have been away', async () => {
    await using cluster = new Cluster();
    let a = await cluster.start('a');
    let b = await cluster.join('b', a);
    let c = await cluster.join('c', a);
    await converged(a, b, c);
    const [atA, atB, atC] = [sameAddress(a), sameAddress(b), sameAddress(c)];
    await cluster.stop(c);
    cluster.write('b', 'x', 'one');
    await until('the file is there', () => existsSync(cluster.path('a', 'x')));
    await until('all is taken in', () => a.api.status().state === 'in-sync' && b.api.status().state === 'in-sync');
    await cluster.stop(a);
    cluster.write('b', 'x', 'two');
    await b.api.scan();
    await cluster.stop(b);
    loseDatabase(cluster, 'a');
    // This one knows of no file at all.
    c = await cluster.start('c', atC);
    a = await cluster.start('a', { ...REPAIR, ...atA });
    await until('the two are connected', () => connections(a.api.status()) === 1 && connections(c.api.status()) === 1);
    await sleep(1_000);
    expect(a.api.status().returning?.done).toBe(false);
    b = await cluster.start('b', atB);
    await until('it has come back', () => a.api.status().returning?.done === true);
    await expectSame(a, b, c);
    for (const name of ['a', 'b', 'c']) expect(text(cluster, name, 'x')).toBe('two');
    expect(a.api.status().conflicts).toBe(0);
    expect(setAside(cluster, 'a')).toEqual(['x']);
  });

  test('of the founder, whose word all membership rests on', async () => {
    await using cluster = new Cluster();
    cluster.write('a', 'x', 'x 1');
    let [a, b] = await cluster.pair();
    const c = await cluster.join('c', a);
    await converged(a, b, c);
    cluster.write('a', 'x', 'x 2');
    await converged(a, b, c);
    const address = sameAddress(a);
    await cluster.stop(a);
    loseDatabase(cluster, 'a');
    cluster.write('b', 'y', 'y');
    await converged(b, c);
    a = await repaired(cluster, 'a', address);
    await expectSame(a, b, c);
    expect(text(cluster, 'a', 'y')).toBe('y');
    // It can still invite.
    const d = await cluster.join('d', a);
    await expectSame(a, b, c, d);
  });

  test('is not rebuilt from a host that has just joined through the one that lost it', async () => {
    await using cluster = new Cluster();
    cluster.write('a', 'x', 'x 1');
    cluster.write('a', 'deleted', 'old');
    let [a, b] = await cluster.pair();
    await converged(a, b);
    cluster.write('a', 'x', 'x 2');
    await converged(a, b);
    const addresses = { a: sameAddress(a), b: sameAddress(b) };
    await cluster.stop(b);
    cluster.write('a', 'x', 'x 3');
    rmSync(cluster.path('a', 'deleted'));
    await a.api.scan();
    await cluster.stop(a);
    loseDatabase(cluster, 'b');
    b = await cluster.start('b', { ...REPAIR, ...addresses.b });
    const c = await cluster.join('c', b);
    cluster.write('c', 'from-c', 'c');
    await until('the joiner is heard', () => existsSync(cluster.path('b', 'from-c')) && b.api.status().root === c.api.status().root);
    expect(b.api.status().returning?.done).toBe(false);
    a = await cluster.start('a', addresses.a);
    const files = await expectSame(a, b, c);
    expect(Object.keys(files).sort()).toEqual(['from-c', 'x']);
    expect(text(cluster, 'c', 'x')).toBe('x 3');
    expect(b.api.status().returning?.done).toBe(true);
  });

  test('goes on after an interruption at the next start, whatever was found before', async () => {
    await using cluster = new Cluster();
    cluster.write('a', 'x', 'x 1');
    cluster.write('a', 'gone', 'gone 1');
    let [a, b] = await cluster.pair();
    await converged(a, b);
    for (const name of ['x', 'gone']) cluster.write('a', name, `${name} 2`);
    await converged(a, b);
    const [addressA, addressB] = [sameAddress(a), sameAddress(b)];
    rmSync(cluster.path('a', 'gone'));
    await cluster.stop(b);
    await a.api.scan();
    await cluster.stop(a);
    loseDatabase(cluster, 'b');
    b = await cluster.start('b', { ...REPAIR, ...addressB });
    await b.api.scan();
    expect(b.api.status()).toMatchObject({ returning: { done: false }, entries: 0 });
    await cluster.stop(b);
    cluster.write('b', 'z', 'made meanwhile');
    b = await cluster.start('b', addressB);
    expect(b.api.status()).toMatchObject({ returning: { done: false }, entries: 0 });
    a = await cluster.start('a', addressA);
    const files = await expectSame(a, b);
    expect(Object.keys(files).sort()).toEqual(['x', 'z']);
    expect(setAside(cluster, 'b')).toEqual(['gone']);
  });

  test('without peers, is what the folder holds', async () => {
    await using cluster = new Cluster();
    cluster.write('a', 'd/x', 'x');
    let a = await cluster.start('a');
    await a.api.scan();
    const before = a.api.status();
    await cluster.stop(a);
    loseDatabase(cluster, 'a');
    a = await repaired(cluster, 'a', { returning: { unknown: 'keep', alone: true } });
    expect(a.api.list({ prefix: 'f/', after: undefined, limit: 10 }).items.map(({ key }) => key)).toEqual(['f/d', 'f/d/x']);
    expect(a.api.status().shareId).toBe(before.shareId);
    const b = await cluster.join('b', a);
    await expectSame(a, b);
  });

  test('two hosts that both come back wait for one that does not', async () => {
    await using cluster = new Cluster();
    cluster.write('a', 'x', 'x 1');
    let [a, b] = await cluster.pair();
    let c = await cluster.join('c', a);
    await converged(a, b, c);
    cluster.write('a', 'x', 'x 2');
    await converged(a, b, c);
    const addresses = [a, b, c].map(sameAddress);
    await cluster.stop(a, b, c);
    for (const name of ['a', 'b']) loseDatabase(cluster, name);
    a = await cluster.start('a', { ...REPAIR, ...addresses[0] });
    b = await cluster.start('b', { ...REPAIR, ...addresses[1] });
    await until('they meet', () => [a, b].every(({ api }) => api.status().peers.some((peer) => peer.connected)));
    await a.api.scan();
    expect([a, b].map(({ api }) => api.status().returning?.done)).toEqual([false, false]);
    rmSync(cluster.path('c', 'x'));
    c = await cluster.start('c', addresses[2]);
    expect(await expectSame(a, b, c)).toEqual({});
    expect([...setAside(cluster, 'a'), ...setAside(cluster, 'b')]).toEqual(['x', 'x']);
  });

  test('is over after a restart in the middle, too, though the peer has nothing new to tell', async () => {
    await using cluster = new Cluster();
    cluster.write('a', 'x', 'x');
    let [a, b] = await cluster.pair();
    await converged(a, b);
    const address = sameAddress(b);
    await cluster.stop(b);
    loseDatabase(cluster, 'b');
    b = await repaired(cluster, 'b', address);
    await converged(a, b);
    await cluster.stop(b);
    // As if it had been stopped between the moment when it had all that the peer has and the end of its return.
    const plan = new ByteWriter(8).u8(0).u8(0).sized(utf8('q')).finish();
    await using store = await openLevelStore(cluster.path('b', '.sameroot/db'));
    await store.write([{ type: 'put', key: metaKey('returning'), value: plan }], { durable: true });
    await store.close();
    cluster.write('b', 'found', 'while it was down');
    b = await cluster.start('b', address);
    await until(
      'it has come back',
      () => b.api.status().returning?.done === true,
      () => b.api.status(),
    );
    expect(Object.keys(await expectSame(a, b)).sort()).toEqual(['found', 'x']);
  });

  test('shows conflict copies as such again', async () => {
    await using cluster = new Cluster();
    cluster.write('a', 'x.txt', 'common');
    let [a, b] = await cluster.pair();
    await converged(a, b);
    const address = sameAddress(b);
    await cluster.stop(b);
    cluster.write('a', 'x.txt', 'a');
    await a.api.scan();
    cluster.write('b', 'x.txt', 'b');
    b = await cluster.start('b', address);
    const before = await expectSame(a, b);
    expect(Object.keys(before)).toHaveLength(2);
    await cluster.stop(b);
    loseDatabase(cluster, 'b');
    b = await repaired(cluster, 'b', address);
    expect(await expectSame(a, b)).toEqual(before);
    expect(b.api.status()).toMatchObject({ conflicts: 1, entries: a.api.status().entries });
    expect(setAside(cluster, 'b')).toEqual([]);
  });

  test('but not those that were dropped meanwhile', async () => {
    await using cluster = new Cluster();
    cluster.write('a', 'x.txt', 'common');
    let [a, b] = await cluster.pair();
    await converged(a, b);
    const address = sameAddress(b);
    await cluster.stop(b);
    cluster.write('a', 'x.txt', 'a');
    await a.api.scan();
    cluster.write('b', 'x.txt', 'b');
    b = await cluster.start('b', address);
    const copy = Object.keys(await expectSame(a, b)).find((path) => path.includes('.conflict-'))!;
    await cluster.stop(b);
    loseDatabase(cluster, 'b');
    rmSync(cluster.path('a', copy));
    await a.api.scan();
    // Of a file that none of the peers has: whether they lost it or it never was, nobody here can tell.
    const unknown = 'y.conflict-20261123T081502Z-0011223344556677-1.txt';
    cluster.write('b', unknown, 'which nobody knows');
    b = await repaired(cluster, 'b', address);
    expect(Object.keys(await expectSame(a, b))).toEqual(['x.txt']);
    expect(setAside(cluster, 'b').sort()).toEqual([copy, unknown]);
  });

  test('an unknown folder goes to the quarantine as a whole where unknown files are set aside', async () => {
    await using cluster = new Cluster();
    cluster.write('a', 'd/x', 'x');
    let [a, b] = await cluster.pair();
    await converged(a, b);
    const address = sameAddress(b);
    await cluster.stop(b);
    cluster.write('b', 'd/mine', 'mine');
    cluster.write('b', 'e/f/mine', 'mine too');
    loseDatabase(cluster, 'b');
    b = await repaired(cluster, 'b', { ...address, returning: { unknown: 'set-aside', alone: false } });
    expect(Object.keys(await expectSame(a, b)).sort()).toEqual(['d', 'd/x']);
    expect(setAside(cluster, 'b').sort()).toEqual(['d/mine', 'e/f/mine']);
  });
});

describe('a database that is put back with the whole disk', () => {
  /** As an image of the disk does it: neither inodes nor times tell. */
  async function putBack(cluster: Cluster, name: string, backup: string): Promise<void> {
    loseDatabase(cluster, name);
    cpSync(backup, cluster.path(name, '.sameroot/db'), { recursive: true });
    await using store = await openLevelStore(cluster.path(name, '.sameroot/db'));
    await new Incarnation({ disk: realDisk, dataDir: cluster.path(name, '.sameroot'), store, random: realRandom }).renew();
  }

  test('makes the host stop, and stay stopped, once a peer shows a write of its own that it does not know', async () => {
    await using cluster = new Cluster();
    cluster.write('a', 'x', 'x');
    let [a, b] = await cluster.pair();
    await converged(a, b);
    const address = sameAddress(b);
    await cluster.stop(b);
    const backup = cluster.path('backup');
    cpSync(cluster.path('b', '.sameroot/db'), backup, { recursive: true });
    b = await cluster.start('b', address);
    for (const text of ['x 1', 'x 2', 'x 3']) {
      cluster.write('b', 'x', text);
      await converged(a, b);
    }
    const { root } = a.api.status();
    await cluster.stop(b);
    await putBack(cluster, 'b', backup);
    b = await cluster.start('b', address);
    await until(
      'it has stopped',
      () => b.api.status().errors.some(({ code }) => code === 'REPLICA_ROLLED_BACK'),
      () => b.api.status(),
    );
    expect(b.api.status()).toMatchObject({ state: 'degraded', restored: false });
    expect(await codeOf(b.api.putRecord('r', Buffer.from('r'), undefined))).toBe('REPLICA_ROLLED_BACK');
    cluster.write('b', 'y', 'y');
    expect(await codeOf(b.api.scan())).toBe('REPLICA_ROLLED_BACK');
    expect(a.api.status()).toMatchObject({ root, conflicts: 0 });
    await cluster.stop(b);
    expect(await codeOf(cluster.start('b', address))).toBe('REPLICA_ROLLED_BACK');

    loseDatabase(cluster, 'b');
    b = await repaired(cluster, 'b', address);
    await expectSame(a, b);
    expect(text(cluster, 'b', 'x')).toBe('x 3');
  });
});

test('times that were lost with a copy are set right, and are no edits', async () => {
  await using cluster = new Cluster();
  cluster.write('a', 'x', 'x');
  let [a, b] = await cluster.pair();
  const before = await expectSame(a, b);
  const address = sameAddress(b);
  await cluster.stop(b);
  loseDatabase(cluster, 'b');
  utimesSync(cluster.path('b', 'x'), 1, 1);
  b = await repaired(cluster, 'b', address);
  expect(await expectSame(a, b)).toEqual(before);
  expect(contentsOf(cluster.path('a'))).toEqual(before);
  expect(setAside(cluster, 'b')).toEqual([]);
});
