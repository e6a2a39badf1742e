/**
 * The disk of one simulated host: a POSIX file system in memory that outlives the processes which use it, forgets at a
 * power loss what was not flushed, fails, fills up and rots on demand. Deterministic: time and chance come from outside.
 *
 * Durability model: names and attributes are a journal of which a prefix survives (`sim-disk-journal.ts`); the bytes of
 * a file are durable as of its last flush, and what was written since comes out old, new, cut, zero or mixed by pages
 * (`FileInode.losePower`); a flush that fails is told once (`FileInode.failFlush`).
 *
 * Invariant: whatever is asked of a mount happens at once and in one order for all mounts; a mount that was closed, or
 * whose host died in `effect`, changes nothing any more. So each incarnation of a host gets a mount of its own.
 */
import { assert } from '../base/assert.ts';
import { systemCode } from '../base/errors.ts';
import { FLUSH_EACH_MAX, OPEN, type DiskAccess, type FolderWatch } from '../folder/disk.ts';
import { ioError } from '../folder/io-error.ts';
import type { SeededRandom } from './random.ts';
import { CallGate, type MountHooks } from './sim-disk-gate.ts';
import { MountedDisk, type MountOptions } from './sim-disk-mount.ts';
import { shownName } from './sim-disk-names.ts';
import { restoreTree, snapshotTree, type DiskSnapshot } from './sim-disk-snapshot.ts';
import { DiskTree, type TreeOptions } from './sim-disk-tree.ts';

/** What a flush finds where the file is gone, or is another thing by now. */
const NOT_THERE: ReadonlySet<string | undefined> = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES']);

export interface SimDiskOptions extends TreeOptions {
  /** How probable it is that a write of several bytes takes fewer. */
  readonly shortWriteChance: number;
  /** Whether the permissions of the owner hold for the host, as for a user who is not root. */
  readonly permissions: boolean;
  /** Whether the whole file system can be flushed at once. */
  readonly canSync: boolean;
}

/** The disk as seen by one incarnation of a host, until it ends. */
export interface SimMount extends DiskAccess {
  unmount(): void;
}

export class SimFileSystem {
  readonly #options: SimDiskOptions;
  readonly #tree: DiskTree;
  readonly #mounts = new Set<Mount>();

  constructor(options: SimDiskOptions) {
    this.#options = options;
    this.#tree = new DiskTree(options);
  }

  mount(hooks: MountHooks): SimMount {
    const mount = new Mount(this.#tree, hooks, { ...this.#options, allNames: false }, () => this.#mounts.delete(mount));
    this.#mounts.add(mount);
    return mount;
  }

  /** For the people at this host and the checks of the simulation: never crashes, fails or is refused, nor tells events. */
  mountForUser(): SimMount {
    const hooks = { effect: () => {}, fault: () => undefined, deliver: () => {}, defer: (callback: () => void) => callback() };
    return new Mount(this.#tree, hooks, { ...this.#options, shortWriteChance: 0, permissions: false, allNames: true }, () => {});
  }

  /** The process dies: what it did stays, its handles and watches are gone. */
  kill(): void {
    for (const mount of this.#mounts) mount.unmount();
  }

  powerLoss(random: SeededRandom): void {
    this.kill();
    this.#tree.losePower(random);
  }

  /** Changes one bit of a file, and nothing that `stat` says. Returns what turns it back, or nothing where there is no byte. */
  flipBit(path: string, random: SeededRandom): (() => void) | undefined {
    const { inode } = this.#tree.walk(path, false, undefined);
    return inode?.kind === 'file' ? inode.flipBit(random) : undefined;
  }

  snapshot(): DiskSnapshot {
    return snapshotTree(this.#tree);
  }

  /** Puts everything back as `cp -a` from a backup would: other inodes, born and changed now; then all is durable. */
  restore(snapshot: DiskSnapshot): void {
    assert(this.#mounts.size === 0, 'a disk is restored while no host runs on it');
    restoreTree(this.#tree, snapshot);
  }
}

class Mount implements SimMount {
  readonly disk: MountedDisk;
  readonly #tree: DiskTree;
  readonly #gate: CallGate;
  readonly #canSync: boolean;
  readonly #watches = new Set<FolderWatch>();

  constructor(tree: DiskTree, hooks: MountHooks, options: SimDiskOptions & MountOptions, onDeath: () => void) {
    this.#tree = tree;
    this.#canSync = options.canSync;
    this.#gate = new CallGate(hooks, () => {
      this.disk.closeAll();
      for (const watch of this.#watches) watch.close();
      onDeath();
    });
    this.disk = new MountedDisk(tree, this.#gate, options);
  }

  unmount(): void {
    this.#gate.die();
  }

  async makeDurable(root: string, files: readonly string[], inodes: readonly string[]): Promise<void> {
    if (files.length + inodes.length > FLUSH_EACH_MAX && this.#canSync) {
      return this.#later(root, () => this.disk.flushAll(root));
    }
    const flush = (path: string, what: 'bytes' | 'names'): Promise<void> =>
      this.#later(path, () => this.#flushThere(`${root}/${path}`, what));
    await Promise.all([...files.map((path) => flush(path, 'bytes')), ...inodes.map((path) => flush(path, 'names'))]);
  }

  #flushThere(path: string, what: 'bytes' | 'names'): void {
    try {
      const handle = this.disk.open(path, OPEN.readOnly | OPEN.noFollow);
      try {
        this.disk.flush(handle, what);
      } finally {
        if (this.#gate.alive) this.disk.close(handle);
      }
    } catch (error) {
      if (!NOT_THERE.has(systemCode(error))) throw error;
    }
  }

  /** Does not end if the host is dead by then. */
  #later(path: string, run: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#gate.later(run, (cause) => {
        if (cause === undefined) resolve();
        else reject(ioError('could not be flushed', path, cause));
      });
    });
  }

  watch(folder: string, onEvent: (event: string, name: string | undefined) => void, onError: () => void): FolderWatch {
    const inode = this.disk.watched(folder);
    const name = shownName(folder.slice(folder.lastIndexOf('/') + 1));
    const watch = this.#tree.watches.add(inode, { name, deliver: (callback) => this.#gate.hooks.deliver(callback), onEvent, onError });
    const owned = {
      close: (): void => {
        watch.close();
        this.#watches.delete(owned);
      },
    };
    this.#watches.add(owned);
    return owned;
  }
}
