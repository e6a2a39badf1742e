/**
 * What is known here of hosts that were connected once: under which replica id each writes, and its newest root that we contain.
 * Kept in the database, so that a connection that comes back begins where the last one ended.
 */
import { ByteReader, ByteWriter, fromHex, toHex } from '../base/bytes.ts';
import { HASH_BYTES, REPLICA_ID_BYTES } from '../base/limits.ts';
import type { Log } from '../base/world.ts';
import * as keyspace from '../store/keyspace.ts';
import type { Store } from '../store/store.ts';

export interface Cursor {
  readonly replica: string;
  readonly root: Uint8Array;
}

export class Cursors {
  readonly #store: Store;
  readonly #log: Log;

  constructor(store: Store, log: Log) {
    this.#store = store;
    this.#log = log;
  }

  get(nodeId: string): Cursor | undefined {
    const row = this.#store.get(keyspace.cursorKey(nodeId));
    if (row === undefined) return undefined;
    const reader = new ByteReader(row);
    return { replica: toHex(reader.raw(REPLICA_ID_BYTES)), root: Uint8Array.from(reader.raw(HASH_BYTES)) };
  }

  /** Losing it costs a walk, no more: it need not be flushed. */
  keep(nodeId: string, { replica, root }: Cursor): void {
    const value = new ByteWriter(REPLICA_ID_BYTES + HASH_BYTES).raw(fromHex(replica)).raw(root).finish();
    this.#store
      .write([{ type: 'put', key: keyspace.cursorKey(nodeId), value }], { durable: false })
      .catch((error: unknown) => this.#log.warn('a cursor was not kept', { error: String(error) }));
  }
}
