/** Errors of jobs on their way between threads: an `Error` itself would lose its class, its code and its cause there. */
import { messageOf, SamerootError, systemCode, type ErrorCode } from '../base/errors.ts';

export interface JobFailure {
  /** Of a `SamerootError`. */
  readonly code: ErrorCode | undefined;
  /** `ENOENT`, ... */
  readonly system: string | undefined;
  readonly message: string;
  readonly path: string | undefined;
}

export function failureOf(error: unknown): JobFailure {
  const ours = error instanceof SamerootError ? error : undefined;
  return { code: ours?.code, system: systemCode(error), message: messageOf(error), path: ours?.path };
}

/** What the caller of the job sees: code, message and path of a `SamerootError`, or the `code` of a system error. */
export function errorOf({ code, system, message, path }: JobFailure): Error {
  if (code !== undefined) return new SamerootError(code, message, path === undefined ? {} : { path });
  return Object.assign(new Error(message), { code: system });
}
