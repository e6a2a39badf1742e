import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { ContentIndex } from '../../src/folder/content-index.ts';
import { DiskThread } from '../../src/folder/disk-thread.ts';
import { TrashRestore, type RestoreRequest, type RestoreResult } from '../../src/folder/trash-restore.ts';
import * as keyspace from '../../src/store/keyspace.ts';
import { Fixture, MTIME_MS, noise, type Thing } from './disk-fixture.ts';

const thread = new DiskThread('write');
let fixture: Fixture;
let takenIn: string[];

beforeEach(async () => {
  fixture = await Fixture.make(thread);
  takenIn = [];
});
afterEach(() => fixture.dispose());
afterAll(() => thread[Symbol.asyncDispose]());

const DAY_MS = 86_400_000;
const file = (data: Uint8Array | string, mode?: number): Thing => ({ kind: 'file', data, ...(mode === undefined ? {} : { mode }) });
const on = (path: string): string => join(fixture.root, path);
const text = (path: string): string => readFileSync(on(path), 'utf8');

function restorer(): TrashRestore {
  const { root, store, trash, gate, access } = fixture;
  const takeIn = async (paths: readonly string[]): Promise<void> => void takenIn.push(...paths);
  return new TrashRestore({ root, store, trash, gate, access, writeThread: thread, takeIn });
}

function restore(path: string, more: Partial<RestoreRequest> = {}): Promise<RestoreResult> {
  return restorer().restore({ path, as: undefined, day: undefined, force: false, ...more });
}

async function show(things: Record<string, Thing>): Promise<void> {
  expect(await fixture.materialiser.project(await fixture.receive(things))).toMatchObject({ dirty: [], missing: [], waiting: [] });
}

/** What a peer shows and takes away again. */
async function trashed(things: Record<string, Thing>): Promise<void> {
  await show(things);
  await show(Object.fromEntries(Object.keys(things).map((path) => [path, undefined])));
}

async function listed(prefix: string = ''): Promise<string[]> {
  const { items } = await restorer().list({ prefix, after: undefined, limit: 1_000 });
  return items.map(({ day, path, stat }) => `${day} ${path} ${stat.bytes}`);
}

/** Of everything below the trash on disk. */
function filesInTrash(): string[] {
  const names = existsSync(on('.sameroot/trash')) ? readdirSync(on('.sameroot/trash'), { recursive: true, encoding: 'utf8' }) : [];
  return names.filter((name) => !lstatSync(on(`.sameroot/trash/${name}`)).isDirectory());
}

test('a file comes back as it was: bytes, mode, time; and is taken in from the topmost folder that was made for it', async () => {
  const data = noise(300_000);
  await trashed({ 'a/b/c.bin': file(data, 0o640) });
  expect(existsSync(on('a'))).toBe(false);
  const day = fixture.trash.day();
  expect(await restore('a/b/c.bin')).toEqual({ restored: [{ path: 'a/b/c.bin', place: `.sameroot/trash/${day}/a/b/c.bin` }], skipped: [] });
  expect(Buffer.compare(readFileSync(on('a/b/c.bin')), data)).toBe(0);
  const stats = statSync(on('a/b/c.bin'));
  expect([stats.mode & 0o7777, Math.floor(stats.mtimeMs), stats.nlink]).toEqual([0o640, MTIME_MS, 1]);
  expect(takenIn).toEqual(['a']);
  expect([filesInTrash(), await listed()]).toEqual([[], []]);
  // Where it is now is for whoever takes it in to say.
  expect(new ContentIndex(fixture.store).holds(fixture.chunk(data).id)).toBe(false);
});

test('the newest of several; one of a day; under another name', async () => {
  await trashed({ n: file('first') });
  const first = fixture.trash.day();
  fixture.clock.ms += DAY_MS;
  await trashed({ n: file('second') });
  await trashed({ n: file('third, of the same day') });
  const second = fixture.trash.day();
  expect(await listed()).toEqual([`${second} n 22`, `${second} n 6`, `${first} n 5`]);
  await restore('n', { as: 'of/day one', day: first });
  expect([text('of/day one'), takenIn]).toEqual(['first', ['of']]);
  await restore('n');
  expect(text('n')).toBe('third, of the same day');
  await restore('n', { as: 'm' });
  expect(text('m')).toBe('second');
  await expect(restore('n', { as: 'l' })).rejects.toMatchObject({ code: 'NOT_FOUND' });
});

test('a folder comes back with the newest of each file; what is there stays', async () => {
  await trashed({ 'd/one': file('1'), 'd/deep/two': file('2'), 'dd/three': file('3') });
  await trashed({ 'd/one': file('newer 1') });
  mkdirSync(on('d/deep'), { recursive: true });
  writeFileSync(on('d/deep/two'), "the user's");
  const { restored, skipped } = await restore('d');
  expect(restored.map(({ path }) => path)).toEqual(['d/one']);
  expect(skipped).toMatchObject([{ path: 'd/deep/two', code: 'PATH_TAKEN' }]);
  expect([text('d/one'), text('d/deep/two')]).toEqual(['newer 1', "the user's"]);
  expect((await listed()).map((line) => line.split(' ').slice(1).join(' '))).toEqual(['dd/three 1', 'd/one 1', 'd/deep/two 1']);
  await expect(restore('d', { as: 'e' })).rejects.toMatchObject({ code: 'NOT_FOUND' });
});

