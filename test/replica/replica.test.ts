import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { byteKey, toHex, utf8 } from '../../src/base/bytes.ts';
import { SamerootError } from '../../src/base/errors.ts';
import { KEY_BYTES_MAX } from '../../src/base/limits.ts';
import { encodeEntry } from '../../src/entry/entry-codec.ts';
import { covers, merge, write, type Dot, type Entry } from '../../src/entry/entry.ts';
import { encodeHead, encodeTree } from '../../src/replica/head.ts';
import { Replica, type Commit, type Mutation } from '../../src/replica/replica.ts';
import * as keyspace from '../../src/store/keyspace.ts';
import { MemoryStore } from '../../src/store/memory-store.ts';
import { build } from '../../src/tree/build.ts';
import { rootHash } from '../../src/tree/page.ts';
import { walk } from '../../src/tree/walk.ts';
import { codeOf } from '../content/code-of.ts';
import { FaultyStore, pagesOf, put, record, recordKey, seededRandom, smallShare, TestClock } from './world.ts';

const share = smallShare();

async function makeReplica(clock: TestClock = new TestClock()): Promise<{ replica: Replica; store: FaultyStore; clock: TestClock }> {
  const store = new FaultyStore();
  const replica = await Replica.create(store, share, clock, seededRandom(2));
  store.writes.length = 0;
  return { replica, store, clock };
}

/** Adds a dot to a list kept in the entry: loses nothing only if mutations run one after the other. */
function append(index: number, given: Dot[]): Mutation {
  let dot: Dot;
  return {
    key: recordKey(index),
    next: (current, author) => {
      dot = author.dot();
      return write(current, [], dot, author.stamp(), record(`${dot.sequence}`));
    },
    rows: () => {
      given.push(dot);
      return [];
    },
  };
}

function dataOf(entry: Entry | undefined): string[] {
  return (entry?.versions ?? []).map(({ value }) => (value.kind === 'record' ? Buffer.from(value.data).toString() : value.kind));
}

describe('the life of a replica', () => {
  it('starts empty, with the root of the empty tree and an id of its own', async () => {
    const { replica } = await makeReplica();
    expect(replica.head.tree.count).toBe(0);
    expect(replica.head.root).toEqual(rootHash(replica.head.tree, replica.parametersHash));
    expect(replica.id).toMatch(/^[0-9a-f]{16}$/);
    const other = await Replica.create(new MemoryStore(), share, new TestClock(), seededRandom(3));
    expect(other.id).not.toBe(replica.id);
    expect(other.head.root).toEqual(replica.head.root);
  });

  it('is the same after it was opened again', async () => {
    const { replica, store, clock } = await makeReplica();
    await replica.write(recordKey(1), record('a'));
    await replica.write(recordKey(2), record('b'));
    const again = Replica.open(store.inner, clock);
    expect(toHex(encodeHead(again.head))).toBe(toHex(encodeHead(replica.head)));
    expect([again.id, again.share]).toEqual([replica.id, share]);
    expect(dataOf(again.entry(recordKey(2)))).toEqual(['b']);
  });

  it('is not made over another, and not opened where there is none or half of one', async () => {
    const { store, clock } = await makeReplica();
    await expect(Replica.create(store, share, clock, seededRandom(4))).rejects.toThrow(RangeError);
    expect(codeOf(() => Replica.open(new MemoryStore(), clock))).toBe('DATABASE_DAMAGED');
    await store.inner.write([{ type: 'put', key: keyspace.metaKey('replica'), value: new Uint8Array(7) }], { durable: true });
    expect(codeOf(() => Replica.open(store, clock))).toBe('DATABASE_DAMAGED');
  });

  it('has the tree that the entries make, whatever the commits were', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(fc.tuple(fc.nat(60), fc.nat(3)), { maxLength: 12 }), { maxLength: 12 }), async (batches) => {
        const { replica } = await makeReplica();
        await Promise.all(batches.map((batch) => replica.commit(batch.map(([key, data]) => put(key, data === 0 ? undefined : `${data}`)))));
        const built = build(walk(replica.reader, replica.head.tree), replica.ranker, { put: () => {} });
        expect(replica.head.tree).toEqual(built);
        expect(replica.head.root).toEqual(rootHash(built, replica.parametersHash));
        const model = new Map(batches.flat().map(([key, data]) => [key, data]));
        for (const [key, data] of model) expect(dataOf(replica.entry(recordKey(key)))).toEqual(data === 0 ? [] : [`${data}`]);
      }),
      { numRuns: 40 },
    );
  });
});

