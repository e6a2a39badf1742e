/**
 * The trash, the part in the write thread. Files go to `.sameroot/trash/<day>/<path>`; where that name is taken, to
 * `<day>/~<time>-<number>/<path>`, so that nothing in the trash is ever overwritten and no search for a free name is needed.
 * Links always go to such a folder of their own, so that no path in the trash leads through one.
 */
import {
  copyFileSync,
  constants,
  linkSync,
  lstatSync,
  mkdirSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  type Stats,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { systemCode } from '../base/errors.ts';
import { diskStat, lstatOrNothing } from './disk-stat.ts';
import { OWN_FOLDER } from './paths.ts';
import type { DiskStat } from './placed.ts';

/** Relative to the shared folder. */
export const TRASH_FOLDER: string = `${OWN_FOLDER}/trash`;

export interface Trashed {
  /** Relative to the shared folder. */
  readonly path: string;
  readonly stat: DiskStat;
}

let counter = 0;

/**
 * Puts a second name of the file at `path` into the trash; where the file system has no hard links, a copy.
 * The file itself stays where it is.
 */
export function linkToTrash(root: string, day: string, path: string): string {
  return intoTrash(root, day, path, (source, target) => {
    if (lstatSync(source).isSymbolicLink()) {
      symlinkSync(readlinkSync(source, 'buffer'), target);
      return;
    }
    try {
      linkSync(source, target);
    } catch (error) {
      if (systemCode(error) === 'EEXIST' || systemCode(error) === 'ENOENT') throw error;
      copyFileSync(source, target, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    }
  });
}

/** Moves the file or link at `path` into the trash. */
export function moveToTrash(root: string, day: string, path: string): string {
  return intoTrash(root, day, path, (source, target) => {
    if (lstatSync(target, { throwIfNoEntry: false }) !== undefined) throw Object.assign(new Error('taken'), { code: 'EEXIST' });
    renameSync(source, target);
  });
}

function intoTrash(root: string, day: string, path: string, put: (source: string, target: string) => void): string {
  const attempt = (folder: string): string => {
    const place = `${TRASH_FOLDER}/${folder}/${path}`;
    mkdirSync(dirname(join(root, place)), { recursive: true });
    put(join(root, path), join(root, place));
    return place;
  };
  try {
    if (!lstatSync(join(root, path)).isSymbolicLink()) return attempt(day);
  } catch (error) {
    if (!['EEXIST', 'ENOTDIR', 'EISDIR'].includes(systemCode(error) ?? '')) throw error;
  }
  return attempt(`${day}/~${new Date().toISOString().slice(11, 23).replaceAll(':', '')}-${counter++}`);
}

/**
 * Moves a file from the trash into staging, if it is still the one that was put there and has no other name.
 * What happens to it afterwards happens to no other file then.
 */
export function takeFromTrash(input: {
  root: string;
  tmp: string;
  items: readonly { readonly path: string; readonly stat: DiskStat; readonly name: string }[];
}): (number | undefined)[] {
  return input.items.map(({ path, stat, name }) => {
    const source = join(input.root, path);
    const stats = lstatOrNothing(source);
    if (stats === undefined || stats.nlink !== 1 || !sameFile(stats, stat)) return undefined;
    renameSync(source, join(input.tmp, name));
    return diskStat(stats).inode;
  });
}

/** The same file with the same bytes; renaming and linking change its ctime only. */
export function sameFile(stats: Stats, expected: DiskStat): boolean {
  const now = diskStat(stats);
  return stats.isFile() && now.inode === expected.inode && now.bytes === expected.bytes && now.mtimeMs === expected.mtimeMs;
}

/** Removes files from the trash, and the folders that become empty. */
export function emptyTrash(input: { root: string; paths: readonly string[] }): void {
  for (const path of input.paths) {
    try {
      unlinkSync(join(input.root, path));
      for (let folder = dirname(path); folder.length > TRASH_FOLDER.length; folder = dirname(folder)) rmdirSync(join(input.root, folder));
    } catch (error) {
      const fine = ['ENOENT', 'ENOTDIR', 'ENOTEMPTY', 'EEXIST'].includes(systemCode(error) ?? '');
      if (!fine) throw error;
    }
  }
}

/** Removes whole days. */
export function emptyTrashDays(input: { root: string; days: readonly string[] }): void {
  for (const day of input.days) rmSync(join(input.root, TRASH_FOLDER, day), { recursive: true, force: true });
}
