import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { realTimers } from '../../src/app/real-world.ts';
import { silentLog, type Timers } from '../../src/base/world.ts';
import { ContentIndex } from '../../src/folder/content-index.ts';
import type { JobCaller, JobInput } from '../../src/folder/disk-jobs.ts';
import { DiskThread } from '../../src/folder/disk-thread.ts';
import { TrashIndex } from '../../src/folder/trash-index.ts';
import { Fixture, noise, type Thing } from './disk-fixture.ts';

const thread = new DiskThread('write');
let fixture: Fixture;
/** Paths that were read. */
let read: string[];

beforeEach(async () => {
  fixture = await Fixture.make(thread);
  read = [];
});
afterEach(() => fixture.dispose());
afterAll(() => thread[Symbol.asyncDispose]());

const place = (path: string): string => `.sameroot/trash/${fixture.trash.day()}/${path}`;
const file = (data: Uint8Array | string): Thing => ({ kind: 'file', data });

async function show(things: Record<string, Thing>): Promise<void> {
  expect(await fixture.materialiser.project(await fixture.receive(things))).toMatchObject({ dirty: [], missing: [], waiting: [] });
}

/** Killed after everything was shown, before the rows were written. */
async function dieShowing(things: Record<string, Thing>): Promise<void> {
  const keys = await fixture.receive(things);
  await fixture.kill(0, () => fixture.materialiser.project(keys));
}

function indexWith(timers: Timers = realTimers, fail: () => boolean = () => false): TrashIndex {
  const { root, replica, trash, gate } = fixture;
  const call: JobCaller['call'] = async (name, input) => {
    if (name === 'examineAll') read.push(...(input as JobInput<'examineAll'>).paths);
    if (fail()) throw new Error('the disk fails');
    return thread.call(name, input);
  };
  return new TrashIndex({ root, replica, trash, gate, thread: { call }, work: { call, width: 2 }, timers, log: silentLog });
}

test('what a run moved there and could not record is found by its content, and listed', async () => {
  const large = noise(300_000);
  await show({ 'a/b': file(large), gone: file('gone'), kept: file('kept') });
  await dieShowing({ 'a/b': file('new'), gone: undefined });
  for (const path of ['a/b', 'gone']) expect(fixture.trash.get(place(path)), path).toBeUndefined();
  await indexWith().run();
  expect(fixture.trash.get(place('a/b'))).toMatchObject({ owner: 'a/b', kind: 'file' });
  expect(fixture.trash.get(place('gone'))).toMatchObject({ owner: 'gone' });
  const index = new ContentIndex(fixture.store);
  expect(index.path(fixture.chunk(large).id)).toBe(place('a/b'));
  expect(index.localChunks([fixture.chunk(large).refs[1]!.hash])[0]?.path).toBe(place('a/b'));
  expect(await fixture.materialiser.redo()).toMatchObject({ dirty: [], missing: [], left: [] });
});

test('a version that becomes a conflict copy is shown again', async () => {
  await show({ a: file('first') });
  await fixture.stage('second');
  const keys = await fixture.commit({ a: file('second') }, 'nothing', 'bbbbbbbbbbbbbbbb');
  await fixture.kill(0, () => fixture.materialiser.project(keys));
  await indexWith().run();
  expect(await fixture.materialiser.redo()).toMatchObject({ dirty: [], missing: [], left: [] });
  const contents = Object.values(fixture.tree()).map((line) => line.split(' ').at(-1));
  expect(contents.toSorted()).toEqual(['"first"', '"second"']);
});

test('where the name was taken, the path is told all the same', async () => {
  await show({ a: file('one') });
  await show({ a: undefined });
  await show({ a: file('two') });
  await dieShowing({ a: undefined });
  await indexWith().run();
  const found = new ContentIndex(fixture.store).path(fixture.chunk('two').id)!;
  expect(found).toMatch(/\/~[\d.]+-\d+\/a$/);
  expect(fixture.trash.get(found)).toMatchObject({ owner: 'a' });
});

test('only what has no row is read, and nothing at all where there is no trash', async () => {
  await indexWith().run();
  await show({ a: file('a'), b: file('b'), c: file('c'), link: { kind: 'symlink', target: 'a' } });
  await show({ a: undefined, b: undefined });
  await dieShowing({ c: undefined, link: undefined });
  await indexWith().run();
  await indexWith().run();
  expect(read).toEqual([`${fixture.trash.day()}/c`]);
});

test('what fails is tried again, and does not fail the start', async () => {
  await show({ a: file('a') });
  await dieShowing({ a: undefined });
  const later: (() => void)[] = [];
  const timers: Timers = { ...realTimers, after: (_ms, callback) => (later.push(callback), { cancel: () => undefined }) };
  let failures = 1;
  const index = indexWith(timers, () => failures-- > 0);
  await index.run();
  expect(fixture.trash.get(place('a'))).toBeUndefined();
  expect(later.length).toBe(1);
  await index.run();
  expect(fixture.trash.get(place('a'))).toMatchObject({ owner: 'a' });
  expect(later.length).toBe(1);
});
