/**
 * Todo rows, `t/<key>`: the entry of this key came from a peer and may not be shown on the disk yet. Written with the
 * entry, removed with the placed rows that show it; what is between survives a crash here.
 */
import * as keyspace from '../store/keyspace.ts';
import type { Operation, Store } from '../store/store.ts';

export function todoRow(key: Uint8Array): Operation {
  return { type: 'put', key: keyspace.pendingKey(key), value: keyspace.PRESENT };
}

export function todoDone(key: Uint8Array): Operation {
  return { type: 'del', key: keyspace.pendingKey(key) };
}

/** Batches of the keys that have a todo row, in key order. */
export async function* todoKeys(store: Store): AsyncGenerator<Uint8Array[]> {
  for await (const rows of store.iterate(keyspace.prefixRange(keyspace.PREFIX.pending))) {
    yield rows.map(([key]) => Uint8Array.from(keyspace.keyBody(key)));
  }
}
