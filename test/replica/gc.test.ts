import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { byteKey, toHex } from '../../src/base/bytes.ts';
import { ROOT_HISTORY_COUNT } from '../../src/base/limits.ts';
import { realTimers } from '../../src/app/real-world.ts';
import { silentLog } from '../../src/base/world.ts';
import { Collector } from '../../src/replica/gc.ts';
import { decodeTree } from '../../src/replica/head.ts';
import { Replica } from '../../src/replica/replica.ts';
import * as keyspace from '../../src/store/keyspace.ts';
import type { Store } from '../../src/store/store.ts';
import type { Tree } from '../../src/tree/page.ts';
import { bodiesOf, FaultyStore, pagesOf, put, record, recordKey, seededRandom, SlowStore, smallShare, TestClock, turns } from './world.ts';

const share = smallShare();

function makeReplica(store: Store): Promise<Replica> {
  return Replica.create(store, share, new TestClock(), seededRandom(2));
}

function collector(replica: Replica, held: () => readonly Tree[] = () => []): Collector {
  return new Collector(replica, { timers: realTimers, log: silentLog }, held);
}

/** The trees of the window, each whole; gives all their pages. Throws where a page is missing. */
async function pagesOfHistory(store: Store, replica: Replica): Promise<Set<string>> {
  const pages = pagesOf(store, replica.head.tree);
  for await (const rows of store.iterate(keyspace.prefixRange(keyspace.PREFIX.commit))) {
    for (const [key, root] of rows) {
      if (keyspace.numberOfKey(key) <= replica.head.commit - ROOT_HISTORY_COUNT) continue;
      const row = store.get(keyspace.rootKey(root));
      if (row === undefined) throw new Error('a root of the window is not to be found');
      pagesOf(store, decodeTree(row), pages);
    }
  }
  return pages;
}

/** Many commits that change few keys, so that most pages are garbage soon. */
async function fill(replica: Replica, commits: number, keys: number = 40): Promise<void> {
  for (let number = 0; number < commits; number++) {
    await replica.commit([put(number % keys, `${number}`), put((number * 7) % keys, `${number}`)]);
  }
}

