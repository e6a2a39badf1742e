/** What every store must do; each implementation's test runs this suite with its own way to open an empty store. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { byteKey, compareBytes, fromByteKey, utf8 } from '../../src/base/bytes.ts';
import { STORE_BATCH_BYTES_GOAL, STORE_BATCH_ROWS_MAX } from '../../src/base/limits.ts';
import type { Operation, Range, Row, Store } from '../../src/store/store.ts';

export interface OpenedStore extends AsyncDisposable {
  readonly store: Store;
}

const LOOSE = { durable: false };
const ALL: Range = { gte: new Uint8Array(0), lt: Uint8Array.of(0xff, 0xff, 0xff, 0xff) };

export function put(key: Uint8Array | string, value: Uint8Array | string): Operation {
  return { type: 'put', key: bytes(key), value: bytes(value) };
}

export function del(key: Uint8Array | string): Operation {
  return { type: 'del', key: bytes(key) };
}

function bytes(value: Uint8Array | string): Uint8Array {
  return typeof value === 'string' ? utf8(value) : value;
}

/** Rows as text: `key=value`, one character per byte. */
export async function rowsOf(store: Store, range: Range = ALL): Promise<string[]> {
  const rows: string[] = [];
  for await (const batch of store.iterate(range)) for (const [key, value] of batch) rows.push(`${byteKey(key)}=${byteKey(value)}`);
  return rows;
}

function range(gte: string, lt: string, more: Partial<Range> = {}): Range {
  return { gte: utf8(gte), lt: utf8(lt), ...more };
}

function read(store: Store, key: string): string | undefined {
  const value = store.get(utf8(key));
  return value === undefined ? undefined : byteKey(value);
}

