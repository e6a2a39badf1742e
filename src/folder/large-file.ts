/**
 * The chunks of a large file, in order, from runs that any of the work threads read: the side that asks for them.
 *
 * Invariant: all chunks that are given come from one file with one stat (`file-hash.ts`), and are those of the whole
 * content (`stitch.ts`), whichever threads have read them in whichever order.
 *
 * Memory does not grow with the file: a run has a slot until its chunks are used, and there are few slots, which all
 * files that are being read share. What is missing between two runs is read without one, for those who have them wait
 * for it.
 */
import type { ChunkRun, Chunking, RunRequest } from '../content/chunk-run.ts';
import { Stitch } from '../content/stitch.ts';
import type { HashThreads } from './disk-jobs.ts';
import type { LargeRun, Unread } from './file-hash.ts';
import type { DiskStat } from './placed.ts';
import type { Slots } from './slots.ts';

export interface LargeFileOptions {
  readonly root: string;
  readonly path: string;
  readonly chunking: Chunking;
  readonly threads: HashThreads;
  readonly slots: Slots;
  /** Of a run, about. */
  readonly runBytes: number;
  /** The next chunks of the file; it is called again when it has resolved. */
  readonly onChunks: (chunks: ChunkRun) => Promise<void>;
}

/** `read`: `onChunks` has had all. After anything else, what it has had is of no use. */
export type LargeFileRead = { readonly state: 'read'; readonly stat: DiskStat } | Unread;

export async function readLargeFile(options: LargeFileOptions): Promise<LargeFileRead> {
  const { root, path, threads } = options;
  const found = await threads.call('largeStat', { root, path });
  return found.state === 'settled' ? new LargeFile(options, found.stat).read() : found;
}

class LargeFile {
  readonly #options: LargeFileOptions;
  readonly #stat: DiskStat;
  readonly #stitch: Stitch;
  /** Runs that have a slot or wait for one, in the order of their plan. */
  readonly #ahead: Promise<LargeRun>[] = [];

  constructor(options: LargeFileOptions, stat: DiskStat) {
    const { chunking, runBytes } = options;
    this.#options = options;
    this.#stat = stat;
    this.#stitch = new Stitch({ contentBytes: stat.bytes, runBytes, maxBytes: chunking.parameters.maxBytes });
  }

  async read(): Promise<LargeFileRead> {
    const { slots } = this.#options;
    const release = (): void => slots.release();
    try {
      for (;;) {
        this.#readAhead();
        const first = this.#ahead[0];
        if (first === undefined) return { state: 'read', stat: this.#stat };
        const unread = await this.#use(await first);
        if (unread !== undefined) return unread;
        void this.#ahead.shift();
        slots.release();
      }
    } finally {
      for (const each of this.#ahead) each.then(release, release);
    }
  }

  #readAhead(): void {
    const { slots } = this.#options;
    while (this.#ahead.length < slots.count) {
      const request = this.#stitch.plan();
      if (request === undefined) return;
      const run = slots.take().then(() => this.#run(request));
      run.catch(() => undefined); // It is waited for in its turn.
      this.#ahead.push(run);
    }
  }

  /** Waits for what is missing before it, if anything is. */
  async #use(found: LargeRun): Promise<Unread | undefined> {
    if (found.state !== 'read') return found;
    const taken = this.#stitch.take(found.run);
    if ('chunks' in taken) {
      await this.#options.onChunks(taken.chunks);
      return undefined;
    }
    return (await this.#use(await this.#run(taken.missing))) ?? this.#use(found);
  }

  #run(request: RunRequest): Promise<LargeRun> {
    const { root, path, chunking, threads } = this.#options;
    return threads.call('largeRun', { root, path, stat: this.#stat, chunking, request });
  }
}
