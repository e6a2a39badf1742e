/**
 * Errors of file operations as ours. They keep the system's own error as their cause, and the path.
 */
import { messageOf, SamerootError, systemCode, type ErrorCode } from '../base/errors.ts';

export function ioError(what: string, path: string, cause: unknown): SamerootError {
  return new SamerootError(ioCode(cause), `${path} ${what}: ${messageOf(cause)}`, { cause, path });
}

/** As `ioError`, but for what is one of ours already. */
export function asIoError(what: string, path: string, error: unknown): SamerootError {
  return error instanceof SamerootError ? error : ioError(what, path, error);
}

export function ioCode(error: unknown): ErrorCode {
  if (error instanceof SamerootError) return error.code;
  const system = systemCode(error);
  if (system === 'ENOSPC' || system === 'EDQUOT') return 'DISK_FULL';
  return system === 'EROFS' || system === 'EACCES' || system === 'EPERM' ? 'FOLDER_READ_ONLY' : 'IO_ERROR';
}
