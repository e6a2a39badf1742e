/**
 * The one place where pages are made. An assembler takes entries, and whole pages of an older tree, in ascending order
 * of their keys and lays them out as the tree of exactly these entries. `build` feeds it entries, `edit` mostly pages.
 *
 * It holds one open page per level. A key of rank r closes the open pages below level r and goes on in the one of
 * level r. A page of the old tree that is handed on whole stands as one item in the open page above it; if the next
 * key turns out to be no border, so that the page goes on after all, it is taken out again and reopened, level by level.
 *
 * Invariant: a page is encoded, hashed and put only when it is final, so nothing intermediate is ever put; a page that
 * came out as it was is recognised by its pieces and not even encoded.
 */
import { assert } from '../base/assert.ts';
import { hash } from '../content/hash.ts';
import { EMPTY_TREE, type PageReader, type PageSink, type Totals, type Tree } from './page.ts';
import type { Page } from './page-codec.ts';
import { encodePage, type Replacement, type Run, type Single } from './page-encode.ts';
import { RANK_MAX, type Ranker } from './rank.ts';

/** A page of the old tree: what is known of it from the item above, or of the top page from the tree. */
export interface Origin {
  readonly page: Page;
  readonly hash: Uint8Array;
  readonly totals: Totals;
  /** The page above and the item there; `undefined` for the top page. */
  readonly parent: Origin | undefined;
  readonly item: number;
}

export function topOrigin(reader: PageReader, tree: Tree): Origin {
  assert(tree.page !== undefined, 'the empty tree has no top page');
  return { page: reader.readToReplace(tree.page), hash: tree.page, totals: tree, parent: undefined, item: 0 };
}

export function childOrigin(reader: PageReader, parent: Origin, item: number): Origin {
  const childHash = parent.page.hash(item);
  return { page: reader.readToReplace(childHash), hash: childHash, totals: parent.page.totals(item), parent, item };
}

interface OriginRun extends Run {
  readonly origin: Origin;
  to: number;
}

/** An entry with another value; it is weighed with its key. */
interface ReplacedEntry extends Replacement {
  readonly origin: Origin;
  readonly totals: undefined;
  readonly key: Uint8Array;
}

/** A page that was made of the one below an item. */
interface ReplacedPage extends Replacement {
  readonly origin: Origin;
  readonly totals: Totals;
}

type Piece = OriginRun | ReplacedEntry | ReplacedPage | Single;

interface SummedTotals {
  count: number;
  live: number;
  bytes: number;
}

export class Assembler {
  readonly #ranker: Ranker;
  readonly #sink: PageSink;
  readonly #reader: PageReader | undefined;
  /** By level; an empty list means that no page of this level is open. */
  readonly #open: Piece[][] = Array.from({ length: RANK_MAX + 1 }, () => []);
  /** Nothing was appended yet: what comes first starts a page at every level, whatever its rank. */
  #empty = true;

  /** Without a `reader`, only entries can be appended. */
  constructor(ranker: Ranker, sink: PageSink, reader?: PageReader) {
    this.#ranker = ranker;
    this.#sink = sink;
    this.#reader = reader;
  }

  /** `rank` is that of `key`. */
  appendEntry(key: Uint8Array, value: Uint8Array, rank: number): void {
    this.#turnTo(rank);
    this.#push(0, { page: undefined, key, body: value, totals: undefined });
  }

  /** Items [from, to) of a page, not none; `rank` is that of the first key. Pages below must start at a border or come first. */
  appendRun(origin: Origin, from: number, to: number, rank: number): void {
    const level = origin.page.level;
    assert(this.#empty || rank >= level, 'a page that starts inside another was appended whole');
    this.#turnTo(rank);
    this.#push(level, { page: origin.page, from, to, body: undefined, origin });
  }

  /** The entry that stands at `item` of a leaf under `key`, with another value; `rank` is that of the key. */
  appendReplaced(origin: Origin, item: number, key: Uint8Array, value: Uint8Array, rank: number): void {
    this.#turnTo(rank);
    this.#push(0, { page: origin.page, from: item, to: item + 1, body: value, totals: undefined, origin, key });
  }

  finish(): Tree {
    if (this.#empty) return EMPTY_TREE;
    const open = this.#open;
    let top = RANK_MAX;
    while (open[top]!.length === 0) top--;
    this.#close(top);
    const pieces = open[top]!;
    const only = pieces[0]!;
    if (top > 0 && pieces.length === 1 && (only.page === undefined || only.to - only.from === 1)) return this.#collapse(only);
    const { hash: page, totals } = this.#finished(top);
    return { page, level: top, count: totals.count, live: totals.live, bytes: totals.bytes };
  }

  /** Makes the assembler stand in the page of level `rank` where the next item belongs or where its page ends. */
  #turnTo(rank: number): void {
    if (this.#empty) {
      this.#empty = false;
      return;
    }
    if (rank > 0) this.#close(rank);
    if (this.#open[rank]!.length === 0) this.#reopen(rank);
  }

  /** Closes the open pages below `level`. */
  #close(level: number): void {
    for (let at = 0; at < level; at++) {
      const pieces = this.#open[at]!;
      if (pieces.length === 0) continue;
      this.#push(at + 1, this.#itemFor(at));
      this.#open[at] = [];
    }
  }

  /** The page of `level` as it stands in the one above. */
  #itemFor(level: number): Piece {
    const pieces = this.#open[level]!;
    const whole = wholePage(pieces);
    if (whole?.parent !== undefined) {
      return { page: whole.parent.page, from: whole.item, to: whole.item + 1, body: undefined, origin: whole.parent };
    }
    const { hash: body, totals } = this.#finished(level);
    const first = pieces[0]!;
    if (first.page === undefined) return { page: undefined, key: first.key, body, totals };
    const { parent, item } = first.origin;
    // A page that begins as an old one stands at the same key: it is the item of that one, with another hash.
    if (first.from === 0 && parent !== undefined) return { page: parent.page, from: item, to: item + 1, body, totals, origin: parent };
    return { page: undefined, key: first.page.copyKey(first.from), body, totals };
  }

