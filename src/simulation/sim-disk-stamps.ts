/**
 * The clock that stamps changes on a simulated disk.
 *
 * Invariant: a stamp never comes before an earlier one unless the clock of the host went back. With fine ticks each
 * change has a stamp of its own; with coarse ones all changes within a tick share one, as they do on a kernel that reads
 * its clock a hundred times a second, unless `nextTick` was called between. Nothing waits here: a step of a microsecond
 * stands for the time that passes.
 */
import type { Clock } from '../base/world.ts';

const STEP_MS = 0.001;

export class StampClock {
  readonly #clock: Clock;
  readonly #tickMs: number;
  #readMs = Number.NEGATIVE_INFINITY;
  #startOfTickMs = Number.NEGATIVE_INFINITY;
  #stampMs = Number.NEGATIVE_INFINITY;
  #moveOn = false;

  /** `tickMs` 0: fine. */
  constructor(clock: Clock, tickMs: number) {
    this.#clock = clock;
    this.#tickMs = tickMs;
  }

  /** What is stamped from now on gets another stamp. */
  nextTick(): void {
    this.#moveOn = true;
  }

  nowMs(): number {
    const readMs = this.#clock.wallMs();
    const startOfTickMs = this.#tickMs === 0 ? readMs : Math.floor(readMs / this.#tickMs) * this.#tickMs;
    const wentBack = readMs < this.#readMs;
    const movesOn = this.#tickMs === 0 || this.#moveOn || startOfTickMs > this.#startOfTickMs;
    if (wentBack || startOfTickMs > this.#stampMs) this.#stampMs = startOfTickMs;
    else if (movesOn) this.#stampMs += STEP_MS;
    this.#readMs = readMs;
    this.#startOfTickMs = startOfTickMs;
    this.#moveOn = false;
    return this.#stampMs;
  }
}
