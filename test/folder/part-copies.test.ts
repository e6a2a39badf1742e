import { expect, test } from 'vitest';
import { MIB } from '../../src/base/limits.ts';
import { countOf, type ChunkItems } from '../../src/folder/chunk-items.ts';
import type { JobName } from '../../src/folder/disk-jobs.ts';
import { PartCopies, type CopyItem } from '../../src/folder/part-copies.ts';
import type { WorkCaller } from '../../src/folder/work-threads.ts';

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

interface Job {
  readonly name: JobName;
  readonly input: ChunkItems & { readonly sources: readonly string[]; readonly bytes: number };
  answer(output: unknown): void;
  fail(error: Error): void;
}

/** Answers each job when the test says so. */
function fakeThread(width: number): WorkCaller & { readonly jobs: Job[] } {
  const jobs: Job[] = [];
  return {
    jobs,
    width,
    busy: 0,
    call: (name, input) =>
      new Promise((resolve, reject) => jobs.push({ name, input: input as never, answer: resolve as never, fail: reject })),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

function copies(width: number) {
  const [work, writeThread] = [fakeThread(width), fakeThread(1)];
  return { work, writeThread, copies: new PartCopies({ root: '/root', tmp: '/tmp', work, writeThread, minFreeBytes: 0 }) };
}

const itemsOf = (count: number, bytes: number, path = 'file'): CopyItem[] =>
  Array.from({ length: count }, (_, index) => ({ path, sourceOffset: index, hash: new Uint8Array(32), bytes, fileOffset: index }));
const trues = ({ input }: Job) => Array.from({ length: countOf(input) }, () => true);

test('what is wanted is cut into jobs of some megabytes, and the results are put together again', async () => {
  const { work, writeThread, copies: parts } = copies(9);
  const items = [...itemsOf(3, 4 * MIB, 'a'), ...itemsOf(2, 4 * MIB, 'b'), ...itemsOf(1, 9 * MIB, 'c')];
  const copied = parts.copy('name', items);
  expect(work.jobs.map(({ input }) => [countOf(input), input.sources])).toEqual([
    [2, ['/root/a']],
    [2, ['/root/a', '/root/b']],
    [1, ['/root/b']],
    [1, ['/root/c']],
  ]);
  for (const [index, job] of work.jobs.entries()) job.answer(trues(job).map((good, at) => good && (index !== 1 || at === 0)));
  await turn();
  // What was not copied is nothing to flush.
  expect(writeThread.jobs.map(({ name, input }) => [name, input.bytes])).toEqual([8, 4, 4, 9].map((mib) => ['stageWritten', mib * MIB]));
  for (const job of writeThread.jobs) job.answer(undefined);
  expect(await copied).toEqual([true, true, true, false, true, true]);
});

test('no more jobs are under way than keep the threads busy, whoever wants them', async () => {
  const { work, copies: parts } = copies(2);
  const checks = [parts.check('a', itemsOf(4, 8 * MIB)), parts.check('b', itemsOf(2, 8 * MIB))];
  for (let done = 0; done < 6; done++) {
    expect(work.jobs.length).toBe(Math.min(3, 6 - done));
    const job = work.jobs.shift()!;
    job.answer(trues(job));
    await turn();
  }
  expect((await Promise.all(checks)).map(({ length }) => length)).toEqual([4, 2]);
});

test('a job that fails fails all, when the others have ended, and its turn is passed on', async () => {
  const { work, copies: parts } = copies(1);
  let told = false;
  const failed = parts.check('a', itemsOf(3, 8 * MIB)).catch((error: Error) => {
    told = true;
    return error.message;
  });
  work.jobs.shift()!.fail(new Error('no disk'));
  await turn();
  expect([work.jobs.length, told]).toEqual([2, false]);
  for (const job of work.jobs) job.answer(trues(job));
  expect(await failed).toBe('no disk');
});
