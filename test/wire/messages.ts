/** Messages of every type with arbitrary fields within their limits, and one fixed message of each. */
import * as fc from 'fast-check';
import { byteKey, compareBytes, toHex, utf8 } from '../../src/base/bytes.ts';
import { KEY_BYTES_MAX, LIST_LEVEL_MAX, TREE_LEVEL_MAX } from '../../src/base/limits.ts';
import type { Message, MessageOf, MessageType, WalkRange } from '../../src/wire/messages.ts';
import { digestBytes } from '../../src/wire/walk-digest.ts';

export const bytesOf = (length: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: length, maxLength: length });
const upTo = (length: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ maxLength: length });
const hashes = bytesOf(32);
const contentIds = fc.tuple(fc.nat({ max: LIST_LEVEL_MAX }), hashes).map(([level, hash]) => Uint8Array.from([level, ...hash]));
const hexOf = (length: number): fc.Arbitrary<string> => bytesOf(length).map(toHex);
const orNot = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined });
const whole = (max: number): fc.Arbitrary<number> => fc.oneof(fc.constantFrom(0, max), fc.integer({ min: 0, max }));
const ports = whole(65_535);
const ids = fc.maxSafeNat();
const texts = (bytesMax: number): fc.Arbitrary<string> =>
  fc.string({ unit: 'grapheme', maxLength: Math.floor(bytesMax / 16) }).map((text) => text.padEnd(bytesMax % 3, '-'));

/** Mostly short and alike, at times as long as may be. */
const keys = fc.oneof(
  { weight: 6, arbitrary: fc.uint8Array({ minLength: 0, maxLength: 5, max: 3 }) },
  { weight: 3, arbitrary: fc.string({ maxLength: 30 }).map((name) => utf8(`f/data/${name}`)) },
  {
    weight: 1,
    arbitrary: fc
      .nat({ max: 255 })
      .map((last) => Uint8Array.from({ length: KEY_BYTES_MAX }, (_, at) => (at === KEY_BYTES_MAX - 1 ? last : 7))),
  },
);
const entryItems = fc.array(fc.record({ key: keys, entry: upTo(200) }), { maxLength: 20 });

/** Ascending, each once. */
export const sortedKeys: fc.Arbitrary<Uint8Array[]> = fc
  .uniqueArray(keys, { selector: byteKey, maxLength: 40 })
  .map((list) => list.sort(compareBytes));

/** Cuts an ascending list of keys into ranges: bounds, items with whole hashes, and gaps between the ranges. */
const ranges: fc.Arbitrary<WalkRange[]> = fc
  .record({
    list: sortedKeys,
    cuts: fc.infiniteStream(fc.nat({ max: 3 })),
    level: fc.integer({ min: -1, max: TREE_LEVEL_MAX }),
    openStart: fc.boolean(),
    openEnd: fc.boolean(),
  })
  .map(({ list, cuts, level, openStart, openEnd }) => {
    const result: {
      from: Uint8Array | undefined;
      to: Uint8Array | undefined;
      level: number;
      items: { key: Uint8Array; digest: Uint8Array }[];
    }[] = [];
    for (const [at, key] of list.entries()) {
      const cut = cuts.next().value;
      const last = result.at(-1);
      if (last === undefined || last.to !== undefined) {
        if (at === list.length - 1) break;
        result.push({ from: key, to: undefined, level, items: cut === 0 ? [{ key, digest: digestOf(at) }] : [] });
      } else if (cut === 1) last.to = key;
      else last.items.push({ key, digest: digestOf(at) });
    }
    const last = result.at(-1);
    if (last !== undefined && last.to === undefined && !openEnd)
      last.to = Uint8Array.from([...list.at(-1)!.subarray(0, KEY_BYTES_MAX - 1), 0xff]);
    if (result.length > 0 && openStart) result[0]!.from = undefined;
    return result
      .filter(
        ({ from, to, items }) =>
          from === undefined || to === undefined || (compareBytes(from, to) < 0 && items.every(({ key }) => compareBytes(key, to) < 0)),
      )
      .map((range) =>
        level === 0 ? { ...range, items: [], leaves: range.items.map(({ digest }) => digest) } : { ...range, leaves: [] as Uint8Array[] },
      );
  });

function digestOf(seed: number): Uint8Array {
  return Uint8Array.from({ length: 32 }, (_, at) => (seed * 31 + at) & 0xff);
}

