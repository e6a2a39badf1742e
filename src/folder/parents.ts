/**
 * The folders above the paths of a batch. A path is only touched if each of them is a real folder: a link in between
 * could lead anywhere on this host. Looked up once per batch; the batch itself tells what it makes and removes.
 */
import { join } from 'node:path';
import { lstatExisting, lstatOrNothing, MODE_BITS } from './disk-stat.ts';
import type { Disk } from './disk.ts';
import { parentPath } from './paths.ts';

export interface ParentFault {
  readonly path: string;
  readonly how: 'missing' | 'link' | 'file';
}

const OWNER_WRITES = 0o300;

export class Parents {
  readonly #disk: Disk;
  readonly #root: string;
  readonly #sound = new Set<string>();
  readonly #modes = new Map<string, number>();

  constructor(disk: Disk, root: string) {
    this.#disk = disk;
    this.#root = root;
  }

  /** The topmost parent of `path` that is not a folder, if any. */
  check(path: string): ParentFault | undefined {
    const parent = parentPath(path);
    if (parent === undefined || this.#sound.has(parent)) return undefined;
    const above = this.check(parent);
    if (above !== undefined) return above;
    const stats = lstatOrNothing(this.#disk, join(this.#root, parent));
    if (stats === undefined) return { path: parent, how: 'missing' };
    if (!stats.isDirectory()) return { path: parent, how: stats.isSymbolicLink() ? 'link' : 'file' };
    this.#sound.add(parent);
    return undefined;
  }

  made(path: string): void {
    this.#sound.add(path);
  }

  forget(path: string): void {
    this.#sound.delete(path);
  }

  /** Lets the owner write into the parent of `path` until `restoreModes`; false where that changes nothing. */
  makeWritable(path: string): boolean {
    const parent = parentPath(path);
    if (parent === undefined) return false;
    const mode = lstatExisting(this.#disk, join(this.#root, parent)).mode & MODE_BITS;
    if ((mode & OWNER_WRITES) === OWNER_WRITES) return false;
    this.#modes.set(parent, mode);
    this.#disk.chmod(join(this.#root, parent), mode | OWNER_WRITES);
    return true;
  }

  /** The mode that a folder had before `makeWritable`, if that changed it. */
  modeOf(path: string): number | undefined {
    return this.#modes.get(path);
  }

  /** The folder has got its mode for good: there is nothing to restore. */
  modeSet(path: string): void {
    this.#modes.delete(path);
  }

  restoreModes(): void {
    for (const [path, mode] of this.#modes) {
      try {
        if (lstatOrNothing(this.#disk, join(this.#root, path))?.isDirectory() === true) this.#disk.chmod(join(this.#root, path), mode);
      } catch {
        // What was done meanwhile is to be told all the same; the mode will pass for an edit.
      }
    }
    this.#modes.clear();
  }
}
