/**
 * Pages as they are read: the nodes of the tree, decoded. A leaf (level 0) holds entries, an inner page the first key, hash
 * and totals of each page below it. docs/FORMAT.md has the bytes.
 *
 * Invariant: a page has one encoding. What `decodePage` accepts, `encodePage` would write again byte for byte: keys
 * ascend strictly, each shares with its predecessor all it can, numbers are not padded, nothing is left over.
 */
import { asBuffer, badEncoding } from '../base/bytes.ts';
import { ENTRY_BYTES_MAX, HASH_BYTES, KEY_BYTES_MAX, PAGE_BYTES_MAX, PAGE_ITEMS_MAX } from '../base/limits.ts';
import { RANK_MAX } from './rank.ts';

/** What lies below: entries, live ones among them, and the bytes they stand for. */
export interface Totals {
  readonly count: number;
  readonly live: number;
  readonly bytes: number;
}

/** Per item three numbers: where its key ends in `keys`, where its body starts and where it ends in `bytes`. */
const STRIDE = 3;

/** A decoded page: the bytes themselves plus where things are, so that reading a page makes no object per item. */
export class Page {
  readonly level: number;
  /** Items in this very page. */
  readonly size: number;
  readonly bytes: Buffer;
  readonly #keys: Buffer;
  /** A plain array: one of small numbers lives in the JavaScript heap, while a typed array costs a call of malloc (0.4 against 0.9 us). */
  readonly #index: readonly number[];

  constructor(level: number, size: number, bytes: Buffer, keys: Buffer, index: readonly number[]) {
    this.level = level;
    this.size = size;
    this.bytes = bytes;
    this.#keys = keys;
    this.#index = index;
  }

  get memoryBytes(): number {
    return this.bytes.length + this.#keys.length + this.#index.length * 8;
  }

  #keyStart(item: number): number {
    return item === 0 ? 0 : this.#index[(item - 1) * STRIDE]!;
  }

  key(item: number): Uint8Array {
    return this.#keys.subarray(this.#keyStart(item), this.#index[item * STRIDE]);
  }

  /** Where what follows the key starts in `bytes`: a sized value, or a hash and three numbers. */
  bodyStart(item: number): number {
    return this.#index[item * STRIDE + 1]!;
  }

  end(item: number): number {
    return this.#index[item * STRIDE + 2]!;
  }

  /** Of a leaf. */
  value(item: number): Uint8Array {
    let at = this.bodyStart(item);
    while (this.bytes[at]! >= 0x80) at++;
    return this.bytes.subarray(at + 1, this.end(item));
  }

  /** Of an inner page: the hash of the page below. */
  hash(item: number): Uint8Array {
    const at = this.bodyStart(item);
    return this.bytes.subarray(at, at + HASH_BYTES);
  }

  /** Of an inner page: what lies below the item. */
  totals(item: number): Totals {
    cursor = this.bodyStart(item) + HASH_BYTES;
    return { count: readVarint(this.bytes), live: readVarint(this.bytes), bytes: readVarint(this.bytes) };
  }

  /** Whether item `item` here and item `other` of `page` have the same body: equal value, or equal hash and totals. */
  sameBody(item: number, page: Page, other: number): boolean {
    return this.bytes.compare(page.bytes, page.bodyStart(other), page.end(other), this.bodyStart(item), this.end(item)) === 0;
  }

  /** Order of `key` against the key of `item`. */
  compareKey(key: Uint8Array, item: number): number {
    const keys = this.#keys;
    const start = this.#keyStart(item);
    const length = this.#index[item * STRIDE]! - start;
    const common = Math.min(key.length, length);
    // A loop, not Buffer.compare: for keys of a few dozen bytes the call with offsets costs more than the comparison.
    for (let at = 0; at < common; at++) {
      const difference = key[at]! - keys[start + at]!;
      if (difference !== 0) return difference;
    }
    return key.length - length;
  }

  /** Order of the key of `item` against the key of `other` in `page`. */
  compareWith(item: number, page: Page, other: number): number {
    return page === this ? item - other : page.compareKey(this.key(item), other);
  }

  /** First item from `from` on whose key is not below `key`; `size` if there is none. */
  lowerBound(key: Uint8Array, from: number = 0): number {
    let low = from;
    let high = this.size;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.compareKey(key, middle) > 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Of an inner page: the item whose range holds `key`. The first one holds everything below the second. */
  childFor(key: Uint8Array, from: number = 0): number {
    const at = this.lowerBound(key, from);
    if (at < this.size && this.compareKey(key, at) === 0) return at;
    return Math.max(0, at - 1);
  }
}

