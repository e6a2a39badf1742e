/**
 * Staging: contents on their way into the folder, in `.sameroot/tmp` (see stage-jobs.ts for the files).
 *
 * Invariant: `complete(id)` only for contents whose every byte was verified and which were flushed: what a root may
 * cover. No caller is believed that says so: orders of one content overlap, and what one of them was told of a part is not true of
 * the part that is made after that was dropped. So a part becomes whole only if what was verified since it was made covers
 * it (part-ranges.ts). Everything else in staging is work in progress; it survives a restart, because a part is asked what it
 * holds by hashing it again, not by notes about it that could be wrong.
 *
 * The write thread does its jobs in the order of the calls. What all threads do to parts has no order but this: a part is
 * finished or dropped when those that copy into it are through (part-gate.ts).
 */
import { join } from 'node:path';
import { assert } from '../base/assert.ts';
import { equalBytes, toHex } from '../base/bytes.ts';
import { SamerootError } from '../base/errors.ts';
import { HASH_BYTES } from '../base/limits.ts';
import type { Clock } from '../base/world.ts';
import { contentHash, contentLevel, EMPTY_CONTENT, type ContentId } from '../content/content-list.ts';
import { chunkItems } from './chunk-items.ts';
import type { JobCaller } from './disk-jobs.ts';
import type { DiskAccess } from './disk.ts';
import { PartCopies, type ChunkInPart, type CopyItem } from './part-copies.ts';
import { PartGate } from './part-gate.ts';
import { PartRanges } from './part-ranges.ts';
import { OWN_FOLDER, PART } from './paths.ts';
import type { WorkCaller } from './work-threads.ts';

export interface StagingOptions {
  /** Absolute path of the shared folder. */
  readonly root: string;
  readonly access: DiskAccess;
  readonly writeThread: JobCaller;
  readonly work: WorkCaller;
  readonly clock: Clock;
  /** Undefined: 1 % of the disk or 1 GiB, whichever is less. */
  readonly minFreeBytes: number | undefined;
}

export interface WholeItem {
  readonly hash: Uint8Array;
  /** In the frame. */
  readonly offset: number;
  readonly bytes: number;
}

export interface PartItem extends WholeItem {
  /** In the content. */
  readonly fileOffset: number;
}

interface Staged {
  /** Not flushed yet, or flushed. */
  complete: boolean;
  /** Someone was told that the bytes are here and has not called `finish` yet: it must not be moved away. */
  claimed: boolean;
}

const STAGING = `${OWN_FOLDER}/tmp`;
const UNUSED_MS_MAX = 7 * 86_400_000;
const VERIFY_NAMES_PER_JOB = 512;

/** The file name of a content in staging. */
export function stagedName(id: ContentId): string {
  return toHex(contentLevel(id) === 0 ? contentHash(id) : id);
}

export class Staging {
  readonly #options: StagingOptions;
  readonly #tmp: string;
  readonly #files = new Map<string, Staged>();
  /** Undefined: an earlier run left it, and nobody has opened it yet. */
  readonly #parts = new Map<string, PartRanges | undefined>();
  readonly #gate = new PartGate();
  readonly #copies: PartCopies;

  private constructor(options: StagingOptions) {
    this.#options = options;
    this.#tmp = join(options.root, STAGING);
    const { root, work, writeThread, minFreeBytes } = options;
    this.#copies = new PartCopies({ root, tmp: this.#tmp, work, writeThread, minFreeBytes });
  }