  /** Opens the page of `level` again that was handed on last, as part of a whole page above. */
  #reopen(level: number): void {
    let above = level + 1;
    while (above < RANK_MAX && this.#open[above]!.length === 0) above++;
    assert(this.#reader !== undefined, 'no page to go on in');
    for (; above > level; above--) {
      const pieces = this.#open[above]!;
      const last = pieces.at(-1);
      assert(last?.page !== undefined && last.body === undefined, 'a page that was just made must go on');
      last.to--;
      if (last.to === last.from) pieces.pop();
      const origin = childOrigin(this.#reader, last.origin, last.to);
      this.#push(above - 1, { page: origin.page, from: 0, to: origin.page.size, body: undefined, origin });
    }
  }

  #push(level: number, piece: Piece): void {
    const pieces = this.#open[level]!;
    if (piece.page !== undefined && piece.body === undefined && pieces.length > 0) {
      const last = pieces[pieces.length - 1]!;
      if (last.page === piece.page && last.body === undefined && last.to === piece.from) {
        last.to = piece.to;
        return;
      }
    }
    pieces.push(piece);
  }

  /** The page of `level` as it is: put, unless it is a page of the old tree. */
  #finished(level: number): { hash: Uint8Array; totals: Totals } {
    const pieces = this.#open[level]!;
    const whole = wholePage(pieces);
    if (whole !== undefined) return { hash: whole.hash, totals: whole.totals };
    const bytes = encodePage(level, pieces);
    const pageHash = hash('page', bytes);
    this.#sink.put(pageHash, bytes);
    if (level > 0) this.#reader?.keep(pageHash, bytes);
    return { hash: pageHash, totals: this.#totals(pieces) };
  }

  /** A top page of one item is none: its child is the top, or that one's only child. */
  #collapse(only: Piece): Tree {
    assert(only.page !== undefined && only.body === undefined && this.#reader !== undefined, 'a page was put that nothing needs');
    let origin = childOrigin(this.#reader, only.origin, only.from);
    while (origin.page.level > 0 && origin.page.size === 1) origin = childOrigin(this.#reader, origin, 0);
    const { count, live, bytes } = origin.totals;
    return { page: origin.hash, level: origin.page.level, count, live, bytes };
  }

  #totals(pieces: readonly Piece[]): Totals {
    const sum: SummedTotals = { count: 0, live: 0, bytes: 0 };
    for (let at = 0; at < pieces.length; at++) {
      const piece = pieces[at]!;
      if (piece.page === undefined) this.#addSingle(sum, piece);
      else at = this.#addRuns(sum, pieces, at, piece.origin);
    }
    return sum;
  }

  #addSingle(sum: SummedTotals, piece: Single | ReplacedEntry | ReplacedPage): void {
    if (piece.totals !== undefined) addTotals(sum, piece.totals, 1);
    else this.#addEntry(sum, piece.key, piece.body, 1);
  }

  #addEntry(sum: SummedTotals, key: Uint8Array, value: Uint8Array, sign: 1 | -1): void {
    const { live, bytes } = this.#ranker.weigh(key, value);
    sum.count += sign;
    sum.live += sign * live;
    sum.bytes += sign * bytes;
  }

  /**
   * Adds all that stays of `origin` from piece `first` on and the single items between; returns the last
   * piece added. Where most of the page is left, its totals less what is gone: an edit of one entry weighs two.
   */
  #addRuns(sum: SummedTotals, pieces: readonly Piece[], first: number, origin: Origin): number {
    let last = first;
    let kept = 0;
    for (let at = first; at < pieces.length; at++) {
      const piece = pieces[at]!;
      if (piece.page === undefined) continue;
      if (piece.page !== origin.page) break;
      if (piece.body === undefined) kept += piece.to - piece.from;
      last = at;
    }
    const subtract = kept * 2 > origin.page.size;
    if (subtract) addTotals(sum, origin.totals, 1);
    let gone = 0;
    for (let at = first; at <= last; at++) {
      const piece = pieces[at]!;
      if (piece.body !== undefined) {
        this.#addSingle(sum, piece);
        continue;
      }
      if (subtract) this.#addItems(sum, origin.page, gone, piece.from, -1);
      else this.#addItems(sum, origin.page, piece.from, piece.to, 1);
      gone = piece.to;
    }
    if (subtract) this.#addItems(sum, origin.page, gone, origin.page.size, -1);
    return last;
  }

  #addItems(sum: SummedTotals, page: Page, from: number, to: number, sign: 1 | -1): void {
    for (let item = from; item < to; item++) {
      if (page.level > 0) addTotals(sum, page.totals(item), sign);
      else this.#addEntry(sum, page.copyKey(item), page.value(item), sign);
    }
  }
}

function addTotals(sum: SummedTotals, totals: Totals, sign: 1 | -1): void {
  sum.count += sign * totals.count;
  sum.live += sign * totals.live;
  sum.bytes += sign * totals.bytes;
}

/** The old page that `pieces` are exactly, if any. */
function wholePage(pieces: readonly Piece[]): Origin | undefined {
  const piece = pieces[0]!;
  if (pieces.length !== 1 || piece.page === undefined) return undefined;
  return piece.body === undefined && piece.from === 0 && piece.to === piece.page.size ? piece.origin : undefined;
}
