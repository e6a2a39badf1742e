/**
 * Staging, the part in the write thread: bytes of contents on their way into the folder, under `.sameroot/tmp`.
 *
 * Invariant: nothing is written under a hash it does not have: every chunk is hashed here, right before it is written.
 * A content of one chunk is the file `<hash>`, a larger one `<content id>.part` until `stageFinish` has flushed it,
 * then `<content id>`. So a whole name of a large content means flushed; the small ones are hashed again after a start.
 *
 * What is known of flushes, and of files that failed, is state of this thread alone. What needs neither is done to parts by
 * all threads: part-jobs.ts.
 */
import { join } from 'node:path';
import { equalBytes, toHex } from '../base/bytes.ts';
import { systemCode } from '../base/errors.ts';
import { MIB } from '../base/limits.ts';
import type { Clock } from '../base/world.ts';
import { hash } from '../content/hash.ts';
import { countOf, hashAt, type ChunkItems } from './chunk-items.ts';
import { DiskFloor } from './disk-floor.ts';
import { lstatOrNothing } from './disk-stat.ts';
import { OPEN, type Disk } from './disk.ts';
import { flushNames, OWNER_ONLY, readSmall, removeFile, scratch, tryToRemove, writeFile, writeFully } from './file-io.ts';
import { asIoError } from './io-error.ts';
import { PART } from './paths.ts';
import { SourceFile } from './source-file.ts';

export interface StagedFile {
  readonly name: string;
  readonly bytes: number;
  /** When anything was last done to it; its time of modification may be that of the file it is to become. */
  readonly ctimeMs: number;
}

const STAGED_NAME = /^(?:[0-9a-f]{64}|[0-9a-f]{66}(?:\.part)?)$/;
/** A part is flushed in the background after this many bytes, so that the last flush is short. */
const FLUSH_EVERY_BYTES: number = 64 * MIB;

/** Public methods are jobs: see `disk-jobs.ts`. */
export class StageJobs {
  readonly #disk: Disk;
  readonly #floor: DiskFloor;
  readonly #unflushed = new Map<string, number>();
  readonly #flushing = new Set<string>();
  /** The kernel tells of a lost write once: what a flush in the background was told is kept for the end. */
  readonly #failedFlushes = new Map<string, Error>();
  /**
   * File names of contents of one chunk that could not be written, flushed or removed, and of parts that could not be removed. Whatever
   * such a file holds, it goes before the name is used again: bytes that read well may be lost on the medium, and the next flush would
   * not say so.
   */
  readonly #spoiled = new Set<string>();

  constructor(disk: Disk, clock: Clock) {
    this.#disk = disk;
    this.#floor = new DiskFloor(disk, clock);
  }

  /** All staged files; leftovers of other names are removed. */
  stageList(input: { tmp: string }): StagedFile[] {
    const files: StagedFile[] = [];
    for (const name of this.#disk.readdir(input.tmp)) {
      const path = join(input.tmp, name);
      const stats = this.#disk.lstat(path);
      if (stats === undefined) continue;
      if (stats.isFile() && STAGED_NAME.test(name)) files.push({ name, bytes: stats.size, ctimeMs: stats.ctimeMs });
      else this.#disk.removeTree(path);
    }
    return files;
  }

