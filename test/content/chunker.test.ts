import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { concatBytes, toHex, utf8 } from '../../src/base/bytes.ts';
import { CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, CHUNK_MASK_BITS } from '../../src/base/limits.ts';
import { makeGear, nextCut, type ChunkerParameters } from '../../src/content/chunker.ts';
import { hash } from '../../src/content/hash.ts';
import { seededBytes } from './seeded-bytes.ts';

const gear = makeGear(utf8('a share'));
const SMALL: ChunkerParameters = { minBytes: 64, maskBits: 6, maxBytes: 512 };
const DEFAULTS: ChunkerParameters = { minBytes: CHUNK_BYTES_MIN, maskBits: CHUNK_MASK_BITS, maxBytes: CHUNK_BYTES_MAX };

/** Ends of all chunks. */
function cuts(parameters: ChunkerParameters, bytes: Uint8Array): number[] {
  const ends: number[] = [];
  for (let at = 0; at < bytes.length;) {
    at = nextCut(gear, parameters, bytes, at, bytes.length, true)!;
    ends.push(at);
  }
  return ends;
}

/** The definition, as plainly as it can be written: every byte rolled, exact numbers, no skipping. */
function plainCuts({ minBytes, maskBits, maxBytes }: ChunkerParameters, bytes: Uint8Array): number[] {
  const ends: number[] = [];
  let start = 0;
  let rolling = 0n;
  for (let at = 0; at < bytes.length; at++) {
    rolling = BigInt.asUintN(32, (rolling << 1n) + BigInt(gear[bytes[at]!]!));
    const size = at + 1 - start;
    const cut = size >= minBytes && rolling >> BigInt(32 - maskBits) === 0n;
    if (cut || size === maxBytes || at + 1 === bytes.length) {
      ends.push(at + 1);
      start = at + 1;
      rolling = 0n;
    }
  }
  return ends;
}

/** The same from a stream: pieces arrive one after the other, and the consumer keeps what is not cut yet. */
function streamCuts(parameters: ChunkerParameters, pieces: readonly Uint8Array[]): number[] {
  const ends: number[] = [];
  let held: Uint8Array = new Uint8Array(0);
  let offset = 0;
  const drain = (last: boolean): void => {
    let start = 0;
    for (;;) {
      const end = nextCut(gear, parameters, held, start, held.length, last);
      if (end === undefined) break;
      ends.push(offset + end);
      start = end;
    }
    held = held.subarray(start);
    offset += start;
  };
  for (const piece of pieces) {
    held = concatBytes(held, piece);
    drain(false);
  }
  drain(true);
  return ends;
}

const anyBytes = fc
  .record({ seed: fc.integer({ min: 1 }), length: fc.nat(6000), zerosAt: fc.nat(6000), zeros: fc.nat(3000) })
  .map(({ seed, length, zerosAt, zeros }) => seededBytes(seed, length).fill(0, zerosAt, zerosAt + zeros));
const anyParameters = fc
  .record({ minBytes: fc.integer({ min: 32, max: 200 }), maskBits: fc.integer({ min: 1, max: 10 }), more: fc.nat(600) })
  .map(({ minBytes, maskBits, more }) => ({ minBytes, maskBits, maxBytes: minBytes + more }));

