import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  chmodSync,
} from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { singleChunk } from '../../src/content/content-list.ts';
import { hash } from '../../src/content/hash.ts';
import { write, type Value } from '../../src/entry/entry.ts';
import { conflictName } from '../../src/entry/view.ts';
import { diskStat } from '../../src/folder/disk-stat.ts';
import { DiskThread } from '../../src/folder/disk-thread.ts';
import { fileKey } from '../../src/folder/paths.ts';
import { getPlaced, placeRows, sameStat, unplaceRows } from '../../src/folder/placed.ts';
import { todoRow } from '../../src/folder/todo.ts';
import { Fixture, MTIME_MS, noise, shown, type Thing } from './disk-fixture.ts';

const thread = new DiskThread('write');
let fixture: Fixture;

beforeEach(async () => {
  fixture = await Fixture.make(thread);
});
afterEach(() => fixture.dispose());
afterAll(() => thread[Symbol.asyncDispose]());

const file = (data: Uint8Array | string, mode = 0o644, mtimeMs = MTIME_MS): Thing => ({ kind: 'file', data, mode, mtimeMs });
const folder = (mode = 0o755): Thing => ({ kind: 'directory', mode });
const LARGE: Record<string, Uint8Array> = { 'large-1': noise(90_000, 1), 'large-2': noise(300_000, 2) };
const at = (path: string): string => join(fixture.root, path);
const inode = (path: string): number => lstatSync(at(path)).ino;

async function show(things: Record<string, Thing>, seen: 'all' | 'nothing' = 'all', peer?: string): Promise<void> {
  const result = await fixture.materialiser.project(await fixture.receive(things, seen, peer));
  expect(result).toMatchObject({ dirty: [], missing: [], waiting: [] });
  expect(result.done).toHaveLength(Object.keys(things).length);
}

/** The rows are the disk: nothing would look like an edit. */
function expectRowsMatch(): void {
  for (const path of Object.keys(fixture.tree())) {
    const row = getPlaced(fixture.store, path);
    const stat = diskStat(lstatSync(at(path)));
    expect(row, path).toBeDefined();
    if (row!.kind === 'directory') expect([row!.stat.inode, row!.stat.mode], path).toEqual([stat.inode, stat.mode]);
    else expect(sameStat(row!.stat, stat), path).toBe(true);
  }
}

