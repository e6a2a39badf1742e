/**
 * The store on disk: LevelDB, in the one file that knows it.
 *
 * Beyond what LevelDB promises by itself, this module keeps three invariants of the port:
 * - Order: calls of `write` take effect in their order. The binding runs batches on several threads.
 * - A durable write covers the earlier ones: LevelDB flushes only its current log, and when it starts a new log it
 *   does not flush the one before. See `flushLogs`.
 * - A failed write costs only itself: see `#leaveTornLog`.
 */
import { open, readdir, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { Level } from 'level';
import { messageOf, SamerootError, systemCode, type ErrorCode } from '../base/errors.ts';
import { KIB, MIB, STORE_BATCH_BYTES_GOAL, STORE_BATCH_ROWS_MAX } from '../base/limits.ts';
import type { Operation, Range, Row, Store, WriteOptions } from './store.ts';

export interface LevelStoreOptions {
  /** How much of the table files stays mapped into memory, about; 128 MiB or more. */
  readonly cacheBytes?: number;
  /** Size at which rows in memory become a table; LevelDB may hold two of these. */
  readonly writeBufferBytes?: number;
}

/*
 * The settings, measured through LevelDB's binding with 10^6 rows of 33 + 110 bytes under random keys and 10^6 of 9 + 110
 * under growing keys (280 MB, two shared cores). Gets are of keys chosen at random; RSS is that of the whole process
 * after every row was read (bare Node.js: 48 MB, 39 of it mapped):
 *
 *   write buffer, tables mapped     rows written/s (random, growing)   get random, growing   RSS (mapped)
 *   32 MiB, all                     353,000  671,000                    4.6  4.0 us          449 MB (309)
 *    8 MiB, 96 x 2 MiB              321,000  476,000                    8.2  3.0 us          350 MB (240)
 *    4 MiB, 64 x 4 MiB              408,000  353,000                    6.5  3.4 us          363 MB (261)
 *    4 MiB, 80 x 2 MiB  (chosen)    321,000  421,000                   11.1  6.9 us          306 MB (199)
 *    4 MiB, 64 x 2 MiB              355,000  377,000                   21.5 11.2 us          262 MB (157)
 *
 * What is mapped and was touched is most of the memory: LevelDB maps every table it has open, and does not use its block
 * cache for mapped tables. A read from a table that is not open costs an `open` and an `mmap`. A table flushed from
 * memory may be as large as the write buffer, so a large buffer makes large mappings. The encodings `view` and `buffer`
 * are equally fast.
 */
const CACHE_BYTES: number = 160 * MIB;
const WRITE_BUFFER_BYTES: number = 4 * MIB;
const TABLE_BYTES: number = 2 * MIB;
/** LevelDB keeps this many of `maxOpenFiles` for other files, and raises what is left to at least 64 tables. */
const OTHER_FILES = 10;
const CACHE_BYTES_MIN: number = 64 * TABLE_BYTES;
/** Serves only tables beyond the 1000 that LevelDB maps. */
const BLOCK_CACHE_BYTES: number = 8 * MIB;
const BLOCK_BYTES: number = 4 * KIB;
/** Mean size of an operation from which `#writeBatch` uses an array. */
const LARGE_OPERATION_BYTES: number = 8 * KIB;
/** No row has this key: prefixes are letters. */
const NO_KEY: Uint8Array = Uint8Array.of(0);

interface LevelIterator {
  nextv(count: number): Promise<Row[]>;
  close(): Promise<void>;
}

interface LevelChainedBatch {
  put(key: Uint8Array, value: Uint8Array): unknown;
  del(key: Uint8Array): unknown;
  write(options: { sync: boolean }): Promise<void>;
}

/** What is used of `level`, whose own types leave out what a browser lacks. */
interface Engine {
  open(): Promise<void>;
  close(): Promise<void>;
  getSync(key: Uint8Array): Uint8Array | undefined;
  batch(): LevelChainedBatch;
  batch(operations: readonly Operation[], options: { sync: boolean }): Promise<void>;
  iterator(options: Range & { highWaterMarkBytes: number; fillCache: boolean }): LevelIterator;
  compactRange(from: Uint8Array, to: Uint8Array): Promise<void>;
}

/**
 * Opens the database in `directory`, or makes one there.
 * @throws {SamerootError} `DATABASE_IN_USE`, `DATABASE_DAMAGED`, `FOLDER_NOT_DIRECTORY`, `FOLDER_READ_ONLY`,
 *   `DISK_FULL` or `IO_ERROR`
 * @throws {RangeError} if an option is out of its range
 */
export async function openLevelStore(directory: string, options: LevelStoreOptions = {}): Promise<LevelStore> {
  const { cacheBytes = CACHE_BYTES, writeBufferBytes = WRITE_BUFFER_BYTES } = options;
  if (!(cacheBytes >= CACHE_BYTES_MIN && cacheBytes <= 2 ** 40))
    throw new RangeError(`cacheBytes: not from ${CACHE_BYTES_MIN} to 2^40: ${cacheBytes}`);
  if (!(writeBufferBytes >= 64 * KIB && writeBufferBytes <= 2 ** 30)) {
    throw new RangeError(`writeBufferBytes: not from 64 KiB to 1 GiB: ${writeBufferBytes}`);
  }
  try {
    await refuseHeadless(directory);
    const level = new Level<Uint8Array, Uint8Array>(directory, {
      keyEncoding: 'view',
      valueEncoding: 'view',
      createIfMissing: true,
      compression: false,
      writeBufferSize: writeBufferBytes,
      cacheSize: BLOCK_CACHE_BYTES,
      blockSize: BLOCK_BYTES,
      blockRestartInterval: 16,
      maxFileSize: TABLE_BYTES,
      maxOpenFiles: OTHER_FILES + Math.floor(cacheBytes / TABLE_BYTES),
    }) as unknown as Engine;
    await level.open();
    return new LevelStore(level, directory, writeBufferBytes);
  } catch (error) {
    throw storeError(error, `the database in ${directory} cannot be opened`);
  }
}

/** Made by `openLevelStore`. */
export class LevelStore implements Store {
  readonly #engine: Engine;
  readonly #directory: string;
  readonly #writeBufferBytes: number;
  #tail: Promise<void> = Promise.resolve();
  #closing: Promise<void> | undefined;
  /** There are writes that were not flushed. */
  #loose = false;
  /** The error of the last write, if it failed. */
  #torn: SamerootError | undefined;

  constructor(engine: Engine, directory: string, writeBufferBytes: number) {
    this.#engine = engine;
    this.#directory = directory;
    this.#writeBufferBytes = writeBufferBytes;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    this.#assertOpen();
    try {
      return this.#engine.getSync(key);
    } catch (error) {
      throw storeError(error, 'the database cannot be read');
    }
  }

  async write(operations: readonly Operation[], options: WriteOptions): Promise<void> {
    this.#assertOpen();
    const turn = this.#tail.then(() => this.#writeInTurn(operations, options.durable));
    this.#tail = turn.catch(() => undefined);
    return turn;
  }

  async *iterate(range: Range): AsyncGenerator<readonly Row[], void, undefined> {
    this.#assertOpen();
    const iterator = this.#engine.iterator({ ...range, highWaterMarkBytes: STORE_BATCH_BYTES_GOAL, fillCache: false });
    try {
      for (;;) {
        const rows = await this.#nextRows(iterator);
        if (rows.length === 0) return;
        yield rows;
      }
    } finally {
      await iterator.close();
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#tail
      .then(() => this.#engine.close())
      .catch((error: unknown) => {
        throw storeError(error, 'the database cannot be closed');
      });
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #assertOpen(): void {
    if (this.#closing !== undefined) throw new SamerootError('CLOSED', 'the store is closed');
  }

  async #nextRows(iterator: LevelIterator): Promise<Row[]> {
    this.#assertOpen();
    try {
      return await iterator.nextv(STORE_BATCH_ROWS_MAX);
    } catch (error) {
      throw storeError(error, 'the database cannot be read');
    }
  }

  async #writeInTurn(operations: readonly Operation[], durable: boolean): Promise<void> {
    await this.#leaveTornLog();
    try {
      if (durable && this.#loose) {
        await flushLogs(this.#directory);
        this.#loose = false;
      }
      if (operations.length === 0) return;
      await this.#writeBatch(operations, durable);
      if (!durable) this.#loose = true;
    } catch (error) {
      const failure = storeError(error, 'the database cannot be written');
      this.#torn = failure;
      throw failure;
    }
  }

  /**
   * One atomic batch, by the cheaper of two ways to the same call of LevelDB. The chained form takes 0.5 us of the main
   * thread per operation, the array form 7 us (it clones every operation). But the native memory of a chained batch is
   * freed by the garbage collector only, which does not see its size: with 64 KiB values the process grew to 350 MB, in the
   * array form to 100 MB.
   */
  async #writeBatch(operations: readonly Operation[], durable: boolean): Promise<void> {
    let bytes = 0;
    for (const operation of operations) bytes += operation.key.length + (operation.type === 'put' ? operation.value.length : 0);
    if (bytes > operations.length * LARGE_OPERATION_BYTES) {
      await this.#engine.batch(operations, { sync: durable });
      return;
    }
    const batch = this.#engine.batch();
    for (const operation of operations) {
      if (operation.type === 'put') batch.put(operation.key, operation.value);
      else batch.del(operation.key);
    }
    await batch.write({ sync: durable });
  }

  /**
   * After a failed write (a full disk) LevelDB goes on behind the torn end of its log, and everything it appends there,
   * flushed and acknowledged, is thrown away when the log is read again: 20 of 20 durable writes in the test. So the
   * next write first moves LevelDB to a new log; compacting an empty range does that. It is not tried while there is
   * no room for it: a failed compaction makes LevelDB refuse all further writes.
   */
  async #leaveTornLog(): Promise<void> {
    if (this.#torn === undefined) return;
    try {
      const { bavail, bsize } = await statfs(this.#directory);
      if (bavail * bsize < 4 * this.#writeBufferBytes) throw this.#torn;
      const before = (await logNames(this.#directory)).at(-1);
      await this.#engine.compactRange(NO_KEY, NO_KEY);
      if ((await logNames(this.#directory)).at(-1) === before) throw this.#torn;
    } catch (error) {
      const { code, cause, message } = storeError(error, 'the database cannot be written');
      throw new SamerootError(code, message, { cause });
    }
    this.#torn = undefined;
  }
}

/**
 * Flushes every log of LevelDB, so that batches it wrote without flushing cannot be lost when a later one is kept: it
 * would leave a head without its pages. A log that goes away meanwhile has become a table, and that is flushed.
 */
async function flushLogs(directory: string): Promise<void> {
  for (const name of await logNames(directory)) {
    try {
      const file = await open(join(directory, name), 'r');
      try {
        await file.datasync();
      } finally {
        await file.close();
      }
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw error;
    }
  }
}

/** In the order in which LevelDB made them: the numbers in the names are padded to six digits and then grow. */
async function logNames(directory: string): Promise<string[]> {
  const names = (await readdir(directory)).filter((name) => /^\d+\.log$/.test(name));
  return names.sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10));
}

/** LevelDB takes a directory without CURRENT for an empty one, and deletes the tables it finds there. */
async function refuseHeadless(directory: string): Promise<void> {
  let names: string[];
  try {
    names = await readdir(directory);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return;
    throw error;
  }
  if (names.includes('CURRENT') || !names.some((name) => /^\d+\.(ldb|sst|log)$/.test(name))) return;
  throw new SamerootError('DATABASE_DAMAGED', `the database in ${directory} has no CURRENT file`);
}

/** Which code an error gets: by its own code, or by the text that LevelDB makes of the system's. First match counts. */
const FAILURES: readonly { readonly code: ErrorCode; readonly codes: readonly string[]; readonly text: RegExp | undefined }[] = [
  { code: 'DATABASE_IN_USE', codes: ['LEVEL_LOCKED'], text: undefined },
  { code: 'DATABASE_DAMAGED', codes: ['LEVEL_CORRUPTION'], text: /^Corruption: |: (No such file or directory|Invalid argument)$/ },
  { code: 'DISK_FULL', codes: ['ENOSPC', 'EDQUOT'], text: /: (No space left on device|Disk quota exceeded)$/ },
  {
    code: 'FOLDER_READ_ONLY',
    codes: ['EACCES', 'EPERM', 'EROFS'],
    text: /: (Permission denied|Operation not permitted|Read-only file system)$/,
  },
  { code: 'FOLDER_NOT_DIRECTORY', codes: ['ENOTDIR', 'EEXIST'], text: /: Not a directory$/ },
  { code: 'CLOSED', codes: ['LEVEL_DATABASE_NOT_OPEN', 'LEVEL_ITERATOR_NOT_OPEN'], text: undefined },
];

/** A file that is missing or shorter than LevelDB's own records say counts as damage. */
function storeError(error: unknown, message: string): SamerootError {
  if (error instanceof SamerootError) return error;
  if (error instanceof TypeError) throw error;
  let root = error;
  while (root instanceof Error && root.cause !== undefined) root = root.cause;
  const text = messageOf(root);
  const systemOrLevelCode = systemCode(root) ?? '';
  const failure = FAILURES.find(({ codes, text: pattern }) => codes.includes(systemOrLevelCode) || pattern?.test(text) === true);
  return new SamerootError(failure?.code ?? 'IO_ERROR', `${message}: ${text}`, { cause: error });
}
