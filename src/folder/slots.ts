/**
 * A few slots for what is under way at once. Who finds none free waits in line: first come, first served, so that the
 * order of what is done depends on nothing but the order in which it was asked for.
 */
import { assert } from '../base/assert.ts';
import { SamerootError } from '../base/errors.ts';

interface Waiting {
  resolve(): void;
  reject(error: Error): void;
}

export class Slots {
  readonly count: number;
  #free: number;
  #closed = false;
  #line: Waiting[] = [];

  constructor(count: number) {
    this.count = count;
    this.#free = count;
  }

  /** Resolves when there is a slot, which the caller has then. @throws {SamerootError} `CLOSED` */
  take(): Promise<void> {
    if (this.#closed) return Promise.reject(ended());
    if (this.#free === 0) return new Promise((resolve, reject) => this.#line.push({ resolve, reject }));
    this.#free--;
    return Promise.resolve();
  }

  /** In a slot: at once, if one is free. @throws {SamerootError} `CLOSED` */
  async run<T>(job: () => Promise<T>): Promise<T> {
    if (this.#free > 0 && !this.#closed) this.#free--;
    else await this.take();
    try {
      return await job();
    } finally {
      this.release();
    }
  }

  release(): void {
    if (this.#closed) return;
    const next = this.#line.shift();
    if (next === undefined) this.#free++;
    else next.resolve();
    assert(this.#free <= this.count, 'a slot is given back once');
  }

  /** There are none any more, for those who wait either. */
  close(): void {
    this.#closed = true;
    for (const waiting of this.#line.splice(0)) waiting.reject(ended());
  }
}

function ended(): SamerootError {
  return new SamerootError('CLOSED', 'what this was for has ended');
}