describe('what a peer wrote appears', () => {
  test('files, folders, links: bytes, mode, time', async () => {
    const things = {
      a: folder(0o750),
      'a/empty': file(''),
      'a/script': file('#!/bin/sh\n', 0o755, 1_234_567_890_999),
      'a/old': file('before 1970', 0o600, -5_001),
      big: file(noise(700_000)),
      link: { kind: 'symlink', target: 'a/script' } as Thing,
    };
    await show(things);
    expect(fixture.tree()).toEqual(Object.fromEntries(Object.entries(things).map(([path, thing]) => [path, shown(thing)])));
    expectRowsMatch();
    expect(await fixture.todo()).toBe(0);
    expect(readdirSync(at('.sameroot/tmp')).filter((name) => !name.startsWith('notes-'))).toEqual([]);
  });

  test('parents are made although their entries have not come, and get their mode when they do', async () => {
    await show({ 'x/y/z': file('deep') });
    expect(fixture.tree()).toEqual({ x: 'dir 755', 'x/y': 'dir 755', 'x/y/z': shown(file('deep')) });
    expectRowsMatch();
    await show({ x: folder(0o700) });
    expect(fixture.tree()).toMatchObject({ x: 'dir 700' });
    expectRowsMatch();
  });

  test('into a folder without write permission', async () => {
    await show({ locked: folder(0o555), 'locked/a': file('1') });
    await show({ 'locked/a': file('2'), 'locked/b': file('3') });
    expect(fixture.tree()).toEqual({ locked: 'dir 555', 'locked/a': shown(file('2')), 'locked/b': shown(file('3')) });
    chmodSync(at('locked'), 0o755);
  });

  test('a change replaces the file and leaves the old one in the trash', async () => {
    await show({ a: file('one') });
    await show({ a: file('two') });
    expect(readFileSync(at('a'), 'utf8')).toBe('two');
    expect(readFileSync(at(`.sameroot/trash/${fixture.trash.day()}/a`), 'utf8')).toBe('one');
    await show({ a: file('three') });
    const day = at(`.sameroot/trash/${fixture.trash.day()}`);
    expect(readFileSync(join(day, 'a'), 'utf8')).toBe('one');
    const other = readdirSync(day).find((name) => name.startsWith('~'))!;
    expect(readFileSync(join(day, other, 'a'), 'utf8')).toBe('two');
  });

  test('a copy of a file that is here already; not where its entry says another size than its list', async () => {
    await show({ a: file(noise(300_000)) });
    const copied = await fixture.materialiser.project(await fixture.commit({ b: file(noise(300_000)) }));
    expect(copied).toMatchObject({ missing: [], dirty: [] });
    expect(fixture.tree()).toMatchObject({ b: shown(file(noise(300_000))) });
    for (const bytes of [299_999, 300_001]) {
      const value = fixture.value.bind(fixture);
      fixture.value = (thing) => ({ ...value(thing), bytes }) as Value;
      const { missing, done } = await fixture.materialiser.project(await fixture.commit({ c: file(noise(300_000)) }));
      expect([missing.length, done]).toEqual([1, []]);
      expect(Object.keys(fixture.tree())).toEqual(['a', 'b']);
      fixture.value = value;
    }
  });

  test('a change of mode and time keeps the file', async () => {
    await show({ a: file('same') });
    const before = inode('a');
    await show({ a: file('same', 0o600, MTIME_MS + 5) });
    expect(fixture.tree()).toEqual({ a: shown(file('same', 0o600, MTIME_MS + 5)) });
    expect(inode('a')).toBe(before);
    expectRowsMatch();
  });

  test('deletes go deepest first; what was deleted is in the trash', async () => {
    await show({ d: folder(), 'd/e': folder(), 'd/e/f': file('bytes'), 'd/l': { kind: 'symlink', target: 'e' } });
    await show({ d: undefined, 'd/e': undefined, 'd/e/f': undefined, 'd/l': undefined });
    expect(fixture.tree()).toEqual({});
    expect(readFileSync(at(`.sameroot/trash/${fixture.trash.day()}/d/e/f`), 'utf8')).toBe('bytes');
    expect(getPlaced(fixture.store, 'd')).toBeUndefined();
  });

  test('kinds change: file to folder, folder to file, link to file', async () => {
    await show({ a: file('f'), b: folder(), 'b/c': file('g'), l: { kind: 'symlink', target: 'a' } });
    await show({ a: folder(), 'a/x': file('h'), b: file('i'), 'b/c': undefined, l: file('j') });
    expect(fixture.tree()).toEqual({ a: 'dir 755', 'a/x': shown(file('h')), b: shown(file('i')), l: shown(file('j')) });
    expectRowsMatch();
  });
});