describe('group commit', () => {
  it('puts what arrives together into one durable write', async () => {
    const { replica, store } = await makeReplica();
    const commits = await Promise.all(Array.from({ length: 50 }, (_, index) => replica.write(recordKey(index), record('x'))));
    expect(store.writes.map(({ durable }) => durable)).toEqual([true]);
    expect(new Set(commits.map(({ head }) => head.commit))).toEqual(new Set([1]));
    expect(replica.head.tree.count).toBe(50);
  });

  it('puts what arrives during a write into the next one', async () => {
    const { replica, store } = await makeReplica();
    const first = replica.write(recordKey(0), record('x'));
    while (store.writes.length === 0) await Promise.resolve();
    const later = Array.from({ length: 30 }, (_, index) => replica.write(recordKey(index), record('y')));
    await Promise.all([first, ...later]);
    expect(store.writes).toHaveLength(2);
    expect(store.writes.every(({ durable }) => durable)).toBe(true);
  });

  it('never loses a mutation of concurrent callers, and never gives a dot twice', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.nat(3), fc.nat(4)), { minLength: 1, maxLength: 60 }), async (calls) => {
        const { replica } = await makeReplica();
        const given: Dot[] = [];
        await Promise.all(
          calls.map(async ([key, delay]) => {
            for (let turn = 0; turn < delay * 3; turn++) await Promise.resolve();
            await replica.commit([append(key, given)]);
          }),
        );
        const alive = [0, 1, 2, 3].flatMap((key) => replica.entry(recordKey(key))?.versions ?? []);
        expect(alive).toHaveLength(calls.length);
        expect(new Set(given.map(({ sequence }) => sequence)).size).toBe(calls.length);
        expect(replica.head.sequence).toBe(calls.length);
      }),
      { numRuns: 60 },
    );
  });

  it('lets a mutation see those before it in the same group', async () => {
    const { replica } = await makeReplica();
    const seen: number[] = [];
    const look = (): Mutation => ({ ...append(1, []), rows: (entry) => (seen.push(entry!.versions.length), []) });
    await Promise.all([replica.commit([look(), look()]), replica.commit([look()])]);
    expect(seen).toEqual([1, 2, 3]);
  });

  it('writes nothing for a mutation that changes nothing, but does write its rows', async () => {
    const { replica, store } = await makeReplica();
    await replica.write(recordKey(1), record('a'));
    const { head } = replica;
    const told: Commit[] = [];
    replica.onCommit((commit) => told.push(commit));
    const row = { type: 'put', key: utf8('t/x'), value: utf8('1') } as const;
    const same = await replica.commit([{ key: recordKey(1), next: (current) => current }]);
    expect(store.writes).toHaveLength(1);
    const withRow = await replica.commit([{ key: recordKey(1), next: (current) => current, rows: () => [row] }]);
    expect([same.keys, withRow.keys]).toEqual([[], []]);
    expect([same.head, withRow.head, replica.head]).toEqual([head, head, head]);
    expect(store.get(row.key)).toEqual(row.value);
    expect(told).toEqual([]);
  });

  it('writes the rows of a mutation in the same batch as the head', async () => {
    const { replica, store } = await makeReplica();
    const row = { type: 'put', key: utf8('t/x'), value: utf8('1') } as const;
    await replica.commit([{ ...put(1, 'a'), rows: () => [row] }]);
    const keys = store.writes[0]!.operations.map(({ key }) => byteKey(key));
    expect(keys).toContain('t/x');
    expect(keys).toContain('h');
    expect(store.writes).toHaveLength(1);
  });

  it('takes the bytes that come with a mutation for the entry that they are of, and for no other', async () => {
    const { replica } = await makeReplica();
    const other = await makeReplica();
    const stamp = { wallMs: 1, counter: 0 };
    const one = write(undefined, [], { replica: 'aa'.repeat(8), sequence: 1 }, stamp, record('one'));
    const two = write(undefined, [], { replica: 'bb'.repeat(8), sequence: 1 }, stamp, record('two'));
    const join = (index: number, entry: Entry): Mutation => ({ key: recordKey(index), next: (current) => merge(current, entry) });
    const withBytes = (index: number, entry: Entry): Mutation => ({
      ...join(index, entry),
      encoded: { entry, bytes: encodeEntry(entry) },
    });
    await replica.commit([withBytes(1, one), withBytes(2, one)]);
    await replica.commit([withBytes(1, two), { ...withBytes(2, two), next: () => undefined }]);
    await other.replica.commit([join(1, one), join(1, two)]);
    expect(dataOf(replica.entry(recordKey(1)))).toEqual(['one', 'two']);
    expect(replica.head.root).toEqual(other.replica.head.root);
  });

  it('refuses the mutation that can not be done, and not the others of its group', async () => {
    const bad: Mutation[] = [
      {
        key: recordKey(7),
        next: () => {
          throw new SamerootError('BAD_MESSAGE', 'no');
        },
      },
      {
        key: new Uint8Array(KEY_BYTES_MAX + 1),
        next: () => write(undefined, [], { replica: 'aa'.repeat(8), sequence: 1 }, { wallMs: 1, counter: 0 }, record('x')),
      },
      {
        key: new Uint8Array(0),
        next: () => write(undefined, [], { replica: 'aa'.repeat(8), sequence: 1 }, { wallMs: 1, counter: 0 }, record('x')),
      },
    ];
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(9), { minLength: 1, maxLength: 20 }), async (plan) => {
        const { replica, store } = await makeReplica();
        const results = await Promise.allSettled(
          plan.map((kind, index) =>
            kind < bad.length ? replica.commit([put(100 + index, 'half'), bad[kind]!]) : replica.commit([put(index, 'x')]),
          ),
        );
        expect(results.map(({ status }) => status === 'rejected')).toEqual(plan.map((kind) => kind < bad.length));
        for (const [index, kind] of plan.entries()) {
          expect(dataOf(replica.entry(recordKey(index)))).toEqual(kind < bad.length ? [] : ['x']);
          expect(replica.entry(recordKey(100 + index))).toBeUndefined();
        }
        pagesOf(store, replica.head.tree);
        await replica.write(recordKey(0), record('after'));
        expect(replica.failure).toBeUndefined();
      }),
      { numRuns: 40 },
    );
  });
});

