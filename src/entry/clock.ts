/**
 * The hybrid logical clock (Kulkarni et al., 2014): stamps that follow the wall clock and never go back.
 *
 * Invariant: each stamp of `now` is greater than every stamp given or observed before, whatever the wall clock does.
 * The high-water mark is for the caller to keep across restarts. A stamp says which of two concurrent versions is
 * shown; which version replaces which is for the causal context to say, so a wrong clock loses nothing.
 */
import { SamerootError } from '../base/errors.ts';
import { CLOCK_AHEAD_MS_MAX } from '../base/limits.ts';
import { COUNTER_MAX, WALL_MS_MAX } from './fields.ts';

export interface Stamp {
  /** Milliseconds since 1970-01-01 UTC, below 2^48. */
  readonly wallMs: number;
  /** Below 2^16: orders stamps of one millisecond. */
  readonly counter: number;
}

export function compareStamps(a: Stamp, b: Stamp): number {
  return a.wallMs - b.wallMs || a.counter - b.counter;
}

export class HybridClock {
  readonly #wallMs: () => number;
  #high: Stamp;

  /** `wallMs` may jump either way. `high` is the mark kept from the last run. */
  constructor(wallMs: () => number, high: Stamp = { wallMs: 0, counter: 0 }) {
    this.#wallMs = wallMs;
    this.#high = high;
  }

  /** The greatest stamp given or observed. */
  get high(): Stamp {
    return this.#high;
  }

  #wholeWallMs(): number {
    return Math.min(Math.max(Math.floor(this.#wallMs()), 0), WALL_MS_MAX);
  }

  now(): Stamp {
    const wallMs = this.#wholeWallMs();
    const high = this.#high;
    if (wallMs > high.wallMs) this.#high = { wallMs, counter: 0 };
    else if (high.counter < COUNTER_MAX) this.#high = { wallMs: high.wallMs, counter: high.counter + 1 };
    else this.#high = { wallMs: high.wallMs + 1, counter: 0 };
    return this.#high;
  }

  /**
   * Later stamps of this clock will be greater than `remote`.
   * @throws {SamerootError} `CLOCK_AHEAD` if `remote` lies more than an hour in our future; the clock stays as it was
   */
  observe(remote: Stamp): void {
    const aheadMs = remote.wallMs - this.#wholeWallMs();
    if (aheadMs > CLOCK_AHEAD_MS_MAX) {
      throw new SamerootError('CLOCK_AHEAD', `a version was made ${Math.round(aheadMs / 60_000)} minutes in the future`);
    }
    if (compareStamps(remote, this.#high) > 0) this.#high = remote;
  }
}
