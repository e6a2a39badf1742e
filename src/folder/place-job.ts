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
import { equalBytes } from '../base/bytes.ts';
import { messageOf, SamerootError, systemCode } from '../base/errors.ts';
import type { Clock } from '../base/world.ts';
import { Arrivals, noteOf, noteOfTouch, setModeAndTime, type Ready } from './arrivals.ts';
import { diskStat, kindOf, lstatExisting, lstatOrNothing, MODE_BITS, wholeMs } from './disk-stat.ts';
import type { Disk, FileStats } from './disk.ts';
import { cannotLink, tryToRemove } from './file-io.ts';
import { isAs, isThere, isWanted, statBehindNames } from './found-there.ts';
import { IntoTrash, QUARANTINE_FOLDER, sameFile, TRASH_FOLDER, type Trashed } from './into-trash.ts';
import { ioCode } from './io-error.ts';
import { Parents, type ParentFault } from './parents.ts';
import { parentPath } from './paths.ts';
import type { Batch, BatchResult, Check, Known, Outcome, Placement, Removal, Touch, Wanted } from './place-batch.ts';
import { dropNotes, forgetNotes, readNotes, writeNotes, type PlaceNotes } from './place-notes.ts';
import type { DiskStat } from './placed.ts';
import { readSettledLink, type SettledLink } from './settled-link.ts';

/** A name in staging for a file that is changed where it is. */
interface SecondName {
  /** `undefined`: it has none. */
  readonly name: string | undefined;
  /** Why not, where it should have one. */
  readonly error: unknown;
}

/** Public methods are jobs: see `disk-jobs.ts`. */
export class PlaceJobs {
  readonly #disk: Disk;
  readonly #clock: Clock;
  readonly #trash: IntoTrash;

  constructor(disk: Disk, clock: Clock, trash: IntoTrash) {
    this.#disk = disk;
    this.#clock = clock;
    this.#trash = trash;
  }

