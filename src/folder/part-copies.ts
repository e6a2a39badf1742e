/**
 * Chunks that are on this disk already, on their way into parts (see part-jobs.ts): cut into jobs, and given to all work
 * threads. 1 GiB is read, hashed and written in 0.5 s of one processor, and no order is needed.
 *
 * At most one job more than there are threads is under way, whatever is wanted: the first of the threads reads for peers and
 * looks at changes, and once all have started, nothing waits there behind more than two of these.
 */
import { join } from 'node:path';
import { MIB } from '../base/limits.ts';
import { chunkItems } from './chunk-items.ts';
import type { JobCaller } from './disk-jobs.ts';
import { Slots } from './slots.ts';
import type { WorkCaller } from './work-threads.ts';

const JOB_BYTES: number = 8 * MIB;

export interface PartCopiesOptions {
  /** Absolute path of the shared folder. */
  readonly root: string;
  readonly tmp: string;
  readonly work: WorkCaller;
  readonly writeThread: JobCaller;
  /** Undefined: 1 % of the disk or 1 GiB, whichever is less. */
  readonly minFreeBytes: number | undefined;
}

export interface ChunkInPart {
  readonly hash: Uint8Array;
  readonly bytes: number;
  /** In the content. */
  readonly fileOffset: number;
}

export interface CopyItem extends ChunkInPart {
  /** Below the shared folder. */
  readonly path: string;
  readonly sourceOffset: number;
}

export class PartCopies {
  readonly #options: PartCopiesOptions;
  readonly #slots: Slots;

  constructor(options: PartCopiesOptions) {
    this.#options = options;
    this.#slots = new Slots(options.work.width + 1);
  }

  /** True = it is in the part. */
  check(name: string, chunks: readonly ChunkInPart[]): Promise<boolean[]> {
    const { tmp, work } = this.#options;
    return this.#inJobs(chunks, (some) =>
      this.#slots.run(() => work.call('checkPart', { tmp, name, ...chunkItems(some, ({ bytes, fileOffset }) => [bytes, fileOffset]) })),
    );
  }

  /** True = verified and written. False = the file cannot be read or has other bytes. */
  copy(name: string, items: readonly CopyItem[]): Promise<boolean[]> {
    return this.#inJobs(items, async (some) => {
      const copied = await this.#slots.run(() => this.#copy(name, some));
      const bytes = some.reduce((sum, item, at) => sum + (copied[at] === true ? item.bytes : 0), 0);
      // The flushes of a part are all begun by one thread, which also ends it: see `stageWritten`.
      if (bytes > 0) await this.#options.writeThread.call('stageWritten', { tmp: this.#options.tmp, name, bytes });
      return copied;
    });
  }

  #copy(name: string, items: readonly CopyItem[]): Promise<boolean[]> {
    const { root, tmp, work, minFreeBytes } = this.#options;
    const paths = new Map<string, number>();
    for (const { path } of items) if (!paths.has(path)) paths.set(path, paths.size);
    return work.call('copyIntoPart', {
      tmp,
      name,
      sources: [...paths.keys()].map((path) => join(root, path)),
      minFreeBytes,
      ...chunkItems(items, ({ path, sourceOffset, bytes, fileOffset }) => [paths.get(path)!, sourceOffset, bytes, fileOffset]),
    });
  }

  /** Resolves, or fails, when all jobs have ended: who waits for it may do to the part what he likes. */
  async #inJobs<T extends ChunkInPart>(items: readonly T[], run: (some: readonly T[]) => Promise<boolean[]>): Promise<boolean[]> {
    const jobs: T[][] = [];
    let room = 0;
    for (const item of items) {
      if (room < item.bytes) {
        jobs.push([]);
        room = JOB_BYTES;
      }
      jobs.at(-1)!.push(item);
      room -= item.bytes;
    }
    const results = await Promise.allSettled(jobs.map(run));
    return results.flatMap((result) => {
      if (result.status === 'rejected') throw result.reason;
      return result.value;
    });
  }
}
