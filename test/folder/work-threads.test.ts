import { expect, test } from 'vitest';
import type { JobCaller, JobName } from '../../src/folder/disk-jobs.ts';
import { WorkThreads } from '../../src/folder/work-threads.ts';

/** Timers that are due when the test says so. */
function manualTimers() {
  const due = new Set<() => void>();
  const after = (_ms: number, callback: () => void) => {
    due.add(callback);
    return { cancel: () => void due.delete(callback) };
  };
  const fire = () => {
    for (const callback of due) callback();
    due.clear();
  };
  return { due, fire, timers: { after, every: () => ({ cancel() {} }), soon: queueMicrotask } };
}

/** Answers each job when the test says so. */
class FakeThread implements JobCaller {
  readonly jobs: { name: JobName; answer: () => void; fail: (error: Error) => void }[] = [];
  closed = false;
  ended = false;

  get busy() {
    return this.jobs.length;
  }

  call(name: JobName): Promise<never> {
    return new Promise((resolve, reject) => {
      const job = {
        name,
        answer: () => this.#end(job, () => resolve(undefined as never)),
        fail: (error: Error) => this.#end(job, () => reject(error)),
      };
      this.jobs.push(job);
    });
  }

  #end(job: unknown, settle: () => void) {
    this.jobs.splice(this.jobs.indexOf(job as never), 1);
    settle();
  }

  async [Symbol.asyncDispose]() {
    this.closed = true;
  }
}

function threads(width: number) {
  const first = new FakeThread();
  const others: FakeThread[] = [];
  const manual = manualTimers();
  const start = () => {
    const thread = new FakeThread();
    others.push(thread);
    return thread;
  };
  const work = new WorkThreads({ first, width, start, timers: manual.timers });
  return { first, others, manual, work, call: () => work.call('readRules', { root: '/' }) };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

test('one job after the other needs no further thread', async () => {
  const { first, others, call } = threads(4);
  for (let round = 0; round < 3; round++) {
    const done = call();
    first.jobs[0]!.answer();
    await done;
  }
  expect(others).toEqual([]);
});

test('another thread is started when all are busy, up to the width, and gets jobs once it has answered', async () => {
  const { first, others, work, call } = threads(3);
  void call();
  void call();
  expect([first.busy, others.length, work.started]).toEqual([2, 1, 1]);
  others[0]!.jobs[0]!.answer();
  await settled();
  expect(work.started).toBe(2);
  for (let count = 0; count < 2; count++) void call();
  expect([first.busy, others[0]!.busy, others.length]).toEqual([2, 2, 2]);
  others[1]!.jobs[0]!.answer();
  await settled();
  for (let count = 0; count < 5; count++) void call();
  expect(work.started).toBe(3);
  expect(others.length).toBe(2);
});

test('what more is called waits for the thread that is free first, in the order of the calls', async () => {
  const { first, others, work } = threads(2);
  const order: number[] = [];
  const calls = Array.from({ length: 7 }, (_, index) => work.call('readRules', { root: `/${index}` }).then(() => order.push(index)));
  // Whoever else uses the first thread waits for two of these at most.
  expect([first.busy, work.busy]).toEqual([2, 7]);
  others[0]!.jobs[0]!.answer();
  await settled();
  expect([first.busy, others[0]!.busy, work.busy]).toEqual([2, 2, 7]);
  others[0]!.jobs[0]!.answer();
  await settled();
  expect([first.busy, others[0]!.busy, work.busy]).toEqual([2, 2, 6]);
  expect(order).toEqual([2]);
  while (work.busy > 0) {
    (others[0]!.jobs[0] ?? first.jobs[0])!.answer();
    await settled();
  }
  await Promise.all(calls);
  expect(order).toEqual([2, 3, 4, 5, 6, 0, 1]);
});

test('what others have called of the first thread does not keep jobs from it', async () => {
  const { first, call } = threads(1);
  for (let count = 0; count < 5; count++) void first.call('look');
  void call();
  expect(first.jobs.filter(({ name }) => name === 'readRules').length).toBe(1);
});

test('closing fails what still waits', async () => {
  const { first, work, call } = threads(1);
  const calls = [call(), call(), call()];
  const closed = work[Symbol.asyncDispose]();
  await expect(calls[2]).rejects.toMatchObject({ code: 'CLOSED' });
  while (first.jobs.length > 0) first.jobs[0]!.answer();
  await Promise.all([closed, calls[0], calls[1]]);
});

test('threads without work end after a while, and come again', async () => {
  const { first, others, manual, work, call } = threads(2);
  const calls = [call(), call()];
  others[0]!.jobs[0]!.answer();
  await settled();
  const third = call();
  expect(manual.due.size).toBe(0);
  others[0]!.jobs[0]!.answer();
  await third;
  expect(manual.due.size).toBe(1);
  manual.fire();
  await settled();
  expect(others[0]!.closed).toBe(true);
  expect(first.closed).toBe(false);
  expect(work.started).toBe(1);
  void call();
  expect(others.length).toBe(2);
  while (first.jobs.length > 0) first.jobs[0]!.answer();
  await Promise.all(calls);
});

test('a thread that does not start is done without', async () => {
  const { first, others, work, call } = threads(2);
  const calls = [call(), call()];
  others[0]!.jobs[0]!.fail(new Error('no more threads'));
  await settled();
  expect(work.started).toBe(1);
  while (first.jobs.length > 0) first.jobs[0]!.answer();
  await Promise.all(calls);
});

test('closing ends what was started here, also what starts just then', async () => {
  const { first, others, work, call } = threads(3);
  void call();
  void call();
  others[0]!.jobs[0]!.answer();
  await settled();
  void call();
  void call();
  await work[Symbol.asyncDispose]();
  expect(others[0]!.closed).toBe(true);
  expect(first.closed).toBe(false);
  others[1]?.jobs[0]!.answer();
  await settled();
  expect(others.every(({ closed }) => closed)).toBe(true);
  await expect(call()).rejects.toMatchObject({ code: 'CLOSED' });
});

test('a thread that has died gets no more jobs', async () => {
  const { first, others, work, call } = threads(2);
  void call();
  void call();
  others[0]!.jobs[0]!.answer();
  await settled();
  const lost = call();
  others[0]!.ended = true;
  others[0]!.jobs[0]!.fail(new Error('the thread has died'));
  await expect(lost).rejects.toThrow('died');
  first.jobs[0]!.answer();
  await settled();
  void call();
  expect([first.busy, others[0]!.busy]).toEqual([2, 0]);
  expect(work.started).toBe(1);
});