describe('a write that fails', () => {
  it('leaves the head as it was; later commits work and are complete', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ keys: fc.array(fc.nat(40), { minLength: 1, maxLength: 8 }), fails: fc.boolean() }), { maxLength: 12 }),
        async (steps) => {
          const { replica, store, clock } = await makeReplica();
          store.fails = (number) => steps[number]!.fails;
          const model = new Map<number, string>();
          for (const [number, { keys, fails }] of steps.entries()) {
            const before = replica.head;
            // A random entry: even an equal key changes, so each step is one write.
            const commit = replica.commit(keys.map((key) => put(key, `${number}`)));
            if (fails) {
              await expect(commit).rejects.toMatchObject({ code: 'IO_ERROR' });
              expect(replica.head).toBe(before);
              expect(replica.failure).toMatchObject({ code: 'IO_ERROR' });
            } else {
              await commit;
              expect(replica.failure).toBeUndefined();
              for (const key of keys) model.set(key, `${number}`);
            }
          }
          for (const replicaNow of [replica, Replica.open(store.inner, clock)]) {
            pagesOf(store, replicaNow.head.tree);
            expect(replicaNow.head.tree.count).toBe(model.size);
            for (const [key, data] of model) expect(dataOf(replicaNow.entry(recordKey(key)))).toEqual([data]);
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  it('tells no listener, and rejects everyone in the group', async () => {
    const { replica, store } = await makeReplica();
    store.fails = () => true;
    let told = 0;
    replica.onCommit(() => told++);
    const results = await Promise.allSettled([replica.write(recordKey(1), record('a')), replica.write(recordKey(2), record('b'))]);
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(told).toBe(0);
  });
});

