/**
 * One batch of changes to the shared folder, in the write thread.
 *
 * Invariants. Nothing is touched that is not exactly what its placed row says, or what the batch itself would put there:
 * everything else is `dirty`, the user's, and stays. A path is old or new at every moment: files and links arrive by
 * rename, after their bytes were flushed. What is replaced or removed is in the trash or in staging before it is gone.
 * No path is followed through a link: each parent must be a real folder. The caller flushes the names in the folders
 * that are `touched` before it writes its rows: with them a lost rename would be a delete by the user.
 *
 * Order: removals from the deepest path up, so that folders are empty when their turn comes; placements from the top
 * down; changes of mode and time last.
 */
import {
  chmodSync,
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  type Stats,
} from 'node:fs';
import { join } from 'node:path';
import { asBuffer, equalBytes, toHex } from '../base/bytes.ts';
import { messageOf, SamerootError, systemCode, type ErrorCode } from '../base/errors.ts';
import { hash } from '../content/hash.ts';
import { diskStat, kindOf, lstatOrNothing, MODE_BITS, wholeMs } from './disk-stat.ts';
import { ioCode } from './flush.ts';
import { Parents, type ParentFault } from './parents.ts';
import { parentPath } from './paths.ts';
import { sameStat, type DiskStat, type PlacedKind } from './placed.ts';
import { readSmall } from './file-io.ts';
import { linkToTrash, moveToTrash, sameFile, type Trashed } from './trash-jobs.ts';

export interface Known {
  readonly kind: PlacedKind;
  readonly stat: DiskStat;
}

export interface Removal {
  readonly path: string;
  readonly was: Known;
  /** Another path wants these bytes: they go to staging under this name, not to the trash. */
  readonly keepAs: string | undefined;
}

export interface WantedFile {
  readonly kind: 'file';
  readonly bytes: number;
  readonly mode: number;
  readonly mtimeMs: number;
  /** Name in staging. `undefined`: the bytes are not at hand (but what lies there already may be them); empty files need none. */
  readonly staged: string | undefined;
  /** Of a content of one chunk. */
  readonly chunk: string | undefined;
  /** Files that are known to hold the wanted bytes: they were on their way here when an earlier run died. */
  readonly inodes: readonly number[];
}

export type Wanted =
  | WantedFile
  | { readonly kind: 'symlink'; readonly target: Uint8Array }
  /** Implied: nobody's entry, only a parent; one that is there already is left as it is. */
  | { readonly kind: 'directory'; readonly mode: number; readonly implied: boolean };

export interface Placement {
  readonly path: string;
  readonly was: Known | undefined;
  readonly want: Wanted;
}

export interface Touch {
  readonly path: string;
  readonly was: Known;
  readonly mode: number;
  /** Files only. */
  readonly mtimeMs: number | undefined;
}

export interface Batch {
  readonly root: string;
  readonly tmp: string;
  /** `2026-11-23`: the folder in the trash. */
  readonly day: string;
  readonly removals: readonly Removal[];
  readonly placements: readonly Placement[];
  readonly touches: readonly Touch[];
  /** Files in staging that were made for this batch alone. */
  readonly copies: readonly string[];
}

export type Outcome =
  | {
      readonly status: 'done';
      readonly stat: DiskStat | undefined;
      readonly trashed?: Trashed | undefined;
      readonly moved?: boolean;
      readonly kept?: boolean;
    }
  /** A folder to be removed that is not empty; or one that should be made and is there. */
  | { readonly status: 'left' }
  /** `path` is not as its row says: it must be ingested first. */
  | { readonly status: 'dirty'; readonly path: string }
  /** `path`, a parent or this path itself, is not a folder or not a file as it would have to be. */
  | { readonly status: 'blocked'; readonly path: string }
  | { readonly status: 'absent' }
  | { readonly status: 'failed'; readonly code: ErrorCode; readonly message: string };

export interface BatchResult {
  readonly removals: readonly Outcome[];
  readonly placements: readonly Outcome[];
  readonly touches: readonly Outcome[];
  /** Folders, below the root, whose names have changed. */
  readonly touched: readonly string[];
}

/** @throws {SamerootError} `FOLDER_MISSING` */
export function applyBatch(batch: Batch): BatchResult {
  if (lstatOrNothing(batch.tmp)?.isDirectory() !== true) {
    throw new SamerootError('FOLDER_MISSING', `${batch.root} is not there, or has lost its .sameroot`, { path: batch.root });
  }
  return new Applier(batch).run();
}

class Applier {
  readonly #batch: Batch;
  readonly #parents: Parents;
  readonly #touched = new Set<string>();
  #nextName = 0;

  constructor(batch: Batch) {
    this.#batch = batch;
    this.#parents = new Parents(batch.root);
  }

