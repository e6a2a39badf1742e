/** What the tests of replicas share: a clock to set, small trees of many levels, and stores that break or dawdle. */
import { byteKey, equalBytes, utf8 } from '../../src/base/bytes.ts';
import { SamerootError } from '../../src/base/errors.ts';
import type { Clock, Random } from '../../src/base/world.ts';
import { hash } from '../../src/content/hash.ts';
import { write, type Entry, type Value } from '../../src/entry/entry.ts';
import type { Mutation } from '../../src/replica/replica.ts';
import { createShare, type Share } from '../../src/replica/share.ts';
import * as keyspace from '../../src/store/keyspace.ts';
import { MemoryStore } from '../../src/store/memory-store.ts';
import type { Operation, Range, Row, Store, WriteOptions } from '../../src/store/store.ts';
import { decodePage } from '../../src/tree/page-codec.ts';
import type { Tree } from '../../src/tree/page.ts';

export class TestClock implements Clock {
  wall = 1_700_000_000_000;

  wallMs(): number {
    return this.wall;
  }

  monotonicMs(): number {
    return this.wall;
  }
}

export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0);
  return { bytes: (count) => Uint8Array.from({ length: count }, () => next() >>> 24), fraction: () => next() / 2 ** 32 };
}

export const FOUNDER: string = 'f0'.repeat(32);

/** Fan-out 8: a few hundred entries make three levels. */
export function smallShare(founder: string = FOUNDER): Share {
  return { ...createShare('test', founder, seededRandom(1)), rankBits: 3 };
}

export function recordKey(index: number): Uint8Array {
  return utf8(`r/key-${index}`);
}

export function record(data: string): Value {
  return { kind: 'record', data: utf8(data) };
}

/** The same entry whenever it is made: trees can return to what they were. */
export function fixedEntry(data: string): Entry {
  return write(undefined, [], { replica: 'aa'.repeat(8), sequence: 1 }, { wallMs: 1, counter: 0 }, record(data));
}

export function put(index: number, data: string | undefined): Mutation {
  return { key: recordKey(index), next: () => (data === undefined ? undefined : fixedEntry(data)) };
}

/** Every page of a tree as it stands in the store. Throws where one is missing or has another hash. */
export function pagesOf(store: Store, tree: Tree, seen: Set<string> = new Set()): Set<string> {
  const visit = (pageHash: Uint8Array): void => {
    if (seen.has(byteKey(pageHash))) return;
    const bytes = store.get(keyspace.pageKey(pageHash));
    if (bytes === undefined) throw new Error('a page of the tree is not in the store');
    if (!equalBytes(hash('page', bytes), pageHash)) throw new Error('a page does not have its hash');
    seen.add(byteKey(pageHash));
    const page = decodePage(bytes);
    if (page.level > 0) for (let item = 0; item < page.size; item++) visit(page.hash(item));
  };
  if (tree.page !== undefined) visit(tree.page);
  return seen;
}

/** Bodies of all keys of a kind. */
export async function bodiesOf(store: Store, prefix: Uint8Array): Promise<Set<string>> {
  const found = new Set<string>();
  for await (const rows of store.iterate(keyspace.prefixRange(prefix))) for (const [key] of rows) found.add(byteKey(keyspace.keyBody(key)));
  return found;
}

/** Lets everything run that can. */
export async function turns(count: number = 1): Promise<void> {
  for (let left = count; left > 0; left--) await new Promise((resolve) => setImmediate(resolve));
}

/** Passes everything on; what it does to writes is for the subclass. */
abstract class WrappedStore implements Store {
  readonly inner: Store;

  constructor(inner: Store = new MemoryStore()) {
    this.inner = inner;
  }

  abstract write(operations: readonly Operation[], options: WriteOptions): Promise<void>;

  get(key: Uint8Array): Uint8Array | undefined {
    return this.inner.get(key);
  }

  iterate(range: Range): AsyncIterable<readonly Row[]> {
    return this.inner.iterate(range);
  }

  close(): Promise<void> {
    return this.inner.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** Counts writes, and fails those that `fails` says, numbered from 0. */
export class FaultyStore extends WrappedStore {
  readonly writes: { readonly operations: readonly Operation[]; readonly durable: boolean }[] = [];
  fails: (write: number) => boolean = () => false;

  async write(operations: readonly Operation[], options: WriteOptions): Promise<void> {
    const number = this.writes.length;
    this.writes.push({ operations, durable: options.durable });
    await Promise.resolve();
    if (this.fails(number)) throw new SamerootError('IO_ERROR', 'the disk failed');
    await this.inner.write(operations, options);
  }
}

/** Writes and steps of iterations take as many turns of the event loop as `delays` says; batches have few rows. */
export class SlowStore extends WrappedStore {
  readonly #delays: readonly number[];
  #next = 0;
  #tail: Promise<void> = Promise.resolve();

  constructor(delays: readonly number[]) {
    super();
    this.#delays = delays;
  }

  async #wait(): Promise<void> {
    await turns(this.#delays[this.#next++ % this.#delays.length] ?? 0);
  }

  write(operations: readonly Operation[], options: WriteOptions): Promise<void> {
    const earlier = this.#tail;
    const mine = (async () => {
      await earlier;
      await this.#wait();
      await this.inner.write(operations, options);
    })();
    this.#tail = mine;
    return mine;
  }

  override async *iterate(range: Range): AsyncGenerator<readonly Row[]> {
    for await (const rows of this.inner.iterate(range)) {
      for (let at = 0; at < rows.length; at += 4) {
        yield rows.slice(at, at + 4);
        await this.#wait();
      }
    }
  }
}
