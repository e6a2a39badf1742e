/**
 * Bytes for peers, read in place from the user's own files.
 *
 * Invariant: what is handed out was read from a file that had, before and after, the stat of its placed row. A file
 * that has not is due for a check, and the next path with this content is tried; when none is left, the content is gone
 * from here. (The receiver verifies every chunk all the same.)
 *
 * Requests that wait together go to the read thread together, up to 1 MiB: a small file for each job would cost more
 * in messages between the threads than in reading.
 */
import { CHUNK_FRAME_BYTES_MAX, FRAME_HEAD_ROOM_BYTES, KIB } from '../base/limits.ts';
import type { Timer, Timers } from '../base/world.ts';
import type { ContentId } from '../content/content-list.ts';
import type { Store } from '../store/store.ts';
import { ContentIndex } from './content-index.ts';
import { OWN_FOLDER, PART } from './paths.ts';
import { getPlaced } from './placed.ts';
import type { ReadThread } from './disk-jobs.ts';
import type { ReadItem } from './read-jobs.ts';
import { stagedName } from './staging.ts';

const STAGING = `${OWN_FOLDER}/tmp`;
const ITEMS_PER_JOB_MAX = 256;
/** One job runs, one is ready: the thread never waits for us, and other jobs get their turn. */
const JOBS_MAX = 2;
/**
 * Reads at least so long go into blocks of one size, which are used again: a new one costs a page fault for every 4 KiB and,
 * when it is dead, its share of a garbage collection; both together took longer than reading it.
 */
const BLOCK_FROM_BYTES: number = 256 * KIB;
const BLOCK_BYTES: number = CHUNK_FRAME_BYTES_MAX + FRAME_HEAD_ROOM_BYTES;
const SPARE_BLOCKS_MAX = 32;
/** Blocks that nobody wanted for so long are let go. */
const SPARE_MS = 5_000;

export interface WantedRange {
  readonly offsetBytes: number;
  readonly bytes: number;
}

export interface ContentReaderOptions {
  readonly root: string;
  readonly store: Store;
  readonly thread: ReadThread;
  readonly timers: Timers;
  /** The files at these paths are not what they should be. */
  readonly checkSoon: (paths: readonly string[]) => void;
}

export interface ChunksRead {
  readonly chunks: readonly Uint8Array[];
  readonly roomBytes: number;
  readonly release: (() => void) | undefined;
}

interface Request {
  readonly item: ReadItem;
  readonly bytes: number;
  resolve(bytes: Uint8Array | undefined): void;
  reject(error: unknown): void;
}

export class ContentReader {
  readonly index: ContentIndex;
  readonly #options: ContentReaderOptions;
  readonly #queue: Request[] = [];
  #jobs = 0;
  #scheduled = false;
  #spare: ArrayBuffer[] = [];
  #spareTimer: Timer | undefined;

  constructor(options: ContentReaderOptions) {
    this.#options = options;
    this.index = new ContentIndex(options.store);
  }

  /**
   * The bytes of some ranges of a content; `undefined` if no file here holds it as it should be. Neighbours in one buffer,
   * which may hold answers to other requests behind them, and others before them unless there are `roomBytes`. With
   * `release` the buffer is theirs alone, and may be given back.
   * @throws {RangeError} if the ranges are longer than 1 MiB together
   */
  async readChunks(content: ContentId, wanted: readonly WantedRange[]): Promise<ChunksRead | undefined> {
    for await (const { path, stat } of this.#candidates(content)) {
      const found = await this.#readRanges({ path, stat, ranges: wanted });
      if (found !== undefined) return found;
      if (stat !== undefined) this.#options.checkSoon([path]);
    }
    return undefined;
  }

  /**
   * The same of a content of several chunks that is being received: out of its part in staging, `undefined` if there is none. A part
   * is as long as its content from the start, and only who writes it knows which bytes are there.
   */
  readPart(content: ContentId, wanted: readonly WantedRange[]): Promise<ChunksRead | undefined> {
    return this.#readRanges({ path: `${STAGING}/${stagedName(content)}${PART}`, stat: undefined, ranges: wanted });
  }

