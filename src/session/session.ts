/**
 * The session with one peer, as a synchronous state machine: `step(event)` returns what is to be done. No socket, clock,
 * timer or promise inside, so a simulator can reorder, delay and cut everything.
 *
 * What it keeps true: `sent` is a tree of ours that the peer contains or will contain once it has dealt with the
 * streams sent so far; `contains` is the peer's latest root that we contain, durably. From these two every difference can be
 * computed without asking. Three tiers, cheapest first:
 *   push    our head moved: stream diff(sent, head)
 *   resume  on connect, `sent` = the root of ours that the peer says it contains, if we still hold it
 *   walk    otherwise, and when roots stay unlike while nothing is under way (the authority)
 * Equal roots settle everything in both directions.
 */
import { equalBytes } from '../base/bytes.ts';
import { SamerootError, type ErrorCode } from '../base/errors.ts';
import type { PageReader, Tree } from '../tree/page.ts';
import { diff } from '../tree/diff.ts';
import type { EntryItem, InlineChunk, Message, MessageOf } from '../wire/messages.ts';
import { Walk } from './reconcile.ts';
import { entriesBytes, IncomingStreams, KnownThere, OutgoingStream, SendWindow, type SettledStream } from './streams.ts';

/** What others wrote is passed on after this delay: in a mesh the author's own message comes first and nothing is sent twice. */
const RELAY_MS = 100;
/** Unlike roots with nothing under way: walk after this long, then ever more rarely. */
const STALE_MS_FIRST = 2_000;
const STALE_MS_MAX = 60_000;
const LISTING_MAX = 100_000;
const LISTING_PART = 2_000;

export interface SessionHead {
  readonly root: Uint8Array;
  readonly tree: Tree;
}

/** What a session reads of the replica; all synchronous. */
export interface SessionReplica {
  readonly reader: PageReader;
  readonly rankBits: number;
  treeOf(root: Uint8Array): Tree | undefined;
  /** The bytes of a small content that is on this disk, to be sent along with its entry. */
  inline(item: EntryItem): InlineChunk | undefined;
}

export interface SessionOptions {
  readonly replica: SessionReplica;
  readonly head: SessionHead;
  readonly nowMs: number;
  /** Begins walks; exactly one of the two sides does. */
  readonly initiator: boolean;
  readonly peerRoot: Uint8Array;
  /** The root of ours that the peer says it contains. */
  readonly peerContains: Uint8Array | undefined;
  /** The root of the peer's replica that we contain. */
  readonly contains: Uint8Array | undefined;
}

export type SessionEvent =
  | { readonly type: 'start' }
  | { readonly type: 'message'; readonly message: Message }
  /** Our head moved and is fully on disk; `local`: by writes of this host. */
  | { readonly type: 'head'; readonly head: SessionHead; readonly local: boolean }
  | { readonly type: 'applied'; readonly offer: number; readonly failed: boolean }
  | { readonly type: 'tick' }
  /** List what differs, without merging. */
  | { readonly type: 'list' };

export type SessionEffect =
  | { readonly type: 'send'; readonly message: Message }
  /** Merge these entries once their contents are held; answer with an `applied` event. */
  | { readonly type: 'offer'; readonly offer: number; readonly items: readonly EntryItem[]; readonly inline: readonly InlineChunk[] }
  /** We contain this root of the peer, durably. */
  | { readonly type: 'contains'; readonly root: Uint8Array }
  /** The peer contains this root of ours, durably and on its disk. */
  | { readonly type: 'confirmed'; readonly root: Uint8Array }
  | {
      readonly type: 'listed';
      readonly here: readonly EntryItem[];
      readonly there: readonly EntryItem[];
      readonly peerRoot: Uint8Array;
      readonly truncated: boolean;
    }
  | { readonly type: 'walked'; readonly messages: number }
  /** Send a `tick` event after this long. */
  | { readonly type: 'wake'; readonly afterMs: number };

