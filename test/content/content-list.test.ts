import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { byteKey, ByteWriter, concatBytes, toHex, utf8 } from '../../src/base/bytes.ts';
import { CHUNK_BYTES_MAX, LIST_LEVEL_MAX, SHARE_CHUNK_BYTES_MIN } from '../../src/base/limits.ts';
import { makeGear, nextCut } from '../../src/content/chunker.ts';
import {
  contentHash,
  contentLevel,
  ContentListBuilder,
  decodeListPage,
  EMPTY_CONTENT,
  leafWeight,
  listedBytes,
  listLeaves,
  missingListPages,
  singleChunk,
  type ChunkRef,
  type ContentId,
  type ListRef,
} from '../../src/content/content-list.ts';
import { hash } from '../../src/content/hash.ts';
import { mutated, mutations } from '../base/mutated.ts';
import { codeOf } from './code-of.ts';
import { seededBytes } from './seeded-bytes.ts';

class Pages {
  readonly byHash = new Map<string, Uint8Array>();
  reads = 0;
  readonly source = (pageHash: Uint8Array): Uint8Array | undefined => {
    this.reads++;
    return this.byHash.get(byteKey(pageHash));
  };
  readonly put = (pageHash: Uint8Array, page: Uint8Array): void => {
    expect(toHex(hash('list', page))).toBe(toHex(pageHash));
    this.byHash.set(byteKey(pageHash), page);
  };
}

function build(refs: readonly ChunkRef[], pages: Pages = new Pages()): { pages: Pages; id: ContentId; bytes: number; chunks: number } {
  const builder = new ContentListBuilder(pages.put);
  for (const ref of refs) builder.add(ref);
  return { pages, ...builder.finish() };
}

/** A chunk whose hash is the number; every hash of 0 modulo 64 in its first four bytes is a border. */
function chunk(number: number, border: boolean, bytes: number = SHARE_CHUNK_BYTES_MIN + (number % 1000)): ChunkRef {
  const name = Buffer.from(hash('chunk', utf8(String(number))));
  name[3] = border ? name[3]! & 0xc0 : name[3]! | 1;
  return { hash: name, bytes };
}

/** As chunks come: one in 64 is a border. */
function chunks(count: number, from: number = 0): ChunkRef[] {
  return Array.from({ length: count }, (_, at) => ({
    hash: hash('chunk', utf8(String(from + at))),
    bytes: SHARE_CHUNK_BYTES_MIN + (at % 1000),
  }));
}

function encodePage(level: number, refs: readonly ListRef[]): Uint8Array {
  const writer = new ByteWriter().u8(level);
  for (const ref of refs) {
    writer.raw(ref.hash);
    if (level === 1) writer.u32(ref.bytes);
    else writer.u48(ref.bytes).u32(ref.chunks);
  }
  return Uint8Array.from(writer.finish());
}

/** The definition over whole arrays: cut, hash, and again until one page is left. */
function plainId(refs: readonly ChunkRef[]): string {
  if (refs.length === 1) return `00${toHex(refs[0]!.hash)}`;
  let items: ListRef[] = refs.map((ref) => ({ ...ref, chunks: 1 }));
  for (let level = 1; ; level++) {
    const above: ListRef[] = [];
    let page: ListRef[] = [];
    for (const [at, item] of items.entries()) {
      page.push(item);
      const border = Buffer.from(item.hash).readUInt32BE(0) % 64 === 0 && page.length >= 16;
      if (border || page.length === 512 || at === items.length - 1) {
        above.push({
          hash: hash('list', encodePage(level, page)),
          bytes: page.reduce((sum, ref) => sum + ref.bytes, 0),
          chunks: page.reduce((sum, ref) => sum + ref.chunks, 0),
        });
        page = [];
      }
    }
    if (above.length === 1) return `${level.toString(16).padStart(2, '0')}${toHex(above[0]!.hash)}`;
    items = above;
  }
}

function leafRefs(pages: Pages, id: ContentId): string[] {
  const found: string[] = [];
  let offset = 0;
  for (const leaf of listLeaves(pages.source, id)) {
    expect(leaf.firstChunk).toBe(found.length);
    expect(leaf.offsetBytes).toBe(offset);
    for (const ref of leaf.refs) {
      found.push(`${toHex(ref.hash)} ${ref.bytes}`);
      offset += ref.bytes;
    }
  }
  return found;
}

