/**
 * Chunks that are in no file of the folder: large record values.
 *
 * Invariants. Nothing is stored under a hash it does not have: the hash is computed here. A `c/` row and its `d/` row
 * come and go in one batch.
 *
 * The bytes lie under a growing sequence, not under their hash: LevelDB then appends instead of merging. Measured with
 * 64 KiB chunks: 352 MB/s and a write amplification of 2.0, against 51 MB/s and 8.0 with the hash as the key.
 */
import { assert } from '../base/assert.ts';
import { byteKey, equalBytes, fromByteKey, toHex } from '../base/bytes.ts';
import { SamerootError } from '../base/errors.ts';
import { hash as hashOf } from '../content/hash.ts';
import { chunkBytesKey, chunkSequenceKey, decodeNumber, encodeNumber, numberOfKey, PREFIX, prefixRange } from './keyspace.ts';
import type { Operation, Store } from './store.ts';

/** How many chunks are remembered before those that the store knows about are dropped. */
const REMEMBERED_MIN = 1024;

export class ChunkStore {
  readonly #store: Store;
  #nextSequence: number;
  /** Sequences given out whose rows may not be in the store yet: asking again gives the same rows, not a second copy. */
  readonly #assigned = new Map<string, number>();
  #assignedMax = REMEMBERED_MIN;
  /** Chunks whose removal was asked for: their row may still be visible, but it can no longer be relied on. */
  readonly #leaving = new Set<string>();
  #leavingMax = REMEMBERED_MIN;

  private constructor(store: Store, nextSequence: number) {
    this.#store = store;
    this.#nextSequence = nextSequence;
  }

  static async open(store: Store): Promise<ChunkStore> {
    let nextSequence = 0;
    for await (const rows of store.iterate({ ...prefixRange(PREFIX.chunkBytes), reverse: true, limit: 1 })) {
      nextSequence = numberOfKey(rows[0]![0]) + 1;
    }
    return new ChunkStore(store, nextSequence);
  }

  has(hash: Uint8Array): boolean {
    return !this.#leaving.has(byteKey(hash)) && this.#sequenceOf(hash) !== undefined;
  }

  /**
   * The bytes as they were stored; their hash was checked then, it is not checked again.
   * @throws {SamerootError} `DATABASE_DAMAGED` if the index names a row that is not there
   */
  get(hash: Uint8Array): Uint8Array | undefined {
    const sequence = this.#sequenceOf(hash);
    if (sequence === undefined) return undefined;
    const bytes = this.#store.get(chunkBytesKey(sequence));
    if (bytes === undefined) throw new SamerootError('DATABASE_DAMAGED', `the bytes of chunk ${toHex(hash)} are gone`);
    return bytes;
  }

  /**
   * The rows that store a chunk, for the same batch as the row that refers to it; none where it is stored already.
   * A batch that is never written leaves nothing behind.
   */
  operations(hash: Uint8Array, bytes: Uint8Array): Operation[] {
    assert(equalBytes(hashOf('chunk', bytes), hash), 'a chunk is stored under its own hash');
    const id = byteKey(hash);
    if (this.has(hash)) {
      this.#assigned.delete(id);
      return [];
    }
    this.#leaving.delete(id);
    const sequence = this.#assigned.get(id) ?? this.#assign(id);
    return [
      { type: 'put', key: chunkBytesKey(sequence), value: bytes },
      { type: 'put', key: chunkSequenceKey(hash), value: encodeNumber(sequence) },
    ];
  }

  /**
   * The rows that remove a chunk. From now on `has` denies it, so that a batch built later stores it anew; the caller
   * passes these rows to `write` before that batch.
   */
  remove(hash: Uint8Array): Operation[] {
    const sequence = this.#sequenceOf(hash);
    if (sequence === undefined) return [];
    this.#assigned.delete(byteKey(hash));
    this.#leave(byteKey(hash));
    return [
      { type: 'del', key: chunkSequenceKey(hash) },
      { type: 'del', key: chunkBytesKey(sequence) },
    ];
  }

  #sequenceOf(hash: Uint8Array): number | undefined {
    const row = this.#store.get(chunkSequenceKey(hash));
    return row === undefined ? undefined : decodeNumber(row);
  }

  #assign(id: string): number {
    if (this.#assigned.size >= this.#assignedMax) {
      for (const known of this.#assigned.keys()) if (this.#isStored(known)) this.#assigned.delete(known);
      this.#assignedMax = Math.max(REMEMBERED_MIN, 2 * this.#assigned.size);
    }
    const sequence = this.#nextSequence++;
    this.#assigned.set(id, sequence);
    return sequence;
  }

  #leave(id: string): void {
    if (this.#leaving.size >= this.#leavingMax) {
      for (const known of this.#leaving) if (!this.#isStored(known)) this.#leaving.delete(known);
      this.#leavingMax = Math.max(REMEMBERED_MIN, 2 * this.#leaving.size);
    }
    this.#leaving.add(id);
  }

  #isStored(id: string): boolean {
    return this.#store.get(chunkSequenceKey(fromByteKey(id))) !== undefined;
  }
}
