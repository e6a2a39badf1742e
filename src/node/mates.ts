/**
 * The fetcher's side of swarms (session/swarm.ts): tells mates what is written here, hears what they have, answers what may
 * be read of a content that is on its way, and gives up mates that fall silent.
 *
 * Invariant: a mate is an offer, never a duty. What is asked of one that brings nothing for `SILENCE_MS` is asked of others;
 * bytes that come later all the same are verified and written like any.
 */
import type { Clock, Timer, Timers } from '../base/world.ts';
import type { ContentId } from '../content/content-list.ts';
import { contentKey, type FetchPlan, type Piece } from '../session/fetch-plan.ts';
import type { ChunkRun, MessageOf } from '../wire/messages.ts';
import type { Order, PeerAsked } from './fetch-order.ts';

/** A mate on a way of less than half a megabyte a second is no help. */
const SILENCE_MS = 2_000;
const LOOK_EVERY_MS = 500;
/** Contents that came last: their parts are served until they lie in the folder. */
const FINISHED_MAX = 256;

export interface MatesParts {
  readonly plan: FetchPlan;
  readonly orders: ReadonlyMap<string, Order>;
  readonly peers: ReadonlyMap<string, PeerAsked>;
  readonly clock: Clock;
  readonly timers: Timers;
  /** Somebody may be asked for something now. */
  readonly pump: () => void;
}

export class Mates {
  readonly #parts: MatesParts;
  readonly #finished = new Set<string>();
  #look: Timer | undefined;

  constructor(parts: MatesParts) {
    this.#parts = parts;
  }

  /** A content is ordered: peers that do not have it may be about to fetch it too. */
  seek({ swarm, sources }: Order): void {
    for (const [peerId, peer] of this.#parts.peers) {
      if (sources.has(peerId)) continue;
      peer.send(swarm!.everything());
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
    if (peer === undefined || order === undefined || swarm === undefined) return;
    if (swarm.heard(peerId, runs)) peer.send(swarm.everything());
    const told = [...order.pieces].filter((piece) => runs.some((run) => isTouched(piece, run)) && swarm.mateHas(peerId, piece));
    plan.addMate(told, peerId);
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
    return this.#parts.orders.get(id)?.swarm?.holds(run) ?? this.#finished.has(id);
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

  close(): void {
    this.#look?.cancel();
  }

  /** Until nothing is on its way any more. */
  #spread(): void {
    const { plan, timers } = this.#parts;
    plan.spread = true;
    this.#look ??= timers.after(LOOK_EVERY_MS, () => this.#lookAfterSilent(), { background: true });
  }

  #lookAfterSilent(): void {
    const { orders, peers, plan, clock, pump } = this.#parts;
    this.#look = undefined;
    plan.spread = orders.size > 0;
    if (!plan.spread) return;
    this.#spread();
    const silentSinceMs = clock.monotonicMs() - SILENCE_MS;
    let given = 0;
    for (const [peerId, { requests, heardMs }] of peers) {
      if (requests.size === 0 || heardMs > silentSinceMs) continue;
      for (const { pieces } of requests.values()) {
        for (const piece of pieces) {
          if (!plan.giveUp(piece, peerId)) continue;
          orders.get(contentKey(piece.content))?.swarm?.bar(peerId);
          given++;
        }
      }
    }
    if (given > 0) pump();
  }
}

function isTouched({ firstChunk, chunks }: Piece, { first, count }: ChunkRun): boolean {
  return firstChunk < first + count && first < firstChunk + chunks.length;
}
