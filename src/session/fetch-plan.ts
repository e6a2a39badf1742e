/**
 * Which bytes are asked of which peer. Pure bookkeeping: pieces wait in the lists of all peers that have them, and a
 * peer with room in its window takes the next one, so several peers serve one content in stripes and the fastest serves most.
 *
 * A mate is a peer that is itself fetching the content (swarm.ts). What a mate has is left to mates while one of them has
 * room: the others serve what nobody else has. And where there may be mates, each host takes pieces in an order of its own, or all
 * would ask for the same at the same time and have nothing for each other.
 *
 * Invariants: a piece is asked of one peer at a time; a peer never has more than its window under way, and the window
 * moves only when bytes have been verified and written, so a slow disk or peer can not grow memory; a piece whose last
 * source is gone is given back as lost, never forgotten.
 */
import { assert } from '../base/assert.ts';
import { byteKey } from '../base/bytes.ts';
import { FETCH_ITEMS_MAX, FETCH_WINDOW_BYTES, SWARM_WINDOW_BYTES } from '../base/limits.ts';
import type { Random } from '../base/world.ts';
import type { ContentId } from '../content/content-list.ts';

export interface PieceChunk {
  readonly hash: Uint8Array;
  readonly bytes: number;
  /** Where it belongs in the content. */
  readonly offset: number;
}

/** A run of chunks of one content, at most about a frame long. */
export interface Piece {
  readonly content: ContentId;
  readonly contentBytes: number;
  readonly firstChunk: number;
  readonly chunks: readonly PieceChunk[];
  readonly bytes: number;
}

interface Tracked {
  readonly piece: Piece;
  readonly sources: Set<string>;
  /** Those of the sources that are fetching it too; `undefined` where it has had none. */
  mates: Set<string> | undefined;
  state: 'waiting' | 'asked' | 'done';
  asked: string | undefined;
}

interface Source {
  /** Small whole contents go first: a change of the moment does not wait behind a large file. */
  readonly small: Queue;
  readonly large: Queue;
  /** What mates have too. */
  readonly shared: Queue;
  /** Asked and not yet written. */
  bytes: number;
}

/** Pieces up to this size count as small. */
const SMALL_BYTES = 256 * 1024;
/**
 * What one request to a peer asks for, as a share of its window, where so much waits: a message for each piece that was written would
 * cost both sides more than the piece. Small pieces do not wait for it.
 */
const REQUESTS_PER_WINDOW = 4;
/** Among so many pieces that wait, some 192 MiB, one is picked while there are mates. */
const SPREAD_PIECES = 256;

export class FetchPlan {
  readonly #sources = new Map<string, Source>();
  readonly #tracked = new Map<Piece, Tracked>();
  readonly #random: Pick<Random, 'fraction'>;
  /** Some content has mates, or may have them soon: pieces are taken in no order. */
  spread = false;

  constructor(random: Pick<Random, 'fraction'>) {
    this.#random = random;
  }

