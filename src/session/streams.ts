/**
 * Entry streams: how the entries that a peer lacks get there, in parts, within a window of bytes that the receiver has
 * not dealt with yet.
 *
 * Invariant of the receiving side: a stream counts as contained only when it is complete, every part of it has been
 * committed, and all streams before it were settled; one failed part spoils its stream, never more.
 */
import { byteKey } from '../base/bytes.ts';
import { ENTRIES_MESSAGE_BYTES_GOAL, ENTRIES_PER_MESSAGE_MAX, ENTRIES_WINDOW_BYTES, KIB } from '../base/limits.ts';
import { hash } from '../content/hash.ts';
import type { EntryItem, InlineChunk, MessageOf } from '../wire/messages.ts';

const KNOWN_THERE_MAX = 100_000;
/** Whole contents sent along in one part; beyond it they are asked for, in frames that several peers can serve. */
const INLINE_BYTES_PER_PART_MAX: number = 128 * KIB;

/** Entries that the peer is known to have, since it sent them: not sent back. Forgets all when full; a repeat is harmless. */
export class KnownThere {
  readonly #digests = new Map<string, string>();

  add(item: EntryItem): void {
    if (this.#digests.size >= KNOWN_THERE_MAX) this.#digests.clear();
    this.#digests.set(byteKey(item.key), digestOf(item));
  }

  has(item: EntryItem): boolean {
    const known = this.#digests.get(byteKey(item.key));
    return known !== undefined && known === digestOf(item);
  }
}

function digestOf(item: EntryItem): string {
  return byteKey(hash('entry', item.entry));
}

export interface OutgoingOptions {
  readonly items: Iterator<EntryItem>;
  readonly base: Uint8Array | undefined;
  readonly root: Uint8Array;
  readonly walk: number;
  /** Whole small contents to send along, if this is a change of the moment. */
  readonly inline: (item: EntryItem) => InlineChunk | undefined;
}

/** One stream on its way out; `next` makes its parts. */
export class OutgoingStream {
  readonly #options: OutgoingOptions;
  #first = true;
  #done = false;

  constructor(options: OutgoingOptions) {
    this.#options = options;
  }

  get done(): boolean {
    return this.#done;
  }

  next(): { message: MessageOf<'entries'>; bytes: number } {
    const { items, base, root, walk, inline } = this.#options;
    const list: EntryItem[] = [];
    const chunks: InlineChunk[] = [];
    let bytes = 0;
    let inlineBytes = 0;
    while (bytes < ENTRIES_MESSAGE_BYTES_GOAL && list.length < ENTRIES_PER_MESSAGE_MAX) {
      const step = items.next();
      if (step.done === true) {
        this.#done = true;
        break;
      }
      list.push(step.value);
      bytes += entryBytes(step.value);
      const chunk = inlineBytes < INLINE_BYTES_PER_PART_MAX ? inline(step.value) : undefined;
      if (chunk === undefined) continue;
      chunks.push(chunk);
      bytes += chunk.bytes.length;
      inlineBytes += chunk.bytes.length;
    }
    const message: MessageOf<'entries'> = {
      type: 'entries',
      base: this.#first ? base : undefined,
      root: this.#done ? root : undefined,
      walk,
      items: list,
      inline: chunks,
    };
    this.#first = false;
    return { message, bytes };
  }
}

export function entriesBytes(message: MessageOf<'entries'>): number {
  return (
    message.items.reduce((sum, item) => sum + entryBytes(item), 0) + message.inline.reduce((sum, chunk) => sum + chunk.bytes.length, 0)
  );
}

function entryBytes(item: EntryItem): number {
  return item.key.length + item.entry.length;
}

/** Bytes under way that the receiver has not granted back. */
export class SendWindow {
  #underWay = 0;

  get open(): boolean {
    return this.#underWay < ENTRIES_WINDOW_BYTES;
  }

  get empty(): boolean {
    return this.#underWay === 0;
  }

  sent(bytes: number): void {
    this.#underWay += bytes;
  }

  granted(bytes: number): void {
    this.#underWay = Math.max(0, this.#underWay - bytes);
  }
}

interface Incoming {
  base: Uint8Array | undefined;
  readonly walk: number;
  root: Uint8Array | undefined;
  readonly pending: Set<number>;
  failed: boolean;
}

export interface SettledStream {
  readonly base: Uint8Array | undefined;
  readonly walk: number;
  readonly root: Uint8Array;
  readonly failed: boolean;
}

/** Streams on their way in, oldest first. */
export class IncomingStreams {
  readonly #streams: Incoming[] = [];
  #open: Incoming | undefined;

  get idle(): boolean {
    return this.#streams.length === 0;
  }

  /** A part arrived and is being dealt with as `offer`. */
  part(message: MessageOf<'entries'>, offer: number): void {
    if (this.#open === undefined) {
      this.#open = { base: message.base, walk: message.walk, root: undefined, pending: new Set(), failed: false };
      this.#streams.push(this.#open);
    }
    this.#open.pending.add(offer);
    if (message.root === undefined) return;
    this.#open.root = message.root;
    this.#open = undefined;
  }

  /** An offer was dealt with; gives the streams that are settled by it, in order. */
  applied(offer: number, failed: boolean): SettledStream[] {
    for (const stream of this.#streams) {
      if (stream.pending.delete(offer) && failed) stream.failed = true;
    }
    const settled: SettledStream[] = [];
    for (let first = this.#streams[0]; first?.root !== undefined && first.pending.size === 0; first = this.#streams[0]) {
      settled.push({ base: first.base, walk: first.walk, root: first.root, failed: first.failed });
      this.#streams.shift();
    }
    return settled;
  }
}