const named = (refs: readonly ChunkRef[]): string[] => refs.map((ref) => `${toHex(ref.hash)} ${ref.bytes}`);

/** Runs of plain chunks, of borders, and of one repeated chunk. */
const anyRefs = fc
  .array(
    fc.record({
      count: fc.oneof(fc.nat(40), fc.nat(1500)),
      from: fc.nat(5000),
      style: fc.constantFrom('plain', 'borders', 'same', 'same border'),
    }),
    {
      minLength: 1,
      maxLength: 4,
    },
  )
  .map((runs) =>
    runs.flatMap(({ count, from, style }) => {
      if (style === 'plain') return chunks(count, from);
      if (style === 'borders') return Array.from({ length: count }, (_, at) => chunk(from + at, true));
      return Array.from<ChunkRef>({ length: count }).fill(chunk(from, style === 'same border'));
    }),
  );

describe('content list', () => {
  test('is the definition, and gives back its chunks', () => {
    fc.assert(
      fc.property(anyRefs, (refs) => {
        const { pages, id, bytes, chunks } = build(refs);
        expect(toHex(id)).toBe(refs.length === 0 ? toHex(EMPTY_CONTENT) : plainId(refs));
        expect(bytes).toBe(refs.reduce((sum, ref) => sum + ref.bytes, 0));
        expect(chunks).toBe(Math.max(refs.length, 1));
        if (refs.length > 1) expect(leafRefs(pages, id)).toEqual(named(refs));
      }),
      { numRuns: 60 },
    );
  });

  test('no chunk, and one chunk, are no lists', () => {
    const pages = new Pages();
    expect(build([], pages)).toMatchObject({ id: EMPTY_CONTENT, bytes: 0, chunks: 1 });
    const one = chunk(1, true);
    expect(build([one], pages)).toMatchObject({ id: singleChunk(one.hash), bytes: one.bytes, chunks: 1 });
    expect(pages.byHash.size).toBe(0);
    expect(contentLevel(EMPTY_CONTENT)).toBe(0);
    expect(toHex(contentHash(singleChunk(one.hash)))).toBe(toHex(one.hash));
    expect(() => [...listLeaves(pages.source, EMPTY_CONTENT)]).toThrow(RangeError);
    expect(missingListPages(pages.source, EMPTY_CONTENT, 9)).toEqual([]);
  });

  test('its size is that of its chunks', () => {
    for (const refs of [chunks(2), chunks(5_000)]) {
      const { pages, id, bytes } = build(refs);
      expect(listedBytes(pages.source, id)).toBe(bytes);
      expect(() => listedBytes(() => undefined, id)).toThrow('is not here');
    }
    const pair = build([chunk(1, false, 5_000), chunk(2, false, 6_000)]);
    expect([...listLeaves(pair.pages.source, pair.id)].map(leafWeight)).toEqual([11_000]);
  });

  test('ends, and shares its pages, where all chunks are equal', () => {
    for (const border of [false, true]) {
      const { pages, id, chunks } = build(Array.from<ChunkRef>({ length: 100_000 }).fill(chunk(3, border)));
      expect(chunks).toBe(100_000);
      expect(contentLevel(id)).toBeLessThanOrEqual(border ? 5 : 3);
      expect(pages.byHash.size).toBeLessThanOrEqual(2 * LIST_LEVEL_MAX);
      let leaves = 0;
      for (const leaf of listLeaves(pages.source, id)) leaves += leaf.refs.length;
      expect(leaves).toBe(100_000);
    }
  });

  test('an edit makes few new pages, however long the list', () => {
    const refs = chunks(30_000);
    const { pages, id } = build(refs);
    expect(pages.byHash.size).toBeGreaterThan(300);
    let novel = 0;
    let edits = 0;
    for (let at = 0; at < refs.length; at += 1009) {
      const fresh = chunks(1, 1_000_000 + at);
      for (const edited of [refs.toSpliced(at, 1), refs.toSpliced(at, 0, ...fresh), refs.toSpliced(at, 1, ...fresh)]) {
        const after = build(edited);
        const unshared = [...after.pages.byHash.keys()].filter((key) => !pages.byHash.has(key)).length;
        expect(unshared).toBeLessThanOrEqual(5 * contentLevel(id));
        novel += unshared;
        edits++;
      }
    }
    expect(contentLevel(id)).toBe(3);
    expect(novel / edits).toBeLessThan(1.5 * contentLevel(id));
  });

  test('an edit makes as many new pages as there are levels, at most a few times: the logarithm of the list', () => {
    const novel = [1_000, 10_000, 100_000].map((count) => {
      const refs = chunks(count);
      const { pages, id } = build(refs);
      let unshared = 0;
      for (const place of [0.05, 0.3, 0.55, 0.8]) {
        const at = Math.floor(place * count);
        const after = build(refs.toSpliced(at, 1, ...chunks(2, 1_000_000 + at)));
        unshared += [...after.pages.byHash.keys()].filter((key) => !pages.byHash.has(key)).length;
      }
      expect(unshared / 4).toBeLessThan(2 * contentLevel(id));
      return unshared;
    });
    // A hundred times the list, and not three times the pages.
    expect(novel[2]!).toBeLessThan(3 * novel[0]!);
  });

  test('a file that is edited anywhere keeps all but a few pages of its list', () => {
    const parameters = { minBytes: SHARE_CHUNK_BYTES_MIN, maskBits: 8, maxBytes: 4096 };
    const gear = makeGear(utf8('a share'));
    const listOf = (bytes: Uint8Array): ReturnType<typeof build> => {
      const refs: ChunkRef[] = [];
      for (let from = 0; from < bytes.length;) {
        const to = nextCut(gear, parameters, bytes, from, bytes.length, true)!;
        refs.push({ hash: hash('chunk', bytes.subarray(from, to)), bytes: to - from });
        from = to;
      }
      return build(refs);
    };
    const file = seededBytes(31, 5_000_000);
    const before = listOf(file);
    const level = contentLevel(before.id);
    expect(before.pages.byHash.size).toBeGreaterThan(40);
    const anyEdit = fc.record({ at: fc.nat(file.length - 1), remove: fc.nat(200), insert: fc.uint8Array({ maxLength: 200 }) });
    fc.assert(
      fc.property(fc.array(anyEdit, { minLength: 1, maxLength: 3 }), (edits) => {
        let bytes: Uint8Array = file;
        for (const { at, remove, insert } of edits) bytes = concatBytes(bytes.subarray(0, at), insert, bytes.subarray(at + remove));
        const after = listOf(bytes);
        const unshared = [...after.pages.byHash.keys()].filter((key) => !before.pages.byHash.has(key)).length;
        expect(unshared).toBeLessThanOrEqual(5 * edits.length * level);
        expect(leafRefs(after.pages, after.id).length).toBe(after.chunks);
      }),
      { numRuns: 40 },
    );
  });

  test('begins at any chunk, and reads only the way to it', () => {
    const refs = chunks(20_000);
    const { pages, id } = build(refs);
    for (const from of [0, 1, 511, 9_999, 19_999]) {
      pages.reads = 0;
      const leaf = listLeaves(pages.source, id, from).next().value!;
      expect(pages.reads).toBe(contentLevel(id));
      expect(from).toBeGreaterThanOrEqual(leaf.firstChunk);
      expect(from).toBeLessThan(leaf.firstChunk + leaf.refs.length);
      expect(toHex(leaf.refs[from - leaf.firstChunk]!.hash)).toBe(toHex(refs[from]!.hash));
      expect(leaf.offsetBytes).toBe(refs.slice(0, leaf.firstChunk).reduce((sum, ref) => sum + ref.bytes, 0));
    }
    expect([...listLeaves(pages.source, id, 20_000)]).toEqual([]);
    const short = build(chunks(5));
    expect([...listLeaves(short.pages.source, short.id, 5)]).toEqual([]);
    expect([...listLeaves(short.pages.source, short.id, 4)].length).toBe(1);
  });

  test('names what is missing until nothing is, each page once, a level at a time', () => {
    const { pages, id } = build([...chunks(20_000), ...Array.from<ChunkRef>({ length: 5000 }).fill(chunk(1, false))]);
    for (const max of [7, 100_000]) {
      const here = new Pages();
      const asked: string[] = [];
      let rounds = 0;
      for (let missing = missingListPages(here.source, id, max); missing.length > 0; missing = missingListPages(here.source, id, max)) {
        rounds++;
        expect(missing.length).toBeLessThanOrEqual(max);
        for (const { hash, level } of missing) {
          asked.push(byteKey(hash));
          const page = pages.source(hash)!;
          decodeListPage(page, level);
          here.put(hash, page);
        }
      }
      expect(asked.length).toBe(new Set(asked).size);
      expect(new Set(asked)).toEqual(new Set(pages.byHash.keys()));
      if (max > 7) expect(rounds).toBe(contentLevel(id));
      expect(leafRefs(here, id).length).toBe(25_000);
    }
  });

  test('an absent page is reported, not skipped', () => {
    const { pages, id } = build(chunks(3000));
    const absent = [...pages.byHash.keys()][3]!;
    pages.byHash.delete(absent);
    expect(codeOf(() => [...listLeaves(pages.source, id)])).toBe('CONTENT_MISSING');
  });

  test('refuses refs that no chunker makes', () => {
    const short = chunk(1, false, SHARE_CHUNK_BYTES_MIN - 1);
    expect(() => build([short, short])).toThrow(RangeError);
    expect(build([...chunks(20), short]).chunks).toBe(21);
    for (const bytes of [0, -1, 1.5e9, CHUNK_BYTES_MAX + 1, Number.NaN]) expect(() => build([chunk(1, false, bytes)])).toThrow(RangeError);
  });
});