  addPeer(peer: string): void {
    if (!this.#sources.has(peer)) this.#sources.set(peer, { small: new Queue(), large: new Queue(), shared: new Queue(), bytes: 0 });
  }

  /** Gives the pieces that nobody else can serve; they are no longer tracked. */
  removePeer(peer: string): Piece[] {
    if (!this.#sources.delete(peer)) return [];
    const lost: Piece[] = [];
    // All pieces, not only those in its lists: what another peer is serving now would have come back to this one.
    for (const tracked of this.#tracked.values()) {
      if (tracked.sources.has(peer) && this.#lose(tracked, peer)) lost.push(tracked.piece);
    }
    return lost;
  }

  /** Pieces that are not finished. */
  get pendingPieces(): number {
    return this.#tracked.size;
  }

  /** `sources`: peers that have it, `mates`: peers that have it and are fetching the rest; at least one of all is connected. */
  add(piece: Piece, sources: Iterable<string>, mates: Iterable<string> = []): void {
    const tracked: Tracked = { piece, sources: new Set(), mates: undefined, state: 'waiting', asked: undefined };
    for (const peer of sources) if (this.#sources.has(peer)) tracked.sources.add(peer);
    for (const peer of mates) {
      if (tracked.sources.has(peer) || !this.#sources.has(peer)) continue;
      tracked.sources.add(peer);
      addMate(tracked, peer);
    }
    assert(tracked.sources.size > 0, 'a piece is added while a peer that has it is connected');
    this.#tracked.set(piece, tracked);
    for (const peer of tracked.sources) this.#enqueue(tracked, peer);
  }

  /** Another peer has this content too: it may serve what is still waiting of these pieces. */
  addSource(pieces: Iterable<Piece>, peer: string): void {
    this.#addSource(pieces, peer, false);
  }

  /** A peer that is fetching this content too has these pieces by now. */
  addMate(pieces: Iterable<Piece>, peer: string): void {
    this.#addSource(pieces, peer, true);
  }

  #addSource(pieces: Iterable<Piece>, peer: string, mate: boolean): void {
    if (!this.#sources.has(peer)) return;
    for (const piece of pieces) {
      const tracked = this.#tracked.get(piece);
      if (tracked === undefined || tracked.sources.has(peer)) continue;
      tracked.sources.add(peer);
      if (mate) addMate(tracked, peer);
      this.#enqueue(tracked, peer);
    }
  }

  /** The pieces of the next request to `peer`; empty when its window is full or nothing waits for it. */
  take(peer: string): Piece[] {
    const source = this.#sources.get(peer);
    if (source === undefined) return [];
    const pieces: Piece[] = [];
    const roomy = this.#isRoomy(source);
    let bytes = 0;
    while (bytes < this.#requestBytes && pieces.length < FETCH_ITEMS_MAX) {
      const queue = this.#nextQueue(peer, source);
      const tracked = queue?.peek(peer);
      if (queue === undefined || tracked === undefined || !this.#hasRoom(source, tracked.piece)) break;
      if (queue !== source.small && !roomy) break;
      queue.drop();
      tracked.state = 'asked';
      tracked.asked = peer;
      source.bytes += tracked.piece.bytes;
      bytes += tracked.piece.bytes;
      pieces.push(tracked.piece);
    }
    return pieces;
  }

  /** Where the next piece for `peer` waits. */
  #nextQueue(peer: string, source: Source): Queue | undefined {
    if (source.small.peek(peer) !== undefined) return source.small;
    const pick = this.spread ? this.#random : undefined;
    for (let tracked = source.large.peek(peer, pick); tracked !== undefined; tracked = source.large.peek(peer, pick)) {
      if (tracked.mates === undefined || tracked.mates.size === 0 || tracked.mates.has(peer)) return source.large;
      source.large.drop();
      source.shared.push(tracked);
    }
    const shared = source.shared.peek(peer);
    return shared === undefined || this.#isMateFree(shared) ? undefined : source.shared;
  }

  #isMateFree(tracked: Tracked): boolean {
    for (const mate of tracked.mates ?? []) if (this.#isRoomy(this.#sources.get(mate)!)) return true;
    return false;
  }

  get #windowBytes(): number {
    return this.spread ? SWARM_WINDOW_BYTES : FETCH_WINDOW_BYTES;
  }

  get #requestBytes(): number {
    return this.#windowBytes / REQUESTS_PER_WINDOW;
  }

  /** There is room for a whole request. */
  #isRoomy(source: Source): boolean {
    return source.bytes + this.#requestBytes <= this.#windowBytes;
  }

  /** A piece above the whole window goes alone. */
  #hasRoom(source: Source, piece: Piece): boolean {
    return source.bytes === 0 || source.bytes + piece.bytes <= this.#windowBytes;
  }

  /** The piece is verified and written. */
  done(piece: Piece): void {
    const tracked = this.#tracked.get(piece);
    if (tracked === undefined) return;
    this.#release(tracked);
    tracked.state = 'done';
    this.#tracked.delete(piece);
  }

  /** `peer` does not have it, or sent wrong bytes. True: no source is left, the piece is lost. */
  failed(piece: Piece, peer: string): boolean {
    const tracked = this.#tracked.get(piece);
    return tracked !== undefined && tracked.asked === peer && this.#lose(tracked, peer);
  }

  /** `peer` is no mate for these pieces any more; those that nobody else has stay with it. */
  removeMate(pieces: Iterable<Piece>, peer: string): void {
    for (const piece of pieces) {
      const tracked = this.#tracked.get(piece);
      if (tracked?.mates?.has(peer) === true && tracked.sources.size > 1) this.#lose(tracked, peer);
    }
  }

  /** Nobody wants it any more. */
  forget(piece: Piece): void {
    this.done(piece);
  }

  #lose(tracked: Tracked, peer: string): boolean {
    tracked.sources.delete(peer);
    const isLastMate = tracked.mates?.delete(peer) === true && tracked.mates.size === 0;
    const wasAsked = tracked.asked === peer;
    if (wasAsked) {
      this.#release(tracked);
      tracked.state = 'waiting';
    }
    // What was left to mates that are gone must not wait behind what is left to others.
    if (wasAsked || (isLastMate && tracked.state === 'waiting')) {
      for (const other of tracked.sources) this.#enqueue(tracked, other);
    }
    if (tracked.sources.size > 0) return false;
    tracked.state = 'done';
    this.#tracked.delete(tracked.piece);
    return true;
  }

