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
import { messageOf, SamerootError, systemCode } from '../base/errors.ts';
import { hash } from '../content/hash.ts';
import { diskStat, kindOf, lstatExisting, lstatOrNothing, MODE_BITS, wholeMs } from './disk-stat.ts';
import { OPEN, type Disk, type FileStats } from './disk.ts';
import { readSmall, tryToRemove } from './file-io.ts';
import { IntoTrash, QUARANTINE_FOLDER, sameFile, TRASH_FOLDER, type Trashed } from './into-trash.ts';
import { ioCode } from './io-error.ts';
import { Parents, type ParentFault } from './parents.ts';
import { parentPath } from './paths.ts';
import type {
  Batch,
  BatchResult,
  Check,
  Known,
  Outcome,
  Placement,
  Removal,
  Touch,
  Wanted,
  WantedFile,
  WantedLink,
} from './place-batch.ts';
import { readNotes, writeNotes, type PlaceNote, type PlaceNotes } from './place-notes.ts';
import { sameStat, type DiskStat } from './placed.ts';

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

  /** What the last batch of an earlier run has shown. To be asked before anything else is done in staging. */
  readNotes(input: { tmp: string }): PlaceNotes | undefined {
    return readNotes(this.#disk, input.tmp);
  }
}

/** In staging, complete with mode and time. */
interface Arriving {
  readonly name: string;
  readonly stats: FileStats;
}

/** What a placement needs in staging; folders are made when their turn comes. */
interface Ready {
  readonly arriving: Arriving | undefined;
  readonly error: unknown;
}

class Applier {
  readonly #disk: Disk;
  readonly #trash: IntoTrash;
  readonly #batch: Batch;
  readonly #parents: Parents;
  readonly #touched = new Set<string>();
  /** Names in staging that removals of this batch are to fill, and have not: a file with such a name is a leftover. */
  readonly #unfilled: Set<string | undefined>;
  /** Names in staging of what was made here. */
  readonly #own: string[] = [];

  constructor(disk: Disk, trash: IntoTrash, batch: Batch) {
    this.#disk = disk;
    this.#trash = trash;
    this.#batch = batch;
    this.#parents = new Parents(disk, batch.root);
    this.#unfilled = new Set(batch.removals.map(({ keepAs }) => keepAs));
  }

