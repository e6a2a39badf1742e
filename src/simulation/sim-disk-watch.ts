/**
 * Watches on simulated folders, as inotify has them: a watch belongs to the inode, so it follows its folder wherever
 * that is moved; events name what happened in the folder, never in those below it.
 *
 * Invariant: nothing is delivered inside the call that caused it, nor to a watch that is closed. `deliver` of the mount
 * decides when, whether, and how often: the kernel may drop and join events without a word.
 *
 * A folder that is removed or moved is told as an event with its own name. Some systems report the removal as an error
 * too, others do not: at random, so that nobody relies on it.
 */
import type { FolderWatch } from '../folder/disk.ts';
import type { SeededRandom } from './random.ts';
import type { DirectoryInode, Inode } from './sim-disk-inode.ts';
import { shownName } from './sim-disk-names.ts';

export type Deliver = (callback: () => void) => void;

export interface WatchOptions {
  /** Its own name, for events about itself. */
  readonly name: string;
  readonly deliver: Deliver;
  readonly onEvent: (event: string, name: string | undefined) => void;
  readonly onError: () => void;
}

class Watch implements FolderWatch {
  readonly #options: WatchOptions;
  #closed = false;
  readonly #forget: (watch: Watch) => void;

  constructor(options: WatchOptions, forget: (watch: Watch) => void) {
    this.#options = options;
    this.#forget = forget;
  }

  close(): void {
    this.#closed = true;
    this.#forget(this);
  }

  tell(event: 'rename' | 'change', name: string | undefined): void {
    const told = shownName(name ?? this.#options.name);
    this.#deliver(() => this.#options.onEvent(event, told));
  }

  fail(): void {
    this.#deliver(() => this.#options.onError());
  }

  #deliver(callback: () => void): void {
    this.#options.deliver(() => {
      if (!this.#closed) callback();
    });
  }
}

export class WatchTable {
  readonly #watches = new Map<Inode, Set<Watch>>();
  readonly #random: SeededRandom;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  add(inode: Inode, options: WatchOptions): FolderWatch {
    const watches = this.#watches.get(inode) ?? new Set();
    this.#watches.set(inode, watches);
    const watch = new Watch(options, (closed) => {
      watches.delete(closed);
      if (watches.size === 0 && this.#watches.get(inode) === watches) this.#watches.delete(inode);
    });
    watches.add(watch);
    return watch;
  }

  /** Something happened to a name in a folder; `undefined`: to the folder itself. */
  tell(folder: DirectoryInode, event: 'rename' | 'change', name: string | undefined): void {
    for (const watch of this.#watches.get(folder) ?? []) watch.tell(event, name);
  }

  moved(inode: Inode): void {
    for (const watch of this.#watches.get(inode) ?? []) watch.tell('rename', undefined);
  }

  removed(inode: Inode): void {
    for (const watch of this.#watches.get(inode) ?? []) {
      watch.tell('rename', undefined);
      if (this.#random.chance(0.5)) watch.fail();
    }
    this.#watches.delete(inode);
  }
}