describe('bytes that are here already are not asked for', () => {
  test('a rename is a rename', async () => {
    const large = noise(1_000_000, 3);
    await show({ d: folder(), 'd/small': file('s'), 'd/large': file(large) });
    const inodes = [inode('d/small'), inode('d/large')];
    const keys = await fixture.commit({
      d: undefined,
      'd/small': undefined,
      'd/large': undefined,
      e: folder(),
      'e/small': file('s'),
      'e/large': file(large),
    });
    expect(await fixture.materialiser.project(keys)).toMatchObject({ dirty: [], missing: [], waiting: [] });
    expect(fixture.tree()).toEqual({ e: 'dir 755', 'e/small': shown(file('s')), 'e/large': shown(file(large)) });
    expect([inode('e/small'), inode('e/large')]).toEqual(inodes);
    expect(existsSync(at('.sameroot/trash'))).toBe(false);
    expectRowsMatch();
  });

  test('a rename of more paths than fit into one batch is a rename too', async () => {
    fixture.dispose();
    fixture = await Fixture.makeUnflushed();
    const count = 2100;
    const names = Array.from({ length: count }, (_, index) => `f${index}`);
    const parts = names.map((name) => Buffer.from(`content of ${name}`));
    let offset = 0;
    const items = parts.map((data) => ({ hash: hash('chunk', data), offset: (offset += data.length) - data.length, bytes: data.length }));
    await fixture.staging.writeWhole(new Uint8Array(Buffer.concat(parts)), items);
    await fixture.staging.finish(items.map(({ hash }) => singleChunk(hash)));
    const placed = (parent: string): Record<string, Thing> =>
      Object.fromEntries([[parent, folder()], ...names.map((name, index) => [`${parent}/${name}`, file(parts[index]!)] as const)]);
    await fixture.materialiser.project(await fixture.commit(placed('a')));
    const inodes = names.map((name) => inode(`a/${name}`));
    const gone = Object.fromEntries(Object.keys(placed('a')).map((path) => [path, undefined]));
    const keys = await fixture.commit({ ...gone, ...placed('b') });
    expect(keys.length).toBeGreaterThan(4096);
    expect(await fixture.materialiser.project(keys)).toMatchObject({ dirty: [], missing: [], waiting: [] });
    expect(names.map((name) => inode(`b/${name}`))).toEqual(inodes);
    expect(existsSync(at('a'))).toBe(false);
    expect(existsSync(at('.sameroot/trash'))).toBe(false);
    expect(await fixture.todo()).toBe(0);
  });

  test('rotation takes the old bytes from the trash', async () => {
    const data = [1, 2, 3].map((seed) => noise(400_000, seed));
    await show({ latest: file(data[1]!), previous: file(data[0]!) });
    const before = inode('latest');
    await fixture.stage(data[2]!);
    const keys = await fixture.commit({ latest: file(data[2]!), previous: file(data[1]!) });
    expect(await fixture.materialiser.project(keys)).toMatchObject({ dirty: [], missing: [] });
    expect(fixture.tree()).toEqual({ latest: shown(file(data[2]!)), previous: shown(file(data[1]!)) });
    expect(inode('previous')).toBe(before);
    expectRowsMatch();
  });

  test('a swap, and copies of what stays', async () => {
    const a = noise(500_000, 5);
    await show({ a: file(a), b: file('b') });
    const keys = await fixture.commit({ a: file('b'), b: file(a), c: file('b'), d: file('b'), e: file(a), f: file(a) });
    expect(await fixture.materialiser.project(keys)).toMatchObject({ dirty: [], missing: [], waiting: [] });
    expect(fixture.tree()).toEqual(
      Object.fromEntries(Object.entries({ a: 'b', b: a, c: 'b', d: 'b', e: a, f: a }).map(([path, data]) => [path, shown(file(data))])),
    );
    expectRowsMatch();
  });

  test('a copy of a file that has other bytes by now is not made', async () => {
    await show({ a: file('honest bytes') });
    writeFileSync(at('a'), 'broken bytes');
    const keys = await fixture.commit({ b: file('honest bytes') });
    const result = await fixture.materialiser.project(keys);
    expect(result.missing.map(({ key }) => key)).toEqual(keys);
    expect(existsSync(at('b'))).toBe(false);
    expect(await fixture.todo()).toBe(1);
    await fixture.stage('honest bytes');
    expect((await fixture.materialiser.redo()).done).toEqual(keys);
    expect(readFileSync(at('b'), 'utf8')).toBe('honest bytes');
  });

  test('a file with two names is copied, not moved: the other name keeps its own', async () => {
    await show({ a: file('linked') });
    linkSync(at('a'), at('outside'));
    // The link changed the ctime: as a check would, take the new stat.
    const row = getPlaced(fixture.store, 'a')!;
    const { placeRows } = await import('../../src/folder/placed.ts');
    await fixture.store.write(placeRows('a', { ...row, stat: diskStat(lstatSync(at('a'))) }, row), { durable: true });
    const keys = await fixture.commit({ a: undefined, b: file('linked', 0o600) });
    expect(await fixture.materialiser.project(keys)).toMatchObject({ dirty: [], missing: [] });
    expect(inode('b')).not.toBe(inode('outside'));
    expect(statSync(at('outside')).mode & 0o777).toBe(0o644);
  });
});

