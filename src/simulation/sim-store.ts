/**
 * The database of a simulated host: what is on its disk (`SimStoreDisk`, survives), and the `Store` of each incarnation over it.
 *
 * Invariants, those of store/store.ts seen from the disk:
 * - Batches take effect one at a time in the order of the calls, whole or not at all.
 * - The death of a process loses no write that resolved; a power cut none up to the last durable one that resolved. Of what
 *   comes after it a prefix is kept, of seeded length.
 * - A failed write shows nothing, but may turn up at the next open if no other has succeeded since. Of several in a row that is
 *   the first: before it writes again, `LevelStore` leaves the log whose end is open.
 *
 * The disk keeps the rows as of the last flush and the batches since (`#log`): LevelDB's tables and its log. Opening replays
 * the log and flushes it, as LevelDB does.
 */
import { assert } from '../base/assert.ts';
import { byteKey } from '../base/bytes.ts';
import { SamerootError, type ErrorCode } from '../base/errors.ts';
import { inBatches, ownOperation, SortedRows } from '../store/sorted-rows.ts';
import type { Operation, Range, Row, Store, WriteOptions } from '../store/store.ts';
import type { SeededRandom } from './random.ts';
import { runFor, type VirtualTime } from './virtual-time.ts';

export type StoreErrorCode = Extract<ErrorCode, 'DATABASE_DAMAGED' | 'DISK_FULL' | 'FOLDER_READ_ONLY' | 'IO_ERROR'>;

export interface SimStoreOptions {
  readonly time: VirtualTime;
  readonly random: SeededRandom;
  readonly alive: () => boolean;
  /** Asked before each batch; the host may die there, before or, by the seed, after the batch took effect. */
  readonly effect: (kind: 'store-write') => void;
  /** Asked at each operation, `store-flush` for durable batches after `store-write`. */
  readonly fault: (operation: 'store-read' | 'store-write' | 'store-flush') => StoreErrorCode | undefined;
}

/** What a backup holds. */
export interface StoreSnapshot {
  readonly rows: SortedRows;
  readonly damaged: ReadonlySet<string>;
}

interface PendingWrite {
  readonly operations: readonly Operation[];
  readonly durable: boolean;
  readonly resolve: () => void;
  readonly reject: (error: SamerootError) => void;
}

const ALL: Range = { gte: new Uint8Array(0), lt: new Uint8Array(64).fill(0xff) };
const WRITE_MS_MAX = 0.2;
const FLUSH_MS_MAX = 8;
const READ_MS_MAX = 0.2;

