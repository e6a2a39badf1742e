/**
 * Threads for work that any thread can do: hash files, copy chunks. As many as the host has processors, up to
 * `WORK_THREADS_MAX`; the first is the read thread, which is there anyway. Another one is started when all are busy, and
 * they end after a while without work, for each is a heap of its own.
 *
 * Invariant: which thread runs a job, and in which order, changes no result. So a job that is called here uses nothing
 * that another job has left in its thread, and a caller who wants an order waits.
 */
import { SamerootError } from '../base/errors.ts';
import type { Timer, Timers } from '../base/world.ts';
import type { JobCaller, JobInput, JobName, JobOutput } from './disk-jobs.ts';

export const WORK_THREADS_MAX = 8;
/** Starting one takes some 0.1 s of a processor: they stay for the next burst of an ordinary day's work. */
const IDLE_MS_MAX = 30_000;
/** The second is there when the first ends. Further ones wait here, for the thread that is free first: threads that are
 * only just starting get their share, and who reads with the first thread itself waits for two of our jobs, not for all. */
const JOBS_PER_THREAD = 2;

export interface WorkCaller extends JobCaller {
  /** Jobs that run at once: a caller who has one more under way keeps all threads busy. */
  readonly width: number;
}

export interface WorkThreadsOptions {
  /** Not closed here. */
  readonly first: JobCaller;
  /** At least 1. */
  readonly width: number;
  readonly start: () => JobCaller;
  readonly timers: Timers;
}

interface Member {
  readonly thread: JobCaller;
  /** Called here: the first thread has others too. */
  jobs: number;
}

interface Waiting {
  resolve(member: Member): void;
  reject(error: Error): void;
}

export class WorkThreads implements WorkCaller {
  readonly #options: WorkThreadsOptions;
  readonly width: number;
  readonly #first: Member;
  /** Those that were started here and are ready. */
  #others: Member[] = [];
  #waiting: Waiting[] = [];
  #starting = 0;
  #idle: Timer | undefined;
  #closed = false;

  constructor(options: WorkThreadsOptions) {
    this.#options = options;
    this.width = options.width;
    this.#first = { thread: options.first, jobs: 0 };
  }

  get busy(): number {
    return this.#members.reduce((sum, { thread }) => sum + thread.busy, this.#waiting.length);
  }

  /** The threads that are ready. */
  get started(): number {
    return 1 + this.#others.length;
  }

  async call<K extends JobName>(name: K, input: JobInput<K>, transfer?: readonly ArrayBuffer[]): Promise<JobOutput<K>> {
    if (this.#closed) throw closing();
    this.#idle?.cancel();
    this.#idle = undefined;
    const member = this.#free() ?? (await new Promise<Member>((resolve, reject) => this.#waiting.push({ resolve, reject })));
    try {
      return await member.thread.call(name, input, transfer);
    } finally {
      member.jobs--;
      this.#handOut(member);
      this.#endWhenIdle();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#idle?.cancel();
    for (const waiting of this.#waiting.splice(0)) waiting.reject(closing());
    await this.#endOthers();
  }

  get #members(): readonly Member[] {
    return [this.#first, ...this.#others];
  }

  /** One that has room for another job, which is counted as its own. */
  #free(): Member | undefined {
    // One that has died takes no more: idle as it is, it would be chosen for ever.
    this.#others = this.#others.filter(({ thread }) => thread.ended !== true);
    const [free] = this.#members.filter(({ jobs }) => jobs < JOBS_PER_THREAD).toSorted((a, b) => a.thread.busy - b.thread.busy);
    if (free === undefined || free.thread.busy > 0) this.#startAnother();
    if (free !== undefined) free.jobs++;
    return free;
  }

  #handOut(member: Member): void {
    while (member.jobs < JOBS_PER_THREAD && member.thread.ended !== true) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      member.jobs++;
      next.resolve(member);
    }
  }

  #startAnother(): void {
    if (this.started + this.#starting >= this.width) return;
    this.#starting++;
    const thread = this.#options.start();
    // Until it answers, whoever is ready is faster.
    const ready = thread.call('look', { root: '/', paths: [] });
    void ready.then(
      () => {
        this.#starting--;
        if (this.#closed) {
          void thread[Symbol.asyncDispose]();
          return;
        }
        const member = { thread, jobs: 0 };
        this.#others.push(member);
        this.#handOut(member);
        this.#endWhenIdle();
      },
      // One that does not start is done without; the next burst tries again.
      () => this.#starting--,
    );
  }

  #endWhenIdle(): void {
    if (this.#closed || this.#others.length === 0 || this.#others.some(({ jobs }) => jobs > 0)) return;
    this.#idle?.cancel();
    this.#idle = this.#options.timers.after(IDLE_MS_MAX, () => void this.#endOthers(), { background: true });
  }

  async #endOthers(): Promise<void> {
    const others = this.#others;
    this.#others = [];
    await Promise.all(others.map(({ thread }) => thread[Symbol.asyncDispose]()));
  }
}

function closing(): SamerootError {
  return new SamerootError('CLOSED', 'the folder is closing');
}
