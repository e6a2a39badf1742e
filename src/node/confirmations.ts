/**
 * Who has confirmed what, and the barrier built on it: a peer that acknowledged a root of ours contains every commit up
 * to that root's.
 */
import { byteKey } from '../base/bytes.ts';
import type { Clock, Timers } from '../base/world.ts';

const ROOTS_MAX = 10_000;
const SAMPLES_MAX = 1_024;

export class Confirmations {
  readonly #clock: Clock;
  readonly #timers: Timers;
  /** Root -> commit number and when it was made, newest last. */
  readonly #commits = new Map<string, { commit: number; atMs: number }>();
  readonly #confirmed = new Map<string, number>();
  readonly #waiting = new Set<() => void>();
  readonly #seconds: number[] = [];

  constructor(clock: Clock, timers: Timers) {
    this.#clock = clock;
    this.#timers = timers;
  }

  /** This root is ours from now on. */
  committed(root: Uint8Array, commit: number): void {
    this.#commits.delete(byteKey(root));
    this.#commits.set(byteKey(root), { commit, atMs: this.#clock.monotonicMs() });
    if (this.#commits.size > ROOTS_MAX) this.#commits.delete(this.#commits.keys().next().value!);
    this.#wakeAll();
  }

  /** `peer` holds `root` durably. */
  confirmed(peer: string, root: Uint8Array): void {
    const known = this.#commits.get(byteKey(root));
    if (known === undefined || known.commit <= (this.#confirmed.get(peer) ?? -1)) return;
    this.#confirmed.set(peer, known.commit);
    this.#seconds.push((this.#clock.monotonicMs() - known.atMs) / 1_000);
    if (this.#seconds.length > SAMPLES_MAX) this.#seconds.shift();
    this.#wakeAll();
  }

  commitOf(root: Uint8Array): number | undefined {
    return this.#commits.get(byteKey(root))?.commit;
  }

  hasConfirmed(peer: string, commit: number): boolean {
    return (this.#confirmed.get(peer) ?? -1) >= commit;
  }

  /** From a commit here to its acknowledgement there. */
  get syncSeconds(): { p50: number | undefined; p99: number | undefined; last: number | undefined } {
    const sorted = this.#seconds.toSorted((a, b) => a - b);
    const at = (share: number): number | undefined => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
    return { p50: at(0.5), p99: at(0.99), last: this.#seconds.at(-1) };
  }

  /** Resolves true when `condition` holds, false after `timeoutMs`. */
  async until(condition: () => boolean, timeoutMs: number): Promise<boolean> {
    const deadline = this.#clock.monotonicMs() + timeoutMs;
    while (!condition()) {
      const left = deadline - this.#clock.monotonicMs();
      if (left <= 0) return false;
      await new Promise<void>((resolve) => {
        const done = (): void => {
          timer.cancel();
          this.#waiting.delete(done);
          resolve();
        };
        const timer = this.#timers.after(Math.min(left, 1_000), done);
        this.#waiting.add(done);
      });
    }
    return true;
  }

  /** Something changed that a waiter may look at. */
  poke(): void {
    this.#wakeAll();
  }

  #wakeAll(): void {
    for (const wake of this.#waiting) wake();
  }
}
