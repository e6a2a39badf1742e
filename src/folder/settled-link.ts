/**
 * What a symlink says, with a stat that no other link can have at its path.
 *
 * Invariant: any later change of the link shows in its stat. File systems stamp times with the kernel's tick, and some give the
 * inode of a removed link to the next one at once; a target of the same length then makes a link that looks the same, if it
 * is made in the same tick. So a young link is read when its tick is over. (Of files see file-hash.ts. A file that we
 * have placed needs no such wait: its time of modification is its author's, which an edit replaces.)
 */
import type { Clock } from '../base/world.ts';
import { diskStat } from './disk-stat.ts';
import { TICK_MS_MAX, type Disk } from './disk.ts';
import { sameStat, type DiskStat } from './placed.ts';

export interface SettledLink {
  readonly stat: DiskStat;
  readonly target: Uint8Array;
}

/** `undefined` where there is no link, or it is just being changed. @throws what the disk throws */
export function readSettledLink({ disk, clock }: { readonly disk: Disk; readonly clock: Clock }, path: string): SettledLink | undefined {
  const before = disk.lstat(path);
  if (before?.isSymbolicLink() !== true) return undefined;
  if (Math.abs(clock.wallMs() - before.ctimeMs) <= TICK_MS_MAX) disk.nextTick();
  const target = disk.readlink(path);
  const after = disk.lstat(path);
  const stat = diskStat(before);
  return after !== undefined && sameStat(diskStat(after), stat) ? { stat, target } : undefined;
}
