/**
 * The file system as a port: the calls that the folder room needs, synchronous, as the disk threads make them. The real
 * one is `real-disk.ts`; the simulator has one that crashes, forgets what was not flushed and returns errors.
 *
 * Every method throws an `Error` with the `code` of the operating system (`ENOENT`, `ENOSPC`, ...). Paths are absolute.
 * Meanings are those of POSIX; a symlink at the end of a path is followed only by `open` without `OPEN.noFollow`, by
 * `readdir`, `chmod`, `utimes`, `copyFile` and `space`.
 */

/** Flags of `open`. Numbers of our own (those of Linux on x86): the operating systems differ, `real-disk.ts` translates. */
export const OPEN = {
  readOnly: 0,
  writeOnly: 0o1,
  readWrite: 0o2,
  create: 0o100,
  /** With `create`: `EEXIST` where anything is there. */
  exclusive: 0o200,
  truncate: 0o1000,
  /** Does not wait for the other end of a pipe. */
  nonBlocking: 0o4000,
  /** `ENOTDIR` where it is no folder. */
  folder: 0o200000,
  /** `ELOOP` where it is a symlink. */
  noFollow: 0o400000,
} as const;

/** Longest time between two ticks of the clock that stamps files (100 Hz), with some room. */
export const TICK_MS_MAX = 15;

export interface FileStats {
  readonly ino: number;
  readonly size: number;
  /** Blocks of 512 bytes. */
  readonly blocks: number;
  /** With the bits of the kind. */
  readonly mode: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  /** 0 where the file system does not say. */
  readonly birthtimeMs: number;
  /** Names that the inode has. */
  readonly nlink: number;
  isFile(): boolean;
  isDirectory(): boolean;
  isSymbolicLink(): boolean;
}

export interface Disk {
  /** `undefined` where nothing is; `ENOTDIR` where a parent is no folder. */
  lstat(path: string): FileStats | undefined;
  /** Names, without `.` and `..`, in no order. Bytes that are not UTF-8 become U+FFFD. */
  readdir(path: string): string[];
  readdirBytes(path: string): Uint8Array[];
  /** The names of `readdir` that are folders; symlinks are none. */
  subfolders(path: string): string[];
  readlink(path: string): Uint8Array;
  open(path: string, flags: number, mode?: number): number;
  fstat(handle: number): FileStats;
  /** Bytes read; 0 at the end of the file. */
  read(handle: number, target: Uint8Array, offset: number, bytes: number, position: number): number;
  /** Bytes written, maybe fewer than asked for. */
  write(handle: number, source: Uint8Array, offset: number, bytes: number, position: number): number;
  truncate(handle: number, bytes: number): void;
  /** Makes the bytes of this file, or the names in this folder, durable. */
  flush(handle: number, what: 'bytes' | 'names'): void;
  /** Begins to flush the bytes and does not wait; the handle must stay open until `done` is called. */
  flushLater(handle: number, done: (error: Error | undefined) => void): void;
  close(handle: number): void;
  /** `recursive`: parents too, and no error where the folder is there. */
  mkdir(path: string, options?: { readonly recursive: boolean }): void;
  rmdir(path: string): void;
  unlink(path: string): void;
  /** A file, or a folder with all in it; no error where nothing is. */
  removeTree(path: string): void;
  rename(source: string, target: string): void;
  link(source: string, target: string): void;
  symlink(linkTarget: Uint8Array, path: string): void;
  chmod(path: string, mode: number): void;
  /** Times as decimal seconds: a number would lose part of a millisecond. */
  utimes(path: string, accessed: string, modified: string): void;
  /** Shares the blocks where the file system can. `exclusive`: `EEXIST` where the target is there. */
  copyFile(source: string, target: string, options: { readonly exclusive: boolean }): void;
  /** Returns when the clock that stamps files has moved on: what is changed from now on gets another `ctimeMs`. */
  nextTick(): void;
  space(folder: string): { readonly totalBytes: number; readonly freeBytes: number };
}

/** A watch on the names in one folder. */
export interface FolderWatch {
  close(): void;
}

/** Up to here an fsync for each is cheaper than `sync -f` (some 5 ms, and all other writers' bytes with it). */
export const FLUSH_EACH_MAX = 16;

/** The file system as seen from the main thread: never waits for the disk, but for a few small files at start. */
export interface DiskAccess {
  readonly disk: Disk;
  /**
   * Makes durable: of `files` the bytes; of `inodes` all, that is also the names in a folder, and the mode and time of a
   * file or folder. Paths relative to `root`. Does not hold up the
   * event loop, nor a disk thread: such a flush takes seconds after a large write. What is gone needs no flush; whoever
   * commits looks again.
   * @throws {SamerootError} `IO_ERROR`, `DISK_FULL`: nothing is known of the bytes, and asking again would not tell
   */
  makeDurable(root: string, files: readonly string[], inodes: readonly string[]): Promise<void>;
  /**
   * `onEvent('rename' | 'change', name)`: something happened to this name; `undefined`: to some name.
   * @throws as the operating system does: `ENOSPC` and `EMFILE` where it has no more watches to give
   */
  watch(folder: string, onEvent: (event: string, name: string | undefined) => void, onError: () => void): FolderWatch;
}