  async #readRanges(item: ReadItem): Promise<ChunksRead | undefined> {
    const total = item.ranges.reduce((sum, { bytes }) => sum + bytes, 0);
    if (total > CHUNK_FRAME_BYTES_MAX) throw new RangeError(`wanted: ${total} bytes are more than ${CHUNK_FRAME_BYTES_MAX}`);
    const bytes = await this.#read(item, total);
    if (bytes === undefined) return undefined;
    const release = isLong(total) ? (): void => this.#giveBack(bytes.buffer as ArrayBuffer) : undefined;
    return { chunks: split(bytes, item.ranges), roomBytes: roomBefore(bytes), release };
  }

  async *#candidates(content: ContentId): AsyncGenerator<Pick<ReadItem, 'path' | 'stat'>> {
    const first = this.index.path(content);
    if (first !== undefined) yield* this.#withStat(content, first);
    for (const path of await this.index.paths(content)) if (path !== first) yield* this.#withStat(content, path);
    yield { path: `${STAGING}/${stagedName(content)}`, stat: undefined };
  }

  *#withStat(content: ContentId, path: string): Generator<Pick<ReadItem, 'path' | 'stat'>> {
    if (path.startsWith(`${OWN_FOLDER}/`)) {
      yield { path, stat: undefined };
      return;
    }
    const placed = getPlaced(this.#options.store, path);
    if (placed?.content !== undefined && Buffer.compare(placed.content, content) === 0) yield { path, stat: placed.stat };
  }

  #read(item: ReadItem, bytes: number): Promise<Uint8Array | undefined> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ item, bytes, resolve, reject });
      if (this.#scheduled) return;
      this.#scheduled = true;
      this.#options.timers.soon(() => {
        this.#scheduled = false;
        this.#pump();
      });
    });
  }

  #pump(): void {
    while (this.#queue.length > 0 && this.#jobs < JOBS_MAX) {
      let bytes = 0;
      let count = 0;
      for (const request of this.#queue) {
        // A long one goes alone: its block is given back when its bytes are sent, and nobody else may have a part of it.
        const long = isLong(request.bytes);
        if (count > 0 && (long || count === ITEMS_PER_JOB_MAX || bytes + request.bytes > CHUNK_FRAME_BYTES_MAX)) break;
        bytes += request.bytes;
        count++;
        if (long) break;
      }
      this.#jobs++;
      void this.#run(this.#queue.splice(0, count));
    }
  }

  async #run(requests: readonly Request[]): Promise<void> {
    try {
      const items = requests.map(({ item }) => item);
      const block = isLong(requests[0]!.bytes) ? (this.#spare.pop() ?? new ArrayBuffer(BLOCK_BYTES)) : undefined;
      const input = { root: this.#options.root, items, block: block === undefined ? undefined : new Uint8Array(block) };
      const results = await this.#options.thread.call('readFiles', input, block === undefined ? [] : [block]);
      for (const [index, request] of requests.entries()) request.resolve(results[index]);
    } catch (error) {
      for (const request of requests) request.reject(error);
    } finally {
      this.#jobs--;
      this.#pump();
    }
  }

  #giveBack(block: ArrayBuffer): void {
    if (this.#spare.length >= SPARE_BLOCKS_MAX) return;
    this.#spare.push(block);
    this.#spareTimer?.cancel();
    this.#spareTimer = this.#options.timers.after(SPARE_MS, () => (this.#spare = []), { background: true });
  }
}

/** Read with a job and a block of its own. */
function isLong(bytes: number): boolean {
  return bytes >= BLOCK_FROM_BYTES;
}

/** The room belongs to the first result of a job: where that is empty, the next one begins at the same place and has none. */
function roomBefore(bytes: Uint8Array): number {
  return bytes.length > 0 && bytes.byteOffset === FRAME_HEAD_ROOM_BYTES ? FRAME_HEAD_ROOM_BYTES : 0;
}

function split(bytes: Uint8Array, wanted: readonly WantedRange[]): Uint8Array[] {
  let at = 0;
  return wanted.map((range) => bytes.subarray(at, (at += range.bytes)));
}
