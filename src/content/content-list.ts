/**
 * Content lists: the ordered chunks of one file or large record, as a small Merkle tree of pages.
 *
 * A content of one chunk has no list: its id is [0, hash of the chunk]. More chunks are cut into pages of level 1, the
 * pages of a level into pages of the next, until one page is left: the id is [its level, its hash]. A page ends after
 * a ref whose hash is a border (its first 4 bytes, as a u32, divide by 64), once it has 16 refs, or at 512 refs.
 *
 * Invariant: the same chunks in the same order have one id, and every page has one encoding. An edit changes the pages
 * above the changed chunks and those until the next common border: a few of each level, never the list.
 *
 * Why at least 16 refs: equal chunks have equal hashes, so in a file of zeros either no hash is a border or all are;
 * without a least size, pages of one ref each would repeat the level below for ever. With it every level is 16 times
 * shorter than the one below, and 2^32 chunks fit into 8 levels, whatever the content.
 *
 * What a peer says of sizes is believed nowhere: a page's level stands in its bytes, and the sums that a page claims
 * for its children are compared with theirs on the way down.
 */
import { assert } from '../base/assert.ts';
import { badEncoding, byteKey, ByteReader, ByteWriter, EMPTY_BYTES } from '../base/bytes.ts';
import { SamerootError } from '../base/errors.ts';
import {
  CHUNK_BYTES_MAX,
  CONTENT_BYTES_MAX,
  CONTENT_CHUNKS_MAX,
  CONTENT_ID_BYTES,
  HASH_BYTES,
  LIST_LEVEL_MAX,
  LIST_PAGE_REFS_MAX,
  LIST_PAGE_REFS_MIN,
  SHARE_CHUNK_BYTES_MIN,
} from '../base/limits.ts';
import { hash } from './hash.ts';

/** 33 bytes: the level (0: a single chunk), then the hash of the chunk or of the top list page. */
export type ContentId = Uint8Array;

export interface ChunkRef {
  readonly hash: Uint8Array;
  readonly bytes: number;
}

/** What a page says of a child: a chunk (`chunks` is 1) or a list page one level down. */
export interface ListRef {
  readonly hash: Uint8Array;
  readonly bytes: number;
  readonly chunks: number;
}

/** The bytes of a list page by its hash, `undefined` where it is not here. */
export type ListSource = (hash: Uint8Array) => Uint8Array | undefined;

/** One ref in this many is a border. */
const BORDER_ONE_IN = 64;

function makeId(level: number, contentHash: Uint8Array): ContentId {
  assert(contentHash.length === HASH_BYTES, 'a content is named by a whole hash');
  const id = Buffer.alloc(CONTENT_ID_BYTES);
  id[0] = level;
  id.set(contentHash, 1);
  return id;
}

export function singleChunk(chunkHash: Uint8Array): ContentId {
  return makeId(0, chunkHash);
}

/** The content without bytes: one empty chunk. */
export const EMPTY_CONTENT: ContentId = singleChunk(hash('chunk', EMPTY_BYTES));

/** 0 for a single chunk, else the level of the top list page. */
export function contentLevel(id: ContentId): number {
  assert(id.length === CONTENT_ID_BYTES && id[0]! <= LIST_LEVEL_MAX, 'a content id is a level and a hash');
  return id[0]!;
}

/** The hash of the single chunk or of the top list page. */
export function contentHash(id: ContentId): Uint8Array {
  return id.subarray(1, CONTENT_ID_BYTES);
}

function endsPage(refHash: Uint8Array, refs: number): boolean {
  if (refs >= LIST_PAGE_REFS_MAX) return true;
  // The big-endian u32 divides by 64 where the low six bits of its last byte are zero.
  return refs >= LIST_PAGE_REFS_MIN && refHash[3]! % BORDER_ONE_IN === 0;
}

