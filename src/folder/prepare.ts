/**
 * Is this folder fit to be shared? Asked once at start, before anything is opened, so that a wrong path or a missing
 * permission is one clear line and not a surprise in the middle of a sync.
 */
import { dirname, join } from 'node:path';
import { toHex } from '../base/bytes.ts';
import { messageOf, SamerootError, systemCode, type ErrorCode } from '../base/errors.ts';
import type { Random } from '../base/world.ts';
import { OPEN, type Disk } from './disk.ts';
import { writeFile } from './file-io.ts';
import { OWN_FOLDER } from './paths.ts';

/**
 * Makes the folder and its `.sameroot` if they are missing.
 * @throws {SamerootError} `FOLDER_NOT_DIRECTORY`, `FOLDER_UNREADABLE`, `FOLDER_READ_ONLY`, `FOLDER_NESTED`, `DISK_FULL`, `IO_ERROR`
 */
export function prepareFolder(disk: Disk, random: Random, folder: string): void {
  makeFolder(disk, folder);
  try {
    disk.readdir(folder);
    // Needs the permission to look names up.
    disk.lstat(join(folder, OWN_FOLDER));
  } catch (error) {
    throw new SamerootError('FOLDER_UNREADABLE', `${folder} can not be read`, { cause: error, path: folder });
  }
  refuseNested(disk, folder);
  makeFolder(disk, join(folder, OWN_FOLDER));
  tryWrite(disk, random, join(folder, OWN_FOLDER));
}

/** Links on the way are followed: where the folder really is does not matter. */
function makeFolder(disk: Disk, folder: string): void {
  try {
    disk.mkdir(folder, { recursive: true });
    disk.close(disk.open(folder, OPEN.readOnly | OPEN.folder));
  } catch (error) {
    // One that may not be read is a folder all the same.
    if (systemCode(error) !== 'EACCES' || !exists(disk, folder)) throw folderError(folder, error);
  }
}

/** A file made and removed again says more than permission bits: it also finds a full or read-only disk. */
function tryWrite(disk: Disk, random: Random, folder: string): void {
  const probe = join(folder, `probe-${toHex(random.bytes(6))}`);
  try {
    writeFile(disk, probe, new Uint8Array(8));
    disk.unlink(probe);
  } catch (error) {
    throw folderError(folder, error instanceof SamerootError ? error.cause : error);
  }
}

function refuseNested(disk: Disk, folder: string): void {
  for (let inner = folder, outer = dirname(folder); outer !== inner; inner = outer, outer = dirname(outer)) {
    if (!exists(disk, join(outer, OWN_FOLDER, 'share'))) continue;
    throw new SamerootError('FOLDER_NESTED', `${folder} lies inside ${outer}, which is shared already`, { path: folder });
  }
}

function exists(disk: Disk, path: string): boolean {
  try {
    return disk.lstat(path) !== undefined;
  } catch {
    return false;
  }
}

const CODES: Readonly<Record<string, ErrorCode>> = {
  EEXIST: 'FOLDER_NOT_DIRECTORY',
  ENOTDIR: 'FOLDER_NOT_DIRECTORY',
  EACCES: 'FOLDER_READ_ONLY',
  EPERM: 'FOLDER_READ_ONLY',
  EROFS: 'FOLDER_READ_ONLY',
  ENOSPC: 'DISK_FULL',
  EDQUOT: 'DISK_FULL',
};

function folderError(folder: string, error: unknown): SamerootError {
  const code = CODES[systemCode(error) ?? ''] ?? 'IO_ERROR';
  const what = code === 'FOLDER_NOT_DIRECTORY' ? 'is not a folder' : code === 'DISK_FULL' ? 'is on a full disk' : 'can not be written';
  return new SamerootError(code, `${folder} ${what} (${messageOf(error)})`, { cause: error, path: folder });
}
