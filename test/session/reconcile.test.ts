import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { byteKey, compareBytes, utf8 } from '../../src/base/bytes.ts';
import { SamerootError } from '../../src/base/errors.ts';
import {
  MESSAGE_BYTES_MAX,
  TREE_LEVEL_MAX,
  WALK_DIGEST_BYTES_MIN,
  WALK_LIST_BYTES_MAX,
  WALK_MESSAGE_BYTES_GOAL,
  WALK_WINDOW_MESSAGES,
} from '../../src/base/limits.ts';
import { hash } from '../../src/content/hash.ts';
import type { MessageOf, WalkRange } from '../../src/wire/messages.ts';
import { digestBytes } from '../../src/wire/walk-digest.ts';
import { keys, models, rankBits, values, type Model } from '../tree/support.ts';
import { listed, missing, overWire, runWalk, Side, SKIP_NO_LEVEL, type WalkResult } from './walks.ts';

type WalkMessage = MessageOf<'walk'>;

/** Two models with much in common: one, and edits of it. */
const pairs: fc.Arbitrary<{ a: Model; b: Model }> = fc
  .record({
    base: models,
    edits: fc.array(fc.tuple(keys, fc.option(values, { nil: undefined }), fc.boolean()), { maxLength: 30 }),
    drop: fc.double({ min: 0, max: 1, noNaN: true }),
  })
  .map(({ base, edits, drop }) => {
    const a = new Map(base);
    const b = new Map([...base].filter((_, at) => drop < 0.8 || (at * 0.618) % 1 > drop));
    for (const [key, value, left] of edits) {
      if (value === undefined) (left ? a : b).delete(byteKey(key));
      else (left ? a : b).set(byteKey(key), value);
    }
    return { a, b };
  });

/** With one side that skips no level, then both, in a first walk and a later one. */
function check(a: Model, b: Model, bits: number): WalkResult {
  const sides = [new Side(a, bits), new Side(b, bits)] as const;
  checkSides(...sides);
  for (const side of sides) {
    side.guessBits = SKIP_NO_LEVEL;
    const { hops } = checkSides(...sides);
    // One a level; the entries, what is wanted of them, the end.
    expect(hops).toBeLessThanOrEqual(Math.max(sides[0].tree.level, sides[1].tree.level) + 3);
  }
  for (const later of [3, 5]) checkSides(...sides, undefined, later);
  return checkSides(...sides);
}

function checkSides(a: Side, b: Side, toFirst?: () => boolean, id?: number): WalkResult {
  const result = runWalk(a, b, toFirst, id);
  expect(result.waitingMax).toBeLessThanOrEqual(WALK_WINDOW_MESSAGES);
  expect(listed(result.fromA)).toEqual(listed(missing(a.model, b.model)));
  expect(listed(result.fromB)).toEqual(listed(missing(b.model, a.model)));
  return result;
}

/** `count` entries of a share; `flavour` gives other values. */
function entries(count: number, flavour = ''): Map<string, Uint8Array> {
  const model = new Map<string, Uint8Array>();
  for (let at = 0; at < count; at++) model.set(nameOf(at), hash('entry', utf8(`${at}${flavour}`)));
  return model;
}

function nameOf(at: number): string {
  return byteKey(utf8(`f/shard-${String(at % 100).padStart(3, '0')}/part-${String(at).padStart(7, '0')}.bin`));
}

const bases = new Map<number, Side>();

/** A side of `count` entries and one with `differences` of them changed, scattered. */
function scattered(count: number, differences: number): readonly [Side, Side] {
  const base = bases.get(count) ?? new Side(entries(count), 5);
  bases.set(count, base);
  const model = new Map(base.model);
  for (let at = 1; at <= differences; at++) model.set(nameOf(Math.floor(((at * 0.618_033_988_75) % 1) * count)), utf8(`changed ${at}`));
  return [base, new Side(model, 5, base)];
}

