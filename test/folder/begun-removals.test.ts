import { beforeEach, expect, test } from 'vitest';
import { BegunRemovals } from '../../src/folder/begun-removals.ts';
import { KEY_BYTES_MAX } from '../../src/base/limits.ts';
import { metaKey } from '../../src/store/keyspace.ts';
import { MemoryStore } from '../../src/store/memory-store.ts';

let store: MemoryStore;

beforeEach(() => (store = new MemoryStore()));

test('what was begun is known after a restart, until its end is written', async () => {
  const long = `folder/${'x'.repeat(KEY_BYTES_MAX - 7)}`;
  const begun = new BegunRemovals(store);
  await begun.begin(['a', long]);
  await begun.begin(['ü/b', 'a']);
  const rows = begun.end(['a', 'never begun']);
  expect([begun.has('a'), begun.has(long)]).toEqual([false, true]);
  const before = new BegunRemovals(store);
  expect(['a', long, 'ü/b'].map((path) => before.has(path))).toEqual([true, true, true]);
  await store.write(rows, { durable: true });
  const after = new BegunRemovals(store);
  expect(['a', long, 'ü/b'].map((path) => after.has(path))).toEqual([false, true, true]);
  await store.write(after.end([long, 'ü/b']), { durable: true });
  expect(store.get(metaKey('removals'))).toBeUndefined();
});

test('nothing is written where nothing new is begun, or nothing known has ended', async () => {
  const written: boolean[] = [];
  const write = store.write.bind(store);
  store.write = (operations, options) => (written.push(options.durable), write(operations, options));
  const begun = new BegunRemovals(store);
  await begun.begin([]);
  expect(begun.end(['a'])).toEqual([]);
  await begun.begin(['a']);
  await begun.begin(['a']);
  expect(written).toEqual([true]);
});

test('what could not be written was not begun', async () => {
  const write = store.write.bind(store);
  store.write = () => Promise.reject(new Error('full'));
  const begun = new BegunRemovals(store);
  await expect(begun.begin(['a'])).rejects.toThrow('full');
  expect(begun.has('a')).toBe(false);
  store.write = write;
  await begun.begin(['a']);
  expect(new BegunRemovals(store).has('a')).toBe(true);
});

test.each([
  ['a path that ends too early', [5, 97]],
  ['a path that is not UTF-8', [1, 0xff]],
])('a row with %s is refused', async (_what, bytes) => {
  await store.write([{ type: 'put', key: metaKey('removals'), value: Uint8Array.from(bytes) }], { durable: true });
  expect(() => new BegunRemovals(store)).toThrow(expect.objectContaining({ code: 'BAD_ENCODING' }));
});