  run(): BatchResult {
    const { removals, placements, touches } = this.#batch;
    const removed = removals.map((removal) => this.#guarded(removal.path, () => this.#remove(removal)));
    const placed = placements.map((placement) => this.#guarded(placement.path, () => this.#place(placement)));
    const changed = touches.map((touch) => this.#guarded(touch.path, () => this.#touch(touch)));
    for (const copy of this.#batch.copies) rmSync(join(this.#batch.tmp, copy), { force: true });
    this.#parents.restoreModes();
    return { removals: removed, placements: placed, touches: changed, touched: [...this.#touched] };
  }

  #absolute(path: string): string {
    return join(this.#batch.root, path);
  }

  #temporary(): string {
    return join(this.#batch.tmp, `place-${this.#nextName++}`);
  }

  /** Runs a step on `path`; a parent without write permission gets it for the time of the batch. */
  #guarded(path: string, step: () => Outcome): Outcome {
    try {
      try {
        return this.#noted(path, step());
      } catch (error) {
        const denied = systemCode(error) === 'EACCES' || systemCode(error) === 'EPERM';
        if (!denied || !this.#parents.makeWritable(path)) throw error;
        return this.#noted(path, step());
      }
    } catch (error) {
      return { status: 'failed', code: ioCode(error), message: messageOf(error) };
    }
  }

  /** Whose names are to be flushed. */
  #noted(path: string, outcome: Outcome): Outcome {
    if (outcome.status === 'done') this.#touched.add(parentPath(path) ?? '');
    return outcome;
  }

  #remove({ path, was, keepAs }: Removal): Outcome {
    const { root, day, tmp } = this.#batch;
    // Whatever is in the place of a parent, a folder with this path in it is not.
    if (this.#parents.check(path) !== undefined) return { status: 'done', stat: undefined };
    const target = this.#absolute(path);
    const stats = lstatOrNothing(target);
    if (stats === undefined) return { status: 'done', stat: undefined };
    if (was.kind === 'directory') {
      if (!stats.isDirectory()) return { status: 'dirty', path };
      return this.#removeFolder(path, target);
    }
    if (!isAs(stats, was)) return { status: 'dirty', path };
    if (keepAs !== undefined && stats.nlink === 1) {
      const kept = join(tmp, keepAs);
      renameSync(target, kept);
      if (sameFile(lstatSync(kept), was.stat)) return { status: 'done', stat: was.stat, kept: true };
      this.#giveBack(kept, target);
      return { status: 'dirty', path };
    }
    const place = moveToTrash(root, day, path);
    const moved = lstatSync(join(root, place));
    if (was.kind === 'file' && !sameFile(moved, was.stat)) {
      this.#giveBack(join(root, place), target);
      return { status: 'dirty', path };
    }
    return { status: 'done', stat: undefined, trashed: { path: place, stat: diskStat(moved) } };
  }

  /** A file that changed between the look and the rename goes back, unless a newer one has come. */
  #giveBack(taken: string, target: string): void {
    if (lstatOrNothing(target) === undefined) renameSync(taken, target);
  }

  #removeFolder(path: string, target: string): Outcome {
    try {
      rmdirSync(target);
    } catch (error) {
      if (systemCode(error) === 'ENOTEMPTY' || systemCode(error) === 'EEXIST') return { status: 'left' };
      throw error;
    }
    this.#parents.forget(path);
    this.#touched.delete(path);
    return { status: 'done', stat: undefined };
  }

  #place(placement: Placement): Outcome {
    const { path, was, want } = placement;
    const fault = this.#parents.check(path);
    if (fault !== undefined) return blockedBy(fault);
    const target = this.#absolute(path);
    const stats = lstatOrNothing(target);
    if (stats === undefined && was !== undefined) return { status: 'dirty', path };
    if (stats?.isDirectory() === true && want.kind !== 'directory') return { status: 'blocked', path };
    const replaces = stats !== undefined && was !== undefined && isAs(stats, was);
    if (stats !== undefined && !replaces) {
      if (want.kind === 'directory' && want.implied && stats.isDirectory()) return { status: 'left' };
      return isWanted(target, stats, want) ? this.#adopt(target, stats, want) : { status: 'dirty', path };
    }
    const temporary = this.#make(want);
    if (temporary === undefined) return { status: 'absent' };
    const arriving = lstatSync(temporary);
    let trashed: Trashed | undefined;
    if (replaces) {
      const place = linkToTrash(this.#batch.root, this.#batch.day, path);
      const now = lstatSync(join(this.#batch.root, place));
      trashed = { path: place, stat: diskStat(now) };
      // Copies have another inode; a link that is not the file we looked at shows that the user was quicker.
      if (was.kind === 'file' && now.nlink > 1 && !sameFile(now, was.stat)) return { status: 'dirty', path };
    }
    renameSync(temporary, target);
    if (want.kind === 'directory') this.#parents.made(path);
    const placed = lstatSync(target);
    if (placed.ino !== arriving.ino || placed.mtimeMs !== arriving.mtimeMs || placed.size !== arriving.size)
      return { status: 'dirty', path };
    return { status: 'done', stat: diskStat(placed), trashed, moved: true };
  }

  /** The new thing under a name in `tmp`, complete with mode and time; `undefined` where its bytes are not at hand. */
  #make(want: Wanted): string | undefined {
    if (want.kind === 'directory' || want.kind === 'symlink') {
      const temporary = this.#temporary();
      rmSync(temporary, { recursive: true, force: true });
      if (want.kind === 'symlink') symlinkSync(asBuffer(want.target), temporary);
      else {
        mkdirSync(temporary);
        chmodSync(temporary, want.mode);
      }
      return temporary;
    }
    if (want.bytes > 0 && want.staged === undefined) return undefined;
    const temporary = want.staged === undefined ? this.#temporary() : join(this.#batch.tmp, want.staged);
    if (want.staged === undefined) closeSync(openSync(temporary, 'w'));
    const stats = lstatOrNothing(temporary);
    if (stats !== undefined) setModeAndTime(temporary, stats, want.mode, want.mtimeMs);
    return stats === undefined ? undefined : temporary;
  }

  /** What lies there is what is wanted: only mode and time are brought in line. */
  #adopt(target: string, stats: Stats, want: Wanted): Outcome {
    if (want.kind === 'file') setModeAndTime(target, stats, want.mode, want.mtimeMs);
    return { status: 'done', stat: diskStat(lstatSync(target)) };
  }

  #touch({ path, was, mode, mtimeMs }: Touch): Outcome {
    const fault = this.#parents.check(path);
    if (fault !== undefined) return blockedBy(fault);
    const target = this.#absolute(path);
    const stats = lstatOrNothing(target);
    if (stats === undefined || kindOf(stats) !== was.kind) return { status: 'dirty', path };
    const now = { ...diskStat(stats), mode: this.#parents.modeOf(path) ?? stats.mode & MODE_BITS };
    // Also as we left it half done: the same file, with the old or the new mode and time.
    const modeFine = now.mode === was.stat.mode || now.mode === mode;
    const timeFine = mtimeMs === undefined || now.mtimeMs === was.stat.mtimeMs || wholeMs(now.mtimeMs) === mtimeMs;
    const sameBytes = was.kind === 'directory' || (now.inode === was.stat.inode && now.bytes === was.stat.bytes);
    if (!modeFine || !timeFine || !sameBytes) return { status: 'dirty', path };
    if (mtimeMs === undefined) {
      chmodSync(target, mode);
      this.#parents.modeSet(path);
    } else setModeAndTime(target, stats, mode, mtimeMs);
    return { status: 'done', stat: diskStat(lstatSync(target)) };
  }
}

function blockedBy(fault: ParentFault): Outcome {
  return fault.how === 'missing' ? { status: 'dirty', path: fault.path } : { status: 'blocked', path: fault.path };
}

/** As the row says. Of folders only kind and mode count: their times and sizes follow what is in them. */
function isAs(stats: Stats, was: Known): boolean {
  if (kindOf(stats) !== was.kind) return false;
  const now = diskStat(stats);
  return was.kind === 'directory' ? now.mode === was.stat.mode : sameStat(now, was.stat);
}

/** Whether what lies there already has the wanted bytes: known by its inode, or read and hashed where that is cheap. */
function isWanted(target: string, stats: Stats, want: Wanted): boolean {
  if (kindOf(stats) !== want.kind) return false;
  if (want.kind === 'directory') return diskStat(stats).mode === want.mode;
  if (want.kind === 'symlink') return equalBytes(readlinkSync(target, 'buffer'), want.target);
  if (stats.size !== want.bytes) return false;
  if (want.bytes === 0) return true;
  const now = diskStat(stats);
  if (want.inodes.includes(now.inode) && wholeMs(now.mtimeMs) === want.mtimeMs) return true;
  if (want.chunk === undefined) return false;
  const bytes = readSmall(target);
  return bytes !== undefined && toHex(hash('chunk', bytes)) === want.chunk;
}

/** The time gets 2 us more: as a number of seconds it would be rounded, now down into the millisecond before, now up. */
function setModeAndTime(path: string, stats: Stats, mode: number, mtimeMs: number): void {
  // As text, for a negative number would be taken for "now".
  if (wholeMs(stats.mtimeMs) !== mtimeMs) utimesSync(path, String(mtimeMs / 1000), String((mtimeMs + 0.002) / 1000));
  if ((stats.mode & MODE_BITS) !== mode) chmodSync(path, mode);
}
