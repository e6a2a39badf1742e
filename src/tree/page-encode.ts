/**
 * Pages as they are written. `decodePage` accepts exactly these bytes.
 *
 * A page is put together from pieces: single items, runs of items copied as they stand in another page, and items of
 * such a page with another body. The bytes of an item depend on the key before it and on nothing else. So where a piece
 * goes on in a page where the one before it ended, keys are copied with the rest, and only elsewhere the first key of a
 * run is coded anew. An edit of one value in a page costs two copies and no key.
 */
import { asBuffer } from '../base/bytes.ts';
import { SamerootError } from '../base/errors.ts';
import { KEY_BYTES_MAX, KIB, PAGE_BYTES_MAX, PAGE_ITEMS_MAX } from '../base/limits.ts';
import type { Page, Totals } from './page-codec.ts';

/** A run of items as they stand in another page of the same level. */
export interface Run {
  readonly page: Page;
  readonly from: number;
  readonly to: number;
  readonly body: undefined;
}

/** The item at `from` of another page of the same level, with a body of its own as a `Single` has it; `to` is the next. */
export interface Replacement {
  readonly page: Page;
  readonly from: number;
  readonly to: number;
  readonly body: Uint8Array;
  readonly totals: Totals | undefined;
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

/**
 * The last key that was written, and its length: kept outside the functions, as in `page-codec`, so that keys are not made
 * objects of. While `lastPage` is there it is the key of `lastItem` in that page, and `lastKey` is stale.
 */
const lastKey: Buffer = Buffer.allocUnsafe(KEY_BYTES_MAX);
let lastLength = 0;
let lastPage: Page | undefined;
let lastItem = 0;
const pageKey: Buffer = Buffer.allocUnsafe(KEY_BYTES_MAX);

/** Writes the first `end` bytes of `key` as the next key. */
function writeKey(key: Uint8Array, end: number): void {
  if (lastPage !== undefined) lastLength = lastPage.spellKey(lastItem, lastKey);
  lastPage = undefined;
  const most = Math.min(lastLength, end);
  let shared = 0;
  while (shared < most && lastKey[shared] === key[shared]) shared++;
  writeVarint(shared);
  writeVarint(end - shared);
  for (let at = shared; at < end; at++) {
    lastKey[at] = key[at]!;
    output[length++] = key[at]!;
  }
  lastLength = end;
}

/** Room for the numbers of one item: five varints of at most 8 bytes. */
const NUMBERS_BYTES = 40;

/**
 * The bytes of the page that holds `pieces`, in order.
 * @throws {SamerootError} `PAGE_TOO_LARGE` if the page would be over the limits
 */
export function encodePage(level: number, pieces: readonly (Run | Replacement | Single)[]): Uint8Array {
  let size = 0;
  for (const piece of pieces) size += piece.page === undefined ? 1 : piece.to - piece.from;
  length = 0;
  room(NUMBERS_BYTES);
  writeVarint(level);
  writeVarint(size);
  lastLength = 0;
  lastPage = undefined;
  for (const piece of pieces) {
    if (piece.page === undefined) {
      room(NUMBERS_BYTES + piece.key.length);
      writeKey(piece.key, piece.key.length);
      writeBody(piece.body, piece.totals);
    } else if (piece.body === undefined) {
      writeItems(piece.page, piece.from, piece.page.end(piece.to - 1));
      lastItem = piece.to - 1;
    } else {
      writeItems(piece.page, piece.from, piece.page.bodyStart(piece.from));
      writeBody(piece.body, piece.totals);
    }
    if (length > PAGE_BYTES_MAX) throw tooLarge(`over ${PAGE_BYTES_MAX} bytes`, piece);
  }
  lastPage = undefined;
  if (size > PAGE_ITEMS_MAX) throw tooLarge(`${size} items`, pieces.at(-1)!);
  return finishedPage(level);
}

/** Writes what stands in `page` from item `from` on up to byte `end`. */
function writeItems(page: Page, from: number, end: number): void {
  const goesOn = page === lastPage ? from === lastItem + 1 : from === 0 && lastPage === undefined && lastLength === 0;
  const start = goesOn ? page.start(from) : page.bodyStart(from);
  room(NUMBERS_BYTES + KEY_BYTES_MAX + end - start);
  if (!goesOn) writeKey(pageKey, page.spellKey(from, pageKey));
  page.bytes.copy(output, length, start, end);
  length += end - start;
  lastPage = page;
  lastItem = from;
}

function writeBody(body: Uint8Array, totals: Totals | undefined): void {
  room(NUMBERS_BYTES + body.length);
  if (totals === undefined) writeVarint(body.length);
  output.set(body, length);
  length += body.length;
  if (totals !== undefined) {
    writeVarint(totals.count);
    writeVarint(totals.live);
    writeVarint(totals.bytes);
  }
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

/** The last key of `piece` says where. */
function tooLarge(what: string, piece: Run | Replacement | Single): SamerootError {
  const key = piece.page === undefined ? piece.key : piece.page.copyKey(piece.to - 1);
  const path = asBuffer(key).toString('utf8');
  return new SamerootError('PAGE_TOO_LARGE', `a page of the tree would have ${what}, near ${path}`, { path });
}
