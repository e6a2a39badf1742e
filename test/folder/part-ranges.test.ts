import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PartRanges } from '../../src/folder/part-ranges.ts';

interface Chunk {
  readonly fileOffset: number;
  readonly bytes: number;
}

/** A content, cut into chunks. */
const content = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 8 }).map((sizes) => {
  let end = 0;
  return sizes.map((bytes): Chunk => ({ fileOffset: (end += bytes) - bytes, bytes }));
});
const bytesOf = (chunks: readonly Chunk[]): number => chunks.reduce((sum, { bytes }) => sum + bytes, 0);

/** Calls as orders make them: chunks in any order and more than once, of which some are bad. */
const noted = content.chain((chunks) =>
  fc.record({
    chunks: fc.constant(chunks),
    calls: fc.array(fc.array(fc.tuple(fc.constantFrom(...chunks), fc.boolean()), { maxLength: 8 }), { maxLength: 8 }),
  }),
);

describe('what was verified of a part', () => {
  test('is whole exactly if each of its bytes is, after every call', () => {
    let whole = 0;
    fc.assert(
      fc.property(noted, ({ chunks, calls }) => {
        const bitmap = new Uint8Array(bytesOf(chunks));
        const ranges = new PartRanges(bitmap.length);
        for (const call of calls) {
          ranges.note(
            call.map(([chunk]) => chunk),
            call.map(([, good]) => good),
          );
          for (const [{ fileOffset, bytes }, good] of call) if (good) bitmap.fill(1, fileOffset, fileOffset + bytes);
          expect(ranges.isWhole).toBe(!bitmap.includes(0));
        }
        if (ranges.isWhole) whole++;
      }),
      { numRuns: 300, seed: 1 },
    );
    // Else it would have been a law about holes alone.
    expect(whole).toBeGreaterThan(30);
  });

  test('is not whole as long as one chunk is missing, whichever it is', () => {
    fc.assert(
      fc.property(content, fc.nat(), (chunks, at) => {
        const missing = at % chunks.length;
        const ranges = new PartRanges(bytesOf(chunks));
        ranges.note(
          chunks,
          chunks.map((_, index) => index !== missing),
        );
        expect(ranges.isWhole).toBe(false);
        ranges.note([chunks[missing]!], [true]);
        expect(ranges.isWhole).toBe(true);
      }),
    );
  });

  test('can not be nothing', () => {
    expect(() => new PartRanges(0)).toThrow('trusted unseen');
  });
});
