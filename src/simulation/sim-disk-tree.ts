/**
 * The folders of the simulated disk: where paths lead, changes of names, attributes and bytes, numbers and room.
 *
 * Bytes of a file are durable as of its last flush, names and attributes as `sim-disk-journal.ts` says; the two are
 * apart, so a name may well be durable and lead to torn bytes.
 *
 * Invariant: every change goes through here, so that none misses the journal, the time stamps or the count of pages.
 * What is allowed is for the caller to check (`sim-disk-mount.ts`); here a wrong call is our bug.
 */
import { assert } from '../base/assert.ts';
import type { Clock } from '../base/world.ts';
import type { SeededRandom } from './random.ts';
import { DirectoryInode, FileInode, LinkInode, PAGE_BYTES, pagesOf, type Inode } from './sim-disk-inode.ts';
import { DiskJournal } from './sim-disk-journal.ts';
import { DiskError, NAME_BYTES_MAX, nameBytes, PATH_BYTES_MAX } from './sim-disk-names.ts';
import { StampClock } from './sim-disk-stamps.ts';
import { WatchTable } from './sim-disk-watch.ts';

const TOP_NUMBER = 2;
const LINKS_FOLLOWED_MAX = 40;
const UMASK = 0o022;

export interface TreeOptions {
  readonly clock: Clock;
  readonly random: SeededRandom;
  readonly capacityBytes: number;
  /** Times are cut to whole ticks; 0: mostly each change has its own, as on a disk with fine stamps. */
  readonly tickMs: number;
  /** How probable it is that a new inode gets the number of one that is gone. */
  readonly reuseChance: number;
}

/** Where a path leads: what is there, if anything, and the folder and name for making or removing it. */
export interface Place {
  readonly directory: DirectoryInode;
  readonly name: string;
  readonly inode: Inode | undefined;
}

/** Asked for each folder on the way; may throw. */
export type Enter = (directory: DirectoryInode) => void;

export class DiskTree {
  readonly top: DirectoryInode;
  readonly watches: WatchTable;
  readonly stamps: StampClock;
  readonly capacityPages: number;
  readonly #options: TreeOptions;
  readonly #journal = new DiskJournal();
  /** With bytes that were not flushed. */
  #dirty = new Set<FileInode>();
  #freeNumbers: number[] = [];
  #nextNumber = TOP_NUMBER + 1;
  #usedPages = 1;

  constructor(options: TreeOptions) {
    this.#options = options;
    this.capacityPages = Math.floor(options.capacityBytes / PAGE_BYTES);
    this.watches = new WatchTable(options.random);
    this.stamps = new StampClock(options.clock, options.tickMs);
    this.top = new DirectoryInode(TOP_NUMBER, 0o755, this.stamps.nowMs());
    this.top.names = 1;
  }

  get freePages(): number {
    return this.capacityPages - this.#usedPages;
  }

  walk(path: string, follow: boolean, enter: Enter | undefined): Place {
    if (path.length > PATH_BYTES_MAX) throw new DiskError('ENAMETOOLONG', 'the path is too long');
    return this.#walk(this.top, path, follow, { enter, links: 0 });
  }

  #walk(start: DirectoryInode, path: string, follow: boolean, way: { readonly enter: Enter | undefined; links: number }): Place {
    if (path === '') throw new DiskError('ENOENT', 'the path is empty');
    const names = path.split('/').filter((name) => name !== '' && name !== '.');
    const last = names.pop();
    let directory = path.startsWith('/') ? this.top : start;
    if (last === undefined) return { directory, name: '.', inode: directory };
    for (const name of names) directory = asDirectory(this.#step(directory, name, true, way).inode);
    const place = this.#step(directory, last, follow || path.endsWith('/'), way);
    if (path.endsWith('/') && place.inode !== undefined) asDirectory(place.inode);
    return place;
  }

