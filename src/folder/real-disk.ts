/**
 * The file system of this host behind the port `Disk`. With the two files of the disk thread and `sync-program.ts` the only
 * place of this room that touches it.
 *
 * Flushing: a few files are flushed one by one; many by one `syncfs` of their file system (sync-program.ts). Measured on
 * 20,000 files of 2-6 KB: 0.5 s with it, 2.2-2.9 s with an fdatasync for each file. A flush that fails is never repeated as
 * if nothing had happened: the kernel reports a lost write once only.
 */
import * as fs from 'node:fs';
import { open } from 'node:fs/promises';
import { asBuffer } from '../base/bytes.ts';
import { systemCode } from '../base/errors.ts';
import { FLUSH_EACH_MAX, OPEN, TICK_MS_MAX, type Disk, type DiskAccess, type FolderWatch } from './disk.ts';
import { ioError } from './io-error.ts';
import { SyncProgram } from './sync-program.ts';

const { constants } = fs;

/** Flushes in flight together where there is no `sync -f`. */
const FLUSH_TOGETHER = 32;
/** What a flush finds where the file is gone, or is another thing by now. */
const NOT_THERE: ReadonlySet<string | undefined> = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO', 'EACCES']);

const NATIVE_FLAGS: readonly (readonly [ours: number, native: number])[] = [
  [OPEN.writeOnly, constants.O_WRONLY],
  [OPEN.readWrite, constants.O_RDWR],
  [OPEN.create, constants.O_CREAT],
  [OPEN.exclusive, constants.O_EXCL],
  [OPEN.truncate, constants.O_TRUNC],
  [OPEN.nonBlocking, constants.O_NONBLOCK],
  [OPEN.folder, constants.O_DIRECTORY],
  [OPEN.noFollow, constants.O_NOFOLLOW],
];

function nativeFlags(flags: number): number {
  let native = constants.O_RDONLY;
  for (const [ours, theirs] of NATIVE_FLAGS) if ((flags & ours) !== 0) native |= theirs;
  return native;
}

export const realDisk: Disk = {
  lstat: (path) => fs.lstatSync(path, { throwIfNoEntry: false }),
  readdir: (path) => fs.readdirSync(path),
  readdirBytes: (path) => fs.readdirSync(path, { encoding: 'buffer' }),
  // The kinds come with the names: no stat for each.
  subfolders: (path) => fs.readdirSync(path, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : [])),
  readlink: (path) => fs.readlinkSync(path, 'buffer'),
  open: (path, flags, mode) => fs.openSync(path, nativeFlags(flags), mode),
  fstat: (handle) => fs.fstatSync(handle),
  read: (handle, target, offset, bytes, position) => fs.readSync(handle, target, offset, bytes, position),
  write: (handle, source, offset, bytes, position) => fs.writeSync(handle, source, offset, bytes, position),
  truncate: (handle, bytes) => fs.ftruncateSync(handle, bytes),
  flush: (handle, what) => (what === 'bytes' ? fs.fdatasyncSync(handle) : fs.fsyncSync(handle)),
  flushLater: (handle, done) => fs.fdatasync(handle, (error) => done(error ?? undefined)),
  close: (handle) => fs.closeSync(handle),
  mkdir: (path, options) => void fs.mkdirSync(path, options),
  rmdir: (path) => fs.rmdirSync(path),
  unlink: (path) => fs.unlinkSync(path),
  removeTree: (path) => fs.rmSync(path, { recursive: true, force: true }),
  rename: (source, target) => fs.renameSync(source, target),
  link: (source, target) => fs.linkSync(source, target),
  symlink: (linkTarget, path) => fs.symlinkSync(asBuffer(linkTarget), path),
  chmod: (path, mode) => fs.chmodSync(path, mode),
  utimes: (path, accessed, modified) => fs.utimesSync(path, accessed, modified),
  copyFile: (source, target, { exclusive }) =>
    fs.copyFileSync(source, target, constants.COPYFILE_FICLONE | (exclusive ? constants.COPYFILE_EXCL : 0)),
  nextTick: () => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, TICK_MS_MAX),
  space: (folder) => {
    const { blocks, bavail, bsize } = fs.statfsSync(folder);
    return { totalBytes: blocks * bsize, freeBytes: bavail * bsize };
  },
};

export class RealDiskAccess implements DiskAccess {
  readonly disk: Disk = realDisk;
  readonly #syncProgram = new SyncProgram();
  #hasSyncProgram = true;

  async makeDurable(root: string, files: readonly string[], inodes: readonly string[]): Promise<void> {
    if (files.length + inodes.length > FLUSH_EACH_MAX && this.#hasSyncProgram) {
      this.#hasSyncProgram = await this.#syncProgram.flush(root);
      if (this.#hasSyncProgram) return;
    }
    await inGroups(files, (path) => flush(`${root}/${path}`, true));
    await inGroups(inodes, (path) => flush(`${root}/${path}`, false));
  }

  watch(folder: string, onEvent: (event: string, name: string | undefined) => void, onError: () => void): FolderWatch {
    const watcher = fs.watch(folder, { persistent: false, encoding: 'utf8' });
    watcher.on('change', (event, name: string | Buffer | null) => onEvent(event, name === null ? undefined : String(name)));
    watcher.on('error', onError);
    return watcher;
  }
}

async function inGroups(paths: readonly string[], run: (path: string) => Promise<void>): Promise<void> {
  for (let at = 0; at < paths.length; at += FLUSH_TOGETHER) await Promise.all(paths.slice(at, at + FLUSH_TOGETHER).map(run));
}

async function flush(path: string, bytesOnly: boolean): Promise<void> {
  try {
    await using handle = await open(path, nativeFlags(OPEN.readOnly | OPEN.noFollow | OPEN.nonBlocking));
    await (bytesOnly ? handle.datasync() : handle.sync());
  } catch (cause) {
    if (!NOT_THERE.has(systemCode(cause))) throw ioError('could not be flushed', path, cause);
  }
}
