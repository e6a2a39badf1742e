/**
 * Too many deletes at once are rather a mistake or a lost disk than an intention: they are held until somebody answers.
 * While some are held, no other delete is committed either, as nobody can tell which of them were meant.
 */
import type { Log } from '../base/world.ts';
import type { DeleteRule, PassResult } from './ingest-pass.ts';
import type { Finding } from './scan.ts';

const DELETES_MIN = 50;
const DELETES_FRACTION = 0.25;

/** How a pass was started: `accept` and `restore` are answers to held deletes. */
export type DeleteAnswer = 'guard' | 'accept' | 'restore';

export class DeleteGuard {
  readonly #log: Log;
  #held = 0;

  constructor(log: Log) {
    this.#log = log;
  }

  get held(): number {
    return this.#held;
  }

  /** `live`: entries of the share; a quarter of them may go in one pass, and 50 in any case. */
  rule(answer: DeleteAnswer, live: number, restore: (gone: readonly Finding[]) => Promise<void>): DeleteRule {
    const allowed = Math.max(DELETES_MIN, Math.floor(live * DELETES_FRACTION));
    switch (answer) {
      case 'accept':
        // What was asked about, and as much as would be allowed without asking: not a disk that has vanished since.
        return { kind: 'limited', max: this.#held + allowed };
      case 'restore':
        return { kind: 'restore', restore };
      case 'guard':
        return { kind: 'limited', max: this.#held > 0 ? 0 : allowed };
    }
  }

  /** After a pass; `full`: it went over the whole folder, so it knows how many are gone. */
  note(result: PassResult, full: boolean): void {
    const count = full ? result.held : Math.max(this.#held, result.held);
    if (count > 0 && this.#held === 0) {
      this.#log.warn('many files are gone: the deletes are held until they are accepted or restored', { code: 'MASS_DELETE_HELD', count });
    }
    this.#held = count;
  }
}
