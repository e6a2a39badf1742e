/**
 * Pages as they are written. `decodePage` accepts exactly these bytes.
 *
 * A page is put together from pieces: single items, and runs of items copied as they stand in another page. Only the
 * first key of a run is coded anew, as the bytes of an item depend on the key before it and on nothing else. So an edit
 * of one entry in a page costs two keys and a copy.
 */
import { EMPTY_BYTES, asBuffer, sharedPrefixLength } from '../base/bytes.ts';
import { SamerootError } from '../base/errors.ts';
import { KIB, PAGE_BYTES_MAX, PAGE_ITEMS_MAX } from '../base/limits.ts';
import type { Page, Totals } from './page-codec.ts';

/** A run of items as they stand in another page of the same level. */
export interface Run {
  readonly page: Page;
  readonly from: number;
  readonly to: number;
}

/** One item of its own: `body` is the value of an entry (level 0), or the hash of the page below with its totals. */
export interface Single {
  readonly page: undefined;
  readonly key: Uint8Array;
  readonly body: Uint8Array;
  readonly totals: Totals | undefined;
}

let output: Buffer = Buffer.allocUnsafe(64 * 1024);
let length = 0;

function room(bytes: number): void {
  if (length + bytes <= output.length) return;
  const grown = Buffer.allocUnsafe(Math.max(length + bytes, output.length * 2));
  output.copy(grown, 0, 0, length);
  output = grown;
}

/** The caller has made room. */
function writeVarint(value: number): void {
  let rest = value;
  while (rest >= 0x80) {
    output[length++] = (rest % 0x80) + 0x80;
    rest = Math.floor(rest / 0x80);
  }
  output[length++] = rest;
}

function writeKey(previous: Uint8Array, key: Uint8Array): void {
  const shared = sharedPrefixLength(previous, key);
  const end = key.length;
  writeVarint(shared);
  writeVarint(end - shared);
  for (let at = shared; at < end; at++) output[length++] = key[at]!;
}

/** Room for the numbers of one item: five varints of at most 8 bytes. */
const NUMBERS_BYTES = 40;

/**
 * The bytes of the page that holds `pieces`, in order.
 * @throws {SamerootError} `PAGE_TOO_LARGE` if the page would be over the limits
 */
export function encodePage(level: number, pieces: readonly (Run | Single)[]): Uint8Array {
  let size = 0;
  for (const piece of pieces) size += piece.page === undefined ? 1 : piece.to - piece.from;
  length = 0;
  room(NUMBERS_BYTES);
  writeVarint(level);
  writeVarint(size);
  let previous = EMPTY_BYTES;
  for (const piece of pieces) {
    if (piece.page === undefined) {
      room(NUMBERS_BYTES + piece.key.length + piece.body.length);
      writeKey(previous, piece.key);
      if (piece.totals === undefined) writeVarint(piece.body.length);
      output.set(piece.body, length);
      length += piece.body.length;
      if (piece.totals !== undefined) {
        writeVarint(piece.totals.count);
        writeVarint(piece.totals.live);
        writeVarint(piece.totals.bytes);
      }
      previous = piece.key;
    } else {
      const key = piece.page.copyKey(piece.from);
      const start = piece.page.bodyStart(piece.from);
      const end = piece.page.end(piece.to - 1);
      room(NUMBERS_BYTES + key.length + end - start);
      writeKey(previous, key);
      piece.page.bytes.copy(output, length, start, end);
      length += end - start;
      previous = piece.page.copyKey(piece.to - 1);
    }
    if (length > PAGE_BYTES_MAX) throw tooLarge(`over ${PAGE_BYTES_MAX} bytes`, previous);
  }
  if (size > PAGE_ITEMS_MAX) throw tooLarge(`${size} items`, previous);
  return finishedPage(level);
}

/**
 * Pages are cut from slabs, as Buffer's own pool does for up to 4 KiB only: half of all changed pages are longer, and a
 * buffer of its own costs 2 us and garbage collections (measured: a third of the time of scattered edits). Inner pages are
 * kept by `PageReader`, and would keep a whole slab each.
 */
const SLAB_BYTES: number = 64 * KIB;
let slab: Buffer = Buffer.allocUnsafeSlow(SLAB_BYTES);
let slabUsed = 0;

function finishedPage(level: number): Uint8Array {
  if (level > 0 || length > SLAB_BYTES / 4) {
    const page = Buffer.allocUnsafe(length);
    output.copy(page, 0, 0, length);
    return page;
  }
  if (slabUsed + length > SLAB_BYTES) {
    slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
    slabUsed = 0;
  }
  const page = slab.subarray(slabUsed, slabUsed + length);
  output.copy(page, 0, 0, length);
  slabUsed += length;
  return page;
}

function tooLarge(what: string, key: Uint8Array): SamerootError {
  const path = asBuffer(key).toString('utf8');
  return new SamerootError('PAGE_TOO_LARGE', `a page of the tree would have ${what}, near ${path}`, { path });
}
