import { lstatSync, readdirSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Dot } from '../../src/entry/entry.ts';
import { diskStat } from '../../src/folder/disk-stat.ts';
import { DiskThread } from '../../src/folder/disk-thread.ts';
import { fileKey } from '../../src/folder/paths.ts';
import { getPlaced, sameStat } from '../../src/folder/placed.ts';
import { Replica } from '../../src/replica/replica.ts';
import { seededRandom } from '../replica/world.ts';
import { Fixture, MTIME_MS, noise, type Thing } from './disk-fixture.ts';

const thread = new DiskThread('write');
let fixture: Fixture;

beforeEach(async () => {
  fixture = await Fixture.make(thread);
});
afterEach(() => fixture.dispose());
afterAll(() => thread[Symbol.asyncDispose]());

const file = (data: Uint8Array | string): Thing => ({ kind: 'file', data, mode: 0o644, mtimeMs: MTIME_MS });
const link = (target: string): Thing => ({ kind: 'symlink', target });
const at = (path: string): string => join(fixture.root, path);
const dotsOf = (path: string): readonly Dot[] => fixture.replica.entry(fileKey(path))!.versions.map(({ dot }) => dot);

async function show(things: Record<string, Thing>): Promise<void> {
  expect(await fixture.materialiser.project(await fixture.receive(things))).toMatchObject({ dirty: [], missing: [], waiting: [] });
}

/** Killed after everything was shown, before the rows were written; `meanwhile`: before the next start. */
async function dieShowing(things: Record<string, Thing>, meanwhile: () => void): Promise<void> {
  const keys = await fixture.receive(things);
  await fixture.kill(0, () => fixture.materialiser.project(keys), meanwhile);
}

describe('what was shown when the run died', () => {
  test.each([
    ['a file', file('two')],
    ['a large file', file(noise(300_000, 1))],
    ['an empty file', file('')],
    ['a link', link('elsewhere')],
  ])('is edited in between: %s', async (_what, thing) => {
    await show({ a: file('one') });
    await dieShowing({ a: thing, b: thing }, () => {
      for (const path of ['a', 'b']) {
        rmSync(at(path));
        writeFileSync(at(path), 'mine');
      }
    });
    for (const path of ['a', 'b']) expect(getPlaced(fixture.store, path)?.dots, path).toEqual(dotsOf(path));
    expect((await fixture.materialiser.redo()).dirty.toSorted()).toEqual(['a', 'b']);
    expect(fixture.tree()).toMatchObject({ a: expect.stringContaining('mine'), b: expect.stringContaining('mine') });
  });

  test('is deleted in between: that is a delete', async () => {
    await show({ a: file('one') });
    await dieShowing({ a: file('two'), b: link('elsewhere') }, () => {
      rmSync(at('a'));
      rmSync(at('b'));
    });
    for (const path of ['a', 'b']) expect(getPlaced(fixture.store, path)?.dots, path).toEqual(dotsOf(path));
    expect((await fixture.materialiser.redo()).dirty.toSorted()).toEqual(['a', 'b']);
    expect(fixture.tree()).toEqual({});
  });

  test('is left alone: its rows are those of the disk, and nothing has to be read', async () => {
    await show({ a: file('one'), e: file('five') });
    const e: Thing = { kind: 'file', data: 'five', mode: 0o600, mtimeMs: MTIME_MS };
    await dieShowing({ a: file('two'), b: file(noise(300_000, 1)), c: file(''), d: link('elsewhere'), e }, () => undefined);
    for (const path of ['a', 'b', 'c', 'd', 'e'])
      expect(sameStat(getPlaced(fixture.store, path)!.stat, diskStat(lstatSync(at(path)))), path).toBe(true);
    expect(await fixture.materialiser.redo()).toMatchObject({ dirty: [], missing: [], left: [] });
  });

  test.each([
    ['mode', { mode: 0o600 }],
    ['time', { mtimeMs: MTIME_MS + 5_000 }],
    ['mode and time', { mode: 0o600, mtimeMs: MTIME_MS + 5_000 }],
  ])('is another %s in place; what is done to the file then was done by somebody who saw it', async (_what, change) => {
    const paths = ['edited', 'replaced', 'deleted', 'left'];
    const things = (more: object): Record<string, Thing> =>
      Object.fromEntries(paths.map((path) => [path, { ...file(`in ${path}`), ...more } as Thing]));
    await show(things({}));
    const before = lstatSync(at('left')).ino;
    await dieShowing(things(change), () => {
      writeFileSync(at('edited'), 'mine');
      rmSync(at('replaced'));
      writeFileSync(at('replaced'), 'mine too');
      rmSync(at('deleted'));
    });
    for (const path of paths) expect(getPlaced(fixture.store, path)?.dots, path).toEqual(dotsOf(path));
    expect(lstatSync(at('left'))).toMatchObject({ ino: before, nlink: 1 });
    expect(sameStat(getPlaced(fixture.store, 'left')!.stat, diskStat(lstatSync(at('left'))))).toBe(true);
    expect((await fixture.materialiser.redo()).dirty).not.toContain('left');
  });

  test('is not taken for shown where the user was quicker', async () => {
    await show({ a: file('one'), c: file('one, too') });
    const before = ['a', 'c'].map(dotsOf);
    for (const path of ['a', 'c']) writeFileSync(at(path), 'mine, before');
    await dieShowing({ a: file('two'), b: file('new'), c: { kind: 'file', data: 'one, too', mode: 0o600 } }, () => undefined);
    expect(['a', 'c'].map((path) => getPlaced(fixture.store, path)?.dots)).toEqual(before);
    expect(getPlaced(fixture.store, 'b')?.dots).toEqual(dotsOf('b'));
  });
});

describe('notes count for nothing', () => {
  test('once their batch is recorded', async () => {
    await show({ a: file('one') });
    const row = getPlaced(fixture.store, 'a');
    expect(readdirSync(at('.sameroot/tmp'))).toContain('notes-0');
    rmSync(at('a'));
    await fixture.open(fixture.store);
    expect(getPlaced(fixture.store, 'a')).toEqual(row);
  });

  test('in a replica with another id: it is not the one that wrote them', async () => {
    const keys = await fixture.receive({ a: file('one') });
    const { store } = fixture;
    await fixture.kill(
      0,
      () => fixture.materialiser.project(keys),
      () => Replica.changeId(store, seededRandom(5)),
    );
    expect(getPlaced(store, 'a')).toBeUndefined();
  });

  test('if they are none of ours', async () => {
    const keys = await fixture.receive({ a: file('one') });
    await fixture.kill(
      0,
      () => fixture.materialiser.project(keys),
      () => {
        const note = readlinkSync(at('.sameroot/tmp/notes-0'));
        rmSync(at('.sameroot/tmp/notes-0'));
        symlinkSync(`${note}, and more`, at('.sameroot/tmp/notes-0'));
      },
    );
    expect(getPlaced(fixture.store, 'a')).toBeUndefined();
    expect((await fixture.materialiser.redo()).done).toEqual(keys);
  });
});
