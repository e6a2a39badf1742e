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
import { encodePage, type Run, type Single } from './page-encode.ts';
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
  return { page: reader.read(tree.page), hash: tree.page, totals: tree, parent: undefined, item: 0 };
}

export function childOrigin(reader: PageReader, parent: Origin, item: number): Origin {
  const childHash = parent.page.hash(item);
  return { page: reader.read(childHash), hash: childHash, totals: parent.page.totals(item), parent, item };
}

interface OriginRun extends Run {
  readonly origin: Origin;
  to: number;
}

type Piece = OriginRun | Single;

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
    this.#push(level, { page: origin.page, from, to, origin });
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
      const whole = wholePage(pieces);
      if (whole?.parent === undefined) {
        const { key, hash, totals } = this.#finished(at);
        this.#push(at + 1, { page: undefined, key, body: hash, totals });
      } else {
        this.#push(at + 1, { page: whole.parent.page, from: whole.item, to: whole.item + 1, origin: whole.parent });
      }
      this.#open[at] = [];
    }
  }

  /** Opens the page of `level` again that was handed on last, as part of a whole page above. */
  #reopen(level: number): void {
    let above = level + 1;
    while (above < RANK_MAX && this.#open[above]!.length === 0) above++;
    assert(this.#reader !== undefined, 'no page to go on in');
    for (; above > level; above--) {
      const pieces = this.#open[above]!;
      const last = pieces.at(-1);
      assert(last?.page !== undefined, 'a page that was just made must go on');
      last.to--;
      if (last.to === last.from) pieces.pop();
      const origin = childOrigin(this.#reader, last.origin, last.to);
      this.#push(above - 1, { page: origin.page, from: 0, to: origin.page.size, origin });
    }
  }

  #push(level: number, piece: Piece): void {
    const pieces = this.#open[level]!;
    if (piece.page !== undefined && pieces.length > 0) {
      const last = pieces[pieces.length - 1]!;
      if (last.page === piece.page && last.to === piece.from) {
        last.to = piece.to;
        return;
      }
    }
    pieces.push(piece);
  }

  /** The page of `level` as it is: put, unless it is a page of the old tree. */
  #finished(level: number): { key: Uint8Array; hash: Uint8Array; totals: Totals } {
    const pieces = this.#open[level]!;
    const first = pieces[0]!;
    const key = first.page === undefined ? first.key : first.page.copyKey(first.from);
    const whole = wholePage(pieces);
    if (whole !== undefined) return { key, hash: whole.hash, totals: whole.totals };
    const bytes = encodePage(level, pieces);
    const pageHash = hash('page', bytes);
    this.#sink.put(pageHash, bytes);
    if (level > 0) this.#reader?.keep(pageHash, bytes);
    return { key, hash: pageHash, totals: this.#totals(pieces) };
  }

  /** A top page of one item is none: its child is the top, or that one's only child. */
  #collapse(only: Piece): Tree {
    assert(only.page !== undefined && this.#reader !== undefined, 'a page was put that nothing needs');
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

  #addSingle(sum: SummedTotals, { key, body, totals }: Single): void {
    if (totals === undefined) {
      const { live, bytes } = this.#ranker.weigh(key, body);
      addTotals(sum, { count: 1, live, bytes }, 1);
    } else addTotals(sum, totals, 1);
  }

  /**
   * Adds all runs of `origin` from piece `first` on (singles may lie between) and the singles between; returns the last
   * piece added. Where most of the page is left, its totals less what is gone: an edit of one entry weighs two.
   */
  #addRuns(sum: SummedTotals, pieces: readonly Piece[], first: number, origin: Origin): number {
    let last = first;
    let kept = 0;
    for (let at = first; at < pieces.length; at++) {
      const piece = pieces[at]!;
      if (piece.page === undefined) continue;
      if (piece.page !== origin.page) break;
      kept += piece.to - piece.from;
      last = at;
    }
    const subtract = kept * 2 > origin.page.size;
    if (subtract) addTotals(sum, origin.totals, 1);
    let gone = 0;
    for (let at = first; at <= last; at++) {
      const piece = pieces[at]!;
      if (piece.page === undefined) {
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
      if (page.level > 0) {
        addTotals(sum, page.totals(item), sign);
      } else {
        const { live, bytes } = this.#ranker.weigh(page.copyKey(item), page.value(item));
        addTotals(sum, { count: 1, live, bytes }, sign);
      }
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
  return piece.from === 0 && piece.to === piece.page.size ? piece.origin : undefined;
}