/**
 * Decoding state, kept outside the functions and not in a `ByteReader`: that makes a view per field, and took 7 us for a
 * leaf of 32 entries where this takes 2.5. Nothing here outlives a call.
 */
let cursor = 0;
let keyScratch: Buffer = Buffer.allocUnsafe(64 * 1024);

function readVarint(bytes: Buffer): number {
  let byte = bytes[cursor++];
  if (byte === undefined) throw badEncoding('a page ends too early');
  if (byte < 0x80) return byte;
  let value = byte & 0x7f;
  let scale = 0x80;
  for (;;) {
    byte = bytes[cursor++];
    if (byte === undefined) throw badEncoding('a page ends too early');
    value += (byte & 0x7f) * scale;
    if (value > Number.MAX_SAFE_INTEGER) throw badEncoding('a number in a page is over 2^53');
    if (byte < 0x80) {
      if (byte === 0) throw badEncoding('a number in a page is padded');
      return value;
    }
    scale *= 0x80;
  }
}

/** Reads a front-coded key after the one at [previous, end) of `keyScratch`; returns where it ends there. */
function readKey(bytes: Buffer, previous: number, end: number): number {
  const shared = readVarint(bytes);
  const rest = readVarint(bytes);
  const length = end - previous;
  if (shared > length || shared + rest > KEY_BYTES_MAX) throw badEncoding('a key in a page is too long');
  if (rest === 0) throw badEncoding('keys in a page do not ascend');
  if (cursor + rest > bytes.length) throw badEncoding('a page ends too early');
  // Shares all it can and ascends, both at once: the first byte that is not shared is above the one it replaces.
  if (shared < length && bytes[cursor]! <= keyScratch[previous + shared]!) throw badEncoding('keys in a page do not ascend');
  const next = end + shared + rest;
  if (next > keyScratch.length) {
    const grown = Buffer.allocUnsafe(Math.max(next, keyScratch.length * 2));
    keyScratch.copy(grown, 0, 0, end);
    keyScratch = grown;
  }
  // Two loops, as in compareKey: the pieces are short.
  for (let at = 0; at < shared; at++) keyScratch[end + at] = keyScratch[previous + at]!;
  for (let at = 0; at < rest; at++) keyScratch[end + shared + at] = bytes[cursor + at]!;
  cursor += rest;
  return next;
}

function skipBody(bytes: Buffer, level: number): void {
  if (level === 0) {
    const length = readVarint(bytes);
    if (length > ENTRY_BYTES_MAX) throw badEncoding('a value in a page is too long');
    cursor += length;
  } else {
    cursor += HASH_BYTES;
    if (cursor > bytes.length) throw badEncoding('a page ends too early');
    const count = readVarint(bytes);
    if (count === 0 || readVarint(bytes) > count) throw badEncoding('the totals in a page are impossible');
    readVarint(bytes);
  }
  if (cursor > bytes.length) throw badEncoding('a page ends too early');
}

/**
 * Keeps `page`, which must not change afterwards.
 * @throws {SamerootError} `BAD_ENCODING` if `page` is not the canonical form of some page within the limits
 */
export function decodePage(page: Uint8Array): Page {
  const bytes = asBuffer(page);
  if (bytes.length > PAGE_BYTES_MAX) throw badEncoding('a page is too long');
  cursor = 0;
  const level = readVarint(bytes);
  if (level > RANK_MAX) throw badEncoding(`a page of level ${level}`);
  const size = readVarint(bytes);
  if (size === 0 || size > PAGE_ITEMS_MAX) throw badEncoding(`a page of ${size} items`);
  const index: number[] = []; // grows with what is really there, not with what `size` claims
  let previous = 0;
  let end = 0;
  for (let item = 0; item < size; item++) {
    const next = readKey(bytes, previous, end);
    const bodyStart = cursor;
    skipBody(bytes, level);
    index.push(next, bodyStart, cursor);
    previous = end;
    end = next;
  }
  if (cursor !== bytes.length) throw badEncoding(`${bytes.length - cursor} bytes are left over in a page`);
  const keys = Buffer.allocUnsafe(end);
  keyScratch.copy(keys, 0, 0, end);
  return new Page(level, size, bytes, keys, index);
}
