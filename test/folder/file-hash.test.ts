import { appendFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { array, assert, constantFrom, integer, property } from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import type { Chunking, RunRequest } from '../../src/content/chunk-run.ts';
import { makeGear, nextCut } from '../../src/content/chunker.ts';
import { ContentListBuilder } from '../../src/content/content-list.ts';
import { hash } from '../../src/content/hash.ts';
import { realClock } from '../../src/app/real-world.ts';
import { diskStat } from '../../src/folder/disk-stat.ts';
import { TICK_MS_MAX, type Disk } from '../../src/folder/disk.ts';
import { examine, largeRun, largeStat, wholeBytesMax, type FileWorld } from '../../src/folder/file-hash.ts';
import type { DiskStat } from '../../src/folder/placed.ts';
import { realDisk } from '../../src/folder/real-disk.ts';
import { takeTransfer } from '../../src/folder/transfer.ts';
import { bytesOf } from './ingest-world.ts';

const files: FileWorld = { disk: realDisk, clock: realClock };
const chunking: Chunking = { gear: makeGear(Uint8Array.of(1)), parameters: { minBytes: 1024, maskBits: 9, maxBytes: 4096 } };

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'sameroot-hash-'));
});
afterEach(() => {
  takeTransfer();
  rmSync(root, { recursive: true, force: true });
});

function contentOf(bytes: Uint8Array): string {
  const builder = new ContentListBuilder(() => undefined);
  for (let start = 0; start < bytes.length;) {
    const cut = nextCut(chunking.gear, chunking.parameters, bytes, start, bytes.length, true)!;
    builder.add({ hash: hash('chunk', bytes.subarray(start, cut)), bytes: cut - start });
    start = cut;
  }
  return toHex(builder.finish().id);
}

function write(bytes: Uint8Array): void {
  writeFileSync(join(root, 'f'), bytes);
}

describe('a file', () => {
  it('has the content of its bytes', () => {
    assert(
      property(integer({ min: 0, max: 60_000 }), integer({ min: 1, max: 9 }), (length, seed) => {
        const bytes = bytesOf(length, seed);
        write(bytes);
        const found = examine(files, root, 'f', chunking);
        expect(found.state === 'file' && toHex(found.content)).toBe(contentOf(bytes));
        if (found.state === 'file') for (const { hash: name, page } of found.pages) expect(toHex(hash('list', page))).toBe(toHex(name));
      }),
      { numRuns: 25 },
    );
  });

  it('that is large is left to be read in runs', () => {
    write(bytesOf(wholeBytesMax(chunking)));
    expect(examine(files, root, 'f', chunking).state).toBe('file');
    write(bytesOf(wholeBytesMax(chunking) + 1));
    expect(examine(files, root, 'f', chunking)).toEqual({ state: 'large', stat: diskStat(realDisk.lstat(join(root, 'f'))!) });
  });

  it('is read after a tick of the file clock if it is younger than one, by a clock in whole milliseconds too', () => {
    write(bytesOf(100));
    const { ctimeMs } = realDisk.lstat(join(root, 'f'))!;
    let ticks = 0;
    const disk = { ...realDisk, nextTick: () => void ticks++ };
    const ticksAt = (wallMs: number): number => {
      ticks = 0;
      expect(examine({ disk, clock: { ...realClock, wallMs: () => wallMs } }, root, 'f', chunking).state).toBe('file');
      return ticks;
    };
    expect([Math.floor(ctimeMs), ctimeMs, ctimeMs + TICK_MS_MAX].map(ticksAt)).toEqual([1, 1, 1]);
    expect([ctimeMs + TICK_MS_MAX + 1, ctimeMs - 60_000].map(ticksAt)).toEqual([0, 0]);
  });

  it('that was written just now is read after the tick of the file clock, so that another write would show', () => {
    write(bytesOf(100));
    const found = examine(files, root, 'f', chunking);
    if (found.state !== 'file') throw new Error('a file');
    expect(Date.now()).toBeGreaterThan(found.stat.ctimeMs);
    // Same size and time as before: only the change time tells.
    writeFileSync(join(root, 'f'), bytesOf(100, 2));
    utimesSync(join(root, 'f'), found.stat.mtimeMs / 1000, found.stat.mtimeMs / 1000);
    const again = examine(files, root, 'f', chunking);
    expect(again.state === 'file' && again.stat.ctimeMs).not.toBe(found.stat.ctimeMs);
  });
});

