/**
 * What it costs to change a tree, to compare two that share their pages, and to find the differences of two hosts that share
 * nothing but keys: pages, messages and bytes, as functions of the entries and of how many of them differ.
 */
import { describe, expect, test } from 'vitest';
import { WALK_MESSAGE_BYTES_GOAL } from '../../src/base/limits.ts';
import { diff } from '../../src/tree/diff.ts';
import { PageReader, type Tree } from '../../src/tree/page.ts';
import { runWalk, Side } from '../session/walks.ts';
import { growth, mean } from './exponent.ts';
import { CHANGE_SEEDS, changesIn, edited, ENTRIES, RANK_BITS, TREE_SEEDS, treeOf, type Grown } from './forest.ts';

const DIFFERENCES: readonly number[] = [1, 10, 100, 1_000];
const ENTRIES_MOST: number = ENTRIES.at(-1)!;

type Costs = Readonly<Record<string, number>>;

/** The mean over some trees and choices of keys, measured once. */
function meanOf<T extends Costs>(
  measure: (grown: Grown, differences: number, seed: number) => T,
): (count: number, differences: number) => T {
  const known = new Map<string, T>();
  return (count, differences) => {
    const name = `${differences} of ${count}`;
    let found = known.get(name);
    if (found === undefined) {
      // Many changes are a mean already.
      const changeSeeds = differences < 100 ? CHANGE_SEEDS : CHANGE_SEEDS.slice(0, 1);
      const runs = TREE_SEEDS.flatMap((tree) => changeSeeds.map((change) => measure(treeOf(count, tree), differences, change)));
      found = Object.fromEntries(Object.keys(runs[0]!).map((cost) => [cost, mean(runs.map((run) => run[cost]!))])) as T;
      known.set(name, found);
    }
    return found;
  };
}

const ofChange = meanOf((grown, differences, seed) => {
  const { pages } = grown;
  pages.forgetCounts();
  const tree = edited(grown, changesIn(grown.count, differences, seed));
  const written = pages.puts.length;
  const bytesWritten = pages.puts.reduce((sum, name) => sum + pages.pages.get(name)!.length, 0);
  const read = pages.gets.length;
  pages.forgetCounts();
  expect([...diff(new PageReader(pages), grown.tree, tree)]).toHaveLength(differences);
  return { written, bytesWritten, read, compared: pages.gets.length };
});

/** Half of the differences are newer on one side, half on the other. */
const ofWalk = meanOf((grown, differences, seed) => {
  const { pages } = grown;
  const changes = changesIn(grown.count, differences, seed);
  const [a, b] = [0, 1].map((side) =>
    edited(
      grown,
      changes.filter((_, at) => at % 2 === side),
    ),
  ) as [Tree, Tree];
  pages.forgetCounts();
  const { messages, bytes, fromA, fromB } = runWalk(sideOf(grown, a), sideOf(grown, b));
  expect([fromA.length, fromB.length]).toEqual([differences, differences]);
  // One for each level of pages, one for the entries, one to answer; and where there is more to say than fits into one, the further parts.
  expect(messages).toBeLessThanOrEqual(grown.tree.level + 3 + 2 * Math.floor(bytes / WALK_MESSAGE_BYTES_GOAL));
  return { messages, bytes, read: pages.gets.length };
});

/** A side with this tree; what it would be compared with by its entries is not asked. */
function sideOf({ pages }: Grown, tree: Tree): Side {
  const fields = { model: new Map<string, Uint8Array>(), tree, pages, rankBits: RANK_BITS, guessBits: RANK_BITS };
  return Object.assign(Object.create(Side.prototype) as Side, fields);
}

describe.each([
  [1, 0.2, 0.3],
  [10, 0.2, 0.3],
])('%i changes in 1,000 to 100,000 entries', (differences, mostPages, mostBytes) => {
  test('write and read pages by the height of the tree', async (report) => {
    expect(await growth(report, 'pages written', ENTRIES, (count) => ofChange(count, differences).written)).toBeLessThan(mostPages);
    expect(await growth(report, 'pages read', ENTRIES, (count) => ofChange(count, differences).read)).toBeLessThan(mostPages);
    expect(await growth(report, 'bytes written', ENTRIES, (count) => ofChange(count, differences).bytesWritten)).toBeLessThan(mostBytes);
  });

  test('are found in as many pages', async (report) => {
    expect(await growth(report, 'pages compared', ENTRIES, (count) => ofChange(count, differences).compared)).toBeLessThan(mostPages);
  });

  test('take two hosts that share no history a few messages', async (report) => {
    expect(await growth(report, 'messages', ENTRIES, (count) => ofWalk(count, differences).messages)).toBeLessThan(0.2);
    expect(await growth(report, 'bytes', ENTRIES, (count) => ofWalk(count, differences).bytes)).toBeLessThan(0.2);
    // From 10,000 entries on the first list is of leaves, which stand in one page for 1,024 entries: until it fills a message, at 10^6.
    expect(await growth(report, 'pages read', ENTRIES, (count) => ofWalk(count, differences).read)).toBeLessThan(0.3);
  });
});

describe('1 to 1,000 changes in 100,000 entries', () => {
  // Less than 1: the upper pages are shared, and for many changes the lower ones, too.
  test('cost in proportion at most', async (report) => {
    for (const cost of ['written', 'bytesWritten', 'read', 'compared'] as const) {
      expect(await growth(report, cost, DIFFERENCES, (differences) => ofChange(ENTRIES_MOST, differences)[cost])).toBeLessThan(0.9);
    }
    for (const cost of ['bytes', 'read'] as const) {
      expect(await growth(report, `walk, ${cost}`, DIFFERENCES, (differences) => ofWalk(ENTRIES_MOST, differences)[cost])).toBeLessThan(
        0.9,
      );
    }
  });
});