export function storeContract(name: string, open: () => Promise<OpenedStore>): void {
  /** Runs `body` with an empty store and closes it whatever happens. */
  async function withStore(body: (store: Store) => Promise<void>): Promise<void> {
    const opened = await open();
    try {
      await body(opened.store);
    } finally {
      await opened[Symbol.asyncDispose]();
    }
  }

  describe(`${name} keeps the store contract`, () => {
    it('gives back what was put, and undefined for what was not', () =>
      withStore(async (store) => {
        expect(read(store, 'a')).toBeUndefined();
        await store.write([put('a', '1'), put('b', '2')], LOOSE);
        await store.write([put('a', '3')], { durable: true });
        expect([read(store, 'a'), read(store, 'b'), read(store, 'ab')]).toEqual(['3', '2', undefined]);
      }));

    it('deletes, and takes the delete of an absent key', () =>
      withStore(async (store) => {
        await store.write([put('a', '1'), put('b', '2')], LOOSE);
        await store.write([del('a'), del('zz')], LOOSE);
        expect(read(store, 'a')).toBeUndefined();
        expect(await rowsOf(store)).toEqual(['b=2']);
      }));

    it('lets the later operation of a batch count', () =>
      withStore(async (store) => {
        await store.write([put('a', '1'), put('a', '2'), put('b', '1'), del('b'), del('c'), put('c', '1')], LOOSE);
        expect(await rowsOf(store)).toEqual(['a=2', 'c=1']);
      }));

    it('keeps empty values apart from absent ones', () =>
      withStore(async (store) => {
        await store.write([put('a', '')], LOOSE);
        expect(store.get(utf8('a'))).toHaveLength(0);
        expect(await rowsOf(store)).toEqual(['a=']);
      }));

    it('takes an empty batch, durable or not', () =>
      withStore(async (store) => {
        await store.write([], LOOSE);
        await store.write([put('a', '1')], LOOSE);
        await store.write([], { durable: true });
        expect(await rowsOf(store)).toEqual(['a=1']);
      }));

    it('orders keys by their bytes, 0x00 and 0xff included', () =>
      withStore(async (store) => {
        const keys = [[0xff, 0xff], [0], [0x61], [0, 0], [0x61, 0], [0xff], [0x61, 0xff], [0x80], [0x7f], [0xff, 0]];
        await store.write(
          keys.map((key) => put(Uint8Array.from(key), Uint8Array.from(key).reverse())),
          LOOSE,
        );
        const rows: Row[] = [];
        for await (const batch of store.iterate(ALL)) rows.push(...batch);
        const sorted = keys.map((key) => Uint8Array.from(key)).sort(compareBytes);
        expect(rows.map(([key]) => [...key])).toEqual(sorted.map((key) => [...key]));
        for (const key of sorted) expect([...store.get(key)!]).toEqual([...key].reverse());
      }));

    it('includes gte, excludes lt, reverses, limits', () =>
      withStore(async (store) => {
        await store.write(
          [...'abcdef'].map((key) => put(key, '')),
          LOOSE,
        );
        const keys = async (of: Range): Promise<string> => (await rowsOf(store, of)).map((row) => row[0]).join('');
        expect(await keys(range('b', 'e'))).toBe('bcd');
        expect(await keys(range('b', 'e', { reverse: true }))).toBe('dcb');
        expect(await keys(range('b', 'e', { limit: 2 }))).toBe('bc');
        expect(await keys(range('b', 'e', { limit: 2, reverse: true }))).toBe('dc');
        expect(await keys(range('b', 'e', { limit: 0 }))).toBe('');
        expect(await keys(range('b', 'e', { limit: 9 }))).toBe('bcd');
        expect(await keys(range('bb', 'dd'))).toBe('cd');
        expect(await keys(range('bb', 'dd', { reverse: true }))).toBe('dc');
        expect(await keys(range('', 'zz', { reverse: true }))).toBe('fedcba');
        for (const reverse of [false, true]) {
          expect(await keys(range('c', 'c', { reverse }))).toBe('');
          expect(await keys(range('d', 'c', { reverse }))).toBe('');
          expect(await keys(range('', '', { reverse }))).toBe('');
          expect(await keys(range('x', 'z', { reverse }))).toBe('');
          expect(await keys(range('', 'a', { reverse }))).toBe('');
        }
      }));

    it('hands out bounded, non-empty batches', () =>
      withStore(async (store) => {
        const count = 2 * STORE_BATCH_ROWS_MAX + 1;
        await store.write(
          Array.from({ length: count }, (_, index) => put(`s${String(index).padStart(6, '0')}`, 'v')),
          LOOSE,
        );
        const large = new Uint8Array(STORE_BATCH_BYTES_GOAL / 4);
        await store.write(
          Array.from({ length: 20 }, (_, index) => put(`t${String.fromCharCode(65 + index)}`, large)),
          LOOSE,
        );
        for (const reverse of [false, true]) {
          const small: number[] = [];
          for await (const batch of store.iterate(range('s', 't', { reverse }))) small.push(batch.length);
          expect(small.reduce((sum, length) => sum + length, 0)).toBe(count);
          expect(Math.max(...small)).toBeLessThanOrEqual(STORE_BATCH_ROWS_MAX);
          expect(Math.min(...small)).toBeGreaterThan(0);
          const big: number[] = [];
          for await (const batch of store.iterate(range('t', 'u', { reverse }))) big.push(batch.length);
          expect(big.reduce((sum, length) => sum + length, 0)).toBe(20);
          expect(Math.max(...big)).toBeLessThanOrEqual(5);
        }
      }));

    it('iterates over the state at its start', () =>
      withStore(async (store) => {
        const rows = Array.from({ length: 3 * STORE_BATCH_ROWS_MAX }, (_, index) => put(String(index).padStart(6, '0'), 'old'));
        await store.write(rows, LOOSE);
        const iterator = store.iterate(ALL)[Symbol.asyncIterator]();
        const seen = [...(await iterator.next()).value!];
        await store.write([...rows.map(({ key }) => (key.at(-1)! % 2 === 0 ? del(key) : put(key, 'new'))), put('9', 'added')], LOOSE);
        for (let step = await iterator.next(); step.done !== true; step = await iterator.next()) seen.push(...step.value);
        expect(seen).toHaveLength(rows.length);
        expect(new Set(seen.map(([, value]) => byteKey(value)))).toEqual(new Set(['old']));
        expect(new Set((await rowsOf(store)).map((row) => row.split('=')[1]))).toEqual(new Set(['new', 'added']));
      }));

    it('lets an iteration stop early', () =>
      withStore(async (store) => {
        const rows = Array.from({ length: 2 * STORE_BATCH_ROWS_MAX }, (_, index) => put(String(index).padStart(6, '0'), 'v'));
        await store.write(rows, LOOSE);
        let batches = 0;
        for await (const _ of store.iterate(ALL)) {
          batches++;
          break;
        }
        expect(batches).toBe(1);
        expect(await rowsOf(store)).toHaveLength(rows.length);
      }));

    it('applies batches in the order of the calls, and shows each as a whole', () =>
      withStore(async (store) => {
        const names = Array.from({ length: 200 }, (_, index) => `k${index}`);
        const writes: Promise<void>[] = [];
        for (let round = 0; round < 30; round++) {
          writes.push(
            store.write(
              names.map((key) => put(key, String(round))),
              { durable: round % 10 === 0 },
            ),
          );
          const values = new Set((await rowsOf(store)).map((row) => row.split('=')[1]));
          expect(values.size).toBeLessThanOrEqual(1);
        }
        await Promise.all(writes);
        expect(new Set(names.map((key) => read(store, key)))).toEqual(new Set(['29']));
      }));

    it('lets no write overtake an earlier one, durable or not', () =>
      withStore(async (store) => {
        for (let round = 0; round < 20; round++) {
          const filler = Array.from({ length: 500 }, (_, index) => put(`k${index}`, String(round)));
          await Promise.all([
            store.write([...filler, put('a', 'first')], LOOSE),
            store.write([put('a', 'second')], { durable: true }),
            store.write([put('a', 'third')], LOOSE),
          ]);
          expect(read(store, 'a')).toBe('third');
        }
      }));

    it('does not share memory with its callers once a write has resolved', () =>
      withStore(async (store) => {
        const key = utf8('a');
        const value = utf8('1');
        await store.write([put(key, value)], LOOSE);
        key[0] = 0x7a;
        value[0] = 0x7a;
        expect(await rowsOf(store)).toEqual(['a=1']);
      }));

    it('answers CLOSED after close, which waits for the writes before it', () =>
      withStore(async (store) => {
        await store.write(
          Array.from({ length: 2 * STORE_BATCH_ROWS_MAX }, (_, index) => put(`k${index}`, 'v')),
          LOOSE,
        );
        const iterator = store.iterate(ALL)[Symbol.asyncIterator]();
        await iterator.next();
        let written = 0;
        const writes = ['1', '2', '3'].map((value) => store.write([put('a', value)], { durable: true }).then(() => written++));
        await store.close();
        await new Promise((resolve) => setImmediate(resolve));
        expect(written).toBe(3);
        await Promise.all(writes);
        const closedError = expect.objectContaining({ name: 'SamerootError', code: 'CLOSED' });
        expect(() => store.get(utf8('a'))).toThrow(closedError);
        await expect(store.write([put('a', '2')], LOOSE)).rejects.toEqual(closedError);
        await expect(iterator.next()).rejects.toEqual(closedError);
        await expect(store.iterate(ALL)[Symbol.asyncIterator]().next()).rejects.toEqual(closedError);
        await store.close();
        await store[Symbol.asyncDispose]();
      }));

    it('equals a sorted map, whatever is written and asked', () =>
      withStore(async (store) => {
        const key = fc.uint8Array({ minLength: 1, maxLength: 4 }).map((array) => array.map((byte) => [0, 1, 0x61, 0xfe, 0xff][byte % 5]!));
        const value = fc.uint8Array({ maxLength: 3 });
        const operation = fc.oneof(
          { weight: 3, arbitrary: fc.record({ type: fc.constant('put' as const), key, value }) },
          { weight: 1, arbitrary: fc.record({ type: fc.constant('del' as const), key }) },
        );
        const bound = fc.oneof(key, fc.constant(new Uint8Array(0)));
        const question = fc.record(
          { gte: bound, lt: bound, reverse: fc.boolean(), limit: fc.nat({ max: 20 }) },
          { requiredKeys: ['gte', 'lt'] },
        );
        const model = new Map<string, string>();
        await fc.assert(
          fc.asyncProperty(
            fc.array(fc.array(operation, { maxLength: 20 }), { maxLength: 4 }),
            fc.array(question),
            async (batches, questions) => {
              for (const batch of batches) {
                await store.write(batch, LOOSE);
                for (const operation of batch) {
                  if (operation.type === 'put') model.set(byteKey(operation.key), byteKey(operation.value));
                  else model.delete(byteKey(operation.key));
                }
              }
              const sorted = [...model].sort(([a], [b]) => compareBytes(fromByteKey(a), fromByteKey(b)));
              for (const range of questions) {
                const rows = sorted.filter(([key]) => key >= byteKey(range.gte) && key < byteKey(range.lt));
                if (range.reverse === true) rows.reverse();
                expect(await rowsOf(store, range)).toEqual(rows.slice(0, range.limit).map(([key, value]) => `${key}=${value}`));
                const found = store.get(range.gte);
                expect(found === undefined ? undefined : byteKey(found)).toBe(model.get(byteKey(range.gte)));
              }
            },
          ),
          { numRuns: 50 },
        );
      }));
  });
}
