/**
 * Rows in the order of their keys, in memory: the body of `MemoryStore` and of the simulator's store.
 *
 * Rows live in sorted blocks of at most 512. A change replaces the blocks it touches and never alters one, so a copy is a copy of
 * the list of blocks (400 pointers at 10^5 rows), and one change moves 512 pointers, not all.
 */
import { compareBytes } from '../base/bytes.ts';
import { STORE_BATCH_BYTES_GOAL, STORE_BATCH_ROWS_MAX } from '../base/limits.ts';
import type { Operation, Range, Row } from './store.ts';

type Block = readonly Row[];

const BLOCK_ROWS_MAX = 512;

export class SortedRows {
  /** Never holds an empty block. */
  readonly #blocks: Block[];

  constructor(blocks: readonly Block[] = []) {
    this.#blocks = [...blocks];
  }

  /** As it is now; what happens to either afterwards does not show in the other. */
  copy(): SortedRows {
    return new SortedRows(this.#blocks);
  }

  get(key: Uint8Array): Uint8Array | undefined {
    const block = this.#blocks[blockOf(this.#blocks, key)];
    const row = block?.[firstAtOrAfter(block, key)];
    return row !== undefined && compareBytes(row[0], key) === 0 ? row[1] : undefined;
  }

  /** Keeps the key and the value as they are given. */
  apply(operation: Operation): void {
    const index = blockOf(this.#blocks, operation.key);
    const block = this.#blocks[index] ?? [];
    const at = firstAtOrAfter(block, operation.key);
    const found = at < block.length && compareBytes(block[at]![0], operation.key) === 0;
    if (operation.type === 'del') {
      if (found) this.#replace(index, block.toSpliced(at, 1));
    } else {
      const row: Row = [operation.key, operation.value];
      this.#replace(index, found ? block.with(at, row) : block.toSpliced(at, 0, row));
    }
  }

  /** In the order and within the limit of `range`. Not to be changed meanwhile: take a copy. */
  *rows(range: Range): Generator<Row> {
    let left = range.limit ?? Infinity;
    for (const row of range.reverse === true ? descending(this.#blocks, range) : ascending(this.#blocks, range)) {
      if (left-- <= 0) return;
      yield row;
    }
  }

  #replace(index: number, block: Block): void {
    if (block.length === 0) {
      this.#blocks.splice(index, 1);
    } else if (block.length > BLOCK_ROWS_MAX) {
      this.#blocks.splice(index, 1, block.slice(0, BLOCK_ROWS_MAX / 2), block.slice(BLOCK_ROWS_MAX / 2));
    } else {
      this.#blocks[index] = block;
    }
  }
}

/** A copy that nobody else has. */
export function ownOperation(operation: Operation): Operation {
  const key = Uint8Array.from(operation.key);
  return operation.type === 'put' ? { type: 'put', key, value: Uint8Array.from(operation.value) } : { type: 'del', key };
}

/** The rows of one iteration in the batches of the port: bounded, none empty. */
export function* inBatches(rows: Iterable<Row>): Generator<readonly Row[]> {
  let batch: Row[] = [];
  let batchBytes = 0;
  for (const row of rows) {
    batch.push(row);
    batchBytes += row[0].length + row[1].length;
    if (batch.length < STORE_BATCH_ROWS_MAX && batchBytes <= STORE_BATCH_BYTES_GOAL) continue;
    yield batch;
    batch = [];
    batchBytes = 0;
  }
  if (batch.length > 0) yield batch;
}

/** The one block that may hold `key`: the last that starts at or before it, else the first. */
function blockOf(blocks: readonly Block[], key: Uint8Array): number {
  let low = 0;
  let high = blocks.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareBytes(blocks[middle]![0]![0], key) <= 0) low = middle + 1;
    else high = middle;
  }
  return Math.max(0, low - 1);
}

function firstAtOrAfter(block: Block, key: Uint8Array): number {
  let low = 0;
  let high = block.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareBytes(block[middle]![0], key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function* ascending(blocks: readonly Block[], range: Range): Generator<Row> {
  const first = blockOf(blocks, range.gte);
  for (let index = first; index < blocks.length; index++) {
    const block = blocks[index]!;
    for (let at = index === first ? firstAtOrAfter(block, range.gte) : 0; at < block.length; at++) {
      if (compareBytes(block[at]![0], range.lt) >= 0) return;
      yield block[at]!;
    }
  }
}

function* descending(blocks: readonly Block[], range: Range): Generator<Row> {
  const last = blockOf(blocks, range.lt);
  for (let index = Math.min(last, blocks.length - 1); index >= 0; index--) {
    const block = blocks[index]!;
    for (let at = (index === last ? firstAtOrAfter(block, range.lt) : block.length) - 1; at >= 0; at--) {
      if (compareBytes(block[at]![0], range.gte) < 0) return;
      yield block[at]!;
    }
  }
}
