import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { utf8 } from '../../src/base/bytes.ts';
import { CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, CHUNK_MASK_BITS } from '../../src/base/limits.ts';
import { makeChunkMemory, PlainChunkMemory, WasmChunkMemory, type ChunkMemory } from '../../src/content/chunk-memory.ts';
import { makeGear, nextCut, type ChunkerParameters, type Gear } from '../../src/content/chunker.ts';
import { seededBytes } from './seeded-bytes.ts';

const MEMORY_BYTES = 40_000;
/** The block of the scan is 1 KiB in two halves: so much has whole blocks, their borders and a rest. */
const BLOCKS_BYTES = 2_500;
const code = readFileSync(new URL('../../dist/content/chunk-scan.wasm', import.meta.url));
const memory = new WasmChunkMemory(code, MEMORY_BYTES);
const gear = makeGear(utf8('a share'));
const DEFAULTS: ChunkerParameters = { minBytes: CHUNK_BYTES_MIN, maskBits: CHUNK_MASK_BITS, maxBytes: CHUNK_BYTES_MAX };

/** Ends of all chunks of a stream that is read into `target` in pieces; what is not cut yet moves to the front. */
function streamCuts(target: ChunkMemory, table: Gear, parameters: ChunkerParameters, pieces: readonly Uint8Array[]): number[] {
  const ends: number[] = [];
  let [offset, length] = [0, 0];
  for (const [index, piece] of pieces.entries()) {
    target.bytes.set(piece, length);
    length += piece.length;
    let start = 0;
    for (;;) {
      const end = target.nextCut(table, parameters, start, length, index === pieces.length - 1);
      if (end === undefined) break;
      ends.push(offset + end);
      start = end;
    }
    target.bytes.copyWithin(0, start, length);
    offset += start;
    length -= start;
  }
  return ends;
}

function plainCuts(table: Gear, parameters: ChunkerParameters, bytes: Uint8Array): number[] {
  const ends: number[] = [];
  for (let at = 0; at < bytes.length;) {
    at = nextCut(table, parameters, bytes, at, bytes.length, true)!;
    ends.push(at);
  }
  return ends;
}

/** With zeros in it, which are one value again and again, and values in runs, as text has them. */
const anyBytes = fc
  .record({
    seed: fc.integer({ min: 1 }),
    length: fc.nat(20_000),
    zerosAt: fc.nat(20_000),
    zeros: fc.nat(9_000),
    values: fc.constantFrom(2, 16, 256),
  })
  .map(({ seed, length, zerosAt, zeros, values }) =>
    seededBytes(seed, length)
      .map((value) => value % values)
      .fill(0, zerosAt, zerosAt + zeros),
  );
const anyParameters = fc
  .record({ minBytes: fc.integer({ min: 32, max: 300 }), maskBits: fc.integer({ min: 1, max: 14 }), more: fc.nat(9_000) })
  .map(({ minBytes, maskBits, more }) => ({ minBytes, maskBits, maxBytes: minBytes + more }));
const anyGear = fc.string().map((shareId) => makeGear(utf8(shareId)));

afterEach(() => {
  vi.doUnmock('node:fs');
  vi.unstubAllGlobals();
});

