/** What `lstat` says, in the form of the placed rows. One function for all, so that equal files give equal stats. */
import { systemCode } from '../base/errors.ts';
import type { Disk, FileStats } from './disk.ts';
import type { DiskStat, PlacedKind } from './placed.ts';

/** Permissions, set-id and sticky bits. */
export const MODE_BITS = 0o7777;

export function diskStat(stats: FileStats): DiskStat {
  // Some file systems number inodes with 64 bits; what does not fit a number is folded, the same way each time.
  const inode = stats.ino <= Number.MAX_SAFE_INTEGER ? stats.ino : stats.ino % Number.MAX_SAFE_INTEGER;
  return { inode, bytes: stats.size, mtimeMs: stats.mtimeMs, ctimeMs: stats.ctimeMs, mode: stats.mode & MODE_BITS };
}

/** The kind of what we replicate, `undefined` for devices, sockets and pipes. */
export function kindOf(stats: FileStats): PlacedKind | undefined {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'directory';
  return stats.isSymbolicLink() ? 'symlink' : undefined;
}

/** `undefined` where nothing is, also where a parent is no folder. */
export function lstatOrNothing(disk: Disk, path: string): FileStats | undefined {
  try {
    return disk.lstat(path);
  } catch (error) {
    if (systemCode(error) === 'ENOTDIR') return undefined;
    throw error;
  }
}

/** Of what must be there. @throws an `Error` with code `ENOENT` where nothing is */
export function lstatExisting(disk: Disk, path: string): FileStats {
  const stats = disk.lstat(path);
  if (stats === undefined) throw Object.assign(new Error(`ENOENT: no such file or directory, lstat '${path}'`), { code: 'ENOENT' });
  return stats;
}

/** A time of modification as entries hold it. */
export function wholeMs(mtimeMs: number): number {
  return Math.floor(mtimeMs);
}