describe("the user's own is never touched", () => {
  test.each([
    ['edited', (): void => writeFileSync(at('a'), 'edit')],
    ['deleted', (): void => rmSync(at('a'))],
    ['replaced by a folder', (): void => (rmSync(at('a')), mkdirSync(at('a')))],
    ['replaced by a link', (): void => (rmSync(at('a')), symlinkSync('b', at('a')))],
    ['chmod', (): void => chmodSync(at('a'), 0o640)],
  ])('a file that was %s', async (_, edit) => {
    await show({ a: file('placed') });
    edit();
    const before = fixture.tree();
    const keys = await fixture.receive({ a: file('remote') });
    expect(await fixture.materialiser.project(keys)).toMatchObject({ done: [], dirty: ['a'] });
    expect(fixture.tree()).toEqual(before);
    expect(await fixture.todo()).toBe(1);
  });

  test('nor deleted, when the peer deletes it', async () => {
    await show({ d: folder(), 'd/a': file('placed') });
    writeFileSync(at('d/a'), 'edit');
    const keys = await fixture.receive({ d: undefined, 'd/a': undefined });
    expect((await fixture.materialiser.project(keys)).dirty).toEqual(['d/a']);
    expect(readFileSync(at('d/a'), 'utf8')).toBe('edit');
  });

  test('a file where nothing was known is adopted if it has the bytes, else dirty', async () => {
    writeFileSync(at('same'), 'bytes');
    writeFileSync(at('other'), 'bytez');
    const before = inode('same');
    const keys = await fixture.receive({ same: file('bytes'), other: file('bytes') });
    const result = await fixture.materialiser.project(keys);
    expect(result).toMatchObject({ done: [fileKey('same')], dirty: ['other'] });
    expect(inode('same')).toBe(before);
    expect(fixture.tree()).toMatchObject({ same: shown(file('bytes')) });
    expect(readFileSync(at('other'), 'utf8')).toBe('bytez');
  });

  test('a parent that became a link is not followed', async () => {
    const elsewhere = Fixture.make(thread);
    const outside = (await elsewhere).root;
    await show({ d: folder(), 'd/a': file('in') });
    renameSync(at('d'), at('moved'));
    symlinkSync(outside, at('d'));
    const keys = await fixture.receive({ 'd/a': file('out'), 'd/b': file('out') });
    const result = await fixture.materialiser.project(keys);
    expect(result).toMatchObject({ done: [], dirty: ['d'] });
    expect(readdirSync(outside)).toEqual(['.sameroot']);
    expect(readFileSync(at('moved/a'), 'utf8')).toBe('in');
    (await elsewhere).dispose();
  });

  test('a peer cannot write through a link of the share, nor place one that leads out', async () => {
    await show({ l: { kind: 'symlink', target: 'target' }, target: folder() });
    const keys = await fixture.receive({ 'l/a': file('through'), out: { kind: 'symlink', target: '../x' } });
    const result = await fixture.materialiser.project(keys);
    expect(result).toMatchObject({ done: [], dirty: [] });
    expect(fixture.tree()).toEqual({ l: 'link target', target: 'dir 755' });
    expect([...fixture.materialiser.problems].map(([path, { code }]) => [path, code])).toEqual([
      ['l/a', 'PATH_BLOCKED'],
      ['out', 'LINK_OUTSIDE'],
    ]);
  });

  test('an unplaced file keeps its folder, which is then not taken for a new one, and goes when it is empty', async () => {
    await show({ d: folder(), 'd/a': file('1'), 'd/b': file('2') });
    writeFileSync(at('d/mine'), 'mine');
    await show({ d: undefined, 'd/a': undefined });
    expect(fixture.tree()).toMatchObject({ d: 'dir 755', 'd/b': shown(file('2')) });
    const row = getPlaced(fixture.store, 'd');
    expect(row?.dots).toEqual(fixture.replica.entry(fileKey('d'))?.versions.map(({ dot }) => dot));
    rmSync(at('d/mine'));
    await show({ 'd/b': undefined });
    expect(fixture.tree()).toEqual({});
    expect(getPlaced(fixture.store, 'd')).toBeUndefined();
  });
});