describe('a collection', () => {
  it('drops exactly the pages that neither head nor history need, and history rows beyond the window', async () => {
    const store = new FaultyStore();
    const replica = await makeReplica(store);
    await fill(replica, 150);
    const before = await bodiesOf(store, keyspace.PREFIX.page);
    const swept = await collector(replica).collect();
    const needed = await pagesOfHistory(store, replica);
    const after = await bodiesOf(store, keyspace.PREFIX.page);
    expect(after).toEqual(needed);
    expect(swept).toBe(before.size - after.size);
    expect(swept).toBeGreaterThan(100);
    expect((await bodiesOf(store, keyspace.PREFIX.commit)).size).toBe(ROOT_HISTORY_COUNT);
    expect((await bodiesOf(store, keyspace.PREFIX.root)).size).toBe(ROOT_HISTORY_COUNT);
  });

  it('has nothing left to do the second time, and leaves all other rows alone', async () => {
    const store = new FaultyStore();
    const replica = await makeReplica(store);
    await fill(replica, 100);
    const others = [keyspace.listPageKey(new Uint8Array(32)), keyspace.metaKey('x'), keyspace.pendingKey(recordKey(1))];
    await store.write(
      others.map((key) => ({ type: 'put', key, value: Uint8Array.of(1) })),
      { durable: true },
    );
    const gc = collector(replica);
    expect(await gc.collect()).toBeGreaterThan(0);
    expect(await gc.collect()).toBe(0);
    for (const key of others) expect(store.get(key)).toBeDefined();
    expect(Replica.open(store, new TestClock()).head.commit).toBe(100);
  });

  it('forgets roots beyond the window and finds those within', async () => {
    const replica = await makeReplica(new FaultyStore());
    const roots: Uint8Array[] = [];
    for (let number = 0; number < 100; number++) roots.push((await replica.commit([put(number % 5, `${number}`)])).head.root);
    await collector(replica).collect();
    const found = roots.map((root) => replica.treeOf(root) !== undefined);
    expect(found).toEqual(roots.map((_, index) => index >= 100 - ROOT_HISTORY_COUNT));
  });

  it('keeps a root that came back within the window, though its first commit lies beyond', async () => {
    const store = new FaultyStore();
    const replica = await makeReplica(store);
    const { root } = (await replica.commit([put(1, 'A'), put(2, 'A')])).head;
    await fill(replica, 60, 1);
    await replica.commit([put(0, undefined)]);
    expect(toHex(replica.head.root)).toBe(toHex(root));
    await fill(replica, 30, 1);
    await collector(replica).collect();
    expect(replica.treeOf(root)).toBeDefined();
    pagesOf(store, replica.treeOf(root)!);
  });

  it('keeps the trees that sessions hold, as long as they do', async () => {
    const store = new FaultyStore();
    const replica = await makeReplica(store);
    await fill(replica, 10);
    const held = replica.head.tree;
    await fill(replica, 100);
    const list = [held];
    const gc = collector(replica, () => list);
    await gc.collect();
    pagesOf(store, held);
    list.length = 0;
    await gc.collect();
    expect(() => pagesOf(store, held)).toThrow('not in the store');
  });

  it('counts what is written after its start, by which the next one is due', async () => {
    const replica = await makeReplica(new FaultyStore());
    await fill(replica, 3);
    expect(replica.pagesWritten).toBeGreaterThan(0);
    await collector(replica).collect();
    expect(replica.pagesWritten).toBe(0);
  });

  it('that fails leaves everything usable, and the next one goes through', async () => {
    const store = new FaultyStore();
    const replica = await makeReplica(store);
    await fill(replica, 100);
    for (let at = 0; at < 2; at++) {
      const failing = store.writes.length + at;
      store.fails = (number) => number === failing;
      const collected = collector(replica).collect();
      const commit = replica.commit([put(1, `late ${at}`)]);
      const results = await Promise.allSettled([collected, commit]);
      expect(results.filter(({ status }) => status === 'rejected')).toHaveLength(1);
      pagesOf(store, replica.head.tree);
    }
    store.fails = () => false;
    await collector(replica).collect();
    expect(await bodiesOf(store, keyspace.PREFIX.page)).toEqual(await pagesOfHistory(store, replica));
  });
});

