/**
 * Runs of chunks: a part of a content, cut and hashed as if a chunk began where the run begins.
 *
 * Whether one does is not known when a large content is cut in several threads at once; `stitch.ts` finds out. The rule
 * that it builds on: from a border on, the cuts depend on the bytes behind it alone. The scan for a cut looks at no byte
 * before its chunk (the hash forgets after 32 bytes, no chunk is shorter, and rolling begins anew in each), and nothing
 * else is carried over. So two sequences of cuts that share a border share all that follow.
 *
 * Invariant: a run from a true border has the chunks, and all of them, that cutting the content from its start gives there.
 *
 * Two sequences of ordinary content meet within a few chunks, because both cut where the content says so. A run goes on
 * until it has met the sequence that begins where the next run does: that one is scanned beside it, not hashed, and the
 * bytes are in memory anyway. So neighbours nearly always fit without another look at the bytes.
 */
import { assert } from '../base/assert.ts';
import { CHUNK_BYTES_MAX, HASH_BYTES, KIB, MIB } from '../base/limits.ts';
import type { ChunkMemory } from './chunk-memory.ts';
import type { ChunkerParameters, Gear } from './chunker.ts';
import { hash } from './hash.ts';

/** Read at a time: few calls, and hashed before other cores' work has pushed it out of the cache. */
const PIECE_BYTES: number = 2 * MIB;
/** The same beyond `toBytes`, where a run may end any moment: what is read there the next run reads too. */
const END_PIECE_BYTES: number = 256 * KIB;
/** A piece behind what was left of the one before: less than the largest chunk. */
export const RUN_MEMORY_BYTES: number = PIECE_BYTES + CHUNK_BYTES_MAX;

export interface Chunking {
  readonly gear: Gear;
  readonly parameters: ChunkerParameters;
}

/** Offsets in the content. */
export interface RunRequest {
  /** A chunk begins here, or that is the guess. */
  readonly fromBytes: number;
  /** Where the next run begins. This one ends where it meets that one; */
  readonly toBytes: number;
  /** and if it does not, with the first chunk that ends here or beyond. */
  readonly untilBytes: number;
  /** Of the whole content. */
  readonly contentBytes: number;
}

/** Flat, for it goes from thread to thread. */
export interface ChunkRun {
  readonly fromBytes: number;
  readonly sizes: Uint32Array<ArrayBuffer>;
  /** One after the other. */
  readonly hashes: Uint8Array<ArrayBuffer>;
}

/**
 * Reads target[from, to) from an offset of the content on; returns the end of what was read. Less than asked for: the
 * content has become shorter.
 */
export type ReadPiece = (target: Buffer, from: number, to: number, offsetBytes: number) => number;

/** `undefined` where the content is shorter than was said. `memory` has at least `RUN_MEMORY_BYTES`. */
export function cutRun(memory: ChunkMemory, read: ReadPiece, { gear, parameters }: Chunking, request: RunRequest): ChunkRun | undefined {
  const { fromBytes, toBytes, untilBytes, contentBytes } = request;
  assert(toBytes <= untilBytes && fromBytes <= untilBytes && untilBytes <= contentBytes, 'a run ends within its content');
  const sizes: number[] = [];
  const hashes: Uint8Array[] = [];
  /** The border up to which each sequence is cut: ours, and that of the next run. */
  let own = fromBytes;
  let next = toBytes;
  /** In memory is the content from `offset` on; what is before both borders is done with. */
  let offset = Math.min(own, next);
  let length = 0;
  while (own !== next && own < untilBytes) {
    const start = Math.min(own, next) - offset;
    const cut = memory.nextCut(gear, parameters, start, length, offset + length === contentBytes);
    if (cut === undefined) {
      memory.bytes.copyWithin(0, start, length);
      offset += start;
      length -= start;
      const position = offset + length;
      const wanted = Math.min(position < toBytes ? Math.min(PIECE_BYTES, toBytes - position) : END_PIECE_BYTES, contentBytes - position);
      const end = read(memory.bytes, length, length + wanted, position);
      if (end < length + wanted) return undefined;
      length = end;
    } else if (own < next) {
      sizes.push(cut - start);
      hashes.push(hash('chunk', memory.bytes.subarray(start, cut)));
      own = offset + cut;
    } else next = offset + cut;
  }
  return { fromBytes, sizes: Uint32Array.from(sizes), hashes: joined(hashes) };
}

function joined(hashes: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(hashes.length * HASH_BYTES);
  for (const [index, each] of hashes.entries()) all.set(each, index * HASH_BYTES);
  return all;
}
