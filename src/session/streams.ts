/**
 * Entry streams: how the entries that a peer lacks get there, in parts, within a window of bytes that the receiver has
 * not dealt with yet.
 *
 * Invariant of the receiving side: a stream counts as contained only when it is complete, every part of it has been
 * committed, and all streams before it were settled; one failed part spoils its stream, never more.
 */
import { ByteWriter } from '../base/bytes.ts';
import { SamerootError } from '../base/errors.ts';
import { ENTRIES_MESSAGE_BYTES_GOAL, ENTRIES_PER_MESSAGE_MAX, ENTRIES_WINDOW_BYTES, MESSAGE_BYTES_MAX } from '../base/limits.ts';
import { hashHex } from '../content/hash.ts';
import type { Tree } from '../tree/page.ts';
import type { EntryItem, InlineChunk, MessageOf } from '../wire/messages.ts';

const KNOWN_THERE_MAX = 100_000;
/** What a part counts for beside its entries: so that the window bounds empty parts too. */
const PART_BYTES = 64;

/** Entries that the peer is known to have, since it sent them: not sent back. Forgets all when full; a repeat is harmless. */
export class KnownThere {
  readonly #digests = new Set<string>();

  add(item: EntryItem): void {
    if (this.#digests.size >= KNOWN_THERE_MAX) this.#digests.clear();
    this.#digests.add(digestOf(item));
  }

  has(item: EntryItem): boolean {
    return this.#digests.has(digestOf(item));
  }
}

function digestOf({ key, entry }: EntryItem): string {
  return hashHex('entry', new ByteWriter(key.length + entry.length + 4).sized(key).raw(entry).finish());
}

export interface OutgoingOptions {
  readonly items: Iterator<EntryItem>;
  readonly base: Uint8Array | undefined;
  readonly root: Uint8Array;
  /** The walk it answers, 0 = none. */
  readonly walk: number;
  /** What `items` reads. */
  readonly trees: readonly Tree[];
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

  get root(): Uint8Array {
    return this.#options.root;
  }

  get walk(): number {
    return this.#options.walk;
  }

  get trees(): readonly Tree[] {
    return this.#options.trees;
  }

  next(): MessageOf<'entries'> {
    const { items, base, root, walk, inline } = this.#options;
    const list: EntryItem[] = [];
    const chunks: InlineChunk[] = [];
    let bytes = 0;
    while (bytes < ENTRIES_MESSAGE_BYTES_GOAL && list.length < ENTRIES_PER_MESSAGE_MAX) {
      const step = items.next();
      if (step.done === true) {
        this.#done = true;
        break;
      }
      list.push(step.value);
      bytes += entryBytes(step.value);
      const chunk = inline(step.value);
      if (chunk === undefined) continue;
      chunks.push(chunk);
      bytes += chunk.bytes.length;
    }
    const first = this.#first;
    this.#first = false;
    return {
      type: 'entries',
      base: first ? base : undefined,
      root: this.#done ? root : undefined,
      walk,
      items: list,
      inline: chunks,
    };
  }
}

/** What a part takes of the window. */
export function entriesBytes(message: MessageOf<'entries'>): number {
  const items = message.items.reduce((sum, item) => sum + entryBytes(item), PART_BYTES);
  return message.inline.reduce((sum, chunk) => sum + chunk.bytes.length, items);
}

export function entryBytes(item: EntryItem): number {
  return item.key.length + item.entry.length;
}

/** Bytes under way that the receiver has not granted back. */
export class SendWindow {
  #sent = 0;
  #granted = 0;

  get open(): boolean {
    return this.#sent - this.#granted < ENTRIES_WINDOW_BYTES;
  }

  get empty(): boolean {
    return this.#sent === this.#granted;
  }

  /** Where it stands: `grantedUpTo` asks whether the receiver has dealt with as much as was sent then. */
  get mark(): number {
    return this.#sent;
  }

  grantedUpTo(mark: number): boolean {
    return this.#granted >= mark;
  }

  sent(bytes: number): void {
    this.#sent += bytes;
  }

  /** @throws {SamerootError} `BAD_MESSAGE` for more than was sent */
  granted(bytes: number): void {
    if (bytes > this.#sent - this.#granted) throw new SamerootError('BAD_MESSAGE', 'the peer grants more than it got');
    this.#granted += bytes;
  }
}

/** What of a peer's window is taken here. */
export class ReceiveWindow {
  readonly #offers = new Map<number, number>();
  #bytes = 0;

  /** @throws {SamerootError} `LIMIT_EXCEEDED` if the peer does not wait for grants */
  taken(offer: number, bytes: number): void {
    this.#offers.set(offer, bytes);
    this.#bytes += bytes;
    // A sender may begin one more message as long as it is below the window.
    if (this.#bytes > ENTRIES_WINDOW_BYTES + MESSAGE_BYTES_MAX) {
      throw new SamerootError('LIMIT_EXCEEDED', 'the peer sends more entries at once than it may');
    }
  }

  /** What is to be granted back for an offer. */
  settled(offer: number): number {
    const bytes = this.#offers.get(offer) ?? 0;
    this.#offers.delete(offer);
    this.#bytes -= bytes;
    return bytes;
  }
}

interface Incoming {
  readonly base: Uint8Array | undefined;
  readonly walk: number;
  root: Uint8Array | undefined;
  arrival: number;
  parts: number;
  failed: boolean;
}

export interface SettledStream {
  readonly base: Uint8Array | undefined;
  readonly walk: number;
  readonly root: Uint8Array;
  /** Number of the message that named the root. */
  readonly arrival: number;
  readonly failed: boolean;
}

/** Streams on their way in, oldest first. */
export class IncomingStreams {
  readonly #streams: Incoming[] = [];
  readonly #streamOf = new Map<number, Incoming>();
  #open: Incoming | undefined;

  get idle(): boolean {
    return this.#streams.length === 0;
  }

  /**
   * A part arrived, as the peer's message number `arrival`, and is being dealt with as `offer`.
   * @throws {SamerootError} `BAD_MESSAGE` for a part with nothing in it that is not the last
   */
  part(message: MessageOf<'entries'>, offer: number, arrival: number): void {
    if (message.items.length === 0 && message.root === undefined)
      throw new SamerootError('BAD_MESSAGE', 'the peer sent an empty part of a stream');
    if (this.#open === undefined) {
      this.#open = { base: message.base, walk: message.walk, root: undefined, arrival, parts: 0, failed: false };
      this.#streams.push(this.#open);
    }
    this.#open.parts++;
    this.#streamOf.set(offer, this.#open);
    if (message.root === undefined) return;
    this.#open.root = message.root;
    this.#open.arrival = arrival;
    this.#open = undefined;
  }

  /** An offer was dealt with; gives the streams that are settled by it, in order. */
  applied(offer: number, failed: boolean): SettledStream[] {
    const stream = this.#streamOf.get(offer);
    if (stream === undefined) return [];
    this.#streamOf.delete(offer);
    stream.parts--;
    if (failed) stream.failed = true;
    const settled: SettledStream[] = [];
    for (let first = this.#streams[0]; first?.root !== undefined && first.parts === 0; first = this.#streams[0]) {
      settled.push({ base: first.base, walk: first.walk, root: first.root, arrival: first.arrival, failed: first.failed });
      this.#streams.shift();
    }
    return settled;
  }
}
