import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { realTimers } from '../../src/app/real-world.ts';
import { byteKey, compareBytes, fromByteKey, utf8 } from '../../src/base/bytes.ts';
import { EMPTY_CUT, isTombstone, type StableCut } from '../../src/entry/stable-cut.ts';
import { purge, takeCut, tombstones } from '../../src/replica/tombstones.ts';
import { Replica } from '../../src/replica/replica.ts';
import * as keyspace from '../../src/store/keyspace.ts';
import { MemoryStore } from '../../src/store/memory-store.ts';
import type { Store } from '../../src/store/store.ts';
import { PageReader, type Tree } from '../../src/tree/page.ts';
import { walk } from '../../src/tree/walk.ts';
import { FaultyStore, record, recordKey, seededRandom, smallShare, TestClock } from './world.ts';

const NOBODY = (): boolean => false;
const OTHER = 'ee'.repeat(8);

function makeReplica(store: Store = new MemoryStore()): Promise<Replica> {
  return Replica.create(store, smallShare(), new TestClock(), seededRandom(2));
}

async function fill(replica: Replica, count: number): Promise<void> {
  await Promise.all(Array.from({ length: count }, (_, at) => replica.write(recordKey(at), record(`${at}`))));
}

async function remove(replica: Replica, ...indexes: readonly number[]): Promise<void> {
  await Promise.all(indexes.map((at) => replica.write(recordKey(at), { kind: 'deleted' })));
}

function keysOf(replica: Replica): string[] {
  return [...walk(replica.reader, replica.head.tree)].map(({ key }) => byteKey(key));
}

function cutFor(replica: Replica, sequence: number): StableCut {
  return { sequences: new Map([[replica.id, sequence]]), replicas: new Set([replica.id]) };
}

/** A reader that counts. */
function countingReader(replica: Replica): { reader: PageReader; pages: () => number } {
  const read = new Set<string>();
  const reader = new PageReader({
    get: (hash) => {
      read.add(byteKey(hash));
      return replica.store.get(keyspace.pageKey(hash));
    },
  });
  return { reader, pages: () => read.size };
}

describe('tombstones', () => {
  it('are found, all of them and nothing else, in key order', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(fc.nat(79), { maxLength: 80 }), async (removed) => {
        const replica = await makeReplica();
        await fill(replica, 80);
        await replica.write(utf8('m/x'), record('a member'));
        await remove(replica, ...removed);
        const found = [...tombstones(replica.reader, replica.head.tree)];
        expect(found.map(({ key }) => byteKey(key))).toEqual(removed.map((at) => byteKey(recordKey(at))).sort());
        expect(found.every(({ entry }) => isTombstone(entry))).toBe(true);
        for (const [at, { key }] of found.entries()) if (at > 0) expect(compareBytes(found[at - 1]!.key, key)).toBeLessThan(0);
      }),
      { numRuns: 30 },
    );
    const empty = await makeReplica();
    expect([...tombstones(empty.reader, empty.head.tree)]).toEqual([]);
  });

  it('cost what they are, not what is beside them', async () => {
    const replica = await makeReplica();
    await fill(replica, 3_000);
    const all = countingReader(replica);
    for (const item of walk(all.reader, replica.head.tree)) expect(item.key.length).toBeGreaterThan(0);
    await remove(replica, 17, 1_700);
    const few = countingReader(replica);
    expect([...tombstones(few.reader, replica.head.tree)]).toHaveLength(2);
    expect(all.pages()).toBeGreaterThan(300);
    // Two paths from the top.
    expect(few.pages()).toBeLessThanOrEqual(2 * (replica.head.tree.level + 1));
  });

  it('give a cut that covers them, of the tree that was named', async () => {
    const replica = await makeReplica();
    await fill(replica, 10);
    await remove(replica, 3, 4);
    const before = replica.head;
    await remove(replica, 5);
    const cut = await takeCut(replica, before.tree, [replica.id, OTHER], realTimers);
    expect(cut).toEqual({ sequences: new Map([[replica.id, before.sequence]]), replicas: new Set([replica.id, OTHER]) });
  });
});

