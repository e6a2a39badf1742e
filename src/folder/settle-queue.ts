/**
 * Paths with something going on, until it is quiet there: a path is due once no further event came for `settleMs`, so
 * that a file under construction is not shipped half. An event is a hint only; due paths are looked at like all others.
 */
import { DIRTY_PATHS_MAX } from '../base/limits.ts';

interface Waiting {
  readonly dueMs: number;
  readonly sinceMs: number;
}

export class SettleQueue {
  readonly #settleMs: number;
  /** In the order of their last events, hence of `dueMs`. */
  readonly #waiting = new Map<string, Waiting>();
  #overflowDueMs: number | undefined;

  constructor(settleMs: number) {
    this.#settleMs = settleMs;
  }

  get size(): number {
    return this.#waiting.size;
  }

  has(path: string): boolean {
    return this.#waiting.has(path);
  }

  /** When the next path is due, in the time of `event`. */
  get nextDueMs(): number | undefined {
    const first = this.#waiting.values().next().value?.dueMs;
    return first === undefined ? this.#overflowDueMs : Math.min(first, this.#overflowDueMs ?? Infinity);
  }

  /**
   * Something happened at a path. Returns for how long the path has not come to rest. Times are monotonic and do not
   * go back from call to call.
   */
  event(path: string, nowMs: number): number {
    const known = this.#waiting.get(path);
    if (known === undefined && this.#waiting.size >= DIRTY_PATHS_MAX) {
      this.overflow(nowMs);
      return 0;
    }
    const sinceMs = known?.sinceMs ?? nowMs;
    this.#waiting.delete(path);
    this.#waiting.set(path, { dueMs: nowMs + this.#settleMs, sinceMs });
    return nowMs - sinceMs;
  }

  /** More is going on than can be listed: everything is to be looked at. */
  overflow(nowMs: number): void {
    this.#overflowDueMs ??= nowMs + this.#settleMs;
  }

  /** Takes what is due. `everything`: look at the whole folder. */
  take(nowMs: number): { readonly paths: readonly string[]; readonly everything: boolean } {
    const everything = this.#overflowDueMs !== undefined && this.#overflowDueMs <= nowMs;
    if (everything) this.#overflowDueMs = undefined;
    const paths: string[] = [];
    for (const [path, { dueMs }] of this.#waiting) {
      if (dueMs > nowMs) break;
      paths.push(path);
      this.#waiting.delete(path);
    }
    return { paths, everything };
  }
}
