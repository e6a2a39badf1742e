/**
 * The port to the database: an ordered map from bytes to bytes with atomic batches. Types only; `level-store` and
 * `memory-store` implement it and pass one contract suite (test/contracts/store-contract.ts).
 *
 * Invariants every store keeps:
 * - Keys are ordered by their bytes, as `compareBytes` orders them.
 * - A batch is there as a whole or not at all, also after a crash. Batches take effect in the order of the calls,
 *   awaited or not; of two operations on one key in a batch the later one counts.
 * - When a durable write resolves, it and every write called before it survive a power cut. A write that is not
 *   durable survives the death of the process, not of the machine.
 * - A failed write has changed nothing that `get` or `iterate` show, but it may turn up when the store is opened again,
 *   unless another one has succeeded since.
 *
 * Keys and values belong to the store from the call of `write` until it resolves; what a store hands out is never
 * changed by the receiver.
 *
 * @throws {SamerootError} from every method: `CLOSED` after `close`; `DATABASE_DAMAGED`, `DISK_FULL`,
 *   `FOLDER_READ_ONLY` or `IO_ERROR` where the disk is at fault
 */
export type Operation =
  { readonly type: 'put'; readonly key: Uint8Array; readonly value: Uint8Array } | { readonly type: 'del'; readonly key: Uint8Array };

/** Keys from `gte` on that lie before `lt`; `limit` counts rows, a whole number from 0. */
export interface Range {
  readonly gte: Uint8Array;
  readonly lt: Uint8Array;
  readonly reverse?: boolean;
  readonly limit?: number;
}

export type Row = readonly [key: Uint8Array, value: Uint8Array];

export interface WriteOptions {
  /** Flushed to the disk before the promise resolves. */
  readonly durable: boolean;
}

export interface Store extends AsyncDisposable {
  /** Synchronous: LevelDB answers in a few microseconds, a promise would cost ten times the read. */
  get(key: Uint8Array): Uint8Array | undefined;
  write(operations: readonly Operation[], options: WriteOptions): Promise<void>;
  /** Non-empty batches of rows in order, from the state at the first `next`. Stopping early frees everything. */
  iterate(range: Range): AsyncIterable<readonly Row[]>;
  /** Waits for the writes that were called before; calling it again is allowed. */
  close(): Promise<void>;
}
