/**
 * A disk that refuses single calls while a batch shows what others wrote: what has not happened leaves no trace that could pass
 * for an edit, and what users do meanwhile counts as theirs.
 */
import { existsSync, lstatSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { SamerootError } from '../../src/base/errors.ts';
import { write } from '../../src/entry/entry.ts';
import { diskStat } from '../../src/folder/disk-stat.ts';
import type { Disk } from '../../src/folder/disk.ts';
import { fileKey } from '../../src/folder/paths.ts';
import { readNotes } from '../../src/folder/place-notes.ts';
import { getPlaced, sameStat, unplaceRows } from '../../src/folder/placed.ts';
import { realDisk } from '../../src/folder/real-disk.ts';
import { Fixture, MTIME_MS, shown, type Thing } from './disk-fixture.ts';
import { inlineThread } from './ingest-world.ts';

/** The error code that a call is to fail with, if any. */
type Refusal = (call: 'link' | 'rename' | 'chmod' | 'symlink' | 'unlink', source: string, target: string) => string | undefined;

let fixture: Fixture;
let refusal: Refusal = () => undefined;

const ask = (...call: Parameters<Refusal>): void => {
  const code = refusal(...call);
  if (code !== undefined) throw Object.assign(new Error(`${code}: ${call.join(' ')}`), { code });
};
const disk: Disk = {
  ...realDisk,
  link: (source, target) => (ask('link', source, target), realDisk.link(source, target)),
  rename: (source, target) => (ask('rename', source, target), realDisk.rename(source, target)),
  chmod: (path, mode) => (ask('chmod', path, path), realDisk.chmod(path, mode)),
  symlink: (target, path) => (ask('symlink', path, path), realDisk.symlink(target, path)),
  unlink: (path) => (ask('unlink', path, path), realDisk.unlink(path)),
};

beforeEach(async () => {
  refusal = () => undefined;
  fixture = await Fixture.make(inlineThread(disk));
});
afterEach(() => fixture.dispose());

const at = (path: string): string => join(fixture.root, path);
const file = (data: string, mode = 0o644): Thing => ({ kind: 'file', data, mode, mtimeMs: MTIME_MS });
const isAsItsRow = (path: string): boolean => sameStat(getPlaced(fixture.store, path)!.stat, diskStat(lstatSync(at(path))));

async function show(things: Record<string, Thing>, peer?: string): Promise<void> {
  const keys = await fixture.receive(things, peer === undefined ? 'all' : 'nothing', peer);
  expect(await fixture.materialiser.project(keys)).toMatchObject({ done: keys, dirty: [], missing: [], waiting: [] });
}

/** A conflict copy that is to take the name of the winner, which was deleted. */
async function loseWinner(): Promise<string> {
  await show({ n: file('one') }, 'aaaaaaaaaaaaaaaa');
  fixture.clock.ms += 1000;
  await show({ n: file('two') }, 'bbbbbbbbbbbbbbbb');
  const winner = getPlaced(fixture.store, 'n')!;
  const copy = Object.keys(fixture.tree()).find((path) => path !== 'n')!;
  await fixture.replica.commit([
    { key: fileKey('n'), next: (current, author) => write(current, winner.dots, author.dot(), author.stamp(), { kind: 'deleted' }) },
  ]);
  rmSync(at('n'));
  await fixture.store.write(unplaceRows('n', winner), { durable: true });
  return copy;
}

test.each(['EIO', 'EROFS', 'ENOSPC'])('a file that could not be replaced (%s) does not pass for one that was touched', async (code) => {
  await show({ a: file('one') });
  refusal = (call, _source, target) => (call === 'rename' && target === at('a') ? code : undefined);
  const keys = await fixture.receive({ a: file('two') });
  expect(await fixture.materialiser.project(keys)).toMatchObject({ dirty: [], waiting: keys });
  expect(readFileSync(at('a'), 'utf8')).toBe('one');
  expect(isAsItsRow('a')).toBe(true);
  expect(lstatSync(at('a')).nlink).toBe(1);

  refusal = () => undefined;
  expect(await fixture.materialiser.project(keys)).toMatchObject({ done: keys, dirty: [] });
  expect(fixture.tree()).toEqual({ a: shown(file('two')) });
});

test.each([1, 2, 3])(
  'a database that can not be read (%i times) once a version is shown does not make it pass for an edit of the one before',
  async (times) => {
    await show({ a: file('one') });
    const keys = await fixture.receive({ a: file('two') });
    let failures = 0;
    refusal = (call, _source, target) => {
      if (call === 'rename' && target === at('a')) failures = times;
      return undefined;
    };
    const { get } = fixture.store;
    fixture.store.get = (key) => {
      if (failures === 0) return get.call(fixture.store, key);
      failures--;
      throw new SamerootError('IO_ERROR', 'the database cannot be read');
    };
    for (let attempt = 0; attempt < times; attempt++)
      await expect(fixture.materialiser.project(keys)).rejects.toMatchObject({ code: 'IO_ERROR' });
    expect(failures).toBe(0);
    expect(readFileSync(at('a'), 'utf8')).toBe('two');
    // By somebody who has seen it.
    writeFileSync(at('a'), 'three');
    await fixture.materialiser.project(keys);
    const { value } = fixture.replica.entry(fileKey('a'))!.versions[0]!;
    expect(value.kind === 'file' && toHex(value.content)).toBe(toHex(getPlaced(fixture.store, 'a')!.content!));
  },
);

test('notes that could not be taken back say nothing wrong when the next batch fails as well', async () => {
  const tmp = at('.sameroot/tmp');
  const keys = await fixture.receive({ s: { kind: 'symlink', target: 'elsewhere' } });
  refusal = (call, source, target) => (call === 'rename' && (target === at('s') || source.endsWith('notes-draft')) ? 'EROFS' : undefined);
  expect(await fixture.materialiser.project(keys)).toMatchObject({ done: [] });
  expect(readdirSync(tmp)).toContain('notes-0');
  refusal = (call) => (call === 'symlink' || call === 'unlink' ? 'EROFS' : undefined);
  expect(await fixture.materialiser.project(keys)).toMatchObject({ done: [] });
  // Dead now, the next start would take what they say for shown, and the link that nobody has seen for deleted.
  expect(readNotes(realDisk, tmp)?.notes).toEqual([]);
  refusal = () => undefined;
  expect(await fixture.materialiser.project(keys)).toMatchObject({ done: keys });
});

test('a rename that fails in the end keeps the name in the trash where the file has gone all the same', async () => {
  await show({ a: file('one') });
  refusal = (call, source, target) => {
    if (call !== 'rename' || target !== at('a')) return undefined;
    realDisk.rename(source, target);
    return 'EIO';
  };
  const keys = await fixture.receive({ a: file('two') });
  expect(await fixture.materialiser.project(keys)).toMatchObject({ done: [] });
  const [day] = readdirSync(at('.sameroot/trash'));
  expect(readFileSync(at(`.sameroot/trash/${day}/a`), 'utf8')).toBe('one');
});

test('a file in a folder that nobody may write to is replaced', async () => {
  await show({ d: { kind: 'directory', mode: 0o555 }, 'd/a': file('one') });
  // The tests may run as root, who may do anything.
  const isDenied = (path: string): boolean => (statSync(dirname(path)).mode & 0o200) === 0;
  refusal = (call, source, target) => (call === 'rename' && (isDenied(source) || isDenied(target)) ? 'EACCES' : undefined);
  await show({ 'd/a': file('two') });
  expect(fixture.tree()).toEqual({ d: 'dir 555', 'd/a': shown(file('two')) });
});

test('a mode that could not be set waits, and the file does not pass for one that was touched', async () => {
  await show({ a: file('one') });
  refusal = (call, path) => (call === 'chmod' && path === at('a') ? 'EIO' : undefined);
  const keys = await fixture.receive({ a: file('one', 0o600) });
  expect(await fixture.materialiser.project(keys)).toMatchObject({ dirty: [], waiting: keys });
  expect(isAsItsRow('a')).toBe(true);
});

test.each([
  ['ENOSPC', 0o644],
  ['EIO', 0o644],
  // There are none there: it is changed without a note.
  ['EPERM', 0o600],
])('where a second name is refused (%s), a new mode is given only if it was noted or can not be', async (code, mode) => {
  await show({ a: file('one') });
  refusal = (call, source) => (call === 'link' && source === at('a') ? code : undefined);
  const keys = await fixture.receive({ a: file('one', 0o600) });
  await fixture.materialiser.project(keys);
  expect(lstatSync(at('a')).mode & 0o777).toBe(mode);
  refusal = () => undefined;
  expect((await fixture.materialiser.project(keys)).done).toEqual(keys);
  expect(fixture.tree()).toEqual({ a: shown(file('one', 0o600)) });
});

test('a conflict copy that we could not remove, and the user has removed, was removed by the user', async () => {
  const copy = await loseWinner();

  refusal = (call, source) => (call === 'rename' && source === at(copy) ? 'ENOSPC' : undefined);
  expect((await fixture.materialiser.project([fileKey('n')])).waiting).toEqual([fileKey('n')]);
  rmSync(at(copy));
  refusal = () => undefined;
  expect((await fixture.materialiser.project([fileKey('n')])).dirty).toEqual([copy]);
});

test('a conflict copy that has gone although its removal failed was removed by us', async () => {
  const copy = await loseWinner();

  refusal = (call, source, target) => {
    if (call !== 'rename' || source !== at(copy)) return undefined;
    realDisk.rename(source, target);
    return 'EIO';
  };
  await fixture.materialiser.project([fileKey('n')]);
  expect(existsSync(at(copy))).toBe(false);
  expect((await fixture.materialiser.project([fileKey('n')])).dirty).toEqual([]);
});

/** Write 0 says that it is begun, write 1 what was done. */
test.each([0, 1])('a conflict copy on its way to the name of the winner is there after a death at write %i', async (writes) => {
  const copy = await loseWinner();
  await fixture.kill(writes, () => fixture.materialiser.project([fileKey('n')]));
  expect(existsSync(at(copy))).toBe(writes === 0);
  await fixture.materialiser.redo();
  expect((await fixture.materialiser.project([fileKey('n')])).dirty).toEqual([]);
  expect(fixture.tree()).toEqual({ n: shown(file('one')) });
});
