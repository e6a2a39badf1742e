/** Whole reads and writes of files: the system calls may do less than they are asked for. */
import { dirname } from 'node:path';
import { equalBytes } from '../base/bytes.ts';
import { SamerootError, systemCode } from '../base/errors.ts';
import { CHUNK_BYTES_MAX } from '../base/limits.ts';
import { OPEN, type Disk } from './disk.ts';
import { ioError } from './io-error.ts';

export const OWNER_ONLY = 0o600;

const NO_LINKS: ReadonlySet<string | undefined> = new Set(['EPERM', 'EACCES', 'EOPNOTSUPP', 'ENOTSUP', 'ENOSYS', 'EMLINK', 'EXDEV']);

/** What `link` says where the file system has no hard links (on some, nobody is allowed to make one), or this file has as many as it may. */
export function cannotLink(error: unknown): boolean {
  return NO_LINKS.has(systemCode(error));
}

/** For one chunk at a time: jobs run one after the other. */
export const scratch: Buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES_MAX);

/** A file of the folder, which may be anything by now: no link is followed, no pipe waited for. */
export function openSource(disk: Disk, path: string): number | undefined {
  try {
    return disk.open(path, OPEN.readOnly | OPEN.noFollow | OPEN.nonBlocking);
  } catch {
    return undefined;
  }
}

/** The bytes of a file that holds one chunk at most, in the scratch buffer: valid until the next read. */
export function readSmall(disk: Disk, path: string): Uint8Array | undefined {
  const handle = openSource(disk, path);
  if (handle === undefined) return undefined;
  try {
    const { size } = disk.fstat(handle);
    return size <= scratch.length && readFully(disk, handle, scratch, size, 0) === size ? scratch.subarray(0, size) : undefined;
  } finally {
    disk.close(handle);
  }
}

/** The text of a file of ours or of a setting; a link is followed, a pipe is empty. */
export function readText(disk: Disk, path: string): string {
  const handle = disk.open(path, OPEN.readOnly | OPEN.nonBlocking);
  try {
    const bytes = Buffer.allocUnsafe(disk.fstat(handle).size);
    return bytes.toString('utf8', 0, readFully(disk, handle, bytes, bytes.length, 0));
  } finally {
    disk.close(handle);
  }
}

export function readFully(disk: Disk, handle: number, target: Buffer, bytes: number, at: number): number {
  let done = 0;
  while (done < bytes) {
    const read = disk.read(handle, target, done, bytes - done, at + done);
    if (read === 0) break;
    done += read;
  }
  return done;
}

/** A file that is there already stays if it has these bytes: it may be flushed. Where this fails, it may leave anything there. */
export function writeFile(disk: Disk, path: string, bytes: Uint8Array): void {
  let handle = makeFile(disk, path);
  if (handle === undefined) {
    if (holds(disk, path, bytes)) return;
    removeFile(disk, path);
    handle = makeFile(disk, path);
    if (handle === undefined) throw new SamerootError('IO_ERROR', `${path} could not be made: another one has come meanwhile`, { path });
  }
  try {
    writeFully(disk, handle, bytes, 0);
  } catch (error) {
    tryToRemove(disk, path);
    throw ioError('could not be written', path, error);
  } finally {
    disk.close(handle);
  }
}

/** `undefined` where something is already. */
function makeFile(disk: Disk, path: string): number | undefined {
  try {
    return disk.open(path, OPEN.writeOnly | OPEN.create | OPEN.exclusive, OWNER_ONLY);
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return undefined;
    throw ioError('could not be made', path, error);
  }
}

/** Not by `readSmall`: the bytes may be those in the scratch buffer. */
function holds(disk: Disk, path: string, bytes: Uint8Array): boolean {
  const handle = openSource(disk, path);
  if (handle === undefined) return false;
  try {
    const there = Buffer.allocUnsafe(bytes.length);
    if (disk.fstat(handle).size !== bytes.length) return false;
    return readFully(disk, handle, there, bytes.length, 0) === bytes.length && equalBytes(there, bytes);
  } finally {
    disk.close(handle);
  }
}

export function writeFully(disk: Disk, handle: number, bytes: Uint8Array, at: number): void {
  for (let done = 0; done < bytes.length;) done += disk.write(handle, bytes, done, bytes.length - done, at + done);
}

/** No error where nothing is. */
export function removeFile(disk: Disk, path: string): void {
  try {
    disk.unlink(path);
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
  }
}

/** Whether nothing is there any more; for clean-up after an error that counts for more. */
export function tryToRemove(disk: Disk, path: string): boolean {
  try {
    removeFile(disk, path);
    return true;
  } catch {
    return false;
  }
}

/** A small file of ours: the old or the new one at every moment, and durable when this returns. Always another inode. */
export function replaceFile(disk: Disk, path: string, bytes: Uint8Array): void {
  const draft = disk.open(`${path}.new`, OPEN.writeOnly | OPEN.create | OPEN.truncate, OWNER_ONLY);
  try {
    writeFully(disk, draft, bytes, 0);
    disk.flush(draft, 'bytes');
  } finally {
    disk.close(draft);
  }
  disk.rename(`${path}.new`, path);
  flushNames(disk, dirname(path));
}

/** Makes the names in a folder durable. */
export function flushNames(disk: Disk, folder: string): void {
  const handle = disk.open(folder, OPEN.readOnly | OPEN.folder);
  try {
    disk.flush(handle, 'names');
  } finally {
    disk.close(handle);
  }
}
