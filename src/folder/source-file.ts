/**
 * A file of the folder that chunks are copied from. It belongs to its user and may be anything by now: gone, a folder, on
 * a bad block. Whatever is wrong with it, it has no bytes for us, and they come from a peer.
 */
import type { Disk } from './disk.ts';
import { openSource, readFully } from './file-io.ts';

export class SourceFile {
  readonly #disk: Disk;
  /** The one that was read last stays open: its neighbours are mostly next. */
  #open: { readonly path: string; readonly handle: number | undefined } | undefined;

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  /** The number of bytes that were read. */
  read(path: string, target: Buffer, bytes: number, at: number): number {
    if (this.#open?.path !== path) {
      this.close();
      this.#open = { path, handle: openSource(this.#disk, path) };
    }
    if (this.#open.handle === undefined) return 0;
    try {
      return readFully(this.#disk, this.#open.handle, target, bytes, at);
    } catch {
      return 0;
    }
  }

  close(): void {
    const handle = this.#open?.handle;
    this.#open = undefined;
    if (handle !== undefined) this.#disk.close(handle);
  }
}