describe('list page', () => {
  const plain = (count: number): ListRef[] => Array.from({ length: count }, (_, at) => ({ ...chunk(at, false), chunks: 1 }));

  test('any bytes are refused or are the encoding of what they decode to', () => {
    const { pages } = build(chunks(1500));
    const samples = [...pages.byHash.values()];
    let accepted = 0;
    fc.assert(
      fc.property(fc.constantFrom(...samples), mutations, (page, changes) => {
        const bytes = mutated(page, changes);
        const level = Math.max(1, Math.min(bytes[0]!, LIST_LEVEL_MAX));
        let refs: readonly ListRef[];
        try {
          refs = decodeListPage(bytes, level);
        } catch (error) {
          expect(error).toMatchObject({ code: 'BAD_ENCODING' });
          return;
        }
        accepted++;
        expect(toHex(encodePage(level, refs))).toBe(toHex(bytes));
      }),
      { numRuns: 500 },
    );
    expect(accepted).toBeGreaterThan(50);
  });

  test('refuses what no builder writes', () => {
    const good = plain(20);
    const border: ListRef = { ...chunk(99, true), chunks: 1 };
    const refused = (page: Uint8Array, level: number = 1): string | undefined => codeOf(() => decodeListPage(page, level));
    expect(refused(encodePage(1, good))).toBeUndefined();
    expect(refused(encodePage(1, good), 2)).toBe('BAD_ENCODING');
    const child = { hash: good[0]!.hash, bytes: 20_000, chunks: 10 };
    expect(refused(encodePage(3, [child, child]), 3)).toBeUndefined();
    expect(refused(encodePage(3, [child, child]), 2)).toBe('BAD_ENCODING');
    expect(refused(new Uint8Array([1]))).toBe('BAD_ENCODING');
    expect(refused(new Uint8Array(0))).toBe('BAD_ENCODING');
    expect(refused(concatBytes(encodePage(1, good), utf8('x')))).toBe('BAD_ENCODING');
    expect(refused(encodePage(1, [...plain(15), border]))).toBeUndefined();
    expect(refused(encodePage(1, [...plain(15), border, ...good]))).toBe('BAD_ENCODING');
    expect(refused(encodePage(1, [...plain(14), border, ...good]))).toBeUndefined();
    expect(refused(encodePage(1, plain(512)))).toBeUndefined();
    expect(refused(encodePage(1, plain(513)))).toBe('BAD_ENCODING');
    for (const bytes of [0, CHUNK_BYTES_MAX + 1]) expect(refused(encodePage(1, [...good, { ...good[0]!, bytes }]))).toBe('BAD_ENCODING');
    expect(refused(encodePage(2, [child, child]), 2)).toBeUndefined();
    for (const odd of [{ chunks: 0 }, { chunks: 21 }, { bytes: 10 * CHUNK_BYTES_MAX + 1 }]) {
      expect(refused(encodePage(2, [child, { ...child, ...odd }]), 2)).toBe('BAD_ENCODING');
    }
    // Of the last, only the last chunk may be short; before it, none.
    const least = SHARE_CHUNK_BYTES_MIN;
    const short = { ...good[0]!, bytes: least - 1 };
    expect(refused(encodePage(1, [...good, short]))).toBeUndefined();
    expect(refused(encodePage(1, [short, ...good]))).toBe('BAD_ENCODING');
    for (const [bytes, wrong] of [
      [9 * least, true],
      [9 * least + 1, false],
    ] as const)
      expect(refused(encodePage(2, [child, { ...child, bytes }]), 2)).toBe(wrong ? 'BAD_ENCODING' : undefined);
    expect(refused(encodePage(2, [{ ...child, bytes: 10 * least - 1 }, child]), 2)).toBe('BAD_ENCODING');
    expect(refused(encodePage(2, [{ ...child, bytes: 10 * least }, child]), 2)).toBeUndefined();
    const half = { hash: good[0]!.hash, bytes: 2 ** 47, chunks: 2 ** 31 };
    expect(refused(encodePage(2, [half]), 2)).toBeUndefined();
    expect(refused(encodePage(2, [half, half]), 2)).toBe('BAD_ENCODING');
  });

  /** A list of two leaf pages under a top page that says of them what it likes. */
  function forged(left: ListRef[], right: ListRef[], lie: Partial<ListRef> = {}): [Pages, ContentId] {
    const pages = new Pages();
    const keep = (level: number, refs: ListRef[]): ListRef => {
      const page = encodePage(level, refs);
      const pageHash = hash('list', page);
      pages.put(pageHash, page);
      return {
        hash: pageHash,
        bytes: refs.reduce((sum, ref) => sum + ref.bytes, 0),
        chunks: refs.reduce((sum, ref) => sum + ref.chunks, 0),
      };
    };
    const top = keep(2, [{ ...keep(1, left), ...lie }, keep(1, right)]);
    return [pages, concatBytes(new Uint8Array([2]), top.hash)];
  }

  test('pages that do not fit together are refused on the way down', () => {
    const walk = ([pages, id]: [Pages, ContentId]): string | undefined => codeOf(() => [...listLeaves(pages.source, id)]);
    const left = [...plain(15), { ...chunk(99, true), chunks: 1 }];
    expect(walk(forged(left, plain(1)))).toBeUndefined();
    expect(walk(forged(left, plain(1), { bytes: 1000 }))).toBe('BAD_ENCODING');
    expect(walk(forged(left, plain(1), { chunks: 17 }))).toBe('BAD_ENCODING');
    expect(walk(forged(plain(16), plain(1)))).toBe('BAD_ENCODING');
    expect(walk(forged([...plain(3), { ...chunk(99, true), chunks: 1 }], plain(1)))).toBe('BAD_ENCODING');
    const shortEnd = [...plain(15), { ...chunk(99, true, SHARE_CHUNK_BYTES_MIN - 1), chunks: 1 }];
    expect(walk(forged(shortEnd, plain(1)))).toBe('BAD_ENCODING');
    expect(walk(forged(left, shortEnd))).toBeUndefined();
    const [pages] = forged(left, plain(1));
    const lone = encodePage(1, plain(1));
    pages.put(hash('list', lone), lone);
    expect(walk([pages, concatBytes(new Uint8Array([1]), hash('list', lone))])).toBe('BAD_ENCODING');
  });

  test('pages that repeat a child cost no more to ask about than they weigh', () => {
    const pages = new Pages();
    let below: ListRef = { hash: hash('list', encodePage(1, plain(512))), bytes: 512 * SHARE_CHUNK_BYTES_MIN, chunks: 512 };
    // 512^2 leaf pages in words, one in truth.
    for (let level = 2; level <= 3; level++) {
      const page = encodePage(
        level,
        Array.from({ length: 512 }, () => ({ ...below, hash: chunk(level, false).hash })),
      );
      pages.byHash.set(byteKey(chunk(level + 1, false).hash), page);
      below = { hash: chunk(level + 1, false).hash, bytes: below.bytes * 512, chunks: below.chunks * 512 };
    }
    pages.reads = 0;
    const id = concatBytes(new Uint8Array([3]), below.hash);
    const missing = missingListPages(pages.source, id, 1000);
    expect(missing.length).toBe(1);
    expect(pages.reads).toBeLessThanOrEqual(2 * 3);
  });
});
