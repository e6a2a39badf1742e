import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { byteKey, equalBytes, utf8 } from '../../src/base/bytes.ts';
import { hash as hashOf } from '../../src/content/hash.ts';
import { ChunkStore } from '../../src/store/chunk-store.ts';
import { chunkBytesKey, chunkSequenceKey, PREFIX, prefixRange } from '../../src/store/keyspace.ts';
import { MemoryStore } from '../../src/store/memory-store.ts';
import type { Operation } from '../../src/store/store.ts';
import { rowsOf } from '../contracts/store-contract.ts';

const LOOSE = { durable: false };

interface Chunk {
  readonly hash: Uint8Array;
  readonly bytes: Uint8Array;
}

function chunk(text: string): Chunk {
  const bytes = utf8(text);
  return { hash: hashOf('chunk', bytes), bytes };
}

async function rowCounts(store: MemoryStore): Promise<readonly number[]> {
  const bytes = await rowsOf(store, prefixRange(PREFIX.chunkBytes));
  const index = await rowsOf(store, prefixRange(PREFIX.chunkSequence));
  return [bytes.length, index.length];
}

describe('chunk-store', () => {
  it('gives a chunk back when its rows are written, not before', async () => {
    const store = new MemoryStore();
    const chunks = await ChunkStore.open(store);
    const { hash, bytes } = chunk('one');
    const operations = chunks.operations(hash, bytes);
    expect([chunks.has(hash), chunks.get(hash)]).toEqual([false, undefined]);
    await store.write(operations, LOOSE);
    expect(chunks.has(hash)).toBe(true);
    expect(equalBytes(chunks.get(hash)!, bytes)).toBe(true);
    expect(chunks.operations(hash, bytes)).toEqual([]);
  });

  it('stores nothing under a hash it does not have', async () => {
    const chunks = await ChunkStore.open(new MemoryStore());
    expect(() => chunks.operations(chunk('one').hash, utf8('two'))).toThrow('its own hash');
    expect(() => chunks.operations(hashOf('page', utf8('one')), utf8('one'))).toThrow('its own hash');
  });

  it('appends: sequences grow, also after reopening', async () => {
    const store = new MemoryStore();
    let chunks = await ChunkStore.open(store);
    for (const text of ['a', 'b', 'c']) await store.write(chunks.operations(chunk(text).hash, utf8(text)), LOOSE);
    chunks = await ChunkStore.open(store);
    await store.write(chunks.operations(chunk('d').hash, utf8('d')), LOOSE);
    const rows = await rowsOf(store, prefixRange(PREFIX.chunkBytes));
    expect(rows).toEqual(['a', 'b', 'c', 'd'].map((text, index) => `${byteKey(chunkBytesKey(index))}=${text}`));
    expect(chunks.get(chunk('a').hash)).toEqual(utf8('a'));
  });

  it('keeps one copy of a chunk asked for twice before it is written', async () => {
    const store = new MemoryStore();
    const chunks = await ChunkStore.open(store);
    const { hash, bytes } = chunk('one');
    const lost = chunks.operations(hash, bytes);
    const first = chunks.operations(hash, bytes);
    const second = chunks.operations(hash, bytes);
    expect(second).toEqual(lost);
    await Promise.all([store.write(first, LOOSE), store.write(second, LOOSE)]);
    expect(await rowCounts(store)).toEqual([1, 1]);
  });

  it('removes both rows', async () => {
    const store = new MemoryStore();
    const chunks = await ChunkStore.open(store);
    const { hash, bytes } = chunk('one');
    expect(chunks.remove(hash)).toEqual([]);
    await store.write(chunks.operations(hash, bytes), LOOSE);
    await store.write(chunks.remove(hash), LOOSE);
    expect([chunks.has(hash), chunks.get(hash)]).toEqual([false, undefined]);
    expect(await rowCounts(store)).toEqual([0, 0]);
  });

  it('stores a chunk anew that is on its way out', async () => {
    const store = new MemoryStore();
    const chunks = await ChunkStore.open(store);
    const { hash, bytes } = chunk('one');
    await store.write(chunks.operations(hash, bytes), LOOSE);
    const removed = store.write(chunks.remove(hash), LOOSE);
    expect(chunks.has(hash)).toBe(false);
    const stored = store.write(chunks.operations(hash, bytes), LOOSE);
    await Promise.all([removed, stored]);
    expect(chunks.get(hash)).toEqual(bytes);
    expect(await rowCounts(store)).toEqual([1, 1]);
  });

  it('says DATABASE_DAMAGED when the index names a row that is not there, or no row', async () => {
    const store = new MemoryStore();
    const chunks = await ChunkStore.open(store);
    const { hash, bytes } = chunk('one');
    await store.write(chunks.operations(hash, bytes), LOOSE);
    await store.write([{ type: 'del', key: chunkBytesKey(0) }], LOOSE);
    expect(() => chunks.get(hash)).toThrow(expect.objectContaining({ code: 'DATABASE_DAMAGED' }));
    await store.write([{ type: 'put', key: chunkSequenceKey(hash), value: utf8('x') }], LOOSE);
    expect(() => chunks.get(hash)).toThrow(expect.objectContaining({ code: 'DATABASE_DAMAGED' }));
  });

  it('equals a set of chunks under any puts, removals, failed batches and reopenings, with no row left over', async () => {
    const step = fc.record({
      what: fc.constantFrom('put', 'put', 'remove', 'forget', 'reopen'),
      text: fc.nat({ max: 5 }).map(String),
      wait: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const store = new MemoryStore();
        let chunks = await ChunkStore.open(store);
        const model = new Set<string>();
        const writes: Promise<void>[] = [];
        for (const { what, text, wait } of steps) {
          const { hash, bytes } = chunk(text);
          let operations: Operation[] = [];
          if (what === 'put') {
            operations = chunks.operations(hash, bytes);
            model.add(text);
          } else if (what === 'remove') {
            // A chunk under way is no chunk to collect: its owner waits for it first.
            await Promise.all(writes);
            operations = chunks.remove(hash);
            model.delete(text);
          } else if (what === 'forget') {
            chunks.operations(hash, bytes);
          } else {
            await Promise.all(writes);
            chunks = await ChunkStore.open(store);
          }
          writes.push(store.write(operations, LOOSE));
          if (wait) await Promise.all(writes);
        }
        await Promise.all(writes);
        for (const text of ['0', '1', '2', '3', '4', '5']) {
          expect(chunks.has(chunk(text).hash)).toBe(model.has(text));
          expect(chunks.get(chunk(text).hash)).toEqual(model.has(text) ? utf8(text) : undefined);
        }
        expect(await rowCounts(store)).toEqual([model.size, model.size]);
      }),
      { numRuns: 200 },
    );
  });

  it('forgets what it remembered of many chunks, and still keeps one copy of each', async () => {
    const store = new MemoryStore();
    const chunks = await ChunkStore.open(store);
    const count = 3000;
    const all = Array.from({ length: count }, (_, index) => chunk(`chunk ${index}`));
    for (const { hash, bytes } of all) await store.write(chunks.operations(hash, bytes), LOOSE);
    for (const { hash, bytes } of all) expect(chunks.operations(hash, bytes)).toEqual([]);
    const removals = all.flatMap(({ hash }) => chunks.remove(hash));
    await store.write(removals, LOOSE);
    expect(await rowCounts(store)).toEqual([0, 0]);
  });
});
