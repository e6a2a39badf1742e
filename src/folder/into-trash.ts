/**
 * Into the trash, in the write thread. Files go to `.sameroot/trash/<day>/<path>`; where that name is taken, to
 * `<day>/~<time>-<number>/<path>`, so that nothing in the trash is ever overwritten and no search for a free name is needed.
 * Links always go to such a folder of their own, so that no path in the trash leads through one.
 */
import { dirname, join } from 'node:path';
import { systemCode } from '../base/errors.ts';
import type { Clock } from '../base/world.ts';
import { diskStat, lstatExisting } from './disk-stat.ts';
import type { Disk, FileStats } from './disk.ts';
import { OWN_FOLDER } from './paths.ts';
import type { DiskStat } from './placed.ts';

/** Relative to the shared folder. */
export const TRASH_FOLDER: string = `${OWN_FOLDER}/trash`;

/** What must not be lost but gave way to what the peers have. Nothing here ever goes by itself. Relative to the shared folder. */
export const QUARANTINE_FOLDER: string = `${OWN_FOLDER}/quarantine`;

export interface Trashed {
  /** Relative to the shared folder. */
  readonly path: string;
  readonly stat: DiskStat;
}

/** The same file with the same bytes; renaming and linking change its ctime only. */
export function sameFile(stats: FileStats, expected: DiskStat): boolean {
  const now = diskStat(stats);
  return stats.isFile() && now.inode === expected.inode && now.bytes === expected.bytes && now.mtimeMs === expected.mtimeMs;
}

export class IntoTrash {
  readonly #disk: Disk;
  readonly #clock: Clock;
  #counter = 0;

  constructor(disk: Disk, clock: Clock) {
    this.#disk = disk;
    this.#clock = clock;
  }

  /**
   * Puts a second name of the file at `path` into the trash; where the file system has no hard links, a copy.
   * The file itself stays where it is.
   */
  link(root: string, day: string, path: string, base: string = TRASH_FOLDER): string {
    return this.#put(root, `${base}/${day}`, path, (source, target) => {
      if (lstatExisting(this.#disk, source).isSymbolicLink()) {
        this.#disk.symlink(this.#disk.readlink(source), target);
        return;
      }
      try {
        this.#disk.link(source, target);
      } catch (error) {
        if (systemCode(error) === 'EEXIST' || systemCode(error) === 'ENOENT') throw error;
        this.#disk.copyFile(source, target, { exclusive: true });
      }
    });
  }

  /** Moves the file or link at `path` into the trash, or to another place of the kind. */
  move(root: string, day: string, path: string, base: string = TRASH_FOLDER): string {
    return this.#put(root, `${base}/${day}`, path, (source, target) => {
      if (this.#disk.lstat(target) !== undefined) throw Object.assign(new Error('taken'), { code: 'EEXIST' });
      this.#disk.rename(source, target);
    });
  }

  #put(root: string, whole: string, path: string, put: (source: string, target: string) => void): string {
    const attempt = (folder: string): string => {
      const place = `${folder}/${path}`;
      this.#disk.mkdir(dirname(join(root, place)), { recursive: true });
      put(join(root, path), join(root, place));
      return place;
    };
    try {
      if (!lstatExisting(this.#disk, join(root, path)).isSymbolicLink()) return attempt(whole);
    } catch (error) {
      if (!['EEXIST', 'ENOTDIR', 'EISDIR'].includes(systemCode(error) ?? '')) throw error;
    }
    const time = new Date(this.#clock.wallMs()).toISOString().slice(11, 23).replaceAll(':', '');
    return attempt(`${whole}/~${time}-${this.#counter++}`);
  }
}
