import { describe, expect, it } from 'vitest';
import { MemoryStore } from '../../src/store/memory-store.ts';
import { put, rowsOf, storeContract } from '../contracts/store-contract.ts';

storeContract('memory-store', async () => {
  const store = new MemoryStore();
  return { store, [Symbol.asyncDispose]: () => store.close() };
});

describe('memory-store', () => {
  it('holds many rows in order, whatever order they come in', async () => {
    const store = new MemoryStore();
    const count = 20_011;
    for (let start = 0; start < count; start += 100) {
      const indexes = Array.from({ length: Math.min(100, count - start) }, (_, offset) => ((start + offset) * 7919) % count);
      await store.write(
        indexes.map((index) => put(String(index).padStart(6, '0'), 'v')),
        { durable: false },
      );
    }
    const rows = await rowsOf(store);
    expect(rows).toEqual(Array.from({ length: count }, (_, index) => `${String(index).padStart(6, '0')}=v`));
  });

  it('shows a write only when it has had its turn, as a store on disk does', async () => {
    const store = new MemoryStore();
    const write = store.write([put('a', '1')], { durable: false });
    expect(await Promise.resolve(store.get(new TextEncoder().encode('a')))).toBeUndefined();
    await write;
    expect(await rowsOf(store)).toEqual(['a=1']);
  });
});
