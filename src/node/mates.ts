/**
 * The fetcher's side of swarms (session/swarm.ts): tells mates what is written here, hears what they have, answers what may
 * be read of a content that is on its way, and gives up mates that are slow.
 *
 * Invariant: a mate is an offer, never a duty. One that has not answered the first of its requests after four looks a megabyte is asked
 * for nothing more until it has; what it was asked for is asked of others. What comes later all the same is verified and written like any.
 */
import { MIB } from '../base/limits.ts';
import type { Timer, Timers } from '../base/world.ts';
import type { ContentId } from '../content/content-list.ts';
import { contentKey, type FetchPlan } from '../session/fetch-plan.ts';
import type { ChunkRun, MessageOf } from '../wire/messages.ts';
import type { Order, PeerAsked, Request } from './fetch-order.ts';

/** A mate on a way of less than half a megabyte a second is no help. Requests made before there were mates are of several megabytes. */
const LOOK_EVERY_MS = 500;
const LOOKS_PER_MIB = 4;
/** Contents that came last: their parts are served until they lie in the folder. */
const FINISHED_MAX = 256;

export interface MatesParts {
  readonly plan: FetchPlan;
  readonly orders: ReadonlyMap<string, Order>;
  readonly peers: ReadonlyMap<string, PeerAsked>;
  readonly timers: Timers;
  /** Somebody may be asked for something now. */
  readonly pump: () => void;
}

export class Mates {
  readonly #parts: MatesParts;
  readonly #finished = new Set<string>();
  /** Whose turn it is to be answered by a peer, and how often it was seen waiting: looks, not time, for a stall of ours is no fault of the peer. */
  readonly #waits = new Map<string, { readonly request: Request; looks: number }>();
  #look: Timer | undefined;

  constructor(parts: MatesParts) {
    this.#parts = parts;
  }

  /** A content is ordered: peers that do not have it may be about to fetch it too. */
  seek({ content, swarm, sources }: Order): void {
    if (swarm === undefined) return;
    this.#finished.delete(contentKey(content));
    for (const [peerId, peer] of this.#parts.peers) {
      if (sources.has(peerId)) continue;
      peer.send(swarm.everything());
      this.#spread();
    }
  }

  /** A peer has connected. */
  greet(peer: PeerAsked): void {
    for (const { swarm } of this.#parts.orders.values()) if (swarm !== undefined) peer.send(swarm.everything());
  }

  /** A peer tells what it has of a content; what is not on its way here does not matter. */
  heard(peerId: string, { content, runs }: MessageOf<'have'>): void {
    const { orders, peers, plan, pump } = this.#parts;
    const peer = peers.get(peerId);
    const order = orders.get(contentKey(content));
    const swarm = order?.swarm;
    if (peer === undefined || order === undefined || swarm === undefined || this.#isSlow(peerId)) return;
    if (swarm.heard(peerId, runs)) peer.send(swarm.everything());
    plan.addMate(
      [...order.pieces].filter((piece) => swarm.mateHas(peerId, piece)),
      peerId,
    );
    this.#spread();
    pump();
  }

  /** These chunks of it are verified and written. `tell` sends what is new to the mates. */
  written({ swarm }: Order, run: ChunkRun): void {
    swarm?.written(run);
  }

  tell({ swarm }: Order): void {
    const news = swarm?.news();
    if (news !== undefined) for (const mate of swarm!.mates) this.#parts.peers.get(mate)?.send(news);
  }

  /** Whether these chunks of a content that is on its way are written here: they may be read from its part. */
  holds(content: ContentId, run: ChunkRun): boolean {
    const id = contentKey(content);
    const order = this.#parts.orders.get(id);
    return order === undefined ? this.#finished.has(id) : order.swarm?.holds(run) === true;
  }

  /** All of it is written. */
  finished({ content, swarm }: Order): void {
    if (swarm === undefined) return;
    this.#finished.add(contentKey(content));
    for (const oldest of this.#finished) {
      if (this.#finished.size <= FINISHED_MAX) break;
      this.#finished.delete(oldest);
    }
  }

  /** It has sent wrong bytes. */
  bar({ pieces, swarm }: Order, peerId: string): void {
    swarm?.bar(peerId);
    this.#parts.plan.removeMate(pieces, peerId);
  }

  close(): void {
    this.#look?.cancel();
  }

  #isSlow(peerId: string): boolean {
    const wait = this.#waits.get(peerId);
    return wait !== undefined && wait.looks >= patience(wait.request);
  }

  /** Until nothing is on its way any more. */
  #spread(): void {
    const { plan, timers } = this.#parts;
    plan.spread = true;
    this.#look ??= timers.after(LOOK_EVERY_MS, () => this.#lookAfterSlow(), { background: true });
  }

  #lookAfterSlow(): void {
    const { orders, peers, plan, pump } = this.#parts;
    this.#look = undefined;
    plan.spread = orders.size > 0;
    if (plan.spread) this.#spread();
    for (const peerId of this.#waits.keys()) if (!peers.has(peerId)) this.#waits.delete(peerId);
    for (const [peerId, { requests }] of peers) {
      const request = firstUnanswered(requests);
      const before = this.#waits.get(peerId);
      if (request === undefined) this.#waits.delete(peerId);
      else if (before?.request !== request) this.#waits.set(peerId, { request, looks: 0 });
      else if (++before.looks === patience(request)) for (const order of orders.values()) this.#giveUp(order, peerId);
    }
    pump();
  }

  /** It may become a mate again when it has answered, and tells of more. */
  #giveUp({ pieces, swarm }: Order, peerId: string): void {
    swarm?.leave(peerId);
    this.#parts.plan.removeMate(pieces, peerId);
  }
}

/** After so many looks, a peer that has not answered it is slow. */
function patience({ pieces }: Request): number {
  const bytes = pieces.reduce((sum, piece) => sum + piece.bytes, 0);
  return LOOKS_PER_MIB * Math.max(1, Math.ceil(bytes / MIB));
}

/** A peer answers in the order in which it was asked. */
function firstUnanswered(requests: ReadonlyMap<number, Request>): Request | undefined {
  for (const request of requests.values()) if (request.over === undefined) return request;
  return undefined;
}
