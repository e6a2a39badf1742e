/**
 * The walk: two nodes with unlike roots find the keys whose entries differ, by symmetric descent.
 *
 * A message lists the sender's digests of one level within the open ranges; the other side closes every range where
 * both agree and answers with its own digests one level deeper (or more, while that stays small). Page borders depend on
 * keys alone, so a key at which both list a page is a border in both trees and at every level below.
 *
 * Invariant of an open range [from, to): all entries in which the two trees may differ lie in open ranges, and, down to the
 * leaf pages, within a range every entry of either side lies in pages whose first key is in the range. So a range that one
 * side finds empty is settled: everything the other side has there is missing here.
 *
 * Only a list of entries may be cut to fit into a message: an entry lies at its key, a page reaches beyond it. A range
 * with too many pages for one message (the trees have next to nothing in common there) goes to its entries at once.
 *
 * Many differences make long lists, and a list is cut into messages. So the sides do not take turns: each message that
 * lists something is answered by one message, in order, and beside its answers a side sends what it has to list while
 * few of its messages wait for theirs. Taking turns, 10^4 differences in 10^6 entries took 36.5 round trips, now 4.
 *
 * Each side walks one snapshot of its own tree; nothing that a peer lists is stored. A range is named once per level, so
 * a whole walk costs at most one listing of our tree per level, whatever the peer sends.
 */
import { assert } from '../base/assert.ts';
import { compareBytes, equalBytes } from '../base/bytes.ts';
import { KIB, WALK_RANGES_MAX } from '../base/limits.ts';
import { items, lookup, walk, type Item } from '../tree/walk.ts';
import type { PageReader, Tree } from '../tree/page.ts';
import { LEAF_LEVEL, type EntryItem, type MessageOf, type WalkItem, type WalkRange } from '../wire/messages.ts';
import { digestBytes, isFirstWalk, sameDigest } from '../wire/walk-digest.ts';
import { segments, unlikeLeaves } from './page-lists.ts';
import { AskedRanges, compareFrom, ENTRY_LEVEL, MessageRoom, WalkWindow, type OpenRange } from './walk-bounds.ts';

/** Levels are skipped while the deeper list is expected to stay below this: half a round trip for at most 32 KiB. */
const SKIP_BYTES = 32 * KIB;
/**
 * In the first walk, for which somebody may wait, while a deeper list of pages stays below this: the leaves of 10^6 entries.
 * It is less than a message has room for by 5 %, so a tree with more pages than expected fits, too.
 */
const SKIP_BYTES_FIRST = 250_000;
/** Key suffix and lengths of one item, for estimates only. */
const ITEM_KEY_BYTES = 10;
/** Messages that one step gives: listing 1 MiB takes 0.1 to 0.3 s, in which the node does nothing else. */
const STEP_MESSAGES_MAX = 4;

export class Walk {
  readonly id: number;
  readonly merge: boolean;
  readonly tree: Tree;
  readonly #root: Uint8Array;
  readonly #reader: PageReader;
  readonly #rankBits: number;
  readonly #digestBytes: number;
  /** What the other side lacks: runs of our entries, and single ones that it asked for. */
  readonly #toSend: { readonly from: Uint8Array | undefined; readonly to: Uint8Array | undefined; readonly single: boolean }[] = [];
  readonly #asked: AskedRanges;
  /** Ranges to be listed, in order. */
  #queue: OpenRange[] = [];
  #wants: Uint8Array[] = [];
  readonly #window = new WalkWindow();
  #complete = false;
  /** Messages of either side so far. */
  messages = 0;

  /** `begins`: this side sends the first message, with `start`. */
  constructor(options: {
    id: number;
    merge: boolean;
    begins: boolean;
    reader: PageReader;
    tree: Tree;
    root: Uint8Array;
    rankBits: number;
  }) {
    this.id = options.id;
    this.merge = options.merge;
    this.tree = options.tree;
    this.#root = options.root;
    this.#reader = options.reader;
    this.#rankBits = options.rankBits;
    this.#digestBytes = digestBytes(options.id);
    this.#asked = new AskedRanges(!options.begins);
  }

  /** Both sides know all differences. */
  get complete(): boolean {
    return this.#complete;
  }

  get root(): Uint8Array {
    return this.#root;
  }

