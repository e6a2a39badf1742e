/**
 * Chunks as jobs of the disk threads get them. Flat, because a message of flat arrays is copied 20 times faster than one
 * of objects.
 */
import { HASH_BYTES } from '../base/limits.ts';

/** Item i: 32 bytes at 32 i of `hashes`, and a row of numbers in `spans` whose meaning the job says. */
export interface ChunkItems {
  readonly hashes: Uint8Array;
  readonly spans: Float64Array;
}

export function chunkItems<T extends { readonly hash: Uint8Array }>(
  items: readonly T[],
  numbers: (item: T) => readonly number[],
): ChunkItems {
  const hashes = new Uint8Array(items.length * HASH_BYTES);
  const spans: number[] = [];
  for (const [index, item] of items.entries()) {
    hashes.set(item.hash, index * HASH_BYTES);
    spans.push(...numbers(item));
  }
  return { hashes, spans: Float64Array.from(spans) };
}

export function hashAt(items: Pick<ChunkItems, 'hashes'>, index: number): Uint8Array {
  return items.hashes.subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES);
}

export function countOf(items: ChunkItems): number {
  return items.hashes.length / HASH_BYTES;
}