/** With digests as long as they are in the walk of this id. */
function shortened({ items, leaves, ...range }: WalkRange, id: number): WalkRange {
  const short = (digest: Uint8Array): Uint8Array => digest.subarray(0, digestBytes(id));
  return { ...range, items: items.map(({ key, digest }) => ({ key, digest: short(digest) })), leaves: leaves.map(short) };
}

export const MESSAGE_ARBITRARIES: { readonly [T in MessageType]: fc.Arbitrary<MessageOf<T>> } = {
  hello: fc.record({
    type: fc.constant('hello'),
    versionMin: ports,
    versionMax: ports,
    capabilities: fc.array(texts(64), { maxLength: 64 }),
    nodeId: hexOf(32),
    name: texts(255),
    listenPort: ports,
    replica: hexOf(8),
    share: upTo(1024),
    root: hashes,
    containsReplica: orNot(hexOf(8)),
    contains: orNot(hashes),
  }),
  join: fc.record({
    type: fc.constant('join'),
    invitation: hexOf(8),
    proof: hashes,
    nodeId: hexOf(32),
    publicKey: upTo(256),
    name: texts(255),
    listenPort: ports,
  }),
  hold: fc.constant({ type: 'hold' }),
  refuse: fc.record({ type: fc.constant('refuse'), code: texts(64), sinceMs: fc.option(fc.nat({ max: 2 ** 48 - 1 }), { nil: undefined }) }),
  root: fc.record({ type: fc.constant('root'), root: hashes }),
  ack: fc.record({ type: fc.constant('ack'), root: hashes }),
  entries: fc.record({
    type: fc.constant('entries'),
    base: orNot(hashes),
    root: orNot(hashes),
    walk: ids,
    items: entryItems,
    inline: fc.array(fc.record({ hash: hashes, bytes: upTo(300) }), { maxLength: 5 }),
  }),
  grant: fc.record({ type: fc.constant('grant'), bytes: ids }),
  'walk-request': fc.constant({ type: 'walk-request' }),
  walk: fc
    .record({
      type: fc.constant('walk'),
      id: fc.oneof(
        fc.constantFrom(1, 2, 3, 4),
        ids.map((id) => Math.max(1, id)),
      ),
      merge: fc.boolean(),
      root: hashes,
      ranges,
      wants: sortedKeys,
      more: fc.boolean(),
      answers: fc.boolean(),
    })
    .map((walk) => ({ ...walk, ranges: walk.ranges.map((range) => shortened(range, walk.id)) })),
  listing: fc.record({ type: fc.constant('listing'), id: ids, items: entryItems, last: fc.boolean() }),
  'list-pages': fc.record({ type: fc.constant('list-pages'), id: ids, hashes: fc.array(hashes, { maxLength: 20 }) }),
  'list-pages-reply': fc.record({ type: fc.constant('list-pages-reply'), id: ids, pages: fc.array(orNot(upTo(500)), { maxLength: 20 }) }),
  fetch: fc.record({
    type: fc.constant('fetch'),
    id: whole(0xffff_ffff),
    items: fc.array(
      fc.record({
        content: contentIds,
        bytes: whole(2 ** 48 - 1),
        firstChunk: whole(2 ** 32 - 1),
        chunks: whole(0xffff),
      }),
      { maxLength: 20 },
    ),
  }),
  fetched: fc.record({ type: fc.constant('fetched'), id: whole(0xffff_ffff), gone: fc.array(whole(4096), { maxLength: 20 }) }),
  have: fc.record({
    type: fc.constant('have'),
    content: contentIds,
    runs: fc.array(fc.record({ first: whole(2 ** 32 - 1), count: whole(2 ** 32 - 1) }), { maxLength: 20 }),
  }),
  stable: fc.record({ type: fc.constant('stable'), cut: upTo(200) }),
  introductions: fc.record({ type: fc.constant('introductions'), items: entryItems }),
};

export const MESSAGE_TYPES = Object.keys(MESSAGE_ARBITRARIES) as MessageType[];

export const messages: fc.Arbitrary<Message> = fc.oneof(...(Object.values(MESSAGE_ARBITRARIES) as fc.Arbitrary<Message>[]));

const filled = (length: number, first: number): Uint8Array => Uint8Array.from({ length }, (_, at) => (first + at) & 0xff);
const path = (name: string): Uint8Array => utf8(`f/${name}`);
const one = (name: string, seed: number): { key: Uint8Array; digest: Uint8Array } => ({ key: path(name), digest: filled(8, seed) });

