/**
 * One sequence of chunks from runs that were cut side by side. Plans where the runs begin, takes them in order, and says
 * where a piece between two is missing.
 *
 * Invariant: what `take` gives, one after the other, is what cutting the content from its start gives, wherever the runs
 * began and whatever the content. It rests on one check: a run counts from the border on that it shares with the true
 * sequence (see `chunk-run.ts`), and not at all if there is none.
 *
 * Content that has no cuts of its own, such as zeros, is cut every `maxBytes`, so there sequences meet only if they began
 * in phase. Runs begin at multiples of `maxBytes`; once a run has met nothing, those that are planned from then on begin
 * in phase with the end of the true sequence. Content may be made so that runs never meet: it is hashed twice.
 */
import { assert } from '../base/assert.ts';
import { HASH_BYTES } from '../base/limits.ts';
import type { ChunkRun, RunRequest } from './chunk-run.ts';

/** How far beyond the start of the next run, in largest chunks, a run tries to meet it. */
const MEET_CHUNKS = 4;

export interface StitchOptions {
  readonly contentBytes: number;
  /** From one start to the next, about. What has fewer than two of them is one run. */
  readonly runBytes: number;
  /** Of a chunk. */
  readonly maxBytes: number;
}

/** The chunks of the run that follow, which may be none, or what is needed before it can be taken. */
export type Taken = { readonly chunks: ChunkRun } | { readonly missing: RunRequest };

export class Stitch {
  readonly #options: StitchOptions;
  /** Rounded up so that starts are in phase. */
  readonly #runBytes: number;
  #planned = 0;
  #end = 0;

  constructor(options: StitchOptions) {
    this.#options = options;
    this.#runBytes = Math.ceil(options.runBytes / options.maxBytes) * options.maxBytes;
  }

  /** The true sequence is known up to here. */
  get endBytes(): number {
    return this.#end;
  }

  /** The next run to cut; `undefined`: there is no more. */
  plan(): RunRequest | undefined {
    const { contentBytes, maxBytes } = this.#options;
    if (this.#planned === contentBytes) return undefined;
    const fromBytes = this.#planned;
    const next = fromBytes + this.#runBytes;
    const toBytes = next + this.#runBytes > contentBytes ? contentBytes : next;
    this.#planned = toBytes;
    return { fromBytes, toBytes, untilBytes: Math.min(toBytes + MEET_CHUNKS * maxBytes, contentBytes), contentBytes };
  }

  /** Runs in the order of their plan; where one is missing, that first and the same run again. */
  take(run: ChunkRun): Taken {
    let border = run.fromBytes;
    let index = 0;
    while (border < this.#end && index < run.sizes.length) border += run.sizes[index++]!;
    if (border === this.#end) return { chunks: this.#follow(run, index) };
    const runEnd = run.sizes.subarray(index).reduce((sum, bytes) => sum + bytes, border);
    if (this.#end < runEnd) {
      const { contentBytes } = this.#options;
      return { missing: { fromBytes: this.#end, toBytes: run.fromBytes, untilBytes: runEnd, contentBytes } };
    }
    this.#shift();
    return { chunks: this.#follow(run, run.sizes.length) };
  }

  #follow(run: ChunkRun, index: number): ChunkRun {
    const sizes = run.sizes.subarray(index);
    const chunks = { fromBytes: this.#end, sizes, hashes: run.hashes.subarray(index * HASH_BYTES) };
    this.#end = sizes.reduce((sum, bytes) => sum + bytes, this.#end);
    assert(this.#end <= this.#options.contentBytes, 'runs end within their content');
    return chunks;
  }

  /** The next start is put in phase. Only forward, and less than a chunk: the run before it has an end that reaches so far. */
  #shift(): void {
    const { contentBytes, maxBytes } = this.#options;
    if (this.#planned === contentBytes) return;
    this.#planned += (((this.#end - this.#planned) % maxBytes) + maxBytes) % maxBytes;
  }
}
