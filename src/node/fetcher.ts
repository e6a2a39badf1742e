/**
 * Brings contents onto this host: the pages of their lists, then the chunks that are not here yet, from all peers that
 * have them, each chunk verified before it is written.
 *
 * Invariant: `fetch` resolves when every byte of the content is verified and written to its target (flushing is the
 * target's `finish`, done for many contents at once). Memory is bounded by the windows of the plan plus the refs of
 * `PIECES_AHEAD_BYTES` of each content under way and of the leaves that are copied (leaf-plan.ts), and what mates tell (mates.ts).
 */
import { equalBytes } from '../base/bytes.ts';
import { SamerootError } from '../base/errors.ts';
import { CHUNK_FRAME_BYTES_MAX, LIST_PAGES_PER_REQUEST_MAX, MIB, SERVE_QUEUE_MAX } from '../base/limits.ts';
import type { Log, World } from '../base/world.ts';
import {
  contentHash,
  contentLevel,
  decodeListPage,
  listedBytes,
  listLeaves,
  missingListPages,
  type ContentId,
} from '../content/content-list.ts';
import { hash } from '../content/hash.ts';
import { contentKey, FetchPlan, type Piece, type PieceChunk } from '../session/fetch-plan.ts';
import * as keyspace from '../store/keyspace.ts';
import type { Store } from '../store/store.ts';
import type { ChunkFrame, Message, MessageOf } from '../wire/messages.ts';
import type { ChunkInFrame, ContentTarget } from './contents.ts';
import { makeOrder, makeRequest, type Order, type PeerAsked, type Request } from './fetch-order.ts';
import { planLeaves, type PlannedLeaf } from './leaf-plan.ts';
import { Mates } from './mates.ts';

/** A chunk that came, of the piece number `index` of its request. */
interface Arrived {
  readonly piece: Piece;
  readonly index: number;
  chunk: ChunkInFrame;
}

const PIECES_AHEAD_BYTES: number = 128 * MIB;
const LIST_PAGES_ROUNDS_MAX = 64;
/** Requests under way to one peer: below what it accepts (`SERVE_QUEUE_MAX`). */
const REQUESTS_MAX: number = SERVE_QUEUE_MAX / 2;

export class Fetcher {
  readonly #store: Store;
  readonly #log: Log;
  readonly #plan: FetchPlan;
  readonly mates: Mates;
  readonly #orders = new Map<string, Order>();
  readonly #peers = new Map<string, PeerAsked>();
  #nextId = 1;
  readonly totals = {
    ordered: 0,
    orderedBytes: 0,
    done: 0,
    doneBytes: 0,
    fetchedBytes: 0,
    fetchedChunks: 0,
    reusedChunks: 0,
    badChunks: 0,
  };

