import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { utf8 } from '../../src/base/bytes.ts';
import { EMPTY_CONTEXT, type Entry, type Value } from '../../src/entry/entry.ts';
import { conflictName, conflictNames, view } from '../../src/entry/view.ts';

/** Values that differ, so that none of the versions is one with another. */
function valueOf(number: number): Value {
  return { kind: 'record', data: Uint8Array.of(number) };
}

interface Written {
  readonly replica: string;
  readonly sequence: number;
  readonly wallMs: number;
}

function entryOf(written: readonly Written[]): Entry {
  const versions = written.map(({ replica, sequence, wallMs }, at) => ({
    dot: { replica, sequence },
    stamp: { wallMs, counter: 0 },
    value: valueOf(at),
  }));
  return { versions, context: EMPTY_CONTEXT };
}

/** Few replicas, two of them with one beginning, and few seconds: names meet all the time. */
const written: fc.Arbitrary<Written> = fc.record({
  replica: fc.constantFrom('0123456789abcdef', '01234567ffffffff', 'aaaaaaaaaaaaaaaa'),
  sequence: fc.integer({ min: 1, max: 400 }),
  wallMs: fc.integer({ min: 0, max: 2_500 }),
});
const writes = fc.uniqueArray(written, { minLength: 2, maxLength: 9, selector: ({ replica, sequence }) => `${replica} ${sequence}` });
const paths = fc.constantFrom('n', 'a/n.txt', `a/${'long-'.repeat(60)}.bin`.slice(0, 250), 'a/.hidden');

describe('conflict names', () => {
  test('of one entry differ, fit into a name, and are the same wherever the entry is', () => {
    fc.assert(
      fc.property(writes, paths, (list, path) => {
        const { others } = view(entryOf(list));
        const names = conflictNames(path, others);
        expect(new Set(names).size).toBe(others.length);
        expect(names).not.toContain(path);
        for (const name of names) expect(utf8(name.slice(name.lastIndexOf('/') + 1)).length).toBeLessThanOrEqual(255);
        expect(conflictNames(path, view(entryOf(list.toReversed())).others)).toEqual(names);
      }),
      { numRuns: 2_000 },
    );
  });

  test('stay with their version, whatever becomes of the others', () => {
    fc.assert(
      fc.property(writes, (list) => {
        const { others } = view(entryOf(list));
        for (const [at, name] of conflictNames('a/n.txt', others).entries()) {
          const short = conflictName('a/n.txt', others[at]!.version);
          expect(conflictNames('a/n.txt', [others[at]!])).toEqual([short]);
          const meets = others.some((other, index) => index !== at && conflictName('a/n.txt', other.version) === short);
          expect(name === short).toBe(!meets);
          // Only replicas that begin alike may meet.
          if (meets) expect(name).toContain(others[at]!.version.dot.replica);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  test('two writes of one host within a second; two hosts that begin alike', () => {
    const replica = '0123456789abcdef';
    const { others } = view(
      entryOf([
        { replica, sequence: 3, wallMs: 1_000 },
        { replica, sequence: 0x1f, wallMs: 1_900 },
        { replica: '01234567ffffffff', sequence: 3, wallMs: 1_100 },
        { replica: 'f'.repeat(16), sequence: 1, wallMs: 9_000 },
      ]),
    );
    expect(conflictNames('n.txt', others)).toEqual([
      'n.conflict-19700101T000001Z-01234567-1f.txt',
      'n.conflict-19700101T000001Z-01234567ffffffff-3.txt',
      'n.conflict-19700101T000001Z-0123456789abcdef-3.txt',
    ]);
  });
});