/** One message of each type, every optional field there and not there at least once. */
export const SAMPLES: readonly Message[] = [
  {
    type: 'hello',
    versionMin: 1,
    versionMax: 3,
    capabilities: ['inline', 'stripe'],
    nodeId: toHex(filled(32, 0)),
    name: 'höst-1',
    listenPort: 7420,
    replica: toHex(filled(8, 0x40)),
    share: filled(60, 0x80),
    root: filled(32, 0x20),
    containsReplica: toHex(filled(8, 0x48)),
    contains: filled(32, 0x60),
  },
  {
    type: 'hello',
    versionMin: 1,
    versionMax: 1,
    capabilities: [],
    nodeId: toHex(filled(32, 1)),
    name: '',
    listenPort: 0,
    replica: toHex(filled(8, 2)),
    share: filled(59, 3),
    root: filled(32, 4),
    containsReplica: undefined,
    contains: undefined,
  },
  {
    type: 'join',
    invitation: toHex(filled(8, 9)),
    proof: filled(32, 10),
    nodeId: toHex(filled(32, 11)),
    publicKey: filled(44, 12),
    name: 'host-2',
    listenPort: 65_535,
  },
  { type: 'hold' },
  { type: 'refuse', code: 'NOT_INVITED', sinceMs: undefined },
  { type: 'refuse', code: 'EVICTED', sinceMs: 1_767_225_600_000 },
  { type: 'root', root: filled(32, 13) },
  { type: 'ack', root: filled(32, 14) },
  {
    type: 'entries',
    base: filled(32, 15),
    root: undefined,
    walk: 0,
    items: [
      { key: path('a'), entry: filled(3, 1) },
      { key: path('b/c'), entry: filled(300, 2) },
    ],
    inline: [{ hash: filled(32, 16), bytes: utf8('hello') }],
  },
  { type: 'entries', base: undefined, root: filled(32, 17), walk: 2 ** 40 + 1, items: [], inline: [] },
  { type: 'grant', bytes: 4_194_304 },
  { type: 'walk-request' },
  {
    type: 'walk',
    id: 1,
    merge: true,
    root: filled(32, 18),
    ranges: [
      { from: undefined, to: path('data/b'), level: 1, items: [one('data/a', 20), one('data/aa', 21)], leaves: [] },
      { from: path('data/b'), to: path('data/c'), level: -1, items: [], leaves: [] },
      { from: path('data/part-1'), to: undefined, level: 0, items: [], leaves: [filled(8, 22), filled(8, 23)] },
    ],
    wants: [path('data/aa'), path('data/ab')],
    more: false,
    answers: true,
  },
  {
    type: 'walk',
    id: 5,
    merge: false,
    root: filled(32, 19),
    ranges: [
      { from: undefined, to: path('data/b'), level: 0, items: [], leaves: [filled(32, 22)] },
      { from: path('data/b'), to: undefined, level: -1, items: [{ key: path('data/part-2'), digest: filled(32, 23) }], leaves: [] },
    ],
    wants: [],
    more: true,
    answers: false,
  },
  {
    type: 'walk',
    id: 4,
    merge: false,
    root: filled(32, 19),
    ranges: [{ from: undefined, to: undefined, level: 0, items: [], leaves: [filled(16, 22), filled(16, 23)] }],
    wants: [],
    more: true,
    answers: true,
  },
  { type: 'listing', id: 5, items: [{ key: path('x'), entry: filled(9, 24) }], last: true },
  { type: 'list-pages', id: 6, hashes: [filled(32, 25), filled(32, 26)] },
  { type: 'list-pages-reply', id: 6, pages: [filled(40, 27), undefined] },
  {
    type: 'fetch',
    id: 7,
    items: [
      { content: Uint8Array.from([0, ...filled(32, 28)]), bytes: 4_096, firstChunk: 0, chunks: 1 },
      { content: Uint8Array.from([2, ...filled(32, 29)]), bytes: 2 ** 40, firstChunk: 70_000, chunks: 12 },
    ],
  },
  { type: 'fetched', id: 7, gone: [1] },
  { type: 'stable', cut: filled(12, 30) },
  { type: 'introductions', items: [{ key: utf8('m/1'), entry: filled(5, 31) }] },
  {
    type: 'have',
    content: Uint8Array.from([1, ...filled(32, 32)]),
    runs: [
      { first: 0, count: 12 },
      { first: 70_000, count: 1 },
    ],
  },
];

/** So that byte strings compare, whatever class they have. */
export function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return `hex:${toHex(value)}`;
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, plain(field)]));
  return value;
}
