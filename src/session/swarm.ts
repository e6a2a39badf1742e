/**
 * One content that this host is fetching, and its mates: peers that are fetching it too, and what each has of it so far.
 * Mates serve each other, so that a new content goes out from its source about once, however many hosts want it.
 *
 * Whoever begins tells its peers (`have`). A peer that is fetching the content as well is a mate from then on; it answers
 * with all that it has. After that each tells its mates of every piece that it has written.
 *
 * Invariants: we tell of nothing but chunks that are verified and written here. What a mate tells says whom to ask and nothing
 * more: what is remembered of it is bounded, and each chunk that it sends is verified as any other.
 */
import { CHUNK_BYTES_MIN, HAVE_RUNS_MAX } from '../base/limits.ts';
import { NumberRuns } from '../base/number-runs.ts';
import type { ContentId } from '../content/content-list.ts';
import type { ChunkRun, MessageOf } from '../wire/messages.ts';
import type { Piece } from './fetch-plan.ts';

export class Swarm {
  readonly #content: ContentId;
  /** Of one mate. With gaps between, there are no more. */
  readonly #runsMax: number;
  readonly #held = new NumberRuns();
  /** Of what is held, what mates have not been told. */
  #untold = new NumberRuns();
  readonly #mates = new Map<string, NumberRuns>();
  readonly #barred = new Set<string>();

  /** `bytes`: of the whole content. */
  constructor(content: ContentId, bytes: number) {
    this.#content = content;
    this.#runsMax = Math.min(HAVE_RUNS_MAX, Math.ceil(bytes / CHUNK_BYTES_MIN));
  }

  get mates(): string[] {
    return [...this.#mates.keys()];
  }

  /** These chunks are verified and written now. */
  written(run: ChunkRun): void {
    this.#held.add(run);
    if (this.#mates.size > 0) this.#untold.add(run);
  }

  holds(run: ChunkRun): boolean {
    return this.#held.has(run);
  }

  /** All that is held, for one that has heard nothing yet. */
  everything(): MessageOf<'have'> {
    return this.#have(this.#held);
  }

  /** What is new for the mates. */
  news(): MessageOf<'have'> | undefined {
    if (this.#untold.size === 0) return undefined;
    const message = this.#have(this.#untold);
    this.#untold = new NumberRuns();
    return message;
  }

  /**
   * A peer tells what it has. True: it is to be told everything, being a new mate, or one that begins anew. Of two that begin, neither
   * has anything to tell, so this comes to an end.
   */
  heard(peer: string, runs: readonly ChunkRun[]): boolean {
    if (this.#barred.has(peer)) return false;
    const known = this.#mates.get(peer);
    const theirs = known ?? new NumberRuns();
    this.#mates.set(peer, theirs);
    for (const run of runs) if (theirs.size < this.#runsMax) theirs.add(run);
    return known === undefined || (runs.length === 0 && this.#held.size > 0);
  }

  /** Mates that have all of a piece. */
  matesWith(piece: Piece): string[] {
    return this.mates.filter((peer) => this.mateHas(peer, piece));
  }

  mateHas(peer: string, { firstChunk, chunks }: Piece): boolean {
    return this.#mates.get(peer)?.has({ first: firstChunk, count: chunks.length }) === true;
  }

  leave(peer: string): void {
    this.#mates.delete(peer);
  }

  /** No mate any more, whatever it tells. */
  bar(peer: string): void {
    this.#barred.add(peer);
    this.#mates.delete(peer);
  }

  /** What does not fit is not told: it is asked of somebody else. */
  #have(chunks: NumberRuns): MessageOf<'have'> {
    return { type: 'have', content: this.#content, runs: chunks.runs.slice(0, HAVE_RUNS_MAX) };
  }
}
