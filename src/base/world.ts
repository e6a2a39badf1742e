/**
 * The world as ports: clock, timers, randomness, log. Nothing but `app` reads the real ones, so that the simulator runs
 * the production code with its own.
 */
export interface Clock {
  /** Milliseconds since 1970-01-01 UTC; may jump either way. */
  wallMs(): number;
  /** Milliseconds since some start; never goes back. */
  monotonicMs(): number;
}

export interface Timer {
  /** The callback is not called any more; cancelling again, or too late, does nothing. */
  cancel(): void;
}

export interface Timers {
  /** Calls back once, `afterMs` from now; it may be a little early. `background`: the process may end before. */
  after(afterMs: number, callback: () => void, options?: { readonly background: boolean }): Timer;
  /** Calls back again and again; never keeps the process alive. */
  every(everyMs: number, callback: () => void): Timer;
  /** Calls back in the next turn of the event loop, when what waits from outside had its turn. */
  soon(callback: () => void): void;
}

export interface Random {
  bytes(count: number): Uint8Array;
  /** Uniform in [0, 1). */
  fraction(): number;
}

export type LogFields = Readonly<Record<string, unknown>>;

export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

export interface World {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
}

export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} };

/** Resolves `afterMs` from now. */
export function sleep(timers: Timers, afterMs: number): Promise<void> {
  return new Promise((resolve) => timers.after(afterMs, resolve));
}

/** Resolves in the next turn of the event loop. */
export function nextTurn(timers: Timers): Promise<void> {
  return new Promise((resolve) => timers.soon(resolve));
}