describe('chunker', () => {
  test('cuts where the definition cuts', () => {
    fc.assert(
      fc.property(anyBytes, anyParameters, (bytes, parameters) => {
        expect(cuts(parameters, bytes)).toEqual(plainCuts(parameters, bytes));
      }),
    );
  });

  test('cuts large chunks where the definition cuts', () => {
    const bytes = seededBytes(77, 1_000_000);
    expect(cuts(DEFAULTS, bytes)).toEqual(plainCuts(DEFAULTS, bytes));
  });

  test('any split of a stream gives the same cuts', () => {
    fc.assert(
      fc.property(anyBytes, anyParameters, fc.array(fc.nat(6000), { maxLength: 12 }), (bytes, parameters, splits) => {
        const borders = [0, ...splits.map((split) => Math.min(split, bytes.length)), bytes.length].sort((a, b) => a - b);
        const pieces = borders.slice(1).map((border, at) => bytes.subarray(borders[at], border));
        expect(streamCuts(parameters, pieces)).toEqual(cuts(parameters, bytes));
      }),
    );
  });

  test('chunks keep their bounds, except the last', () => {
    fc.assert(
      fc.property(anyBytes, anyParameters, (bytes, parameters) => {
        const ends = cuts(parameters, bytes);
        const sizes = ends.map((end, at) => end - (ends[at - 1] ?? 0));
        expect(sizes.every((size) => size >= 1 && size <= parameters.maxBytes)).toBe(true);
        expect(sizes.slice(0, -1).every((size) => size >= parameters.minBytes)).toBe(true);
        expect(ends.at(-1) ?? 0).toBe(bytes.length);
      }),
    );
  });

  test('the mean is the least size and the mean distance of cuts', () => {
    const bytes = seededBytes(4, 1 << 20);
    const mean = bytes.length / cuts({ minBytes: 256, maskBits: 8, maxBytes: 65_536 }, bytes).length;
    expect(mean).toBeGreaterThan(480);
    expect(mean).toBeLessThan(544);
  });

  test('inserting, removing or changing a byte changes few chunks', () => {
    const bytes = seededBytes(5, 200_000);
    const names = (content: Uint8Array): Set<string> => {
      const ends = cuts(SMALL, content);
      return new Set(ends.map((end, at) => toHex(hash('chunk', content.subarray(ends[at - 1] ?? 0, end)))));
    };
    const before = names(bytes);
    let changed = 0;
    let edits = 0;
    for (let at = 0; at < bytes.length; at += 9_973) {
      const [head, tail] = [bytes.subarray(0, at), bytes.subarray(at)];
      for (const edited of [
        concatBytes(head, utf8('x'), tail),
        concatBytes(head, tail.subarray(1)),
        concatBytes(head, utf8('x'), tail.subarray(1)),
      ]) {
        const novel = [...names(edited)].filter((name) => !before.has(name)).length;
        expect(novel).toBeLessThanOrEqual(10);
        changed += novel;
        edits++;
      }
    }
    expect(before.size).toBeGreaterThan(1500);
    expect(changed / edits).toBeLessThan(2.5);
  });

  test('asks for more bytes only while they can matter', () => {
    const zeros = new Uint8Array(1000);
    const quiet = makeGear(utf8('a share')).fill(1); // 32 equal bytes sum up to 2^32 - 1: never a cut
    expect(nextCut(quiet, SMALL, zeros, 0, 511, false)).toBeUndefined();
    expect(nextCut(quiet, SMALL, zeros, 0, 511, true)).toBe(511);
    expect(nextCut(quiet, SMALL, zeros, 0, 512, false)).toBe(512);
    expect(nextCut(quiet, SMALL, zeros, 0, 1000, false)).toBe(512);
    expect(nextCut(quiet, SMALL, zeros, 600, 1000, false)).toBeUndefined();
    expect(nextCut(quiet, SMALL, zeros, 7, 7, true)).toBeUndefined();
    expect(
      nextCut(
        gear.map(() => 0),
        SMALL,
        zeros,
        0,
        63,
        false,
      ),
    ).toBeUndefined();
    expect(
      nextCut(
        gear.map(() => 0),
        SMALL,
        zeros,
        0,
        64,
        false,
      ),
    ).toBe(64);
  });

  test('does not read past the end it was given', () => {
    const bytes = seededBytes(9, 3000);
    const end = cuts(SMALL, bytes)[0]!;
    const other = Uint8Array.from(bytes).fill(1, end - 1);
    expect(nextCut(gear, SMALL, other, 0, end - 1, false)).toBe(nextCut(gear, SMALL, bytes, 0, end - 1, false));
    expect(() => nextCut(gear, SMALL, bytes, 0, 3001, true)).toThrow(RangeError);
  });

  test('another share cuts elsewhere', () => {
    const bytes = seededBytes(11, 20_000);
    const other = makeGear(utf8('another share'));
    expect(nextCut(other, SMALL, bytes, 0, bytes.length, true)).not.toBe(nextCut(gear, SMALL, bytes, 0, bytes.length, true));
  });

  test('refuses parameters that cannot work', () => {
    const attempt = (parameters: ChunkerParameters) => () => nextCut(gear, parameters, new Uint8Array(100), 0, 100, true);
    expect(attempt({ ...SMALL, minBytes: 31 })).toThrow(/minBytes/);
    expect(attempt({ ...SMALL, maskBits: 0 })).toThrow(/maskBits/);
    expect(attempt({ ...SMALL, maskBits: 33 })).toThrow(/maskBits/);
    expect(attempt({ ...SMALL, maxBytes: 63 })).toThrow(/maxBytes/);
    expect(attempt({ ...SMALL, maxBytes: CHUNK_BYTES_MAX + 1 })).toThrow(/maxBytes/);
    expect(attempt({ ...SMALL, maskBits: 32 })).not.toThrow();
  });
});
