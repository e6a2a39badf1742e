import { existsSync, linkSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { realClock } from '../../src/app/real-world.ts';
import { toHex } from '../../src/base/bytes.ts';
import { SamerootError } from '../../src/base/errors.ts';
import { MIB } from '../../src/base/limits.ts';
import { EMPTY_CONTENT, singleChunk, type ContentId } from '../../src/content/content-list.ts';
import { hash } from '../../src/content/hash.ts';
import type { JobCaller } from '../../src/folder/disk-jobs.ts';
import { DiskThread } from '../../src/folder/disk-thread.ts';
import type { Disk, DiskAccess } from '../../src/folder/disk.ts';
import type { ChunkInPart, CopyItem } from '../../src/folder/part-copies.ts';
import { realDisk } from '../../src/folder/real-disk.ts';
import { StageJobs } from '../../src/folder/stage-jobs.ts';
import { Staging, stagedName } from '../../src/folder/staging.ts';
import { Deferred } from '../node/parts.ts';
import { turns } from '../replica/world.ts';
import { Fixture, noise, workOf, type Chunked } from './disk-fixture.ts';
import { inlineThread } from './ingest-world.ts';

const thread = new DiskThread('write');
let fixture: Fixture;

beforeEach(async () => {
  fixture = await Fixture.make(thread);
});
afterEach(() => fixture.dispose());
afterAll(() => thread[Symbol.asyncDispose]());

const tmp = (name = ''): string => join(fixture.root, '.sameroot/tmp', name);
const reopen = (minFreeBytes = 0): Promise<Staging> =>
  Staging.open({
    root: fixture.root,
    access: fixture.access,
    writeThread: thread,
    work: workOf(thread),
    clock: fixture.clock,
    minFreeBytes,
  });
const partsOf = (refs: Chunked['refs']): ChunkInPart[] => refs.map(({ hash, bytes, offset }) => ({ hash, bytes, fileOffset: offset }));
const nameOf = (data: Uint8Array): string => toHex(hash('chunk', data));

test('of a frame, exactly what has its hash is written', async () => {
  const item = fc.record({ data: fc.uint8Array({ minLength: 1, maxLength: 300 }), damaged: fc.boolean() });
  await fc.assert(
    fc.asyncProperty(fc.array(item, { minLength: 1, maxLength: 12 }), async (list) => {
      fixture.dispose();
      fixture = await Fixture.make(thread);
      let offset = 0;
      const items = list.map(({ data }) => ({
        hash: hash('chunk', data),
        offset: (offset += data.length) - data.length,
        bytes: data.length,
      }));
      const frame = Buffer.concat(list.map(({ data, damaged }) => (damaged ? data.map((byte) => byte ^ 1) : data)));
      const good = await fixture.staging.writeWhole(new Uint8Array(frame), items);
      const sound = new Set(list.filter(({ damaged }) => !damaged).map(({ data }) => nameOf(data)));
      // A damaged one may be the same content as a sound one before it.
      for (const [index, { data, damaged }] of list.entries()) {
        if (!damaged) expect(good[index]).toBe(true);
        else if (good[index] === true) expect(sound).toContain(nameOf(data));
      }
      expect(new Set(readdirSync(tmp()))).toEqual(sound);
      for (const name of sound) expect(nameOf(readFileSync(tmp(name)))).toBe(name);
    }),
    { numRuns: 40 },
  );
});

test('a frame in a larger buffer is copied, its neighbours stay', async () => {
  const buffer = new Uint8Array(64).fill(9);
  const frame = buffer.subarray(8, 16);
  expect(await fixture.staging.writeWhole(frame, [{ hash: hash('chunk', frame), offset: 0, bytes: 8 }])).toEqual([true]);
  expect(buffer).toEqual(new Uint8Array(64).fill(9));
  const owned = new Uint8Array(8);
  await fixture.staging.writeWhole(owned, [{ hash: hash('chunk', new Uint8Array(8)), offset: 0, bytes: 8 }]);
  expect(owned.length).toBe(0);
});

test('complete means finished; unfinished contents are found again after a restart, torn ones are not', async () => {
  const [a, b] = [noise(3000, 1), noise(4000, 2)];
  const ids = [a, b].map((data) => singleChunk(hash('chunk', data)));
  const items = [
    { hash: hash('chunk', a), offset: 0, bytes: a.length },
    { hash: hash('chunk', b), offset: a.length, bytes: b.length },
  ];
  await fixture.staging.writeWhole(new Uint8Array(Buffer.concat([a, b])), items);
  expect(ids.map((id) => fixture.staging.complete(id))).toEqual([false, false]);
  truncateSync(tmp(nameOf(b)), 2000);
  writeFileSync(tmp('place-3'), 'left over');
  const staging = await reopen();
  expect(ids.map((id) => staging.complete(id))).toEqual([true, false]);
  expect(readdirSync(tmp())).toEqual([nameOf(a)]);
  expect(staging.pathOf(ids[0]!)).toBe(tmp(nameOf(a)));
  expect(await staging.writeWhole(b.slice(), [{ hash: hash('chunk', b), offset: 0, bytes: b.length }])).toEqual([true]);
  await staging.finish(ids);
  expect(Buffer.compare(readFileSync(tmp(nameOf(b))), b)).toBe(0);
});

test('finish refuses what was never written; the empty content is always there', async () => {
  await expect(fixture.staging.finish([singleChunk(hash('chunk', noise(9)))])).rejects.toMatchObject({ code: 'CONTENT_MISSING' });
  await fixture.staging.finish([EMPTY_CONTENT]);
  expect(fixture.staging.complete(EMPTY_CONTENT)).toBe(true);
});

test('what has gone from staging is written anew', async () => {
  const data = noise(700, 3);
  const item = { hash: hash('chunk', data), offset: 0, bytes: data.length };
  await fixture.staging.writeWhole(data.slice(), [item]);
  rmSync(tmp(nameOf(data)));
  await expect(fixture.staging.finish([singleChunk(item.hash)])).rejects.toMatchObject({ code: 'CONTENT_MISSING' });
  expect(await fixture.staging.writeWhole(data.slice(), [item])).toEqual([true]);
  await fixture.staging.finish([singleChunk(item.hash)]);
  expect(readFileSync(tmp(nameOf(data)))).toEqual(Buffer.from(data));
});

test('what is staged is not written twice: a flushed file stays the file it is', async () => {
  const data = noise(5000);
  const id = await fixture.stage(data);
  const before = statSync(tmp(stagedName(id)));
  const item = { hash: hash('chunk', data), offset: 0, bytes: data.length };
  expect(await fixture.staging.writeWhole(new Uint8Array(data.length), [item])).toEqual([true]);
  // Nor by a thread whose main side does not know of it.
  const input = { tmp: tmp(), frame: data, hashes: item.hash, spans: Float64Array.of(0, data.length), minFreeBytes: 0 };
  expect(await thread.call('stageWhole', input)).toEqual([true]);
  expect(statSync(tmp(stagedName(id)))).toMatchObject({ ino: before.ino, mtimeMs: before.mtimeMs });
});

test('a part knows after a kill which chunks it holds, whatever was written in whatever order', async () => {
  const data = noise(1_200_000, 4);
  const { id, refs } = fixture.chunk(data);
  await fc.assert(
    fc.asyncProperty(fc.shuffledSubarray(refs.map((_, index) => index)), async (order) => {
      await thread.call('stageDiscard', { tmp: tmp(), names: [stagedName(id)] });
      await fixture.staging.openPart(id, data.length);
      for (const index of order) {
        const { hash, bytes, offset } = refs[index]!;
        const items = [{ hash, bytes, offset: 0, fileOffset: offset }];
        expect(await fixture.staging.writePart(id, data.slice(offset, offset + bytes), items)).toEqual([true]);
      }
      const staging = await reopen();
      expect([staging.hasPart(id), staging.complete(id)]).toEqual([true, false]);
      await staging.openPart(id, data.length);
      expect(await staging.checkPart(id, partsOf(refs))).toEqual(refs.map((_, index) => order.includes(index)));
      expect(await staging.checkPart(id, partsOf(refs.slice(1)))).toEqual(refs.slice(1).map((_, at) => order.includes(at + 1)));
    }),
    { numRuns: 15 },
  );
});

test('a chunk of zeros in a part is recognised, a hole where other bytes belong is not', async () => {
  const data = Buffer.concat([new Uint8Array(600_000), noise(100_000)]);
  const { id, refs } = fixture.chunk(data);
  await fixture.staging.openPart(id, data.length);
  const held = await fixture.staging.checkPart(id, partsOf(refs));
  expect(held).toEqual(refs.map(({ offset, bytes }) => data.subarray(offset, offset + bytes).every((byte) => byte === 0)));
  expect(held).toContain(false);
  expect(held).toContain(true);
});

test('a frame of several chunks of a part: the bad one is left out, the rest has its place', async () => {
  const data = noise(900_000, 8);
  const { id, refs } = fixture.chunk(data);
  await fixture.staging.openPart(id, data.length);
  const order = refs.map((_, index) => index).toReversed();
  let offset = 0;
  const items = order.map((index) => {
    const { hash, bytes, offset: fileOffset } = refs[index]!;
    return { hash, bytes, offset: (offset += bytes) - bytes, fileOffset };
  });
  const frame = new Uint8Array(
    Buffer.concat(order.map((index) => data.subarray(refs[index]!.offset, refs[index]!.offset + refs[index]!.bytes))),
  );
  frame[items[1]!.offset]! ^= 1;
  const expected = items.map((_, index) => index !== 1);
  expect(await fixture.staging.writePart(id, frame, items)).toEqual(expected);
  expect(await fixture.staging.checkPart(id, partsOf(refs))).toEqual(expected.toReversed());
  const bad = refs[order[1]!]!;
  const again = [{ hash: bad.hash, bytes: bad.bytes, offset: 0, fileOffset: bad.offset }];
  await fixture.staging.writePart(id, data.slice(bad.offset, bad.offset + bad.bytes), again);
  await fixture.staging.finish([id]);
  expect(fixture.staging.complete(id)).toBe(true);
  expect(readdirSync(tmp())).toEqual([toHex(id)]);
  expect(Buffer.compare(readFileSync(tmp(toHex(id))), data)).toBe(0);
  expect((await reopen()).complete(id)).toBe(true);
});

test('copies from the folder are verified', async () => {
  const data = noise(500_000, 6);
  const { id, refs } = fixture.chunk(data);
  writeFileSync(
    join(fixture.root, 'source'),
    Buffer.concat([Buffer.from('shifted'), data.map((byte, at) => (at === 0 ? byte ^ 1 : byte))]),
  );
  await fixture.staging.openPart(id, data.length);
  const items = refs.map(({ hash, bytes, offset }) => ({ path: 'source', sourceOffset: offset + 7, hash, bytes, fileOffset: offset }));
  expect(await fixture.staging.copyPart(id, items)).toEqual(refs.map((_, index) => index > 0));
  expect(await fixture.staging.checkPart(id, partsOf(refs))).toEqual(refs.map((_, index) => index > 0));
  const small = { path: 'nowhere', sourceOffset: 0, hash: hash('chunk', data), bytes: 10, fileOffset: 0 };
  expect(await fixture.staging.copyWhole([small])).toEqual([false]);
  expect(existsSync(tmp(toHex(small.hash)))).toBe(false);
});

test('below the disk floor nothing is written', async () => {
  const staging = await reopen(Number.MAX_SAFE_INTEGER);
  const data = noise(100);
  const item = { hash: hash('chunk', data), offset: 0, bytes: data.length };
  await expect(staging.writeWhole(new Uint8Array(data), [item])).rejects.toMatchObject({ code: 'DISK_FULL' });
  await expect(staging.openPart(fixture.chunk(noise(300_000)).id, 300_000)).rejects.toMatchObject({ code: 'DISK_FULL' });
  expect(readdirSync(tmp()).filter((name) => statSync(tmp(name)).size > 0)).toEqual([]);
  expect(await fixture.staging.writeWhole(new Uint8Array(data), [item])).toEqual([true]);
});

test('what nobody used for 7 days is removed at the start, unless an entry waits for it', async () => {
  const kept = await fixture.stage('kept');
  const dropped = await fixture.stage('dropped');
  const large = fixture.chunk(noise(300_000));
  await fixture.staging.openPart(large.id, 300_000);
  fixture.clock.ms += 8 * 86_400_000;
  const options = {
    root: fixture.root,
    access: fixture.access,
    writeThread: thread,
    work: workOf(thread),
    clock: fixture.clock,
    minFreeBytes: 0,
  };
  const staging = await Staging.open(options, new Set([stagedName(kept)]));
  expect([kept, dropped].map((id) => staging.complete(id))).toEqual([true, false]);
  expect(staging.hasPart(large.id)).toBe(false);
  expect(readdirSync(tmp())).toEqual([stagedName(kept)]);
});

test('a staged file that a receiver counts on is copied into the folder, not moved', async () => {
  const data = Buffer.from('wanted twice');
  await fixture.stage(data);
  await fixture.staging.writeWhole(new Uint8Array(data), [{ hash: hash('chunk', data), offset: 0, bytes: data.length }]);
  await fixture.materialiser.project(await fixture.commit({ a: { kind: 'file', data } }));
  expect(readFileSync(join(fixture.root, 'a'), 'utf8')).toBe('wanted twice');
  const id = singleChunk(hash('chunk', data));
  await fixture.staging.finish([id]);
  expect(fixture.staging.complete(id)).toBe(true);
});

/** The real disk, whose calls fail as long as they are listed. */
function failingDisk(failing: ReadonlySet<string>): Disk {
  return new Proxy(realDisk, {
    get: (disk, name: keyof Disk) => {
      if (!failing.has(name)) return disk[name];
      return () => {
        throw Object.assign(new Error(`EIO: ${name}`), { code: 'EIO' });
      };
    },
  });
}

describe('what is left of a content after a failure is never taken for it', () => {
  const failing = new Set<string>();
  const stage = new StageJobs(failingDisk(failing), realClock);
  const data = noise(3000, 30);
  const chunk = { hashes: hash('chunk', data), spans: Float64Array.of(0, data.length) };
  const write = (): boolean[] => stage.stageWhole({ tmp: tmp(), frame: data, minFreeBytes: 0, ...chunk });
  const whole = (): boolean => Buffer.compare(readFileSync(tmp(nameOf(data))), data) === 0;

  test('a write that failed, and could not be cleaned up', () => {
    for (const calls of [['write', 'unlink'], ['close'], ['write', 'close', 'unlink']]) {
      for (const call of calls) failing.add(call);
      expect(write).toThrow('EIO');
      failing.clear();
      expect(existsSync(tmp(nameOf(data)))).toBe(true);
      expect(write()).toEqual([true]);
      expect(whole()).toBe(true);
    }
  });

  test('a flush that failed: the file is written anew, for nothing tells which of its bytes are on the medium', () => {
    write();
    const { ino } = statSync(tmp(nameOf(data)));
    linkSync(tmp(nameOf(data)), tmp('keeps its inode in use'));
    failing.add('unlink');
    stage.stageDiscard({ tmp: tmp(), names: [nameOf(data)] });
    failing.clear();
    expect(write()).toEqual([true]);
    expect(statSync(tmp(nameOf(data))).ino).not.toBe(ino);
  });

  test('a part that was given up and stayed: it is made anew, and counts as new', () => {
    const name = `01${nameOf(data)}`;
    const open = (): boolean => stage.stageOpenPart({ tmp: tmp(), name, bytes: 3000, minFreeBytes: 0 });
    expect([open(), open()]).toEqual([false, true]);
    const { ino } = statSync(tmp(`${name}.part`));
    linkSync(tmp(`${name}.part`), tmp('keeps its inode in use'));
    failing.add('unlink');
    stage.stageDiscard({ tmp: tmp(), names: [name] });
    expect(open).toThrow('EIO');
    failing.clear();
    expect([open(), open()]).toEqual([false, true]);
    expect(statSync(tmp(`${name}.part`)).ino).not.toBe(ino);
  });

  test('a file with its name and other bytes; one with the same bytes stays', () => {
    writeFileSync(tmp(nameOf(data)), data.subarray(0, 100));
    expect(write()).toEqual([true]);
    expect(whole()).toBe(true);
    const { ino } = statSync(tmp(nameOf(data)));
    expect(write()).toEqual([true]);
    expect(statSync(tmp(nameOf(data))).ino).toBe(ino);
  });
});

test('a complete content is not dropped with one that can not be flushed', async () => {
  const complete = await fixture.stage('complete');
  const data = noise(200, 31);
  const item = { hash: hash('chunk', data), offset: 0, bytes: data.length };
  let failing = false;
  const makeDurable: DiskAccess['makeDurable'] = (...paths) =>
    failing ? Promise.reject(new SamerootError('IO_ERROR', 'not flushed')) : fixture.access.makeDurable(...paths);
  const { disk, watch } = fixture.access;
  const options = { root: fixture.root, writeThread: thread, work: workOf(thread), clock: fixture.clock, minFreeBytes: 0 };
  const staging = await Staging.open({ ...options, access: { disk, watch, makeDurable } });
  failing = true;
  expect(await staging.writeWhole(data.slice(), [item])).toEqual([true]);
  await expect(staging.finish([complete, singleChunk(item.hash)])).rejects.toMatchObject({ code: 'IO_ERROR' });
  expect([complete, singleChunk(item.hash)].map((id) => staging.complete(id))).toEqual([true, false]);
  expect(readdirSync(tmp())).toEqual([stagedName(complete)]);
});

test('a content that came twice and could not be flushed once is written anew', async () => {
  const data = noise(200, 32);
  const item = { hash: hash('chunk', data), offset: 0, bytes: data.length };
  const { disk, watch } = fixture.access;
  let flushes = 0;
  const makeDurable: DiskAccess['makeDurable'] = (...paths) =>
    flushes++ === 0 ? Promise.reject(new SamerootError('IO_ERROR', 'not flushed')) : fixture.access.makeDurable(...paths);
  let dropping!: () => void;
  const dropped = new Promise<void>((resolve) => (dropping = resolve));
  let writes = 0;
  const writeThread: JobCaller = {
    busy: 0,
    call: async (name, input, transfer) => {
      const result = thread.call(name, input, transfer);
      if (name === 'stageDiscard') dropping();
      // Written before the first of the two was dropped, and heard of afterwards.
      if (name === 'stageWhole' && ++writes === 2) await dropped;
      return result;
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  const options = { root: fixture.root, writeThread, work: workOf(thread), clock: fixture.clock, minFreeBytes: 0 };
  const staging = await Staging.open({ ...options, access: { disk, watch, makeDurable } });
  const id = singleChunk(item.hash);
  const first = staging.writeWhole(data.slice(), [item]);
  const second = staging.writeWhole(data.slice(), [item]);
  await first;
  await expect(staging.finish([id])).rejects.toMatchObject({ code: 'IO_ERROR' });
  await second;
  expect(await staging.writeWhole(data.slice(), [item])).toEqual([true]);
  await staging.finish([id]);
  expect(readFileSync(tmp(nameOf(data)))).toEqual(Buffer.from(data));
});

describe('chunks that other threads copy into a part', () => {
  /** Of zeros: chunks of one size, in a file that takes no time to make. */
  function makeZeros(bytes: number): { id: ContentId; items: CopyItem[] } {
    const { id, refs } = fixture.chunk(new Uint8Array(bytes));
    writeFileSync(join(fixture.root, 'source'), '');
    truncateSync(join(fixture.root, 'source'), bytes);
    return {
      id,
      items: refs.map(({ hash, bytes, offset }) => ({ path: 'source', sourceOffset: offset, hash, bytes, fileOffset: offset })),
    };
  }

  /** `calls`: the jobs and flushes, as they end. `hold` says what copies wait for from now on before they begin. */
  async function makeStaging({ disk = realDisk, flushed = Promise.resolve() } = {}): Promise<{
    staging: Staging;
    calls: string[];
    hold: (until: Promise<void>) => void;
  }> {
    const calls: string[] = [];
    let held = Promise.resolve();
    const noting = (thread: JobCaller, before: () => Promise<void>): JobCaller => ({
      busy: 0,
      call: async (name, input, transfer) => {
        await before();
        const output = await thread.call(name, input, transfer);
        calls.push(name);
        return output;
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    });
    const makeDurable: DiskAccess['makeDurable'] = () => {
      calls.push('flush');
      return flushed;
    };
    const staging = await Staging.open({
      root: fixture.root,
      access: { disk: realDisk, watch: fixture.access.watch, makeDurable },
      writeThread: noting(inlineThread(disk), () => Promise.resolve()),
      work: workOf(noting(inlineThread(), () => held)),
      clock: fixture.clock,
      minFreeBytes: 0,
    });
    calls.length = 0;
    const hold = (until: Promise<void>): void => {
      held = until;
    };
    return { staging, calls, hold };
  }

  test('are there when it is finished: nothing is flushed, and no name given, while one is at it', async () => {
    const held = new Deferred();
    const { staging, calls, hold } = await makeStaging();
    const { id, items } = makeZeros(4 * MIB);
    await staging.openPart(id, 4 * MIB);
    await staging.copyPart(id, items);
    expect(calls).toEqual(['stageOpenPart', 'copyIntoPart', 'stageWritten']);
    calls.length = 0;
    hold(held.promise);
    const copied = staging.copyPart(id, items.slice(0, 3));
    const finished = staging.finish([id]);
    await turns();
    expect(calls).toEqual([]);
    held.resolve();
    expect(await copied).toEqual([true, true, true]);
    await finished;
    expect(calls).toEqual(['copyIntoPart', 'stageWritten', 'flush', 'stageFinish']);
    expect(readdirSync(tmp())).toEqual([toHex(id)]);
  });

  test('go with it when it is dropped, and are not held; a late copy does not bring it back', async () => {
    const held = new Deferred();
    const flushed = Promise.reject(new SamerootError('IO_ERROR', 'not flushed'));
    flushed.catch(() => undefined);
    const { staging, calls, hold } = await makeStaging({ flushed });
    const { id, items } = makeZeros(4 * MIB);
    await staging.openPart(id, 4 * MIB);
    await staging.copyPart(id, items);
    hold(held.promise);
    const before = staging.copyPart(id, items.slice(0, 3));
    const finished = staging.finish([id]);
    const after = staging.copyPart(id, items.slice(3));
    const results = Promise.allSettled([before, finished, after]);
    held.resolve();
    expect(await results).toMatchObject([
      { status: 'fulfilled' },
      { status: 'rejected', reason: { code: 'IO_ERROR' } },
      { status: 'rejected', reason: { code: 'IO_ERROR' } },
    ]);
    expect(calls.filter((name) => name === 'copyIntoPart' || name === 'stageDiscard')).toEqual([
      'copyIntoPart',
      'copyIntoPart',
      'stageDiscard',
    ]);
    expect([staging.hasPart(id), staging.complete(id), readdirSync(tmp())]).toEqual([false, false, []]);
  });

  test('count for the flush in the background, and where that fails, so does the finish', async () => {
    let flushes = 0;
    const flushLater: Disk['flushLater'] = (_handle, done) => {
      flushes++;
      setImmediate(done, new Error('EIO'));
    };
    const { staging } = await makeStaging({ disk: { ...realDisk, flushLater } });
    const { id, items } = makeZeros(65 * MIB);
    await staging.openPart(id, 65 * MIB);
    expect(await staging.copyPart(id, items)).not.toContain(false);
    await turns();
    expect(flushes).toBe(1);
    await expect(staging.finish([id])).rejects.toMatchObject({ code: 'IO_ERROR' });
    expect([staging.complete(id), readdirSync(tmp())]).toEqual([false, []]);
  });
});

describe('a part becomes whole only if every byte of it was verified since it was made', () => {
  const data = noise(900_000, 40);
  /** The next flush fails. */
  let failing = false;
  let flushes = 0;

  function openStaging(writeThread: JobCaller = thread): Promise<Staging> {
    failing = false;
    flushes = 0;
    const makeDurable: DiskAccess['makeDurable'] = (...paths) => {
      flushes++;
      const fails = failing;
      failing = false;
      return fails ? Promise.reject(new SamerootError('IO_ERROR', 'not flushed')) : fixture.access.makeDurable(...paths);
    };
    const { disk, watch } = fixture.access;
    const options = { root: fixture.root, writeThread, work: workOf(thread), clock: fixture.clock, minFreeBytes: 0 };
    return Staging.open({ ...options, access: { disk, watch, makeDurable } });
  }

  const writeChunks = (staging: Staging, { id, refs }: Chunked, from = 0, to = refs.length): Promise<boolean[]> => {
    const start = refs[from]!.offset;
    const items = refs.slice(from, to).map(({ hash, bytes, offset }) => ({ hash, bytes, offset: offset - start, fileOffset: offset }));
    return staging.writePart(id, data.slice(start, refs[to]?.offset ?? data.length), items);
  };

  /** Refused, and nothing is done to the part: somebody may be filling it. */
  async function expectRefused(staging: Staging, { id }: Chunked): Promise<void> {
    const before = statSync(tmp(`${toHex(id)}.part`));
    flushes = 0;
    await expect(staging.finish([id])).rejects.toMatchObject({ code: 'CONTENT_MISSING' });
    expect([flushes, staging.complete(id), staging.hasPart(id)]).toEqual([0, false, true]);
    expect(readdirSync(tmp())).toEqual([`${toHex(id)}.part`]);
    expect(statSync(tmp(`${toHex(id)}.part`))).toMatchObject({ ino: before.ino, mtimeMs: before.mtimeMs });
  }

  async function expectFinished(staging: Staging, { id }: Chunked): Promise<void> {
    await staging.finish([id]);
    expect(staging.complete(id)).toBe(true);
    expect(readdirSync(tmp())).toEqual([toHex(id)]);
    expect(Buffer.compare(readFileSync(tmp(toHex(id))), data)).toBe(0);
  }

  test('an order that was told of a part that was dropped since does not finish the one that another is filling', async () => {
    const staging = await openStaging();
    const content = fixture.chunk(data);
    await staging.openPart(content.id, data.length);
    expect(await writeChunks(staging, content)).not.toContain(false);
    // The second order: all is here, it hears.
    await staging.openPart(content.id, data.length);
    expect(await staging.checkPart(content.id, partsOf(content.refs))).not.toContain(false);
    failing = true;
    await expect(staging.finish([content.id])).rejects.toMatchObject({ code: 'IO_ERROR' });
    // The third.
    await staging.openPart(content.id, data.length);
    await writeChunks(staging, content, 0, 2);
    await expectRefused(staging, content);
    await writeChunks(staging, content, 2);
    await expectFinished(staging, content);
  });

  test('what one call brings, and what is found there, count together; a hole is refused wherever it is, and can be filled', async () => {
    const staging = await openStaging();
    const content = fixture.chunk(data);
    const { id, refs } = content;
    for (const hole of [0, 1, refs.length - 1]) {
      await staging.openPart(id, data.length);
      if (hole > 0) await writeChunks(staging, content, 0, hole);
      if (hole + 1 < refs.length) await writeChunks(staging, content, hole + 1);
      await expectRefused(staging, content);
      writeFileSync(join(fixture.root, 'source'), data);
      const { hash, bytes, offset } = refs[hole]!;
      expect(await staging.copyPart(id, [{ path: 'source', sourceOffset: offset, hash, bytes, fileOffset: offset }])).toEqual([true]);
      await expectFinished(staging, content);
      rmSync(tmp(toHex(id)));
      staging.noteMoved(toHex(id));
    }
  });

  test('the others of a call are finished, the one with a hole is not', async () => {
    const staging = await openStaging();
    const content = fixture.chunk(data);
    const small = noise(300, 41);
    const id = singleChunk(hash('chunk', small));
    await staging.writeWhole(small.slice(), [{ hash: hash('chunk', small), offset: 0, bytes: small.length }]);
    await staging.openPart(content.id, data.length);
    await writeChunks(staging, content, 1);
    await expect(staging.finish([content.id, id])).rejects.toMatchObject({ code: 'CONTENT_MISSING' });
    expect([id, content.id].map((one) => staging.complete(one))).toEqual([true, false]);
  });

  test('a frame that was written before the drop, and is heard of when the part was made anew, is nothing of the new part', async () => {
    const heard = new Deferred();
    let late = false;
    const writeThread: JobCaller = {
      busy: 0,
      call: async (name, input, transfer) => {
        const isLate = name === 'stagePart' && late;
        const output = await thread.call(name, input, transfer);
        if (isLate) await heard.promise;
        return output;
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
    const staging = await openStaging(writeThread);
    const content = fixture.chunk(data);
    await staging.openPart(content.id, data.length);
    await writeChunks(staging, content);
    late = true;
    const written = writeChunks(staging, content);
    late = false;
    failing = true;
    await expect(staging.finish([content.id])).rejects.toMatchObject({ code: 'IO_ERROR' });
    await staging.openPart(content.id, data.length);
    heard.resolve();
    expect(await written).not.toContain(false);
    await expectRefused(staging, content);
  });

  test('after a restart a part is nothing until it is asked what it holds', async () => {
    const content = fixture.chunk(data);
    const first = await openStaging();
    await first.openPart(content.id, data.length);
    await writeChunks(first, content);
    const staging = await openStaging();
    await expectRefused(staging, content);
    await staging.openPart(content.id, data.length);
    await expectRefused(staging, content);
    expect(await staging.checkPart(content.id, partsOf(content.refs))).not.toContain(false);
    await expectFinished(staging, content);
  });

  test('nor is one that somebody took away, and that was made anew', async () => {
    const staging = await openStaging();
    const content = fixture.chunk(data);
    await staging.openPart(content.id, data.length);
    await writeChunks(staging, content);
    rmSync(tmp(`${toHex(content.id)}.part`));
    await staging.openPart(content.id, data.length);
    await expectRefused(staging, content);
  });

  test('nor one that comes after the content was finished and moved away', async () => {
    const staging = await openStaging();
    const content = fixture.chunk(data);
    await staging.openPart(content.id, data.length);
    await writeChunks(staging, content);
    await staging.finish([content.id]);
    rmSync(tmp(toHex(content.id)));
    staging.noteMoved(toHex(content.id));
    await staging.openPart(content.id, data.length);
    await expectRefused(staging, content);
  });

  test('opening it again changes nothing; two that finish it flush it once', async () => {
    const staging = await openStaging();
    const content = fixture.chunk(data);
    await staging.openPart(content.id, data.length);
    await writeChunks(staging, content, 0, 2);
    await staging.openPart(content.id, data.length);
    await writeChunks(staging, content, 2);
    flushes = 0;
    await Promise.all([staging.finish([content.id]), staging.finish([content.id])]);
    expect([flushes, staging.complete(content.id)]).toEqual([1, true]);
  });

  test('a file with the name of a small content, which nobody verified, is not taken for it', async () => {
    const staging = await openStaging();
    const small = noise(300, 42);
    writeFileSync(tmp(nameOf(small)), 'other bytes');
    const id = singleChunk(hash('chunk', small));
    await expect(staging.finish([id])).rejects.toMatchObject({ code: 'CONTENT_MISSING' });
    expect(staging.complete(id)).toBe(false);
  });
});
