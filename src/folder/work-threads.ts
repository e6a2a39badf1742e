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

export class WorkThreads implements WorkCaller {
  readonly #options: WorkThreadsOptions;
  readonly width: number;
  /** Those that were started here and are ready. */
  #others: JobCaller[] = [];
  #starting = 0;
  #idle: Timer | undefined;
  #closed = false;

  constructor(options: WorkThreadsOptions) {
    this.#options = options;
    this.width = options.width;
  }

  get busy(): number {
    return this.#others.reduce((sum, { busy }) => sum + busy, this.#options.first.busy);
  }

  /** The threads that are ready. */
  get started(): number {
    return 1 + this.#others.length;
  }

  async call<K extends JobName>(name: K, input: JobInput<K>, transfer?: readonly ArrayBuffer[]): Promise<JobOutput<K>> {
    if (this.#closed) throw new SamerootError('CLOSED', 'the folder is closing');
    let thread = this.#options.first;
    for (const other of this.#others) if (other.busy < thread.busy) thread = other;
    if (thread.busy > 0) this.#startAnother();
    this.#idle?.cancel();
    this.#idle = undefined;
    try {
      return await thread.call(name, input, transfer);
    } finally {
      this.#endWhenIdle();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#idle?.cancel();
    await this.#endOthers();
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
        if (this.#closed) void thread[Symbol.asyncDispose]();
        else this.#others.push(thread);
        this.#endWhenIdle();
      },
      // One that does not start is done without; the next burst tries again.
      () => this.#starting--,
    );
  }

  #endWhenIdle(): void {
    if (this.#closed || this.#others.length === 0 || this.#others.some(({ busy }) => busy > 0)) return;
    this.#idle?.cancel();
    this.#idle = this.#options.timers.after(IDLE_MS_MAX, () => void this.#endOthers(), { background: true });
  }

  async #endOthers(): Promise<void> {
    const others = this.#others;
    this.#others = [];
    await Promise.all(others.map((thread) => thread[Symbol.asyncDispose]()));
  }
}
