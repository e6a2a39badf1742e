import { chmodSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Disk } from '../../src/folder/disk.ts';
import { dropNotes, forgetNotes, readNotes, writeNotes, type PlaceNote } from '../../src/folder/place-notes.ts';
import { realDisk } from '../../src/folder/real-disk.ts';

let tmp: string;

beforeEach(() => (tmp = mkdtempSync(join(tmpdir(), 'sameroot-notes-'))));
afterEach(() => rmSync(tmp, { recursive: true }));

function noteOf(index: number, path: string = `folder/file ${index}`): PlaceNote {
  return {
    temporary: `staged-${index}`,
    path,
    row: new Uint8Array(80).fill(index),
    stat: { inode: index, bytes: 7, mtimeMs: 1.25, ctimeMs: 0, mode: 0o644 },
    modeBefore: undefined,
  };
}

const plain = ({ temporary, path, row, stat, modeBefore }: PlaceNote): unknown => [temporary, path, [...row], stat, modeBefore];

test('are read as they were written, but for those whose file is still in staging', () => {
  const notes = Array.from({ length: 200 }, (_, index) => noteOf(index, index === 7 ? 'new\nline "and" quote' : undefined));
  for (const index of [3, 150]) writeFileSync(join(tmp, `staged-${index}`), '');
  writeNotes(realDisk, tmp, { batch: 'replica 5', notes });
  expect(readdirSync(tmp).length).toBeLessThan(2 + 200 / 10);
  const found = readNotes(realDisk, tmp);
  expect(found?.batch).toBe('replica 5');
  expect(found?.notes.map(plain)).toEqual(notes.filter((_, index) => index !== 3 && index !== 150).map(plain));
});

test('of a change in place tell by the second name of the file whether it was made, whatever is done to the file then', () => {
  const MTIME_S = 1_600_000_000;
  const names = ['not yet', 'time only', 'mode', 'mode, then edited', 'new time', 'old time', 'over'];
  const notes = names.map((temporary): PlaceNote => {
    const isTime = temporary.endsWith(' time');
    const stat = { inode: 1, bytes: 7, mtimeMs: MTIME_S * 1_000, ctimeMs: 0, mode: isTime ? 0o644 : 0o600 };
    return { temporary, path: temporary, row: new Uint8Array(8), stat, modeBefore: 0o644 };
  });
  for (const name of names.slice(0, -1)) {
    const second = join(tmp, name);
    writeFileSync(second, 'one');
    chmodSync(second, name.startsWith('mode') ? 0o600 : 0o644);
    const changed = ['time only', 'mode', 'new time'].includes(name);
    utimesSync(second, MTIME_S, changed ? MTIME_S : MTIME_S + 60);
  }
  writeNotes(realDisk, tmp, { batch: 'a 1', notes });
  expect(readNotes(realDisk, tmp)?.notes.map(plain)).toEqual(
    notes.filter(({ path }) => ['mode', 'mode, then edited', 'new time', 'over'].includes(path)).map(plain),
  );
});

test('are forgotten as a whole', () => {
  writeNotes(realDisk, tmp, { batch: 'a 1', notes: Array.from({ length: 200 }, (_, index) => noteOf(index)) });
  forgetNotes(realDisk, tmp);
  writeNotes(realDisk, tmp, { batch: 'a 2', notes: [noteOf(1)] });
  expect(readNotes(realDisk, tmp)).toMatchObject({ batch: 'a 2', notes: [{ path: 'folder/file 1' }] });
  forgetNotes(realDisk, tmp);
  expect(readNotes(realDisk, tmp)).toBeUndefined();
  expect(readdirSync(tmp)).toEqual([]);
});

test('are taken back without the others being away at any moment', () => {
  const notes = Array.from({ length: 60 }, (_, index) => noteOf(index));
  writeNotes(realDisk, tmp, { batch: 'a 1', notes });
  const dropped = new Set([...Array(20).keys(), 25, 59].map((index) => `staged-${index}`));
  const kept = notes.filter(({ temporary }) => !dropped.has(temporary)).map(plain);
  let steps = 0;
  const look = (): void => {
    steps++;
    expect(readNotes(realDisk, tmp)?.notes.map(plain)).toEqual(expect.arrayContaining(kept));
  };
  const after =
    <Arguments extends unknown[]>(call: (...inputs: Arguments) => void) =>
    (...inputs: Arguments): void => {
      call(...inputs);
      look();
    };
  const disk = { ...realDisk, symlink: after(realDisk.symlink), rename: after(realDisk.rename), unlink: after(realDisk.unlink) };
  dropNotes(disk, tmp, dropped);
  expect(steps).toBeGreaterThan(2);
  expect(readNotes(realDisk, tmp)?.notes.map(plain)).toEqual(kept);
  expect(readdirSync(tmp)).not.toContain('notes-draft');
});

test('are left out where one is too long for a link, and the others are there', () => {
  writeNotes(realDisk, tmp, { batch: 'a 1', notes: [noteOf(1), noteOf(2, 'long/'.repeat(900)), noteOf(3)] });
  expect(readNotes(realDisk, tmp)?.notes.map(({ path }) => path)).toEqual(['folder/file 1', 'folder/file 3']);
});

test('are none on a file system without links; any other failure is one', () => {
  const failing = (code: string): Disk => ({
    ...realDisk,
    symlink: () => {
      throw Object.assign(new Error(code), { code });
    },
  });
  writeNotes(failing('EPERM'), tmp, { batch: 'a 1', notes: [noteOf(1)] });
  expect(readNotes(realDisk, tmp)).toBeUndefined();
  expect(() => writeNotes(failing('EIO'), tmp, { batch: 'a 1', notes: [noteOf(1)] })).toThrow('EIO');
});
