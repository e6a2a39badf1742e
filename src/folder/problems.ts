/**
 * The paths that can not be replicated now, and why. A path is listed as long as the check that covers it finds it so:
 * whoever checks some paths clears what it did not find again.
 */
import type { ErrorCode } from '../base/errors.ts';
import { PROBLEMS_MAX } from '../base/limits.ts';
import type { PathProblem } from './folder-walk.ts';
import { isWithin } from './scan.ts';

export interface ProblemState {
  readonly code: ErrorCode;
  readonly message: string;
  readonly sinceMs: number;
}

export class Problems {
  readonly #list = new Map<string, ProblemState & { pass: number }>();
  readonly #wallMs: () => number;
  #pass = 0;

  constructor(wallMs: () => number) {
    this.#wallMs = wallMs;
  }

  /** Path -> problem. With very many of them some are left out, never all. */
  get list(): ReadonlyMap<string, ProblemState> {
    return this.#list;
  }

  /** A check starts. */
  begin(): void {
    this.#pass++;
  }

  add({ path, code, message }: PathProblem): void {
    const known = this.#list.get(path);
    if (known === undefined && this.#list.size >= PROBLEMS_MAX) return;
    const sinceMs = known?.code === code ? known.sinceMs : this.#wallMs();
    this.#list.set(path, { code, message, sinceMs, pass: this.#pass });
  }

  /** The check that has begun is through: what it covered and did not add is no problem any more. */
  end(scopes: readonly string[] | undefined): void {
    const covered = scopes === undefined ? undefined : new Set(scopes);
    for (const [path, { pass }] of this.#list) {
      if (pass < this.#pass && (covered === undefined || isWithin(covered, path))) this.#list.delete(path);
    }
  }
}