describe('a crash at any moment', () => {
  it('leaves a head with all its pages and all acknowledged writes, and no dot is given twice', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(fc.nat(50), { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 25 }),
        fc.nat(12),
        fc.nat(3),
        async (batches, crashAfter, gap) => {
          const { replica, store, clock } = await makeReplica();
          store.fails = (number) => number >= crashAfter;
          const kept: { key: number; dot: Dot }[] = [];
          const calls: Promise<void>[] = [];
          for (const keys of batches) {
            const given: Dot[] = [];
            calls.push(
              replica.commit(keys.map((key) => append(key, given))).then(
                () => keys.forEach((key, index) => kept.push({ key, dot: given.slice(-keys.length)[index]! })),
                () => {},
              ),
            );
            for (let turn = 0; turn < gap * 3; turn++) await Promise.resolve();
          }
          await Promise.all(calls);
          const again = Replica.open(store.inner, clock);
          pagesOf(store.inner, again.head.tree);
          expect(toHex(again.head.root)).toBe(toHex(rootHash(again.head.tree, again.parametersHash)));
          for (const { key, dot } of kept) expect(covers(again.entry(recordKey(key))!.context, dot)).toBe(true);
          expect(again.treeOf(again.head.root)).toBe(again.head.tree);
          const given: Dot[] = [];
          await again.commit([append(0, given), append(1, given)]);
          const used = new Set(kept.map(({ dot }) => dot.sequence));
          for (const { replica: id, sequence } of given) {
            expect(id).toBe(replica.id);
            expect(used.has(sequence)).toBe(false);
          }
        },
      ),
      { numRuns: 100 },
    );
  });
});

describe('the clock of a replica', () => {
  it('goes on from its high mark after it was opened again, though the wall went back', async () => {
    const { replica, store, clock } = await makeReplica();
    await replica.write(recordKey(1), record('a'));
    const first = replica.entry(recordKey(1))!.versions[0]!.stamp;
    clock.wall -= 86_400_000;
    const again = Replica.open(store, clock);
    await again.write(recordKey(1), record('b'));
    const second = again.entry(recordKey(1))!.versions[0]!.stamp;
    expect([second.wallMs, second.counter > first.counter]).toEqual([first.wallMs, true]);
  });

  it('keeps what it observed from others', async () => {
    const { replica, store, clock } = await makeReplica();
    const remote = { wallMs: clock.wall + 3_000_000, counter: 9 };
    const theirs = write(undefined, [], { replica: 'bb'.repeat(8), sequence: 4 }, remote, record('theirs'));
    const key = recordKey(1);
    await replica.commit([{ key, next: (current, author) => (author.observe(remote), merge(current, theirs)) }]);
    const again = Replica.open(store, clock);
    expect(again.head.stamp).toEqual(remote);
    await again.write(key, record('ours'));
    expect(again.entry(key)!.versions[0]!.stamp).toEqual({ wallMs: remote.wallMs, counter: 10 });
  });
});

describe('listeners', () => {
  it('hear of every commit in order, with the keys in order and their origins, before the caller goes on', async () => {
    const { replica } = await makeReplica();
    const told: string[] = [];
    const commits: Commit[] = [];
    replica.onCommit((commit) => {
      expect(replica.head).toBe(commit.head);
      told.push(`a${commit.head.commit}`);
      commits.push(commit);
    });
    const stop = replica.onCommit((commit) => void told.push(`b${commit.head.commit}`));
    await replica.commit([put(2, 'x'), { ...put(1, 'x'), origin: 'peer' }]).then(() => told.push('done1'));
    stop();
    await replica.commit([put(3, 'x')]);
    expect(told).toEqual(['a1', 'b1', 'done1', 'a2']);
    expect(commits[0]!.keys.map(({ key, origin }) => [byteKey(key), origin])).toEqual([
      ['r/key-1', 'peer'],
      ['r/key-2', undefined],
    ]);
    expect(commits[1]!.previous).toBe(commits[0]!.head);
  });

  it('do not keep one another from hearing, nor the commit from standing', async () => {
    const { replica } = await makeReplica();
    let told = 0;
    replica.onCommit(() => {
      throw new Error('a bug of a listener');
    });
    replica.onCommit(() => told++);
    await replica.write(recordKey(1), record('a'));
    await replica.write(recordKey(1), record('b'));
    expect(told).toBe(2);
  });
});