/** The page under construction at one level. */
class OpenPage {
  readonly level: number;
  readonly #writer: ByteWriter;
  refs = 0;
  bytes = 0;
  chunks = 0;

  constructor(level: number) {
    assert(level <= LIST_LEVEL_MAX, 'a list of limited length has limited levels');
    this.level = level;
    this.#writer = new ByteWriter(4096).u8(level);
  }

  add(ref: ListRef): void {
    this.#writer.raw(ref.hash);
    if (this.level === 1) this.#writer.u32(ref.bytes);
    else this.#writer.u48(ref.bytes).u32(ref.chunks);
    this.refs++;
    this.bytes += ref.bytes;
    this.chunks += ref.chunks;
  }

  finish(): Uint8Array {
    return this.#writer.finish();
  }
}

interface Level {
  open: OpenPage | undefined;
  /** Pages closed so far, and the hash of the last. */
  pages: number;
  last: Uint8Array;
}

/** Makes the list of a content whose chunks arrive in order. Holds one unfinished page of each level. */
export class ContentListBuilder {
  readonly #onPage: (hash: Uint8Array, page: Uint8Array) => void;
  /** Index 0 is level 1. */
  readonly #levels: Level[] = [];
  /** The first chunk, as long as it is the only one: a single chunk is not a list. */
  #single: ListRef | undefined;
  #bytes = 0;
  #chunks = 0;
  /** The last chunk is so short that none may follow. */
  #short = false;

  /** `onPage` gets every page once it is complete, children before parents; equal pages arrive as often as they occur. */
  constructor(onPage: (hash: Uint8Array, page: Uint8Array) => void) {
    this.#onPage = onPage;
  }

