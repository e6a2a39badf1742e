/**
 * What a batch makes in staging: files with the mode and time that they are to have, links and new folders, all one rename away
 * from their place; and second names of files that are changed where they are (place-notes.ts says what for).
 *
 * Invariant: what was made here goes with the batch, but only once the notes name nothing that was not shown: a note whose
 * file is gone counts.
 */
import { join } from 'node:path';
import { systemCode } from '../base/errors.ts';
import { diskStat, lstatExisting, MODE_BITS, wholeMs } from './disk-stat.ts';
import { OPEN, type Disk, type FileStats } from './disk.ts';
import { tryToRemove } from './file-io.ts';
import type { Batch, Known, Touch, Wanted, WantedFile, WantedLink } from './place-batch.ts';
import type { PlaceNote } from './place-notes.ts';

/** In staging, complete with mode and time. */
export interface Arriving {
  readonly name: string;
  readonly stats: FileStats;
}

/** What a placement needs in staging; folders are made when their turn comes. */
export interface Ready {
  readonly arriving: Arriving | undefined;
  readonly error: unknown;
}

export class Arrivals {
  readonly #disk: Disk;
  readonly #batch: Batch;
  /** Names in staging that removals of this batch are to fill, and have not: a file with such a name is a leftover. */
  readonly #unfilled: Set<string | undefined>;
  /** Names in staging of what was made here. */
  readonly #own: string[] = [];

  constructor(disk: Disk, batch: Batch) {
    this.#disk = disk;
    this.#batch = batch;
    this.#unfilled = new Set(batch.removals.map(({ keepAs }) => keepAs));
  }

  /** A removal has left its file under this name. */
  filled(name: string): void {
    this.#unfilled.delete(name);
  }

  make(want: Wanted): Ready {
    try {
      return { arriving: want.kind === 'directory' ? undefined : this.#make(want), error: undefined };
    } catch (error) {
      return { arriving: undefined, error };
    }
  }

  makeFolder(mode: number): Arriving {
    const name = this.#ownName();
    this.#disk.mkdir(this.#inStaging(name));
    this.#disk.chmod(this.#inStaging(name), mode);
    return this.#arriving(name);
  }

  /** Of the file that its row speaks of; `undefined` where another lies there. */
  secondName(path: string, was: Known): string | undefined {
    const name = this.#ownName();
    this.#disk.link(join(this.#batch.root, path), this.#inStaging(name));
    return diskStat(this.#arriving(name).stats).inode === was.stat.inode ? name : undefined;
  }

  removeLeftovers(): void {
    for (const leftover of [...this.#own, ...this.#batch.copies]) tryToRemove(this.#disk, this.#inStaging(leftover));
  }

  /** The new thing; `undefined` where its bytes are not at hand. */
  #make(want: WantedFile | WantedLink): Arriving | undefined {
    if (want.kind === 'symlink') {
      const name = this.#ownName();
      this.#disk.symlink(want.target, this.#inStaging(name));
      return this.#arriving(name);
    }
    if (want.bytes > 0 && (want.staged === undefined || this.#unfilled.has(want.staged))) return undefined;
    const name = want.staged ?? this.#ownName();
    const temporary = this.#inStaging(name);
    if (want.staged === undefined) this.#disk.close(this.#disk.open(temporary, OPEN.writeOnly | OPEN.create | OPEN.exclusive));
    try {
      giveTime(this.#disk, temporary, want.mtimeMs);
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return undefined;
      throw error;
    }
    this.#disk.chmod(temporary, want.mode);
    return this.#arriving(name);
  }

  #inStaging(name: string): string {
    return `${this.#batch.tmp}/${name}`;
  }

  /** A name in staging that is free. */
  #ownName(): string {
    const name = `place-${this.#own.length}`;
    this.#own.push(name);
    this.#disk.removeTree(this.#inStaging(name));
    return name;
  }

  #arriving(name: string): Arriving {
    return { name, stats: lstatExisting(this.#disk, this.#inStaging(name)) };
  }
}

export function noteOf(path: string, row: Uint8Array | undefined, arriving: Arriving | undefined): PlaceNote | undefined {
  if (row === undefined || arriving === undefined) return undefined;
  return { temporary: arriving.name, path, row, stat: diskStat(arriving.stats), modeBefore: undefined };
}

export function noteOfTouch({ path, row, was, mode, mtimeMs }: Touch, secondName: string | undefined): PlaceNote | undefined {
  if (row === undefined || secondName === undefined) return undefined;
  const isTimeKept = mtimeMs === undefined || wholeMs(was.stat.mtimeMs) === mtimeMs;
  const stat = { ...was.stat, mtimeMs: isTimeKept ? was.stat.mtimeMs : mtimeMs, ctimeMs: 0, mode };
  return { temporary: secondName, path, row, stat, modeBefore: was.stat.mode };
}

/** Of a file that is there. The mode comes last: where it is new, all is. */
export function setModeAndTime(disk: Disk, path: string, stats: FileStats, mode: number, mtimeMs: number): void {
  if (wholeMs(stats.mtimeMs) !== mtimeMs) giveTime(disk, path, mtimeMs);
  if ((stats.mode & MODE_BITS) !== mode) disk.chmod(path, mode);
}

/** 2 us more: as a number of seconds it would be rounded, now down into the millisecond before, now up. */
function giveTime(disk: Disk, path: string, mtimeMs: number): void {
  // As text, for a negative number would be taken for "now".
  disk.utimes(path, String(mtimeMs / 1000), String((mtimeMs + 0.002) / 1000));
}
