import { appendFileSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { array, assert, constantFrom, integer, property } from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { makeGear, nextCut } from '../../src/content/chunker.ts';
import { ContentListBuilder } from '../../src/content/content-list.ts';
import { hash } from '../../src/content/hash.ts';
import { realClock } from '../../src/app/real-world.ts';
import { TICK_MS_MAX } from '../../src/folder/disk.ts';
import { examine, LargeHash, type Chunking, type FileWorld } from '../../src/folder/file-hash.ts';
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
  it('has the content of its bytes, read whole or in slices of any size', () => {
    assert(
      property(integer({ min: 0, max: 60_000 }), integer({ min: 1, max: 20_000 }), integer({ min: 1, max: 9 }), (length, slice, seed) => {
        const bytes = bytesOf(length, seed);
        write(bytes);
        const found = examine(files, root, 'f', chunking);
        expect(found.state === 'file' && toHex(found.content)).toBe(contentOf(bytes));
        const large = LargeHash.open(files, root, 'f', chunking)!;
        for (;;) {
          const { changing, content } = large.slice(slice);
          expect(changing).toBe(false);
          if (content === undefined) continue;
          expect(toHex(content)).toBe(contentOf(bytes));
          break;
        }
        large.close();
      }),
      { numRuns: 25 },
    );
  });

  it('larger than the read buffer keeps its cuts across it', () => {
    const bytes = bytesOf(9_500_000);
    write(bytes);
    expect(examine(files, root, 'f', chunking).state).toBe('large');
    const large = LargeHash.open(files, root, 'f', chunking)!;
    const { content, pages } = large.slice(64_000_000);
    expect(toHex(content!)).toBe(contentOf(bytes));
    for (const { hash: pageHash, page } of pages) expect(toHex(hash('list', page))).toBe(toHex(pageHash));
    large.close();
  });

  it('that is written to between slices is changing', () => {
    write(bytesOf(50_000));
    const large = LargeHash.open(files, root, 'f', chunking)!;
    expect(large.slice(10_000).changing).toBe(false);
    appendFileSync(join(root, 'f'), 'x');
    expect(large.slice(10_000).changing).toBe(true);
    large.close();
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