  /**
   * Finds what earlier runs left. `stillWanted`: contents of entries that are committed and not placed yet; other
   * files that nobody has touched for 7 days are removed.
   */
  static async open(options: StagingOptions, stillWanted: ReadonlySet<string> = new Set()): Promise<Staging> {
    const staging = new Staging(options);
    options.access.disk.mkdir(staging.#tmp, { recursive: true });
    await staging.#load(stillWanted);
    return staging;
  }

  async #load(stillWanted: ReadonlySet<string>): Promise<void> {
    const { writeThread, clock } = this.#options;
    const tooOldMs = clock.wallMs() - UNUSED_MS_MAX;
    const small: string[] = [];
    const old: string[] = [];
    for (const { name, ctimeMs } of await writeThread.call('stageList', { tmp: this.#tmp })) {
      const content = name.replace(PART, '');
      if (ctimeMs < tooOldMs && !stillWanted.has(content)) old.push(content);
      else if (name !== content) this.#parts.set(content, undefined);
      else this.#files.set(content, { complete: name.length > HASH_BYTES * 2, claimed: false });
      if (name.length === HASH_BYTES * 2) small.push(name);
    }
    await writeThread.call('stageDiscard', { tmp: this.#tmp, names: old });
    for (let from = 0; from < small.length; from += VERIFY_NAMES_PER_JOB) {
      const names = small.slice(from, from + VERIFY_NAMES_PER_JOB).filter((name) => this.#files.has(name));
      const sound = await writeThread.call('stageVerify', { tmp: this.#tmp, names });
      for (const [index, name] of names.entries()) if (sound[index] !== true) this.#files.delete(name);
    }
    await this.#finishNames(
      [...this.#files].filter(([, staged]) => !staged.complete).map(([name]) => name),
      [],
    );
  }

  /**
   * A frame with whole contents of one chunk. True = verified and written; `finish` makes them complete.
   * A frame that is all of its `ArrayBuffer` is moved to the thread and must not be used afterwards; another is copied.
   * @throws {SamerootError} `DISK_FULL`, `IO_ERROR`
   */
  async writeWhole(frame: Uint8Array, items: readonly WholeItem[]): Promise<boolean[]> {
    const results = items.map(({ hash }) => this.#claim(toHex(hash)));
    const rest = items.filter((_, index) => results[index] !== true);
    if (rest.length === 0) return results;
    const { buffer, transfer } = movable(frame);
    const input = {
      tmp: this.#tmp,
      frame: buffer,
      minFreeBytes: this.#options.minFreeBytes,
      ...chunkItems(rest, ({ offset, bytes }) => [offset, bytes]),
    };
    const written = await this.#options.writeThread.call('stageWhole', input, transfer);
    let next = 0;
    return results.map((had, index) => had || this.#noteWritten(toHex(items[index]!.hash), written[next++]!));
  }

  /** Makes the part, or keeps the one that an earlier run left: see `checkPart`. */
  openPart(id: ContentId, bytes: number): Promise<void> {
    const name = partName(id);
    return this.#gate.use(name, async () => {
      if (this.#claim(name)) return;
      const { writeThread, minFreeBytes } = this.#options;
      const kept = await writeThread.call('stageOpenPart', { tmp: this.#tmp, name, bytes, minFreeBytes });
      if (!kept || this.#parts.get(name) === undefined) this.#parts.set(name, new PartRanges(bytes));
    });
  }

  hasPart(id: ContentId): boolean {
    return this.#parts.has(stagedName(id));
  }

  /** Which chunks are in the part. */
  checkPart(id: ContentId, chunks: readonly ChunkInPart[]): Promise<boolean[]> {
    const name = partName(id);
    return this.#gate.use(name, () => this.#noting(name, chunks, () => this.#copies.check(name, chunks)));
  }

  /** The frame is moved or copied as in `writeWhole`. */
  async writePart(id: ContentId, frame: Uint8Array, items: readonly PartItem[]): Promise<boolean[]> {
    const { buffer, transfer } = movable(frame);
    const spans = chunkItems(items, ({ offset, bytes, fileOffset }) => [offset, bytes, fileOffset]);
    const name = partName(id);
    const input = { tmp: this.#tmp, name, frame: buffer, minFreeBytes: this.#options.minFreeBytes, ...spans };
    return this.#noting(name, items, () => this.#options.writeThread.call('stagePart', input, transfer));
  }

  /** Chunks from files of the folder into an open part. False = the file cannot be read or has other bytes. */
  copyPart(id: ContentId, items: readonly CopyItem[]): Promise<boolean[]> {
    const name = partName(id);
    return this.#gate.use(name, () => this.#noting(name, items, () => this.#copies.copy(name, items)));
  }

  /** Notes what is in the part that is there now, and not in one that is made while `run` is under way. */
  async #noting(name: string, chunks: readonly ChunkInPart[], run: () => Promise<boolean[]>): Promise<boolean[]> {
    const ranges = this.#parts.get(name);
    const good = await run();
    ranges?.note(chunks, good);
    return good;
  }

  /** Contents of one chunk from files of the folder; `finish` makes them complete. */
  async copyWhole(items: readonly CopyItem[]): Promise<boolean[]> {
    const results = items.map(({ hash }) => this.#claim(toHex(hash)));
    const rest = items.filter((_, index) => results[index] !== true);
    if (rest.length === 0) return results;
    const { root, minFreeBytes, writeThread } = this.#options;
    const copied = await writeThread.call('stageCopyWhole', {
      tmp: this.#tmp,
      sources: rest.map(({ path }) => join(root, path)),
      minFreeBytes,
      ...chunkItems(rest, ({ sourceOffset, bytes }) => [sourceOffset, bytes]),
    });
    let next = 0;
    return results.map((had, index) => had || this.#noteWritten(toHex(items[index]!.hash), copied[next++]!));
  }

  /** Verified, flushed, and in staging. The empty content always is. */
  complete(id: ContentId): boolean {
    return equalBytes(id, EMPTY_CONTENT) || this.#files.get(stagedName(id))?.complete === true;
  }

  /** Absolute path of a complete content in staging, for whoever reads it. */
  pathOf(id: ContentId): string | undefined {
    const name = stagedName(id);
    return this.#files.get(name)?.complete === true ? join(this.#tmp, name) : undefined;
  }

  /**
   * Flushes contents whose every chunk was reported true, and makes them complete.
   * @throws {SamerootError} `IO_ERROR` if the flush fails: the files are dropped and must be fetched again;
   *   `CONTENT_MISSING` if a content is not here, or not all of it. The others are complete, and its part is left to whoever fills it.
   */
  async finish(ids: readonly ContentId[]): Promise<void> {
    const rest = ids.filter((id) => !equalBytes(id, EMPTY_CONTENT) && !this.#unclaim(stagedName(id)));
    const names = (large: boolean): string[] => [...new Set(rest.filter((id) => contentLevel(id) > 0 === large).map(stagedName))];
    await this.#finishNames(names(false), names(true));
    const missing = rest.find((id) => !this.complete(id));
    if (missing !== undefined) throw new SamerootError('CONTENT_MISSING', `content ${stagedName(missing)} is not all in staging`);
  }

  /** Of these names those that are whole; that others are not, or are complete by now, is for the caller to see. */
  #finishNames(small: readonly string[], large: readonly string[]): Promise<void> {
    return this.#gate.end(large, async () => {
      const whole = small.filter((name) => this.#files.has(name));
      const parts = large.filter((name) => this.#parts.get(name)?.isWhole === true);
      if (whole.length + parts.length === 0) return;
      try {
        const files = [...whole, ...parts.map((name) => name + PART)].map((name) => `${STAGING}/${name}`);
        // Not in the write thread: it stages the next contents meanwhile.
        await this.#options.access.makeDurable(this.#options.root, files, [STAGING]);
        const flushed = await this.#options.writeThread.call('stageFinish', { tmp: this.#tmp, whole, parts });
        // What is not there is forgotten too: as long as it counts as written, nobody would write it again.
        for (const name of [...whole, ...parts]) this.#forget(name);
        for (const { name } of flushed) this.#files.set(name, { complete: true, claimed: false });
      } catch (error) {
        await this.#drop([...whole, ...parts]);
        throw error;
      }
    });
  }

  /**
   * Forgets twice: at once, so that nobody claims what is about to go; and again what was noted meanwhile, for it was written
   * before it went (the thread takes its jobs in order, and answers in order). Nobody is at the parts: they are being finished.
   */
  async #drop(names: readonly string[]): Promise<void> {
    for (const name of names) this.#forget(name);
    await this.#options.writeThread.call('stageDiscard', { tmp: this.#tmp, names });
    for (const name of names) this.#forget(name);
  }

  /**
   * For materialise: the file to place, or, where it is not `known`, the name under which one may come from the folder. `copy`:
   * someone else counts on it, so it may not be moved. Undefined while the content is being received.
   */
  placeable(id: ContentId): { readonly name: string; readonly copy: boolean; readonly known: boolean } | undefined {
    const name = stagedName(id);
    const staged = this.#files.get(name);
    if (staged === undefined) return { name, copy: false, known: false };
    return staged.complete ? { name, copy: staged.claimed, known: true } : undefined;
  }

  /** For materialise: the staged file was moved into the folder. */
  noteMoved(name: string): void {
    this.#files.delete(name);
  }

  /** For materialise: a flushed file that holds the content was moved into staging. */
  noteKept(name: string): void {
    this.#files.set(name, { complete: true, claimed: false });
  }

  /** Flushed copies of complete files, for a second path with the same content. */
  async duplicate(items: readonly { readonly name: string; readonly copy: string; readonly bytes: number }[]): Promise<void> {
    const { root, access, writeThread, minFreeBytes } = this.#options;
    await writeThread.call('stageDuplicate', { tmp: this.#tmp, items, minFreeBytes });
    const copies = items.map(({ copy }) => copy);
    try {
      await access.makeDurable(
        root,
        copies.map((copy) => `${STAGING}/${copy}`),
        [],
      );
    } catch (error) {
      await writeThread.call('stageDiscard', { tmp: this.#tmp, names: copies });
      throw error;
    }
  }

  #claim(name: string): boolean {
    const staged = this.#files.get(name);
    if (staged === undefined) return false;
    staged.claimed = true;
    return true;
  }

  /** False: there is still something to finish. A complete one is durable: a flush that fails now is no reason to drop it. */
  #unclaim(name: string): boolean {
    const staged = this.#files.get(name);
    if (staged?.complete !== true) return false;
    staged.claimed = false;
    return true;
  }

  #noteWritten(name: string, good: boolean): boolean {
    if (good && !this.#files.has(name)) this.#files.set(name, { complete: false, claimed: true });
    return good;
  }

  #forget(name: string): void {
    this.#files.delete(name);
    this.#parts.delete(name);
  }
}

function partName(id: ContentId): string {
  assert(contentLevel(id) > 0, 'contents of one chunk have no parts');
  return stagedName(id);
}

/** Moved to the thread if nothing else can be in its memory, else copied. */
function movable(frame: Uint8Array): { buffer: Uint8Array; transfer: ArrayBuffer[] } {
  const own = frame.byteLength === frame.buffer.byteLength && frame.buffer instanceof ArrayBuffer;
  const bytes = own ? new Uint8Array(frame.buffer) : new Uint8Array(frame);
  return { buffer: bytes, transfer: [bytes.buffer] };
}