describe('a walk', () => {
  it('gives each side exactly what the other lacks or has otherwise', () => {
    fc.assert(
      fc.property(pairs, rankBits, ({ a, b }, bits) => void check(a, b, bits)),
      { numRuns: 1_500 },
    );
    fc.assert(
      fc.property(pairs, ({ a, b }) => void check(a, b, 5)),
      { numRuns: 200 },
    );
  });

  it('of trees with nothing in common, of one empty side and of two', () => {
    fc.assert(
      fc.property(models, models, rankBits, (a, b, bits) => {
        check(a, b, bits);
        check(a, new Map(), bits);
        check(new Map(), b, bits);
      }),
      { numRuns: 200 },
    );
    expect(check(new Map(), new Map(), 5)).toMatchObject({ messages: 2, fromA: [], fromB: [] });
  });

  it('of equal trees is over in two messages', () => {
    fc.assert(
      fc.property(models, rankBits, (model, bits) => {
        expect(check(model, model, bits).messages).toBe(2);
      }),
    );
  });

  it('of trees of different heights, with keys before the first and after the last', () => {
    const large = entries(700);
    for (const bits of [1, 2, 3, 5]) {
      for (const names of [['f/a'], ['f/z'], ['a', 'z'], ['0', 'f/shard-050/'], ['f/shard-099/part-0000699.bin']]) {
        const small = new Map(names.map((name) => [byteKey(utf8(name)), utf8(name)]));
        check(large, small, bits);
        check(small, large, bits);
        check(large, new Map([...large, ...small]), bits);
        check(new Map([...small, ...large]), large, bits);
      }
    }
  });

  it('takes each of few differences out of many entries', () => {
    const base = entries(1_500);
    fc.assert(
      fc.property(
        fc.array(fc.nat({ max: 1_499 }), { maxLength: 5 }),
        fc.array(fc.nat({ max: 1_499 }), { maxLength: 5 }),
        fc.constantFrom(2, 3, 5),
        (gone, other, bits) => {
          const copy = new Map(base);
          for (const at of gone) copy.delete(nameOf(at));
          for (const at of other) copy.set(nameOf(at), utf8('other'));
          check(base, copy, bits);
          check(copy, base, bits);
        },
      ),
      { numRuns: 25 },
    );
  });
});

describe('the messages of a walk', () => {
  /** Keys of some 2 KB that share next to nothing: a few hundred fill a message. */
  const long = (at: number): string =>
    byteKey(Buffer.concat([utf8(String((at * 7919) % 10_000).padStart(5, '0')), Buffer.alloc(2_000, at % 251)]));
  const model: Model = new Map(Array.from({ length: 2_500 }, (_, at) => [long(at), utf8(`${at}`)]));
  const base = new Side(model, 2);
  base.guessBits = SKIP_NO_LEVEL;

  it('may arrive in any order of the two sides, at whatever pace, and never more wait than the window has', () => {
    let waitingMax = 0;
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 8 }), fc.boolean(), fc.infiniteStream(fc.boolean()), (every, begins, picks) => {
        const other = new Side(new Map([...model].map(([key, value], at) => [key, at % every === 0 ? utf8('other') : value])), 2, base);
        other.guessBits = SKIP_NO_LEVEL;
        const pick = (): boolean => picks.next().value!;
        const result = begins ? checkSides(base, other, pick) : checkSides(other, base, pick);
        waitingMax = Math.max(waitingMax, result.waitingMax);
      }),
      { numRuns: 8 },
    );
    expect(waitingMax).toBe(WALK_WINDOW_MESSAGES);
  });
});

