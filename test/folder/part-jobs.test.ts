import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { realClock } from '../../src/app/real-world.ts';
import { KIB, MIB } from '../../src/base/limits.ts';
import { hash } from '../../src/content/hash.ts';
import { chunkItems } from '../../src/folder/chunk-items.ts';
import type { Disk } from '../../src/folder/disk.ts';
import { PartJobs } from '../../src/folder/part-jobs.ts';
import { realDisk } from '../../src/folder/real-disk.ts';
import { noise } from './disk-fixture.ts';

const NAME = '01'.repeat(33);

interface Piece {
  readonly source: number;
  readonly sourceOffset: number;
  readonly data: Uint8Array;
  readonly offset: number;
}

let tmp: string;
const calls: string[] = [];
const counting: Disk = {
  ...realDisk,
  open: (...input) => (calls.push('open'), realDisk.open(...input)),
  read: (...input) => (calls.push('read'), realDisk.read(...input)),
  write: (...input) => (calls.push('write'), realDisk.write(...input)),
};

beforeEach(() => {
  tmp = mkdtempSync(join(tmpdir(), 'sameroot-parts-'));
  calls.length = 0;
});
afterEach(() => rmSync(tmp, { recursive: true }));

const part = (): string => join(tmp, `${NAME}.part`);
const source = (index: number): string => join(tmp, `source ${index}`);

function makePart(bytes: number): void {
  writeFileSync(part(), '');
  truncateSync(part(), bytes);
}

function copy(pieces: readonly Piece[], { disk = realDisk, minFreeBytes = 0 } = {}): boolean[] {
  const items = pieces.map(({ data, ...place }) => ({ ...place, bytes: data.length, hash: hash('chunk', data) }));
  return new PartJobs(disk, realClock).copyIntoPart({
    tmp,
    name: NAME,
    sources: [source(0), source(1)],
    minFreeBytes,
    ...chunkItems(items, ({ source, sourceOffset, bytes, offset }) => [source, sourceOffset, bytes, offset]),
  });
}

function check(pieces: readonly Pick<Piece, 'data' | 'offset'>[]): boolean[] {
  const items = pieces.map(({ data, offset }) => ({ offset, bytes: data.length, hash: hash('chunk', data) }));
  return new PartJobs(realDisk, realClock).checkPart({
    tmp,
    name: NAME,
    ...chunkItems(items, ({ bytes, offset }) => [bytes, offset]),
  });
}

test('of what sources hold, exactly what has its hash comes into the part, in its place', () => {
  const files = [noise(60_000, 1), noise(60_000, 2)];
  const piece = fc.record({
    source: fc.constantFrom(0, 1),
    bytes: fc.integer({ min: 1, max: 3_000 }),
    /** To the piece before it, in the source and in the content. */
    gaps: fc.tuple(fc.constantFrom(0, 0, 0, 7), fc.constantFrom(0, 0, 0, 9)),
    damaged: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(piece, { minLength: 1, maxLength: 12 }), fc.nat(45_000), (list, cutAt) => {
      const sources = files.map((file) => file.slice());
      let at = 0;
      let end = 0;
      const pieces = list.map(({ source, bytes, gaps, damaged }): Piece => {
        const sourceOffset = at + gaps[0];
        const offset = end + gaps[1];
        const data = files[source]!.slice(sourceOffset, sourceOffset + bytes);
        if (damaged) sources[source]![sourceOffset] = data[0]! ^ 1;
        at = sourceOffset + bytes;
        end = offset + bytes;
        return { source, sourceOffset, data, offset };
      });
      // The second has lost its end.
      sources[1] = sources[1]!.subarray(0, cutAt);
      for (const [index, bytes] of sources.entries()) writeFileSync(source(index), bytes);
      makePart(end);
      const sound = list.map(({ damaged, source }, index) => {
        const { sourceOffset, data } = pieces[index]!;
        return !damaged && (source === 0 || sourceOffset + data.length <= cutAt);
      });
      expect(copy(pieces)).toEqual(sound);
      const expected = Buffer.alloc(end);
      for (const [index, { data, offset }] of pieces.entries()) if (sound[index] === true) expected.set(data, offset);
      expect(readFileSync(part()).equals(expected)).toBe(true);
      expect(check(pieces)).toEqual(sound);
    }),
    { numRuns: 60 },
  );
});

test('neighbours are read and written with one call for a mebibyte', () => {
  const file = noise(2 * MIB, 3);
  writeFileSync(source(0), file);
  makePart(2 * MIB + 5);
  const pieces = Array.from({ length: 32 }, (_, index) => {
    const at = index * 64 * KIB;
    return { source: 0, sourceOffset: at, data: file.slice(at, at + 64 * KIB), offset: at + 5 };
  });
  expect(copy(pieces, { disk: counting })).not.toContain(false);
  expect(calls).toEqual(['open', 'open', 'read', 'write', 'read', 'write']);
  expect(readFileSync(part()).subarray(5).equals(file)).toBe(true);
});

test('a source that is no file, or cannot be read, has no chunks; the others have', () => {
  const data = noise(500, 4);
  mkdirSync(source(0));
  writeFileSync(source(1), data);
  makePart(1_000);
  const pieces = [0, 1].map((source) => ({ source, sourceOffset: 0, data, offset: source * 500 }));
  expect(copy(pieces)).toEqual([false, true]);
  const failing: Disk = {
    ...realDisk,
    read: () => {
      throw Object.assign(new Error('EIO'), { code: 'EIO' });
    },
  };
  expect(copy(pieces, { disk: failing })).toEqual([false, false]);
});

test('a part that is gone is not brought back', () => {
  writeFileSync(source(0), 'abc');
  const pieces = [{ source: 0, sourceOffset: 0, data: Buffer.from('abc'), offset: 0 }];
  expect(() => copy(pieces)).toThrow(expect.objectContaining({ code: 'IO_ERROR' }));
  expect(existsSync(part())).toBe(false);
});

test('a content that is finished is looked at, never written to: it may be in the folder by then', () => {
  const data = noise(300, 5);
  writeFileSync(source(0), Buffer.concat([data, data]));
  writeFileSync(join(tmp, NAME), Buffer.concat([data, new Uint8Array(300)]));
  const { mtimeMs } = statSync(join(tmp, NAME));
  const pieces = [0, 300].map((at) => ({ source: 0, sourceOffset: at, data, offset: at }));
  expect(copy(pieces, { disk: counting })).toEqual([true, false]);
  expect(calls).not.toContain('write');
  expect(statSync(join(tmp, NAME)).mtimeMs).toBe(mtimeMs);
  expect(check(pieces)).toEqual([true, false]);
});

test('each job looks at the disk: what other threads have written meanwhile counts', () => {
  let freeBytes = 2_000;
  const disk: Disk = { ...realDisk, space: () => ({ totalBytes: 10_000, freeBytes }) };
  const jobs = (minFreeBytes: number) => () => copy([{ source: 0, sourceOffset: 0, data, offset: 0 }], { disk, minFreeBytes });
  const data = noise(1_000, 6);
  writeFileSync(source(0), data);
  makePart(1_000);
  expect(jobs(1_000)()).toEqual([true]);
  freeBytes = 1_999;
  makePart(1_000);
  expect(jobs(1_000)).toThrow(expect.objectContaining({ code: 'DISK_FULL' }));
  expect(readFileSync(part()).every((byte) => byte === 0)).toBe(true);
});
