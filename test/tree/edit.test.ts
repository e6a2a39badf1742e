import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AssertionError } from '../../src/base/assert.ts';
import { byteKey, compareBytes, utf8 } from '../../src/base/bytes.ts';
import { build } from '../../src/tree/build.ts';
import { edit, type Change } from '../../src/tree/edit.ts';
import { EMPTY_TREE, PageReader, type Tree, type KeyValue } from '../../src/tree/page.ts';
import { RANK_MAX } from '../../src/tree/rank.ts';
import {
  MemoryPages,
  buildModel,
  keys,
  makeRanker,
  manyEntries,
  models,
  pagesOf,
  rankBits,
  sorted,
  values,
  type Model,
} from './support.ts';

const batches: fc.Arbitrary<Change[]> = fc
  .array(fc.record({ key: keys, value: fc.option(values, { nil: undefined }) }), { maxLength: 25 })
  .map(sortedChanges);

function sortedChanges(changes: readonly Change[]): Change[] {
  return [...new Map(changes.map((change) => [byteKey(change.key), change])).values()].sort((a, b) => compareBytes(a.key, b.key));
}

function apply(model: Model, changes: readonly Change[]): Model {
  const next = new Map(model);
  for (const { key, value } of changes) {
    if (value === undefined) next.delete(byteKey(key));
    else next.set(byteKey(key), value);
  }
  return next;
}

const difference = (a: ReadonlySet<string>, b: ReadonlySet<string>): Set<string> => new Set([...a].filter((name) => !b.has(name)));

/** Edits with a store of its own cache, and checks the result and every page put. */
function checkedEdit(tree: Tree, model: Model, changes: readonly Change[], bits: number, pages: MemoryPages): [Tree, Model] {
  const ranker = makeRanker(bits);
  const before = pagesOf(tree, pages);
  pages.forgetCounts();
  const edited = edit(new PageReader(pages), tree, changes, ranker, pages);
  const puts = [...pages.puts];
  const next = apply(model, changes);
  expect(edited).toEqual(buildModel(next, ranker, new MemoryPages()));
  // Nothing missing, nothing intermediate, nothing that was there, nothing twice.
  expect(new Set(puts)).toEqual(difference(pagesOf(edited, pages), before));
  expect(new Set(puts).size).toBe(puts.length);
  return [edited, next];
}

describe('edit', () => {
  it('comes to the tree that build makes, whatever the order and batches', () => {
    fc.assert(
      fc.property(models, fc.array(batches, { minLength: 1, maxLength: 8 }), rankBits, (start, edits, bits) => {
        const pages = new MemoryPages();
        let model = start;
        let tree = buildModel(start, makeRanker(bits), pages);
        for (const changes of edits) [tree, model] = checkedEdit(tree, model, changes, bits, pages);
      }),
      { numRuns: 300 },
    );
  });

  it('comes to the same tree one key at a time, in any order, and back to nothing', () => {
    fc.assert(
      fc.property(models, rankBits, fc.infiniteStream(fc.nat()), (model, bits, random) => {
        const pages = new MemoryPages();
        const shuffled = (list: readonly KeyValue[]): KeyValue[] =>
          list
            .map((entry) => ({ entry, order: random.next().value }))
            .sort((a, b) => a.order - b.order)
            .map(({ entry }) => entry);
        let tree = EMPTY_TREE;
        let now: Model = new Map();
        for (const entry of shuffled(sorted(model))) [tree, now] = checkedEdit(tree, now, [entry], bits, pages);
        expect(tree).toEqual(buildModel(model, makeRanker(bits), new MemoryPages()));
        for (const { key } of shuffled(sorted(model))) [tree, now] = checkedEdit(tree, now, [{ key, value: undefined }], bits, pages);
        expect(tree).toBe(EMPTY_TREE);
      }),
      { numRuns: 30 },
    );
  });

  it('moves every border there is, at either end and in the middle', () => {
    const bits = 1;
    const ranker = makeRanker(bits);
    const model = new Map(manyEntries(300).map(({ key, value }) => [byteKey(key), value]));
    const pages = new MemoryPages();
    const tree = buildModel(model, ranker, pages);
    expect(tree.level).toBeGreaterThan(6);
    for (const { key, value } of sorted(model)) {
      const [without, rest] = checkedEdit(tree, model, [{ key, value: undefined }], bits, pages);
      const again = checkedEdit(without, rest, [{ key, value }], bits, pages)[0];
      expect(again).toEqual(tree);
    }
  });

  it('grows by many levels for one key of the highest rank, and shrinks again', () => {
    const bits = 1;
    const ranker = makeRanker(bits);
    let at = 0;
    while (ranker.rank(utf8(`m${at}`)) < RANK_MAX) at++;
    const highest = utf8(`m${at}`);
    const flat: string[] = [];
    for (let each = 0; flat.length < 6; each++)
      if (ranker.rank(utf8(`${flat.length % 2 ? 'z' : 'a'}${each}`)) === 0) flat.push(`${flat.length % 2 ? 'z' : 'a'}${each}`);
    const model = new Map(flat.map((key) => [key, utf8('v')]));
    const pages = new MemoryPages();
    const tree = buildModel(model, ranker, pages);
    expect(tree.level).toBe(0);
    const [tall, more] = checkedEdit(tree, model, [{ key: highest, value: utf8('v') }], bits, pages);
    expect(tall.level).toBe(RANK_MAX);
    expect(checkedEdit(tall, more, [{ key: highest, value: undefined }], bits, pages)[0]).toEqual(tree);
  });

  it('returns the same tree and puts nothing where nothing changes', () => {
    fc.assert(
      fc.property(models, rankBits, fc.array(keys), (model, bits, others) => {
        const pages = new MemoryPages();
        const tree = buildModel(model, makeRanker(bits), pages);
        pages.forgetCounts();
        const absent = others.filter((key) => !model.has(byteKey(key))).map((key) => ({ key, value: undefined }));
        expect(edit(new PageReader(pages), tree, sortedChanges([...sorted(model), ...absent]), makeRanker(bits), pages)).toBe(tree);
        expect(edit(new PageReader(pages), tree, [], makeRanker(bits), pages)).toBe(tree);
        expect(pages.puts).toEqual([]);
      }),
    );
  });

  it('asserts that the changes ascend, and refuses what no page can hold', () => {
    const run = (...list: readonly string[]): unknown => {
      const pages = new MemoryPages();
      const changes = list.map((key) => ({ key: utf8(key), value: utf8('x') }));
      return edit(new PageReader(pages), EMPTY_TREE, changes, makeRanker(1), pages);
    };
    expect(() => run('b', 'a')).toThrow(AssertionError);
    expect(() => run('a', 'a')).toThrow(AssertionError);
    expect(() => run('')).toThrow(RangeError);
  });
});

