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

/**
 * A decoded page: the bytes themselves plus where each item starts, so that reading a page makes no object per item. How an
 * item begins is read from the bytes each time: kept as numbers, four per item instead of one, it was a quarter of the garbage
 * of a scattered edit, and the collector copied it for every page in the cache.
 *
 * Keys stay front-coded: `search` compares with what is shared, and an edit of one entry needs few keys of the page. They
 * are all spelled out at the first call of `key`, for those who go through the page. (When decoding spelled out all,
 * 10,000 scattered edits of 10^6 entries took a twentieth to a tenth longer.)
 */
export class Page {
  readonly level: number;
  /** Items in this very page. */
  readonly size: number;
  readonly bytes: Buffer;
  /**
   * Where each item starts in `bytes`, and where the last one ends. A plain array: one of small numbers lives in the
   * JavaScript heap, while a typed array costs a call of malloc (0.4 against 0.9 us).
   */
  readonly #starts: readonly number[];
  readonly #keyBytes: number;
  #keys: Buffer | undefined;
  /** Where each key ends in `#keys`. */
  #keyEnds: readonly number[] = [];

  /** `keyBytes`: of all keys spelled out. */
  constructor(level: number, bytes: Buffer, starts: readonly number[], keyBytes: number) {
    this.level = level;
    this.size = starts.length - 1;
    this.bytes = bytes;
    this.#starts = starts;
    this.#keyBytes = keyBytes;
  }

  /** With the keys spelled out. */
  get memoryBytes(): number {
    return this.bytes.length + this.#keyBytes + this.size * 16;
  }