  /** Which of the single-chunk files hold what their name says; the others are removed. */
  stageVerify(input: { tmp: string; names: readonly string[] }): boolean[] {
    return input.names.map((name) => {
      const path = join(input.tmp, name);
      const bytes = readSmall(this.#disk, path);
      if (bytes !== undefined && toHex(hash('chunk', bytes)) === name) return true;
      if (!tryToRemove(this.#disk, path)) this.#spoiled.add(name);
      return false;
    });
  }

  #writeWhole(tmp: string, name: string, bytes: Uint8Array): void {
    const path = join(tmp, name);
    if (this.#spoiled.has(name)) removeFile(this.#disk, path);
    try {
      writeFile(this.#disk, path, bytes);
      this.#spoiled.delete(name);
    } catch (error) {
      this.#spoiled.add(name);
      throw error;
    }
  }

  /** `spans`: offset in the frame, bytes. True = verified and written. */
  stageWhole(input: ChunkItems & { tmp: string; frame: Uint8Array; minFreeBytes: number | undefined }): boolean[] {
    this.#floor.keep(input.tmp, input.frame.length, input.minFreeBytes);
    const results: boolean[] = [];
    for (let index = 0; index < countOf(input); index++) {
      const offset = input.spans[index * 2]!;
      const bytes = input.frame.subarray(offset, offset + input.spans[index * 2 + 1]!);
      const expected = hashAt(input, index);
      const good = bytes.length === input.spans[index * 2 + 1]! && equalBytes(hash('chunk', bytes), expected);
      if (good) this.#writeWhole(input.tmp, toHex(expected), bytes);
      results.push(good);
    }
    return results;
  }

  /** Makes the part as long as the content; what an earlier run left in it stays. False: it was not there, or not as long. */
  stageOpenPart(input: { tmp: string; name: string; bytes: number; minFreeBytes: number | undefined }): boolean {
    const path = join(input.tmp, input.name + PART);
    try {
      if (this.#spoiled.has(input.name + PART)) {
        removeFile(this.#disk, path);
        this.#spoiled.delete(input.name + PART);
      }
      const handle = this.#disk.open(path, OPEN.readWrite | OPEN.create | OPEN.noFollow, OWNER_ONLY);
      try {
        const { size, blocks } = this.#disk.fstat(handle);
        this.#floor.keep(input.tmp, Math.max(0, input.bytes - blocks * 512), input.minFreeBytes);
        if (size !== input.bytes) this.#disk.truncate(handle, input.bytes);
        return size === input.bytes;
      } finally {
        this.#disk.close(handle);
      }
    } catch (error) {
      throw asIoError('could not be made', path, error);
    }
  }

  /** `spans`: offset in the frame, bytes, offset in the content. Neighbours are written with one call. */
  stagePart(input: ChunkItems & { tmp: string; name: string; frame: Uint8Array; minFreeBytes: number | undefined }): boolean[] {
    const { frame, spans } = input;
    const handle = this.#openPart(input.tmp, input.name, OPEN.writeOnly);
    try {
      const results: boolean[] = [];
      const run = { from: 0, to: 0, at: 0 };
      const writeRun = (): void => writeFully(this.#disk, handle, frame.subarray(run.from, run.to), run.at);
      let written = 0;
      for (let index = 0; index < countOf(input); index++) {
        const from = spans[index * 3]!;
        const bytes = spans[index * 3 + 1]!;
        const at = spans[index * 3 + 2]!;
        const chunk = frame.subarray(from, from + bytes);
        const good = chunk.length === bytes && equalBytes(hash('chunk', chunk), hashAt(input, index));
        results.push(good);
        if (!good) continue;
        written += bytes;
        if (run.to === from && run.at + (run.to - run.from) === at) {
          run.to += bytes;
          continue;
        }
        writeRun();
        Object.assign(run, { from, to: from + bytes, at });
      }
      writeRun();
      this.#flushNowAndThen(input.tmp, input.name, written);
      return results;
    } catch (error) {
      throw asIoError('could not be written', input.name, error);
    } finally {
      this.#disk.close(handle);
    }
  }

  /** Contents of one chunk from files of this host; `spans`: offset in the source, bytes. True = verified and written. */
  stageCopyWhole(input: ChunkItems & { tmp: string; sources: readonly string[]; minFreeBytes: number | undefined }): boolean[] {
    const { spans, sources } = input;
    const source = new SourceFile(this.#disk);
    try {
      return sources.map((path, index) => {
        const bytes = spans[index * 2 + 1]!;
        if (source.read(path, scratch, bytes, spans[index * 2]!) !== bytes) return false;
        const chunk = scratch.subarray(0, bytes);
        const expected = hashAt(input, index);
        if (!equalBytes(hash('chunk', chunk), expected)) return false;
        this.#floor.keep(input.tmp, bytes, input.minFreeBytes);
        this.#writeWhole(input.tmp, toHex(expected), chunk);
        return true;
      });
    } catch (error) {
      throw asIoError('could not be written', input.tmp, error);
    } finally {
      source.close();
    }
  }

  /** So many bytes of a part were written by other threads, and their flush is seen to here. */
  stageWritten(input: { tmp: string; name: string; bytes: number }): void {
    try {
      // Finished meanwhile: then it was read, not written.
      if (lstatOrNothing(this.#disk, join(input.tmp, input.name + PART)) === undefined) return;
      this.#flushNowAndThen(input.tmp, input.name, input.bytes);
    } catch (error) {
      throw asIoError('could not be flushed', input.name, error);
    }
  }

  /**
   * Contents whose bytes the caller has flushed are complete: large ones get their whole name. What is not there is left out.
   * @throws {SamerootError} `IO_ERROR` if a flush in the background failed; then the files are dropped, for nothing is known of their bytes
   */
  stageFinish(input: { tmp: string; whole: readonly string[]; parts: readonly string[] }): StagedFile[] {
    try {
      const failure = input.parts.map((name) => this.#failedFlushes.get(name)).find((error) => error !== undefined);
      if (failure !== undefined) throw failure;
      for (const name of input.parts) {
        if (lstatOrNothing(this.#disk, join(input.tmp, name + PART)) !== undefined)
          this.#disk.rename(join(input.tmp, name + PART), join(input.tmp, name));
      }
      if (input.parts.length > 0) flushNames(this.#disk, input.tmp);
    } catch (error) {
      this.stageDiscard({ tmp: input.tmp, names: [...input.whole, ...input.parts] });
      throw asIoError('could not be flushed', input.tmp, error);
    }
    for (const name of input.parts) this.#unflushed.delete(name);
    const done: StagedFile[] = [];
    for (const name of [...input.whole, ...input.parts]) {
      const stats = lstatOrNothing(this.#disk, join(input.tmp, name));
      if (stats !== undefined) done.push({ name, bytes: stats.size, ctimeMs: stats.ctimeMs });
    }
    return done;
  }

  /** Copies of staged files, not flushed, for a second path with the same content. */
  stageDuplicate(input: {
    tmp: string;
    items: readonly { readonly name: string; readonly copy: string; readonly bytes: number }[];
    minFreeBytes: number | undefined;
  }): void {
    const copies = input.items.map(({ copy }) => join(input.tmp, copy));
    try {
      for (const { name, copy, bytes } of input.items) {
        this.#floor.keep(input.tmp, bytes, input.minFreeBytes);
        this.#disk.copyFile(join(input.tmp, name), join(input.tmp, copy), { exclusive: false });
      }
    } catch (error) {
      for (const copy of copies) tryToRemove(this.#disk, copy);
      throw asIoError('could not be copied', input.tmp, error);
    }
  }

  /** As many as the disk lets go of: it is why they are discarded that counts. What stays is not taken for a content again. */
  stageDiscard(input: { tmp: string; names: readonly string[] }): void {
    for (const name of input.names) {
      this.#unflushed.delete(name);
      this.#failedFlushes.delete(name);
      for (const file of [name, name + PART]) if (!tryToRemove(this.#disk, join(input.tmp, file))) this.#spoiled.add(file);
    }
  }

  #openPart(tmp: string, name: string, flags: number): number {
    try {
      return this.#disk.open(join(tmp, name + PART), flags | OPEN.noFollow);
    } catch (error) {
      // Finished meanwhile: the same content came by two ways. What is written or read now is the same bytes.
      if (systemCode(error) === 'ENOENT') return this.#disk.open(join(tmp, name), flags | OPEN.noFollow);
      throw error;
    }
  }

  /** Begins a flush that goes on while more is written; the disk is never idle, and the last flush is short. */
  #flushNowAndThen(tmp: string, name: string, written: number): void {
    const waiting = (this.#unflushed.get(name) ?? 0) + written;
    this.#unflushed.set(name, waiting);
    if (waiting < FLUSH_EVERY_BYTES || this.#flushing.has(name)) return;
    this.#unflushed.set(name, 0);
    this.#flushing.add(name);
    // A descriptor of its own: those of the jobs are closed before it is done.
    const handle = this.#openPart(tmp, name, OPEN.readOnly);
    this.#disk.flushLater(handle, (error) => {
      this.#disk.close(handle);
      this.#flushing.delete(name);
      if (error !== undefined) this.#failedFlushes.set(name, error);
    });
  }
}
