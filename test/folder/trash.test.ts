import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { silentLog } from '../../src/base/world.ts';
import { ContentIndex } from '../../src/folder/content-index.ts';
import { DiskThread } from '../../src/folder/disk-thread.ts';
import { Trash } from '../../src/folder/trash.ts';
import * as keyspace from '../../src/store/keyspace.ts';
import { Fixture, noise, type Thing } from './disk-fixture.ts';

const thread = new DiskThread('write');
let fixture: Fixture;

beforeEach(async () => {
  fixture = await Fixture.make(thread);
});
afterEach(() => fixture.dispose());
afterAll(() => thread[Symbol.asyncDispose]());

const DAY_MS = 86_400_000;
const at = (path: string): string => join(fixture.root, '.sameroot/trash', path);
const file = (data: Uint8Array | string): Thing => ({ kind: 'file', data });

async function show(things: Record<string, Thing>): Promise<void> {
  expect(await fixture.materialiser.project(await fixture.receive(things))).toMatchObject({ dirty: [], missing: [], waiting: [] });
}

async function rowCount(): Promise<number> {
  let count = 0;
  for await (const rows of fixture.store.iterate(keyspace.prefixRange(keyspace.PREFIX.trash))) count += rows.length;
  return count;
}

test('the content of a deleted file is still found, and its row says what it is', async () => {
  const data = noise(300_000);
  await show({ 'a/b': file(data) });
  const content = fixture.chunk(data).id;
  await show({ 'a/b': undefined });
  const path = new ContentIndex(fixture.store).path(content)!;
  expect(path).toBe(`.sameroot/trash/${fixture.trash.day()}/a/b`);
  expect(Buffer.compare(readFileSync(join(fixture.root, path)), data)).toBe(0);
  expect(fixture.trash.get(path)).toMatchObject({ owner: 'a/b', kind: 'file' });
});

test('a path that was a folder and then a file, deleted on one day: both are kept', async () => {
  await show({ 'x/y': file('deep') });
  await show({ 'x/y': undefined });
  await show({ x: file('flat') });
  await show({ x: undefined });
  await show({ x: file('flat again') });
  await show({ x: undefined });
  const day = fixture.trash.day();
  const names = readdirSync(at(day)).filter((name) => name.startsWith('~'));
  expect(readFileSync(at(`${day}/x/y`), 'utf8')).toBe('deep');
  expect(names.map((name) => readFileSync(at(`${day}/${name}/x`), 'utf8')).toSorted()).toEqual(['flat', 'flat again']);
});

test('a link in the trash never becomes part of a path there', async () => {
  await show({ target: { kind: 'directory' }, d: { kind: 'symlink', target: 'target' } });
  await show({ d: { kind: 'directory' }, 'd/f': file('f') });
  await show({ 'd/f': undefined });
  const day = fixture.trash.day();
  expect(readFileSync(at(`${day}/d/f`), 'utf8')).toBe('f');
  expect(existsSync(at(`${day}/target`))).toBe(false);
});

test('30 days, then files, rows and folders are gone', async () => {
  await show({ a: file('a'), l: { kind: 'symlink', target: 'a' } });
  await show({ a: undefined, l: undefined });
  const old = fixture.trash.day();
  fixture.clock.ms += 20 * DAY_MS;
  await show({ b: file('b') });
  await show({ b: undefined });
  expect(await fixture.trash.expire()).toEqual({ files: 0, bytes: 0 });
  fixture.clock.ms += 11 * DAY_MS;
  expect(await fixture.trash.expire()).toEqual({ files: 1, bytes: 1 });
  expect(readdirSync(at(''))).toEqual([fixture.trash.day(11)]);
  expect(existsSync(at(old))).toBe(false);
  expect(await rowCount()).toBe(1);
  expect(new ContentIndex(fixture.store).holds(fixture.chunk('a').id)).toBe(false);
});

test('over its bound the trash loses its oldest files first', async () => {
  for (const [index, path] of ['one', 'two', 'three'].entries()) {
    await show({ [path]: file(noise(1000, index)) });
    await show({ [path]: undefined });
    fixture.clock.ms += DAY_MS;
  }
  const { root, store, clock } = fixture;
  const bounded = new Trash({ root, store, access: fixture.access, writeThread: thread, clock, log: silentLog, maxBytes: 2000 });
  expect(await bounded.expire()).toEqual({ files: 1, bytes: 1000 });
  expect(existsSync(at(`${fixture.trash.day(3)}/one`))).toBe(false);
  expect(existsSync(at(`${fixture.trash.day(2)}/two`))).toBe(true);
  expect(await rowCount()).toBe(2);
});
