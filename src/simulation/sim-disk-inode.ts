/**
 * What the simulated disk stores: files, folders and symlinks, and of each file two images: the bytes that programs see
 * (the page cache) and the bytes on the medium, which are those of the last flush.
 *
 * Invariant: an array that was given out (`share`) or became the durable image never changes; a write copies it first.
 * So flushes, copies and snapshots cost nothing, and most simulated files are one small array with one owner.
 */
import type { FileStats } from '../folder/disk.ts';
import type { SeededRandom } from './random.ts';

export const PAGE_BYTES = 4096;
const SECTORS_PER_PAGE = PAGE_BYTES / 512;
const KIND_BITS = { file: 0o100000, directory: 0o040000, symlink: 0o120000 } as const;
const NOTHING: Uint8Array = new Uint8Array(0);

export function pagesOf(bytes: number): number {
  return Math.ceil(bytes / PAGE_BYTES);
}

export type InodeKind = keyof typeof KIND_BITS;

export interface Attributes {
  /** Permission bits. */
  readonly mode: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
}

class InodeBase {
  readonly number: number;
  readonly birthtimeMs: number;
  attributes: Attributes;
  /** How many names lead here. */
  names = 0;
  /** How many open handles there are: while there is one, the inode lives without a name. */
  handles = 0;

  constructor(number: number, mode: number, bornMs: number) {
    this.number = number;
    this.birthtimeMs = bornMs;
    this.attributes = { mode, mtimeMs: bornMs, ctimeMs: bornMs };
  }
}

export class DirectoryInode extends InodeBase {
  readonly kind = 'directory';
  readonly entries: Map<string, Inode> = new Map();
  /** Its own for the top. */
  parent: DirectoryInode = this;

  get pages(): number {
    return 1;
  }
}

export class LinkInode extends InodeBase {
  readonly kind = 'symlink';
  readonly target: Uint8Array;

  constructor(number: number, target: Uint8Array, bornMs: number) {
    super(number, 0o777, bornMs);
    this.target = target;
  }

  /** The target lies in the inode itself. */
  get pages(): number {
    return 0;
  }
}

export class FileInode extends InodeBase {
  readonly kind = 'file';
  /** From `#size` on it is zero: growing uncovers zeros. */
  #buffer: Uint8Array = NOTHING;
  #size = 0;
  #shared = false;
  /** Pages that nothing was written to. */
  #holes = new Set<number>();
  #durable: Uint8Array = NOTHING;
  #dirty = false;
  /** Pages whose write to the medium failed: seen as written, no longer dirty, and not there. */
  #lost = new Set<number>();

  get size(): number {
    return this.#size;
  }

