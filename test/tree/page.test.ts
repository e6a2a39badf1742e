import { describe, expect, it } from 'vitest';
import { byteKey, fromByteKey, toHex, utf8 } from '../../src/base/bytes.ts';
import { SamerootError } from '../../src/base/errors.ts';
import { hash } from '../../src/content/hash.ts';
import { build } from '../../src/tree/build.ts';
import { edit } from '../../src/tree/edit.ts';
import { EMPTY_TREE, PageReader, rootHash } from '../../src/tree/page.ts';
import { walk } from '../../src/tree/walk.ts';
import { MemoryPages, makeRanker, manyEntries, pagesOf } from './support.ts';

function codeOf(run: () => unknown): string | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    return error instanceof SamerootError ? error.code : String(error);
  }
}

describe('page reader', () => {
  const pages = new MemoryPages();
  const tree = build(manyEntries(2000), makeRanker(3), pages);
  const hashes = [...pagesOf(tree, pages)].map(fromByteKey);

  it('reads a page once while it is in use', () => {
    const reader = new PageReader(pages);
    pages.forgetCounts();
    for (let round = 0; round < 3; round++) for (const pageHash of hashes) reader.read(pageHash);
    expect(pages.gets.length).toBe(hashes.length);
  });

  it('keeps no more pages than it may, and those used last', () => {
    const reader = new PageReader(pages, 16);
    const top = tree.page!;
    pages.forgetCounts();
    for (const pageHash of hashes) {
      reader.read(pageHash);
      reader.read(top);
    }
    expect(pages.gets.length).toBe(hashes.length); // the top page was never dropped
    pages.forgetCounts();
    for (const pageHash of hashes.slice(0, -17)) reader.read(pageHash);
    expect(pages.gets.length).toBeGreaterThanOrEqual(hashes.length - 18); // all others were
  });

  it('keeps the inner pages, however many leaves are read', () => {
    const reader = new PageReader(pages, 160);
    const inner = hashes.filter((pageHash) => reader.read(pageHash).level > 0);
    expect(inner.length).toBeLessThan(40);
    for (let round = 0; round < 3; round++) for (const pageHash of hashes) reader.read(pageHash);
    pages.forgetCounts();
    for (const pageHash of inner) reader.read(pageHash);
    expect(pages.gets).toEqual([]);
  });

  it('does not read what an edit has just made but the leaves', () => {
    const made = new MemoryPages();
    const ranker = makeRanker(3);
    const entries = manyEntries(2000);
    let edited = build(entries, ranker, made);
    const reader = new PageReader(made);
    const change = (value: string): void => {
      edited = edit(reader, edited, [{ key: entries[1000]!.key, value: utf8(value) }], ranker, made);
    };
    change('first');
    made.forgetCounts();
    change('second');
    expect(edited.level).toBeGreaterThan(2);
    expect(made.gets.length).toBe(1);
  });

  it('keeps the inner pages, but not the leaves that it reads for an edit', () => {
    const reader = new PageReader(pages);
    const leaves = hashes.filter((pageHash) => reader.readToReplace(pageHash).level === 0);
    pages.forgetCounts();
    for (const pageHash of hashes) reader.readToReplace(pageHash);
    expect(new Set(pages.gets)).toEqual(new Set(leaves.map(byteKey)));
    for (const pageHash of leaves) reader.read(pageHash);
    pages.forgetCounts();
    for (const pageHash of leaves) reader.readToReplace(pageHash);
    expect(pages.gets).toEqual([]);
  });

  it('keeps no more bytes than it may', () => {
    const large = new MemoryPages();
    const entry = (at: number): { key: Uint8Array; value: Uint8Array } => ({
      key: utf8(`f/${at}`),
      value: new Uint8Array(1024 * 1024).fill(at),
    });
    const trees = Array.from({ length: 100 }, (_, at) => build([entry(at)], makeRanker(5), large));
    const reader = new PageReader(large);
    for (let round = 0; round < 2; round++) for (const each of trees) reader.read(each.page!);
    expect(large.gets.length).toBe(200); // 100 MiB do not stay
    large.forgetCounts();
    for (let round = 0; round < 2; round++) for (const each of trees.slice(0, 20)) reader.read(each.page!);
    expect(large.gets.length).toBe(20); // 20 MiB do
  });

  it('says that the database is damaged if a page is absent, changed, or not canonical', () => {
    const damaged = new MemoryPages();
    const reader = new PageReader(damaged);
    const [first, second] = hashes as [Uint8Array, Uint8Array];
    expect(codeOf(() => reader.read(first))).toBe('DATABASE_DAMAGED');
    damaged.put(first, pages.get(second)!);
    expect(codeOf(() => reader.read(first))).toBe('DATABASE_DAMAGED');
    const odd = Uint8Array.of(0, 2, 0, 1, 98, 0, 0, 1, 97, 0); // keys descend
    damaged.put(hash('page', odd), odd);
    expect(codeOf(() => reader.read(hash('page', odd)))).toBe('DATABASE_DAMAGED');
    damaged.put(first, pages.get(first)!);
    expect(reader.read(first).size).toBeGreaterThan(0);
    expect(codeOf(() => [...walk(reader, tree)])).toBe('DATABASE_DAMAGED');
  });

  it('refuses a cache of no pages', () => {
    expect(() => new PageReader(pages, 0)).toThrow(RangeError);
    expect(() => new PageReader(pages, 2.5)).toThrow(RangeError);
  });
});

describe('root', () => {
  const parameters = new Uint8Array(32).fill(1);

  it('covers every field of the tree and the parameters', () => {
    const page = new Uint8Array(32).fill(9);
    const tree = { page, level: 1, count: 5, live: 4, bytes: 300 };
    const others = [
      tree,
      { ...tree, page: new Uint8Array(32).fill(8) },
      { ...tree, level: 2 },
      { ...tree, count: 6 },
      { ...tree, live: 3 },
      { ...tree, bytes: 301 },
      EMPTY_TREE,
    ];
    const roots = others.flatMap((each) => [toHex(rootHash(each, parameters)), toHex(rootHash(each, new Uint8Array(32)))]);
    expect(new Set(roots).size).toBe(roots.length);
    expect(roots[0]).toHaveLength(64);
    expect(toHex(rootHash({ ...tree, page: page.slice() }, parameters))).toBe(roots[0]);
  });

  it('takes a hash of parameters only', () => {
    expect(() => rootHash(EMPTY_TREE, new Uint8Array(31))).toThrow(RangeError);
  });
});
