/**
 * The walk: two nodes with unlike roots find the keys whose entries differ, by symmetric descent.
 *
 * A message lists the sender's digests of one level within the open ranges; the other side closes every range where
 * both agree and answers with its own digests one level deeper (or more, while that stays small). Page borders depend on
 * keys alone, so a key at which both list a page is a border in both trees and at every level below.
 *
 * Invariant of an open range [from, to): all entries in which the two trees may differ lie in open ranges, and within a
 * range every entry of either side lies in pages whose first key is in the range. So a range that one side finds empty
 * is settled: everything the other side has there is missing here.
 *
 * Each side walks one snapshot of its own tree; nothing that a peer lists is stored. Work is bounded by the peer's
 * message plus our own pages in the ranges that it names, once per message.
 */
import { assert } from '../base/assert.ts';
import { byteKey, compareBytes, equalBytes } from '../base/bytes.ts';
import { DIGEST_BYTES, KIB, WALK_MESSAGE_BYTES_GOAL, WALK_RANGES_MAX } from '../base/limits.ts';
import { items, lookup, walk, type Item } from '../tree/walk.ts';
import type { PageReader, Tree } from '../tree/page.ts';
import type { EntryItem, MessageOf, WalkItem, WalkRange } from '../wire/messages.ts';

/** Levels are skipped while the deeper list is expected to stay below this: half a round trip for at most 32 KiB. */
const SKIP_BYTES = 32 * KIB;
/** Digest, key suffix and lengths of one item, for estimates only. */
const ITEM_BYTES = DIGEST_BYTES + 10;
const ENTRY_LEVEL = -1;

interface OpenRange {
  readonly from: Uint8Array | undefined;
  readonly to: Uint8Array | undefined;
  readonly level: number;
}

export class Walk {
  readonly id: number;
  readonly merge: boolean;
  readonly tree: Tree;
  readonly #root: Uint8Array;
  readonly #reader: PageReader;
  readonly #rankBits: number;
  readonly #toSend: (OpenRange | { readonly key: Uint8Array })[] = [];
  #queue: OpenRange[] = [];
  #wants: Uint8Array[] = [];
  #complete = false;
  /** Messages of either side so far. */
  messages = 0;

  constructor(options: { id: number; merge: boolean; reader: PageReader; tree: Tree; root: Uint8Array; rankBits: number }) {
    this.id = options.id;
    this.merge = options.merge;
    this.tree = options.tree;
    this.#root = options.root;
    this.#reader = options.reader;
    this.#rankBits = options.rankBits;
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
    return this.#compose();
  }