export class Session {
  readonly #replica: SessionReplica;
  readonly #initiator: boolean;
  readonly #known = new KnownThere();
  readonly #window = new SendWindow();
  readonly #incoming = new IncomingStreams();
  #head: SessionHead;
  #peerRoot: Uint8Array;
  #contains: Uint8Array | undefined;
  #sent: SessionHead | undefined;
  #confirmed: SessionHead | undefined;
  #outgoing: OutgoingStream | undefined;
  #relayAtMs: number | undefined;
  #walk: Walk | undefined;
  /** Walks that are complete and whose stream from the peer is still to come: id -> nothing more to know. */
  readonly #walked = new Set<number>();
  /** Walks whose findings are still to be sent. */
  readonly #walkStreams: Walk[] = [];
  /** A stream from the peer failed or did not follow on what we contain: only equal roots or a walk can tell where we are. */
  #broken = false;
  readonly #offered = new Map<number, number>();
  #answering: Walk | undefined;
  #listing: { walk: Walk; peerRoot: Uint8Array; there: EntryItem[] } | undefined;
  #nextWalk: number;
  #nextOffer = 1;
  #staleSinceMs: number | undefined;
  #staleMs = STALE_MS_FIRST;
  #effects: SessionEffect[] = [];
  #nowMs: number;

  constructor(options: SessionOptions) {
    this.#replica = options.replica;
    this.#initiator = options.initiator;
    this.#head = options.head;
    this.#nowMs = options.nowMs;
    this.#peerRoot = options.peerRoot;
    this.#contains = options.contains;
    this.#nextWalk = options.initiator ? 1 : 2;
    const tree = options.peerContains === undefined ? undefined : options.replica.treeOf(options.peerContains);
    if (tree !== undefined) this.#sent = { root: options.peerContains!, tree };
    this.#confirmed = this.#sent;
  }

  get inSync(): boolean {
    return equalBytes(this.#peerRoot, this.#head.root);
  }

  get peerRoot(): Uint8Array {
    return this.#peerRoot;
  }

  /** Something is on its way in either direction. */
  get busy(): boolean {
    return this.#walk !== undefined || this.#outgoing !== undefined || !this.#window.empty || !this.#incoming.idle;
  }

  /** The tree of ours that the peer has or is about to have. */
  get sent(): SessionHead | undefined {
    return this.#sent;
  }

  /** The newest tree of ours that the peer is known to contain: from it status counts how far behind the peer is. */
  get confirmed(): SessionHead | undefined {
    return this.#confirmed;
  }

  /** @throws {SamerootError} if the peer breaks the protocol: close the connection */
  step(event: SessionEvent, nowMs: number): SessionEffect[] {
    this.#nowMs = nowMs;
    switch (event.type) {
      case 'start':
        this.#start();
        break;
      case 'message':
        this.#message(event.message);
        break;
      case 'head':
        this.#headMoved(event.head, event.local);
        break;
      case 'applied':
        this.#applied(event.offer, event.failed);
        break;
      case 'tick':
        break;
      case 'list':
        this.#startListing();
        break;
    }
    this.#pump();
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  #emit(effect: SessionEffect): void {
    this.#effects.push(effect);
  }

  #send(message: Message): void {
    this.#emit({ type: 'send', message });
  }

  #start(): void {
    if (this.#settleIfEqual() || this.#sent !== undefined) return;
    this.#needWalk();
  }

  #needWalk(): void {
    if (this.#walk !== undefined) return;
    if (this.#initiator) this.#startWalk();
    else this.#send({ type: 'walk-request' });
  }

  #startWalk(): void {
    this.#walk = this.#makeWalk(this.#nextWalk, true);
    this.#nextWalk += 2;
    this.#send(this.#walk.start());
  }

