/**
 * The hidden folder in which this host is measured. It is gone afterwards, whatever happens: at the end, after an error, and
 * when the process is ended by a second signal or because nobody reads what it prints.
 *
 * Invariant: nothing of it is ever replicated. In the folder of a share, or below one, it lies in that share's `.sameroot`.
 */
import { statfsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { toHex } from '../../base/bytes.ts';
import { messageOf, SamerootError, systemCode } from '../../base/errors.ts';
import { GIB, MIB } from '../../base/limits.ts';
import type { Random } from '../../base/world.ts';
import type { Disk } from '../../folder/disk.ts';
import { ioError } from '../../folder/io-error.ts';
import { hasMarker } from '../../folder/marker.ts';
import { OWN_FOLDER } from '../../folder/paths.ts';
import { formatBytes } from '../quantities.ts';

const NAME = '.sameroot-bench-';
/** Database, key, rows of the trees: little beside the files. */
const OTHER_BYTES: number = 16 * MIB;
/** As `statfs` of Linux names the file systems that are in memory: tmpfs and ramfs. */
const IN_MEMORY: ReadonlySet<number> = new Set([0x01021994, 0x858458f6]);

/** What the run may write to this folder's disk; the share of it that a node keeps free stays free. */
export function roomBytes(disk: Disk, folder: string): number {
  const { totalBytes, freeBytes } = disk.space(folder);
  return freeBytes - Math.min(totalBytes / 100, GIB) - OTHER_BYTES;
}

/** @throws {SamerootError} `FOLDER_MISSING`, `FOLDER_NOT_DIRECTORY`, `FOLDER_UNREADABLE`, `IO_ERROR` */
export function requireFolder(disk: Disk, folder: string): void {
  try {
    disk.readdir(folder);
  } catch (error) {
    const code = systemCode(error);
    const details = { cause: error, path: folder };
    if (code === 'ENOENT') throw new SamerootError('FOLDER_MISSING', `${folder} does not exist`, details);
    if (code === 'ENOTDIR') throw new SamerootError('FOLDER_NOT_DIRECTORY', `${folder} is not a folder`, details);
    if (code === 'EACCES') throw new SamerootError('FOLDER_UNREADABLE', `${folder} can not be read`, details);
    throw ioError('can not be read', folder, error);
  }
}

/** @throws {SamerootError} `DISK_FULL` */
export function requireRoom(disk: Disk, folder: string, neededBytes: number): void {
  const room = Math.max(0, Math.floor(roomBytes(disk, folder)));
  if (neededBytes <= room) return;
  const [needed, there] = [formatBytes(Math.ceil(neededBytes)), formatBytes(room)];
  throw new SamerootError('DISK_FULL', `the files to measure with take ${needed}, and ${there} of the disk of ${folder} may be taken`, {
    path: folder,
  });
}

/** Is what is written there only in memory? Then its rates say nothing about a disk. */
export function isInMemory(folder: string): boolean {
  return IN_MEMORY.has(statfsSync(folder).type);
}

export class Workspace implements Disposable {
  readonly path: string;
  readonly #disk: Disk;
  readonly #onExit = (): void => this.#remove();

  private constructor(disk: Disk, path: string) {
    this.#disk = disk;
    this.path = path;
    process.on('exit', this.#onExit);
  }

  /** @throws {SamerootError} `FOLDER_READ_ONLY`, `DISK_FULL`, `IO_ERROR` */
  static make(disk: Disk, random: Random, folder: string): Workspace {
    const path = join(homeOf(disk, folder), `${NAME}${toHex(random.bytes(6))}`);
    try {
      disk.mkdir(path);
    } catch (error) {
      throw ioError('could not be made', path, error);
    }
    return new Workspace(disk, path);
  }

  /** @throws {SamerootError} `IO_ERROR` */
  [Symbol.dispose](): void {
    process.removeListener('exit', this.#onExit);
    try {
      this.#disk.removeTree(this.path);
    } catch (error) {
      throw new SamerootError('IO_ERROR', `${this.path} could not be removed: ${messageOf(error)}`, { cause: error, path: this.path });
    }
  }

  /** The process ends now: there is nobody left to tell that it did not work. */
  #remove(): void {
    try {
      this.#disk.removeTree(this.path);
    } catch {}
  }
}

function homeOf(disk: Disk, folder: string): string {
  for (let at = folder, above = dirname(at); ; at = above, above = dirname(at)) {
    if (hasMarker(disk, at)) return join(at, OWN_FOLDER);
    if (above === at) return folder;
  }
}
