/** What an edit of a large content makes new: chunks, and pages of its list, as functions of its size. */
import { describe, expect, test } from 'vitest';
import { byteKey, utf8 } from '../../src/base/bytes.ts';
import { MIB } from '../../src/base/limits.ts';
import { makeGear, nextCut } from '../../src/content/chunker.ts';
import { ContentListBuilder, type ChunkRef } from '../../src/content/content-list.ts';
import { hash } from '../../src/content/hash.ts';
import { createShare } from '../../src/replica/share.ts';
import { seededBytes } from '../content/seeded-bytes.ts';
import { FOUNDER, seededRandom } from '../replica/world.ts';
import { growth, mean } from './exponent.ts';

const share = createShare('growth', FOUNDER, seededRandom(1));
const gear = makeGear(share.id);

function chunksOf(bytes: Uint8Array): Map<string, number> {
  const chunks = new Map<string, number>();
  for (let start = 0; start < bytes.length;) {
    const end = nextCut(gear, share.chunker, bytes, start, bytes.length, true)!;
    chunks.set(byteKey(hash('chunk', bytes.subarray(start, end))), end - start);
    start = end;
  }
  return chunks;
}

const PLACES: readonly number[] = [0.06, 0.18, 0.31, 0.43, 0.56, 0.68, 0.81, 0.93];

/** Bytes of the chunks that a byte more at one place or another makes: the mean. */
function newChunkBytes(bytes: Uint8Array): number {
  const before = chunksOf(bytes);
  return meanByPlace(bytes.length, (place) =>
    bytesOfNew(chunksOf(Buffer.concat([bytes.subarray(0, place), Buffer.from([7]), bytes.subarray(place)])), before),
  );
}

function meanByPlace(length: number, costAt: (place: number) => number): number {
  return mean(PLACES.map((part) => costAt(Math.floor(length * part))));
}

function bytesOfNew(after: ReadonlyMap<string, number>, before: ReadonlyMap<string, number>): number {
  return [...after].reduce((sum, [name, bytes]) => sum + (before.has(name) ? 0 : bytes), 0);
}

function refAt(at: number, version: string): ChunkRef {
  return { hash: hash('chunk', utf8(`${at} ${version}`)), bytes: 65_536 };
}

function listPages(refs: Iterable<ChunkRef>): Map<string, number> {
  const pages = new Map<string, number>();
  const builder = new ContentListBuilder((name, page) => pages.set(byteKey(name), page.length));
  for (const ref of refs) builder.add(ref);
  builder.finish();
  return pages;
}

/** Bytes of the list pages that a chunk more at one place or another makes: the mean. */
function newListBytes(chunks: number): number {
  const refs = Array.from({ length: chunks }, (_, at) => refAt(at, 'first'));
  const before = listPages(refs);
  return meanByPlace(chunks, (place) => bytesOfNew(listPages(refs.toSpliced(place, 0, refAt(place, 'second'))), before));
}

describe('an edit of a content', () => {
  test('makes as many bytes of chunks in a small one as in a large one', async (report) => {
    const sizes = [MIB, 4 * MIB, 16 * MIB];
    expect(await growth(report, 'bytes of new chunks', sizes, (size) => newChunkBytes(seededBytes(3, size)))).toBeLessThan(0.15);
  });

  test('makes a page of the list a level', async (report) => {
    expect(await growth(report, 'bytes of new list pages', [300, 3_000, 30_000], newListBytes)).toBeLessThan(0.2);
  });
});
