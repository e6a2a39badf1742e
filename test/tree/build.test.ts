import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AssertionError } from '../../src/base/assert.ts';
import { byteKey, fromByteKey, fromHex, toHex, utf8 } from '../../src/base/bytes.ts';
import { ENTRY_BYTES_MAX, KEY_BYTES_MAX } from '../../src/base/limits.ts';
import { build } from '../../src/tree/build.ts';
import { EMPTY_TREE, rootHash, type KeyValue } from '../../src/tree/page.ts';
import { decodePage } from '../../src/tree/page-codec.ts';
import { Ranker } from '../../src/tree/rank.ts';
import { MemoryPages, buildModel, makeRanker, manyEntries, models, pagesOf, rankBits, referenceTree, sorted } from './support.ts';

describe('build', () => {
  it('makes the tree that the definition describes', () => {
    const levels = new Set<number>();
    fc.assert(
      fc.property(models, rankBits, (model, bits) => {
        const ranker = makeRanker(bits);
        const tree = buildModel(model, ranker, new MemoryPages());
        levels.add(tree.level);
        expect(tree).toEqual(referenceTree(sorted(model), ranker));
      }),
    );
    expect(Math.max(...levels)).toBeGreaterThan(5); // or the trees tested are too low to mean anything
  });

  it('puts exactly the pages of the tree, those below first', () => {
    fc.assert(
      fc.property(models, rankBits, (model, bits) => {
        const pages = new MemoryPages();
        const tree = buildModel(model, makeRanker(bits), pages);
        expect(new Set(pages.puts)).toEqual(pagesOf(tree, pages));
        const seen = new Set<string>();
        for (const name of pages.puts) {
          const page = decodePage(pages.pages.get(name)!);
          if (page.level > 0) for (let item = 0; item < page.size; item++) expect(seen.has(byteKey(page.hash(item)))).toBe(true);
          seen.add(name);
        }
      }),
    );
  });

  it('holds one page a level, not the entries', () => {
    const ranker = makeRanker(3);
    const pages = new MemoryPages();
    let handed = 0;
    let widest = 0;
    function* counted(): Generator<KeyValue> {
      for (const entry of manyEntries(5000)) {
        handed++;
        yield entry;
      }
    }
    const put = (pageHash: Uint8Array, page: Uint8Array): void => {
      pages.put(pageHash, page);
      if (page[0] !== 0) return;
      handed -= decodePage(page).size;
      widest = Math.max(widest, handed);
    };
    build(counted(), ranker, { put });
    expect(widest).toBeLessThanOrEqual(1); // when a leaf is put, only the key that ended it is not in one
  });

  it('makes the empty tree of nothing', () => {
    const pages = new MemoryPages();
    expect(build([], makeRanker(5), pages)).toBe(EMPTY_TREE);
    expect(pages.puts).toEqual([]);
  });

  it('refuses entries that no page can hold, and asserts their order', () => {
    const make = (...entries: readonly KeyValue[]): unknown => build(entries, makeRanker(5), new MemoryPages());
    const value = utf8('x');
    expect(() => make({ key: new Uint8Array(0), value })).toThrow(RangeError);
    expect(() => make({ key: new Uint8Array(KEY_BYTES_MAX + 1), value })).toThrow(RangeError);
    expect(() => make({ key: utf8('a'), value: new Uint8Array(ENTRY_BYTES_MAX + 1) })).toThrow(RangeError);
    expect(() => make({ key: utf8('b'), value }, { key: utf8('a'), value })).toThrow(AssertionError);
    expect(() => make({ key: utf8('a'), value }, { key: utf8('a'), value })).toThrow(AssertionError);
  });
});

interface Vectors {
  readonly salt: string;
  readonly rankBits: number;
  readonly parametersHash: string;
  readonly emptyRoot: string;
  readonly entries: readonly { readonly key: string; readonly value: string; readonly rank: number }[];
  readonly pages: readonly { readonly hash: string; readonly bytes: string }[];
  readonly tree: { readonly page: string; readonly level: number; readonly count: number; readonly live: number; readonly bytes: number };
  readonly root: string;
}

describe('golden vectors', () => {
  const vectors = JSON.parse(readFileSync(new URL('../vectors/tree.json', import.meta.url), 'utf8')) as Vectors;
  const parametersHash = fromHex(vectors.parametersHash);
  // As the vectors say: live unless the value is empty, as many bytes as the value has.
  const ranker = new Ranker({
    salt: fromHex(vectors.salt),
    rankBits: vectors.rankBits,
    weigh: (_key, value) => ({ live: value.length > 0 ? 1 : 0, bytes: value.length }),
  });

  it('pin ranks, pages and root', () => {
    expect(vectors.rankBits).toBe(5);
    for (const { key, rank } of vectors.entries) expect(ranker.rank(fromHex(key))).toBe(rank);
    const pages = new MemoryPages();
    const entries = vectors.entries.map(({ key, value }) => ({ key: fromHex(key), value: fromHex(value) }));
    const tree = build(entries, ranker, pages);
    expect(pages.puts.map((name) => ({ hash: toHex(fromByteKey(name)), bytes: toHex(pages.pages.get(name)!) }))).toEqual(vectors.pages);
    expect({ ...tree, page: toHex(tree.page!) }).toEqual(vectors.tree);
    expect(tree.level).toBeGreaterThan(1);
    expect(toHex(rootHash(tree, parametersHash))).toBe(vectors.root);
    expect(toHex(rootHash(EMPTY_TREE, parametersHash))).toBe(vectors.emptyRoot);
  });
});
