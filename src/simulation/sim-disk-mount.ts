/**
 * The simulated disk as one incarnation of a host sees it: the checks and error codes of POSIX (of Linux where systems
 * differ, of libuv where that adds some). Effects on the disk are those of `DiskTree`.
 *
 * Invariant: each change is announced to the gate first and checked in full next; then it happens in one step.
 */
import { OPEN, type Disk, type FileStats } from '../folder/disk.ts';
import type { CallGate } from './sim-disk-gate.ts';
import { Handles, type Handle, type HandleOptions } from './sim-disk-handles.ts';
import { PAGE_BYTES, SimStats, type DirectoryInode, type Inode } from './sim-disk-inode.ts';
import { Lookup, READ, SEARCH, WRITE, type LookupOptions } from './sim-disk-lookup.ts';
import { DiskError, nameBytes, secondsToMs, shownName } from './sim-disk-names.ts';
import { asDirectory, type DiskTree, type Place } from './sim-disk-tree.ts';

const MODE_BITS = 0o7777;

export type MountOptions = LookupOptions & HandleOptions;

export class MountedDisk implements Disk {
  readonly #tree: DiskTree;
  readonly #gate: CallGate;
  readonly #lookup: Lookup;
  readonly #handles: Handles;
  readonly #allNames: boolean;

  constructor(tree: DiskTree, gate: CallGate, options: MountOptions) {
    this.#tree = tree;
    this.#gate = gate;
    this.#lookup = new Lookup(tree, options);
    this.#handles = new Handles(tree, gate, this.#lookup, options);
    this.#allNames = options.allNames;
  }

  /** The process is gone, and its handles with it. */
  closeAll(): void {
    this.#handles.closeAll();
  }

  open(path: string, flags: number, mode: number = 0o666): number {
    return this.#handles.open(path, flags, mode);
  }

  fstat(handle: number): FileStats {
    return this.#handles.fstat(handle);
  }

  read(handle: number, target: Uint8Array, offset: number, bytes: number, position: number): number {
    return this.#handles.read(handle, target, offset, bytes, position);
  }

  write(handle: number, source: Uint8Array, offset: number, bytes: number, position: number): number {
    return this.#handles.write(handle, source, offset, bytes, position);
  }

  truncate(handle: number, bytes: number): void {
    this.#handles.truncate(handle, bytes);
  }

  flush(handle: number, _what: 'bytes' | 'names'): void {
    this.#handles.flush(handle);
  }

  flushLater(handle: number, done: (error: Error | undefined) => void): void {
    this.#handles.flushLater(handle, done);
  }

  close(handle: number): void {
    this.#handles.close(handle);
  }

  nextTick(): void {
    this.#gate.askAlive();
    this.#tree.stamps.nextTick();
  }

  /** Not a call of the port: what the program `sync -f` does. */
  flushAll(folder: string): void {
    this.#gate.askFlush('syncFileSystem', folder, () => this.#tree.failFlushAll());
    this.#lookup.existing(folder, true);
    this.#tree.flushAll();
  }

  lstat(path: string): FileStats | undefined {
    this.#gate.ask('lstat', path);
    try {
      const { inode } = this.#lookup.walk(path, false);
      return inode === undefined ? undefined : new SimStats(inode);
    } catch (error) {
      if (error instanceof DiskError && error.code === 'ENOENT') return undefined;
      throw error;
    }
  }

