/**
 * Replicas that do not know yet what the share holds: they have just joined, or come back without their database
 * (`returning.ts`). They say so in their hello, since what they have is no answer to "what has become of this file?".
 *
 * Invariant: whoever does not say so has founded the share, or contains a whole root of one who did not say so either, or all
 * that there is. Otherwise a host that comes back, and the one that joins through it, would take each other for the
 * share. A row says it over restarts, written together with the share itself.
 */
import { messageOf } from '../base/errors.ts';
import type { Log } from '../base/world.ts';
import type { Hello } from '../session/handshake.ts';
import * as keyspace from '../store/keyspace.ts';
import type { Operation, Store } from '../store/store.ts';
import type { Members } from './members.ts';

/** Said in the hello: this replica does not know the share yet, and what it contains is not to be gone by. */
export const LEARNING_CAPABILITY = 'learning';

const NEWCOMER_ROW: Uint8Array = keyspace.metaKey('newcomer');

/** Of a share that was learnt from the host that is joined. */
export const NEWCOMER_ROWS: readonly Operation[] = [{ type: 'put', key: NEWCOMER_ROW, value: keyspace.PRESENT }];

export function isNewcomer(store: Pick<Store, 'get'>): boolean {
  return store.get(NEWCOMER_ROW) !== undefined;
}

export function isLearning({ hello }: Link): boolean {
  return hello?.capabilities.includes(LEARNING_CAPABILITY) === true;
}

/** A connection, as far as it matters here. */
interface Link {
  readonly hello: Hello | undefined;
}

export interface NewcomerParts {
  readonly nodeId: string;
  readonly store: Store;
  readonly log: Log;
  readonly members: Pick<Members, 'list'>;
  /** By node id. */
  readonly links: () => ReadonlyMap<string, Link>;
  readonly onDone: () => void;
}

/** One that has joined, until it knows what the others know. */
export class Newcomer {
  readonly #parts: NewcomerParts;
  #done: boolean;

  constructor(parts: NewcomerParts) {
    this.#parts = parts;
    this.#done = !isNewcomer(parts.store);
  }

  get done(): boolean {
    return this.#done;
  }

  /** A whole root of this peer is contained. */
  contains(peer: Link): void {
    if (!this.#done && !isLearning(peer)) this.#end();
  }

  /**
   * Is nobody left who knows more? All other members are here and learning, or there are none: they were evicted. The list
   * has come from one who knew the share as soon as this node itself is in it.
   */
  check(): void {
    const { nodeId: own, members, links } = this.#parts;
    if (this.#done) return;
    const list = members.list();
    const others = list.filter(({ nodeId }) => nodeId !== own);
    const isHereAndLearning = (nodeId: string): boolean => {
      const link = links().get(nodeId);
      return link !== undefined && isLearning(link);
    };
    if (others.length < list.length && others.every(({ nodeId }) => isHereAndLearning(nodeId))) this.#end();
  }

  #end(): void {
    this.#done = true;
    const { store, log, onDone } = this.#parts;
    // Where the row stays, the next run learns once more: that costs nothing.
    store
      .write([{ type: 'del', key: NEWCOMER_ROW }], { durable: false })
      .catch((error: unknown) => log.warn('a row was not removed', { error: messageOf(error) }));
    onDone();
  }
}