  /** Takes the other side's message; gives the answer, or undefined when none is needed any more. */
  step(message: MessageOf<'walk'>): MessageOf<'walk'> | undefined {
    this.messages++;
    const final = message.ranges.length === 0 && !message.more;
    for (const key of message.wants) this.#toSend.push({ key });
    const open: { range: OpenRange; count: number }[] = [];
    for (const range of message.ranges) {
      if (range.level === ENTRY_LEVEL) this.#compareEntries(range);
      else this.#comparePages(range, open);
    }
    this.#plan(open);
    if (final && this.#queue.length === 0) {
      assert(this.#wants.length === 0, 'a walk without open ranges wants nothing new');
      this.#complete = true;
      return undefined;
    }
    const reply = this.#compose();
    if (reply.ranges.length === 0 && !reply.more && !message.more) this.#complete = true;
    return reply;
  }

  /** What the other side lacks or has another version of; to be asked once the walk is complete. In key order. */
  *missingThere(): Generator<EntryItem> {
    const sorted = this.#toSend.map((part) =>
      'key' in part ? { from: part.key, to: undefined, key: part.key } : { ...part, key: undefined },
    );
    sorted.sort((a, b) => compareBytes(a.from ?? new Uint8Array(0), b.from ?? new Uint8Array(0)));
    let last: Uint8Array | undefined;
    for (const part of sorted) {
      if (part.key !== undefined) {
        if (last !== undefined && equalBytes(last, part.key)) continue;
        last = part.key;
        const entry = lookup(this.#reader, this.tree, part.key);
        if (entry !== undefined) yield { key: part.key, entry };
        continue;
      }
      for (const { key, value } of walk(this.#reader, this.tree, bounds(part.from, part.to))) yield { key, entry: value };
    }
  }

  #comparePages(range: WalkRange, open: { range: OpenRange; count: number }[]): void {
    const own = this.#items(range.level, range.from, range.to);
    if (own.length === 0 && range.items.length === 0) return;
    if (range.items.length === 0) {
      // The other side has nothing here: all of ours is missing there.
      this.#toSend.push(range);
      return;
    }
    for (const segment of segments(range, own, range.items)) {
      open.push({
        range: { from: segment.from, to: segment.to, level: range.level },
        count: segment.own.reduce((sum, item) => sum + item.count, 0),
      });
    }
  }

  #compareEntries(range: WalkRange): void {
    const theirs = new Map(range.items.map((item) => [byteKey(item.key), item]));
    for (const item of items(this.#reader, this.tree, ENTRY_LEVEL, range.from, range.to)) {
      const id = byteKey(item.key);
      const other = theirs.get(id);
      if (other !== undefined) theirs.delete(id);
      if (other !== undefined && sameDigest(item.hash, other.digest)) continue;
      this.#toSend.push({ key: item.key });
      if (other !== undefined) this.#wants.push(item.key);
    }
    for (const { key } of theirs.values()) this.#wants.push(key);
  }

  /** Queues the ranges that stay open, at the level on which they are listed next. */
  #plan(open: readonly { range: OpenRange; count: number }[]): void {
    const count = open.reduce((sum, { count }) => sum + count, 0);
    for (const { range } of open) this.#queue.push({ ...range, level: this.#nextLevel(range.level, count) });
  }

  /** One level below `level`, or deeper while the list is expected to be short. */
  #nextLevel(level: number, entries: number): number {
    let next = level - 1;
    while (next > ENTRY_LEVEL && (entries / 2 ** (this.#rankBits * next)) * ITEM_BYTES <= SKIP_BYTES) next--;
    return Math.max(next, ENTRY_LEVEL);
  }

  #compose(): MessageOf<'walk'> {
    this.messages++;
    const ranges: WalkRange[] = [];
    let bytes = 0;
    let taken = 0;
    for (; taken < this.#queue.length && bytes < WALK_MESSAGE_BYTES_GOAL && ranges.length < WALK_RANGES_MAX; taken++) {
      const { from, to, level } = this.#queue[taken]!;
      const list: WalkItem[] = this.#items(level, from, to).map((item) => ({ key: item.key, digest: item.hash.subarray(0, DIGEST_BYTES) }));
      ranges.push({ from, to, level, items: list });
      bytes += 16 + list.reduce((sum, item) => sum + DIGEST_BYTES + 2 + Math.min(item.key.length, 12), 0);
    }
    this.#queue = this.#queue.slice(taken);
    const wants = this.#wants;
    this.#wants = [];
    return { type: 'walk', id: this.id, merge: this.merge, root: this.#root, ranges, wants, more: this.#queue.length > 0 };
  }

  #items(level: number, from: Uint8Array | undefined, to: Uint8Array | undefined): Item[] {
    return [...items(this.#reader, this.tree, Math.min(level, this.tree.level), from, to)];
  }
}

/** The runs between common borders in which the two lists disagree. */
export function segments(
  range: { readonly from: Uint8Array | undefined; readonly to: Uint8Array | undefined },
  own: readonly Item[],
  theirs: readonly WalkItem[],
): { from: Uint8Array | undefined; to: Uint8Array | undefined; own: Item[] }[] {
  const result: { from: Uint8Array | undefined; to: Uint8Array | undefined; own: Item[] }[] = [];
  let from = range.from;
  let mine: Item[] = [];
  let other: WalkItem[] = [];
  const close = (to: Uint8Array | undefined): void => {
    let start = from;
    const equal =
      mine.length > 0 && other.length > 0 && equalBytes(mine[0]!.key, other[0]!.key) && sameDigest(mine[0]!.hash, other[0]!.digest);
    if (equal) {
      // The same page on both sides: what follows on either side starts at its next page.
      mine = mine.slice(1);
      other = other.slice(1);
      const next = [mine[0]?.key, other[0]?.key].filter((key) => key !== undefined).sort(compareBytes);
      start = next[0];
    }
    if (mine.length > 0 || other.length > 0) result.push({ from: start, to, own: mine });
    from = to;
    mine = [];
    other = [];
  };
  let i = 0;
  let j = 0;
  while (i < own.length || j < theirs.length) {
    const order = i >= own.length ? 1 : j >= theirs.length ? -1 : compareBytes(own[i]!.key, theirs[j]!.key);
    if (order === 0 && (mine.length > 0 || other.length > 0)) close(own[i]!.key);
    if (order <= 0) mine.push(own[i++]!);
    if (order >= 0) other.push(theirs[j++]!);
  }
  close(range.to);
  return result;
}

function bounds(from: Uint8Array | undefined, to: Uint8Array | undefined): { from?: Uint8Array; to?: Uint8Array } {
  return { ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) };
}

function sameDigest(hash: Uint8Array, digest: Uint8Array): boolean {
  return compareBytes(hash.subarray(0, DIGEST_BYTES), digest) === 0;
}
