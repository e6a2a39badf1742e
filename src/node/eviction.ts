/**
 * What a host keeps of its own eviction: a row in its store. So it stays away after a restart, too, until somebody of the share
 * invites it again; what it has by then came about without the others, and is not merged but set aside (`returning.ts`).
 */
import { SamerootError } from '../base/errors.ts';
import * as keyspace from '../store/keyspace.ts';
import type { Store } from '../store/store.ts';

const EVICTED_ROW: Uint8Array = keyspace.metaKey('evicted');

export function wasEvicted(store: Store): boolean {
  return store.get(EVICTED_ROW) !== undefined;
}

export async function markEvicted(store: Store): Promise<void> {
  await store.write([{ type: 'put', key: EVICTED_ROW, value: keyspace.PRESENT }], { durable: true });
}

export function evictedError(): SamerootError {
  return new SamerootError('EVICTED', 'this host was evicted from the share; its folder is as it was, and no peer talks to it');
}