  constructor(store: Store, { log, random, timers }: Pick<World, 'log' | 'random' | 'timers'>) {
    this.#store = store;
    this.#log = log;
    this.#plan = new FetchPlan(random);
    const pump = (): void => this.#pumpAll();
    this.mates = new Mates({ plan: this.#plan, orders: this.#orders, peers: this.#peers, timers, pump });
  }

  /** Contents under way. */
  get pending(): number {
    return this.#orders.size;
  }

  /** A peer that is attached already has a new connection: what was asked over the old one will not come. */
  attach(peerId: string, send: (message: Message) => void): void {
    if (this.#peers.has(peerId)) this.detach(peerId);
    const peer = { send, requests: new Map(), pages: new Map() };
    this.#peers.set(peerId, peer);
    this.#plan.addPeer(peerId);
    this.mates.greet(peer);
  }

  detach(peerId: string): void {
    const peer = this.#peers.get(peerId);
    this.#peers.delete(peerId);
    const lost = this.#plan.removePeer(peerId);
    for (const order of this.#orders.values()) {
      order.sources.delete(peerId);
      order.swarm?.leave(peerId);
    }
    for (const { hashes, resolve } of peer?.pages.values() ?? []) resolve(hashes.map(() => undefined));
    for (const piece of lost) this.#loseOrderOf(piece);
    this.#pumpAll();
  }

  /** The two peers have the same contents: each may serve what the other was asked for. */
  sameContents(a: string, b: string): void {
    for (const order of this.#orders.values()) {
      for (const [from, to] of [
        [a, b],
        [b, a],
      ] as const) {
        if (!order.sources.has(from) || order.sources.has(to) || !this.#peers.has(to)) continue;
        order.sources.add(to);
        this.#plan.addSource(order.pieces, to);
      }
    }
    this.#pumpAll();
  }

  /** Resolves when the content is here, verified and written, not yet flushed. @throws CONTENT_MISSING */
  fetch(content: ContentId, bytes: number, target: ContentTarget, sources: Iterable<string>): Promise<void> {
    // One that is gone by now would never fail, and so keep an order open for ever.
    const attached = [...sources].filter((peer) => this.#peers.has(peer));
    const id = contentKey(content);
    const known = this.#orders.get(id);
    if (known !== undefined) {
      for (const peer of attached) {
        known.sources.add(peer);
        this.#plan.addSource(known.pieces, peer);
        this.#pump(peer);
      }
      if (known.target === target) return known.done;
      // A file and a record of the same bytes: what the one has is not where the other wants it.
      const again = (): Promise<void> => this.fetch(content, bytes, target, attached);
      return known.done.then(again, again);
    }
    const order = makeOrder(content, bytes, target, attached);
    this.#orders.set(id, order);
    this.totals.ordered++;
    this.totals.orderedBytes += bytes;
    const planned = contentLevel(content) === 0 ? this.#planSingle(order) : this.#planList(order);
    void planned.catch((error: unknown) => this.#settle(order, error));
    return order.done;
  }

  #planSingle(order: Order): Promise<void> {
    const { content, bytes } = order;
    this.#addPiece(order, {
      content,
      contentBytes: bytes,
      firstChunk: 0,
      bytes,
      chunks: [{ hash: contentHash(content), bytes, offset: 0 }],
    });
    order.planned = true;
    // Many small contents are ordered in one go: let them all in, so that they share a request.
    this.#pumpSoon();
    return Promise.resolve();
  }

  async #planList(order: Order): Promise<void> {
    this.mates.seek(order);
    await this.#fetchListPages(order);
    const { content, bytes, target } = order;
    // The size is the entry's word, the list is hashed: a target makes room by it, so they must agree.
    const listed = listedBytes(this.listPage, content);
    if (listed !== bytes) throw new SamerootError('BAD_MESSAGE', `a peer says ${bytes} bytes of a content that has ${listed}`);
    const resumed = await target.begin(content, bytes);
    for await (const leaf of planLeaves(target, content, listLeaves(this.listPage, content), resumed)) {
      this.#addLeaf(order, leaf);
      while (order.outstandingBytes > PIECES_AHEAD_BYTES && !order.settled)
        await new Promise<void>((resolve) => (order.roomWanted = resolve));
      if (order.settled) return;
    }
    order.planned = true;
    this.#finishIfDone(order);
  }

  /** Page bytes by hash, from the store. */
  readonly listPage = (pageHash: Uint8Array): Uint8Array | undefined => this.#store.get(keyspace.listPageKey(pageHash));

  #addLeaf(order: Order, { firstChunk, chunks, here, copied }: PlannedLeaf): void {
    const { content } = order;
    this.totals.reusedChunks += copied;
    let run: PieceChunk[] = [];
    let runBytes = 0;
    let runFirst = 0;
    const flush = (): void => {
      if (run.length > 0)
        this.#addPiece(order, { content, contentBytes: order.bytes, firstChunk: firstChunk + runFirst, bytes: runBytes, chunks: run });
      run = [];
      runBytes = 0;
    };
    for (const [index, chunk] of chunks.entries()) {
      if (here[index] === true) {
        this.#count(order, chunk.bytes);
        this.mates.written(order, { first: firstChunk + index, count: 1 });
        flush();
        continue;
      }
      if (runBytes + chunk.bytes > CHUNK_FRAME_BYTES_MAX * 0.75) flush();
      if (run.length === 0) runFirst = index;
      run.push(chunk);
      runBytes += chunk.bytes;
    }
    flush();
    this.mates.tell(order);
    this.#pumpAll();
  }

  async #fetchListPages(order: Order): Promise<void> {
    for (let round = 0; round < LIST_PAGES_ROUNDS_MAX * LIST_PAGES_PER_REQUEST_MAX; round++) {
      const missing = missingListPages(this.listPage, order.content, LIST_PAGES_PER_REQUEST_MAX);
      if (missing.length === 0) return;
      const [peerId] = order.sources;
      const peer = peerId === undefined ? undefined : this.#peers.get(peerId);
      if (peer === undefined) throw missingError();
      const hashes = missing.map((page) => page.hash);
      const id = this.#nextId++;
      const pages = await new Promise<readonly (Uint8Array | undefined)[]>((resolve) => {
        peer.pages.set(id, { hashes, resolve });
        peer.send({ type: 'list-pages', id, hashes });
      });
      const sound = missing.map(({ hash: wanted, level }, index) => isListPage(pages[index], wanted, level));
      const operations = missing.flatMap((page, index) =>
        sound[index] === true ? [{ type: 'put' as const, key: keyspace.listPageKey(page.hash), value: pages[index]! }] : [],
      );
      await this.#store.write(operations, { durable: false });
      if (sound.includes(false)) order.sources.delete(peerId!);
    }
    throw new SamerootError('LIMIT_EXCEEDED', 'a content list of a peer has too many pages');
  }

