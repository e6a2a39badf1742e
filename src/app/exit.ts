/**
 * How a verb ends: its exit code, and the one line that says what went wrong and what to do. Scripts branch on these
 * numbers, so each has one meaning for all verbs.
 */
import { inspect } from 'node:util';
import { messageOf, SamerootError, type ErrorCode } from '../base/errors.ts';

export const EXIT = { done: 0, failed: 1, usage: 2, noDaemon: 3, timedOut: 4, different: 5, held: 6 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

const EXIT_BY_CODE: Partial<Record<ErrorCode, ExitCode>> = {
  CONFIG_INVALID: EXIT.usage,
  NO_DAEMON: EXIT.noDaemon,
  TIMED_OUT: EXIT.timedOut,
  MASS_DELETE_HELD: EXIT.held,
};

/** Whatever was thrown, as an error with a code: what is not one of ours is our bug. */
export function asSamerootError(error: unknown): SamerootError {
  if (error instanceof SamerootError) return error;
  return new SamerootError('INTERNAL', messageOf(error), { cause: error });
}

export function exitCodeOf(error: unknown): ExitCode {
  return EXIT_BY_CODE[asSamerootError(error).code] ?? EXIT.failed;
}

/** `sameroot: CODE: what happened; what to do`, always one line; with `debug` the stack and its causes follow. */
export function describeError(error: unknown, debug: boolean): string {
  const line = `sameroot: ${asSamerootError(error).toString()}`.replace(/\s*\n\s*/g, ' ');
  return debug ? `${line}\n${inspect(error)}\n` : `${line}\n`;
}
