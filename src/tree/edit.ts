/**
 * Edits: the tree of other entries, made from a tree and the changes.
 *
 * Invariant: the result is the tree that `build` would make of the changed entries, page for page, and only pages that
 * were not in the old tree are put. An edit of one key reads and writes at most about two pages a level: the one that
 * holds the key, and its left neighbour if the key was a border and is gone. What no change touches is handed on as a
 * page, unread.
 */
import { assert } from '../base/assert.ts';
import { asBuffer, compareBytes } from '../base/bytes.ts';
import { Assembler, childOrigin, topOrigin, type Origin } from './assemble.ts';
import { checkEntry } from './build.ts';
import type { PageReader, PageSink, Tree } from './page.ts';
import type { Ranker } from './rank.ts';

/** The new value at a key; `undefined` takes the key out. */
export interface Change {
  readonly key: Uint8Array;
  readonly value: Uint8Array | undefined;
}

/**
 * `tree` with `changes` made, which ascend strictly by key. Where they change nothing, `tree` itself.
 * @throws {RangeError} if a key is empty, or a key or a value too long
 * @throws {SamerootError} `DATABASE_DAMAGED`, `PAGE_TOO_LARGE`; pages may have been put, which nothing refers to
 */
export function edit(reader: PageReader, tree: Tree, changes: readonly Change[], ranker: Ranker, sink: PageSink): Tree {
  for (let at = 0; at < changes.length; at++) {
    const { key, value } = changes[at]!;
    checkEntry(key, value ?? key);
    assert(at === 0 || compareBytes(changes[at - 1]!.key, key) < 0, 'edit: the changes do not ascend');
  }
  if (changes.length === 0) return tree;
  const editor = new Editor(reader, changes, ranker, sink);
  const edited = editor.run(tree);
  const same = tree.page !== undefined && edited.page !== undefined && compareBytes(tree.page, edited.page) === 0;
  return same ? tree : edited;
}

class Editor {
  readonly #reader: PageReader;
  readonly #changes: readonly Change[];
  readonly #ranker: Ranker;
  readonly #assembler: Assembler;

  constructor(reader: PageReader, changes: readonly Change[], ranker: Ranker, sink: PageSink) {
    this.#reader = reader;
    this.#changes = changes;
    this.#ranker = ranker;
    this.#assembler = new Assembler(ranker, sink, reader);
  }

  run(tree: Tree): Tree {
    if (tree.page === undefined) {
      for (const { key, value } of this.#changes) {
        if (value !== undefined) this.#assembler.appendEntry(key, value, this.#ranker.rank(key));
      }
    } else {
      const top = topOrigin(this.#reader, tree);
      this.#page(top, this.#ranker.rank(top.page.copyKey(0)), 0, this.#changes.length);
    }
    return this.#assembler.finish();
  }

  /** `rank` is that of the page's first key; changes [from, to) fall into the page. */
  #page(origin: Origin, rank: number, from: number, to: number): void {
    if (origin.page.level === 0) this.#leaf(origin, rank, from, to);
    else this.#inner(origin, rank, from, to);
  }

  #inner(origin: Origin, rank: number, from: number, to: number): void {
    const { page } = origin;
    let next = 0;
    let at = from;
    while (at < to) {
      const item = page.childFor(this.#changes[at]!.key);
      let end = at + 1;
      if (item + 1 === page.size) end = to;
      else if (end < to) {
        const border = page.copyKey(item + 1);
        while (end < to && compareBytes(this.#changes[end]!.key, border) < 0) end++;
      }
      this.#keep(origin, rank, next, item);
      this.#page(childOrigin(this.#reader, origin, item), item === 0 ? rank : page.level, at, end);
      next = item + 1;
      at = end;
    }
    this.#keep(origin, rank, next, page.size);
  }

  #leaf(origin: Origin, rank: number, from: number, to: number): void {
    const { page } = origin;
    let next = 0;
    for (let change = from; change < to; change++) {
      const { key, value } = this.#changes[change]!;
      const at = page.search(key);
      const found = at >= 0;
      const item = found ? at : -1 - at;
      if (found ? value !== undefined && asBuffer(value).equals(page.value(item)) : value === undefined) continue;
      this.#keep(origin, rank, next, item);
      next = found ? item + 1 : item;
      if (value === undefined) continue;
      if (found) this.#assembler.appendReplaced(origin, item, key, value, rankOf(origin, rank, item));
      else this.#assembler.appendEntry(key, value, this.#ranker.rank(key));
    }
    this.#keep(origin, rank, next, page.size);
  }

  /**
   * Hands on items [from, to) as they are. Pages among them start at a border, or first of all: a change before the first
   * key of the tree falls into the leftmost page of every level, so that none of these is handed on whole behind it.
   */
  #keep(origin: Origin, rank: number, from: number, to: number): void {
    if (from < to) this.#assembler.appendRun(origin, from, to, rankOf(origin, rank, from));
  }
}

/** Rank of the key of an item: inside a page of level l every key but the first has rank l, or it would end the page. */
function rankOf(origin: Origin, rank: number, item: number): number {
  return item === 0 ? rank : origin.page.level;
}
