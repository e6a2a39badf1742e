/** Runs two walks against each other over the wire's own bytes, and counts. */
import { byteKey, compareBytes, fromByteKey } from '../../src/base/bytes.ts';
import { hash } from '../../src/content/hash.ts';
import { Walk } from '../../src/session/reconcile.ts';
import { edit, type Change } from '../../src/tree/edit.ts';
import { PageReader, type KeyValue, type Tree } from '../../src/tree/page.ts';
import { decodeMessage, encodeMessage } from '../../src/wire/codec.ts';
import type { EntryItem, MessageOf } from '../../src/wire/messages.ts';
import { buildModel, makeRanker, MemoryPages, sorted, type Model } from '../tree/support.ts';

export class Side {
  readonly model: Model;
  readonly tree: Tree;
  readonly pages: MemoryPages;
  readonly rankBits: number;
  /**
   * A walk uses its rank bits only to guess how long a list will be, and skips levels with short ones: small trees would
   * be listed at once. With `SKIP_NO_LEVEL` it skips none, so that small trees go through every level.
   */
  guessBits: number;

  constructor(model: Model, rankBits: number, base?: Side) {
    this.model = model;
    this.rankBits = rankBits;
    this.guessBits = rankBits;
    this.pages = base?.pages ?? new MemoryPages();
    if (base === undefined) this.tree = buildModel(model, makeRanker(rankBits), this.pages);
    else this.tree = edit(new PageReader(this.pages), base.tree, changesBetween(base.model, model), makeRanker(rankBits), this.pages);
  }

  walk(begins: boolean, id = 1): Walk {
    return new Walk({
      id,
      merge: true,
      begins,
      reader: new PageReader(this.pages),
      tree: this.tree,
      root: hash('root', this.tree.page ?? new Uint8Array(0)),
      rankBits: this.guessBits,
    });
  }
}

function changesBetween(a: Model, b: Model): Change[] {
  const changes = missing(b, a).map(({ key, value }): Change => ({ key, value }));
  for (const key of a.keys()) if (!b.has(key)) changes.push({ key: fromByteKey(key), value: undefined });
  return changes.sort((left, right) => compareBytes(left.key, right.key));
}

export function overWire<T extends MessageOf<'walk'>>(message: T): { message: T; bytes: number } {
  const encoded = encodeMessage(message);
  return { message: decodeMessage(encoded) as T, bytes: encoded.length };
}

/** No number that is made with it is below a bound, so no list is expected to be short. */
export const SKIP_NO_LEVEL: number = Number.NaN;

export interface WalkResult {
  readonly messages: number;
  /** Messages that had to wait for one another: the longest chain of causes. */
  readonly hops: number;
  readonly bytes: number;
  readonly largestBytes: number;
  /** Most messages of one side with ranges that were not answered at a time. */
  readonly waitingMax: number;
  /** What each side finds that the other lacks or has otherwise. */
  readonly fromA: readonly EntryItem[];
  readonly fromB: readonly EntryItem[];
}

/** One side of a walk under way: what is on its way to it, and how far it has come. */
interface End {
  readonly walk: Walk;
  readonly inbox: { message: MessageOf<'walk'>; hop: number }[];
  hop: number;
  waiting: number;
}

/**
 * `a` begins; the messages of a direction keep their order, `toFirst` tells which side gets its next one where both could.
 * Ends when both are complete; throws if one is and the other waits.
 */
export function runWalk(a: Side, b: Side, toFirst: () => boolean = () => true, id = 1): WalkResult {
  const ends: readonly [End, End] = [
    { walk: a.walk(true, id), inbox: [], hop: 0, waiting: 0 },
    { walk: b.walk(false, id), inbox: [], hop: 0, waiting: 0 },
  ];
  let [messages, hops, bytes, largestBytes, waitingMax] = [0, 0, 0, 0, 0];
  const send = (from: End, to: End, list: readonly MessageOf<'walk'>[]): void => {
    for (const message of list) {
      const sent = overWire(message);
      const hop = from.hop + 1;
      to.inbox.push({ message: sent.message, hop });
      messages++;
      bytes += sent.bytes;
      hops = Math.max(hops, hop);
      largestBytes = Math.max(largestBytes, sent.bytes);
      if (message.ranges.length > 0) waitingMax = Math.max(waitingMax, ++from.waiting);
    }
  };
  const [first, second] = ends;
  send(first, second, [first.walk.start()]);
  while (first.inbox.length + second.inbox.length > 0) {
    const at = second.inbox.length === 0 || (first.inbox.length > 0 && toFirst()) ? first : second;
    const other = at === first ? second : first;
    const { message, hop } = at.inbox.shift()!;
    if (at.walk.complete) throw new Error('a message to a walk that is over');
    at.hop = Math.max(at.hop, hop);
    if (message.answers) at.waiting--;
    send(at, other, at.walk.step(message));
  }
  if (!first.walk.complete || !second.walk.complete) throw new Error('the walk stopped before it was complete');
  const [fromA, fromB] = [[...first.walk.missingThere()], [...second.walk.missingThere()]];
  return { messages, hops, bytes, largestBytes, waitingMax, fromA, fromB };
}

/** By definition: what `a` has and `b` lacks or has otherwise, in order. */
export function missing(a: Model, b: Model): KeyValue[] {
  return sorted(a).filter(({ key, value }) => {
    const other = b.get(byteKey(key));
    return other === undefined || compareBytes(other, value) !== 0;
  });
}

/** For comparison: key to value, and in this order. */
export function listed(items: readonly (EntryItem | KeyValue)[]): [string, string][] {
  return items.map((item) => [byteKey(item.key), byteKey('entry' in item ? item.entry : item.value)]);
}
