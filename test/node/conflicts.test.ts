import fc from 'fast-check';
import { expect, it } from 'vitest';
import { realTimers } from '../../src/app/real-world.ts';
import { utf8 } from '../../src/base/bytes.ts';
import { birth, merge, write, type Entry, type Value } from '../../src/entry/entry.ts';
import { view } from '../../src/entry/view.ts';
import { Conflicts, resolveConflict, type ResolveParts } from '../../src/node/conflicts.ts';
import type { Telling } from '../../src/node/versions.ts';
import { Replica, type Mutation } from '../../src/replica/replica.ts';
import { MemoryStore } from '../../src/store/memory-store.ts';
import { record, recordKey, seededRandom, smallShare, TestClock, turns } from '../replica/world.ts';

function makeReplica(): Promise<Replica> {
  return Replica.create(new MemoryStore(), smallShare(), new TestClock(), seededRandom(2));
}

/** One version for each value, by writers that had not seen each other. */
function entryOf(...values: Value[]): Entry {
  let entry: Entry | undefined;
  for (const [index, value] of values.entries())
    entry = write(entry, [], { replica: `${index}`.repeat(16), sequence: 1 }, { wallMs: index, counter: 0 }, value);
  return entry!;
}

const CONFLICT = entryOf(record('a'), record('b'));
const PEACE = entryOf(record('a'));

function put(key: Uint8Array, entry: Entry): Mutation {
  return { key, next: () => entry };
}

it('counts the keys with more than one live value, and nothing else', async () => {
  const replica = await makeReplica();
  await replica.commit([
    put(recordKey(1), CONFLICT),
    put(recordKey(2), PEACE),
    put(recordKey(3), entryOf(record('same'), record('same'))),
    put(recordKey(4), entryOf(record('edited'), { kind: 'deleted' })),
    put(recordKey(5), entryOf(record('a'), record('b'), record('c'))),
    put(utf8('m/member'), CONFLICT),
  ]);
  const conflicts = new Conflicts(replica, realTimers);
  expect(conflicts.size).toBe(2);
});

it('follows the commits, while it counts and after, and agrees with the tree in the end', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ keys: fc.array(fc.nat(4_500), { maxLength: 40 }), fight: fc.boolean(), wait: fc.nat(1) }), { maxLength: 6 }),
      async (steps) => {
        const replica = await makeReplica();
        // Three slices, half of the keys in conflict.
        await replica.commit(Array.from({ length: 4_500 }, (_, index) => put(recordKey(index), index % 2 === 0 ? CONFLICT : PEACE)));
        const conflicts = new Conflicts(replica, realTimers);
        for (const { keys, fight, wait } of steps) {
          await replica.commit(keys.map((key) => put(recordKey(key), fight ? CONFLICT : PEACE)));
          await turns(wait);
        }
        await turns(5);
        const expected = Array.from({ length: 4_501 }, (_, index) => view(replica.entry(recordKey(index))).others.length > 0).filter(
          Boolean,
        ).length;
        expect(conflicts.size).toBe(expected);
        conflicts.close();
      },
    ),
    { numRuns: 8 },
  );
});

it('stops when it is closed', async () => {
  const replica = await makeReplica();
  await replica.commit(Array.from({ length: 4_500 }, (_, index) => put(recordKey(index), CONFLICT)));
  const conflicts = new Conflicts(replica, realTimers);
  conflicts.close();
  const { size } = conflicts;
  expect(size).toBeLessThan(4_500);
  await turns(5);
  await replica.commit([put(recordKey(9_999), CONFLICT)]);
  expect(conflicts.size).toBe(size);
});

/** Everybody is known by the first digit of the replica. */
function telling(replica: Replica): Telling {
  return {
    store: replica.store,
    author: (replicaId) => ({ replicaId, nodeId: replicaId.repeat(4), name: `host-${replicaId[0]!}`, here: false }),
  };
}

