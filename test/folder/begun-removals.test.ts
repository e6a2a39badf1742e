import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { realClock } from '../../src/app/real-world.ts';
import { BegunRemovals } from '../../src/folder/begun-removals.ts';
import type { Disk } from '../../src/folder/disk.ts';
import { getPlaced, placeRows } from '../../src/folder/placed.ts';
import { realDisk } from '../../src/folder/real-disk.ts';
import { Replica } from '../../src/replica/replica.ts';
import { metaKey } from '../../src/store/keyspace.ts';
import { MemoryStore } from '../../src/store/memory-store.ts';
import { seededRandom, smallShare } from '../replica/world.ts';
import { inlineThread } from './ingest-world.ts';

let root: string;
let store: MemoryStore;
let replica: Replica;

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'sameroot-begun-'));
  store = new MemoryStore();
  replica = await Replica.create(store, smallShare(), realClock, seededRandom(1));
});
afterEach(() => rmSync(root, { recursive: true }));

/** As after a start. */
const open = (disk?: Partial<Disk>): BegunRemovals =>
  new BegunRemovals({ root, replica, writeThread: inlineThread({ ...realDisk, ...disk }) });

async function place(path: string): Promise<void> {
  const stat = { inode: 1, bytes: 0, mtimeMs: 0, ctimeMs: 0, mode: 0o644 };
  const placed = { kind: 'symlink', stat, content: undefined, target: Buffer.from('x'), owner: path, dots: [], copies: false } as const;
  await store.write(placeRows(path, placed, undefined), { durable: true });
}

test('what was begun is known after a restart, until its end is written', async () => {
  const long = `ü/${'x'.repeat(200)}`;
  mkdirSync(join(root, 'ü'));
  for (const path of ['a', long, 'ü/b']) writeFileSync(join(root, path), '');
  const begun = open();
  await begun.begin(['a', long]);
  await begun.begin(['ü/b', 'a']);
  const rows = begun.end(['a', 'never begun']);
  expect(begun.paths).toEqual([long, 'ü/b']);
  expect(open().paths).toEqual(['a', long, 'ü/b']);
  await store.write(rows, { durable: true });
  const after = open();
  expect(after.paths).toEqual([long, 'ü/b']);
  await store.write(after.end([long, 'ü/b']), { durable: true });
  expect(store.get(metaKey('removals'))).toBeUndefined();
});

test('the rows of what is gone go with the end, and no others', async () => {
  for (const path of ['gone', 'there', 'other']) await place(path);
  for (const path of ['gone', 'there', 'without a row']) writeFileSync(join(root, path), '');
  await open().begin(['gone', 'there', 'without a row']);
  for (const path of ['gone', 'without a row']) rmSync(join(root, path));
  const begun = open();
  await begun.settle();
  expect(begun.paths).toEqual([]);
  expect(store.get(metaKey('removals'))).toBeUndefined();
  expect(['gone', 'there', 'other'].map((path) => getPlaced(store, path) !== undefined)).toEqual([false, true, true]);
});

test('what the disk does not tell, or the database does not take, stays begun', async () => {
  await place('a');
  for (const path of ['a', 'b']) writeFileSync(join(root, path), '');
  await open().begin(['a']);
  rmSync(join(root, 'a'));
  const lstat = (): never => {
    throw Object.assign(new Error('EIO'), { code: 'EIO' });
  };
  const blind = open({ lstat });
  await expect(blind.settle()).rejects.toThrow(expect.objectContaining({ code: 'IO_ERROR' }));
  expect([blind.paths, open().paths, getPlaced(store, 'a') !== undefined]).toEqual([['a'], ['a'], true]);

  const write = store.write.bind(store);
  store.write = () => Promise.reject(new Error('full'));
  const begun = open();
  await expect(begun.settle()).rejects.toThrow('full');
  await expect(begun.begin(['b'])).rejects.toThrow('full');
  expect(begun.paths).toEqual(['a']);
  store.write = write;
  await begun.settle();
  expect([existsSync(join(root, 'a')), getPlaced(store, 'a')]).toEqual([false, undefined]);
});

test('nothing is written where nothing new is begun, or nothing known has ended', async () => {
  const written: boolean[] = [];
  const write = store.write.bind(store);
  store.write = (operations, options) => (written.push(options.durable), write(operations, options));
  const begun = open();
  await begun.begin([]);
  await begun.settle();
  expect(begun.end(['a'])).toEqual([]);
  // Somebody else has removed it.
  await begun.begin(['a']);
  expect(written).toEqual([]);
  writeFileSync(join(root, 'a'), '');
  await begun.begin(['a']);
  await begun.begin(['a']);
  expect(written).toEqual([true]);
});

test.each([
  ['a path that ends too early', [5, 97]],
  ['a path that is not UTF-8', [1, 0xff]],
])('a row with %s is refused', async (_what, bytes) => {
  await store.write([{ type: 'put', key: metaKey('removals'), value: Uint8Array.from(bytes) }], { durable: true });
  expect(() => open()).toThrow(expect.objectContaining({ code: 'BAD_ENCODING' }));
});