  /** @throws {SamerootError} `FOLDER_MISSING` */
  applyBatch(batch: Batch): BatchResult {
    if (lstatOrNothing(this.#disk, batch.tmp)?.isDirectory() !== true) {
      throw new SamerootError('FOLDER_MISSING', `${batch.root} is not there, or has lost its .sameroot`, { path: batch.root });
    }
    const result = new Applier(this.#disk, this.#trash, batch).run();
    return { ...result, placements: batch.placements.map((placement, at) => this.#settled(batch.root, placement, result.placements[at]!)) };
  }

  /** A link is looked at again when its tick is over (settled-link.ts): what is another by then is read again, as any edit. */
  #settled(root: string, { path, want }: Placement, outcome: Outcome): Outcome {
    if (want.kind !== 'symlink' || outcome.status !== 'done' || outcome.stat === undefined) return outcome;
    let link: SettledLink | undefined;
    try {
      link = readSettledLink({ disk: this.#disk, clock: this.#clock }, `${root}/${path}`);
    } catch {
      // Gone or changed: it was placed all the same.
    }
    if (link !== undefined && equalBytes(link.target, want.target)) return { ...outcome, stat: link.stat };
    return { ...outcome, stat: { ...outcome.stat, ctimeMs: 0 } };
  }

  /** What the last batch of an earlier run has shown. To be asked before anything else is done in staging. */
  readNotes(input: { tmp: string }): PlaceNotes | undefined {
    return readNotes(this.#disk, input.tmp);
  }
}

class Applier {
  readonly #disk: Disk;
  readonly #trash: IntoTrash;
  readonly #batch: Batch;
  readonly #parents: Parents;
  readonly #arrivals: Arrivals;
  readonly #touched = new Set<string>();
  /**
   * Files that have had a second name, and then were not replaced or changed after all: their time of change is ours. Their
   * rows are to say so, or they would be read again, and bits that have rotted on this disk would pass for an edit.
   */
  readonly #renewed = new Map<string, DiskStat>();

  constructor(disk: Disk, trash: IntoTrash, batch: Batch) {
    this.#disk = disk;
    this.#trash = trash;
    this.#batch = batch;
    this.#parents = new Parents(disk, batch.root);
    this.#arrivals = new Arrivals(disk, batch);
  }

  run(): BatchResult {
    const { removals, placements, touches, checks } = this.#batch;
    const checked = checks.map((check) => this.#guarded(check.path, () => this.#check(check)));
    const removed = removals.map((removal) => this.#removeOrLook(removal));
    const { placed, changed } = this.#show(placements, touches);
    this.#parents.restoreModes();
    return { removals: removed, placements: placed, touches: changed, checks: checked, touched: [...this.#touched] };
  }

  /**
   * What it is going to show is noted first. Notes of a batch before, which could not be taken back when they were wrong, are
   * forgotten before that, or nothing is made: it would take their names.
   */
  #show(placements: readonly Placement[], touches: readonly Touch[]): { placed: Outcome[]; changed: Outcome[] } {
    const { tmp, name } = this.#batch;
    const inTheWay = failureOf(() => forgetNotes(this.#disk, tmp));
    const ready = placements.map(({ want }) =>
      inTheWay === undefined ? this.#arrivals.make(want) : { arriving: undefined, error: inTheWay },
    );
    const seconds = touches.map((touch) => (inTheWay === undefined ? this.#secondName(touch) : { name: undefined, error: inTheWay }));
    const notes = [
      ...placements.map(({ path, row }, at) => noteOf(path, row, ready[at]!.arriving)),
      ...touches.map((touch, at) => noteOfTouch(touch, seconds[at]!.name)),
    ];
    const failure =
      inTheWay ?? failureOf(() => writeNotes(this.#disk, tmp, { batch: name, notes: notes.filter((note) => note !== undefined) }));
    const placed = placements.map((placement, at) =>
      this.#guarded(placement.path, () =>
        this.#place(placement, failure === undefined ? ready[at]! : { arriving: undefined, error: failure }),
      ),
    );
    const changed = touches.map((touch, at) => {
      const { name: second, error } = seconds[at]!;
      return this.#guarded(touch.path, () => this.#touch(touch, second, error ?? (second === undefined ? undefined : failure)));
    });
    // What was not shown is removed now, or placed by others later on, and would count as shown then.
    const isShown = [...placed.map(hasMoved), ...changed.map(({ status }) => status === 'done')];
    const wrong = new Set(notes.flatMap((note, at) => (note === undefined || isShown[at] === true ? [] : [note.temporary])));
    if (wrong.size === 0 || failureOf(() => dropNotes(this.#disk, tmp, wrong)) === undefined) this.#arrivals.removeLeftovers();
    for (const [at, { path, was }] of touches.entries()) if (changed[at]!.status === 'failed') this.#renew(path, was);
    return { placed: this.#withStats(placements, placed), changed: this.#withStats(touches, changed) };
  }

  #withStats(operations: readonly { readonly path: string }[], outcomes: readonly Outcome[]): Outcome[] {
    const statAt = (at: number): DiskStat | undefined => this.#renewed.get(operations[at]!.path);
    return outcomes.map((outcome, at) => (outcome.status === 'failed' ? { ...outcome, stat: statAt(at) } : outcome));
  }

  /** Where there are no second names, it is touched without a note; any other failure may pass, and it waits for that. */
  #secondName({ path, was, row }: Touch): SecondName {
    try {
      const has = row !== undefined && this.#parents.check(path) === undefined;
      return { name: has ? this.#arrivals.secondName(path, was) : undefined, error: undefined };
    } catch (error) {
      return { name: undefined, error: cannotLink(error) ? undefined : error };
    }
  }

  #renew(path: string, was: Known): void {
    const stat = statBehindNames(this.#disk, this.#absolute(path), was);
    if (stat !== undefined && stat.ctimeMs !== was.stat.ctimeMs) this.#renewed.set(path, stat);
  }

  #absolute(path: string): string {
    // Not `join`, which takes a path to pieces and puts it together again: ours are in order.
    return `${this.#batch.root}/${path}`;
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

  /** What is still there was not removed by us, whatever becomes of it. */
  #removeOrLook(removal: Removal): Outcome {
    const outcome = this.#guarded(removal.path, () => this.#remove(removal));
    return outcome.status === 'failed' ? { ...outcome, isThere: isThere(this.#disk, this.#absolute(removal.path)) } : outcome;
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
        this.#arrivals.filled(keepAs);
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
    const { path, want, setAside } = placement;
    const was = this.#knownOf(placement);
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
    const arriving = want.kind === 'directory' ? this.#arrivals.makeFolder(want.mode) : ready.arriving;
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
    try {
      this.#disk.rename(`${this.#batch.tmp}/${arriving.name}`, target);
    } catch (error) {
      if (was !== undefined && trashed !== undefined) this.#takeBack(path, was, trashed);
      throw error;
    }
    if (want.kind === 'directory') this.#parents.made(path);
    return { status: 'done', stat: this.#statOf(target, arriving.stats), trashed, moved: true };
  }

  #knownOf({ path, was }: Placement): Known | undefined {
    const stat = this.#renewed.get(path);
    return was === undefined || stat === undefined ? was : { ...was, stat };
  }

  /** It stays where it is: it needs no name in the trash. */
  #takeBack(path: string, was: Known, trashed: Trashed): void {
    const target = this.#absolute(path);
    if (statBehindNames(this.#disk, target, was) !== undefined) tryToRemove(this.#disk, join(this.#batch.root, trashed.path));
    this.#renew(path, was);
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

  /** What lies there is what is wanted: only mode and time are brought in line. */
  #adopt(path: string, stats: FileStats, want: Wanted): Outcome {
    const target = this.#absolute(path);
    if (want.kind === 'file') setModeAndTime(this.#disk, target, stats, want.mode, want.mtimeMs);
    this.#touched.add(path);
    const changed = want.kind === 'file' ? { mode: want.mode, mtimeMs: want.mtimeMs } : {};
    return { status: 'done', stat: this.#statInPlace(target, { ...diskStat(stats), ...changed }) };
  }

  #check({ path, was }: Check): Outcome {
    const fault = this.#parents.check(path);
    if (fault !== undefined) return blockedBy(fault);
    const stats = lstatOrNothing(this.#disk, this.#absolute(path));
    return stats !== undefined && isAs(stats, was) ? { status: 'left' } : { status: 'dirty', path };
  }

  #touch({ path, was, mode, mtimeMs }: Touch, secondName: string | undefined, failure: unknown): Outcome {
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
    if (failure !== undefined) throw failure;
    if (mtimeMs === undefined) {
      this.#disk.chmod(target, mode);
      this.#parents.modeSet(path);
    } else setModeAndTime(this.#disk, target, stats, mode, mtimeMs);
    // Before the last look: it is a change of the file too. What can not be removed is a leftover.
    if (secondName !== undefined) tryToRemove(this.#disk, join(this.#batch.tmp, secondName));
    // Lost in a power cut, the old mode under a row that says the new one would pass for an edit.
    this.#touched.add(path);
    return { status: 'done', stat: this.#statInPlace(target, { ...diskStat(stats), mode, mtimeMs: mtimeMs ?? stats.mtimeMs }) };
  }

  /** Of what was changed in place, and now should be like that: where it is not, a user may have been quicker, and it is read again. */
  #statInPlace(target: string, expected: DiskStat): DiskStat {
    let now: DiskStat;
    try {
      now = diskStat(lstatExisting(this.#disk, target));
    } catch {
      // It is changed all the same.
      return { ...expected, ctimeMs: 0 };
    }
    const isExpected = now.inode === expected.inode && now.bytes === expected.bytes && wholeMs(now.mtimeMs) === wholeMs(expected.mtimeMs);
    return isExpected ? now : { ...now, ctimeMs: 0 };
  }
}

/** Why not, if it can not be done. */
function failureOf(step: () => void): unknown {
  try {
    step();
    return undefined;
  } catch (error) {
    return error;
  }
}

function hasMoved(outcome: Outcome): boolean {
  return outcome.status === 'done' && outcome.moved === true;
}

function blockedBy(fault: ParentFault): Outcome {
  return fault.how === 'missing' ? { status: 'dirty', path: fault.path } : { status: 'blocked', path: fault.path };
}
