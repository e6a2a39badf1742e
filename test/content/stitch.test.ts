import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { toHex, utf8 } from '../../src/base/bytes.ts';
import { CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, CHUNK_MASK_BITS, HASH_BYTES, MIB } from '../../src/base/limits.ts';
import { makeChunkMemory, type ChunkMemory } from '../../src/content/chunk-memory.ts';
import { cutRun, RUN_MEMORY_BYTES, type Chunking, type ChunkRun, type RunRequest } from '../../src/content/chunk-run.ts';
import { makeGear, nextCut } from '../../src/content/chunker.ts';
import { hash } from '../../src/content/hash.ts';
import { Stitch } from '../../src/content/stitch.ts';
import { seededBytes } from './seeded-bytes.ts';

const memory: ChunkMemory = makeChunkMemory(RUN_MEMORY_BYTES);
const gear = makeGear(utf8('a share'));

interface Reading {
  readonly chunks: string[];
  /** Bytes that were hashed. */
  readonly hashedBytes: number;
  readonly readBytes: number;
  readonly runs: number;
  readonly missing: number;
}

/** As a large file is read, with `ahead` runs planned before the first of them is used. */
function stitched(bytes: Uint8Array, chunking: Chunking, runBytes: number, ahead: number): Reading {
  const stitch = new Stitch({ contentBytes: bytes.length, runBytes, maxBytes: chunking.parameters.maxBytes });
  const reading = { chunks: [] as string[], hashedBytes: 0, readBytes: 0, runs: 0, missing: 0 };
  const run = (request: RunRequest): ChunkRun => {
    const read = readerOf(bytes);
    const counted = (target: Buffer, from: number, to: number, offsetBytes: number): number => {
      reading.readBytes += to - from;
      return read(target, from, to, offsetBytes);
    };
    const found = cutRun(memory, counted, chunking, request)!;
    reading.hashedBytes += found.sizes.reduce((sum, size) => sum + size, 0);
    return found;
  };
  const use = (found: ChunkRun): void => {
    const taken = stitch.take(found);
    if ('chunks' in taken) reading.chunks.push(...chunksOf(taken.chunks));
    else {
      reading.missing++;
      use(run(taken.missing));
      use(found);
    }
  };
  const planned: RunRequest[] = [];
  for (;;) {
    for (let request; planned.length < ahead && (request = stitch.plan()) !== undefined;) planned.push(request);
    const next = planned.shift();
    if (next === undefined) break;
    reading.runs++;
    use(run(next));
  }
  expect(stitch.endBytes).toBe(bytes.length);
  return reading;
}

function readerOf(bytes: Uint8Array) {
  return (target: Buffer, from: number, to: number, offsetBytes: number): number => {
    const part = bytes.subarray(offsetBytes, offsetBytes + to - from);
    target.set(part, from);
    return from + part.length;
  };
}

function chunksOf({ fromBytes, sizes, hashes }: ChunkRun): string[] {
  let offset = fromBytes;
  return [...sizes].map((size, index) => {
    const text = `${offset}+${size} ${toHex(hashes.subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES))}`;
    offset += size;
    return text;
  });
}

function oneByOne(bytes: Uint8Array, { gear: table, parameters }: Chunking): string[] {
  const chunks: string[] = [];
  for (let start = 0; start < bytes.length;) {
    const end = nextCut(table, parameters, bytes, start, bytes.length, true)!;
    chunks.push(`${start}+${end - start} ${toHex(hash('chunk', bytes.subarray(start, end)))}`);
    start = end;
  }
  return chunks;
}

/** Random, few values, one value, a short period, or what repeats after a while. */
const anyPart = fc
  .record({ seed: fc.integer({ min: 1 }), length: fc.nat(9_000), period: fc.constantFrom(1, 2, 3, 7, 40, 250, 900, 9_000) })
  .map(({ seed, length, period }) => {
    const once = seededBytes(seed, period);
    return Uint8Array.from({ length }, (_, at) => once[at % period]!);
  });
