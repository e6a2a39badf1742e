/**
 * What is found at a path when a batch comes to it: as its row says, as its row says but for our own doing, or what the batch
 * would put there.
 *
 * Invariant: whatever is none of these is the user's.
 */
import { equalBytes, toHex } from '../base/bytes.ts';
import { hash } from '../content/hash.ts';
import { diskStat, kindOf, lstatOrNothing } from './disk-stat.ts';
import type { Disk, FileStats } from './disk.ts';
import { readSmall } from './file-io.ts';
import { sameFile } from './into-trash.ts';
import type { Known, Wanted } from './place-batch.ts';
import { sameStat, type DiskStat } from './placed.ts';

/** As the row says. Of folders only kind and mode count: their times and sizes follow what is in them. */
export function isAs(stats: FileStats, { kind, stat }: Known): boolean {
  if (kindOf(stats) !== kind) return false;
  const now = diskStat(stats);
  return kind === 'directory' ? now.mode === stat.mode : sameStat(now, stat);
}

/**
 * Of a file that we have given a second name, and taken that name again: as the row says, but for its time of change. `undefined`
 * where it is not so, or nobody can look.
 */
export function statBehindNames(disk: Disk, path: string, { kind, stat }: Known): DiskStat | undefined {
  try {
    const stats = kind === 'file' ? lstatOrNothing(disk, path) : undefined;
    if (stats === undefined || !sameFile(stats, stat)) return undefined;
    const now = diskStat(stats);
    return now.mode === stat.mode ? now : undefined;
  } catch {
    return undefined;
  }
}

/** False also where nobody can look. */
export function isThere(disk: Disk, path: string): boolean {
  try {
    return lstatOrNothing(disk, path) !== undefined;
  } catch {
    return false;
  }
}

/** Whether what lies there already has the wanted bytes: read and hashed where that is cheap. Else it is taken in, and found to be them. */
export function isWanted(disk: Disk, target: string, stats: FileStats, want: Wanted): boolean {
  if (kindOf(stats) !== want.kind) return false;
  if (want.kind === 'directory') return diskStat(stats).mode === want.mode;
  if (want.kind === 'symlink') return equalBytes(disk.readlink(target), want.target);
  if (stats.size !== want.bytes) return false;
  if (want.bytes === 0) return true;
  if (want.chunk === undefined) return false;
  const bytes = readSmall(disk, target);
  return bytes !== undefined && toHex(hash('chunk', bytes)) === want.chunk;
}