describe('history', () => {
  it('finds the tree of every root that was, as it was', async () => {
    const { replica } = await makeReplica();
    const heads = [];
    for (let number = 0; number < 20; number++)
      heads.push((await replica.commit([put(number % 7, `${number}`), put(100 + number, 'x')])).head);
    for (const { root, tree } of heads) expect(encodeTree(replica.treeOf(root)!)).toEqual(encodeTree(tree));
    expect(dataOf(replica.entry(recordKey(3), heads[4]!.tree))).toEqual(['3']);
    expect(dataOf(replica.entry(recordKey(3)))).toEqual(['17']);
    expect(replica.treeOf(new Uint8Array(32))).toBeUndefined();
  });

  it('knows the root of the empty tree only while it is the head', async () => {
    const { replica } = await makeReplica();
    const { root } = replica.head;
    expect(replica.treeOf(root)).toBe(replica.head.tree);
    await replica.write(recordKey(1), record('a'));
    expect(replica.treeOf(root)).toBeUndefined();
    expect(toHex(root)).not.toBe(toHex(replica.head.root));
  });
});

describe('work that wants to be alone', () => {
  it('runs between commits, in its turn, and holds up those behind it', async () => {
    const { replica, store } = await makeReplica();
    const order: string[] = [];
    let release = (): void => {};
    const first = replica.commit([put(1, 'a')]).then(() => order.push('first'));
    const work = replica.alone(async () => {
      order.push(`work at ${replica.head.commit}`);
      await new Promise<void>((resolve) => (release = resolve));
      order.push('work done');
    });
    const second = replica.commit([put(2, 'a')]).then(() => order.push('second'));
    await first;
    for (let turn = 0; turn < 50; turn++) await Promise.resolve();
    expect(store.writes).toHaveLength(1);
    release();
    await Promise.all([work, second, replica.idle()]);
    expect(order).toEqual(['first', 'work at 1', 'work done', 'second']);
  });

  it("that fails is the caller's to know, and commits go on", async () => {
    const { replica } = await makeReplica();
    const work = replica.alone(() => Promise.reject(new SamerootError('IO_ERROR', 'no')));
    const commit = replica.commit([put(1, 'a')]);
    await expect(work).rejects.toMatchObject({ code: 'IO_ERROR' });
    expect((await commit).head.commit).toBe(1);
    await replica.idle();
  });
});

describe('rows that are true of one head', () => {
  const row = { type: 'put', key: utf8('t/x'), value: utf8('1') } as const;

  it('are written in their turn, flushed, as long as it is the head', async () => {
    const { replica, store } = await makeReplica();
    await replica.commit([put(1, 'a')]);
    const { head } = replica;
    const [same, written] = await Promise.all([
      replica.commit([{ ...put(1, 'a'), next: (current) => current }]),
      replica.record(head, [row]),
    ]);
    expect([same.head, written, replica.head]).toEqual([head, true, head]);
    expect(store.writes.at(-1)).toEqual({ operations: [row], durable: true });
  });

  it('are not written once there is another, be it of a commit that was under way already', async () => {
    const { replica, store } = await makeReplica();
    const { head } = replica;
    const [, written] = await Promise.all([replica.commit([put(1, 'a')]), replica.record(head, [row])]);
    expect([written, store.get(row.key)]).toEqual([false, undefined]);
    expect(await replica.record(replica.head, [row])).toBe(true);
  });

  it('fail as a commit does', async () => {
    const { replica, store } = await makeReplica();
    store.fails = () => true;
    await expect(replica.record(replica.head, [row])).rejects.toMatchObject({ code: 'IO_ERROR' });
    expect(replica.failure).toMatchObject({ code: 'IO_ERROR' });
    store.fails = () => false;
    expect([await replica.record(replica.head, [row]), replica.failure]).toEqual([true, undefined]);
    replica.stop(new SamerootError('REPLICA_ROLLED_BACK', 'no more'));
    await expect(replica.record(replica.head, [row])).rejects.toMatchObject({ code: 'REPLICA_ROLLED_BACK' });
    expect(store.writes).toHaveLength(2);
  });
});
