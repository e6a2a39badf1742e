/**
 * Numbers that the entry codec and birth dots share. They are hashed, so they never change.
 */
import { MTIME_MS_MAX } from '../base/limits.ts';

/** The one byte for each kind of value. */
export const KIND_CODES = { deleted: 0, file: 1, symlink: 2, directory: 3, record: 4, blob: 5 } as const;

/** Permission bits with set-user-id, set-group-id and sticky. */
export const MODE_MAX = 0o7777;
export const COUNTER_MAX = 0xffff;
export const WALL_MS_MAX: number = 2 ** 48 - 1;
export const SEQUENCE_MAX: number = Number.MAX_SAFE_INTEGER;

/** The largest number that `foldTime` gives. */
export const FOLDED_TIME_MAX: number = 2 * MTIME_MS_MAX;

/** A time before or after 1970 as a whole number from 0, small for times near 1970: 0, -1, 1, -2, 2, ... ms give 0, 1, 2, 3, 4, ... */
export function foldTime(ms: number): number {
  return ms < 0 ? -2 * ms - 1 : 2 * ms;
}

/** The inverse of `foldTime`. */
export function unfoldTime(folded: number): number {
  return folded % 2 === 0 ? folded / 2 : -(folded + 1) / 2;
}
