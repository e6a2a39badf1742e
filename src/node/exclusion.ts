/**
 * A host that takes part no more: it was evicted, or its database is older than what its replica has told. It talks to nobody and
 * writes nothing, and its folder stays as it is.
 *
 * Invariant: it is for good. A start after it finds it in the database, or is told the same by the first peer.
 */
import type { SamerootError } from '../base/errors.ts';
import type { Log } from '../base/world.ts';
import type { Store } from '../store/store.ts';
import { evictedError, markEvicted } from './eviction.ts';
import { markRolledBack } from './incarnation.ts';

export interface ExclusionParts {
  readonly store: Store;
  readonly log: Log;
  /** Leaves all peers, as whoever is no member. */
  readonly leave: () => void;
  /** Stops writing, and closes what is open. */
  readonly stop: (error: SamerootError) => void;
  readonly onChange: () => void;
}

export class Exclusion {
  readonly #parts: ExclusionParts;
  #error: SamerootError | undefined;

  constructor(parts: ExclusionParts) {
    this.#parts = parts;
  }

  /** Why this host takes part no more. */
  get error(): SamerootError | undefined {
    return this.#error;
  }

  async evicted(): Promise<void> {
    if (this.#error !== undefined) return;
    this.#error = evictedError();
    const { store, log, leave, onChange } = this.#parts;
    log.error('this host was evicted from the share', { advice: this.#error.advice });
    leave();
    onChange();
    try {
      await markEvicted(store);
    } catch (error) {
      log.warn('the eviction was not kept', { error: String(error) });
    }
  }

  async rolledBack(error: SamerootError): Promise<void> {
    if (this.#error !== undefined) return;
    this.#error = error;
    const { store, log, stop, onChange } = this.#parts;
    log.error('this host takes part no more', { code: error.code, reason: error.message, advice: error.advice });
    stop(error);
    onChange();
    try {
      await markRolledBack(store);
    } catch (cause) {
      // The next start takes part until a peer tells it the same again.
      log.warn('that this host was rolled back was not kept', { error: String(cause) });
    }
  }
}
