import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { write, type Entry } from '../../src/entry/entry.ts';
import { conflictNames, view } from '../../src/entry/view.ts';
import { ShownWriter } from '../../src/folder/as-shown.ts';
import { DiskThread } from '../../src/folder/disk-thread.ts';
import { fileKey } from '../../src/folder/paths.ts';
import { getPlaced } from '../../src/folder/placed.ts';
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
    return write(current, current!.versions.map(({ dot }) => dot), author.dot(), author.stamp(), kept);
  },
};

function writer(takeIn: (paths: readonly string[]) => void, ignores: (path: string) => boolean = () => false): ShownWriter {
  const { root, replica, gate } = fixture;
  return new ShownWriter({
    root,
    replica,
    gate,
    thread: inlineThread(),
    ignores,
    takeIn: async (paths) => {
      asked.push(...paths);
      await gate.run(async () => takeIn(paths));
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
  ['edited', (path: string) => writeFileSync(at(path), 'mine')],
  ['removed', (path: string) => rmSync(at(path))],
  ['renamed', (path: string) => renameSync(at(path), at('elsewhere'))],
])('waits until a file that was %s is taken in', async (_how, change) => {
  for (const path of [copyOf(), 'n']) {
    const before = entry();
    change(path);
    const committed = writer(() => {
      expect(entry()).toEqual(before);
      rmSync(at(path), { force: true });
      throw new Error('taken in');
    }).commit('n', keep);
    await expect(committed).rejects.toThrow('taken in');
    expect(asked.splice(0)).toEqual([path]);
    await fixture.store.write([], { durable: true });
    const row = getPlaced(fixture.store, path)!;
    expect(row.owner).toBe('n');
    await fixture.open(fixture.store);
    break;
  }
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