  #step(directory: DirectoryInode, name: string, follow: boolean, way: { readonly enter: Enter | undefined; links: number }): Place {
    way.enter?.(directory);
    if (name === '..') return { directory: directory.parent, name, inode: directory.parent };
    if (name.length > NAME_BYTES_MAX / 3 && nameBytes(name).length > NAME_BYTES_MAX) {
      throw new DiskError('ENAMETOOLONG', 'a name is too long');
    }
    const inode = directory.entries.get(name);
    if (inode?.kind !== 'symlink' || !follow) return { directory, name, inode };
    if (++way.links > LINKS_FOLLOWED_MAX) throw new DiskError('ELOOP', 'too many symlinks');
    return this.#walk(directory, Buffer.from(inode.target).toString(), true, way);
  }

  createFile(place: Place, mode: number): FileInode {
    const inode = new FileInode(this.#takeNumber(), mode & ~UMASK, this.stamps.nowMs());
    this.#changeNames([{ ...place, inode }], [inode]);
    return inode;
  }

  createDirectory(place: Place): DirectoryInode {
    if (this.freePages < 1) throw new DiskError('ENOSPC', 'no room for a folder');
    const inode = new DirectoryInode(this.#takeNumber(), 0o777 & ~UMASK, this.stamps.nowMs());
    this.#usedPages += inode.pages;
    this.#changeNames([{ ...place, inode }], [inode]);
    return inode;
  }

  createSymlink(place: Place, target: Uint8Array): LinkInode {
    const inode = new LinkInode(this.#takeNumber(), target, this.stamps.nowMs());
    this.#changeNames([{ ...place, inode }], [inode]);
    return inode;
  }

  /** One more name for a file. */
  addName(place: Place, inode: Inode): void {
    this.#changeNames([{ ...place, inode }], []);
  }

  removeName(place: Place): void {
    this.#changeNames([{ ...place, inode: undefined }], []);
  }

  /** What is at the target goes, in the same instant. */
  rename(source: Place, target: Place): void {
    const { inode } = source;
    assert(inode !== undefined && inode !== target.inode, 'there is nothing to rename');
    this.#changeNames(
      [
        { ...source, inode: undefined },
        { ...target, inode },
      ],
      [],
    );
    this.watches.moved(inode);
  }

  /** `inode` at each place from now on; one change of the journal. */
  #changeNames(edits: readonly Place[], concerned: readonly Inode[]): void {
    const nowMs = this.stamps.nowMs();
    const undo: (() => void)[] = [];
    const removed: Inode[] = [];
    const touch = (inode: Inode, mtimeMs: number = inode.attributes.mtimeMs): void => {
      const before = inode.attributes;
      undo.push(() => (inode.attributes = before));
      stamp(inode, { mtimeMs, ctimeMs: nowMs });
    };
    for (const { directory, name, inode } of edits) {
      const before = directory.entries.get(name);
      if (before !== undefined) {
        touch(before);
        removed.push(before);
      }
      if (inode !== undefined) touch(inode);
      touch(directory, nowMs);
      undo.push(setName(directory, name, inode));
    }
    this.#journal.record([...edits.map(({ directory }) => directory), ...concerned], () => {
      for (const step of undo.reverse()) step();
    });
    for (const { directory, name } of edits) this.watches.tell(directory, 'rename', name);
    for (const inode of removed) this.#freeIfGone(inode);
  }

  /** Sets some attributes, and the time of change. */
  touch(inode: Inode, changed: { readonly mode?: number; readonly mtimeMs?: number }): void {
    this.#journal.recordAttributes(inode, inode.attributes);
    stamp(inode, { ...changed, ctimeMs: this.stamps.nowMs() });
  }

  /** Writes what there is room for, and says how much that is. */
  write(inode: FileInode, source: Uint8Array, position: number): number {
    let bytes = source.length;
    while (bytes > 0 && inode.freshPages(position, bytes) > this.freePages) {
      bytes = Math.max(0, (pagesOf(position + bytes) - 1) * PAGE_BYTES - position);
    }
    if (bytes < source.length && bytes === 0) throw new DiskError('ENOSPC', 'no room for these bytes');
    this.#changeBytes(inode, () => inode.write(source.subarray(0, bytes), position));
    return bytes;
  }

  truncate(inode: FileInode, size: number): void {
    this.#changeBytes(inode, () => inode.truncate(size));
  }

  /** Into an empty file. */
  copyBytes(source: FileInode, target: FileInode): void {
    if (source.pages > this.freePages) throw new DiskError('ENOSPC', 'no room for a copy');
    this.#changeBytes(target, () => target.copyFrom(source));
  }

  #changeBytes(inode: FileInode, change: () => void): void {
    const pages = inode.pages;
    change();
    this.#usedPages += inode.pages - pages;
    this.#dirty.add(inode);
    this.#journal.recordAttributes(inode, inode.attributes);
    const nowMs = this.stamps.nowMs();
    stamp(inode, { mtimeMs: nowMs, ctimeMs: nowMs });
  }

  open(inode: Inode): void {
    inode.handles++;
  }

  close(inode: Inode): void {
    inode.handles--;
    this.#freeIfGone(inode);
  }

  flush(inode: Inode): void {
    this.#journal.flush(inode);
    if (inode.kind !== 'file') return;
    inode.flush();
    this.#dirty.delete(inode);
  }

  /** As the kernel fails: what is lost is told once, and the next flush has nothing to say. */
  failFlush(inode: Inode): void {
    if (inode.kind !== 'file') return;
    const pages = inode.pages;
    inode.failFlush(this.#options.random);
    this.#usedPages += inode.pages - pages;
    this.#dirty.delete(inode);
  }

  flushAll(): void {
    this.#journal.flushAll();
    for (const inode of this.#dirty) inode.flush();
    this.#dirty = new Set();
  }

  failFlushAll(): void {
    const dirty = [...this.#dirty];
    if (dirty.length > 0) this.failFlush(dirty[this.#options.random.below(dirty.length)]!);
    this.flushAll();
  }

  /** There are no handles by then. */
  losePower(random: SeededRandom): void {
    this.#journal.losePower(random);
    this.#dirty = new Set();
    const inodes = this.inodes();
    for (const inode of inodes) if (inode.kind === 'file') inode.losePower(random);
    const numbers = new Set([...inodes].map(({ number }) => number));
    this.#freeNumbers = [];
    for (let number = TOP_NUMBER + 1; number < this.#nextNumber; number++) if (!numbers.has(number)) this.#freeNumbers.push(number);
    this.#usedPages = 0;
    for (const { pages } of inodes) this.#usedPages += pages;
  }

  /** All that has a name, each once. */
  inodes(): ReadonlySet<Inode> {
    const found = new Set<Inode>([this.top]);
    for (const inode of found) {
      if (inode.kind === 'directory') for (const child of inode.entries.values()) found.add(child);
    }
    return found;
  }

  /** The numbers that are free now are not given again. */
  retireNumbers(): void {
    this.#freeNumbers = [];
  }

  #takeNumber(): number {
    const { random, reuseChance } = this.#options;
    const reused = this.#freeNumbers.length > 0 && random.chance(reuseChance) ? this.#freeNumbers.pop() : undefined;
    return reused ?? this.#nextNumber++;
  }

  #freeIfGone(inode: Inode): void {
    if (inode.names > 0 || inode.handles > 0) return;
    this.#freeNumbers.push(inode.number);
    this.#usedPages -= inode.pages;
    if (inode.kind === 'file') this.#dirty.delete(inode);
    this.watches.removed(inode);
  }
}

export function asDirectory(inode: Inode | undefined): DirectoryInode {
  if (inode === undefined) throw new DiskError('ENOENT', 'no such folder');
  if (inode.kind !== 'directory') throw new DiskError('ENOTDIR', 'not a folder');
  return inode;
}

function stamp(
  inode: Inode,
  { mode, mtimeMs, ctimeMs }: { readonly mode?: number; readonly mtimeMs?: number; readonly ctimeMs: number },
): void {
  const before = inode.attributes;
  inode.attributes = { mode: mode ?? before.mode, mtimeMs: mtimeMs ?? before.mtimeMs, ctimeMs };
}

/** Returns what undoes it. */
function setName(directory: DirectoryInode, name: string, inode: Inode | undefined): () => void {
  const before = directory.entries.get(name);
  if (before !== undefined) before.names--;
  if (inode === undefined) directory.entries.delete(name);
  else {
    directory.entries.set(name, inode);
    inode.names++;
    if (inode.kind === 'directory') inode.parent = directory;
  }
  return () => setName(directory, name, before);
}
