/**
 * Entries of peers that could not be taken over, by key: what `status` lists until they are.
 *
 * Invariant: what is listed is not known here. So the entry is kept with the problem: its key may get others meanwhile, and
 * only the tree can tell whether they include it.
 */
import { byteKey, fromUtf8, toHex } from '../base/bytes.ts';
import type { ErrorCode } from '../base/errors.ts';
import type { Clock } from '../base/world.ts';
import type { Entry } from '../entry/entry.ts';
import type { ProblemStatus } from './node-api.ts';

const PROBLEMS_MAX = 1_000;

/** An entry that came from a peer. */
export interface Incoming {
  readonly key: Uint8Array;
  readonly entry: Entry;
}

interface Refused {
  readonly incoming: Incoming;
  readonly status: ProblemStatus;
}

export class IntakeProblems {
  readonly #clock: Clock;
  readonly #problems = new Map<string, Refused>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(code: ErrorCode, incoming: Incoming, message: string): void {
    const { key } = incoming;
    const id = byteKey(key);
    if (this.#problems.size >= PROBLEMS_MAX && !this.#problems.has(id)) return;
    const since = this.#problems.get(id)?.status.since ?? new Date(this.#clock.wallMs()).toISOString();
    const status = { code, path: fromUtf8(key) ?? toHex(key), message, since, nextRetry: undefined };
    this.#problems.set(id, { incoming, status });
  }

  /** The entries of these keys changed. `isKnown`: is all that this one says known by now? */
  committed(keys: readonly { readonly key: Uint8Array }[], isKnown: (incoming: Incoming) => boolean): void {
    if (this.#problems.size === 0) return;
    for (const { key } of keys) {
      const refused = this.#problems.get(byteKey(key));
      if (refused !== undefined && isKnown(refused.incoming)) this.#problems.delete(byteKey(key));
    }
  }

  /** In sync with a peer: everything was taken over after all. */
  clear(): void {
    this.#problems.clear();
  }

  get list(): ProblemStatus[] {
    return [...this.#problems.values()].map(({ status }) => status);
  }
}