  #addPiece(order: Order, piece: Piece): void {
    if (order.settled) return;
    order.pieces.add(piece);
    order.outstandingBytes += piece.bytes;
    const sources = [...order.sources].filter((peer) => this.#peers.has(peer));
    const mates = order.swarm?.matesWith(piece) ?? [];
    if (sources.length + mates.length === 0) this.#settle(order, missingError());
    else this.#plan.add(piece, sources, mates);
  }

  onListPages(peerId: string, message: MessageOf<'list-pages-reply'>): void {
    const waiting = this.#peers.get(peerId)?.pages.get(message.id);
    if (waiting === undefined) return;
    this.#peers.get(peerId)!.pages.delete(message.id);
    waiting.resolve(message.pages);
  }

  /** Chunks came. Resolves when they are written. */
  async onChunks(peerId: string, frame: ChunkFrame): Promise<void> {
    const peer = this.#peers.get(peerId);
    if (peer === undefined) return;
    const request = peer.requests.get(frame.id);
    if (request === undefined) throw unaskedError();
    const byOrder = new Map<Order | undefined, Arrived[]>();
    for (const { item, chunk, offset, bytes } of frame.chunks) {
      const piece = request.pieces[item];
      const index = piece === undefined ? -1 : chunk - piece.firstChunk;
      const wanted = piece?.chunks[index];
      if (piece === undefined || wanted === undefined || wanted.bytes !== bytes || !request.left[item]!.delete(index)) {
        throw unaskedError();
      }
      const order = this.#orders.get(contentKey(piece.content));
      // All single-chunk contents of a frame go to the target together.
      const group = order !== undefined && contentLevel(piece.content) === 0 ? firstSingle(byOrder, order) : order;
      const list = byOrder.get(group) ?? [];
      list.push({ piece, index: item, chunk: { hash: wanted.hash, offset, bytes, fileOffset: wanted.offset } });
      byOrder.set(group, list);
    }
    request.writing++;
    try {
      // The target may take the frame's memory away; where several share a frame, each gets its own.
      const alone = byOrder.size === 1;
      const writes = [...byOrder].map(async ([order, list]) => {
        if (order !== undefined) await this.#writeGroup(peerId, request, order, alone ? frame.frame : takeOut(frame.frame, list), list);
      });
      await Promise.all(writes);
    } finally {
      request.writing--;
    }
    this.#finishRequest(peerId, frame.id, request);
  }

