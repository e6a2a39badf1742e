/** Whole reads and writes of files in the write thread: the system calls may do less than they are asked for. */
import { closeSync, constants, fstatSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { SamerootError, systemCode } from '../base/errors.ts';
import { CHUNK_BYTES_MAX } from '../base/limits.ts';
import { ioError } from './flush.ts';

export const OWNER_ONLY = 0o600;

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;

/** For one chunk at a time: jobs run one after the other. */
export const scratch: Buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES_MAX);

/** A file of the folder, which may be anything by now: no link is followed, no pipe waited for. */
export function openSource(path: string): number | undefined {
  try {
    return openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch {
    return undefined;
  }
}

/** The bytes of a file that holds one chunk at most, in the scratch buffer: valid until the next read. */
export function readSmall(path: string): Uint8Array | undefined {
  const fd = openSource(path);
  if (fd === undefined) return undefined;
  try {
    const { size } = fstatSync(fd);
    return size <= scratch.length && readFully(fd, scratch, size, 0) === size ? scratch.subarray(0, size) : undefined;
  } finally {
    closeSync(fd);
  }
}

export function readFully(fd: number, target: Buffer, bytes: number, at: number): number {
  let done = 0;
  while (done < bytes) {
    const read = readSync(fd, target, done, bytes - done, at + done);
    if (read === 0) break;
    done += read;
  }
  return done;
}

/** A file that is there already has the bytes: all were verified at the start or written since. It may be flushed, and stays so. */
export function writeFile(path: string, bytes: Uint8Array): void {
  let fd: number;
  try {
    fd = openSync(path, O_WRONLY | O_CREAT | O_EXCL, OWNER_ONLY);
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return;
    throw ioError('could not be made', path, error);
  }
  try {
    writeFully(fd, bytes, 0);
  } catch (error) {
    rmSync(path, { force: true });
    throw ioError('could not be written', path, error);
  } finally {
    closeSync(fd);
  }
}

export function writeFully(fd: number, bytes: Uint8Array, at: number): void {
  for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done, bytes.length - done, at + done);
}

export function asIoError(what: string, path: string, error: unknown): SamerootError {
  return error instanceof SamerootError ? error : ioError(what, path, error);
}
