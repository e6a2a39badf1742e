/**
 * Is this folder fit to be shared? Asked once at start, before anything is opened, so that a wrong path or a missing
 * permission is one clear line and not a surprise in the middle of a sync.
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { access, mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { messageOf, SamerootError, systemCode, type ErrorCode } from '../base/errors.ts';
import { OWN_FOLDER } from './paths.ts';

/**
 * Makes the folder and its `.sameroot` if they are missing.
 * @throws {SamerootError} `FOLDER_NOT_DIRECTORY`, `FOLDER_UNREADABLE`, `FOLDER_READ_ONLY`, `FOLDER_NESTED`, `DISK_FULL`, `IO_ERROR`
 */
export async function prepareFolder(folder: string): Promise<void> {
  await makeFolder(folder);
  try {
    await access(folder, constants.R_OK | constants.X_OK);
    await readdir(folder);
  } catch (error) {
    throw new SamerootError('FOLDER_UNREADABLE', `${folder} can not be read`, { cause: error, path: folder });
  }
  await refuseNested(folder);
  await makeFolder(join(folder, OWN_FOLDER));
  await tryWrite(join(folder, OWN_FOLDER));
}

async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
    if ((await stat(folder)).isDirectory()) return;
  } catch (error) {
    throw folderError(folder, error);
  }
  throw new SamerootError('FOLDER_NOT_DIRECTORY', `${folder} is not a folder`, { path: folder });
}

/** A file made and removed again says more than permission bits: it also finds a full or read-only disk. */
async function tryWrite(folder: string): Promise<void> {
  const probe = join(folder, `probe-${randomBytes(6).toString('hex')}`);
  try {
    await writeFile(probe, 'sameroot', { flag: 'wx', mode: 0o600 });
    await rm(probe);
  } catch (error) {
    throw folderError(folder, error);
  }
}

async function refuseNested(folder: string): Promise<void> {
  for (let inner = folder, outer = dirname(folder); outer !== inner; inner = outer, outer = dirname(outer)) {
    if (!(await exists(join(outer, OWN_FOLDER, 'share')))) continue;
    throw new SamerootError('FOLDER_NESTED', `${folder} lies inside ${outer}, which is shared already`, { path: folder });
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
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
