/**
 * Backups of a simulated disk. A snapshot holds what `tar` keeps: names, bytes, modes, times of modification, and which
 * names are one file. What it does not keep is made anew: inode numbers, times of birth and of change.
 *
 * Invariant: a snapshot never changes, whatever happens to the disk: bytes in it are shared and copied before a write.
 */
import type { DirectoryInode, Inode, InodeKind } from './sim-disk-inode.ts';
import type { DiskTree, Place } from './sim-disk-tree.ts';

export interface DiskSnapshot {
  readonly kind: InodeKind;
  readonly mode: number;
  readonly mtimeMs: number;
  /** Of a file; the target of a symlink. */
  readonly bytes: Uint8Array;
  /** What is in a folder. One object under two names is one file with two names. */
  readonly entries: ReadonlyMap<string, DiskSnapshot>;
}

export function snapshotTree(tree: DiskTree): DiskSnapshot {
  const taken = new Map<Inode, DiskSnapshot>();
  const take = (inode: Inode): DiskSnapshot => {
    const known = taken.get(inode);
    if (known !== undefined) return known;
    const entries = inode.kind === 'directory' ? new Map([...inode.entries].map(([name, child]) => [name, take(child)])) : new Map();
    const { mode, mtimeMs } = inode.attributes;
    const snapshot: DiskSnapshot = { kind: inode.kind, mode, mtimeMs, bytes: bytesOf(inode), entries };
    taken.set(inode, snapshot);
    return snapshot;
  };
  return take(tree.top);
}

function bytesOf(inode: Inode): Uint8Array {
  if (inode.kind === 'file') return inode.share();
  return inode.kind === 'symlink' ? inode.target : new Uint8Array(0);
}

export function restoreTree(tree: DiskTree, snapshot: DiskSnapshot): void {
  removeAll(tree, tree.top);
  tree.retireNumbers();
  fill(tree, tree.top, snapshot, new Map());
  tree.flushAll();
}

function removeAll(tree: DiskTree, directory: DirectoryInode): void {
  for (const [name, inode] of directory.entries) {
    if (inode.kind === 'directory') removeAll(tree, inode);
    tree.removeName({ directory, name, inode });
  }
}

function fill(tree: DiskTree, directory: DirectoryInode, snapshot: DiskSnapshot, made: Map<DiskSnapshot, Inode>): void {
  for (const [name, entry] of snapshot.entries) {
    const place = { directory, name, inode: undefined };
    const known = made.get(entry);
    if (known !== undefined) tree.addName(place, known);
    else made.set(entry, create(tree, place, entry, made));
  }
  tree.touch(directory, { mode: snapshot.mode, mtimeMs: snapshot.mtimeMs });
}

function create(tree: DiskTree, place: Place, entry: DiskSnapshot, made: Map<DiskSnapshot, Inode>): Inode {
  if (entry.kind === 'symlink') return tree.createSymlink(place, entry.bytes);
  if (entry.kind === 'directory') {
    const directory = tree.createDirectory(place);
    fill(tree, directory, entry, made);
    return directory;
  }
  const file = tree.createFile(place, entry.mode);
  if (entry.bytes.length > 0) tree.write(file, entry.bytes, 0);
  tree.touch(file, { mode: entry.mode, mtimeMs: entry.mtimeMs });
  return file;
}