  async #writeGroup(peerId: string, request: Request, order: Order, bytes: Uint8Array, list: readonly Arrived[]): Promise<void> {
    const chunks = list.map(({ chunk }) => chunk);
    const single = contentLevel(order.content) === 0;
    let written: readonly boolean[];
    try {
      written = single ? await order.target.writeWhole(bytes, chunks) : await order.target.write(order.content, bytes, chunks);
    } catch (error) {
      // Our disk is at fault, not the peer: these contents fail, the connection stays.
      for (const { piece } of list) this.#failOrderOf(piece, error);
      return;
    }
    for (const [at, { piece, index, chunk }] of list.entries()) {
      if (written[at] === true) {
        this.totals.fetchedChunks++;
        this.totals.fetchedBytes += chunk.bytes;
        if (--request.unwritten[index]! === 0) this.#pieceDone(piece);
        continue;
      }
      this.totals.badChunks++;
      this.#log.warn('a peer sent bytes that do not have the hash asked for', { peer: peerId });
      const unsettled = this.#orders.get(contentKey(piece.content));
      if (unsettled !== undefined) this.mates.bar(unsettled, peerId);
      this.#pieceFailed(piece, peerId);
    }
  }

  onFetched(peerId: string, message: MessageOf<'fetched'>): void {
    const request = this.#peers.get(peerId)?.requests.get(message.id);
    if (request === undefined) return;
    request.over = message;
    this.#finishRequest(peerId, message.id, request);
  }

  #finishRequest(peerId: string, id: number, request: Request): void {
    if (request.over !== undefined && request.writing === 0) {
      this.#peers.get(peerId)?.requests.delete(id);
      for (const [item, left] of request.left.entries()) if (left.size > 0) this.#pieceFailed(request.pieces[item]!, peerId);
    }
    // Not of this peer alone: where mates have no room any more, others take what was left to them.
    if (this.#plan.spread) this.#pumpAll();
    else this.#pump(peerId);
  }

  #pieceDone(piece: Piece): void {
    this.#plan.done(piece);
    const order = this.#orders.get(contentKey(piece.content));
    if (order === undefined || !order.pieces.delete(piece)) return;
    order.outstandingBytes -= piece.bytes;
    this.#count(order, piece.bytes);
    this.mates.written(order, { first: piece.firstChunk, count: piece.chunks.length });
    this.mates.tell(order);
    order.roomWanted?.();
    this.#finishIfDone(order);
  }

  #pieceFailed(piece: Piece, peerId: string): void {
    const order = this.#orders.get(contentKey(piece.content));
    // A piece of an earlier order of this content says nothing about the present one.
    if (order?.pieces.has(piece) === true) order.sources.delete(peerId);
    if (this.#plan.failed(piece, peerId)) this.#loseOrderOf(piece);
    else this.#pumpAll();
  }

  #loseOrderOf(piece: Piece): void {
    this.#failOrderOf(piece, missingError());
  }

  #failOrderOf(piece: Piece, error: unknown): void {
    const order = this.#orders.get(contentKey(piece.content));
    if (order !== undefined && order.pieces.has(piece)) this.#settle(order, error);
  }

  #finishIfDone(order: Order): void {
    if (order.planned && order.pieces.size === 0) this.#settle(order, undefined);
  }

  #settle(order: Order, error: unknown): void {
    if (order.settled) return;
    order.settled = true;
    order.roomWanted?.();
    for (const piece of order.pieces) this.#plan.forget(piece);
    this.#orders.delete(contentKey(order.content));
    this.totals.done++;
    if (error === undefined) {
      this.mates.finished(order);
      order.resolve();
      return;
    }
    // It will be ordered again: what was done of it is found in the part then, and must not count twice.
    this.totals.orderedBytes -= order.bytes;
    this.totals.doneBytes -= order.doneBytes;
    order.reject(error);
  }

  #count(order: Order, bytes: number): void {
    if (order.settled) return;
    order.doneBytes += bytes;
    this.totals.doneBytes += bytes;
  }

  #pumpScheduled = false;

  #pumpSoon(): void {
    if (this.#pumpScheduled) return;
    this.#pumpScheduled = true;
    queueMicrotask(() => {
      this.#pumpScheduled = false;
      this.#pumpAll();
    });
  }

  #pumpAll(): void {
    for (const peerId of this.#peers.keys()) this.#pump(peerId);
  }

  #pump(peerId: string): void {
    const peer = this.#peers.get(peerId);
    if (peer === undefined) return;
    while (peer.requests.size < REQUESTS_MAX) {
      const pieces = this.#plan.take(peerId);
      if (pieces.length === 0) return;
      const id = this.#nextId++;
      peer.requests.set(id, makeRequest(pieces));
      const items = pieces.map((piece) => ({
        content: piece.content,
        bytes: piece.contentBytes,
        firstChunk: piece.firstChunk,
        chunks: piece.chunks.length,
      }));
      peer.send({ type: 'fetch', id, items });
    }
  }
}

/** A copy of these chunks, side by side, whose places are set anew. */
function takeOut(frame: Uint8Array, list: readonly Arrived[]): Uint8Array {
  const bytes = new Uint8Array(list.reduce((sum, { chunk }) => sum + chunk.bytes, 0));
  let at = 0;
  for (const arrived of list) {
    const { chunk } = arrived;
    bytes.set(frame.subarray(chunk.offset, chunk.offset + chunk.bytes), at);
    arrived.chunk = { ...chunk, offset: at };
    at += chunk.bytes;
  }
  return bytes;
}

/** The order that stands for all single-chunk contents of the same target in this frame. */
function firstSingle<T>(groups: ReadonlyMap<Order | undefined, T>, order: Order): Order {
  for (const other of groups.keys()) {
    if (other !== undefined && other.target === order.target && contentLevel(other.content) === 0) return other;
  }
  return order;
}

function isListPage(page: Uint8Array | undefined, wanted: Uint8Array, level: number): boolean {
  if (page === undefined || !equalBytes(hash('list', page), wanted)) return false;
  try {
    decodeListPage(page, level);
    return true;
  } catch {
    return false;
  }
}

function unaskedError(): SamerootError {
  return new SamerootError('BAD_MESSAGE', 'the peer sent a chunk that was not asked for');
}

function missingError(): SamerootError {
  return new SamerootError('CONTENT_MISSING', 'no connected peer has the bytes of this version');
}