  #release(tracked: Tracked): void {
    const source = tracked.asked === undefined ? undefined : this.#sources.get(tracked.asked);
    if (source !== undefined) source.bytes -= tracked.piece.bytes;
    tracked.asked = undefined;
  }

  #enqueue(tracked: Tracked, peer: string): void {
    const source = this.#sources.get(peer);
    if (source === undefined) return;
    (tracked.piece.bytes <= SMALL_BYTES ? source.small : source.large).push(tracked);
  }
}

function addMate(tracked: Tracked, peer: string): void {
  tracked.mates ??= new Set();
  tracked.mates.add(peer);
}

const COMPACT_LENGTH_MIN = 1_024;

/** First in, first out; what another peer took, or this one does not have any more, is passed over. */
class Queue {
  #list: Tracked[] = [];
  #at = 0;
  #compactLength = COMPACT_LENGTH_MIN;

  push(tracked: Tracked): void {
    if (this.#list.length >= this.#compactLength) this.#compact();
    this.#list.push(tracked);
  }

  /** The next piece that waits for `peer`; with `random` one of the next. */
  peek(peer: string, random?: Pick<Random, 'fraction'>): Tracked | undefined {
    for (; this.#at < this.#list.length; this.#at++) {
      if (random !== undefined) this.#pick(random);
      const tracked = this.#list[this.#at]!;
      if (tracked.state === 'waiting' && tracked.sources.has(peer)) return tracked;
    }
    this.#list = [];
    this.#at = 0;
    return undefined;
  }

  drop(): void {
    this.#at++;
  }

  #pick(random: Pick<Random, 'fraction'>): void {
    const count = Math.min(SPREAD_PIECES, this.#list.length - this.#at);
    const other = this.#at + Math.floor(random.fraction() * count);
    const first = this.#list[this.#at]!;
    this.#list[this.#at] = this.#list[other]!;
    this.#list[other] = first;
  }

  /**
   * A peer that does not answer must not keep the pieces alive that others have served, nor mates that come and go fill the list with
   * the same: each is looked at once per doubling.
   */
  #compact(): void {
    this.#list = [...new Set(this.#list.slice(this.#at))].filter((tracked) => tracked.state === 'waiting');
    this.#at = 0;
    this.#compactLength = Math.max(COMPACT_LENGTH_MIN, this.#list.length * 2);
  }
}

/** For maps keyed by content. */
export function contentKey(content: ContentId): string {
  return byteKey(content);
}