  run(): BatchResult {
    const { removals, placements, touches, checks } = this.#batch;
    const checked = checks.map((check) => this.#guarded(check.path, () => this.#check(check)));
    const removed = removals.map((removal) => this.#guarded(removal.path, () => this.#remove(removal)));
    const placed = this.#placeAll(placements);
    const changed = touches.map((touch) => this.#guarded(touch.path, () => this.#touch(touch)));
    this.#parents.restoreModes();
    return { removals: removed, placements: placed, touches: changed, checks: checked, touched: [...this.#touched] };
  }

  #placeAll(placements: readonly Placement[]): Outcome[] {
    const ready = placements.map(({ want }) => this.#makeReady(want));
    const notes = placements.map(({ path, row }, at) => noteOf(path, row, ready[at]!.arriving));
    const failure = this.#tryToNote(notes);
    const placed = placements.map((placement, at) =>
      this.#guarded(placement.path, () =>
        this.#place(placement, failure === undefined ? ready[at]! : { arriving: undefined, error: failure }),
      ),
    );
    // What has not moved is removed now, or placed by others later on, and would count as shown then.
    const right = notes.map((note, at) => (hasMoved(placed[at]!) ? note : undefined));
    if (right.every((note, at) => note === notes[at]) || this.#tryToNote(right) === undefined) {
      for (const leftover of [...this.#own, ...this.#batch.copies]) tryToRemove(this.#disk, join(this.#batch.tmp, leftover));
    }
    return placed;
  }

  /** Why not, if it can not be done. */
  #tryToNote(notes: readonly (PlaceNote | undefined)[]): unknown {
    const { tmp, name } = this.#batch;
    try {
      writeNotes(this.#disk, tmp, { batch: name, notes: notes.filter((note) => note !== undefined) });
      return undefined;
    } catch (error) {
      return error;
    }
  }

  #absolute(path: string): string {
    return join(this.#batch.root, path);
  }

  /** A name in staging that is free. */
  #ownName(): string {
    const name = `place-${this.#own.length}`;
    this.#own.push(name);
    this.#disk.removeTree(join(this.#batch.tmp, name));
    return name;
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

  #remove({ path, was, keepAs, setAside, mayBeGone }: Removal): Outcome {
    const { root, tmp } = this.#batch;
    // Whatever is in the place of a parent, a folder with this path in it is not.
    const target = this.#absolute(path);
    const stats = this.#parents.check(path) === undefined ? lstatOrNothing(this.#disk, target) : undefined;
    if (stats === undefined) return mayBeGone ? { status: 'done', stat: undefined } : { status: 'dirty', path };
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

  #place(placement: Placement, ready: Ready): Outcome {
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
    if (ready.error !== undefined) throw ready.error;
    const arriving = want.kind === 'directory' ? this.#makeFolder(want.mode) : ready.arriving;
    if (arriving === undefined) return { status: 'absent' };
    let trashed: Trashed | undefined;
    if (replaces) {
      const [folder, base] = this.#refuge(setAside);
      const place = this.#trash.link(this.#batch.root, folder, path, base);
      const now = lstatExisting(this.#disk, join(this.#batch.root, place));
      trashed = { path: place, stat: diskStat(now) };
      // Copies have another inode; a link that is not the file we looked at shows that the user was quicker.
      if (was.kind === 'file' && now.nlink > 1 && !sameFile(now, was.stat)) return { status: 'dirty', path };
    }
    this.#disk.rename(join(this.#batch.tmp, arriving.name), target);
    if (want.kind === 'directory') this.#parents.made(path);
    return { status: 'done', stat: this.#statOf(target, arriving.stats), trashed, moved: true };
  }

  /** Of what has arrived. Where it can not be seen any more, for a user was quicker, say, it is as no file ever is. */
  #statOf(target: string, arriving: FileStats): DiskStat {
    try {
      const placed = this.#disk.lstat(target);
      if (placed?.ino === arriving.ino && placed.mtimeMs === arriving.mtimeMs && placed.size === arriving.size) return diskStat(placed);
    } catch {
      // It is there all the same.
    }
    return { ...diskStat(arriving), ctimeMs: 0 };
  }

  #makeReady(want: Wanted): Ready {
    try {
      return { arriving: want.kind === 'directory' ? undefined : this.#make(want), error: undefined };
    } catch (error) {
      return { arriving: undefined, error };
    }
  }

  /** The new thing; `undefined` where its bytes are not at hand. */
  #make(want: WantedFile | WantedLink): Arriving | undefined {
    const { tmp } = this.#batch;
    if (want.kind === 'symlink') {
      const name = this.#ownName();
      this.#disk.symlink(want.target, join(tmp, name));
      return this.#arriving(name);
    }
    if (want.bytes > 0 && (want.staged === undefined || this.#unfilled.has(want.staged))) return undefined;
    const name = want.staged ?? this.#ownName();
    const temporary = join(tmp, name);
    if (want.staged === undefined) this.#disk.close(this.#disk.open(temporary, OPEN.writeOnly | OPEN.create | OPEN.exclusive));
    const stats = lstatOrNothing(this.#disk, temporary);
    if (stats === undefined) return undefined;
    setModeAndTime(this.#disk, temporary, stats, want.mode, want.mtimeMs);
    return this.#arriving(name);
  }

  #makeFolder(mode: number): Arriving {
    const name = this.#ownName();
    this.#disk.mkdir(join(this.#batch.tmp, name));
    this.#disk.chmod(join(this.#batch.tmp, name), mode);
    return this.#arriving(name);
  }

  #arriving(name: string): Arriving {
    return { name, stats: lstatExisting(this.#disk, join(this.#batch.tmp, name)) };
  }

  /** What lies there is what is wanted: only mode and time are brought in line. */
  #adopt(path: string, stats: FileStats, want: Wanted): Outcome {
    const target = this.#absolute(path);
    if (want.kind === 'file') setModeAndTime(this.#disk, target, stats, want.mode, want.mtimeMs);
    this.#touched.add(path);
    return { status: 'done', stat: diskStat(lstatExisting(this.#disk, target)) };
  }

  #check({ path, was }: Check): Outcome {
    const fault = this.#parents.check(path);
    if (fault !== undefined) return blockedBy(fault);
    const stats = lstatOrNothing(this.#disk, this.#absolute(path));
    return stats !== undefined && isAs(stats, was) ? { status: 'left' } : { status: 'dirty', path };
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

function noteOf(path: string, row: Uint8Array | undefined, arriving: Arriving | undefined): PlaceNote | undefined {
  return row === undefined || arriving === undefined ? undefined : { temporary: arriving.name, path, row, stat: diskStat(arriving.stats) };
}

function hasMoved(outcome: Outcome): boolean {
  return outcome.status === 'done' && outcome.moved === true;
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

/** Whether what lies there already has the wanted bytes: read and hashed where that is cheap. Else it is taken in, and found to be them. */
function isWanted(disk: Disk, target: string, stats: FileStats, want: Wanted): boolean {
  if (kindOf(stats) !== want.kind) return false;
  if (want.kind === 'directory') return diskStat(stats).mode === want.mode;
  if (want.kind === 'symlink') return equalBytes(disk.readlink(target), want.target);
  if (stats.size !== want.bytes) return false;
  if (want.bytes === 0) return true;
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
