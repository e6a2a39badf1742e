/** What the tests of trees share: pages in memory that count what is done to them, shapes, and a tree by definition. */
import * as fc from 'fast-check';
import { ByteWriter, byteKey, compareBytes, fromByteKey, sharedPrefixLength, utf8 } from '../../src/base/bytes.ts';
import { hash } from '../../src/content/hash.ts';
import { build } from '../../src/tree/build.ts';
import type { KeyValue, PageSink, PageSource, Tree } from '../../src/tree/page.ts';
import { decodePage } from '../../src/tree/page-codec.ts';
import { Ranker, type Weight } from '../../src/tree/rank.ts';

export class MemoryPages implements PageSource, PageSink {
  readonly pages = new Map<string, Uint8Array>();
  readonly puts: string[] = [];
  readonly gets: string[] = [];

  get(pageHash: Uint8Array): Uint8Array | undefined {
    this.gets.push(byteKey(pageHash));
    return this.pages.get(byteKey(pageHash));
  }

  put(pageHash: Uint8Array, page: Uint8Array): void {
    this.puts.push(byteKey(pageHash));
    this.pages.set(byteKey(pageHash), page);
  }

  forgetCounts(): void {
    this.puts.length = 0;
    this.gets.length = 0;
  }
}

/** Depends on key and value, and is 0 live at times. */
export function weigh(key: Uint8Array, value: Uint8Array): Weight {
  const first = value[0] ?? 0;
  return { live: first % 3 === 0 ? 0 : 1, bytes: first * 1_000_003 + key.length };
}

export function makeRanker(rankBits: number, salt: string = 'salt'): Ranker {
  return new Ranker({ salt: utf8(salt), rankBits, weigh });
}

/** A map by `byteKey`; byte order of keys is the order of these strings. */
export type Model = ReadonlyMap<string, Uint8Array>;

export function sorted(model: Model): KeyValue[] {
  return [...model].map(([key, value]) => ({ key: fromByteKey(key), value })).sort((a, b) => compareBytes(a.key, b.key));
}

export function buildModel(model: Model, ranker: Ranker, pages: MemoryPages): Tree {
  return build(sorted(model), ranker, pages);
}

/** Hashes of all pages of a tree. A page that is missing throws. */
export function pagesOf(tree: Tree, pages: MemoryPages): Set<string> {
  const all = new Set<string>();
  const visit = (pageHash: Uint8Array): void => {
    const bytes = pages.pages.get(byteKey(pageHash));
    if (bytes === undefined) throw new Error('a page is missing');
    all.add(byteKey(pageHash));
    const page = decodePage(bytes);
    if (page.level > 0) for (let item = 0; item < page.size; item++) visit(page.hash(item));
  };
  if (tree.page !== undefined) visit(tree.page);
  return all;
}

interface ReferenceItem {
  readonly key: Uint8Array;
  readonly body: Uint8Array;
  readonly count: number;
  readonly live: number;
  readonly bytes: number;
}

/** The tree of sorted entries by its definition: level by level, over lists, with an encoder of its own. */
export function referenceTree(entries: readonly KeyValue[], ranker: Ranker): Tree {
  if (entries.length === 0) return { page: undefined, level: 0, count: 0, live: 0, bytes: 0 };
  let list: ReferenceItem[] = entries.map(({ key, value }) => ({
    key,
    body: new ByteWriter().sized(value).finish(),
    count: 1,
    ...weigh(key, value),
  }));
  for (let level = 0; ; level++) {
    const groups: ReferenceItem[][] = [];
    for (const item of list) {
      if (groups.length === 0 || ranker.rank(item.key) >= level + 1) groups.push([]);
      groups.at(-1)!.push(item);
    }
    const made = groups.map((group) => referencePage(level, group));
    if (made.length === 1) {
      const { body, count, live, bytes } = made[0]!;
      return { page: body.subarray(0, 32), level, count, live, bytes };
    }
    list = made;
  }
}

function referencePage(level: number, group: readonly ReferenceItem[]): ReferenceItem {
  const writer = new ByteWriter().u8(level).varint(group.length);
  const total = { count: 0, live: 0, bytes: 0 };
  group.forEach((item, at) => {
    const shared = at === 0 ? 0 : sharedPrefixLength(group[at - 1]!.key, item.key);
    writer.varint(shared).sized(item.key.subarray(shared)).raw(item.body);
    total.count += item.count;
    total.live += item.live;
    total.bytes += item.bytes;
  });
  const body = new ByteWriter().raw(hash('page', writer.finish()));
  body.varint(total.count).varint(total.live).varint(total.bytes);
  return { key: group[0]!.key, body: body.finish(), ...total };
}

/** Few bytes, so that keys share prefixes, are prefixes of each other, and recur. */
export const keys: fc.Arbitrary<Uint8Array> = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 4, max: 3 }),
  fc.nat({ max: 300 }).map((at) => utf8(`f/part-${at}`)),
);

export const values: fc.Arbitrary<Uint8Array> = fc.uint8Array({ maxLength: 3, max: 4 });

export const models: fc.Arbitrary<Model> = fc
  .array(fc.tuple(keys, values), { maxLength: 120 })
  .map((pairs) => new Map(pairs.map(([key, value]) => [byteKey(key), value])));

export interface Ranged {
  readonly model: Model;
  readonly from: Uint8Array | undefined;
  readonly to: Uint8Array | undefined;
}

const bounds = fc.oneof(fc.constant(undefined), keys, fc.nat());

/** A range of a model, its ends often keys that are there. */
export const ranged: fc.Arbitrary<Ranged> = fc.tuple(models, bounds, bounds).map(([model, from, to]) => {
  const all = sorted(model);
  const pick = (bound: Uint8Array | number | undefined): Uint8Array | undefined =>
    typeof bound === 'number' ? all[bound % Math.max(1, Math.min(all.length, 9))]?.key : bound;
  return { model, from: pick(from), to: pick(to) };
});

export const rankBits: fc.Arbitrary<number> = fc.constantFrom(1, 1, 2, 3);

/** `count` entries like those of a share: many files in a few folders. */
export function manyEntries(count: number): KeyValue[] {
  const model = new Map<string, Uint8Array>();
  for (let at = 0; at < count; at++) model.set(`f/shard-${String(at % 7).padStart(3, '0')}/part-${at}.bin`, hash('entry', utf8(`${at}`)));
  return sorted(model);
}