describe('cost of an edit', () => {
  interface Cost {
    readonly entries: number;
    readonly levels: number;
    readonly reads: number;
    readonly puts: number;
  }

  /** Mean over edits of one key each: values changed, keys removed, keys added. */
  function measure(entries: number, bits: number): Cost {
    const ranker = makeRanker(bits);
    const pages = new MemoryPages();
    const all = manyEntries(entries);
    const tree = build(all, ranker, pages);
    let reads = 0;
    let puts = 0;
    let edits = 0;
    const run = (changes: readonly Change[]): void => {
      pages.forgetCounts();
      const edited = edit(new PageReader(pages), tree, changes, ranker, pages);
      const levels = Math.max(tree.level, edited.level) + 1;
      expect(pages.gets.length).toBeLessThanOrEqual(2 * levels);
      expect(pages.puts.length).toBeLessThanOrEqual(2 * levels);
      reads += pages.gets.length;
      puts += pages.puts.length;
      edits++;
    };
    for (let at = 0; at < 200; at++) {
      const { key } = all[Math.floor(((at + 0.5) * entries) / 200)]!;
      run([{ key, value: utf8('new') }]);
      run([{ key, value: undefined }]);
      run([{ key: Buffer.concat([key, utf8('+')]), value: utf8('new') }]);
    }
    return { entries, levels: tree.level + 1, reads: reads / edits, puts: puts / edits };
  }

  it('is about one page a level, two at most, and grows as the height does, not as the tree', () => {
    const costs = [500, 5_000, 50_000].map((entries) => measure(entries, 3));
    for (const { levels, reads, puts } of costs) {
      expect(reads).toBeLessThan(levels * 1.3);
      expect(puts).toBeLessThan(levels * 1.3);
    }
    const [small, , large] = costs as [Cost, Cost, Cost];
    const exponent = (a: number, b: number): number => Math.log(b / a) / Math.log(large.entries / small.entries);
    expect(exponent(small.reads, large.reads)).toBeLessThan(0.2);
    expect(exponent(small.puts, large.puts)).toBeLessThan(0.2);
  });

  it('reads and puts a page once for a whole batch', () => {
    const ranker = makeRanker(3);
    const pages = new MemoryPages();
    const all = manyEntries(20_000);
    const tree = build(all, ranker, pages);
    const total = pagesOf(tree, pages).size;
    pages.forgetCounts();
    edit(
      new PageReader(pages, 4),
      tree,
      all.map(({ key }) => ({ key, value: utf8('new') })),
      ranker,
      pages,
    ); // no cache to speak of
    expect(pages.gets.length).toBe(total);
    expect(pages.puts.length).toBe(total);
    pages.forgetCounts();
    edit(
      new PageReader(pages, 4),
      tree,
      all.slice(5_000, 5_100).map(({ key }) => ({ key, value: utf8('new') })),
      ranker,
      pages,
    );
    expect(pages.gets.length).toBeLessThan(60);
  });
});
