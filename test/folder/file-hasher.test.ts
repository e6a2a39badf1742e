import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { realClock } from '../../src/app/real-world.ts';
import { MIB } from '../../src/base/limits.ts';
import { makeGear, nextCut, type ChunkerParameters } from '../../src/content/chunker.ts';
import { ContentListBuilder, listLeaves } from '../../src/content/content-list.ts';
import { hash } from '../../src/content/hash.ts';
import { makeJobs, runJob, type HashThreads, type JobName } from '../../src/folder/disk-jobs.ts';
import { diskStat } from '../../src/folder/disk-stat.ts';
import { FileHasher, type Outcome } from '../../src/folder/file-hasher.ts';
import { realDisk } from '../../src/folder/real-disk.ts';
import type { Finding } from '../../src/folder/scan.ts';
import * as keyspace from '../../src/store/keyspace.ts';
import { MemoryStore } from '../../src/store/memory-store.ts';
import { bytesOf } from './ingest-world.ts';

const WIDTH = 3;
const parameters: ChunkerParameters = { minBytes: 32_768, maskBits: 15, maxBytes: 262_144 };
const chunking = { gear: makeGear(Uint8Array.of(1)), parameters };

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'sameroot-hasher-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

interface Job {
  readonly name: JobName;
  answer(): void;
  fail(error: Error): void;
}

