/**
 * How much of a hash a walk sends: 8 bytes in the first walk of a connection, 16 in the second, all 32 in those after it.
 *
 * Invariant: the length follows from the id of the walk, so the two sides of a walk always agree on it.
 *
 * Digests are most of the bytes of a walk. Two hashes that differ agree in 64 bits once in 10^19 times by chance, but a
 * member can make two pages that do, in some 2^32 tries. A walk takes such pages for equal and does not see what differs in
 * them. Roots stay unlike then, so other walks follow, and in the end whole hashes are compared, as roots are.
 */
import { compareBytes } from '../base/bytes.ts';
import { HASH_BYTES, WALK_DIGEST_BYTES_MIN } from '../base/limits.ts';

/** How many walks its side has begun on this connection before: one side gives the ids 1, 3, 5, ..., the other 2, 4, 6, ... */
function walksBefore(id: number): number {
  return Math.floor((id - 1) / 2);
}

/** Somebody may wait for it; the walks after it repair what should not be. */
export function isFirstWalk(id: number): boolean {
  return walksBefore(id) === 0;
}

export function digestBytes(id: number): number {
  return Math.min(WALK_DIGEST_BYTES_MIN * 2 ** walksBefore(id), HASH_BYTES);
}

export function sameDigest(hash: Uint8Array, digest: Uint8Array): boolean {
  return compareBytes(hash.subarray(0, digest.length), digest) === 0;
}
