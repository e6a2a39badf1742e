/**
 * Rank: how high in the tree a key is a border. A level-l page starts at every key of rank >= l + 1.
 *
 * The rank depends on the share's salt and on the key alone, never on a value or a neighbour. So an edit never moves a
 * border but its own (no cascade), and equal entries give equal pages, whatever the history. P(rank >= l) is
 * 2^(-rankBits * l), which makes the mean fan-out 2^rankBits. The salt keeps somebody who does not know the share from
 * choosing names that fall on borders, or on none.
 */
import { KEY_BYTES_MAX, TREE_LEVEL_MAX } from '../base/limits.ts';
import { hashHex } from '../content/hash.ts';

/** Levels run from 0 to this; a key of the highest rank starts a page at every level but the highest. */
export const RANK_MAX: number = TREE_LEVEL_MAX - 1;

const RANK_BITS_MAX = 16;
const ZERO_DIGIT: number = '0'.charCodeAt(0);

export interface Weight {
  readonly live: 0 | 1;
  readonly bytes: number;
}

/** What fixes the shape of a tree and the totals in its pages: equal on all replicas of a share. */
export interface TreeShape {
  readonly salt: Uint8Array;
  /** log2 of the mean fan-out. */
  readonly rankBits: number;
  /** What an entry adds to `live` and `bytes` of the pages above it; a pure function. */
  readonly weigh: (key: Uint8Array, value: Uint8Array) => Weight;
}

export class Ranker {
  readonly weigh: (key: Uint8Array, value: Uint8Array) => Weight;
  readonly #rankBits: number;
  readonly #saltBytes: number;
  /** salt || key: written anew for each key, so that a rank costs one call of the hash and no copy of its own. */
  readonly #scratch: Buffer;

  /** @throws {RangeError} if `rankBits` is not a whole number from 1 to 16 */
  constructor(shape: TreeShape) {
    if (!Number.isInteger(shape.rankBits) || shape.rankBits < 1 || shape.rankBits > RANK_BITS_MAX) {
      throw new RangeError(`rankBits: ${shape.rankBits} is not a whole number from 1 to ${RANK_BITS_MAX}`);
    }
    this.weigh = shape.weigh;
    this.#rankBits = shape.rankBits;
    this.#saltBytes = shape.salt.length;
    this.#scratch = Buffer.alloc(shape.salt.length + KEY_BYTES_MAX);
    this.#scratch.set(shape.salt);
  }

  /** From 0 to `RANK_MAX`. */
  rank(key: Uint8Array): number {
    this.#scratch.set(key, this.#saltBytes);
    const zeros = leadingZeroBits(hashHex('rank', this.#scratch.subarray(0, this.#saltBytes + key.length)));
    return Math.min(RANK_MAX, Math.floor(zeros / this.#rankBits));
  }
}

function leadingZeroBits(hex: string): number {
  for (let at = 0; at < hex.length; at++) {
    if (hex.charCodeAt(at) !== ZERO_DIGIT) return at * 4 + Math.clz32(Number.parseInt(hex[at]!, 16)) - 28;
  }
  return hex.length * 4;
}
