/**
 * The open files of one process on a simulated disk.
 *
 * Invariant: a handle keeps its inode alive, whatever becomes of the name, until it is closed or the process is gone.
 */
import { OPEN, type FileStats } from '../folder/disk.ts';
import type { SeededRandom } from './random.ts';
import type { CallGate } from './sim-disk-gate.ts';
import { SimStats, type Inode } from './sim-disk-inode.ts';
import { READ, WRITE, type Lookup } from './sim-disk-lookup.ts';
import { DiskError } from './sim-disk-names.ts';
import type { DiskTree, Place } from './sim-disk-tree.ts';

const ACCESS_BITS = 3;
const MODE_BITS = 0o7777;
const FIRST_HANDLE = 3;

export interface HandleOptions {
  readonly random: SeededRandom;
  /** How probable it is that a write of several bytes takes fewer. */
  readonly shortWriteChance: number;
}

export interface Handle {
  readonly inode: Inode;
  readonly place: Place;
  readonly path: string;
  readonly access: number;
}

export class Handles {
  readonly #tree: DiskTree;
  readonly #gate: CallGate;
  readonly #lookup: Lookup;
  readonly #options: HandleOptions;
  readonly #handles = new Map<number, Handle>();
  #nextHandle = FIRST_HANDLE;

  constructor(tree: DiskTree, gate: CallGate, lookup: Lookup, options: HandleOptions) {
    this.#tree = tree;
    this.#gate = gate;
    this.#lookup = lookup;
    this.#options = options;
  }

  /** The process is gone, and its handles with it. */
  closeAll(): void {
    for (const { inode } of this.#handles.values()) this.#tree.close(inode);
    this.#handles.clear();
  }

  open(path: string, flags: number, mode: number): number {
    if ((flags & (OPEN.create | OPEN.truncate)) === 0) this.#gate.ask('open', path);
    else this.#gate.askEffect('open', path);
    const found = this.#find(path, flags);
    const inode = found.inode ?? this.#tree.createFile(this.#lookup.vacant(found, path), mode & MODE_BITS);
    const place = { ...found, inode };
    if (found.inode !== undefined && inode.kind === 'file' && (flags & OPEN.truncate) !== 0) {
      this.#tree.truncate(inode, 0);
      this.#lookup.tellChange(place);
    }
    this.#tree.open(inode);
    this.#handles.set(this.#nextHandle, { inode, place, path, access: flags & ACCESS_BITS });
    return this.#nextHandle++;
  }

  /** What may be opened so, or where a file may be made. */
  #find(path: string, flags: number): Place {
    const creates = (flags & OPEN.create) !== 0;
    const exclusive = creates && (flags & OPEN.exclusive) !== 0;
    const writes = (flags & ACCESS_BITS) !== OPEN.readOnly;
    const found = this.#lookup.walk(path, (flags & OPEN.noFollow) === 0 && !exclusive);
    const { inode } = found;
    if (creates && path.endsWith('/')) throw new DiskError('EISDIR', `the name of a folder: ${path}`);
    if (inode === undefined && !creates) throw new DiskError('ENOENT', `nothing to open: ${path}`);
    if (inode === undefined) return found;
    if (exclusive) throw new DiskError('EEXIST', `is there already: ${path}`);
    if (inode.kind === 'directory' && (writes || creates)) throw new DiskError('EISDIR', `a folder: ${path}`);
    if (inode.kind !== 'directory' && (flags & OPEN.folder) !== 0) throw new DiskError('ENOTDIR', `not a folder: ${path}`);
    if (inode.kind === 'symlink') throw new DiskError('ELOOP', `a symlink: ${path}`);
    if ((flags & ACCESS_BITS) !== OPEN.writeOnly) this.#lookup.allow(inode, READ);
    if (writes) this.#lookup.allow(inode, WRITE);
    return found;
  }

  fstat(handle: number): FileStats {
    const { inode, path } = this.get(handle);
    this.#gate.ask('fstat', path);
    return new SimStats(inode);
  }

  read(handle: number, target: Uint8Array, offset: number, bytes: number, position: number): number {
    const { inode, path, access } = this.get(handle);
    this.#gate.ask('read', path);
    if (access === OPEN.writeOnly) throw new DiskError('EBADF', `not open for reading: ${path}`);
    if (inode.kind !== 'file') throw new DiskError('EISDIR', `a folder: ${path}`);
    return inode.read(target, offset, bytes, position);
  }

  write(handle: number, source: Uint8Array, offset: number, bytes: number, position: number): number {
    const { inode, path, place, access } = this.get(handle);
    this.#gate.askEffect('write', path);
    if (access === OPEN.readOnly || inode.kind !== 'file') throw new DiskError('EBADF', `not open for writing: ${path}`);
    const { random, shortWriteChance } = this.#options;
    const taken = bytes > 1 && random.chance(shortWriteChance) ? 1 + random.below(bytes - 1) : bytes;
    if (taken === 0) return 0;
    const written = this.#tree.write(inode, source.subarray(offset, offset + taken), position);
    this.#lookup.tellChange(place);
    return written;
  }

  truncate(handle: number, bytes: number): void {
    const { inode, path, place, access } = this.get(handle);
    this.#gate.askEffect('truncate', path);
    if (access === OPEN.readOnly || inode.kind !== 'file') throw new DiskError('EINVAL', `not open for writing: ${path}`);
    this.#tree.truncate(inode, bytes);
    this.#lookup.tellChange(place);
  }

  flush(handle: number): void {
    const { inode, path } = this.get(handle);
    this.#gate.askFlush('flush', path, () => this.#tree.failFlush(inode));
    this.#tree.flush(inode);
  }

  flushLater(handle: number, done: (error: Error | undefined) => void): void {
    this.get(handle);
    this.#gate.later(() => this.flush(handle), done);
  }

  close(handle: number): void {
    const { inode, path } = this.get(handle);
    // Also where closing fails, the handle is gone.
    this.#handles.delete(handle);
    this.#tree.close(inode);
    this.#gate.ask('close', path);
  }

  get(handle: number): Handle {
    this.#gate.askAlive();
    const found = this.#handles.get(handle);
    if (found === undefined) throw new DiskError('EBADF', `not open: ${handle}`);
    return found;
  }
}