const anyBytes = fc.array(anyPart, { maxLength: 6 }).map((parts) => Uint8Array.from(Buffer.concat(parts)));
const anyParameters = fc
  .record({ minBytes: fc.integer({ min: 32, max: 300 }), maskBits: fc.integer({ min: 1, max: 12 }), more: fc.nat(1_500) })
  .map(({ minBytes, maskBits, more }) => ({ minBytes, maskBits, maxBytes: minBytes + more }));

test('runs of any length give the chunks of the content as a whole, whatever the content', () => {
  fc.assert(
    fc.property(
      anyBytes,
      anyParameters,
      fc.integer({ min: 1, max: 9_000 }),
      fc.integer({ min: 1, max: 9 }),
      fc.string(),
      (bytes, parameters, runBytes, ahead, shareId) => {
        const chunking = { gear: makeGear(utf8(shareId)), parameters };
        const { chunks } = stitched(bytes, chunking, runBytes, ahead);
        expect(chunks).toEqual(oneByOne(bytes, chunking));
      },
    ),
    { numRuns: 500 },
  );
});

const SMALL: Chunking = { gear, parameters: { minBytes: 64, maskBits: 7, maxBytes: 512 } };

test('runs of ordinary content fit, and little is hashed twice', () => {
  const bytes = seededBytes(5, 2_000_000);
  const { chunks, runs, missing, hashedBytes } = stitched(bytes, SMALL, 64 * 512, 3);
  expect(chunks).toEqual(oneByOne(bytes, SMALL));
  expect(runs).toBe(61);
  expect(missing).toBe(0);
  expect(hashedBytes / bytes.length).toBeLessThan(1.02);
});

test('one value over and over has runs in phase, and nothing is hashed twice', () => {
  const bytes = new Uint8Array(1_000_000);
  const { runs, missing, hashedBytes } = stitched(bytes, SMALL, 64 * 512, 3);
  expect({ runs, missing, hashedBytes }).toEqual({ runs: 30, missing: 0, hashedBytes: bytes.length });
});

test('the same behind something else comes in phase once a run has met nothing', () => {
  const bytes = Buffer.concat([seededBytes(5, 12_345), new Uint8Array(2_000_000)]);
  const { chunks, missing, hashedBytes } = stitched(bytes, SMALL, 64 * 512, 3);
  expect(chunks).toEqual(oneByOne(bytes, SMALL));
  // The three runs that were planned until then.
  expect(missing).toBeLessThanOrEqual(4);
  expect(hashedBytes - bytes.length).toBeLessThan(4 * 65 * 512);
});

test('content of less than two runs is one run', () => {
  const bytes = seededBytes(9, 2 * 512 * 10 - 1);
  expect(stitched(bytes, SMALL, 512 * 10, 3)).toMatchObject({ runs: 1, missing: 0, hashedBytes: bytes.length });
  expect(stitched(new Uint8Array(0), SMALL, 512, 3)).toMatchObject({ runs: 0, chunks: [] });
});

test('with the parameters of a share', () => {
  const bytes = seededBytes(3, 24 * MIB);
  const chunking = { gear, parameters: { minBytes: CHUNK_BYTES_MIN, maskBits: CHUNK_MASK_BITS, maxBytes: CHUNK_BYTES_MAX } };
  const { chunks, missing, hashedBytes, readBytes } = stitched(bytes, chunking, 4 * MIB, 3);
  expect(chunks).toEqual(oneByOne(bytes, chunking));
  expect(missing).toBe(0);
  // At each of the five places where two runs meet.
  expect((hashedBytes - bytes.length) / 5).toBeLessThan(CHUNK_BYTES_MAX);
  expect((readBytes - bytes.length) / 5).toBeLessThan(2 * CHUNK_BYTES_MAX);
});

test('content that has become shorter gives no run', () => {
  const bytes = seededBytes(4, 10_000);
  const request = { fromBytes: 0, toBytes: 10_001, untilBytes: 10_001, contentBytes: 10_001 };
  expect(cutRun(memory, readerOf(bytes), SMALL, request)).toBeUndefined();
});
