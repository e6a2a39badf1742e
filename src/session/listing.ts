/**
 * What differs between two replicas, to be shown and not merged: a walk of its own, after which each side knows what the
 * other lacks, and the side that was asked sends its part.
 *
 * Invariant: a listing has at most `LISTING_ENTRIES_MAX` entries and about `LISTING_BYTES_GOAL` bytes from each side;
 * what is cut off is said to be.
 */
import { SamerootError } from '../base/errors.ts';
import { ENTRIES_MESSAGE_BYTES_GOAL, MESSAGE_BYTES_MAX, MIB } from '../base/limits.ts';
import type { Tree } from '../tree/page.ts';
import type { EntryItem, Message, MessageOf } from '../wire/messages.ts';
import type { Walk } from './reconcile.ts';
import { entryBytes } from './streams.ts';

const LISTING_ENTRIES_MAX = 100_000;
const LISTING_BYTES_GOAL: number = 16 * MIB;
const PART_ENTRIES_MAX = 2_000;

export interface Listed {
  /** What the other side lacks or has otherwise. */
  readonly here: readonly EntryItem[];
  readonly there: readonly EntryItem[];
  readonly peerRoot: Uint8Array;
  readonly truncated: boolean;
}

interface Asked {
  readonly walk: Walk;
  peerRoot: Uint8Array;
  readonly there: EntryItem[];
  bytes: number;
}

export class Listings {
  readonly #makeWalk: (id: number, begins: boolean) => Walk;
  #asked: Asked | undefined;
  #answering: Walk | undefined;

  constructor(makeWalk: (id: number, begins: boolean) => Walk) {
    this.#makeWalk = makeWalk;
  }

  /** Our own listing is under way. */
  get busy(): boolean {
    return this.#asked !== undefined;
  }

  /** What the walks under way read. */
  get trees(): Tree[] {
    return [this.#asked?.walk, this.#answering].flatMap((walk) => walk?.tree ?? []);
  }

  start(id: number, peerRoot: Uint8Array): Message {
    const walk = this.#makeWalk(id, true);
    this.#asked = { walk, peerRoot, there: [], bytes: 0 };
    return walk.start();
  }

  /** A message of a walk that only lists; gives the answers. */
  step(message: MessageOf<'walk'>): Message[] {
    const asked = this.#asked;
    if (asked?.walk.id === message.id) {
      if (asked.walk.complete) throw new SamerootError('BAD_MESSAGE', 'the peer goes on with a walk that is over');
      asked.peerRoot = message.root;
      return asked.walk.step(message);
    }
    if (this.#answering?.id !== message.id) this.#answering = this.#makeWalk(message.id, false);
    const walk = this.#answering;
    const replies: Message[] = walk.step(message);
    if (!walk.complete) return replies;
    this.#answering = undefined;
    return [...replies, ...parts(walk.id, firstOf(walk))];
  }

  /**
   * The other side's part of our listing; gives the whole when it is there.
   * @throws {SamerootError} `LIMIT_EXCEEDED` for more than a listing may have
   */
  listed(message: MessageOf<'listing'>): Listed | undefined {
    const asked = this.#asked;
    if (asked === undefined || asked.walk.id !== message.id) return undefined;
    if (!asked.walk.complete) throw new SamerootError('BAD_MESSAGE', 'the peer lists before the walk is over');
    asked.there.push(...message.items);
    asked.bytes += bytesOf(message.items);
    if (asked.there.length > LISTING_ENTRIES_MAX || asked.bytes > LISTING_BYTES_GOAL + MESSAGE_BYTES_MAX) {
      throw new SamerootError('LIMIT_EXCEEDED', 'the peer lists more differences than it may');
    }
    if (!message.last) return undefined;
    this.#asked = undefined;
    const here = firstOf(asked.walk);
    return { here, there: asked.there, peerRoot: asked.peerRoot, truncated: isFull(here) || isFull(asked.there) };
  }
}

function bytesOf(items: readonly EntryItem[]): number {
  return items.reduce((sum, item) => sum + entryBytes(item), 0);
}

function isFull(items: readonly EntryItem[]): boolean {
  return items.length >= LISTING_ENTRIES_MAX || bytesOf(items) >= LISTING_BYTES_GOAL;
}

function firstOf(walk: Walk): EntryItem[] {
  const items: EntryItem[] = [];
  let bytes = 0;
  for (const item of walk.missingThere()) {
    items.push(item);
    bytes += entryBytes(item);
    if (items.length >= LISTING_ENTRIES_MAX || bytes >= LISTING_BYTES_GOAL) break;
  }
  return items;
}

/** At least one message: the last says that it is. */
function parts(id: number, items: readonly EntryItem[]): Message[] {
  const messages: Message[] = [];
  let part: EntryItem[] = [];
  let bytes = 0;
  for (const item of items) {
    if (part.length >= PART_ENTRIES_MAX || bytes >= ENTRIES_MESSAGE_BYTES_GOAL) {
      messages.push({ type: 'listing', id, items: part, last: false });
      part = [];
      bytes = 0;
    }
    part.push(item);
    bytes += entryBytes(item);
  }
  messages.push({ type: 'listing', id, items: part, last: true });
  return messages;
}
