import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { realTimers } from '../../src/app/real-world.ts';
import { equalBytes, toHex } from '../../src/base/bytes.ts';
import { listLeaves, singleChunk, type ContentId } from '../../src/content/content-list.ts';
import { hash } from '../../src/content/hash.ts';
import { ContentReader } from '../../src/folder/serve.ts';
import { placeRows } from '../../src/folder/placed.ts';
import * as keyspace from '../../src/store/keyspace.ts';
import { bytesOf, World } from './ingest-world.ts';

async function serving(files: Record<string, Uint8Array>): Promise<{ world: World; reader: ContentReader; checked: string[] }> {
  const world = await World.make();
  for (const [path, bytes] of Object.entries(files)) world.write(path, bytes);
  await world.ingest.scanNow();
  const checked: string[] = [];
  const reader = new ContentReader({
    root: world.root,
    store: world.replica.store,
    thread: world.thread,
    timers: realTimers,
    checkSoon: (paths) => checked.push(...paths),
  });
  return { world, reader, checked };
}

function contentAt(world: World, path: string): ContentId {
  return world.placed(path)!.content!;
}

describe('ContentReader', () => {
  it('reads any ranges, of many contents at once in few jobs', async () => {
    const files = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`f${i}`, bytesOf(500 + i, i + 1)]));
    const { world, reader } = await serving(files);
    await using _ = world;
    const jobs = world.thread.jobs.length;
    const answers = await Promise.all(
      Object.keys(files).map((path) =>
        reader.readChunks(contentAt(world, path), [
          { offsetBytes: 3, bytes: 7 },
          { offsetBytes: 0, bytes: 500 },
        ]),
      ),
    );
    for (const [i, answer] of answers.entries()) {
      const bytes = files[`f${i}`]!;
      expect(answer!.chunks.map(toHex)).toEqual([toHex(bytes.subarray(3, 10)), toHex(bytes.subarray(0, 500))]);
    }
    expect(world.thread.jobs.length - jobs).toBeLessThan(5);
  });

  it('uses the memory of long reads again that were given back, and of no other', async () => {
    const bytes = bytesOf(900_000);
    const { world, reader } = await serving({ large: bytes });
    await using _ = world;
    const read = async (offsetBytes: number, length: number): Promise<{ bytes: Uint8Array; release: (() => void) | undefined }> => {
      const { chunks, release } = (await reader.readChunks(contentAt(world, 'large'), [{ offsetBytes, bytes: length }]))!;
      return { bytes: chunks[0]!, release };
    };
    const [first, second] = [await read(0, 300_000), await read(300_000, 300_000)];
    expect(equalBytes(first.bytes, bytes.subarray(0, 300_000))).toBe(true);
    first.release!();
    const third = await read(600_000, 300_000);
    // Moved to the thread: nobody here has it any more.
    expect([first.bytes.byteLength, second.bytes.byteLength]).toEqual([0, 300_000]);
    expect(equalBytes(third.bytes, bytes.subarray(600_000))).toBe(true);
    expect(equalBytes(second.bytes, bytes.subarray(300_000, 600_000))).toBe(true);
    // What others may share is nobody's to give back.
    expect((await read(0, 10)).release).toBeUndefined();
  });

  it('gives nobody the memory of short reads, also where they fill as much as a long one', async () => {
    const files = Object.fromEntries(Array.from({ length: 16 }, (_, i) => [`f${i}`, bytesOf(65_536, i + 1)]));
    const { world, reader } = await serving(files);
    await using _ = world;
    const range = [{ offsetBytes: 0, bytes: 65_536 }];
    const answers = await Promise.all(Object.keys(files).map((path) => reader.readChunks(contentAt(world, path), range)));
    expect(answers.map((answer) => answer!.release)).toEqual(answers.map(() => undefined));
  });

  it('refuses a file that has changed, and serves another with the same content', async () => {
    const bytes = bytesOf(3000);
    const { world, reader, checked } = await serving({ one: bytes, two: bytes });
    await using _ = world;
    const content = contentAt(world, 'one');
    const newest = reader.index.path(content)!;
    world.write(newest, bytesOf(3000, 9), 1_700_000_009);
    const answer = await reader.readChunks(content, [{ offsetBytes: 0, bytes: 3000 }]);
    expect(toHex(answer!.chunks[0]!)).toBe(toHex(bytes));
    expect(checked).toEqual([newest]);
    rmSync(world.path('one'));
    rmSync(world.path('two'));
    expect(await reader.readChunks(content, [{ offsetBytes: 0, bytes: 1 }])).toBeUndefined();
  });

  it('serves what is complete in staging and not in the folder yet', async () => {
    const { world, reader } = await serving({});
    await using _ = world;
    const bytes = bytesOf(900);
    mkdirSync(world.path('.sameroot/tmp'), { recursive: true });
    writeFileSync(world.path(`.sameroot/tmp/${toHex(hash('chunk', bytes))}`), bytes);
    const answer = await reader.readChunks(singleChunk(hash('chunk', bytes)), [{ offsetBytes: 100, bytes: 800 }]);
    expect(toHex(answer!.chunks[0]!)).toBe(toHex(bytes.subarray(100)));
    expect(await reader.readChunks(singleChunk(hash('chunk', bytes)), [{ offsetBytes: 100, bytes: 801 }])).toBeUndefined();
  });

  it('gives the room before a buffer to the first answer in it, and an empty answer none', async () => {
    const { world, reader } = await serving({ one: bytesOf(700, 1), two: bytesOf(800, 2), three: bytesOf(900, 3) });
    await using _ = world;
    const range = (bytes: number): { offsetBytes: number; bytes: number }[] => [{ offsetBytes: 0, bytes }];
    const [empty, first, second] = await Promise.all([
      reader.readChunks(contentAt(world, 'one'), range(0)),
      reader.readChunks(contentAt(world, 'two'), range(800)),
      reader.readChunks(contentAt(world, 'three'), range(900)),
    ]);
    expect([empty!.roomBytes, first!.roomBytes, second!.roomBytes]).toEqual([0, 4_096, 0]);
    expect(first!.chunks[0]!.byteOffset).toBe(4_096);
    expect(second!.chunks[0]!.buffer).toBe(first!.chunks[0]!.buffer);
  });

  it('has a limit for one call', async () => {
    const { world, reader } = await serving({});
    await using _ = world;
    await expect(reader.readChunks(singleChunk(new Uint8Array(32)), [{ offsetBytes: 0, bytes: 2 ** 20 + 1 }])).rejects.toThrow(RangeError);
  });
});