  get pages(): number {
    return pagesOf(this.#size) - this.#holes.size;
  }

  get dirty(): boolean {
    return this.#dirty;
  }

  read(target: Uint8Array, offset: number, bytes: number, position: number): number {
    const read = Math.max(0, Math.min(bytes, this.#size - position));
    target.set(this.#buffer.subarray(position, position + read), offset);
    return read;
  }

  /** Pages that a write there adds. */
  freshPages(position: number, bytes: number): number {
    let fresh = 0;
    for (let page = Math.floor(position / PAGE_BYTES); page < pagesOf(position + bytes); page++) {
      if (page >= pagesOf(this.#size) || this.#holes.has(page)) fresh++;
    }
    return fresh;
  }

  write(source: Uint8Array, position: number): void {
    const end = position + source.length;
    if (end > this.#size) this.truncate(end);
    this.#own(this.#size);
    this.#buffer.set(source, position);
    for (let page = Math.floor(position / PAGE_BYTES); page < pagesOf(end); page++) {
      this.#holes.delete(page);
      this.#lost.delete(page);
    }
    this.#dirty = true;
  }

  truncate(size: number): void {
    for (let page = pagesOf(this.#size); page < pagesOf(size); page++) this.#holes.add(page);
    for (let page = pagesOf(size); page < pagesOf(this.#size); page++) {
      this.#holes.delete(page);
      this.#lost.delete(page);
    }
    this.#own(size);
    if (size < this.#size) this.#buffer.fill(0, size, this.#size);
    this.#size = size;
    this.#dirty = true;
  }

  /** The bytes as they are now, for ever. */
  share(): Uint8Array {
    this.#shared = true;
    return this.#buffer.subarray(0, this.#size);
  }

  copyFrom(other: FileInode): void {
    this.#show(other.share());
    this.#holes = new Set(other.#holes);
    this.#dirty = true;
  }

  flush(): void {
    this.#durable = this.#written();
    this.#dirty = false;
  }

  /**
   * A flush that fails: some of the pages did not reach the medium. The kernel marks them clean nevertheless, so that
   * the next flush succeeds without writing them; what is seen of them is the new bytes or, once evicted, the old.
   */
  failFlush(random: SeededRandom): void {
    const differing = differingPages(this.#buffer.subarray(0, this.#size), this.#durable);
    for (const page of differing) if (random.chance(0.5)) this.#lost.add(page);
    if (this.#lost.size === 0 && differing.length > 0) this.#lost.add(differing[random.below(differing.length)]!);
    this.flush();
    if (random.chance(0.5)) this.#showDurable();
  }

  /** The power goes: only what is on the medium stays, and nothing says how much of what was never flushed is. */
  losePower(random: SeededRandom): void {
    if (this.#dirty) this.#durable = torn(this.#durable, this.#written(), random);
    if (this.#dirty || this.#lost.size > 0) this.#showDurable();
  }

  /** Rot: one bit, seen and on the medium. Returns what turns it back, or nothing where there is no bit. */
  flipBit(random: SeededRandom): (() => void) | undefined {
    if (this.#size === 0) return undefined;
    const at = random.below(this.#size);
    const bit = 1 << random.below(8);
    const flipped = (bytes: Uint8Array): Uint8Array => bytes.map((byte, index) => (index === at ? byte ^ bit : byte));
    const flip = (): void => {
      this.#durable = flipped(this.#durable);
      this.#buffer = flipped(this.#buffer);
      this.#shared = false;
    };
    flip();
    return flip;
  }

  /** What a flush would leave on the medium. */
  #written(): Uint8Array {
    if (this.#lost.size === 0) return this.share();
    const bytes = this.#buffer.slice(0, this.#size);
    for (const page of this.#lost) copyPage(this.#durable, bytes, page);
    return bytes;
  }

  #showDurable(): void {
    this.#show(this.#durable);
    this.#lost = new Set();
    this.#dirty = false;
    this.#holes = new Set();
    for (let page = 0; page < pagesOf(this.#size); page++) {
      if (this.#buffer.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES).every((byte) => byte === 0)) this.#holes.add(page);
    }
  }

  #show(bytes: Uint8Array): void {
    this.#buffer = bytes;
    this.#size = bytes.length;
    this.#shared = true;
  }

  /** Makes the buffer one of our own with room for `bytes`. Appending doubles it, so that many small writes stay cheap. */
  #own(bytes: number): void {
    if (!this.#shared && bytes <= this.#buffer.length) return;
    const grows = this.#size > 0 && bytes > this.#buffer.length;
    const buffer = new Uint8Array(grows ? Math.max(bytes, 2 * this.#size) : bytes);
    buffer.set(this.#buffer.subarray(0, Math.min(this.#size, bytes)));
    this.#buffer = buffer;
    this.#shared = false;
  }
}

export type Inode = FileInode | DirectoryInode | LinkInode;

function copyPage(source: Uint8Array, target: Uint8Array, page: number): void {
  const start = page * PAGE_BYTES;
  target.fill(0, start, start + PAGE_BYTES);
  target.set(source.subarray(start, Math.min(start + PAGE_BYTES, target.length)), Math.min(start, target.length));
}

function differingPages(now: Uint8Array, before: Uint8Array): number[] {
  const found: number[] = [];
  for (let page = 0; page < pagesOf(now.length); page++) {
    const bytes = now.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
    if (bytes.some((byte, index) => byte !== before[page * PAGE_BYTES + index])) found.push(page);
  }
  return found;
}

/** One of the images that a file system may show of bytes which were not flushed when the power went. */
function torn(before: Uint8Array, after: Uint8Array, random: SeededRandom): Uint8Array {
  const cut = random.below(after.length + 1);
  switch (random.below(6)) {
    case 0:
      return before;
    case 1:
      return after;
    case 2:
      return after.slice(0, cut);
    case 3:
      return after.slice().fill(0, cut);
    case 4:
      return new Uint8Array(after.length);
    default: {
      const mixed = after.slice();
      for (let page = 0; page < pagesOf(after.length); page++) if (random.chance(0.5)) copyPage(before, mixed, page);
      return mixed;
    }
  }
}

/** What `stat` says of an inode, as it was then. */
export class SimStats implements FileStats {
  readonly ino: number;
  readonly size: number;
  readonly blocks: number;
  readonly mode: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  readonly birthtimeMs: number;
  readonly nlink: number;
  readonly #kind: InodeKind;

  constructor(inode: Inode) {
    this.ino = inode.number;
    this.size = inode.kind === 'file' ? inode.size : inode.kind === 'symlink' ? inode.target.length : PAGE_BYTES;
    this.blocks = inode.pages * SECTORS_PER_PAGE;
    this.mode = KIND_BITS[inode.kind] | inode.attributes.mode;
    this.mtimeMs = inode.attributes.mtimeMs;
    this.ctimeMs = inode.attributes.ctimeMs;
    this.birthtimeMs = inode.birthtimeMs;
    this.nlink = inode.names;
    this.#kind = inode.kind;
  }

  isFile(): boolean {
    return this.#kind === 'file';
  }

  isDirectory(): boolean {
    return this.#kind === 'directory';
  }

  isSymbolicLink(): boolean {
    return this.#kind === 'symlink';
  }
}
