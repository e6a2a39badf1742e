import fc from 'fast-check';
import { expect, it } from 'vitest';
import { utf8 } from '../../src/base/bytes.ts';
import { write, type Entry, type Value } from '../../src/entry/entry.ts';
import { view } from '../../src/entry/view.ts';
import { Conflicts } from '../../src/node/conflicts.ts';
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
  const conflicts = new Conflicts(replica);
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
        const conflicts = new Conflicts(replica);
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
  const conflicts = new Conflicts(replica);
  conflicts.close();
  const { size } = conflicts;
  expect(size).toBeLessThan(4_500);
  await turns(5);
  await replica.commit([put(recordKey(9_999), CONFLICT)]);
  expect(conflicts.size).toBe(size);
});