describe('conflicts', () => {
  test('copies come with the versions and go with them', async () => {
    await show({ 'n.txt': file('one') }, 'nothing', 'aaaaaaaaaaaaaaaa');
    fixture.clock.ms += 1000;
    await show({ 'n.txt': file('two') }, 'nothing', 'bbbbbbbbbbbbbbbb');
    const first = fixture.replica.entry(fileKey('n.txt'))!.versions.find(({ dot }) => dot.replica.startsWith('a'))!;
    const copy = conflictName('n.txt', first);
    expect(fixture.tree()).toEqual({ [copy]: shown(file('one')), 'n.txt': shown(file('two')) });
    expect(getPlaced(fixture.store, copy)).toMatchObject({ owner: 'n.txt', dots: [first.dot] });
    expectRowsMatch();
    await show({ 'n.txt': file('three') });
    expect(fixture.tree()).toEqual({ 'n.txt': shown(file('three')) });
    expect(getPlaced(fixture.store, 'n.txt')?.copies).toBe(false);
  });

  test('two copies of one writer and one second: both are shown, and each stays under a name of its own', async () => {
    const writer = 'aaaaaaaaaaaaaaaa';
    await show({ 'n.txt': file('one') }, 'nothing', writer);
    await show({ 'n.txt': file('two') }, 'nothing', writer);
    fixture.clock.ms += 1000;
    await show({ 'n.txt': file('three') }, 'nothing', 'bbbbbbbbbbbbbbbb');
    const tree = fixture.tree();
    expect(tree['n.txt']).toBe(shown(file('three')));
    expect(Object.values(tree).toSorted()).toEqual([file('one'), file('two'), file('three')].map(shown).toSorted());
    const copies = Object.keys(tree).filter((path) => path !== 'n.txt');
    for (const copy of copies) {
      expect(copy).toMatch(/^n\.conflict-\d{8}T\d{6}Z-aaaaaaaa-[0-9a-f]+\.txt$/);
      expect(getPlaced(fixture.store, copy)).toMatchObject({ owner: 'n.txt', dots: [{ replica: writer }] });
    }
    expectRowsMatch();
    await show({ 'n.txt': file('four') });
    expect(fixture.tree()).toEqual({ 'n.txt': shown(file('four')) });
  });

  test("a file of the users' own that has a copy's name is left alone, and the copy waits", async () => {
    await show({ 'n.txt': file('one') }, 'nothing', 'aaaaaaaaaaaaaaaa');
    const first = fixture.replica.entry(fileKey('n.txt'))!.versions[0]!;
    const copy = conflictName('n.txt', first);
    await show({ [copy]: file("the users' own") });
    fixture.clock.ms += 1000;
    await show({ 'n.txt': file('two') }, 'nothing', 'bbbbbbbbbbbbbbbb');
    expect(fixture.tree()).toEqual({ [copy]: shown(file("the users' own")), 'n.txt': shown(file('two')) });
    expect(fixture.replica.entry(fileKey('n.txt'))!.versions).toHaveLength(2);
    await show({ [copy]: undefined });
    expect(await fixture.materialiser.project([fileKey('n.txt')])).toMatchObject({ dirty: [], waiting: [] });
    expect(fixture.tree()).toEqual({ [copy]: shown(file('one')), 'n.txt': shown(file('two')) });
  });

  test('the winner is deleted where it was seen: the copy takes its place', async () => {
    await show({ n: file('one') }, 'nothing', 'aaaaaaaaaaaaaaaa');
    fixture.clock.ms += 1000;
    await show({ n: file('two') }, 'nothing', 'bbbbbbbbbbbbbbbb');
    const winner = getPlaced(fixture.store, 'n')!;
    await fixture.replica.commit([
      { key: fileKey('n'), next: (current, author) => write(current, winner.dots, author.dot(), author.stamp(), { kind: 'deleted' }) },
    ]);
    rmSync(at('n'));
    await fixture.store.write(unplaceRows('n', winner), { durable: true });
    expect(await fixture.materialiser.project([fileKey('n')])).toMatchObject({ dirty: [], missing: [], waiting: [] });
    expect(fixture.tree()).toEqual({ n: shown(file('one')) });
    expectRowsMatch();
  });

  test('a copy that is to take the place of the winner, and that the user has removed, was removed by the user', async () => {
    for (const how of ['running', 'after a start']) {
      await show({ n: undefined });
      await show({ n: file('one') }, 'nothing', 'aaaaaaaaaaaaaaaa');
      fixture.clock.ms += 1000;
      await show({ n: file('two') }, 'nothing', 'bbbbbbbbbbbbbbbb');
      const winner = getPlaced(fixture.store, 'n')!;
      const copy = Object.keys(fixture.tree()).find((path) => path !== 'n')!;
      await fixture.replica.commit([
        {
          key: fileKey('n'),
          next: (current, author) => write(current, winner.dots, author.dot(), author.stamp(), { kind: 'deleted' }),
          rows: () => [todoRow(fileKey('n'))],
        },
      ]);
      rmSync(at(copy));
      const { dirty } = await (how === 'running' ? fixture.materialiser.project([fileKey('n')]) : fixture.materialiser.redo());
      expect(dirty).toEqual([copy]);
    }
  });

  test('a copy that can not go yet, or comes while the path itself has to wait, is not forgotten', async () => {
    await show({ n: file('one') }, 'nothing', 'aaaaaaaaaaaaaaaa');
    fixture.clock.ms += 1000;
    await show({ n: file('two') }, 'nothing', 'bbbbbbbbbbbbbbbb');
    const copy = Object.keys(fixture.tree()).find((path) => path !== 'n')!;
    writeFileSync(at(copy), 'an edit');
    const keys = await fixture.receive({ n: file('three') });
    expect((await fixture.materialiser.project(keys)).dirty).toEqual([copy]);
    expect(getPlaced(fixture.store, 'n')?.copies).toBe(true);
    await fixture.store.write(placeRows(copy, { ...getPlaced(fixture.store, copy)!, stat: diskStat(lstatSync(at(copy))) }, undefined), {
      durable: true,
    });
    expect((await fixture.materialiser.project(keys)).done).toEqual(keys);
    expect(Object.keys(fixture.tree())).toEqual(['n']);

    writeFileSync(at('n'), 'mine');
    fixture.clock.ms += 1000;
    await fixture.receive({ n: file('four') });
    fixture.clock.ms += 1000;
    const others = await fixture.receive({ n: file('five') }, 'nothing', 'cccccccccccccccc');
    expect((await fixture.materialiser.project(others)).dirty).toEqual(['n']);
    expect(Object.values(fixture.tree()).toSorted()).toEqual([expect.stringContaining('four'), expect.stringContaining('mine')]);
    expect(getPlaced(fixture.store, 'n')).toMatchObject({ copies: true });
  });

  test('a row gets no newer dots where the user was quicker', async () => {
    await show({ n: file('same'), m: file('same') }, 'nothing', 'aaaaaaaaaaaaaaaa');
    const rows = ['n', 'm'].map((path) => getPlaced(fixture.store, path));
    rmSync(at('n'));
    renameSync(at('m'), at('moved'));
    const keys = await fixture.receive({ n: file('same'), m: file('same') }, 'nothing', 'bbbbbbbbbbbbbbbb');
    expect((await fixture.materialiser.project(keys)).dirty.toSorted()).toEqual(['m', 'n']);
    expect(['n', 'm'].map((path) => getPlaced(fixture.store, path))).toEqual(rows);
  });

  test('equal bytes from two writers are one file', async () => {
    await show({ n: file('same') }, 'nothing', 'aaaaaaaaaaaaaaaa');
    await show({ n: file('same') }, 'nothing', 'bbbbbbbbbbbbbbbb');
    expect(fixture.tree()).toEqual({ n: shown(file('same')) });
    expect(getPlaced(fixture.store, 'n')?.dots).toHaveLength(2);
  });

  test('a file where others need a folder: it wins, the rest waits and comes when it goes', async () => {
    await show({ n: file('in the way') });
    const keys = await fixture.receive({ 'n/a': file('waits') });
    expect(await fixture.materialiser.project(keys)).toMatchObject({ done: [], dirty: [], waiting: keys });
    await show({ n: folder() });
    expect((await fixture.materialiser.redo()).done).toEqual(keys);
    expect(fixture.tree()).toEqual({ n: 'dir 755', 'n/a': shown(file('waits')) });
    expect(fixture.materialiser.problems.size).toBe(0);
  });
});