  /** The first message, of the side that begins. */
  start(): MessageOf<'walk'> {
    const level = this.#nextLevel(this.tree.level + 1, this.tree.count);
    this.#queue.push({ from: undefined, to: undefined, level });
    return this.#compose(false);
  }

  /**
   * Takes the other side's message; gives the answer to it, if it needs one, and what else there is to be listed.
   * @throws {SamerootError} `BAD_MESSAGE` if the message does not follow from the ones before
   */
  step(message: MessageOf<'walk'>): MessageOf<'walk'>[] {
    this.messages++;
    this.#window.received(message);
    this.#asked.answered(message.ranges, message.more, this.#window.answered);
    for (const key of message.wants) this.#toSend.push({ from: key, to: undefined, single: true });
    const open: { range: OpenRange; count: number }[] = [];
    for (const range of message.ranges) {
      if (range.level === ENTRY_LEVEL) this.#compareEntries(range);
      else if (range.level === LEAF_LEVEL) this.#compareLeaves(range);
      else this.#comparePages(range, open);
    }
    this.#plan(open);
    const replies = message.ranges.length === 0 ? [] : [this.#compose(true)];
    assert(this.#wants.length === 0, 'what is wanted goes into the answer');
    while (this.#queue.length > 0 && this.#window.open && replies.length < STEP_MESSAGES_MAX) replies.push(this.#compose(false));
    this.#complete = this.#queue.length === 0 && !message.more && this.#window.settled;
    return replies;
  }

  /** What the other side lacks or has another version of; to be asked once the walk is complete. In key order. */
  *missingThere(): Generator<EntryItem> {
    const sorted = this.#toSend.toSorted(compareFrom);
    let last: Uint8Array | undefined;
    for (const { from, to, single } of sorted) {
      if (!single) {
        for (const { key, value } of walk(this.#reader, this.tree, bounds(from, to))) yield { key, entry: value };
        continue;
      }
      const key = from!;
      if (last !== undefined && equalBytes(last, key)) continue;
      last = key;
      const entry = lookup(this.#reader, this.tree, key);
      if (entry !== undefined) yield { key, entry };
    }
  }

  #comparePages(range: WalkRange, open: { range: OpenRange; count: number }[]): void {
    const own = [...this.#items(range.level, range.from, range.to)];
    if (own.length === 0 && range.items.length === 0) return;
    if (range.items.length === 0) {
      // The other side has nothing here: all of ours is missing there.
      this.#toSend.push({ from: range.from, to: range.to, single: false });
      return;
    }
    for (const segment of segments(range, own, range.items)) {
      open.push({
        range: { from: segment.from, to: segment.to, level: range.level },
        count: segment.own.reduce((sum, item) => sum + item.count, 0),
      });
    }
  }

  /** Where the lists of leaves disagree, entries are listed next. */
  #compareLeaves({ from, to, level, leaves }: WalkRange): void {
    const own = [...this.#items(level, from, to)];
    if (own.length > 0 && leaves.length === 0) {
      this.#toSend.push({ from, to, single: false });
      return;
    }
    for (const { first, end } of unlikeLeaves(own, leaves, this.#digestBytes)) {
      const until = own[end]?.key ?? to;
      // Where the last equal page ends on both sides: the other side may have a page that begins before our next.
      const since = first === 0 ? from : this.#lastBefore(own[first]?.key ?? to);
      this.#queue.push({ from: since, to: until, level: ENTRY_LEVEL });
    }
  }

  /** The last key of our tree before this one; one of an equal page, so listing it again finds nothing. */
  #lastBefore(key: Uint8Array | undefined): Uint8Array {
    const [last] = walk(this.#reader, this.tree, { ...bounds(undefined, key), reverse: true });
    assert(last !== undefined, 'there is a page before this key');
    return last.key;
  }

  /** Both lists are in order. Runs of ours that the other side lacks are kept as runs: where all is missing, one. */
  #compareEntries(range: WalkRange): void {
    const theirs = range.items;
    if (theirs.length === 0) {
      this.#toSend.push({ from: range.from, to: range.to, single: false });
      return;
    }
    let run: Uint8Array | undefined;
    const endRun = (to: Uint8Array | undefined): void => {
      if (run !== undefined) this.#toSend.push({ from: run, to, single: false });
      run = undefined;
    };
    let at = 0;
    for (const { key, hash } of this.#items(ENTRY_LEVEL, range.from, range.to)) {
      while (at < theirs.length && compareBytes(theirs[at]!.key, key) < 0) this.#wants.push(theirs[at++]!.key);
      const other = at < theirs.length && equalBytes(theirs[at]!.key, key) ? theirs[at++] : undefined;
      if (other !== undefined && sameDigest(hash, other.digest)) {
        endRun(key);
        continue;
      }
      if (other !== undefined) this.#wants.push(key);
      run ??= key;
    }
    while (at < theirs.length) this.#wants.push(theirs[at++]!.key);
    endRun(range.to);
  }

  /** Queues the ranges that stay open, at the level on which they are listed next. */
  #plan(open: readonly { range: OpenRange; count: number }[]): void {
    const count = open.reduce((sum, { count }) => sum + count, 0);
    for (const { range } of open) this.#queue.push({ ...range, level: this.#nextLevel(range.level, count) });
  }

  /** One level below `level`, or deeper while the list is expected to be short. */
  #nextLevel(level: number, entries: number): number {
    let next = level - 1;
    while (next > ENTRY_LEVEL && this.#isShort(next - 1, entries)) next--;
    return Math.max(next, ENTRY_LEVEL);
  }

  #isShort(level: number, entries: number): boolean {
    const count = entries / 2 ** (this.#rankBits * (level + 1));
    const itemBytes = this.#digestBytes + (level === LEAF_LEVEL ? 0 : ITEM_KEY_BYTES);
    const most = isFirstWalk(this.id) && level > ENTRY_LEVEL ? SKIP_BYTES_FIRST : SKIP_BYTES;
    return count * itemBytes <= most;
  }

  /** A message with as much as there is room for; one that `answers` lists nothing where the window is full. */
  #compose(answers: boolean): MessageOf<'walk'> {
    this.messages++;
    const ranges = this.#window.open ? this.#takeRanges() : [];
    this.#asked.add(ranges, this.#window.sent(ranges, answers));
    const wants = this.#wants;
    this.#wants = [];
    return { type: 'walk', id: this.id, merge: this.merge, root: this.#root, ranges, wants, more: this.#queue.length > 0, answers };
  }

  #takeRanges(): WalkRange[] {
    // Lowest first: what was opened last lies within what was listed first, and is finished before more is opened.
    this.#queue.sort(compareFrom);
    const room = new MessageRoom(this.#digestBytes);
    const ranges: WalkRange[] = [];
    let taken = 0;
    while (taken < this.#queue.length && ranges.length < WALK_RANGES_MAX && !room.full) {
      const { listed, rest } = this.#list(this.#queue[taken]!, room, ranges.length === 0);
      if (listed !== undefined) ranges.push(listed);
      if (rest === undefined) taken++;
      else this.#queue[taken] = rest;
    }
    this.#queue = this.#queue.slice(taken);
    return ranges;
  }

  /** Lists a range as far as there is room. `alone`: nothing else is in the message yet. */
  #list(open: OpenRange, room: MessageRoom, alone: boolean): { listed: WalkRange | undefined; rest: OpenRange | undefined } {
    const { from, to, level } = open;
    const list: WalkItem[] = [];
    const leaves: Uint8Array[] = [];
    room.bound(from);
    room.bound(to);
    for (const { key, hash } of this.#items(level, from, to)) {
      if (room.full) {
        if (level === ENTRY_LEVEL && list.length > 0) {
          return { listed: { from, to: key, level, items: list, leaves }, rest: { from: key, to, level } };
        }
        if (!alone) return { listed: undefined, rest: open };
        room.clear();
        return this.#list({ from, to, level: ENTRY_LEVEL }, room, alone);
      }
      const digest = hash.subarray(0, this.#digestBytes);
      if (level === LEAF_LEVEL) {
        room.leaf();
        leaves.push(digest);
      } else {
        room.item(key);
        list.push({ key, digest });
      }
    }
    return { listed: { from, to, level, items: list, leaves }, rest: undefined };
  }

  #items(level: number, from: Uint8Array | undefined, to: Uint8Array | undefined): Generator<Item> {
    return items(this.#reader, this.tree, Math.min(level, this.tree.level), from, to);
  }
}

function bounds(from: Uint8Array | undefined, to: Uint8Array | undefined): { from?: Uint8Array; to?: Uint8Array } {
  return { ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) };
}