describe('the WebAssembly scan', () => {
  test('cuts any bytes in any split where JavaScript cuts them whole', () => {
    fc.assert(
      fc.property(anyBytes, anyParameters, anyGear, fc.array(fc.nat(20_000), { maxLength: 8 }), (bytes, parameters, table, splits) => {
        const borders = [0, ...splits.map((split) => Math.min(split, bytes.length)), bytes.length].sort((a, b) => a - b);
        const pieces = borders.slice(1).map((border, at) => bytes.subarray(borders[at], border));
        expect(streamCuts(memory, table, parameters, pieces)).toEqual(plainCuts(table, parameters, bytes));
      }),
      { numRuns: 300 },
    );
  });

  test('agrees with the default parameters', () => {
    const bytes = seededBytes(78, 3_000_000);
    const large = new WasmChunkMemory(code, bytes.length);
    expect(streamCuts(large, gear, DEFAULTS, [bytes])).toEqual(plainCuts(gear, DEFAULTS, bytes));
  });

  /** A table with which a byte of 1 makes a cut wherever 32 zeros go before it, and zeros make none. */
  const marked = Int32Array.from({ length: 256 }, (_, value) => (value === 1 ? 2 : 1));
  const parameters: ChunkerParameters = { minBytes: 64, maskBits: 24, maxBytes: BLOCKS_BYTES };
  const cutOf = (...marks: readonly number[]): number => {
    memory.bytes.fill(0, 0, BLOCKS_BYTES);
    for (const mark of marks) memory.bytes[mark] = 1;
    return memory.nextCut(marked, parameters, 0, BLOCKS_BYTES, true)!;
  };

  test('finds a cut at any place of a block, its borders and the rest behind it', () => {
    expect(cutOf()).toBe(BLOCKS_BYTES);
    for (let mark = parameters.minBytes - 1; mark < BLOCKS_BYTES; mark++) expect(cutOf(mark)).toBe(mark + 1);
  });

  test('finds the first of several, in whichever half they are', () => {
    const anyMark = fc.integer({ min: parameters.minBytes - 1, max: BLOCKS_BYTES - 1 });
    fc.assert(
      fc.property(fc.array(anyMark, { minLength: 2, maxLength: 5 }), (marks) => {
        expect(cutOf(...marks)).toBe(Math.min(...marks) + 1);
      }),
      { numRuns: 1000 },
    );
  });

  test('does not take the byte behind the end for one of its own', () => {
    for (let end = parameters.minBytes; end < BLOCKS_BYTES; end++) {
      memory.bytes.fill(0, 0, BLOCKS_BYTES);
      memory.bytes[end] = 1;
      expect(memory.nextCut(marked, parameters, 0, end, true)).toBe(end);
    }
  });

  test('looks at no byte outside of what it was given', () => {
    fc.assert(
      fc.property(anyParameters, fc.nat(3_000), fc.nat(12_000), fc.integer({ min: 1 }), (some, start, length, seed) => {
        const cut = (around: number): number | undefined => {
          memory.bytes.set(seededBytes(around, MEMORY_BYTES));
          memory.bytes.set(seededBytes(seed, length), start);
          return memory.nextCut(gear, some, start, start + length, false);
        };
        expect(cut(1)).toBe(cut(2));
      }),
    );
    expect(() => memory.nextCut(gear, DEFAULTS, 0, MEMORY_BYTES + 1, true)).toThrow(RangeError);
  });
});

describe('a chunk memory', () => {
  test('is scanned by WebAssembly once that is built', () => {
    expect(makeChunkMemory(100)).toBeInstanceOf(WasmChunkMemory);
    expect(makeChunkMemory(100).bytes.length).toBe(100);
  });

  test('is scanned by JavaScript where it is not built or cannot run, and cut the same', async () => {
    const bytes = seededBytes(12, MEMORY_BYTES);
    const parameters = { minBytes: 64, maskBits: 8, maxBytes: 2_000 };
    const expectPlain = (made: ChunkMemory, plain: typeof PlainChunkMemory): void => {
      expect(made).toBeInstanceOf(plain);
      expect(streamCuts(made, gear, parameters, [bytes])).toEqual(streamCuts(memory, gear, parameters, [bytes]));
    };
    vi.stubGlobal('WebAssembly', undefined);
    expectPlain(makeChunkMemory(bytes.length), PlainChunkMemory);
    vi.unstubAllGlobals();
    vi.resetModules();
    vi.doMock('node:fs', () => ({
      readFileSync: () => {
        throw new Error('ENOENT');
      },
    }));
    const unbuilt = await import('../../src/content/chunk-memory.ts');
    expectPlain(unbuilt.makeChunkMemory(bytes.length), unbuilt.PlainChunkMemory);
  });
});
