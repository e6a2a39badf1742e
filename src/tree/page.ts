/**
 * Where pages come from and go to, and what names a whole tree.
 *
 * Invariant: a page that `PageReader` returns has the hash it was asked by and is canonical; a root covers the
 * parameters of the share, the height, the totals and the top page, and with it every entry.
 */
import { ByteWriter, byteKey, equalBytes, toHex } from '../base/bytes.ts';
import { SamerootError } from '../base/errors.ts';
import { HASH_BYTES, MIB } from '../base/limits.ts';
import { hash } from '../content/hash.ts';
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

const CACHE_PAGES = 2048;
const CACHE_BYTES_MAX: number = 64 * MIB;

/**
 * Reads pages through a cache bounded by count and by bytes. Every page is checked against its hash when it comes from
 * the source, so that a damaged disk cannot change an entry or a shape unseen.
 *
 * The cache has two generations: a page that is used moves to the young one; when the young one is half of the bounds,
 * the old one is dropped and the young one becomes old. That evicts by age of last use, within a factor of two, for
 * one `Map` look-up per hit, where exact order would take three.
 */
export class PageReader {
  readonly #source: PageSource;
  readonly #pagesPerGeneration: number;
  #young = new Map<string, Page>();
  #old = new Map<string, Page>();
  #youngBytes = 0;

  /** @throws {RangeError} if `cachePages` is not a whole number from 2 up */
  constructor(source: PageSource, cachePages: number = CACHE_PAGES) {
    if (!Number.isInteger(cachePages) || cachePages < 2) throw new RangeError(`cachePages: ${cachePages} is not a whole number from 2 up`);
    this.#source = source;
    this.#pagesPerGeneration = cachePages >>> 1;
  }

  /** @throws {SamerootError} `DATABASE_DAMAGED` if the page is absent, has another hash, or is not canonical */
  read(pageHash: Uint8Array): Page {
    const name = byteKey(pageHash);
    const young = this.#young.get(name);
    if (young !== undefined) return young;
    const page = this.#old.get(name) ?? this.#load(pageHash);
    if (this.#young.size >= this.#pagesPerGeneration || this.#youngBytes + page.memoryBytes > CACHE_BYTES_MAX / 2) {
      this.#old = this.#young;
      this.#young = new Map();
      this.#youngBytes = 0;
    }
    this.#young.set(name, page);
    this.#youngBytes += page.memoryBytes;
    return page;
  }

  #load(pageHash: Uint8Array): Page {
    const bytes = this.#source.get(pageHash);
    if (bytes === undefined) throw new SamerootError('DATABASE_DAMAGED', `page ${toHex(pageHash)} is missing`);
    if (!equalBytes(hash('page', bytes), pageHash)) {
      throw new SamerootError('DATABASE_DAMAGED', `page ${toHex(pageHash)} does not have its hash`);
    }
    try {
      return decodePage(bytes);
    } catch (cause) {
      throw new SamerootError('DATABASE_DAMAGED', `page ${toHex(pageHash)} is not canonical`, { cause });
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