export class SimStoreDisk {
  readonly #random: SeededRandom;
  #flushed = new SortedRows();
  #log: (readonly Operation[])[] = [];
  /** A failed batch at the end of the log: whether it is there is open until the log is read again. */
  #failed: readonly Operation[] | undefined;
  /** Keys of rows whose bits have changed at rest. */
  #damaged = new Set<string>();
  #headerDamaged = false;
  #open: SimStore | undefined;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  /** @throws {SamerootError} `DATABASE_IN_USE`, `DATABASE_DAMAGED` */
  open(options: SimStoreOptions): SimStore {
    if (this.#open !== undefined) throw new SamerootError('DATABASE_IN_USE', 'the database is open');
    if (this.#headerDamaged) throw new SamerootError('DATABASE_DAMAGED', 'the database cannot be opened: its header is damaged');
    if (this.#failed !== undefined && this.#random.chance(0.5)) this.#log.push(this.#failed);
    this.flush(this.#current());
    this.#failed = undefined;
    this.#open = new SimStore(this, this.#flushed.copy(), options);
    return this.#open;
  }

  /** The process dies. Of the writes that did not resolve a prefix is kept. */
  kill(): void {
    const pending = this.#open?.die() ?? [];
    this.#open = undefined;
    for (const { operations } of pending.slice(0, this.#random.below(pending.length + 1))) this.append(operations);
  }

  /** The machine loses its power, whether the database is open or was closed or killed before. */
  powerLoss(): void {
    this.kill();
    const kept = this.#random.below(this.#log.length + 1);
    if (kept < this.#log.length) this.#failed = undefined;
    this.#log.length = kept;
  }

  /** Flips bits at rest: of one row, or of what is read first. @returns the key of the row, if there is one */
  damage(where: 'row' | 'header'): Uint8Array | undefined {
    if (where === 'header') {
      this.#headerDamaged = true;
      return undefined;
    }
    const rows = [...this.#current().rows(ALL)];
    if (rows.length === 0) return undefined;
    const [key] = this.#random.pick(rows);
    this.#damaged.add(byteKey(key));
    return key;
  }

  /** A backup: everything that has taken effect, damage included. */
  snapshot(): StoreSnapshot {
    return { rows: this.#current().copy(), damaged: new Set(this.#damaged) };
  }

  /** Puts a backup in the place of everything; without one, an empty disk. */
  restore(snapshot?: StoreSnapshot): void {
    assert(this.#open === undefined, 'nobody replaces an open database');
    this.#flushed = snapshot?.rows.copy() ?? new SortedRows();
    this.#damaged = new Set(snapshot?.damaged);
    this.#log = [];
    this.#failed = undefined;
    this.#headerDamaged = false;
  }

  /** For `SimStore`: a batch reaches the log. */
  append(operations: readonly Operation[]): readonly Operation[] {
    const own = operations.map(ownOperation);
    if (own.length > 0) this.#log.push(own);
    this.#failed = undefined;
    // A new row shadows the damaged one.
    if (this.#damaged.size > 0) for (const { key } of own) this.#damaged.delete(byteKey(key));
    return own;
  }

  /** For `SimStore`: a batch reaches the log or not, and whoever wrote it is told that it failed. */
  fail(operations: readonly Operation[]): void {
    this.#failed ??= operations.map(ownOperation);
  }

  /** For `SimStore`: the log is flushed; `rows` is what it comes to. */
  flush(rows: SortedRows): void {
    this.#flushed = rows.copy();
    this.#log = [];
  }

  /** For `SimStore`: it was closed, and flushed nothing by that. */
  closed(): void {
    this.#open = undefined;
  }

  isDamaged(key: Uint8Array): boolean {
    return this.#damaged.size > 0 && this.#damaged.has(byteKey(key));
  }

  #current(): SortedRows {
    const rows = this.#flushed.copy();
    for (const batch of this.#log) for (const operation of batch) rows.apply(operation);
    return rows;
  }
}

/** Made by `SimStoreDisk.open`. */
export class SimStore implements Store {
  readonly #disk: SimStoreDisk;
  readonly #rows: SortedRows;
  readonly #options: SimStoreOptions;
  /** In the order of the calls; the first one is being written where `#writing`. */
  #queue: PendingWrite[] = [];
  #writing = false;
  /** The first one took effect and has not resolved. */
  #applied = false;
  #dead = false;
  #closing: Promise<void> | undefined;
  #emptied: (() => void) | undefined;
  /** After a failed flush LevelDB may refuse all writes until it is opened again (its background error). */
  #refusal: StoreErrorCode | undefined;

  constructor(disk: SimStoreDisk, rows: SortedRows, options: SimStoreOptions) {
    this.#disk = disk;
    this.#rows = rows;
    this.#options = options;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    this.#assertReadable();
    if (this.#disk.isDamaged(key)) throw damagedRow();
    return this.#rows.get(key);
  }

  async write(operations: readonly Operation[], { durable }: WriteOptions): Promise<void> {
    if (!this.#isAlive()) return never();
    this.#assertOpen();
    return new Promise((resolve, reject) => {
      this.#queue.push({ operations, durable, resolve, reject });
      this.#pump();
    });
  }

  async *iterate(range: Range): AsyncGenerator<readonly Row[], void, undefined> {
    this.#assertOpen();
    for (const batch of inBatches(this.#rows.copy().rows(range))) {
      await this.#pause(READ_MS_MAX);
      this.#assertReadable();
      if (batch.some(([key]) => this.#disk.isDamaged(key))) throw damagedRow();
      yield batch;
    }
    this.#assertOpen();
  }

  close(): Promise<void> {
    this.#closing ??= this.#closeInTurn();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** For `SimStoreDisk`. @returns the writes that have not taken effect, in their order */
  die(): readonly PendingWrite[] {
    this.#dead = true;
    const pending = this.#applied ? this.#queue.slice(1) : this.#queue;
    this.#queue = [];
    return pending;
  }

  #isAlive(): boolean {
    return !this.#dead && this.#options.alive();
  }

  #assertOpen(): void {
    if (!this.#isAlive()) throw new SamerootError('CLOSED', 'the host is dead');
    if (this.#closing !== undefined) throw new SamerootError('CLOSED', 'the store is closed');
  }

  #assertReadable(): void {
    this.#assertOpen();
    const code = this.#options.fault('store-read');
    if (code !== undefined) throw new SamerootError(code, 'the database cannot be read');
  }

  async #closeInTurn(): Promise<void> {
    if (!this.#isAlive()) return never();
    if (this.#queue.length > 0) await new Promise<void>((resolve) => (this.#emptied = resolve));
    this.#disk.closed();
  }

  #pause(msMax: number): Promise<void> {
    return new Promise((resolve) => this.#later(msMax, resolve));
  }

  #later(msMax: number, callback: () => void): void {
    const { time, random } = this.#options;
    time.schedule(random.between(0, msMax), () => {
      if (this.#isAlive()) callback();
    });
  }

  #pump(): void {
    const next = this.#queue[0];
    if (this.#writing || next === undefined) return;
    this.#writing = true;
    this.#later(WRITE_MS_MAX, () => this.#begin(next));
  }

  #begin(write: PendingWrite): void {
    if (!this.#surviveEffect(write)) return;
    const { random } = this.#options;
    const code = this.#failure(write);
    if (code !== undefined) {
      this.#disk.fail(write.operations);
      this.#later(WRITE_MS_MAX, () => this.#end(() => write.reject(new SamerootError(code, 'the database cannot be written'))));
      return;
    }
    const apply = (): void => {
      for (const operation of this.#disk.append(write.operations)) this.#rows.apply(operation);
      this.#applied = true;
    };
    // Readers may see a batch some time before its promise resolves, or not.
    const early = random.chance(0.5);
    if (early) apply();
    this.#later(write.durable ? FLUSH_MS_MAX : WRITE_MS_MAX, () => {
      if (!early) apply();
      if (write.durable) this.#disk.flush(this.#rows);
      this.#end(write.resolve);
    });
  }

  /** @returns whether the host lives on; if not, the batch took effect or not */
  #surviveEffect(write: PendingWrite): boolean {
    runFor(this.#options.alive, () => this.#options.effect('store-write'));
    if (this.#isAlive()) return true;
    if (this.#options.random.chance(0.5) && !this.#dead) {
      this.#disk.append(write.operations);
      this.#applied = true;
    }
    return false;
  }

  #failure({ durable }: PendingWrite): StoreErrorCode | undefined {
    const { fault, random } = this.#options;
    if (this.#refusal !== undefined) return this.#refusal;
    const code = fault('store-write');
    if (code !== undefined || !durable) return code;
    const flushCode = fault('store-flush');
    if (flushCode !== undefined && random.chance(0.5)) this.#refusal = flushCode;
    return flushCode;
  }

  #end(settle: () => void): void {
    this.#queue.shift();
    this.#writing = false;
    this.#applied = false;
    settle();
    if (this.#queue.length === 0) this.#emptied?.();
    this.#pump();
  }
}

function damagedRow(): SamerootError {
  return new SamerootError('DATABASE_DAMAGED', 'the database cannot be read: checksum mismatch');
}

/** What a dead host waits for. */
function never(): Promise<never> {
  return new Promise(() => undefined);
}
