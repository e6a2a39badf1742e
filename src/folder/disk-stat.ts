/** What `lstat` says, in the form of the placed rows. One function for all, so that equal files give equal stats. */
import { lstatSync, type Stats } from 'node:fs';
import { systemCode } from '../base/errors.ts';
import type { DiskStat, PlacedKind } from './placed.ts';

/** Permissions, set-id and sticky bits. */
export const MODE_BITS = 0o7777;

export function diskStat(stats: Stats): DiskStat {
  // Some file systems number inodes with 64 bits; what does not fit a number is folded, the same way each time.
  const inode = stats.ino <= Number.MAX_SAFE_INTEGER ? stats.ino : stats.ino % Number.MAX_SAFE_INTEGER;
  return { inode, bytes: stats.size, mtimeMs: stats.mtimeMs, ctimeMs: stats.ctimeMs, mode: stats.mode & MODE_BITS };
}

/** The kind of what we replicate, `undefined` for devices, sockets and pipes. */
export function kindOf(stats: Stats): PlacedKind | undefined {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'directory';
  return stats.isSymbolicLink() ? 'symlink' : undefined;
}

/** `undefined` where nothing is, also where a parent is no folder. */
export function lstatOrNothing(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch (error) {
    if (systemCode(error) === 'ENOTDIR') return undefined;
    throw error;
  }
}

/** A time of modification as entries hold it. */
export function wholeMs(mtimeMs: number): number {
  return Math.floor(mtimeMs);
}
