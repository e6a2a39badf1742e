/**
 * The first reading of the folder, at start: unfinished projections, watches, the first scan; tried again until it is through.
 *
 * Why in this order: our own half-done renames are never taken for edits, and nothing that happens meanwhile is missed.
 * Why again: until it is through a node tells its peers nothing, so a disk that fails for a moment just then would keep
 * the host out of the share for good.
 */
import { messageOf, SamerootError } from '../base/errors.ts';
import type { Log, Timers } from '../base/world.ts';

const RETRY_MS = 5_000;

export interface FirstReadOptions {
  /** One attempt. */
  readonly read: () => Promise<void>;
  readonly timers: Timers;
  readonly log: Log;
}

export class FirstRead {
  readonly #options: FirstReadOptions;
  #attempt: Promise<void> | undefined;
  #failure: SamerootError | undefined;
  #isThrough = false;
  #closed = false;
  #endPause: (() => void) | undefined;

  constructor(options: FirstReadOptions) {
    this.#options = options;
  }

  get isThrough(): boolean {
    return this.#isThrough;
  }

  /** Why the last attempt failed. */
  get failure(): SamerootError | undefined {
    return this.#failure;
  }

  /**
   * Resolves when it is through.
   * @throws what the last attempt failed with, if it was closed before
   */
  async run(): Promise<void> {
    while (!(await this.#try())) {
      await this.#pause();
      if (this.#closed) throw this.#failure;
    }
  }

  /** As `run`, but fails as soon as the attempt does that is under way; at once if none is and the last one failed. */
  async through(): Promise<void> {
    await this.#attempt;
  }

  close(): void {
    this.#closed = true;
    this.#endPause?.();
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#options.timers.after(RETRY_MS, resolve);
      this.#endPause = () => {
        timer.cancel();
        resolve();
      };
      if (this.#closed) this.#endPause();
    });
  }

  async #try(): Promise<boolean> {
    try {
      this.#attempt = this.#options.read();
      await this.#attempt;
      this.#failure = undefined;
      this.#isThrough = true;
    } catch (error) {
      const failure = error instanceof SamerootError ? error : new SamerootError('IO_ERROR', messageOf(error), { cause: error });
      if (!this.#closed && this.#failure?.code !== failure.code)
        this.#options.log.error('the folder can not be read', { code: failure.code, reason: failure.message });
      this.#failure = failure;
    }
    return this.#isThrough;
  }
}
