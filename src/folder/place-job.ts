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
import { join } from 'node:path';
import { equalBytes, toHex } from '../base/bytes.ts';
import { messageOf, SamerootError, systemCode, type ErrorCode } from '../base/errors.ts';
import { hash } from '../content/hash.ts';
import { diskStat, kindOf, lstatExisting, lstatOrNothing, MODE_BITS, wholeMs } from './disk-stat.ts';
import { OPEN, type Disk, type FileStats } from './disk.ts';
import { readSmall, tryToRemove } from './file-io.ts';
import { IntoTrash, QUARANTINE_FOLDER, sameFile, TRASH_FOLDER, type Trashed } from './into-trash.ts';
import { ioCode } from './io-error.ts';
import { Parents, type ParentFault } from './parents.ts';
import { parentPath } from './paths.ts';
import { sameStat, type DiskStat, type PlacedKind } from './placed.ts';

export interface Known {
  readonly kind: PlacedKind;
  readonly stat: DiskStat;
}

export interface Removal {
  readonly path: string;
  readonly was: Known;
  /** Another path wants these bytes: they go to staging under this name, not to the trash. */
  readonly keepAs: string | undefined;
  /** To the quarantine, not to the trash. */
  readonly setAside: boolean;
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
  /** What was there goes to the quarantine, not to the trash. */
  readonly setAside: boolean;
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
  /** The folder in the quarantine, while something is set aside. */
  readonly quarantine: string | undefined;
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
  /** Below the root: folders whose names have changed, and what has another mode or time in place. */
  readonly touched: readonly string[];
}

/** Public methods are jobs: see `disk-jobs.ts`. */
export class PlaceJobs {
  readonly #disk: Disk;
  readonly #trash: IntoTrash;

  constructor(disk: Disk, trash: IntoTrash) {
    this.#disk = disk;
    this.#trash = trash;
  }

