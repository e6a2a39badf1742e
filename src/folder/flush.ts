/**
 * Making files durable from a disk thread.
 *
 * A few files are flushed one by one; many by one `syncfs` of their file system, which Node.js offers only through the
 * program `sync -f`. Measured on 20,000 files of 2-6 KB: 0.5 s with it, 2.2-2.9 s with an fdatasync for each file.
 * A flush that fails is never repeated as if nothing had happened: the kernel reports a lost write once only.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, constants, fdatasyncSync, fsyncSync, openSync } from 'node:fs';
import { messageOf, SamerootError, systemCode, type ErrorCode } from '../base/errors.ts';

/** Up to here an fsync for each is cheaper than `sync -f` (some 5 ms, and all other writers' bytes with it). */
export const FLUSH_EACH_MAX = 16;

let syncProgram = true;

/** @throws {SamerootError} `IO_ERROR` or `DISK_FULL`; then nothing is known of the bytes */
export function flushFiles(files: readonly string[], folder: string): void {
  if (files.length > FLUSH_EACH_MAX && syncFileSystem(folder)) return;
  for (const file of files) flushOne(file, constants.O_RDONLY, fdatasyncSync);
}

/** Makes the names in these folders durable. A folder that is gone, or is none by now, needs none. */
export function flushFolders(folders: readonly string[], root: string): void {
  if (folders.length > FLUSH_EACH_MAX && syncFileSystem(root)) return;
  for (const folder of folders) {
    try {
      flushOne(folder, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW, fsyncSync);
    } catch (error) {
      const gone = error instanceof SamerootError && ['ENOENT', 'ENOTDIR', 'ELOOP'].includes(systemCode(error.cause) ?? '');
      if (!gone) throw error;
    }
  }
}

function flushOne(path: string, flags: number, flush: (fd: number) => void): void {
  try {
    const fd = openSync(path, flags);
    try {
      flush(fd);
    } finally {
      closeSync(fd);
    }
  } catch (cause) {
    throw ioError('could not be flushed', path, cause);
  }
}

/** False where there is no such program. */
function syncFileSystem(folder: string): boolean {
  if (!syncProgram) return false;
  const { error, status, stderr } = spawnSync('sync', ['-f', folder], { stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8' });
  if (error === undefined && status === 0) return true;
  if (error !== undefined || /option|usage/i.test(stderr)) {
    syncProgram = false;
    return false;
  }
  throw new SamerootError('IO_ERROR', `the file system could not be flushed: ${stderr.trim()}`, { path: folder });
}

/** The error of a file operation as one of ours. */
export function ioError(what: string, path: string, cause: unknown): SamerootError {
  return new SamerootError(ioCode(cause), `${path} ${what}: ${messageOf(cause)}`, { cause, path });
}

export function ioCode(error: unknown): ErrorCode {
  if (error instanceof SamerootError) return error.code;
  const system = systemCode(error);
  if (system === 'ENOSPC' || system === 'EDQUOT') return 'DISK_FULL';
  return system === 'EROFS' || system === 'EACCES' || system === 'EPERM' ? 'FOLDER_READ_ONLY' : 'IO_ERROR';
}
