/**
 * What every measurement is given: here it says how far it is, and here it hears that it is to stop. So nothing is
 * measured that can not be interrupted, and whoever measures does not know of terminals and signals.
 */
import { SamerootError } from '../../base/errors.ts';

export class Control {
  readonly #signal: AbortSignal;
  readonly #show: (what: string) => void;

  constructor(signal: AbortSignal, show: (what: string) => void) {
    this.#signal = signal;
    this.#show = show;
  }

  /** @throws {SamerootError} `CLOSED` once the run is to stop */
  at(what: string): void {
    if (this.#signal.aborted) throw stopped();
    this.#show(what);
  }

  /** What comes first: the end of `work`, or the wish to stop. */
  async orStop<T>(work: Promise<T>): Promise<T> {
    let onAbort: (() => void) | undefined;
    const stop = new Promise<never>((_resolve, reject) => {
      onAbort = () => reject(stopped());
      if (this.#signal.aborted) onAbort();
      this.#signal.addEventListener('abort', onAbort, { once: true });
    });
    try {
      return await Promise.race([work, stop]);
    } finally {
      this.#signal.removeEventListener('abort', onAbort!);
    }
  }
}

function stopped(): SamerootError {
  return new SamerootError('CLOSED', 'stopped by a signal');
}

/** Seconds since `sinceMs`; never zero, because rates are divided by it. */
export function secondsSince(sinceMs: number): number {
  return Math.max(performance.now() - sinceMs, 0.001) / 1_000;
}