function resolveParts(replica: Replica, projected: Uint8Array[] = []): ResolveParts {
  return {
    commit: (mutation) => replica.commit([mutation]),
    telling: telling(replica),
    todoRows: () => [],
    project: async (keys) => void projected.push(...keys),
  };
}

/** Of records. */
function textsAt(entry: Entry | undefined): string[] {
  const texts = (entry?.versions ?? []).map(({ value }) => (value.kind === 'record' ? Buffer.from(value.data).toString() : value.kind));
  return texts.sort();
}

const FILE: Value = { kind: 'file', content: Uint8Array.from({ length: 33 }), bytes: 0, mode: 0o644, mtimeMs: 7 };

it('lists them in pages, in key order, the winner first', async () => {
  const replica = await makeReplica();
  const keys = ['f/a.txt', 'f/b', 'r/x', 'r/y'];
  await replica.commit([
    put(utf8('f/a.txt'), entryOf(FILE, { ...FILE, mode: 0o600 }, { kind: 'deleted' })),
    put(utf8('f/b'), entryOf(FILE, { kind: 'symlink', target: utf8('a') })),
    put(utf8('r/x'), entryOf(record('a'), record('bb'), record('ccc'))),
    put(utf8('r/y'), CONFLICT),
  ]);
  const conflicts = new Conflicts(replica, realTimers);
  const pages = [];
  for (let after: string | undefined; ;) {
    const page = conflicts.list({ after, limit: 3 }, telling(replica));
    pages.push(page.items.map(({ key }) => key));
    after = page.next;
    if (after === undefined) break;
  }
  expect(pages).toEqual([keys.slice(0, 3), keys.slice(3)]);
  const { items, complete } = conflicts.list({ after: undefined, limit: 10 }, telling(replica));
  expect(complete).toBe(true);
  expect(items[0]!.versions).toMatchObject([
    {
      id: `${'1'.repeat(16)}-1`,
      name: 'a.txt',
      mode: '600',
      author: { name: 'host-1' },
      written: '1970-01-01T00:00:00.001Z',
      found: false,
    },
    { id: `${'0'.repeat(16)}-1`, name: 'a.conflict-19700101T000000Z-00000000-1.txt', mode: '644', shown: false },
  ]);
  expect(items[2]!.versions.map(({ name, bytes, shown }) => [name, bytes, shown])).toEqual([
    ['r/x', 3, true],
    ['0', 2, true],
    ['1', 1, true],
  ]);
});

it('says while it counts that there may be more', async () => {
  const replica = await makeReplica();
  await replica.commit(Array.from({ length: 4_500 }, (_, index) => put(recordKey(index), CONFLICT)));
  const conflicts = new Conflicts(replica, realTimers);
  const all = { after: undefined, limit: 10_000 };
  expect(conflicts.list(all, telling(replica)).complete).toBe(false);
  await turns(5);
  const { items, complete } = conflicts.list(all, telling(replica));
  expect([items.length, complete]).toEqual([4_500, true]);
});

it('folders that differ in their mode are none; a folder and a file are', async () => {
  const replica = await makeReplica();
  const folder: Value = { kind: 'directory', mode: 0o755 };
  await replica.commit([put(utf8('f/d'), entryOf(folder, { ...folder, mode: 0o700 })), put(utf8('f/e'), entryOf(folder, FILE))]);
  const conflicts = new Conflicts(replica, realTimers);
  const { items } = conflicts.list({ after: undefined, limit: 10 }, telling(replica));
  expect(items.map(({ key }) => key)).toEqual(['f/e']);
  // It has no copy beside the file that could be named.
  expect(items[0]!.versions.map(({ name }) => name)).toEqual(['e', `${'0'.repeat(16)}-1`]);
});

