import fc from 'fast-check';
import { expect, it } from 'vitest';
import { SamerootError } from '../../src/base/errors.ts';
import { decodeHead, decodeTree, encodeHead, encodeTree, type Head } from '../../src/replica/head.ts';
import { EMPTY_TREE, type Tree } from '../../src/tree/page.ts';
import { codeOf } from '../content/code-of.ts';

const hashes = fc.uint8Array({ minLength: 32, maxLength: 32 });
const counts = fc.oneof(fc.nat(300), fc.maxSafeNat());
const trees: fc.Arbitrary<Tree> = fc.oneof(
  { weight: 1, arbitrary: fc.constant(EMPTY_TREE) },
  { weight: 5, arbitrary: fc.record({ level: fc.nat(13), count: counts, live: counts, bytes: counts, page: hashes }) },
);
const heads: fc.Arbitrary<Head> = fc.record({
  tree: trees,
  root: hashes,
  commit: counts,
  sequence: counts,
  stamp: fc.record({ wallMs: fc.nat().map((ms) => ms * 131_071), counter: fc.nat(65_535) }),
});

/** The laws of a canonical codec. */
function holdsFor<T>(values: fc.Arbitrary<T>, encode: (value: T) => Uint8Array, decode: (bytes: Uint8Array) => T): void {
  fc.assert(
    fc.property(values, fc.nat(), fc.integer({ min: 1, max: 255 }), (value, at, change) => {
      const bytes = Uint8Array.from(encode(value));
      expect(decode(bytes)).toEqual(value);
      expect(codeOf(() => decode(bytes.subarray(0, at % bytes.length)))).toBe('BAD_ENCODING');
      expect(codeOf(() => decode(Buffer.concat([bytes, Uint8Array.of(0)])))).toBe('BAD_ENCODING');
      bytes[at % bytes.length]! ^= change;
      try {
        expect(Buffer.from(encode(decode(bytes)))).toEqual(Buffer.from(bytes));
      } catch (error) {
        if (!(error instanceof SamerootError)) throw error;
      }
    }),
    { numRuns: 300 },
  );
}

it('encodes a tree in one way and refuses everything else', () => holdsFor(trees, encodeTree, decodeTree));

it('encodes a head in one way and refuses everything else', () => holdsFor(heads, encodeHead, decodeHead));

it('refuses a level that no tree has', () => {
  const bytes = Uint8Array.from(encodeTree({ level: 13, count: 1, live: 1, bytes: 1, page: new Uint8Array(32) }));
  bytes[0]!++;
  expect(codeOf(() => decodeTree(bytes))).toBe('BAD_ENCODING');
});

it('gives back the one empty tree, which `edit` knows by identity', () => {
  expect(decodeTree(encodeTree(EMPTY_TREE))).toBe(EMPTY_TREE);
});

it('copies: a head does not change with the bytes it was read from', () => {
  const page = new Uint8Array(32).fill(1);
  const bytes = encodeTree({ level: 0, count: 1, live: 1, bytes: 1, page });
  const tree = decodeTree(bytes);
  bytes.fill(0);
  expect(tree.page).toEqual(page);
});
