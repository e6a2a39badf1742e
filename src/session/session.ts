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
import { decodeCut, EMPTY_CUT, encodeCut, type StableCut } from '../entry/stable-cut.ts';
import type { PageReader, Tree } from '../tree/page.ts';
import { diff } from '../tree/diff.ts';
import type { EntryItem, InlineChunk, Message, MessageOf } from '../wire/messages.ts';
import { Listings, type Listed } from './listing.ts';
import { Walk } from './reconcile.ts';
import { RootLog } from './roots.ts';
import { entriesBytes, IncomingStreams, KnownThere, OutgoingStream, ReceiveWindow, SendWindow, type SettledStream } from './streams.ts';

/** What others wrote is passed on after this delay: in a mesh the author's own message comes first and nothing is sent twice. */
const RELAY_MS = 100;
/** Unlike roots with nothing under way: walk after this long, then ever more rarely. */
const STALE_MS_FIRST = 2_000;
const STALE_MS_MAX = 60_000;
/** Walks whose stream from the peer is still being dealt with; more than one only where contents take long. */
const WALKED_MAX = 16;

export interface SessionHead {
  readonly root: Uint8Array;
  readonly tree: Tree;
}

/** What a session reads of the replica; all synchronous. */
export interface SessionReplica {
  readonly reader: PageReader;
  readonly rankBits: number;
  treeOf(root: Uint8Array): Tree | undefined;
  /** The bytes of a small content that is on this disk, to be sent along with its entry. `known`: the entry that the peer has. */
  inline(item: EntryItem, known: Uint8Array | undefined): InlineChunk | undefined;
}

export interface SessionOptions {
  readonly replica: SessionReplica;
  readonly head: SessionHead;
  /** The root in our hello: time goes by between it and the session. */
  readonly told: Uint8Array;
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
  /** This host goes by this cut, and our head knows all that it covers. */
  | { readonly type: 'stable'; readonly cut: StableCut }
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
  /** The peer goes by this cut: what it sends from now on is not older. */
  | { readonly type: 'stable'; readonly cut: StableCut }
  | ({ readonly type: 'listed' } & Listed)
  | { readonly type: 'walked'; readonly messages: number }
  /** Send a `tick` event after this long. */
  | { readonly type: 'wake'; readonly afterMs: number };

export class Session {
  readonly #replica: SessionReplica;
  readonly #initiator: boolean;
  readonly #known = new KnownThere();
  readonly #sending = new SendWindow();
  readonly #receiving = new ReceiveWindow();
  readonly #incoming = new IncomingStreams();
  readonly #listings: Listings;
  #head: SessionHead;
  /** Our own heads of this session. */
  readonly #heads = new RootLog();
  #headOrder = 2;
  readonly #told: Uint8Array;
  #peerRoot: Uint8Array;
  #peerRootOrder = 0;
  /** Counts the peer's messages: what was learnt from a later one is newer. */
  #arrivals = 0;
  /** Roots of the peer that we contain, and the newest of them: the cursor. */
  readonly #held = new RootLog();
  #contains: Uint8Array | undefined;
  #sent: SessionHead | undefined;
  #confirmed: SessionHead | undefined;
  #outgoing: OutgoingStream | undefined;
  #relayAtMs: number | undefined;
  #walk: Walk | undefined;
  /** Walks that are complete and whose stream from the peer is not settled. */
  readonly #walked = new Set<number>();
  /** Walk whose findings are still to be sent. */
  #walkStream: Walk | undefined;
  /** Where the window stood when they had been sent: until the peer has dealt with them, another walk finds the same again. */
  #walkSentMark = 0;
  /** A stream from the peer failed or did not follow on what we contain: only equal roots or a walk can tell where we are. */
  #broken = false;
  /** A cut that the peer is still to be told. */
  #untold: StableCut | undefined;
  #peerStable: StableCut = EMPTY_CUT;
  #nextWalk: number;
  #nextOffer = 1;
  #staleAtMs: number | undefined;
  #staleMs = STALE_MS_FIRST;
  #wakeAtMs: number | undefined;
  #effects: SessionEffect[] = [];
  #nowMs: number;

  constructor(options: SessionOptions) {
    this.#replica = options.replica;
    this.#initiator = options.initiator;
    this.#told = options.told;
    this.#head = this.#beginning(options);
    this.#nowMs = options.nowMs;
    this.#peerRoot = options.peerRoot;
    this.#contains = options.contains;
    this.#nextWalk = options.initiator ? 1 : 2;
    this.#listings = new Listings((id, begins) => this.#makeWalk(id, false, begins));
    if (options.contains !== undefined) this.#held.add(options.contains, 0);
    const tree = options.peerContains === undefined ? undefined : options.replica.treeOf(options.peerContains);
    if (tree !== undefined) {
      this.#sent = { root: options.peerContains!, tree };
      this.#heads.add(options.peerContains!, 0);
    }
    this.#heads.add(options.told, 1);
    this.#heads.add(this.#head.root, this.#headOrder);
    this.#confirmed = this.#sent;
  }

