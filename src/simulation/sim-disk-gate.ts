/**
 * What every call of a simulated disk asks before it does anything: is the host alive, does it die just here (for what
 * changes something), does the call fail.
 *
 * Invariant: a crash falls between any two effects and never within one. Once a host has died, every call throws, so
 * nothing that the `finally` blocks of its production code do reaches the disk; what it waits for never comes.
 */
import { DiskError } from './sim-disk-names.ts';

export interface MountHooks {
  /** Called with `disk-` and the name of the call before anything changes. Throws where the host dies: nothing has happened then. */
  effect(kind: string): void;
  /** The error code (`EIO`, `ENOSPC`, ...) that this call is to fail with, if any. */
  fault(operation: string, path: string): string | undefined;
  /** Calls back later: when an event of a watch is told. May drop it or call back twice. */
  deliver(callback: () => void): void;
  /** Calls back later, once: when a flush in the background is done. */
  defer(callback: () => void): void;
}

export class CallGate {
  readonly hooks: MountHooks;
  readonly #onDeath: () => void;
  #alive = true;

  constructor(hooks: MountHooks, onDeath: () => void) {
    this.hooks = hooks;
    this.#onDeath = onDeath;
  }

  die(): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.#onDeath();
  }

  get alive(): boolean {
    return this.#alive;
  }

  askAlive(): void {
    if (!this.#alive) throw new Error('the host of this disk is dead');
  }

  ask(operation: string, path: string): void {
    this.askAlive();
    const code = this.hooks.fault(operation, path);
    if (code !== undefined) throw new DiskError(code, `injected into ${operation} of ${path}`);
  }

  /** For a call that changes something. */
  askEffect(operation: string, path: string): void {
    this.askAlive();
    try {
      this.hooks.effect(`disk-${operation}`);
    } catch (death) {
      this.die();
      throw death;
    }
    this.ask(operation, path);
  }

  /** For a flush: where it is to fail, what that does to the disk is done first. */
  askFlush(operation: string, path: string, onFault: () => void): void {
    try {
      this.askEffect(operation, path);
    } catch (error) {
      if (this.#alive) onFault();
      throw error;
    }
  }

  /** Runs it later, unless the host is dead by then. */
  later(run: () => void, done: (error: Error | undefined) => void): void {
    this.hooks.defer(() => {
      if (!this.#alive) return;
      let failure: Error | undefined;
      try {
        run();
      } catch (error) {
        failure = error as Error;
      }
      if (this.#alive) done(failure);
    });
  }
}
