/**
 * The one traversal of trees: a cursor, and what is read with it. Nothing outside a range is loaded, and a page of a
 * level that is not asked for only where the way leads through it.
 *
 * Invariant: a cursor holds one page a level, so memory does not grow with the tree. Keys and values that come out are
 * views of pages, which never change.
 */
import { compareBytes } from '../base/bytes.ts';
import { hash } from '../content/hash.ts';
import type { KeyValue, Page, PageReader, Totals, Tree } from './page.ts';

/** Stands at an item of some page, or past the end. */
export class Cursor {
  readonly #reader: PageReader;
  readonly #top: number;
  /** By level: the page, and the item in it. Levels below `#level` are stale. */
  readonly #pages: Page[] = [];
  readonly #items: number[] = [];
  #level: number;
  #done: boolean;

  /** At the first item of the top page. */
  constructor(reader: PageReader, tree: Tree) {
    this.#reader = reader;
    this.#top = tree.level;
    this.#level = tree.level;
    this.#done = tree.page === undefined;
    if (tree.page === undefined) return;
    this.#pages[tree.level] = reader.read(tree.page);
    this.#items[tree.level] = 0;
  }

  get done(): boolean {
    return this.#done;
  }

  /** Level of the page it stands in; the item there is an entry (0) or a page of the level below. */
  get level(): number {
    return this.#level;
  }

  get page(): Page {
    return this.#pages[this.#level]!;
  }

  get item(): number {
    return this.#items[this.#level]!;
  }

  get key(): Uint8Array {
    return this.page.key(this.item);
  }

  /** Into the page that the item stands for, to its first item or its last. */
  enter(last: boolean = false): void {
    const child = this.#reader.read(this.page.hash(this.item));
    this.#level--;
    this.#pages[this.#level] = child;
    this.#items[this.#level] = last ? child.size - 1 : 0;
  }

  /** To the next item, leaving pages that end here: it may stand higher then. */
  next(): void {
    while (++this.#items[this.#level]! >= this.page.size) {
      if (this.#level === this.#top) {
        this.#done = true;
        return;
      }
      this.#level++;
    }
  }

  /** To the item before, leaving pages that start here. */
  previous(): void {
    while (--this.#items[this.#level]! < 0) {
      if (this.#level === this.#top) {
        this.#done = true;
        return;
      }
      this.#level++;
    }
  }

  /** From the top page: to the first item in pages of `level`, from `key` on if there is one. */
  seek(level: number, key?: Uint8Array): void {
    if (this.#done) return;
    while (this.#level > level) {
      if (key !== undefined) this.#items[this.#level] = this.page.childFor(key);
      this.enter();
    }
    if (key === undefined) return;
    const item = this.page.lowerBound(key);
    if (item < this.page.size) {
      this.#items[level] = item;
    } else {
      this.#items[level] = item - 1;
      this.next();
      this.descend(level);
    }
  }

  /** From the top page: to the last item in pages of `level`, before `key` if there is one. */
  seekLast(level: number, key?: Uint8Array): void {
    if (this.#done) return;
    this.#items[this.#level] = this.page.size - 1;
    while (this.#level > level) {
      if (key !== undefined) this.#items[this.#level] = Math.max(0, this.page.lowerBound(key) - 1);
      this.enter(true);
    }
    if (key === undefined) return;
    this.#items[level] = this.page.lowerBound(key);
    this.previous();
    this.descend(level, true);
  }

  /** Down to pages of `level` again, by first items or by last. */
  descend(level: number, last: boolean = false): void {
    while (!this.#done && this.#level > level) this.enter(last);
  }
}

export function lookup(reader: PageReader, tree: Tree, key: Uint8Array): Uint8Array | undefined {
  if (tree.page === undefined) return undefined;
  let page = reader.read(tree.page);
  while (page.level > 0) page = reader.read(page.hash(page.childFor(key)));
  const item = page.search(key);
  return item < 0 ? undefined : page.value(item);
}

export interface WalkRange {
  readonly from?: Uint8Array;
  /** Exclusive. */
  readonly to?: Uint8Array;
  /** From the last key to the first. */
  readonly reverse?: boolean;
}

/** The entries of a range, in order of their keys or in reverse. */
export function* walk(reader: PageReader, tree: Tree, range: WalkRange = {}): Generator<KeyValue> {
  const { from, to, reverse = false } = range;
  const cursor = new Cursor(reader, tree);
  if (reverse) cursor.seekLast(0, to);
  else cursor.seek(0, from);
  while (!cursor.done) {
    const { page, item } = cursor;
    if (reverse ? from !== undefined && page.compareKey(from, item) > 0 : to !== undefined && page.compareKey(to, item) <= 0) return;
    yield { key: page.key(item), value: page.value(item) };
    if (reverse) cursor.previous();
    else cursor.next();
    cursor.descend(0, reverse);
  }
}

/** A page as the page above describes it, or an entry. */
export interface Item extends Totals {
  readonly key: Uint8Array;
  readonly hash: Uint8Array;
}

/** As a level, for `items`. */
export const ENTRIES_LEVEL = -1;

/**
 * The pages of `level` whose first key is in [from, to), in order; `from` undefined means from the very first page on.
 * At `ENTRIES_LEVEL` the entries themselves, hashed as such, each with a count of 1 and unweighed (live and bytes 0).
 * @throws {RangeError} if the tree is not empty and has no pages of `level`
 */
export function* items(
  reader: PageReader,
  tree: Tree,
  level: number,
  from: Uint8Array | undefined,
  to: Uint8Array | undefined,
): Generator<Item> {
  if (tree.page === undefined) return;
  if (!Number.isInteger(level) || level < ENTRIES_LEVEL || level > tree.level) {
    throw new RangeError(`level: ${level} is not one from ${ENTRIES_LEVEL} to ${tree.level}`);
  }
  const cursor = new Cursor(reader, tree);
  if (level === tree.level) {
    const { key } = cursor;
    if ((from === undefined || compareBytes(from, key) <= 0) && (to === undefined || compareBytes(key, to) < 0)) {
      yield { key, hash: tree.page, count: tree.count, live: tree.live, bytes: tree.bytes };
    }
    return;
  }
  cursor.seek(level + 1, from);
  while (!cursor.done) {
    const { page, item } = cursor;
    if (to !== undefined && page.compareKey(to, item) <= 0) return;
    if (level === ENTRIES_LEVEL) yield { key: page.key(item), hash: hash('entry', page.value(item)), count: 1, live: 0, bytes: 0 };
    else yield itemOf(page, item);
    cursor.next();
    cursor.descend(level + 1);
  }
}

function itemOf(page: Page, item: number): Item {
  const { count, live, bytes } = page.totals(item);
  return { key: page.key(item), hash: page.hash(item), count, live, bytes };
}