test('a commit that arrives while its key is projected keeps its todo row', async () => {
  const keys = await fixture.receive({ a: file('old') });
  await fixture.stage('new');
  // Enters the queue of the replica before the commit that projection ends with.
  const [result] = await Promise.all([fixture.materialiser.project(keys), fixture.commit({ a: file('new') })]);
  expect(result.dirty).toEqual([]);
  await fixture.materialiser.redo();
  expect(fixture.tree()).toEqual({ a: shown(file('new')) });
  expect(await fixture.todo()).toBe(0);
});

test.each([0, 1, 2])('copies of a large file are known again after a kill at write %i', async (writes) => {
  const data = noise(300_000, 4);
  await show({ b: file('replaced') });
  const keys = await fixture.receive({ a: file(data), b: file(data), c: file(data) });
  await fixture.kill(writes, () => fixture.materialiser.project(keys));
  expect(await fixture.materialiser.redo()).toMatchObject({ dirty: [], missing: [], waiting: [] });
  expect(fixture.tree()).toEqual(Object.fromEntries(['a', 'b', 'c'].map((path) => [path, shown(file(data))])));
  expectRowsMatch();
});

test('without the folder nothing is done', async () => {
  const keys = await fixture.receive({ a: file('x') });
  renameSync(fixture.root, `${fixture.root}-gone`);
  await expect(fixture.materialiser.project(keys)).rejects.toMatchObject({ code: 'FOLDER_MISSING' });
  renameSync(`${fixture.root}-gone`, fixture.root);
  expect((await fixture.materialiser.project(keys)).done).toEqual(keys);
});