describe('a collection while commits go on', () => {
  it('never sweeps a page of the head, of the history or of a held tree, however the two interleave', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(3), { minLength: 1, maxLength: 40 }),
        fc.array(
          fc.record({
            // Few values at few keys: content goes A -> B -> A all the time.
            puts: fc.array(fc.tuple(fc.nat(30), fc.nat(2)), { minLength: 1, maxLength: 5 }),
            pause: fc.nat(5),
            collect: fc.boolean(),
            wait: fc.boolean(),
            hold: fc.boolean(),
          }),
          { minLength: 5, maxLength: 30 },
        ),
        fc.nat(90),
        async (delays, steps, before) => {
          const store = new SlowStore(delays);
          const replica = await makeReplica(store.inner);
          for (let number = 0; number < before; number++) await replica.commit([put(number % 31, `${number % 3}`)]);
          const slow = Replica.open(store, new TestClock());
          const held: Tree[] = [];
          const gc = collector(slow, () => held);
          const running: Promise<unknown>[] = [];
          let collecting: Promise<unknown> | undefined;
          for (const { puts, pause, collect, wait, hold } of steps) {
            const commit = slow.commit(puts.map(([key, data]) => put(key, data === 0 ? undefined : `${data}`)));
            running.push(commit);
            if (collect && collecting === undefined) {
              collecting = gc.collect().finally(() => (collecting = undefined));
              running.push(collecting);
            }
            if (wait) await commit;
            await turns(pause);
            // Any tree of the moment must be whole, and those held must stay so.
            pagesOf(store, slow.head.tree);
            if (hold) held.push(slow.head.tree);
          }
          await Promise.all(running);
          await pagesOfHistory(store, slow);
          await gc.collect();
          const needed = await pagesOfHistory(store, slow);
          for (const tree of held) pagesOf(store, tree, needed);
          expect(await bodiesOf(store, keyspace.PREFIX.page)).toEqual(needed);
          expect(byteKey(Replica.open(store.inner, new TestClock()).head.root)).toBe(byteKey(slow.head.root));
        },
      ),
      { numRuns: 60 },
    );
  });

  it('does not miss the pages of a commit that is being written when it starts', async () => {
    const store = new SlowStore([3]);
    const replica = await makeReplica(store);
    await replica.commit([put(1, 'a')]);
    const commit = replica.commit(Array.from({ length: 30 }, (_, key) => put(key, 'b')));
    await turns(1);
    await Promise.all([collector(replica).collect(), commit]);
    expect(pagesOf(store, replica.head.tree).size).toBeGreaterThan(1);
  });

  it('does not sweep garbage that is made again between its look and its turn', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(3), { minLength: 1, maxLength: 12 }),
        fc.array(fc.nat(3), { minLength: 10, maxLength: 30 }),
        async (delays, pauses) => {
          const store = new SlowStore(delays);
          const replica = await makeReplica(store.inner);
          const state = (number: number): ReturnType<typeof put>[] => Array.from({ length: 12 }, (_, key) => put(key, `${number}`));
          for (let number = 0; number < 100; number++) await replica.commit(state(number));
          const slow = Replica.open(store, new TestClock());
          const running: Promise<unknown>[] = [collector(slow).collect()];
          // States beyond the window come back, one waiting behind another.
          for (const [number, pause] of pauses.entries()) {
            running.push(slow.commit(state(number)));
            await turns(pause);
            pagesOf(store, slow.head.tree);
          }
          await Promise.all(running);
          await pagesOfHistory(store, slow);
        },
      ),
      { numRuns: 40 },
    );
  });

  it('gets its turn though commits never pause', async () => {
    const store = new SlowStore([1]);
    const replica = await makeReplica(store);
    let stop = false;
    let number = 0;
    const writer = async (key: number): Promise<void> => {
      while (!stop) await replica.write(recordKey(key), record(`${number++}`));
    };
    const writers = [writer(1), writer(2), writer(3)];
    await turns(20);
    await collector(replica).collect();
    stop = true;
    await Promise.all(writers);
    pagesOf(store, replica.head.tree);
  });

  it('survives a crash at any write of it', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(12), fc.nat(4), async (crashAfter, commits) => {
        const store = new FaultyStore();
        const replica = await makeReplica(store);
        await fill(replica, 80);
        const start = store.writes.length;
        store.fails = (number) => number >= start + crashAfter;
        const running: Promise<unknown>[] = [collector(replica).collect()];
        for (let number = 0; number < commits; number++) running.push(replica.commit([put(number, 'late')]));
        await Promise.allSettled(running);
        const again = Replica.open(store.inner, new TestClock());
        await pagesOfHistory(store.inner, again);
        await collector(again).collect();
        expect(await bodiesOf(store.inner, keyspace.PREFIX.page)).toEqual(await pagesOfHistory(store.inner, again));
      }),
      { numRuns: 30 },
    );
  });
});

describe('collections by themselves', () => {
  it('start when enough was written, one at a time, and end with the collector', async () => {
    const store = new FaultyStore();
    const replica = await makeReplica(store);
    const gc = collector(replica);
    await fill(replica, 50);
    gc.afterCommit();
    expect(replica.pagesWritten).toBeGreaterThan(0);
    while (replica.pagesWritten < 4_000) await replica.commit(Array.from({ length: 600 }, (_, key) => put(key, `${replica.head.commit}`)));
    gc.afterCommit();
    gc.afterCommit();
    await gc.close();
    const kept = store.writes.length;
    while (replica.pagesWritten < 4_000) await replica.commit(Array.from({ length: 600 }, (_, key) => put(key, `${replica.head.commit}`)));
    gc.afterCommit();
    await turns(5);
    expect(store.writes.slice(kept).some(({ operations }) => operations.some(({ type }) => type === 'del'))).toBe(false);
    await pagesOfHistory(store, replica);
  });
});