it('a version that was found on disk has no author', async () => {
  const replica = await makeReplica();
  const key = utf8('f/found');
  await replica.commit([put(key, merge(birth(key, FILE), birth(key, { ...FILE, mode: 0o600 })))]);
  const { items } = new Conflicts(replica, realTimers).list({ after: undefined, limit: 10 }, telling(replica));
  expect(items[0]!.versions.map(({ found, written }) => [found, written])).toEqual([
    [true, '1970-01-01T00:00:00.007Z'],
    [true, '1970-01-01T00:00:00.007Z'],
  ]);
});

it.each([
  ['by key', 'r/x', 'ccc'],
  ['by the number of the sibling', '1', 'a'],
  ['by id', `${'1'.repeat(16)}-1`, 'bb'],
  ['by host', 'host-0', 'a'],
  ['by the beginning of a replica or node', '2222', 'ccc'],
])('one stays, named %s', async (_how, keep, kept) => {
  const replica = await makeReplica();
  const key = utf8('r/x');
  await replica.commit([put(key, entryOf(record('a'), record('bb'), record('ccc')))]);
  const projected: Uint8Array[] = [];
  const result = await resolveConflict(resolveParts(replica, projected), key, keep, undefined);
  expect(result).toMatchObject({ key: 'r/x', dropped: 2, kept: { bytes: kept.length, author: { replicaId: replica.id } } });
  expect(textsAt(replica.entry(key))).toEqual([kept]);
  expect(projected).toEqual([key]);
});

it('a name that fits none or several versions changes nothing, and says which there are', async () => {
  const replica = await makeReplica();
  const key = utf8('f/a.txt');
  await replica.commit([put(key, entryOf(FILE, { ...FILE, mode: 0o600 })), put(utf8('f/peace'), entryOf(FILE))]);
  const { root } = replica.head;
  const parts = resolveParts(replica);
  for (const keep of ['a', 'b.txt', '000', '']) {
    await expect(resolveConflict(parts, key, keep, undefined)).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringMatching(/no version called .*"a\.txt", "a\.conflict-19700101T000000Z-00000000-1\.txt"/),
    });
  }
  const same: Telling = { ...telling(replica), author: (replicaId) => ({ replicaId, nodeId: undefined, name: 'host', here: false }) };
  await expect(resolveConflict({ ...parts, telling: same }, key, 'host', undefined)).rejects.toMatchObject({
    code: 'NOT_FOUND',
    message: expect.stringContaining('2 versions called "host"'),
  });
  await expect(resolveConflict(parts, utf8('f/peace'), 'peace', undefined)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  await expect(resolveConflict(parts, utf8('f/none'), 'none', undefined)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  expect([replica.head.root, replica.failure]).toEqual([root, undefined]);
});

it('with an ETag it replaces what was listed and nothing newer; what is written at the same time stays beside it', async () => {
  const replica = await makeReplica();
  const key = utf8('r/x');
  await replica.commit([put(key, CONFLICT)]);
  const { etag } = new Conflicts(replica, realTimers).list({ after: undefined, limit: 1 }, telling(replica)).items[0]!;
  const elsewhere = write(replica.entry(key), [], { replica: '7'.repeat(16), sequence: 1 }, { wallMs: 9, counter: 0 }, record('elsewhere'));
  await replica.commit([put(key, elsewhere)]);
  await expect(resolveConflict(resolveParts(replica), key, '0', etag)).rejects.toMatchObject({ code: 'STALE_WRITE' });
  // Two hosts resolve at once: neither has seen the other's answer, so both stay.
  const other = await Replica.create(new MemoryStore(), smallShare(), new TestClock(), seededRandom(3));
  await other.commit([put(key, CONFLICT)]);
  const here = await Replica.create(new MemoryStore(), smallShare(), new TestClock(), seededRandom(4));
  await here.commit([put(key, CONFLICT)]);
  await resolveConflict(resolveParts(here), key, 'r/x', etag);
  await resolveConflict(resolveParts(other), key, '0', etag);
  expect(textsAt(merge(here.entry(key), other.entry(key)!))).toEqual(['a', 'b']);
});