/** Jobs are done when the test says so. */
function manualThreads(): HashThreads & { readonly jobs: Job[] } {
  const table = makeJobs(realDisk, realClock);
  const jobs: Job[] = [];
  const call: HashThreads['call'] = (name, input) =>
    new Promise((resolve, reject) => {
      const end = (settle: () => void): void => {
        jobs.splice(jobs.indexOf(job), 1);
        settle();
      };
      const job: Job = {
        name,
        answer: () => end(() => resolve(runJob(table, name, input))),
        fail: (error) => end(() => reject(error)),
      };
      jobs.push(job);
    });
  return { width: WIDTH, jobs, call };
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function write(path: string, bytes: Uint8Array): Finding {
  writeFileSync(join(root, path), bytes);
  const found = { kind: 'file', stat: diskStat(realDisk.lstat(join(root, path))!), birthMs: 0 } as const;
  return { path, found, row: undefined, placed: undefined };
}

function small(count: number): Finding[] {
  return Array.from({ length: count }, (_, index) => write(`small ${index}`, bytesOf(10, index + 1)));
}

function contentOf(bytes: Uint8Array): Uint8Array {
  const builder = new ContentListBuilder(() => undefined);
  for (let start = 0; start < bytes.length;) {
    const cut = nextCut(chunking.gear, parameters, bytes, start, bytes.length, true)!;
    builder.add({ hash: hash('chunk', bytes.subarray(start, cut)), bytes: cut - start });
    start = cut;
  }
  return builder.finish().id;
}

class Examination {
  readonly threads = manualThreads();
  readonly store = new MemoryStore();
  readonly outcomes: Outcome[] = [];
  hashedFiles = 0;
  hashedBytes = 0;
  readonly #generator;
  ended = false;

  constructor(findings: readonly Finding[]) {
    const onHashed = (files: number, bytes: number): void => {
      this.hashedFiles += files;
      this.hashedBytes += bytes;
    };
    this.#generator = new FileHasher({ root, store: this.store, threads: this.threads, chunking, onHashed }).examine(findings);
  }

  async run(): Promise<void> {
    try {
      for await (const outcomes of this.#generator) this.outcomes.push(...outcomes);
    } finally {
      this.ended = true;
    }
  }

  /** The last of the jobs first, until it has ended. */
  async answerBackwards(): Promise<number> {
    let most = 0;
    while (!this.ended) {
      most = Math.max(most, this.threads.jobs.length);
      this.threads.jobs.at(-1)?.answer();
      await settled();
    }
    return most;
  }

  get paths(): string[] {
    return this.outcomes.map(({ finding }) => finding.path);
  }
}

test('keeps one job more under way than there are threads, and outcomes come in the order of the findings', async () => {
  const findings = small(1_000);
  const examination = new Examination(findings);
  const done = examination.run();
  await settled();
  expect(examination.threads.jobs.length).toBe(WIDTH + 1);
  expect(await examination.answerBackwards()).toBe(WIDTH + 1);
  await done;
  expect(examination.paths).toEqual(findings.map(({ path }) => path));
  expect(examination.outcomes.every(({ state }) => state === 'found')).toBe(true);
  expect(examination.hashedFiles).toBe(1_000);
});

test('large files come last, several are read at once, and with what is small', async () => {
  const bytes = [1, 2, 3, 4, 5, 6].map((seed) => bytesOf(5 * MIB, seed));
  const large = bytes.map((content, index) => write(`large ${index}`, content));
  const tiny = small(2);
  const examination = new Examination([...large, ...tiny]);
  const done = examination.run();
  await settled();
  expect(examination.threads.jobs.map(({ name }) => name)).toEqual(['examineAll', 'largeStat', 'largeStat', 'largeStat']);
  for (const job of examination.threads.jobs.slice(1)) job.answer();
  await settled();
  expect(examination.threads.jobs.map(({ name }) => name)).toEqual(['examineAll', 'largeRun', 'largeRun', 'largeRun']);
  await examination.answerBackwards();
  await done;
  expect(examination.paths).toEqual([...tiny, ...large].map(({ path }) => path));
  for (const [index, content] of bytes.entries()) {
    expect(examination.outcomes[tiny.length + index]).toMatchObject({ state: 'found', value: { content: contentOf(content) } });
  }
  expect(examination.hashedBytes).toBe(2 * 10 + 6 * 5 * MIB);
});

test('one large file is read in several runs at once, and its rows tell all its chunks', async () => {
  const bytes = Buffer.alloc(70 * MIB, bytesOf(2_000_000));
  const examination = new Examination([write('large', bytes)]);
  const done = examination.run();
  await settled();
  examination.threads.jobs[0]!.answer();
  await settled();
  expect(examination.threads.jobs.map(({ name }) => name)).toEqual(['largeRun', 'largeRun']);
  await examination.answerBackwards();
  await done;
  const [outcome] = examination.outcomes;
  if (outcome?.state !== 'found' || outcome.value.kind !== 'file') throw new Error('a file');
  await examination.store.write(outcome.rows, { durable: false });
  let offset = 0;
  for (const { refs } of listLeaves((page) => examination.store.get(keyspace.listPageKey(page)), contentOf(bytes))) {
    for (const ref of refs) {
      expect(examination.store.get(keyspace.chunkPlaceKey(ref.hash))).toBeDefined();
      offset += ref.bytes;
    }
  }
  expect(offset).toBe(bytes.length);
  expect(outcome.value.content).toEqual(contentOf(bytes));
});

test('a file that has grown large since it was found is read as one, in its place', async () => {
  const findings = small(3);
  const bytes = bytesOf(5 * MIB);
  appendFileSync(join(root, 'small 1'), bytes);
  const examination = new Examination(findings);
  const done = examination.run();
  await settled();
  await examination.answerBackwards();
  await done;
  expect(examination.paths).toEqual(findings.map(({ path }) => path));
  const grown = Buffer.concat([bytesOf(10, 2), bytes]);
  expect(examination.outcomes[1]).toMatchObject({ state: 'found', value: { bytes: grown.length, content: contentOf(grown) } });
});

test('a job that fails ends it, and nothing goes on behind it', async () => {
  const examination = new Examination([...small(300), write('large', Buffer.alloc(70 * MIB))]);
  const done = examination.run();
  const failed = expect(done).rejects.toThrow('the thread');
  await settled();
  const { jobs } = examination.threads;
  expect(jobs.map(({ name }) => name)).toEqual(['examineAll', 'examineAll', 'examineAll', 'largeStat']);
  jobs[0]!.fail(new Error('the thread'));
  await settled();
  // Those that run are waited for.
  expect(examination.ended).toBe(false);
  while (jobs.length > 0) {
    expect(jobs.some(({ name }) => name === 'largeRun')).toBe(false);
    jobs[0]!.answer();
    await settled();
  }
  await failed;
  await settled();
  expect(examination.ended).toBe(true);
  expect(jobs).toEqual([]);
});
