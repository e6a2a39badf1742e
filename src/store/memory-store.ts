/**
 * A store in memory, for tests: the same order, atomicity, snapshots and errors as `level-store`.
 */
import { SamerootError } from '../base/errors.ts';
import { inBatches, ownOperation, SortedRows } from './sorted-rows.ts';
import type { Operation, Range, Row, Store, WriteOptions } from './store.ts';

export class MemoryStore implements Store {
  readonly #rows = new SortedRows();
  #tail: Promise<void> = Promise.resolve();
  #closed = false;

  get(key: Uint8Array): Uint8Array | undefined {
    this.#assertOpen();
    return this.#rows.get(key);
  }

  /** Takes effect a microtask later, as a real store would: a caller that forgets to wait finds out in a test. */
  async write(operations: readonly Operation[], _options: WriteOptions): Promise<void> {
    this.#assertOpen();
    this.#tail = this.#writeInTurn(this.#tail, operations);
    return this.#tail;
  }

  async *iterate(range: Range): AsyncGenerator<readonly Row[], void, undefined> {
    this.#assertOpen();
    for (const batch of inBatches(this.#rows.copy().rows(range))) {
      yield batch;
      this.#assertOpen();
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#tail;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #assertOpen(): void {
    if (this.#closed) throw new SamerootError('CLOSED', 'the store is closed');
  }

  async #writeInTurn(earlier: Promise<void>, operations: readonly Operation[]): Promise<void> {
    await earlier;
    for (const operation of operations) this.#rows.apply(ownOperation(operation));
  }
}