  #makeWalk(id: number, merge: boolean): Walk {
    const { reader, rankBits } = this.#replica;
    return new Walk({ id, merge, reader, tree: this.#head.tree, root: this.#head.root, rankBits });
  }

  #message(message: Message): void {
    switch (message.type) {
      case 'root':
        this.#peerRoot = message.root;
        this.#settleIfEqual();
        return;
      case 'ack':
        this.#confirm(message.root);
        return;
      case 'entries':
        this.#entries(message);
        return;
      case 'grant':
        this.#window.granted(message.bytes);
        return;
      case 'walk-request':
        if (this.#initiator && !this.inSync) this.#needWalk();
        return;
      case 'walk':
        if (message.merge) this.#walkStep(message);
        else this.#listingStep(message);
        return;
      case 'listing':
        this.#listed(message);
        return;
      default:
        throw protocolError('BAD_MESSAGE', `the peer sent a ${message.type} message inside a session`);
    }
  }

  #entries(message: MessageOf<'entries'>): void {
    const offer = this.#nextOffer++;
    for (const item of message.items) this.#known.add(item);
    if (message.root !== undefined) this.#peerRoot = message.root;
    this.#incoming.part(message, offer);
    this.#offered.set(offer, entriesBytes(message));
    this.#emit({ type: 'offer', offer, items: message.items, inline: message.inline });
  }

  #applied(offer: number, failed: boolean): void {
    const bytes = this.#offered.get(offer) ?? 0;
    this.#offered.delete(offer);
    if (bytes > 0) this.#send({ type: 'grant', bytes });
    for (const stream of this.#incoming.applied(offer, failed)) this.#settled(stream);
    this.#settleIfEqual();
  }

