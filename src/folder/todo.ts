/**
 * Todo rows, `t/<key>`: the entry of this key came from a peer and may not be shown on the disk yet. Written with the
 * entry, removed with the placed rows that show it; what is between survives a crash here.
 *
 * The value holds the inodes of files that are to be renamed to where this entry is shown: after a crash they tell our
 * own rename from a file that the user put there.
 */
import { ByteReader, ByteWriter } from '../base/bytes.ts';
import * as keyspace from '../store/keyspace.ts';
import type { Operation, Store } from '../store/store.ts';

const FORMAT = 1;

export function todoRow(key: Uint8Array, inodes: readonly number[]): Operation {
  const writer = new ByteWriter(16).u8(FORMAT);
  for (const inode of inodes) writer.varint(inode);
  return { type: 'put', key: keyspace.pendingKey(key), value: writer.finish() };
}

export function todoDone(key: Uint8Array): Operation {
  return { type: 'del', key: keyspace.pendingKey(key) };
}

export function todoInodes(store: Store, key: Uint8Array): number[] {
  const row = store.get(keyspace.pendingKey(key));
  const inodes: number[] = [];
  if (row === undefined) return inodes;
  const reader = new ByteReader(row);
  reader.u8();
  while (reader.remaining > 0) inodes.push(reader.varint());
  return inodes;
}

/** Batches of the keys that have a todo row, in key order. */
export async function* todoKeys(store: Store): AsyncGenerator<Uint8Array[]> {
  for await (const rows of store.iterate(keyspace.prefixRange(keyspace.PREFIX.pending))) {
    yield rows.map(([key]) => Uint8Array.from(keyspace.keyBody(key)));
  }
}