  /** A view; spells out all keys of the page. */
  key(item: number): Uint8Array {
    const keys = this.#keys ?? this.#spellKeys();
    return keys.subarray(item === 0 ? 0 : this.#keyEnds[item - 1], this.#keyEnds[item]);
  }

  /** One key, put together from the items before it. */
  copyKey(item: number): Uint8Array {
    const key = Buffer.allocUnsafe(this.keyLength(item));
    this.spellKey(item, key);
    return key;
  }

  /** Puts one key together in `target`, from the items before it; returns its length. */
  spellKey(item: number, target: Uint8Array): number {
    const { bytes } = this;
    const length = this.keyLength(item);
    // Backwards: an item has the bytes of the key from where it stops sharing up to where a later item shares no more.
    let missing = length;
    for (let at = item; missing > 0; at--) {
      cursor = this.#starts[at]!;
      const shared = readVarint(bytes);
      if (shared >= missing) continue;
      readVarint(bytes);
      for (let to = shared, from = cursor; to < missing;) target[to++] = bytes[from++]!;
      missing = shared;
    }
    return length;
  }

  keyLength(item: number): number {
    cursor = this.#starts[item]!;
    return readVarint(this.bytes) + readVarint(this.bytes);
  }

  #spellKeys(): Buffer {
    const { bytes } = this;
    const keys = Buffer.allocUnsafe(this.#keyBytes);
    const ends: number[] = [];
    let previous = 0;
    let end = 0;
    for (let item = 0; item < this.size; item++) {
      const start = end;
      cursor = this.#starts[item]!;
      const shared = readVarint(bytes);
      const rest = readVarint(bytes);
      for (const to = previous + shared; previous < to; previous++) keys[end++] = keys[previous]!;
      for (const to = cursor + rest; cursor < to; cursor++) keys[end++] = bytes[cursor]!;
      ends.push(end);
      previous = start;
    }
    this.#keyEnds = ends;
    this.#keys = keys;
    return keys;
  }

  /** Where the item starts in `bytes`: with how much of its key it shares with the one before. */
  start(item: number): number {
    return this.#starts[item]!;
  }

  /** Where what follows the key starts in `bytes`: a sized value, or a hash and three numbers. */
  bodyStart(item: number): number {
    cursor = this.#starts[item]!;
    readVarint(this.bytes);
    const rest = readVarint(this.bytes);
    return cursor + rest;
  }

  end(item: number): number {
    return this.#starts[item + 1]!;
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
    const keys = this.#keys ?? this.#spellKeys();
    const start = item === 0 ? 0 : this.#keyEnds[item - 1]!;
    const length = this.#keyEnds[item]! - start;
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

  /**
   * The item that has `key`, or else -1 - the first item whose key is above it (`size` if there is none).
   *
   * One pass over the front-coded keys. All items before are below `key`, and the last shares `matched` bytes with it. So an
   * item that shares more than that with the last is below too; one that shares less is above; else the rest tells.
   */
  search(key: Uint8Array): number {
    const { bytes, size } = this;
    const starts = this.#starts;
    let matched = 0;
    for (let item = 0; item < size; item++) {
      const start = starts[item]!;
      // Nearly every look-up passes over most items here: a call of `readVarint` for each made it a tenth slower.
      let shared = bytes[start]!;
      cursor = start + 1;
      if (shared >= 0x80) {
        cursor = start;
        shared = readVarint(bytes);
      }
      if (shared > matched) continue;
      if (shared < matched) return -1 - item;
      const rest = readVarint(bytes);
      let from = cursor;
      const to = from + rest;
      while (from < to && matched < key.length && bytes[from] === key[matched]) {
        from++;
        matched++;
      }
      if (matched === key.length) return from === to ? item : -1 - item;
      if (from < to && bytes[from]! > key[matched]!) return -1 - item;
    }
    return -1 - size;
  }

  /** First item whose key is not below `key`; `size` if there is none. */
  lowerBound(key: Uint8Array): number {
    const at = this.search(key);
    return at < 0 ? -1 - at : at;
  }

  /** Of an inner page: the item whose range holds `key`. The first one holds everything below the second. */
  childFor(key: Uint8Array): number {
    const at = this.search(key);
    return at < 0 ? Math.max(0, -2 - at) : at;
  }
}

/**
 * Decoding state, kept outside the functions and not in a `ByteReader`: that makes a view per field, and took 7 us for a
 * leaf of 32 entries where this takes 2.5. Nothing here outlives a call.
 */
let cursor = 0;
/** The last key that was read, and its length. */
const lastKey: Buffer = Buffer.allocUnsafe(KEY_BYTES_MAX);
let lastLength = 0;
/** Copied from when the page is through: an array that grows is copied several times. */
const startsScratch: number[] = [];

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

/** Reads a front-coded key into `lastKey`. */
function readKey(bytes: Buffer): void {
  const shared = readVarint(bytes);
  const rest = readVarint(bytes);
  if (shared > lastLength || shared + rest > KEY_BYTES_MAX) throw badEncoding('a key in a page is too long');
  if (rest === 0) throw badEncoding('keys in a page do not ascend');
  if (cursor + rest > bytes.length) throw badEncoding('a page ends too early');
  // Shares all it can and ascends, both at once: the first byte that is not shared is above the one it replaces.
  if (shared < lastLength && bytes[cursor]! <= lastKey[shared]!) throw badEncoding('keys in a page do not ascend');
  lastLength = shared + rest;
  // A loop, as in compareKey: the pieces are short.
  for (let at = shared; at < lastLength; at++) lastKey[at] = bytes[cursor++]!;
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
  // Nothing is made for the items that `size` claims, only for those that are there.
  let keyBytes = 0;
  lastLength = 0;
  for (let item = 0; item < size; item++) {
    startsScratch[item] = cursor;
    readKey(bytes);
    keyBytes += lastLength;
    skipBody(bytes, level);
  }
  if (cursor !== bytes.length) throw badEncoding(`${bytes.length - cursor} bytes are left over in a page`);
  startsScratch[size] = cursor;
  return new Page(level, bytes, startsScratch.slice(0, size + 1), keyBytes);
}
