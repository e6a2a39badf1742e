/** Trees of many entries with the fan-out of a share, each with all that is needed to change and compare it. */
import { utf8 } from '../../src/base/bytes.ts';
import { hash } from '../../src/content/hash.ts';
import { createShare } from '../../src/replica/share.ts';
import { build } from '../../src/tree/build.ts';
import { edit, type Change } from '../../src/tree/edit.ts';
import { PageReader, type KeyValue, type Tree } from '../../src/tree/page.ts';
import type { Ranker } from '../../src/tree/rank.ts';
import { FOUNDER, seededRandom } from '../replica/world.ts';
import { makeRandom } from '../session/mesh.ts';
import { makeRanker, MemoryPages } from '../tree/support.ts';

export const RANK_BITS: number = createShare('growth', FOUNDER, seededRandom(1)).rankBits;

export const ENTRIES: readonly number[] = [1_000, 10_000, 100_000];
/** Where pages begin is a matter of chance, and so is which of them a change falls into: costs are means over these. */
export const TREE_SEEDS: readonly number[] = [1, 2];
export const CHANGE_SEEDS: readonly number[] = [1, 2, 3, 4];

export interface Grown {
  readonly count: number;
  readonly ranker: Ranker;
  readonly tree: Tree;
  readonly pages: MemoryPages;
}

const grown = new Map<string, Grown>();

function keyAt(at: number): Uint8Array {
  return utf8(`f/shard-${String(Math.floor(at / 1_000)).padStart(4, '0')}/part-${String(at).padStart(7, '0')}.bin`);
}

function valueAt(at: number, version: string): Uint8Array {
  return hash('entry', utf8(`${at} ${version}`));
}

/** Made once: it takes some tenths of a second for 100,000 entries. The seed decides where pages begin. */
export function treeOf(count: number, seed: number): Grown {
  const name = `${count} ${seed}`;
  let found = grown.get(name);
  if (found === undefined) {
    const pages = new MemoryPages();
    const ranker = makeRanker(RANK_BITS, `salt ${seed}`);
    const entries = function* (): Generator<KeyValue> {
      for (let at = 0; at < count; at++) yield { key: keyAt(at), value: valueAt(at, 'first') };
    };
    found = { count, ranker, tree: build(entries(), ranker, pages), pages };
    grown.set(name, found);
  }
  return found;
}

/** Different numbers below `count`, in order, the same in each run. */
export function someOf(count: number, differences: number, seed: number): number[] {
  const below = makeRandom(seed);
  const chosen = new Set<number>();
  while (chosen.size < differences) chosen.add(below(count));
  return [...chosen].sort((a, b) => a - b);
}

/** Other values at some keys. */
export function changesIn(count: number, differences: number, seed: number): Change[] {
  return someOf(count, differences, seed).map((at) => ({ key: keyAt(at), value: valueAt(at, `changed ${seed}`) }));
}

/** Nothing is in the cache: what is read is counted. */
export function edited({ tree, pages, ranker }: Grown, changes: readonly Change[]): Tree {
  return edit(new PageReader(pages), tree, changes, ranker, pages);
}