  /**
   * Where both hellos name one root, that is what both contain, and the difference to our head of now is all there is to send. In
   * every other case nothing may be sent from a tree as old as the hello: tombstones may be purged since, here and at the
   * peer, and what they had deleted would be alive again.
   */
  #beginning({ replica, head, told, peerRoot }: SessionOptions): SessionHead {
    const tree = equalBytes(peerRoot, told) ? replica.treeOf(told) : undefined;
    return tree === undefined ? head : { root: told, tree };
  }

  get inSync(): boolean {
    return equalBytes(this.#peerRoot, this.#head.root);
  }

  get peerRoot(): Uint8Array {
    return this.#peerRoot;
  }

  /** The cut that the peer goes by, as it said on this connection. */
  get peerStable(): StableCut {
    return this.#peerStable;
  }

  /** Something is on its way in either direction. */
  get busy(): boolean {
    return this.#walk !== undefined || this.#outgoing !== undefined || !this.#sending.empty || !this.#incoming.idle;
  }

  /** Every tree of ours whose pages this session may still read: garbage collection leaves them alone. */
  get trees(): Tree[] {
    const heads = [this.#head, this.#sent, this.#confirmed, this.#walk, this.#walkStream].flatMap((head) => head?.tree ?? []);
    return [...heads, ...(this.#outgoing?.trees ?? []), ...this.#listings.trees];
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
        this.#arrivals++;
        this.#message(event.message);
        break;
      case 'head':
        this.#headMoved(event.head, event.local);
        break;
      case 'applied':
        this.#applied(event.offer, event.failed);
        break;
      case 'stable':
        this.#untold = event.cut;
        break;
      case 'tick':
        // A timer may fire a little early: what was asked for is over, and what is still to come is asked for again.
        this.#wakeAtMs = undefined;
        break;
      case 'list':
        this.#startListing();
        break;
    }
    this.#pump();
    this.#askForTick();
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
    if (!equalBytes(this.#told, this.#head.root)) this.#send({ type: 'root', root: this.#head.root });
    if (this.#confirmed !== undefined) this.#emit({ type: 'confirmed', root: this.#confirmed.root });
    if (this.#settleIfEqual() || this.#sent !== undefined) return;
    this.#needWalk();
  }

  #needWalk(): void {
    if (this.#walk !== undefined || this.#walkUnderWay) return;
    if (this.#initiator) this.#startWalk();
    else this.#send({ type: 'walk-request' });
  }

  #startWalk(): void {
    this.#walk = this.#makeWalk(this.#nextWalk, true, true);
    this.#nextWalk += 2;
    this.#send(this.#walk.start());
  }

  /** The last walk is over, but what it found is not yet dealt with on both sides. */
  get #walkUnderWay(): boolean {
    return (
      this.#walkStream !== undefined ||
      (this.#outgoing?.walk ?? 0) > 0 ||
      this.#walked.size > 0 ||
      !this.#sending.grantedUpTo(this.#walkSentMark)
    );
  }

  #makeWalk(id: number, merge: boolean, begins: boolean): Walk {
    const { reader, rankBits } = this.#replica;
    return new Walk({ id, merge, begins, reader, tree: this.#head.tree, root: this.#head.root, rankBits });
  }

  #message(message: Message): void {
    switch (message.type) {
      case 'root':
        this.#peerIsAt(message.root);
        return;
      case 'ack':
        this.#confirm(message.root);
        return;
      case 'entries':
        this.#entries(message);
        return;
      case 'grant':
        this.#sending.granted(message.bytes);
        return;
      case 'stable':
        this.#peerStable = decodeCut(message.cut);
        this.#emit({ type: 'stable', cut: this.#peerStable });
        return;
      case 'walk-request':
        this.#walkAsked();
        return;
      case 'walk':
        if (message.merge) this.#walkStep(message);
        else for (const reply of this.#listings.step(message)) this.#send(reply);
        return;
      case 'listing':
        this.#listed(message);
        return;
      default:
        throw protocolError('BAD_MESSAGE', `the peer sent a ${message.type} message inside a session`);
    }
  }

  /** The peer's head, by its own word. */
  #peerIsAt(root: Uint8Array): void {
    this.#peerRoot = root;
    this.#peerRootOrder = this.#arrivals;
    if (this.#settleIfEqual() || !this.#heads.has(root)) return;
    // It has just got to where we were: both of us contain that root, although we are further by now.
    this.#confirm(root);
    if (this.#containsNow(root, this.#arrivals)) this.#send({ type: 'ack', root });
  }

  #walkAsked(): void {
    if (!this.#initiator) return;
    // The peer does not know that our roots are equal.
    if (this.inSync) this.#send({ type: 'root', root: this.#head.root });
    else this.#needWalk();
  }

  #entries(message: MessageOf<'entries'>): void {
    const offer = this.#nextOffer++;
    this.#receiving.taken(offer, entriesBytes(message));
    this.#incoming.part(message, offer, this.#arrivals);
    for (const item of message.items) this.#known.add(item);
    this.#emit({ type: 'offer', offer, items: message.items, inline: message.inline });
    if (message.root !== undefined) this.#peerIsAt(message.root);
  }

  #applied(offer: number, failed: boolean): void {
    this.#send({ type: 'grant', bytes: this.#receiving.settled(offer) });
    for (const stream of this.#incoming.applied(offer, failed)) this.#settled(stream);
    this.#settleIfEqual();
  }

  #settled(stream: SettledStream): void {
    const walked = this.#walked.delete(stream.walk);
    const follows = stream.base !== undefined && (this.#held.has(stream.base) || this.#heads.has(stream.base));
    if (stream.failed || !(walked || follows)) {
      this.#broken = true;
      return;
    }
    this.#containsNow(stream.root, stream.arrival);
    this.#send({ type: 'ack', root: stream.root });
  }

  /** `arrival`: of the message that named the root. True: it is the newest. */
  #containsNow(root: Uint8Array, arrival: number): boolean {
    this.#broken = false;
    const newest = this.#contains === undefined ? -1 : (this.#held.orderOf(this.#contains) ?? -1);
    const same = this.#contains !== undefined && equalBytes(this.#contains, root);
    this.#held.add(root, Math.max(arrival, this.#held.orderOf(root) ?? 0));
    if (same || arrival < newest) return false;
    this.#contains = root;
    this.#emit({ type: 'contains', root });
    return true;
  }

  /** Equal roots: each contains the other, nothing has to be sent. */
  #settleIfEqual(): boolean {
    if (!this.inSync) return false;
    this.#containsNow(this.#peerRoot, this.#peerRootOrder);
    this.#sent = this.#head;
    this.#relayAtMs = undefined;
    this.#staleAtMs = undefined;
    this.#staleMs = STALE_MS_FIRST;
    this.#confirm(this.#head.root);
    return true;
  }

  /** The peer contains this root of ours. */
  #confirm(root: Uint8Array): void {
    const order = this.#heads.orderOf(root);
    const known = this.#confirmed === undefined ? undefined : this.#heads.orderOf(this.#confirmed.root);
    // Not a root of ours, or no news.
    if (order === undefined || order < (known ?? -1) || (this.#confirmed !== undefined && equalBytes(this.#confirmed.root, root))) return;
    const tree = this.#replica.treeOf(root);
    if (tree !== undefined) this.#confirmed = { root, tree };
    this.#emit({ type: 'confirmed', root });
  }

  #headMoved(head: SessionHead, local: boolean): void {
    if (equalBytes(head.root, this.#head.root)) return;
    this.#head = head;
    this.#heads.add(head.root, ++this.#headOrder);
    if (this.#settleIfEqual() || !local) this.#send({ type: 'root', root: head.root });
    if (this.inSync) return;
    if (local) this.#relayAtMs = this.#nowMs;
    else this.#relayAtMs ??= this.#nowMs + RELAY_MS;
  }

  #walkStep(message: MessageOf<'walk'>): void {
    if (this.#walk === undefined) {
      if (this.#initiator) throw protocolError('BAD_MESSAGE', 'the peer answered a walk that is not under way');
      if (this.#walkStream !== undefined || (this.#outgoing?.walk ?? 0) > 0) {
        throw protocolError('BAD_MESSAGE', 'the peer begins a walk before it has what the last one found');
      }
      this.#walk = this.#makeWalk(message.id, true, false);
    }
    const walk = this.#walk;
    if (walk.id !== message.id) throw protocolError('BAD_MESSAGE', 'the peer mixes up walks');
    for (const reply of walk.step(message)) this.#send(reply);
    if (!walk.complete) return;
    this.#walk = undefined;
    this.#walked.add(walk.id);
    if (this.#walked.size > WALKED_MAX) this.#walked.delete(this.#walked.keys().next().value!);
    this.#walkStream = walk;
    this.#emit({ type: 'walked', messages: walk.messages });
  }

  /** Sends what the window allows; begins the next stream when it is due; looks after roots that stay unlike. */
  #pump(): void {
    if (this.#outgoing === undefined && this.#walk === undefined) this.#nextStream();
    while (this.#outgoing !== undefined && this.#sending.open) {
      const stream = this.#outgoing;
      const message = stream.next();
      this.#sending.sent(entriesBytes(message));
      this.#send(message);
      if (!stream.done) continue;
      if (stream.walk > 0) this.#walkSentMark = this.#sending.mark;
      this.#outgoing = undefined;
      if (this.#walk === undefined) this.#nextStream();
      // The root of a stream is as old as its beginning: the peer shall know the head.
      if (this.#outgoing === undefined && !equalBytes(stream.root, this.#head.root)) this.#send({ type: 'root', root: this.#head.root });
    }
    this.#watchForStale();
  }

  #nextStream(): void {
    const walk = this.#walkStream;
    if (walk !== undefined) {
      this.#walkStream = undefined;
      this.#outgoing = new OutgoingStream({
        items: walk.missingThere(),
        base: undefined,
        root: walk.root,
        walk: walk.id,
        trees: [walk.tree],
        inline: () => undefined,
      });
      this.#sent = { root: walk.root, tree: walk.tree };
      return;
    }
    this.#tellStable();
    const sent = this.#sent;
    if (sent === undefined || this.inSync || equalBytes(sent.root, this.#head.root)) return;
    if (this.#relayAtMs !== undefined && this.#relayAtMs > this.#nowMs) return;
    this.#relayAtMs = undefined;
    const head = this.#head;
    const known = new WeakMap<EntryItem, Uint8Array>();
    this.#outgoing = new OutgoingStream({
      items: this.#changes(sent, head, known),
      base: sent.root,
      root: head.root,
      walk: 0,
      trees: [sent.tree, head.tree],
      inline: (item) => this.#replica.inline(item, known.get(item)),
    });
    this.#sent = head;
  }

  /** Between streams, and with no walk under way: those read a tree that may be older than the cut. */
  #tellStable(): void {
    if (this.#untold === undefined) return;
    this.#send({ type: 'stable', cut: encodeCut(this.#untold) });
    this.#untold = undefined;
  }

  /** `known` is told what the peer has at the key of an item. */
  *#changes(sent: SessionHead, head: SessionHead, known: WeakMap<EntryItem, Uint8Array>): Generator<EntryItem> {
    for (const { key, a, b } of diff(this.#replica.reader, sent.tree, head.tree)) {
      if (b === undefined) continue;
      const item = { key, entry: b };
      if (this.#known.has(item)) continue;
      if (a !== undefined) known.set(item, a);
      yield item;
    }
  }

  /** Unlike roots with nothing on its way to change that. */
  #watchForStale(): void {
    const waiting = this.busy || this.#relayAtMs !== undefined;
    if (this.inSync || this.#walk !== undefined || this.#walkUnderWay || (waiting && !this.#broken)) {
      this.#staleAtMs = undefined;
      return;
    }
    this.#staleAtMs ??= this.#nowMs + this.#staleMs;
    if (this.#staleAtMs > this.#nowMs) return;
    this.#staleMs = Math.min(this.#staleMs * 2, STALE_MS_MAX);
    this.#staleAtMs = this.#nowMs + this.#staleMs;
    this.#needWalk();
  }

  /** One tick is asked for at a time, the earliest; asked again as long as there is something to wait for. */
  #askForTick(): void {
    const due = [this.#relayAtMs, this.#staleAtMs].filter((atMs) => atMs !== undefined && atMs > this.#nowMs) as number[];
    if (due.length === 0) return;
    const atMs = Math.min(...due);
    const asked = this.#wakeAtMs;
    if (asked !== undefined && asked > this.#nowMs && asked <= atMs) return;
    this.#wakeAtMs = atMs;
    this.#emit({ type: 'wake', afterMs: atMs - this.#nowMs });
  }

  #startListing(): void {
    if (this.#listings.busy) return;
    this.#send(this.#listings.start(this.#nextWalk, this.#peerRoot));
    this.#nextWalk += 2;
  }

  #listed(message: MessageOf<'listing'>): void {
    const listed = this.#listings.listed(message);
    if (listed !== undefined) this.#emit({ type: 'listed', ...listed });
  }
}

function protocolError(code: ErrorCode, what: string): SamerootError {
  return new SamerootError(code, what);
}