  #settled(stream: SettledStream): void {
    const walked = this.#walked.delete(stream.walk);
    const follows = stream.base !== undefined && this.#contains !== undefined && equalBytes(stream.base, this.#contains);
    if (stream.failed || !(walked || follows)) {
      this.#broken = true;
      return;
    }
    this.#containsNow(stream.root);
    this.#send({ type: 'ack', root: stream.root });
  }

  #containsNow(root: Uint8Array): void {
    this.#broken = false;
    if (this.#contains !== undefined && equalBytes(this.#contains, root)) return;
    this.#contains = root;
    this.#emit({ type: 'contains', root });
  }

  /** Equal roots: each contains the other, nothing has to be sent. */
  #settleIfEqual(): boolean {
    if (!this.inSync) return false;
    this.#containsNow(this.#peerRoot);
    if (this.#outgoing === undefined) this.#sent = this.#head;
    this.#relayAtMs = undefined;
    this.#staleSinceMs = undefined;
    this.#staleMs = STALE_MS_FIRST;
    this.#confirm(this.#head.root);
    return true;
  }

  #confirm(root: Uint8Array): void {
    const tree = this.#replica.treeOf(root);
    if (tree !== undefined) this.#confirmed = { root, tree };
    this.#emit({ type: 'confirmed', root });
  }

  #headMoved(head: SessionHead, local: boolean): void {
    if (equalBytes(head.root, this.#head.root)) return;
    this.#head = head;
    if (this.#settleIfEqual() || !local) this.#send({ type: 'root', root: head.root });
    if (this.inSync) return;
    if (local) this.#relayAtMs = this.#nowMs;
    else if (this.#relayAtMs === undefined) {
      this.#relayAtMs = this.#nowMs + RELAY_MS;
      this.#emit({ type: 'wake', afterMs: RELAY_MS });
    }
  }

  #walkStep(message: MessageOf<'walk'>): void {
    if (this.#walk === undefined) {
      if (this.#initiator) throw protocolError('BAD_MESSAGE', 'the peer answered a walk that is not under way');
      this.#walk = this.#makeWalk(message.id, true);
    }
    const walk = this.#walk;
    if (walk.id !== message.id) throw protocolError('BAD_MESSAGE', 'the peer mixes up walks');
    const reply = walk.step(message);
    if (reply !== undefined) this.#send(reply);
    if (!walk.complete) return;
    this.#walk = undefined;
    this.#walked.add(walk.id);
    this.#emit({ type: 'walked', messages: walk.messages });
    this.#walkStreams.push(walk);
  }

  /** Sends what the window allows; begins the next stream when it is due; looks after roots that stay unlike. */
  #pump(): void {
    if (this.#outgoing === undefined && this.#walk === undefined) this.#nextStream();
    while (this.#outgoing !== undefined && this.#window.open) {
      const { message, bytes } = this.#outgoing.next();
      this.#window.sent(bytes);
      this.#send(message);
      if (!this.#outgoing.done) continue;
      this.#outgoing = undefined;
      this.#nextStream();
    }
    this.#watchForStale();
  }

  #nextStream(): void {
    const walk = this.#walkStreams.shift();
    if (walk !== undefined) {
      this.#outgoing = new OutgoingStream({
        items: walk.missingThere(),
        base: undefined,
        root: walk.root,
        walk: walk.id,
        inline: () => undefined,
      });
      this.#sent = { root: walk.root, tree: walk.tree };
      return;
    }
    const sent = this.#sent;
    if (sent === undefined || this.inSync || equalBytes(sent.root, this.#head.root)) return;
    if (this.#relayAtMs !== undefined && this.#relayAtMs > this.#nowMs) return;
    this.#relayAtMs = undefined;
    const head = this.#head;
    this.#outgoing = new OutgoingStream({
      items: this.#changes(sent, head),
      base: sent.root,
      root: head.root,
      walk: 0,
      inline: (item) => this.#replica.inline(item),
    });
    this.#sent = head;
  }

  *#changes(sent: SessionHead, head: SessionHead): Generator<EntryItem> {
    for (const { key, b } of diff(this.#replica.reader, sent.tree, head.tree)) {
      if (b === undefined) continue;
      const item = { key, entry: b };
      if (!this.#known.has(item)) yield item;
    }
  }

  #watchForStale(): void {
    const waiting = this.busy || this.#relayAtMs !== undefined;
    if (this.inSync || this.#walk !== undefined || (waiting && !this.#broken)) {
      this.#staleSinceMs = undefined;
      return;
    }
    if (this.#staleSinceMs === undefined) {
      this.#staleSinceMs = this.#nowMs;
      this.#emit({ type: 'wake', afterMs: this.#staleMs });
    } else if (this.#nowMs - this.#staleSinceMs >= this.#staleMs) {
      this.#staleSinceMs = undefined;
      this.#staleMs = Math.min(this.#staleMs * 2, STALE_MS_MAX);
      this.#needWalk();
    }
  }

  #startListing(): void {
    if (this.#listing !== undefined) return;
    const walk = this.#makeWalk(this.#nextWalk, false);
    this.#nextWalk += 2;
    this.#listing = { walk, peerRoot: this.#peerRoot, there: [] };
    this.#send(walk.start());
  }

  #listingStep(message: MessageOf<'walk'>): void {
    if (this.#listing?.walk.id === message.id) {
      this.#listing.peerRoot = message.root;
      const reply = this.#listing.walk.step(message);
      if (reply !== undefined) this.#send(reply);
      return;
    }
    if (this.#answering?.id !== message.id) this.#answering = this.#makeWalk(message.id, false);
    const reply = this.#answering.step(message);
    if (reply !== undefined) this.#send(reply);
    if (!this.#answering.complete) return;
    const missing = [...take(this.#answering.missingThere(), LISTING_MAX)];
    this.#answering = undefined;
    for (let at = 0; at === 0 || at < missing.length; at += LISTING_PART) {
      this.#send({
        type: 'listing',
        id: message.id,
        items: missing.slice(at, at + LISTING_PART),
        last: at + LISTING_PART >= missing.length,
      });
    }
  }

  #listed(message: MessageOf<'listing'>): void {
    const listing = this.#listing;
    if (listing === undefined || listing.walk.id !== message.id) return;
    listing.there.push(...message.items);
    if (listing.there.length > LISTING_MAX) throw protocolError('LIMIT_EXCEEDED', 'the peer lists more differences than it may');
    if (!message.last) return;
    this.#listing = undefined;
    const here = [...take(listing.walk.missingThere(), LISTING_MAX)];
    const truncated = here.length >= LISTING_MAX || listing.there.length >= LISTING_MAX;
    this.#emit({ type: 'listed', here, there: listing.there, peerRoot: listing.peerRoot, truncated });
  }
}

function* take<T>(source: Iterable<T>, max: number): Generator<T> {
  let left = max;
  for (const item of source) {
    if (left-- <= 0) return;
    yield item;
  }
}

function protocolError(code: ErrorCode, what: string): SamerootError {
  return new SamerootError(code, what);
}