describe('ContentIndex', () => {
  it('finds every chunk of a large file where it is', async () => {
    const bytes = bytesOf(1_500_000);
    const { world, reader } = await serving({ large: bytes });
    await using _ = world;
    let offset = 0;
    for (const { refs } of listLeaves((page) => world.replica.store.get(keyspace.listPageKey(page)), contentAt(world, 'large'))) {
      for (const ref of refs) {
        expect(reader.index.localChunks([ref.hash])).toEqual([{ path: 'large', offsetBytes: offset }]);
        offset += ref.bytes;
      }
    }
    expect(offset).toBe(bytes.length);
    rmSync(world.path('large'));
    await world.ingest.scanNow();
    expect(reader.index.localChunks([hash('chunk', bytes.subarray(0, 10))])).toEqual([undefined]);
  });

  it('knows the paths of a content, and finds another when the newest is gone', async () => {
    const bytes = bytesOf(100);
    const { world, reader } = await serving({ one: bytes, two: bytes });
    await using _ = world;
    const content = contentAt(world, 'one');
    expect(await reader.index.paths(content)).toEqual(['one', 'two']);
    const newest = reader.index.path(content)!;
    rmSync(world.path(newest));
    await world.ingest.scanNow();
    const [other] = await reader.index.paths(content);
    expect(other).not.toBe(newest);
    expect(reader.index.path(content)).toBe(other);
    expect(reader.index.holds(content)).toBe(true);
    rmSync(world.path(other!));
    await world.ingest.scanNow();
    expect(reader.index.holds(content)).toBe(false);
    expect(await reader.index.paths(content)).toEqual([]);
  });

  it('does not trust a newest path that holds something else now', async () => {
    const bytes = bytesOf(100);
    const { world, reader } = await serving({ one: bytes });
    await using _ = world;
    const before = world.placed('one')!;
    await world.replica.store.write(placeRows('one', { ...before, content: singleChunk(hash('chunk', bytesOf(5))) }, before), {
      durable: true,
    });
    expect(reader.index.holds(before.content!)).toBe(false);
  });
});
