/** Entries of peers that could not be taken over, by key: what `status` lists until they are. */
import { fromUtf8, toHex } from '../base/bytes.ts';
import type { ErrorCode } from '../base/errors.ts';
import type { Clock } from '../base/world.ts';
import type { ProblemStatus } from './node-api.ts';

const PROBLEMS_MAX = 1_000;

export class IntakeProblems {
  readonly #clock: Clock;
  readonly #problems = new Map<string, ProblemStatus>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(code: ErrorCode, key: Uint8Array, message: string): void {
    const path = fromUtf8(key) ?? toHex(key);
    if (this.#problems.size >= PROBLEMS_MAX && !this.#problems.has(path)) return;
    const since = this.#problems.get(path)?.since ?? new Date(this.#clock.wallMs()).toISOString();
    this.#problems.set(path, { code, path, message, since, nextRetry: undefined });
  }

  /** In sync with a peer: everything was taken over after all. */
  clear(): void {
    this.#problems.clear();
  }

  get list(): ProblemStatus[] {
    return [...this.#problems.values()];
  }
}
