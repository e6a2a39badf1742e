import { lstatSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { write, type Entry } from '../../src/entry/entry.ts';
import { conflictNames, view } from '../../src/entry/view.ts';
import { ShownWriter } from '../../src/folder/as-shown.ts';
import { diskStat } from '../../src/folder/disk-stat.ts';
import { DiskThread } from '../../src/folder/disk-thread.ts';
import { fileKey } from '../../src/folder/paths.ts';
import { getPlaced, placeRows, unplaceRows } from '../../src/folder/placed.ts';
import type { Mutation } from '../../src/replica/replica.ts';
import { Fixture, MTIME_MS, type Thing } from './disk-fixture.ts';
import { inlineThread } from './ingest-world.ts';

const thread = new DiskThread('write');
let fixture: Fixture;
/** What was asked to be taken in. */
let asked: string[];

beforeEach(async () => {
  fixture = await Fixture.make(thread);
  asked = [];
  await show('one', 'aaaaaaaaaaaaaaaa');
  fixture.clock.ms += 1000;
  await show('two', 'bbbbbbbbbbbbbbbb');
});
afterEach(() => fixture.dispose());
afterAll(() => thread[Symbol.asyncDispose]());

const KEY = fileKey('n');
const at = (path: string): string => join(fixture.root, path);
const entry = (): Entry => fixture.replica.entry(KEY)!;
const copyOf = (): string => conflictNames('n', view(entry()).others)[0]!;

async function show(data: string, peer: string): Promise<void> {
  const thing: Thing = { kind: 'file', data, mode: 0o644, mtimeMs: MTIME_MS };
  await fixture.materialiser.project(await fixture.receive({ n: thing }, 'nothing', peer));
}

/** Keeps the copy. */
const keep: Mutation = {
  key: KEY,
  next: (current, author) => {
    const kept = view(current).others[0]!.version.value;
    return write(
      current,
      current!.versions.map(({ dot }) => dot),
      author.dot(),
      author.stamp(),
      kept,
    );
  },
};

function writer(takeIn: () => unknown, ignores: (path: string) => boolean = () => false): ShownWriter {
  const { root, replica, gate } = fixture;
  return new ShownWriter({
    root,
    replica,
    gate,
    thread: inlineThread(),
    ignores,
    takeIn: async (paths) => {
      asked.push(...paths);
      await takeIn();
    },
  });
}

test('is committed where the disk shows what the rows say; what shows it has the new dot from then on', async () => {
  const copy = copyOf();
  const other = getPlaced(fixture.store, 'n');
  await writer(() => undefined).commit('n', keep);
  expect(asked).toEqual([]);
  expect(entry().versions).toHaveLength(1);
  expect(getPlaced(fixture.store, copy)?.dots).toEqual([entry().versions[0]!.dot]);
  expect(getPlaced(fixture.store, 'n')).toEqual(other);
});

test.each([
  ['the winner', 'edited'],
  ['the winner', 'removed'],
  ['the copy', 'edited'],
  ['the copy', 'removed'],
])('waits until %s that was %s is taken in', async (what, how) => {
  const path = what === 'the copy' ? copyOf() : 'n';
  if (how === 'edited') writeFileSync(at(path), 'mine');
  else rmSync(at(path));
  const takenIn = async (): Promise<void> => {
    expect(entry().versions).toHaveLength(2);
    const row = getPlaced(fixture.store, path)!;
    const rows = how === 'removed' ? unplaceRows(path, row) : placeRows(path, { ...row, stat: diskStat(lstatSync(at(path))) }, row);
    await fixture.store.write(rows, { durable: true });
  };
  await writer(takenIn).commit('n', keep);
  expect(asked).toEqual([path]);
  expect(entry().versions).toHaveLength(1);
});

test('gives up where a file is never at rest; what the rules ignore is not waited for', async () => {
  writeFileSync(at('n'), 'mine');
  await expect(writer(() => writeFileSync(at('n'), 'again')).commit('n', keep)).rejects.toMatchObject({ code: 'FILE_CHANGING' });
  expect(entry().versions).toHaveLength(2);
  await writer(
    () => undefined,
    (path) => path === 'n',
  ).commit('n', keep);
  expect(entry().versions).toHaveLength(1);
});
