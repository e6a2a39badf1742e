/**
 * Disk threads without threads: the production jobs, run one after the other at virtual times of their own.
 *
 * Between the call, the work and the answer other things happen, as with a real thread: users write, messages arrive,
 * hosts die. A job itself is one moment, but a host may die in the middle of it (see `effect` in sim-disk.ts).
 */
import { SamerootError } from '../base/errors.ts';
import { runJob, type JobCaller, type JobInput, type JobName, type JobOutput, type Jobs } from '../folder/disk-jobs.ts';
import type { SeededRandom } from './random.ts';
import type { VirtualTime } from './virtual-time.ts';

export interface SimThreadOptions {
  readonly jobs: Jobs;
  readonly time: VirtualTime;
  readonly random: SeededRandom;
  readonly alive: () => boolean;
}

const QUEUE_MS_MAX = 1;
const ANSWER_MS_MAX = 2;

export class SimThread implements JobCaller {
  readonly #options: SimThreadOptions;
  readonly #queue: (() => void)[] = [];
  #busy = 0;
  #running = false;
  #closed = false;

  constructor(options: SimThreadOptions) {
    this.#options = options;
  }

  get busy(): number {
    return this.#busy;
  }

  call<K extends JobName>(name: K, input: JobInput<K>, transfer: readonly ArrayBuffer[] = []): Promise<JobOutput<K>> {
    if (this.#closed) return Promise.reject(new SamerootError('CLOSED', 'the folder is closing'));
    this.#busy++;
    // What a real thread gets and gives is a copy: neither side may see what the other does to its own afterwards.
    const sent = structuredClone(input, { transfer: [...transfer] });
    return new Promise((resolve, reject) => {
      this.#queue.push(() => {
        let settle: () => void;
        try {
          const output = structuredClone(runJob(this.#options.jobs, name, sent));
          settle = () => resolve(output);
        } catch (error) {
          settle = () => reject(error);
        }
        this.#later(ANSWER_MS_MAX, () => {
          this.#busy--;
          settle();
        });
      });
      this.#pump();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    while (this.#busy > 0) await new Promise<void>((resolve) => this.#later(1, resolve));
  }

  #pump(): void {
    if (this.#running) return;
    this.#running = true;
    this.#later(QUEUE_MS_MAX, () => {
      this.#running = false;
      const next = this.#queue.shift();
      if (this.#queue.length > 0) this.#pump();
      next?.();
    });
  }

  /** Not at all if the host is dead by then: nobody is there to go on. */
  #later(msMax: number, callback: () => void): void {
    const { time, random, alive } = this.#options;
    time.schedule(random.fraction() * msMax, () => {
      if (alive()) callback();
    });
  }
}