describe('what a walk costs', () => {
  /**
   * A page has 32 entries on average, one that a random key falls into 63; so have the pages above it. An item is its
   * digest, the end of its key and two counts. Each difference costs two or three such lists where they are few.
   */
  const ITEM_BYTES = WALK_DIGEST_BYTES_MIN + 10;
  const LIST_ITEMS = 63;
  /** Leaf pages are listed without keys. */
  const leavesBytes = (entryCount: number): number => (entryCount / 32) * WALK_DIGEST_BYTES_MIN * 1.05;

  it('100 scattered differences in 100,000 entries: three messages, the leaves and the entries of those that differ', () => {
    const result = checkSides(...scattered(100_000, 100));
    expect(result.hops).toBe(3);
    expect(result.bytes).toBeLessThan(leavesBytes(100_000) + 100 * (LIST_ITEMS + 4) * ITEM_BYTES);
  });

  it('differences everywhere in 100,000 entries: lists in many messages that do not wait for one another', () => {
    const [a, b] = scattered(100_000, 20_000);
    const result = checkSides(a, b);
    expect(result.messages).toBeGreaterThan(12);
    expect(result.waitingMax).toBeGreaterThan(4);
    expect(result.hops).toBeLessThanOrEqual(6);
    // The list of entries is most of it; what is wanted of it is not.
    expect(result.bytes).toBeLessThan(100_000 * (ITEM_BYTES + 4));
  });

  it('one difference in 100,000 entries: the leaves, and one list of entries', () => {
    const result = checkSides(...scattered(100_000, 1));
    expect(result.hops).toBe(3);
    expect(result.bytes).toBeLessThan(leavesBytes(100_000) + 4 * LIST_ITEMS * ITEM_BYTES);
  });

  it('one difference in 100,000 entries, a later walk: longer digests, but not the leaves at once', () => {
    for (const id of [3, 5]) {
      const result = checkSides(...scattered(100_000, 1), undefined, id);
      expect(result.hops).toBeLessThanOrEqual(5);
      // The first list is of some 100 pages, as most.
      expect(result.bytes).toBeLessThan(8 * LIST_ITEMS * (digestBytes(id) + 10));
      expect(result.bytes).toBeLessThan(leavesBytes(100_000));
    }
  });

  it('grows much slower than the entries, for a fixed number of differences', () => {
    const sizes = [8_000, 25_000, 100_000];
    const costs = sizes.map((size) => checkSides(...scattered(size, 50)).bytes);
    // Fitted: bytes = c * n^e. A walk that lists everything has e = 1.
    const xs = sizes.map(Math.log);
    const ys = costs.map(Math.log);
    const mean = (list: readonly number[]): number => list.reduce((sum, x) => sum + x, 0) / list.length;
    const slope =
      xs.reduce((sum, x, at) => sum + (x - mean(xs)) * (ys[at]! - mean(ys)), 0) / xs.reduce((sum, x) => sum + (x - mean(xs)) ** 2, 0);
    expect(slope).toBeLessThan(0.35);
  });

  it('everything different: little more than a list of all entries, in messages of a bounded size', () => {
    const count = 30_000;
    for (const other of [entries(count, 'other'), new Map([...entries(count)].map(([key, value]) => [`${key}x`, value]))]) {
      const result = checkSides(new Side(entries(count), 5), new Side(other, 5));
      // 1 item in 32 is a page; the rest is the list of entries, once, and the keys that are wanted, once.
      const keysBytes = count * 14;
      expect(result.bytes).toBeLessThan(count * (ITEM_BYTES + 4) * 1.03 + keysBytes);
      expect(result.largestBytes).toBeLessThan(2 * WALK_MESSAGE_BYTES_GOAL + 65_536);
      expect(result.messages).toBeGreaterThan(result.bytes / WALK_LIST_BYTES_MAX);
    }
  });

  it('messages stay within the limit with the longest keys, whatever they share', () => {
    const long = (at: number, alike: boolean): string =>
      byteKey(Buffer.concat([Buffer.alloc(4_000, alike ? 7 : at % 251), utf8(String(at).padStart(8, '0'))]));
    const model = (count: number, alike: boolean): Map<string, Uint8Array> =>
      new Map(Array.from({ length: count }, (_, at) => [long(at, alike), utf8(`${at}`)]));
    const some = (all: Model): Model => new Map([...all].map(([key], at) => [key, utf8(at % 3 === 0 ? 'other' : `${at}`)]));
    const disjoint = (all: Model): Model => new Map([...all].map(([key, value]) => [`${key}x`, value]));
    const cases: [Model, (all: Model) => Model, number][] = [
      [model(1_200, true), some, 5],
      [model(1_200, false), some, 1],
      [model(1_200, false), disjoint, 5],
      // More inner pages in one range than a message may list.
      [model(2_600, false), disjoint, 1],
    ];
    for (const [all, other, bits] of cases) {
      const sides = [new Side(all, bits), new Side(other(all), bits)] as const;
      for (const side of sides) side.guessBits = SKIP_NO_LEVEL;
      expect(checkSides(...sides).largestBytes).toBeLessThan(MESSAGE_BYTES_MAX);
    }
  });
});

