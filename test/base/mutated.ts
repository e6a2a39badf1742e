/** Byte strings that were damaged: what the tests of codecs hand to their decoders. */
import * as fc from 'fast-check';
import { concatBytes } from '../../src/base/bytes.ts';

export type Mutation =
  | { readonly type: 'change'; readonly at: number; readonly flip: number }
  | { readonly type: 'insert'; readonly at: number; readonly bytes: Uint8Array }
  | { readonly type: 'remove'; readonly at: number; readonly count: number }
  | { readonly type: 'repeat'; readonly at: number; readonly count: number };

const at = fc.nat();

/** One to three: more are refused at the first, and test nothing else. */
export const mutations: fc.Arbitrary<Mutation[]> = fc.array(
  fc.oneof(
    // Flags, kinds and counts differ in low bits, varints in the highest.
    { weight: 4, arbitrary: fc.record({ type: fc.constant('change' as const), at, flip: fc.constantFrom(1, 2, 3, 4, 8, 16, 0x80, 0xff) }) },
    { weight: 2, arbitrary: fc.record({ type: fc.constant('change' as const), at, flip: fc.integer({ min: 1, max: 255 }) }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('insert' as const), at, bytes: fc.uint8Array({ minLength: 1, maxLength: 3 }) }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('remove' as const), at, count: fc.integer({ min: 1, max: 3 }) }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('repeat' as const), at, count: fc.integer({ min: 1, max: 40 }) }) },
  ),
  { minLength: 1, maxLength: 3 },
);

/** A copy of `bytes` with `changes` made, one after the other. */
export function mutated(bytes: Uint8Array, changes: readonly Mutation[]): Uint8Array {
  let result: Uint8Array = Uint8Array.from(bytes);
  for (const change of changes) {
    const place = result.length === 0 ? 0 : change.at % result.length;
    const [head, tail] = [result.subarray(0, place), result.subarray(place)];
    if (change.type === 'insert') result = concatBytes(head, change.bytes, tail);
    else if (change.type === 'remove') result = concatBytes(head, tail.subarray(change.count));
    else if (change.type === 'repeat') result = concatBytes(head, tail.subarray(0, change.count), tail);
    else
      result = concatBytes(
        head,
        tail.subarray(0, 1).map((byte) => byte ^ change.flip),
        tail.subarray(1),
      );
  }
  return result;
}