test('what is there stays, or goes to the trash where that was asked for', async () => {
  await show({ n: file('old') });
  await show({ n: file('new') });
  expect(await restore('n')).toMatchObject({ restored: [], skipped: [{ path: 'n', code: 'PATH_TAKEN' }] });
  expect([text('n'), takenIn]).toEqual(['new', []]);
  expect(await restore('n', { force: true })).toMatchObject({ restored: [{ path: 'n' }], skipped: [] });
  expect(text('n')).toBe('old');
  expect(filesInTrash().map((name) => text(`.sameroot/trash/${name}`))).toEqual(['new']);
  expect(await listed('n')).toEqual([`${fixture.trash.day()} n 3`]);
  expect(await restore('n', { as: 'again' })).toMatchObject({ restored: [{ path: 'again' }] });
  expect(text('again')).toBe('new');
});

test('an edit that nobody has seen yet goes to the trash too, though no list knows its content', async () => {
  await trashed({ n: file('old') });
  writeFileSync(on('n'), 'just written');
  await restore('n', { force: true });
  expect(text('n')).toBe('old');
  expect(filesInTrash().map((name) => text(`.sameroot/trash/${name}`))).toEqual(['just written']);
  expect(await listed()).toEqual([]);
});

test('never through a link, never in place of a folder, never over what came a moment ago', async () => {
  await trashed({ 'd/f': file('f'), g: file('g') });
  mkdirSync(on('elsewhere'));
  symlinkSync('elsewhere', on('d'));
  mkdirSync(on('g'));
  expect(await restore('d/f', { force: true })).toMatchObject({ restored: [], skipped: [{ code: 'PATH_BLOCKED' }] });
  expect(await restore('g', { force: true })).toMatchObject({ restored: [], skipped: [{ code: 'PATH_BLOCKED' }] });
  expect([readdirSync(on('elsewhere')), readdirSync(on('g')), filesInTrash().length]).toEqual([[], [], 2]);
});

test('what has been taken out of the trash by hand is said to be gone', async () => {
  await trashed({ n: file('n') });
  rmSync(on(`.sameroot/trash/${fixture.trash.day()}/n`));
  expect(await restore('n')).toMatchObject({ restored: [], skipped: [{ path: 'n', code: 'NOT_FOUND' }] });
  expect(existsSync(on('n'))).toBe(false);
});

test.each(['.sameroot/db', '../x', '', 'a//b'])('%j is no path to restore, nor to restore to', async (path) => {
  await trashed({ n: file('n') });
  await expect(restore(path)).rejects.toMatchObject({ code: 'KEY_INVALID' });
  await expect(restore('n', { as: path })).rejects.toMatchObject({ code: 'KEY_INVALID' });
});

test('a crash between any two writes leaves the bytes in the folder or in the trash', async () => {
  for (const force of [false, true]) {
    for (const writes of [0, 1]) {
      const name = `n-${writes}-${force}`;
      await trashed({ [name]: file(`old ${name}`) });
      if (force) await show({ [name]: file(`new ${name}`) });
      await fixture.kill(writes, () => restore(name, { force }));
      const texts = new Set(
        [on(name), ...filesInTrash().map((path) => on(`.sameroot/trash/${path}`))].map((path) => readFileSync(path, 'utf8')),
      );
      expect([...texts]).toContain(`old ${name}`);
      if (force) expect([...texts]).toContain(`new ${name}`);
      expect(text(name)).toBe(`old ${name}`);
    }
  }
});

test('the list comes in pages, the newest day first, from one place on', async () => {
  const paths = Array.from({ length: 7 }, (_, index) => `p/${index}`);
  for (const path of paths) {
    await trashed({ [path]: file(path) });
    fixture.clock.ms += DAY_MS;
  }
  await trashed({ other: file('x') });
  const seen: string[] = [];
  let after: string | undefined;
  let pages = 0;
  do {
    const { items, next } = await restorer().list({ prefix: 'p/', after, limit: 3 });
    seen.push(...items.map(({ path }) => path));
    after = next;
    pages++;
  } while (after !== undefined);
  expect([seen, pages]).toEqual([paths.toReversed(), 3]);
});

test('emptied, nothing is left of it: files, links, rows, contents', async () => {
  await trashed({ a: file('a'), 'b/c': file(noise(200_000)), l: { kind: 'symlink', target: 'a' } });
  fixture.clock.ms += 3 * DAY_MS;
  await trashed({ d: file('d') });
  expect(filesInTrash()).toHaveLength(4);
  expect(await fixture.trash.empty()).toEqual({ files: 3, bytes: 200_002 });
  expect(readdirSync(on('.sameroot/trash'))).toEqual([]);
  for await (const rows of fixture.store.iterate(keyspace.prefixRange(keyspace.PREFIX.trash))) expect(rows).toEqual([]);
  expect(new ContentIndex(fixture.store).holds(fixture.chunk('a').id)).toBe(false);
  expect(await fixture.trash.empty()).toEqual({ files: 0, bytes: 0 });
});