describe('a hostile peer', () => {
  const side = new Side(entries(400), 2);
  side.guessBits = SKIP_NO_LEVEL;
  const bounds = fc.oneof(
    fc.constant(undefined),
    fc.nat({ max: 399 }).map((at) => Buffer.from(nameOf(at), 'latin1') as Uint8Array),
    keys,
  );
  const levels = fc.integer({ min: -1, max: TREE_LEVEL_MAX });
  /** Sorted and disjoint, as the codec makes sure. */
  const anyRanges: fc.Arbitrary<WalkRange[]> = fc
    .array(fc.tuple(bounds, bounds, levels, fc.array(keys, { maxLength: 4 })), { maxLength: 5 })
    .map((list) => {
      const ranges: WalkRange[] = [];
      let open = true;
      for (const [from, to, level, names] of list.sort(([a], [b]) => compareBytes(a ?? new Uint8Array(0), b ?? new Uint8Array(0)))) {
        const last = ranges.at(-1);
        if (!open || (from === undefined && last !== undefined) || (last?.to !== undefined && compareBytes(last.to, from!) > 0)) continue;
        if (from !== undefined && to !== undefined && compareBytes(from, to) >= 0) continue;
        const inside = [...new Set(names.map(byteKey))]
          .sort()
          .map((name) => Buffer.from(name, 'latin1'))
          .filter((name) => (from === undefined || compareBytes(from, name) <= 0) && (to === undefined || compareBytes(name, to) < 0));
        const listed = inside.map((name) => ({ key: name, digest: new Uint8Array(WALK_DIGEST_BYTES_MIN) }));
        ranges.push({
          from,
          to,
          level,
          items: level === 0 ? [] : listed,
          leaves: level === 0 ? listed.map(({ digest }) => digest) : [],
        });
        open = to !== undefined;
      }
      return ranges;
    });
  const anyMessages: fc.Arbitrary<WalkMessage> = fc.record({
    type: fc.constant('walk'),
    id: fc.constant(1),
    merge: fc.constant(true),
    root: fc.constant(new Uint8Array(32)),
    ranges: anyRanges,
    wants: fc.uniqueArray(keys, { selector: byteKey, maxLength: 5 }).map((list) => list.sort(compareBytes)),
    more: fc.boolean(),
    answers: fc.boolean(),
  });

  it('gets BAD_MESSAGE or an answer, and never more than one listing of the tree per level', () => {
    fc.assert(
      fc.property(fc.array(anyMessages, { minLength: 1, maxLength: 40 }), fc.boolean(), (list, begins) => {
        const walk = side.walk(begins);
        let items = 0;
        let wanted = 0;
        const count = (replies: readonly WalkMessage[]): void => {
          for (const { ranges } of replies) items += ranges.reduce((sum, range) => sum + range.items.length + range.leaves.length, 0);
        };
        if (begins) count([walk.start()]);
        try {
          for (const message of list) {
            if (walk.complete) break;
            wanted += message.wants.length;
            count(walk.step(overWire(message).message));
          }
        } catch (error) {
          expect(error).toBeInstanceOf(SamerootError);
          expect(error).toMatchObject({ code: 'BAD_MESSAGE' });
        }
        // Pages of all levels together are fewer than the entries.
        expect(items).toBeLessThanOrEqual(2 * side.model.size);
        expect([...walk.missingThere()].length).toBeLessThanOrEqual(side.model.size + wanted);
      }),
      { numRuns: 1_000 },
    );
  });

  const message = (ranges: WalkRange[], more = true, wants: Uint8Array[] = [], answers = false): WalkMessage => ({
    type: 'walk',
    id: 1,
    merge: true,
    root: new Uint8Array(32),
    ranges,
    wants,
    more,
    answers,
  });
  const everything = (level: number, from?: Uint8Array, to?: Uint8Array): WalkRange => ({
    from,
    to,
    level,
    items: [{ key: utf8('f/z'), digest: new Uint8Array(WALK_DIGEST_BYTES_MIN) }].filter(() => to === undefined && level !== 0),
    leaves: [new Uint8Array(WALK_DIGEST_BYTES_MIN)].filter(() => to === undefined && level === 0),
  });

  it('can not repeat a message', () => {
    const walk = side.walk(false);
    expect(walk.step(message([everything(1)]))).toHaveLength(1);
    expect(() => walk.step(message([everything(1)]))).toThrow(expect.objectContaining({ code: 'BAD_MESSAGE' }));
  });

  it('can not name a range that was not listed, a listed one at the same level, or one twice', () => {
    const begun = (): { walk: ReturnType<Side['walk']>; first: WalkRange } => {
      const walk = side.walk(false);
      const [reply] = walk.step(message([everything(2)], true));
      const first = reply!.ranges[0]!;
      expect(first.level).toBeLessThan(2);
      return { walk, first };
    };
    const refused = (ranges: WalkRange[], wants: Uint8Array[] = []): void =>
      expect(() => begun().walk.step(message(ranges, true, wants, true))).toThrow(expect.objectContaining({ code: 'BAD_MESSAGE' }));
    const { first } = begun();
    refused([everything(first.level, first.from, first.to)]);
    refused([everything(-1, undefined, utf8('a'))].map((range) => ({ ...range, level: TREE_LEVEL_MAX })));
    if (first.level > -1) refused([everything(-1)], [utf8('wanted')]);
  });

  it('can not reach before a listed range, nor come back to what it has settled', () => {
    const from = utf8('f/shard-020');
    const to = utf8('f/shard-060');
    const refusal = expect.objectContaining({ code: 'BAD_MESSAGE' });
    const answered = (more: boolean): ReturnType<Side['walk']> => {
      const walk = side.walk(false);
      const asked = walk.step(
        message([{ from, to, level: 2, items: [{ key: from, digest: new Uint8Array(WALK_DIGEST_BYTES_MIN) }], leaves: [] }], more),
      )[0]!.ranges;
      expect(asked).toMatchObject([{ from, to, level: expect.toSatisfy((level: number) => level >= 0) }]);
      return walk;
    };
    const named = (start: Uint8Array, end: Uint8Array): WalkMessage =>
      message([{ from: start, to: end, level: -1, items: [], leaves: [] }], false, [], true);
    expect(() => answered(false).step(named(utf8('f/shard-010'), to))).toThrow(refusal);
    expect(() => answered(false).step(named(from, utf8('f/shard-070')))).toThrow(refusal);
    expect(() => answered(false).step(named(utf8('f/shard-070'), utf8('f/shard-080')))).toThrow(refusal);
    // The peer said that it has more to come: of what it has not named yet.
    expect(answered(true).step(named(utf8('f/shard-070'), utf8('f/shard-080')))).toBeDefined();
    expect(() => answered(true).step(named(utf8('f/shard-005'), utf8('f/shard-010')))).toThrow(refusal);
    expect(answered(false).step(named(from, to))).toBeDefined();
  });

  it('can not answer twice, say nothing unasked, want what it does not answer, or hold back what it has room for', () => {
    const refusal = expect.objectContaining({ code: 'BAD_MESSAGE' });
    const begun = (): ReturnType<Side['walk']> => {
      const walk = side.walk(true);
      expect(walk.start().answers).toBe(false);
      return walk;
    };
    expect(begun().step(message([], false, [], true))).toEqual([]);
    const twice = begun();
    twice.step(message([], false, [], true));
    expect(() => twice.step(message([], false, [], true))).toThrow(refusal);
    expect(() => begun().step(message([], false))).toThrow(refusal);
    expect(() => begun().step(message([everything(-1)], false, [utf8('f/a')]))).toThrow(refusal);
    expect(() => begun().step(message([], true, [], true))).toThrow(refusal);
  });

  it('can not want what was not listed', () => {
    const walk = side.walk(true);
    const start = walk.start();
    const entriesListed = start.ranges.reduce((sum, range) => sum + (range.level === -1 ? range.items.length : 0), 0);
    const wants = Array.from({ length: entriesListed + 1 }, (_, at) => utf8(String(at).padStart(6, '0')));
    expect(() => walk.step(message([], false, wants, true))).toThrow(expect.objectContaining({ code: 'BAD_MESSAGE' }));
  });
});
