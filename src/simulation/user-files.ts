/**
 * The disk of a simulated host as the people there use it: whole files, read and written in one step.
 *
 * People seldom flush what they write: sameroot has to, before a root covers it. What it has not taken in yet at a power
 * loss may be lost for good, and that is nobody's fault; so the simulation flushes just that (`flushPending`) before the power
 * goes, and the model need not guess what was left.
 */
import { diskStat } from '../folder/disk-stat.ts';
import { OPEN, type Disk } from '../folder/disk.ts';
import type { DiskStat } from '../folder/placed.ts';
import type { SimFileSystem } from './sim-disk.ts';

export interface SimFile {
  readonly kind: 'file' | 'symlink' | 'directory';
  /** Of a file; of a link its target; of a folder none. */
  readonly bytes: Uint8Array;
  /** Permission bits. */
  readonly mode: number;
  readonly mtimeMs: number;
}

export interface WriteStyle {
  /** Into the file that is there; otherwise a new file takes its place. */
  readonly inPlace?: boolean;
  readonly mode?: number;
  readonly mtimeMs?: number;
  /** Durable at once. */
  readonly flushed?: boolean;
}

const MODE_BITS = 0o7777;
const DRAFT = '/draft';

export class UserFiles {
  readonly #disk: Disk;
  /** Paths of files that were written or given a mode and not flushed. */
  readonly #pending = new Set<string>();

  constructor(files: SimFileSystem) {
    this.#disk = files.mountForUser().disk;
  }

  get(path: string): SimFile | undefined {
    const stats = lookUp(this.#disk, path);
    if (stats === undefined) return undefined;
    const { mode, mtimeMs } = stats;
    if (stats.isDirectory()) return { kind: 'directory', bytes: new Uint8Array(0), mode: mode & MODE_BITS, mtimeMs };
    if (stats.isSymbolicLink()) return { kind: 'symlink', bytes: this.#disk.readlink(path), mode: 0, mtimeMs };
    return { kind: 'file', bytes: this.#read(path, stats.size), mode: mode & MODE_BITS, mtimeMs };
  }

  statOf(path: string): DiskStat | undefined {
    const stats = lookUp(this.#disk, path);
    return stats === undefined ? undefined : diskStat(stats);
  }

  #read(path: string, size: number): Uint8Array {
    const handle = this.#disk.open(path, OPEN.readOnly);
    const bytes = new Uint8Array(size);
    this.#disk.read(handle, bytes, 0, size, 0);
    this.#disk.close(handle);
    return bytes;
  }

  /** Everything below `folder`, in no order; `skip` leaves a path and what is below it out. */
  *below(folder: string, skip: (path: string) => boolean = () => false): Generator<[path: string, file: SimFile]> {
    for (const name of this.#disk.readdir(folder)) {
      const path = `${folder}/${name}`;
      if (skip(path)) continue;
      const file = this.get(path)!;
      yield [path, file];
      if (file.kind === 'directory') yield* this.below(path, skip);
    }
  }

  write(path: string, bytes: Uint8Array, { inPlace = false, mode, mtimeMs, flushed = true }: WriteStyle): void {
    const target = inPlace ? path : DRAFT;
    const handle = this.#disk.open(target, OPEN.writeOnly | OPEN.create | OPEN.truncate, 0o644);
    for (let at = 0; at < bytes.length;) at += this.#disk.write(handle, bytes, at, bytes.length - at, at);
    if (mode !== undefined) this.#disk.chmod(target, mode);
    if (mtimeMs !== undefined) this.#disk.utimes(target, String(mtimeMs / 1_000), String(mtimeMs / 1_000));
    if (flushed) this.#disk.flush(handle, 'bytes');
    this.#disk.close(handle);
    if (!inPlace) this.#disk.rename(DRAFT, path);
    if (!flushed) this.#pending.add(path);
    else if (!inPlace) this.#flush(parentOf(path));
  }

  /** Makes durable what is not, but for the paths that `covered` names: those must be so already. */
  flushPending(covered: (path: string, file: SimFile) => boolean): void {
    for (const path of this.#pending) {
      const file = this.get(path);
      if (file === undefined || file.kind !== 'file' || covered(path, file)) continue;
      this.#flush(path);
      this.#flush(parentOf(path));
    }
    this.#pending.clear();
  }

  symlink(target: Uint8Array, path: string): void {
    this.#disk.symlink(target, path);
    this.#flush(parentOf(path));
  }

  mkdir(path: string): void {
    this.#disk.mkdir(path, { recursive: true });
    this.#flush(parentOf(path));
  }

  chmod(path: string, mode: number): void {
    this.#disk.chmod(path, mode);
    this.#pending.add(path);
  }

  rename(source: string, target: string): void {
    this.#disk.rename(source, target);
    this.#flush(parentOf(target));
    if (this.#pending.delete(source)) this.#pending.add(target);
  }

  remove(path: string): void {
    this.#disk.unlink(path);
    this.#flush(parentOf(path));
  }

  /** Of a folder: with what was done to the names in it, everything before is durable, too. */
  #flush(path: string): void {
    const handle = this.#disk.open(path, OPEN.readOnly);
    this.#disk.flush(handle, 'names');
    this.#disk.close(handle);
  }
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/';
}

function lookUp(disk: Disk, path: string): ReturnType<Disk['lstat']> {
  try {
    return disk.lstat(path);
  } catch {
    // A parent is a file.
    return undefined;
  }
}
