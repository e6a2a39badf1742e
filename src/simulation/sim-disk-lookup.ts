/**
 * Where paths lead for one user of a simulated disk, and what is allowed there.
 *
 * Invariant: nothing is made, changed or reached but through here, so that permissions hold on every way.
 */
import { DiskError, shownName } from './sim-disk-names.ts';
import type { Inode } from './sim-disk-inode.ts';
import type { DiskTree, Enter, Place } from './sim-disk-tree.ts';

const OWNER_SHIFT = 6;
export const READ = 4;
export const WRITE = 2;
export const SEARCH = 1;

export interface LookupOptions {
  /** Whether the permissions of the owner hold, as for a user who is not root. */
  readonly permissions: boolean;
  /** Whether names that are not UTF-8 are told and taken as they are kept. No program of a host can spell them. */
  readonly allNames: boolean;
}

export class Lookup {
  readonly #tree: DiskTree;
  readonly #options: LookupOptions;
  readonly #enter: Enter | undefined;

  constructor(tree: DiskTree, options: LookupOptions) {
    this.#tree = tree;
    this.#options = options;
    this.#enter = options.permissions ? (directory) => this.allow(directory, SEARCH) : undefined;
  }

  walk(path: string, follow: boolean): Place {
    return this.#tree.walk(this.#options.allNames ? path : shownName(path), follow, this.#enter);
  }

  existing(path: string, follow: boolean): Inode {
    const { inode } = this.walk(path, follow);
    if (inode === undefined) throw new DiskError('ENOENT', `nothing there: ${path}`);
    return inode;
  }

  allow(inode: Inode, bits: number): void {
    const allowed = (inode.attributes.mode >> OWNER_SHIFT) & bits;
    if (this.#options.permissions && allowed !== bits) throw new DiskError('EACCES', `the mode of inode ${inode.number} forbids it`);
  }

  /** A place where something may be made. */
  vacant(place: Place, path: string): Place {
    if (place.inode !== undefined) throw new DiskError('EEXIST', `is there already: ${path}`);
    this.allow(place.directory, WRITE | SEARCH);
    return place;
  }

  vacantForFile(path: string): Place {
    const place = this.vacant(this.walk(path, false), path);
    if (path.endsWith('/')) throw new DiskError('ENOENT', `the name of a folder: ${path}`);
    return place;
  }

  /** Told to the folder through whose name the file was reached. */
  tellChange({ directory, name, inode }: Place): void {
    if (directory.entries.get(name) === inode) this.#tree.watches.tell(directory, 'change', name);
  }
}
