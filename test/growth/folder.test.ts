/** What the folder side does to the disk and the database, as functions of how many files there are. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { realClock } from '../../src/app/real-world.ts';
import { answer, makeJobs } from '../../src/folder/disk-jobs.ts';
import type { Disk } from '../../src/folder/disk.ts';
import { errorOf } from '../../src/folder/job-failure.ts';
import { RealDiskAccess, realDisk } from '../../src/folder/real-disk.ts';
import { takeTransfer } from '../../src/folder/transfer.ts';
import type { WorkCaller } from '../../src/folder/work-threads.ts';
import { seededBytes } from '../content/seeded-bytes.ts';
import { World } from '../folder/ingest-world.ts';
import { growth } from './exponent.ts';

const FILES: readonly number[] = [10, 100, 1_000];

interface Calls {
  lstat: number;
  opened: number;
  listed: number;
  readBytes: number;
}

function countingDisk(calls: Calls): Disk {
  return {
    ...realDisk,
    lstat: (path) => {
      calls.lstat++;
      return realDisk.lstat(path);
    },
    open: (path, flags, mode) => {
      calls.opened++;
      return realDisk.open(path, flags, mode);
    },
    readdir: (path) => {
      calls.listed++;
      return realDisk.readdir(path);
    },
    readdirBytes: (path) => {
      calls.listed++;
      return realDisk.readdirBytes(path);
    },
    read: (handle, target, offset, bytes, position) => {
      const read = realDisk.read(handle, target, offset, bytes, position);
      calls.readBytes += read;
      return read;
    },
  };
}

/** The read jobs in place. No watches: the test says what has happened. No flushes: other tests say when they are due. */
async function countedWorld(calls: Calls): Promise<World> {
  const jobs = makeJobs(countingDisk(calls), realClock);
  const thread: WorkCaller = {
    width: 1,
    busy: 0,
    call: async (name, input) => {
      const { output, error } = answer(jobs, { id: 1, name, input });
      takeTransfer();
      if (error !== undefined) throw errorOf(error);
      return output as never;
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  const access = Object.assign(new RealDiskAccess(), {
    watch: () => ({ close: () => undefined }),
    makeDurable: () => Promise.resolve(),
  });
  return World.make(1, { thread, work: thread, access });
}

function fill(world: World, files: number): void {
  mkdirSync(world.path('all'));
  for (let at = 0; at < files; at++) writeFileSync(world.path(`all/${at}.txt`), `file ${at}`);
}

/** What one changed file among `files` in its folder costs. */
async function oneChange(files: number): Promise<Calls> {
  const calls: Calls = { lstat: 0, opened: 0, listed: 0, readBytes: 0 };
  await using world = await countedWorld(calls);
  fill(world, files);
  await world.ingest.start();
  const before = world.replica.head.root;
  Object.assign(calls, { lstat: 0, opened: 0, listed: 0, readBytes: 0 });
  writeFileSync(world.path('all/7.txt'), seededBytes(7, 100_000));
  await world.ingest.takeIn(['all/7.txt']);
  expect(world.replica.head.root).not.toEqual(before);
  return calls;
}

async function rowsOf(world: World): Promise<number> {
  let rows = 0;
  for await (const batch of world.replica.store.iterate({ gte: new Uint8Array(0), lt: Uint8Array.of(0xff) })) rows += batch.length;
  return rows;
}

describe('one changed file in a folder of many', () => {
  test('costs as many calls and as many bytes as in a folder of few', async (report) => {
    const costs = new Map<number, Calls>();
    for (const files of FILES) costs.set(files, await oneChange(files));
    for (const call of ['lstat', 'opened', 'listed', 'readBytes'] as const) {
      await report.annotate(`${call}: ${FILES.map((files) => `${files}: ${costs.get(files)![call]}`).join(', ')}`);
      expect(new Set(FILES.map((files) => costs.get(files)![call])).size, call).toBe(1);
    }
    // The file itself, once, and some small files of ours.
    expect(costs.get(10)!.readBytes).toBeGreaterThanOrEqual(100_000);
    expect(costs.get(10)!.readBytes).toBeLessThan(101_000);
  });
});

describe('rows of the database', () => {
  test('grow with the files, a few for each', async (report) => {
    const rowsFor = async (files: number): Promise<number> => {
      await using world = await countedWorld({ lstat: 0, opened: 0, listed: 0, readBytes: 0 });
      const empty = await rowsOf(world);
      fill(world, files);
      await world.ingest.start();
      const rows = (await rowsOf(world)) - empty;
      expect(rows).toBeLessThan(3.2 * files + 20);
      return rows;
    };
    expect(await growth(report, 'rows', FILES, rowsFor)).toBeLessThan(1.02);
  });

  test('grow with the size of a file, a little more than one for each chunk', async (report) => {
    const rowsFor = async (bytes: number): Promise<number> => {
      await using world = await countedWorld({ lstat: 0, opened: 0, listed: 0, readBytes: 0 });
      writeFileSync(world.path('large'), seededBytes(3, bytes));
      await world.ingest.start();
      return rowsOf(world);
    };
    const sizes = [1_000_000, 4_000_000, 16_000_000];
    expect(await growth(report, 'rows', sizes, rowsFor)).toBeLessThan(1.05);
  });
});