describe('a run of a large file', () => {
  const request: RunRequest = { fromBytes: 0, toBytes: 50_000, untilBytes: 50_000, contentBytes: 50_000 };

  function settled(): DiskStat {
    const found = largeStat(files, root, 'f');
    if (found.state !== 'settled') throw new Error(found.state);
    return found.stat;
  }

  it('is read with the stat that the file has once it is at rest, and with no other', () => {
    write(bytesOf(50_000));
    const stat = settled();
    expect(Date.now()).toBeGreaterThan(stat.ctimeMs);
    expect(largeRun(realDisk, join(root, 'f'), stat, chunking, request).state).toBe('read');
    const { mtimeMs } = stat;
    // The same size and time as before: only the change time tells.
    writeFileSync(join(root, 'f'), bytesOf(50_000, 2));
    utimesSync(join(root, 'f'), mtimeMs / 1000, mtimeMs / 1000);
    expect(largeRun(realDisk, join(root, 'f'), stat, chunking, request)).toEqual({ state: 'changing' });
  });

  it('is of no use if the file changes while it is read', () => {
    write(bytesOf(50_000));
    const stat = settled();
    const disk: Disk = {
      ...realDisk,
      read(...input) {
        const bytes = realDisk.read(...input);
        appendFileSync(join(root, 'f'), 'x');
        return bytes;
      },
    };
    expect(largeRun(disk, join(root, 'f'), stat, chunking, request)).toEqual({ state: 'changing' });
  });

  it('says what has become of the file', () => {
    write(bytesOf(50_000));
    const stat = settled();
    const run = (disk: Disk = realDisk) => largeRun(disk, join(root, 'f'), stat, chunking, request);
    const failing = (error: Error): Disk => ({
      ...realDisk,
      open: () => {
        throw error;
      },
    });
    const system = (code: string): Error => Object.assign(new Error(code), { code });
    expect(run(failing(system('EACCES')))).toMatchObject({ state: 'problem', code: 'FILE_UNREADABLE' });
    expect(run(failing(system('EIO')))).toMatchObject({ state: 'problem', code: 'IO_ERROR' });
    expect(() => run(failing(new Error('a bug')))).toThrow('a bug');
    rmSync(join(root, 'f'));
    expect(run()).toEqual({ state: 'gone' });
    expect(largeStat(files, root, 'f')).toEqual({ state: 'gone' });
    symlinkSync('g', join(root, 'f'));
    expect(run()).toEqual({ state: 'changing' });
    rmSync(join(root, 'f'));
    mkdirSync(join(root, 'f'));
    expect(run()).toEqual({ state: 'changing' });
    expect(largeStat(files, root, 'f')).toEqual({ state: 'changing' });
  });
});

describe('a link', () => {
  it('is taken by its text, and refused where that leads out', () => {
    assert(
      property(array(constantFrom('..', '.', 'a', ''), { minLength: 1, maxLength: 5 }), (names) => {
        const target = names.join('/');
        if (target === '') return;
        rmSync(join(root, 'l'), { force: true });
        symlinkSync(target, join(root, 'l'));
        let depth = 0;
        let outside = target.startsWith('/');
        for (const name of names) {
          if (name === '..') depth--;
          else if (name === 'a') depth++;
          if (depth < 0) outside = true;
        }
        expect(examine(files, root, 'l', chunking)).toMatchObject(
          outside ? { state: 'problem', code: 'LINK_OUTSIDE' } : { state: 'symlink' },
        );
      }),
    );
  });
});