  /** @throws {RangeError} if the chunk has no bytes or too many, or follows a short one, or the content outgrows its limits */
  add(ref: ChunkRef): void {
    assert(ref.hash.length === HASH_BYTES, 'a chunk is named by a whole hash');
    if (!(ref.bytes >= 1 && ref.bytes <= CHUNK_BYTES_MAX)) {
      throw new RangeError(`ref: ${ref.bytes} bytes are not within 1 and ${CHUNK_BYTES_MAX}`);
    }
    if (this.#short) throw new RangeError('ref: no chunk but the last of a content is short');
    this.#short = ref.bytes < SHARE_CHUNK_BYTES_MIN;
    this.#bytes += ref.bytes;
    this.#chunks++;
    if (this.#bytes > CONTENT_BYTES_MAX || this.#chunks > CONTENT_CHUNKS_MAX) throw new RangeError('ref: the content is too large');
    const chunk = { hash: ref.hash, bytes: ref.bytes, chunks: 1 };
    if (this.#chunks === 1) {
      this.#single = chunk;
      return;
    }
    if (this.#single !== undefined) this.#push(1, this.#single);
    this.#single = undefined;
    this.#push(1, chunk);
  }

  /** The content of all chunks added; `EMPTY_CONTENT` where there was none. The builder is used up. */
  finish(): { id: ContentId; bytes: number; chunks: number } {
    const totals = { bytes: this.#bytes, chunks: Math.max(this.#chunks, 1) };
    if (this.#chunks === 0) return { id: EMPTY_CONTENT, ...totals };
    if (this.#single !== undefined) return { id: singleChunk(this.#single.hash), ...totals };
    for (let level = 1; ; level++) {
      const state = this.#level(level);
      if (state.open !== undefined) this.#close(state, state.open);
      if (state.pages === 1) return { id: makeId(level, state.last), ...totals };
    }
  }

  #level(level: number): Level {
    return (this.#levels[level - 1] ??= { open: undefined, pages: 0, last: EMPTY_BYTES });
  }

  #push(level: number, ref: ListRef): void {
    const state = this.#level(level);
    const open = (state.open ??= new OpenPage(level));
    open.add(ref);
    if (endsPage(ref.hash, open.refs)) this.#close(state, open);
  }

  #close(state: Level, open: OpenPage): void {
    const page = open.finish();
    const pageHash = hash('list', page);
    this.#onPage(pageHash, page);
    state.open = undefined;
    state.pages++;
    state.last = pageHash;
    // The level above may end up with this ref alone; then nobody closes it and this page is the top.
    if (state.pages > 1 || open.level < LIST_LEVEL_MAX)
      this.#push(open.level + 1, { hash: pageHash, bytes: open.bytes, chunks: open.chunks });
  }
}

/**
 * The refs of a list page; views of its bytes.
 * @throws {SamerootError} `BAD_ENCODING` unless the page is the one encoding of a page of this level
 */
export function decodeListPage(page: Uint8Array, level: number): readonly ListRef[] {
  assert(level >= 1 && level <= LIST_LEVEL_MAX, 'list pages have levels from 1');
  const reader = new ByteReader(page);
  if (reader.u8() !== level) throw badEncoding('a list page of another level');
  const refs: ListRef[] = [];
  let bytes = 0;
  let chunks = 0;
  do {
    const before = refs.at(-1);
    if (before !== undefined && endsPage(before.hash, refs.length)) throw badEncoding('a list page goes on after its border');
    const refHash = reader.raw(HASH_BYTES);
    const ref =
      level === 1 ? { hash: refHash, bytes: reader.u32(), chunks: 1 } : { hash: refHash, bytes: reader.u48(), chunks: reader.u32() };
    if (before !== undefined) checkFull(before);
    if (ref.chunks < 1 || ref.bytes <= (ref.chunks - 1) * SHARE_CHUNK_BYTES_MIN || ref.bytes > ref.chunks * CHUNK_BYTES_MAX)
      throw badEncoding('a list ref of impossible size');
    bytes += ref.bytes;
    chunks += ref.chunks;
    refs.push(ref);
  } while (reader.remaining > 0);
  if (bytes > CONTENT_BYTES_MAX || chunks > CONTENT_CHUNKS_MAX) throw badEncoding('a list page of too much content');
  return refs;
}

/** Only the last chunk of a content may be short: what is remembered for each chunk stays small beside its bytes, whoever made the list. */
function checkFull({ bytes, chunks }: ListRef): void {
  if (bytes < chunks * SHARE_CHUNK_BYTES_MIN) throw badEncoding('a list with short chunks before its end');
}

/** A page on the way down: what its parent says of it, and whether nothing follows it at its level. */
interface Visit {
  readonly hash: Uint8Array;
  readonly level: number;
  /** `undefined` for the top page: no parent, no claim. */
  readonly claim: ListRef | undefined;
  readonly rightmost: boolean;
}

function topVisit(id: ContentId): Visit {
  return { hash: contentHash(id), level: contentLevel(id), claim: undefined, rightmost: true };
}

/** The refs of a visited page, after the checks that only its place in the list allows. */
function openVisit(visit: Visit, page: Uint8Array): readonly ListRef[] {
  const refs = decodeListPage(page, visit.level);
  if (visit.claim === undefined) {
    if (refs.length < 2) throw badEncoding('a list of a single ref');
  } else {
    const bytes = refs.reduce((sum, ref) => sum + ref.bytes, 0);
    const chunks = refs.reduce((sum, ref) => sum + ref.chunks, 0);
    if (bytes !== visit.claim.bytes || chunks !== visit.claim.chunks) throw badEncoding('a list page of another size than its parent says');
  }
  if (!visit.rightmost) {
    if (!endsPage(refs.at(-1)!.hash, refs.length)) throw badEncoding('a list page ends before its border');
    checkFull(refs.at(-1)!);
  }
  return refs;
}

function childVisit(parent: Visit, refs: readonly ListRef[], index: number): Visit {
  const claim = refs[index]!;
  return { hash: claim.hash, level: parent.level - 1, claim, rightmost: parent.rightmost && index === refs.length - 1 };
}

export interface ListLeaf {
  /** Index of the first chunk of `refs` in the content. */
  readonly firstChunk: number;
  /** Where that chunk begins in the content. */
  readonly offsetBytes: number;
  /** The chunks of one leaf page. */
  readonly refs: readonly ListRef[];
}

/** The bytes of its chunks: what is under way of a list may be bounded by this, as chunks have a least size. */
export function leafWeight({ refs }: ListLeaf): number {
  return refs.reduce((sum, { bytes }) => sum + bytes, 0);
}

/**
 * How long a content of several chunks is: the list is hashed, while what an entry says is its author's word.
 * @throws {SamerootError} `CONTENT_MISSING` if its top page is not in the source, `BAD_ENCODING`
 */
export function listedBytes(source: ListSource, id: ContentId): number {
  const page = source(contentHash(id));
  if (page === undefined) throw new SamerootError('CONTENT_MISSING', 'a page of a content list is not here');
  return openVisit(topVisit(id), page).reduce((sum, { bytes }) => sum + bytes, 0);
}

/**
 * The leaf pages in order, from the one that holds chunk number `fromChunk`: cost is the pages on the way, whatever
 * lies before. Nothing comes of a `fromChunk` past the end.
 * @throws {RangeError} if `id` names a single chunk: it has no list
 * @throws {SamerootError} `CONTENT_MISSING` if a page is not in the source, `BAD_ENCODING` if pages do not fit together
 */
export function* listLeaves(source: ListSource, id: ContentId, fromChunk: number = 0): Generator<ListLeaf> {
  if (contentLevel(id) === 0) throw new RangeError('id: a single chunk has no list');
  yield* leavesBelow(source, topVisit(id), 0, 0, fromChunk);
}

function* leavesBelow(source: ListSource, visit: Visit, firstChunk: number, offsetBytes: number, fromChunk: number): Generator<ListLeaf> {
  const page = source(visit.hash);
  if (page === undefined) throw new SamerootError('CONTENT_MISSING', 'a page of a content list is not here');
  const refs = openVisit(visit, page);
  if (visit.level === 1) {
    if (firstChunk + refs.length > fromChunk) yield { firstChunk, offsetBytes, refs };
    return;
  }
  let chunk = firstChunk;
  let offset = offsetBytes;
  for (const [index, ref] of refs.entries()) {
    if (chunk + ref.chunks > fromChunk) yield* leavesBelow(source, childVisit(visit, refs, index), chunk, offset, fromChunk);
    chunk += ref.chunks;
    offset += ref.bytes;
  }
}

/**
 * The first `max` pages that are not in the source and are known to be needed, upper levels first, each once: what to
 * ask for next. Empty when the list is complete. Costs a look at each different page; leaf pages are looked up only,
 * `decodeListPage` is for their arrival.
 * @throws {SamerootError} `BAD_ENCODING` if pages do not fit together
 */
export function missingListPages(source: ListSource, id: ContentId, max: number): { hash: Uint8Array; level: number }[] {
  const missing = new Map<string, { hash: Uint8Array; level: number }>();
  let visits = contentLevel(id) === 0 ? [] : [topVisit(id)];
  while (visits.length > 0) {
    // Equal pages below different parents are visited once: a few pages that repeat each other cost what they weigh.
    const below = new Map<string, Visit>();
    for (const visit of visits) {
      const page = source(visit.hash);
      if (page === undefined) {
        missing.set(byteKey(visit.hash), { hash: visit.hash, level: visit.level });
        if (missing.size >= max) return [...missing.values()];
      } else if (visit.level > 1) {
        const refs = openVisit(visit, page);
        for (const [index, { hash, bytes, chunks }] of refs.entries()) {
          const child = childVisit(visit, refs, index);
          below.set(`${byteKey(hash)} ${bytes} ${chunks} ${child.rightmost}`, child);
        }
      }
    }
    visits = [...below.values()];
  }
  return [...missing.values()];
}
