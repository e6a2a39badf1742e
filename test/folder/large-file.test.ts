import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assert, asyncProperty, integer } from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { realClock } from '../../src/app/real-world.ts';
import { toHex } from '../../src/base/bytes.ts';
import { HASH_BYTES } from '../../src/base/limits.ts';
import type { Chunking } from '../../src/content/chunk-run.ts';
import { makeGear, nextCut } from '../../src/content/chunker.ts';
import { hash } from '../../src/content/hash.ts';
import { makeJobs, runJob, type HashThreads, type JobName } from '../../src/folder/disk-jobs.ts';
import { readLargeFile, type LargeFileRead } from '../../src/folder/large-file.ts';
import { realDisk } from '../../src/folder/real-disk.ts';
import { Slots } from '../../src/folder/slots.ts';
import { bytesOf, seededRandom } from './ingest-world.ts';

const chunking: Chunking = { gear: makeGear(Uint8Array.of(1)), parameters: { minBytes: 64, maskBits: 7, maxBytes: 512 } };
const RUN_BYTES = 4096;

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'sameroot-large-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** Does each job when it is its turn, which is a matter of chance. */
class ShuffledThreads implements HashThreads {
  readonly width = 3;
  readonly jobs: JobName[] = [];
  before: (name: JobName) => void = () => undefined;
  readonly #table = makeJobs(realDisk, realClock);
  readonly #random;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
  }

  readonly call: HashThreads['call'] = async (name, input) => {
    this.jobs.push(name);
    for (let turns = Math.floor(this.#random.fraction() * 6); turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve));
    this.before(name);
    return runJob(this.#table, name, input);
  };
}

function chunksOf(bytes: Uint8Array): string[] {
  const chunks: string[] = [];
  for (let start = 0; start < bytes.length;) {
    const end = nextCut(chunking.gear, chunking.parameters, bytes, start, bytes.length, true)!;
    chunks.push(`${end - start} ${toHex(hash('chunk', bytes.subarray(start, end)))}`);
    start = end;
  }
  return chunks;
}

interface Reading {
  readonly read: LargeFileRead;
  readonly chunks: readonly string[];
}

async function read(threads: ShuffledThreads, slots: Slots, onChunks: () => Promise<void> = async () => undefined): Promise<Reading> {
  const chunks: string[] = [];
  const options = {
    root,
    path: 'f',
    chunking,
    threads,
    slots,
    runBytes: RUN_BYTES,
    onChunks: async ({ sizes, hashes }: { sizes: Uint32Array; hashes: Uint8Array }) => {
      for (const [index, size] of sizes.entries()) {
        chunks.push(`${size} ${toHex(hashes.subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES))}`);
      }
      await onChunks();
    },
  };
  return { read: await readLargeFile(options), chunks };
}

function write(bytes: Uint8Array): void {
  writeFileSync(join(root, 'f'), bytes);
}

test('a file has the chunks of its bytes, in whatever order its runs are read', async () => {
  await assert(
    asyncProperty(
      integer({ min: 0, max: 60_000 }),
      integer({ min: 1, max: 99 }),
      integer({ min: 1, max: 5 }),
      async (length, seed, count) => {
        // A part that is never in phase, so that pieces between runs are missing too.
        const bytes = Buffer.concat([bytesOf(length, seed), Buffer.alloc(20_000)]);
        write(bytes);
        const { read: found, chunks } = await read(new ShuffledThreads(seed), new Slots(count));
        expect(found).toMatchObject({ state: 'read', stat: { bytes: bytes.length } });
        expect(chunks).toEqual(chunksOf(bytes));
      },
    ),
    { numRuns: 25 },
  );
});

test('several files share the slots, and a run has its slot until its chunks are used', async () => {
  const bytes = bytesOf(100_000);
  write(bytes);
  const threads = new ShuffledThreads(1);
  const slots = new Slots(3);
  let used = 0;
  let most = 0;
  threads.before = () => {
    most = Math.max(most, threads.jobs.filter((name) => name === 'largeRun').length - used);
  };
  const onChunks = async (): Promise<void> => {
    await new Promise((resolve) => setTimeout(resolve, 1));
    used++;
  };
  const readings = await Promise.all([1, 2, 3, 4].map(() => read(threads, slots, onChunks)));
  for (const { chunks } of readings) expect(chunks).toEqual(chunksOf(bytes));
  expect(most).toBe(3);
});

test('a file that is written to between runs is changing, and all slots are free again', async () => {
  write(bytesOf(100_000));
  const threads = new ShuffledThreads(2);
  const slots = new Slots(3);
  let runs = 0;
  const file = join(root, 'f');
  threads.before = (name) => {
    if (name === 'largeRun' && ++runs === 7) appendFileSync(file, 'x');
  };
  expect((await read(threads, slots)).read).toEqual({ state: 'changing' });
  // It is given up, not read to its end.
  expect(runs).toBeLessThan(12);
  for (let count = 0; count < slots.count; count++) await slots.take();
});

test('a file that goes away is gone', async () => {
  const slots = new Slots(3);
  expect((await read(new ShuffledThreads(3), slots)).read).toEqual({ state: 'gone' });
  write(bytesOf(100_000));
  const threads = new ShuffledThreads(3);
  const file = join(root, 'f');
  threads.before = (name) => {
    if (name === 'largeRun') rmSync(file, { force: true });
  };
  expect((await read(threads, slots)).read).toEqual({ state: 'gone' });
});

test('what a thread or the user of the chunks throws ends the reading', async () => {
  write(bytesOf(100_000));
  const threads = new ShuffledThreads(4);
  const slots = new Slots(2);
  await expect(read(new ShuffledThreads(4), slots, () => Promise.reject(new Error('the store')))).rejects.toThrow('the store');
  let runs = 0;
  threads.before = (name) => {
    // The second is ready before the first.
    if (name === 'largeRun' && ++runs === 1) throw new Error('the thread');
  };
  await expect(read(threads, slots)).rejects.toThrow('the thread');
  for (let count = 0; count < slots.count; count++) await slots.take();
});

test('a run that fails before its turn has come fails the reading when it has', async () => {
  write(bytesOf(100_000));
  const threads = new ShuffledThreads(5);
  let runs = 0;
  const call: HashThreads['call'] = async (name, input) => {
    if (name === 'largeRun') {
      if (++runs === 2) throw new Error('the second');
      // Long enough that a failure which nobody handles would be told of.
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return threads.call(name, input);
  };
  const options = { root, path: 'f', chunking, threads: { width: 3, call }, slots: new Slots(2), runBytes: RUN_BYTES };
  await expect(readLargeFile({ ...options, onChunks: async () => undefined })).rejects.toThrow('the second');
});
