/** The trash, the part in the write thread: what leaves it. How files get into it says `into-trash.ts`. */
import { dirname, join } from 'node:path';
import { messageOf, systemCode, type ErrorCode } from '../base/errors.ts';
import { diskStat, lstatExisting, lstatOrNothing } from './disk-stat.ts';
import type { Disk } from './disk.ts';
import { cannotLink } from './file-io.ts';
import { sameFile, TRASH_FOLDER, type IntoTrash, type Trashed } from './into-trash.ts';
import { ioCode } from './io-error.ts';
import { Parents } from './parents.ts';
import type { DiskStat } from './placed.ts';

/** What became of a file that was to come back. */
export type RestoreOutcome =
  /** `scope`: the file, or the topmost folder that was made for it. `displaced`: what had to make room. */
  | { readonly status: 'done'; readonly scope: string; readonly displaced: Trashed | undefined }
  | { readonly status: 'skipped'; readonly code: ErrorCode; readonly message: string };

interface RestoreItem {
  readonly place: string;
  readonly stat: DiskStat;
  readonly target: string;
}

/** Public methods are jobs: see `disk-jobs.ts`. */
export class TrashJobs {
  readonly #disk: Disk;
  readonly #intoTrash: IntoTrash;

  constructor(disk: Disk, intoTrash: IntoTrash) {
    this.#disk = disk;
    this.#intoTrash = intoTrash;
  }

  /**
   * Moves a file from the trash into staging, if it is still the one that was put there and has no other name.
   * What happens to it afterwards happens to no other file then. True for those that were moved.
   */
  takeFromTrash(input: {
    root: string;
    tmp: string;
    items: readonly { readonly path: string; readonly stat: DiskStat; readonly name: string }[];
  }): boolean[] {
    return input.items.map(({ path, stat, name }) => {
      const source = join(input.root, path);
      const stats = lstatOrNothing(this.#disk, source);
      if (stats === undefined || stats.nlink !== 1 || !sameFile(stats, stat)) return false;
      this.#disk.rename(source, join(input.tmp, name));
      return true;
    });
  }

  /**
   * Gives files in the trash their name in the folder again. They keep the one in the trash until `emptyTrash`, so that a
   * crash leaves one name too many and never one too few.
   */
  restoreFromTrash(input: { root: string; day: string; force: boolean; items: readonly RestoreItem[] }): RestoreOutcome[] {
    const parents = new Parents(this.#disk, input.root);
    return input.items.map((item) => {
      try {
        return this.#restore(input, item, parents);
      } catch (error) {
        if (systemCode(error) === 'EEXIST') return taken(item.target);
        return { status: 'skipped', code: ioCode(error), message: messageOf(error) };
      }
    });
  }

  #restore({ root, day, force }: { root: string; day: string; force: boolean }, item: RestoreItem, parents: Parents): RestoreOutcome {
    const { place, target } = item;
    const source = lstatOrNothing(this.#disk, join(root, place));
    if (source === undefined || !sameFile(source, item.stat)) {
      return { status: 'skipped', code: 'NOT_FOUND', message: `${place} is gone, or another file by now` };
    }
    const fault = parents.check(target);
    if (fault !== undefined && fault.how !== 'missing') {
      return { status: 'skipped', code: 'PATH_BLOCKED', message: `${fault.path} is not a folder` };
    }
    const there = lstatOrNothing(this.#disk, join(root, target));
    if (there?.isDirectory() === true) return { status: 'skipped', code: 'PATH_BLOCKED', message: `${target} is a folder` };
    if (there !== undefined && !force) return taken(target);
    if (fault !== undefined) this.#disk.mkdir(dirname(join(root, target)), { recursive: true });
    const displaced = there === undefined ? undefined : this.#displace(root, day, target);
    this.#name(join(root, place), join(root, target));
    return { status: 'done', scope: fault?.path ?? target, displaced };
  }

  #displace(root: string, day: string, target: string): Trashed {
    const path = this.#intoTrash.move(root, day, target);
    return { path, stat: diskStat(lstatExisting(this.#disk, join(root, path))) };
  }

  /** A second name: where one has come meanwhile, `EEXIST`. */
  #name(source: string, target: string): void {
    try {
      this.#disk.link(source, target);
    } catch (error) {
      if (!cannotLink(error)) throw error;
      if (this.#disk.lstat(target) !== undefined) throw Object.assign(new Error('taken'), { code: 'EEXIST' });
      this.#disk.rename(source, target);
    }
  }

  /** Removes files from the trash, and the folders that become empty. */
  emptyTrash(input: { root: string; paths: readonly string[] }): void {
    for (const path of input.paths) {
      try {
        this.#disk.unlink(join(input.root, path));
        for (let folder = dirname(path); folder.length > TRASH_FOLDER.length; folder = dirname(folder)) {
          this.#disk.rmdir(join(input.root, folder));
        }
      } catch (error) {
        const fine = ['ENOENT', 'ENOTDIR', 'ENOTEMPTY', 'EEXIST'].includes(systemCode(error) ?? '');
        if (!fine) throw error;
      }
    }
  }

  /** Removes whole days. */
  emptyTrashDays(input: { root: string; days: readonly string[] }): void {
    for (const day of input.days) this.#disk.removeTree(join(input.root, TRASH_FOLDER, day));
  }
}

function taken(path: string): RestoreOutcome {
  return { status: 'skipped', code: 'PATH_TAKEN', message: `${path} is there already` };
}