describe('any state follows any other', () => {
  /** Specifications, not things: short enough to be read in a counterexample. */
  type Tree = Record<string, string>;
  const leaf = fc.oneof(
    {
      weight: 4,
      arbitrary: fc
        .tuple(fc.constantFrom('', 'x', 'y', 'large-1', 'large-2'), fc.constantFrom('644', '600'))
        .map((parts) => parts.join(' ')),
    },
    { weight: 1, arbitrary: fc.constantFrom('-> p', '-> q/r') },
  );
  const thingOf = (spec: string | undefined): Thing => {
    if (spec === undefined) return undefined;
    if (spec === 'folder') return folder();
    const [data, mode] = spec.split(' ');
    return data === '->' ? { kind: 'symlink', target: mode! } : file(LARGE[data!] ?? data!, parseInt(mode!, 8));
  };
  const things = (tree: Tree): Record<string, Thing> =>
    Object.fromEntries(Object.entries(tree).map(([path, spec]) => [path, thingOf(spec)]));
  const names = fc.constantFrom('p', 'q', 'q-r', 'r');
  /** A tree of files in folders; no file has anything below it. */
  const trees: fc.Arbitrary<Tree> = fc
    .array(fc.tuple(fc.array(names, { minLength: 1, maxLength: 3 }), leaf), { maxLength: 7 })
    .map((placements) => {
      const tree: Tree = {};
      for (const [parts, spec] of placements) {
        const path = parts.join('/');
        const parents = parts.slice(0, -1).map((_, index) => parts.slice(0, index + 1).join('/'));
        if (tree[path] !== undefined || parents.some((parent) => (tree[parent] ?? 'folder') !== 'folder')) continue;
        for (const parent of parents) tree[parent] = 'folder';
        tree[path] = spec;
      }
      return tree;
    });

  const changes = (before: Tree, after: Tree): Record<string, Thing> => {
    const changed: Record<string, Thing> = {};
    for (const path of Object.keys(before)) if (after[path] === undefined) changed[path] = undefined;
    for (const [path, spec] of Object.entries(after)) if (spec !== before[path]) changed[path] = thingOf(spec);
    return changed;
  };

  async function inFreshFolder(run: () => Promise<void>): Promise<void> {
    fixture.dispose();
    fixture = await Fixture.makeUnflushed();
    await run();
  }

  const expected = (tree: Tree): Record<string, string | undefined> =>
    Object.fromEntries(Object.entries(tree).map(([path, spec]) => [path, shown(thingOf(spec))]));

  test('in one call', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(trees, { minLength: 2, maxLength: 4 }), (steps) =>
        inFreshFolder(async () => {
          let before: Tree = {};
          for (const step of steps) {
            await show(changes(before, step));
            expect(fixture.tree()).toEqual(expected(step));
            expectRowsMatch();
            before = step;
          }
        }),
      ),
      { numRuns: 60 },
    );
  });

  test('in any order of keys, in any number of calls', async () => {
    await fc.assert(
      fc.asyncProperty(trees, trees, fc.infiniteStream(fc.nat()), (first, second, order) =>
        inFreshFolder(async () => {
          await show(things(first));
          const keys = await fixture.receive(changes(first, second));
          const shuffled = keys.map((key) => ({ key, at: order.next().value })).toSorted((a, b) => a.at - b.at);
          for (const { key } of shuffled) await fixture.materialiser.project([key]);
          const result = await fixture.materialiser.redo();
          expect(result).toMatchObject({ dirty: [], missing: [], waiting: [] });
          expect(fixture.tree()).toEqual(expected(second));
          expectRowsMatch();
        }),
      ),
      { numRuns: 60 },
    );
  });

  test('over a kill at any write: nothing looks like an edit, nothing is fetched again', async () => {
    await fc.assert(
      fc.asyncProperty(trees, trees, fc.infiniteStream(fc.boolean()), fc.nat(4), (first, second, chosen, writes) =>
        inFreshFolder(async () => {
          await show(things(first));
          const keys = await fixture.receive(changes(first, second));
          const some = keys.filter(() => chosen.next().value);
          await fixture.kill(writes, () => fixture.materialiser.project(some));
          const result = await fixture.materialiser.redo();
          expect(result).toMatchObject({ dirty: [], missing: [], waiting: [] });
          expect(fixture.tree()).toEqual(expected(second));
          expectRowsMatch();
          expect(await fixture.todo()).toBe(0);
        }),
      ),
      { numRuns: 80 },
    );
  });
});