  readdir(path: string): string[] {
    const names = [...this.#readable('readdir', path).entries.keys()];
    return this.#allNames ? names : names.map(shownName);
  }

  readdirBytes(path: string): Uint8Array[] {
    return [...this.#readable('readdirBytes', path).entries.keys()].map(nameBytes);
  }

  subfolders(path: string): string[] {
    const { entries } = this.#readable('subfolders', path);
    return [...entries].filter(([, { kind }]) => kind === 'directory').map(([name]) => shownName(name));
  }

  #readable(operation: string, path: string): DirectoryInode {
    this.#gate.ask(operation, path);
    const directory = asDirectory(this.#lookup.walk(path, true).inode);
    this.#lookup.allow(directory, READ);
    return directory;
  }

  readlink(path: string): Uint8Array {
    this.#gate.ask('readlink', path);
    const inode = this.#lookup.existing(path, false);
    if (inode.kind !== 'symlink') throw new DiskError('EINVAL', `not a symlink: ${path}`);
    return inode.target.slice();
  }

  mkdir(path: string, options?: { readonly recursive: boolean }): void {
    if (options?.recursive !== true) return this.#mkdir(path);
    const names = path.split('/').filter((name) => name !== '');
    for (const index of names.keys()) {
      const folder = `/${names.slice(0, index + 1).join('/')}`;
      const { inode } = this.#lookup.walk(folder, true);
      if (inode === undefined) {
        const dangling = this.#lookup.walk(folder, false).inode !== undefined;
        if (dangling) throw new DiskError('ENOENT', `leads nowhere: ${folder}`);
        this.#mkdir(folder);
      } else if (inode.kind !== 'directory') {
        throw new DiskError(index + 1 === names.length ? 'EEXIST' : 'ENOTDIR', `not a folder: ${folder}`);
      }
    }
  }

  #mkdir(path: string): void {
    this.#gate.askEffect('mkdir', path);
    this.#tree.createDirectory(this.#lookup.vacant(this.#lookup.walk(path, false), path));
  }

  rmdir(path: string): void {
    this.#gate.askEffect('rmdir', path);
    const place = this.#lookup.walk(path, false);
    const directory = asDirectory(place.inode);
    if (place.name === '.') throw new DiskError(directory === this.#tree.top ? 'EBUSY' : 'EINVAL', `can not be removed: ${path}`);
    if (directory.entries.size > 0) throw new DiskError('ENOTEMPTY', `not empty: ${path}`);
    this.#lookup.allow(place.directory, WRITE | SEARCH);
    this.#tree.removeName(place);
  }

  unlink(path: string): void {
    this.#gate.askEffect('unlink', path);
    const place = this.#lookup.walk(path, false);
    if (place.inode === undefined) throw new DiskError('ENOENT', `nothing to remove: ${path}`);
    if (place.inode.kind === 'directory') throw new DiskError('EISDIR', `a folder: ${path}`);
    this.#lookup.allow(place.directory, WRITE | SEARCH);
    this.#tree.removeName(place);
  }

  removeTree(path: string): void {
    const found = this.lstat(path);
    if (found === undefined) return;
    if (!found.isDirectory()) return this.unlink(path);
    const folder = this.#readable('readdir', path);
    for (const name of folder.entries.keys()) this.removeTree(`${path}/${name}`);
    this.rmdir(path);
  }

  rename(source: string, target: string): void {
    this.#gate.askEffect('rename', source);
    const from = this.#lookup.walk(source, false);
    const to = this.#lookup.walk(target, false);
    if (from.inode === undefined) throw new DiskError('ENOENT', `nothing to rename: ${source}`);
    if (from.inode.kind !== 'directory' && target.endsWith('/')) throw new DiskError('ENOTDIR', `not a folder: ${source}`);
    for (const { name } of [from, to]) if (name === '.' || name === '..') throw new DiskError('EBUSY', `can not be renamed: ${source}`);
    if (from.inode === to.inode) return;
    if (contains(from.inode, to.directory)) throw new DiskError('EINVAL', `${target} is in ${source}`);
    if (to.inode !== undefined) checkReplace(from, to.inode, target);
    this.#lookup.allow(from.directory, WRITE | SEARCH);
    this.#lookup.allow(to.directory, WRITE | SEARCH);
    this.#tree.rename(from, to);
  }

  link(source: string, target: string): void {
    this.#gate.askEffect('link', target);
    const inode = this.#lookup.existing(source, false);
    const to = this.#lookup.vacantForFile(target);
    if (inode.kind === 'directory') throw new DiskError('EPERM', `a folder: ${source}`);
    this.#tree.addName(to, inode);
  }

  symlink(linkTarget: Uint8Array, path: string): void {
    this.#gate.askEffect('symlink', path);
    if (linkTarget.length === 0) throw new DiskError('ENOENT', 'the target is empty');
    this.#tree.createSymlink(this.#lookup.vacantForFile(path), linkTarget.slice());
  }

  chmod(path: string, mode: number): void {
    this.#gate.askEffect('chmod', path);
    this.#touch(path, { mode: mode & MODE_BITS });
  }

  utimes(path: string, _accessed: string, modified: string): void {
    this.#gate.askEffect('utimes', path);
    this.#touch(path, { mtimeMs: secondsToMs(modified) });
  }

  #touch(path: string, changed: { readonly mode?: number; readonly mtimeMs?: number }): void {
    const place = this.#lookup.walk(path, true);
    if (place.inode === undefined) throw new DiskError('ENOENT', `nothing there: ${path}`);
    this.#tree.touch(place.inode, changed);
    this.#lookup.tellChange({ ...place, inode: place.inode });
  }

  /** As libuv does it: open or make the target, empty it, fill it; where that fails the target goes, also if it was there before. */
  copyFile(source: string, target: string, options: { readonly exclusive: boolean }): void {
    const input = this.open(source, OPEN.readOnly);
    try {
      const { inode } = this.#handles.get(input);
      const flags = OPEN.writeOnly | OPEN.create | (options.exclusive ? OPEN.exclusive : 0);
      const output = this.open(target, flags, inode.attributes.mode);
      try {
        this.#fill(inode, this.#handles.get(output));
      } finally {
        if (this.#gate.alive) this.close(output);
      }
    } finally {
      if (this.#gate.alive) this.close(input);
    }
  }

  #fill(source: Inode, { inode: target, place, path }: Handle): void {
    if (target === source || target.kind !== 'file') return;
    try {
      this.#gate.askEffect('copyFile', path);
      if (source.kind !== 'file') throw new DiskError('EISDIR', `a folder is no source for ${path}`);
      this.#tree.touch(target, { mode: source.attributes.mode });
      if (target.size > 0) this.#tree.truncate(target, 0);
      this.#gate.askEffect('copyFile', path);
      this.#tree.copyBytes(source, target);
      this.#lookup.tellChange(place);
    } catch (error) {
      if (this.#gate.alive) this.unlink(path);
      throw error;
    }
  }

  space(folder: string): { readonly totalBytes: number; readonly freeBytes: number } {
    this.#gate.ask('space', folder);
    this.#lookup.existing(folder, true);
    return { totalBytes: this.#tree.capacityPages * PAGE_BYTES, freeBytes: this.#tree.freePages * PAGE_BYTES };
  }

  /** The folder at a path, for a watch. */
  watched(path: string): DirectoryInode {
    return this.#readable('watch', path);
  }
}

function contains(inode: Inode, directory: DirectoryInode): boolean {
  for (let at = directory; ; at = at.parent) {
    if (at === inode) return true;
    if (at === at.parent) return false;
  }
}

function checkReplace(from: Place, target: Inode, path: string): void {
  if (from.inode?.kind !== 'directory') {
    // Above what is renamed, or any other folder.
    if (target.kind === 'directory') throw new DiskError(contains(target, from.directory) ? 'ENOTEMPTY' : 'EISDIR', `a folder: ${path}`);
    return;
  }
  if (target.kind !== 'directory') throw new DiskError('ENOTDIR', `not a folder: ${path}`);
  if (target.entries.size > 0) throw new DiskError('ENOTEMPTY', `not empty: ${path}`);
}