describe('a replica', () => {
  it('goes by the cuts that it was given, over restarts, and gives no birth dots any more', async () => {
    const store = new FaultyStore();
    const replica = await makeReplica(store);
    const births: boolean[] = [];
    const look = (): Promise<unknown> =>
      replica.commit([
        {
          key: recordKey(1),
          next: (current, author) => {
            births.push(author.births);
            return current;
          },
        },
      ]);
    await look();
    expect([replica.stable, births]).toEqual([EMPTY_CUT, [true]]);
    expect(await replica.adopt(cutFor(replica, 3))).toBe(true);
    expect(store.writes.at(-1)!.durable).toBe(true);
    await look();
    expect(births).toEqual([true, false]);
    const writes = store.writes.length;
    expect(await replica.adopt(cutFor(replica, 2))).toBe(false);
    expect(store.writes).toHaveLength(writes);
    expect(await replica.adopt({ sequences: new Map([[OTHER, 1]]), replicas: new Set([OTHER]) })).toBe(true);
    const both = { sequences: new Map(replica.stable.sequences), replicas: new Set([replica.id, OTHER]) };
    expect(both.sequences.size).toBe(2);
    expect(Replica.open(store, new TestClock()).stable).toEqual(both);
  });

  it('does not go by a cut that it could not keep', async () => {
    const store = new FaultyStore();
    const replica = await makeReplica(store);
    store.fails = () => true;
    await expect(replica.adopt(cutFor(replica, 3))).rejects.toMatchObject({ code: 'IO_ERROR' });
    expect(replica.stable).toBe(EMPTY_CUT);
  });
});

describe('a purge', () => {
  it('leaves the tree as if the keys had never been', async () => {
    const replica = await makeReplica();
    await fill(replica, 30);
    const [root, keys] = [replica.head.root, keysOf(replica)];
    await Promise.all([40, 41, 42].map((at) => replica.write(recordKey(at), record('x'))));
    await remove(replica, 40, 41, 42);
    await replica.adopt(cutFor(replica, replica.head.sequence));
    expect(await purge(replica, replica.head.tree, NOBODY, realTimers)).toEqual({ purged: 3, spared: 0, left: 0 });
    expect([replica.head.root, keysOf(replica)]).toEqual([root, keys]);
    expect(replica.head.sequence).toBe(36);
  });

  it('spares what the cut does not cover, what is not shown yet, and what an entry is on its way for', async () => {
    const replica = await makeReplica();
    await fill(replica, 10);
    await remove(replica, 1, 2, 3);
    const { sequence } = replica.head;
    await remove(replica, 4);
    await replica.adopt(cutFor(replica, sequence));
    await replica.store.write([{ type: 'put', key: keyspace.pendingKey(recordKey(2)), value: Uint8Array.of(1) }], { durable: false });
    const arriving = (key: Uint8Array): boolean => compareBytes(key, recordKey(3)) === 0;
    expect(await purge(replica, replica.head.tree, arriving, realTimers)).toEqual({ purged: 1, spared: 2, left: 1 });
    expect(keysOf(replica)).toEqual(
      Array.from({ length: 10 }, (_, at) => byteKey(recordKey(at)))
        .filter((key) => compareBytes(fromByteKey(key), recordKey(1)) !== 0)
        .sort(),
    );
  });

  it('looks at what is there in the commit, not at what was', async () => {
    const replica = await makeReplica();
    await fill(replica, 3);
    await remove(replica, 0, 1);
    const { tree, sequence } = replica.head;
    await replica.adopt(cutFor(replica, sequence));
    // A file came back after the tree was looked at; a write and the purge share a group.
    const writing = replica.write(recordKey(0), record('again'));
    expect(await purge(replica, tree, NOBODY, realTimers)).toMatchObject({ purged: 1, spared: 1 });
    await writing;
    expect(replica.entry(recordKey(0))!.versions.map(({ value }) => value.kind)).toEqual(['record']);
    expect(replica.entry(recordKey(1))).toBeUndefined();
  });

  it('of many goes in several commits, each of them safe', async () => {
    const replica = await makeReplica();
    const count = 4_500;
    await fill(replica, count);
    await remove(replica, ...Array.from({ length: count }, (_, at) => at));
    await replica.adopt(cutFor(replica, replica.head.sequence));
    const counts: number[] = [];
    replica.onCommit(({ head }) => counts.push(head.tree.count));
    const held: Tree = replica.head.tree;
    expect(await purge(replica, held, NOBODY, realTimers)).toEqual({ purged: count, spared: 0, left: 0 });
    expect(counts).toEqual([2_500, 500, 0]);
  });
});