  /** @throws {SamerootError} `FOLDER_MISSING` */
  applyBatch(batch: Batch): BatchResult {
    if (lstatOrNothing(this.#disk, batch.tmp)?.isDirectory() !== true) {
      throw new SamerootError('FOLDER_MISSING', `${batch.root} is not there, or has lost its .sameroot`, { path: batch.root });
    }
    return new Applier(this.#disk, this.#trash, batch).run();
  }
}

class Applier {
  readonly #disk: Disk;
  readonly #trash: IntoTrash;
  readonly #batch: Batch;
  readonly #parents: Parents;
  readonly #touched = new Set<string>();
  /** Names in staging that removals of this batch are to fill, and have not: a file with such a name is a leftover. */
  readonly #unfilled: Set<string | undefined>;
  #nextName = 0;

  constructor(disk: Disk, trash: IntoTrash, batch: Batch) {
    this.#disk = disk;
    this.#trash = trash;
    this.#batch = batch;
    this.#parents = new Parents(disk, batch.root);
    this.#unfilled = new Set(batch.removals.map(({ keepAs }) => keepAs));
  }

  run(): BatchResult {
    const { removals, placements, touches } = this.#batch;
    const removed = removals.map((removal) => this.#guarded(removal.path, () => this.#remove(removal)));
    const placed = placements.map((placement) => this.#guarded(placement.path, () => this.#place(placement)));
    const changed = touches.map((touch) => this.#guarded(touch.path, () => this.#touch(touch)));
    for (const copy of this.#batch.copies) tryToRemove(this.#disk, join(this.#batch.tmp, copy));
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

  /** Where a file goes that gives way: the folder, and where that is. */
  #refuge(setAside: boolean): readonly [folder: string, base: string] {
    const { day, quarantine } = this.#batch;
    return setAside && quarantine !== undefined ? [quarantine, QUARANTINE_FOLDER] : [day, TRASH_FOLDER];
  }

  #remove({ path, was, keepAs, setAside }: Removal): Outcome {
    const { root, tmp } = this.#batch;
    // Whatever is in the place of a parent, a folder with this path in it is not.
    if (this.#parents.check(path) !== undefined) return { status: 'done', stat: undefined };
    const target = this.#absolute(path);
    const stats = lstatOrNothing(this.#disk, target);
    if (stats === undefined) return { status: 'done', stat: undefined };
    if (was.kind === 'directory') {
      if (!stats.isDirectory()) return { status: 'dirty', path };
      return this.#removeFolder(path, target);
    }
    if (!isAs(stats, was)) return { status: 'dirty', path };
    if (keepAs !== undefined && stats.nlink === 1) {
      const kept = join(tmp, keepAs);
      this.#disk.rename(target, kept);
      if (sameFile(lstatExisting(this.#disk, kept), was.stat)) {
        this.#unfilled.delete(keepAs);
        return { status: 'done', stat: was.stat, kept: true };
      }
      this.#giveBack(kept, target);
      return { status: 'dirty', path };
    }
    const [folder, base] = this.#refuge(setAside);
    const place = this.#trash.move(root, folder, path, base);
    const moved = lstatExisting(this.#disk, join(root, place));
    if (was.kind === 'file' && !sameFile(moved, was.stat)) {
      this.#giveBack(join(root, place), target);
      return { status: 'dirty', path };
    }
    return { status: 'done', stat: undefined, trashed: { path: place, stat: diskStat(moved) } };
  }

  /** A file that changed between the look and the rename goes back, unless a newer one has come. */
  #giveBack(taken: string, target: string): void {
    if (lstatOrNothing(this.#disk, target) === undefined) this.#disk.rename(taken, target);
  }

  #removeFolder(path: string, target: string): Outcome {
    try {
      this.#disk.rmdir(target);
    } catch (error) {
      if (systemCode(error) === 'ENOTEMPTY' || systemCode(error) === 'EEXIST') return { status: 'left' };
      throw error;
    }
    this.#parents.forget(path);
    this.#touched.delete(path);
    return { status: 'done', stat: undefined };
  }

  #place(placement: Placement): Outcome {
    const { path, was, want, setAside } = placement;
    const fault = this.#parents.check(path);
    if (fault !== undefined) return blockedBy(fault);
    const target = this.#absolute(path);
    const stats = lstatOrNothing(this.#disk, target);
    if (stats === undefined && was !== undefined) return { status: 'dirty', path };
    if (stats?.isDirectory() === true && want.kind !== 'directory') return { status: 'blocked', path };
    const replaces = stats !== undefined && was !== undefined && isAs(stats, was);
    if (stats !== undefined && !replaces) {
      if (want.kind === 'directory' && want.implied && stats.isDirectory()) return { status: 'left' };
      return isWanted(this.#disk, target, stats, want) ? this.#adopt(path, stats, want) : { status: 'dirty', path };
    }
    const temporary = this.#make(want);
    if (temporary === undefined) return { status: 'absent' };
    const arriving = lstatExisting(this.#disk, temporary);
    let trashed: Trashed | undefined;
    if (replaces) {
      const [folder, base] = this.#refuge(setAside);
      const place = this.#trash.link(this.#batch.root, folder, path, base);
      const now = lstatExisting(this.#disk, join(this.#batch.root, place));
      trashed = { path: place, stat: diskStat(now) };
      // Copies have another inode; a link that is not the file we looked at shows that the user was quicker.
      if (was.kind === 'file' && now.nlink > 1 && !sameFile(now, was.stat)) return { status: 'dirty', path };
    }
    this.#disk.rename(temporary, target);
    if (want.kind === 'directory') this.#parents.made(path);
    const placed = lstatExisting(this.#disk, target);
    if (placed.ino !== arriving.ino || placed.mtimeMs !== arriving.mtimeMs || placed.size !== arriving.size)
      return { status: 'dirty', path };
    return { status: 'done', stat: diskStat(placed), trashed, moved: true };
  }

  /** The new thing under a name in `tmp`, complete with mode and time; `undefined` where its bytes are not at hand. */
  #make(want: Wanted): string | undefined {
    if (want.kind === 'directory' || want.kind === 'symlink') {
      const temporary = this.#temporary();
      this.#disk.removeTree(temporary);
      if (want.kind === 'symlink') this.#disk.symlink(want.target, temporary);
      else {
        this.#disk.mkdir(temporary);
        this.#disk.chmod(temporary, want.mode);
      }
      return temporary;
    }
    if (want.bytes > 0 && (want.staged === undefined || this.#unfilled.has(want.staged))) return undefined;
    const temporary = want.staged === undefined ? this.#temporary() : join(this.#batch.tmp, want.staged);
    if (want.staged === undefined) this.#disk.close(this.#disk.open(temporary, OPEN.writeOnly | OPEN.create | OPEN.truncate));
    const stats = lstatOrNothing(this.#disk, temporary);
    if (stats !== undefined) setModeAndTime(this.#disk, temporary, stats, want.mode, want.mtimeMs);
    return stats === undefined ? undefined : temporary;
  }

  /** What lies there is what is wanted: only mode and time are brought in line. */
  #adopt(path: string, stats: FileStats, want: Wanted): Outcome {
    const target = this.#absolute(path);
    if (want.kind === 'file') setModeAndTime(this.#disk, target, stats, want.mode, want.mtimeMs);
    this.#touched.add(path);
    return { status: 'done', stat: diskStat(lstatExisting(this.#disk, target)) };
  }

  #touch({ path, was, mode, mtimeMs }: Touch): Outcome {
    const fault = this.#parents.check(path);
    if (fault !== undefined) return blockedBy(fault);
    const target = this.#absolute(path);
    const stats = lstatOrNothing(this.#disk, target);
    if (stats === undefined || kindOf(stats) !== was.kind) return { status: 'dirty', path };
    const now = { ...diskStat(stats), mode: this.#parents.modeOf(path) ?? stats.mode & MODE_BITS };
    // Also as we left it half done: the same file, with the old or the new mode and time.
    const modeFine = now.mode === was.stat.mode || now.mode === mode;
    const timeFine = mtimeMs === undefined || now.mtimeMs === was.stat.mtimeMs || wholeMs(now.mtimeMs) === mtimeMs;
    const sameBytes = was.kind === 'directory' || (now.inode === was.stat.inode && now.bytes === was.stat.bytes);
    if (!modeFine || !timeFine || !sameBytes) return { status: 'dirty', path };
    if (mtimeMs === undefined) {
      this.#disk.chmod(target, mode);
      this.#parents.modeSet(path);
    } else setModeAndTime(this.#disk, target, stats, mode, mtimeMs);
    // Lost in a power cut, the old mode under a row that says the new one would pass for an edit.
    this.#touched.add(path);
    return { status: 'done', stat: diskStat(lstatExisting(this.#disk, target)) };
  }
}

function blockedBy(fault: ParentFault): Outcome {
  return fault.how === 'missing' ? { status: 'dirty', path: fault.path } : { status: 'blocked', path: fault.path };
}

/** As the row says. Of folders only kind and mode count: their times and sizes follow what is in them. */
function isAs(stats: FileStats, was: Known): boolean {
  if (kindOf(stats) !== was.kind) return false;
  const now = diskStat(stats);
  return was.kind === 'directory' ? now.mode === was.stat.mode : sameStat(now, was.stat);
}

/** Whether what lies there already has the wanted bytes: known by its inode, or read and hashed where that is cheap. */
function isWanted(disk: Disk, target: string, stats: FileStats, want: Wanted): boolean {
  if (kindOf(stats) !== want.kind) return false;
  if (want.kind === 'directory') return diskStat(stats).mode === want.mode;
  if (want.kind === 'symlink') return equalBytes(disk.readlink(target), want.target);
  if (stats.size !== want.bytes) return false;
  if (want.bytes === 0) return true;
  const now = diskStat(stats);
  if (want.inodes.includes(now.inode) && wholeMs(now.mtimeMs) === want.mtimeMs) return true;
  if (want.chunk === undefined) return false;
  const bytes = readSmall(disk, target);
  return bytes !== undefined && toHex(hash('chunk', bytes)) === want.chunk;
}

/** The time gets 2 us more: as a number of seconds it would be rounded, now down into the millisecond before, now up. */
function setModeAndTime(disk: Disk, path: string, stats: FileStats, mode: number, mtimeMs: number): void {
  // As text, for a negative number would be taken for "now".
  if (wholeMs(stats.mtimeMs) !== mtimeMs) disk.utimes(path, String(mtimeMs / 1000), String((mtimeMs + 0.002) / 1000));
  if ((stats.mode & MODE_BITS) !== mode) disk.chmod(path, mode);
}
