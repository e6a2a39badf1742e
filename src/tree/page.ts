/**
 * Where pages come from and go to, and what names a whole tree.
 *
 * Invariant: a page that `PageReader` returns has the hash it was asked by and is canonical; a root covers the
 * parameters of the share, the height, the totals and the top page, and with it every entry.
 */
import { ByteWriter, byteKey, toHex } from '../base/bytes.ts';
import { SamerootError } from '../base/errors.ts';
import { HASH_BYTES, MIB } from '../base/limits.ts';
import { hash, hashHex } from '../content/hash.ts';
import { PageCache } from './page-cache.ts';
import { decodePage, type Page, type Totals } from './page-codec.ts';

export type { Page, Totals };

export interface KeyValue {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** Pages by hash. */
export interface PageSource {
  get(hash: Uint8Array): Uint8Array | undefined;
}

export interface PageSink {
  put(hash: Uint8Array, page: Uint8Array): void;
}

const CACHE_PAGES = 4096;
const LEAVES_BYTES_MAX: number = 48 * MIB;
const INNER_BYTES_MAX: number = 16 * MIB;

/**
 * Reads pages through a bounded cache. Every page is checked against its hash when it comes from the source, so that a
 * damaged disk cannot change an entry or a shape unseen.
 *
 * Leaves and inner pages have caches of their own. There are 32 times as many leaves: scattered reads would drive out the
 * inner pages, through which every read goes. 2048 are all inner pages of two million entries; 1,000 scattered edits
 * of 10^6 entries make some 500 of them anew, which the next edits read.
 */
export class PageReader {
  readonly #source: PageSource;
  readonly #leaves: PageCache;
  readonly #inner: PageCache;

  /** @throws {RangeError} if `cachePages` is not a whole number from 4 up */
  constructor(source: PageSource, cachePages: number = CACHE_PAGES) {
    if (!Number.isInteger(cachePages) || cachePages < 4) throw new RangeError(`cachePages: ${cachePages} is not a whole number from 4 up`);
    this.#source = source;
    this.#leaves = new PageCache(cachePages >>> 1, LEAVES_BYTES_MAX);
    this.#inner = new PageCache(cachePages >>> 1, INNER_BYTES_MAX);
  }

  /** @throws {SamerootError} `DATABASE_DAMAGED` if the page is absent, has another hash, or is not canonical */
  read(pageHash: Uint8Array): Page {
    return this.#read(pageHash, true);
  }

  /**
   * As `read`, for who makes another page of this one: a leaf that is not known is not kept. It would drive out one that
   * is still in use, and be copied by the garbage collector: 10,000 scattered edits took a twentieth longer.
   */
  readToReplace(pageHash: Uint8Array): Page {
    return this.#read(pageHash, false);
  }

  /**
   * An inner page that was just made: the next edit reads it again, and its bytes need no check. It is harmless here if
   * it never gets into the source: then no tree has it.
   */
  keep(pageHash: Uint8Array, bytes: Uint8Array): void {
    const name = byteKey(pageHash);
    if (this.#inner.get(name) === undefined) this.#inner.add(name, decodePage(bytes));
  }

  #read(pageHash: Uint8Array, keepLeaf: boolean): Page {
    const name = byteKey(pageHash);
    const known = this.#inner.get(name) ?? this.#leaves.get(name);
    if (known !== undefined) return known;
    const page = this.#load(pageHash);
    if (page.level > 0) this.#inner.add(name, page);
    else if (keepLeaf) this.#leaves.add(name, page);
    return page;
  }

  #load(pageHash: Uint8Array): Page {
    const name = toHex(pageHash);
    const bytes = this.#source.get(pageHash);
    if (bytes === undefined) throw new SamerootError('DATABASE_DAMAGED', `page ${name} is missing`);
    if (hashHex('page', bytes) !== name) throw new SamerootError('DATABASE_DAMAGED', `page ${name} does not have its hash`);
    try {
      return decodePage(bytes);
    } catch (cause) {
      throw new SamerootError('DATABASE_DAMAGED', `page ${name} is not canonical`, { cause });
    }
  }
}

/** A whole tree: its top page and the totals of everything. A value; the pages are in some `PageSource`. */
export interface Tree extends Totals {
  /** Hash of the top page, `undefined` for the empty tree. */
  readonly page: Uint8Array | undefined;
  /** Of the top page, a leaf being 0; 0 when empty. */
  readonly level: number;
}

export const EMPTY_TREE: Tree = { page: undefined, level: 0, count: 0, live: 0, bytes: 0 };

/**
 * The 32 bytes by which two replicas tell whether they hold the same. The empty tree has no page hash, so it is a
 * constant for given parameters.
 * @throws {RangeError} if `parametersHash` is not a hash
 */
export function rootHash(tree: Tree, parametersHash: Uint8Array): Uint8Array {
  if (parametersHash.length !== HASH_BYTES) throw new RangeError(`parametersHash: ${parametersHash.length} bytes, not ${HASH_BYTES}`);
  const writer = new ByteWriter().raw(parametersHash).u8(tree.level);
  writer.varint(tree.count).varint(tree.live).varint(tree.bytes);
  if (tree.page !== undefined) writer.raw(tree.page);
  return hash('root', writer.finish());
}
