import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { byteKey, compareBytes, equalBytes, toHex } from '../../src/base/bytes.ts';
import { hash } from '../../src/content/hash.ts';
import { build } from '../../src/tree/build.ts';
import { EMPTY_TREE, PageReader, type KeyValue } from '../../src/tree/page.ts';
import { ENTRIES_LEVEL, items, lookup, walk, type WalkRange } from '../../src/tree/walk.ts';
import { MemoryPages, buildModel, keys, makeRanker, manyEntries, models, pagesOf, rankBits, ranged, sorted, weigh } from './support.ts';

const within = (key: Uint8Array, from: Uint8Array | undefined, to: Uint8Array | undefined): boolean =>
  (from === undefined || compareBytes(from, key) <= 0) && (to === undefined || compareBytes(key, to) < 0);

const plain = (list: Iterable<KeyValue>): string[] => [...list].map(({ key, value }) => `${toHex(key)}=${toHex(value)}`);

const rangeOf = (from: Uint8Array | undefined, to: Uint8Array | undefined, reverse: boolean): WalkRange => ({
  ...(from === undefined ? {} : { from }),
  ...(to === undefined ? {} : { to }),
  reverse,
});

describe('walk', () => {
  it('yields the entries of any range in order, and in reverse', () => {
    fc.assert(
      fc.property(ranged, rankBits, ({ model, from, to }, bits) => {
        const pages = new MemoryPages();
        const tree = buildModel(model, makeRanker(bits), pages);
        const expected = plain(sorted(model).filter(({ key }) => within(key, from, to)));
        const reader = new PageReader(pages);
        expect(plain(walk(reader, tree, rangeOf(from, to, false)))).toEqual(expected);
        expect(plain(walk(reader, tree, rangeOf(from, to, true)))).toEqual(expected.toReversed());
      }),
      { numRuns: 500 },
    );
  });

  it('looks up what is there, and only that', () => {
    fc.assert(
      fc.property(models, rankBits, fc.array(keys), (model, bits, others) => {
        const pages = new MemoryPages();
        const tree = buildModel(model, makeRanker(bits), pages);
        const reader = new PageReader(pages);
        for (const key of [...others, ...sorted(model).map((entry) => entry.key)]) {
          const value = lookup(reader, tree, key);
          const expected = model.get(byteKey(key));
          expect(value === undefined ? undefined : toHex(value)).toBe(expected === undefined ? undefined : toHex(expected));
        }
      }),
    );
  });

  it('loads the way to a range and its pages, nothing else', () => {
    const pages = new MemoryPages();
    const all = manyEntries(20_000);
    const tree = build(all, makeRanker(3), pages);
    for (const reverse of [false, true]) {
      pages.forgetCounts();
      const range = { from: all[7000]!.key, to: all[7016]!.key, reverse };
      expect([...walk(new PageReader(pages), tree, range)].length).toBe(16);
      expect(pages.gets.length).toBeLessThan(4 * (tree.level + 1) + 16);
      pages.forgetCounts();
      expect([...walk(new PageReader(pages), tree, { reverse })].length).toBe(20_000);
      expect(pages.gets.length).toBe(pagesOf(tree, pages).size); // each page once
      pages.forgetCounts();
      walk(new PageReader(pages), tree, { reverse }).next();
      expect(pages.gets.length).toBe(tree.level + 1);
    }
    const border = [...items(new PageReader(pages), tree, 0, undefined, undefined)][50]!.key;
    for (const range of [{ from: border }, { to: border, reverse: true }]) {
      pages.forgetCounts();
      walk(new PageReader(pages), tree, range).next();
      expect(pages.gets.length).toBe(tree.level + 1); // not the page on the other side of the border
    }
    pages.forgetCounts();
    lookup(new PageReader(pages), tree, all[7000]!.key);
    expect(pages.gets.length).toBe(tree.level + 1);
  });
});

describe('items', () => {
  it('agree with a walk at every level and range, and their totals with the entries below', () => {
    fc.assert(
      fc.property(ranged, rankBits, ({ model, from, to }, bits) => {
        const pages = new MemoryPages();
        const ranker = makeRanker(bits);
        const tree = buildModel(model, ranker, pages);
        const reader = new PageReader(pages);
        const entries = sorted(model);
        for (let level = 0; level <= tree.level; level++) {
          const found = [...items(reader, tree, level, from, to)];
          const borders = entries.map(({ key }) => key).filter((key, at) => at === 0 || ranker.rank(key) >= level + 1);
          expect(found.map(({ key }) => toHex(key))).toEqual(borders.filter((key) => within(key, from, to)).map(toHex));
          for (const { key, hash: pageHash, count, live, bytes } of found) {
            const end = borders.find((border) => compareBytes(border, key) > 0);
            const below = entries.filter((entry) => within(entry.key, key, end));
            const weights = below.map((entry) => weigh(entry.key, entry.value));
            expect(count).toBe(below.length);
            expect(live).toBe(weights.reduce((sum, weight) => sum + weight.live, 0));
            expect(bytes).toBe(weights.reduce((sum, weight) => sum + weight.bytes, 0));
            const page = reader.read(pageHash);
            expect(page.level).toBe(level);
            expect(equalBytes(page.key(0), key)).toBe(true);
          }
        }
        expect([...items(reader, tree, ENTRIES_LEVEL, from, to)].map((item) => [toHex(item.key), toHex(item.hash), item.count])).toEqual(
          entries.filter(({ key }) => within(key, from, to)).map(({ key, value }) => [toHex(key), toHex(hash('entry', value)), 1]),
        );
      }),
    );
  });

  it('loads nothing below the level and nothing outside the range', () => {
    const pages = new MemoryPages();
    const all = manyEntries(20_000);
    const tree = build(all, makeRanker(3), pages);
    expect(tree.level).toBeGreaterThan(3);
    pages.forgetCounts();
    expect([...items(new PageReader(pages), tree, tree.level - 1, undefined, undefined)].length).toBeGreaterThan(1);
    expect(pages.gets.length).toBe(1);
    const level0 = [...items(new PageReader(pages), tree, 0, undefined, undefined)];
    for (const [level, last] of [
      [0, 1],
      [ENTRIES_LEVEL, 0],
    ] as const) {
      pages.forgetCounts();
      const found = [...items(new PageReader(pages), tree, level, level0[100]!.key, level0[101]!.key)];
      expect(found.length).toBe(level === 0 ? 1 : level0[100]!.count);
      // The way down, and perhaps the page that starts where the range ends.
      expect(pages.gets.length).toBeLessThanOrEqual(2 * (tree.level + 1 - last) - 1);
    }
  });

  it('yields nothing of the empty tree, and refuses a level that is not there', () => {
    const pages = new MemoryPages();
    const reader = new PageReader(pages);
    expect([...items(reader, EMPTY_TREE, 3, undefined, undefined)]).toEqual([]);
    const tree = build(manyEntries(10), makeRanker(5), pages);
    expect(() => [...items(reader, tree, tree.level + 1, undefined, undefined)]).toThrow(RangeError);
    expect(() => [...items(reader, tree, -2, undefined, undefined)]).toThrow(RangeError);
  });
});
