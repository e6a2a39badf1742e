import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ByteWriter, compareBytes, equalBytes, sharedPrefixLength, toHex, utf8 } from '../../src/base/bytes.ts';
import { SamerootError } from '../../src/base/errors.ts';
import { ENTRY_BYTES_MAX, HASH_BYTES, KEY_BYTES_MAX, PAGE_ITEMS_MAX } from '../../src/base/limits.ts';
import { decodePage, type Page } from '../../src/tree/page-codec.ts';
import { encodePage, type Replacement, type Run, type Single } from '../../src/tree/page-encode.ts';
import { RANK_MAX } from '../../src/tree/rank.ts';
import { mutated, mutations } from '../base/mutated.ts';
import { keys, values } from './support.ts';

const totals = fc
  .tuple(fc.integer({ min: 1, max: 2 ** 40 }), fc.nat({ max: 2 ** 30 }), fc.maxSafeNat())
  .map(([count, live, bytes]) => ({ count, live: Math.min(live, count), bytes }));
const someKeys = fc.uniqueArray(keys, { minLength: 1, maxLength: 60, comparator: equalBytes }).map((list) => list.sort(compareBytes));
const leaves = fc
  .tuple(someKeys, fc.array(values, { minLength: 60, maxLength: 60 }))
  .map(([list, bodies]): [number, Single[]] => [
    0,
    list.map((key, at) => ({ page: undefined, key, body: bodies[at]!, totals: undefined })),
  ]);
const inners = fc
  .tuple(
    fc.integer({ min: 1, max: RANK_MAX }),
    someKeys,
    fc.array(totals, { minLength: 60, maxLength: 60 }),
    fc.array(fc.uint8Array({ minLength: HASH_BYTES, maxLength: HASH_BYTES }), { minLength: 60, maxLength: 60 }),
  )
  .map(([level, list, sums, hashes]): [number, Single[]] => [
    level,
    list.map((key, at) => ({ page: undefined, key, body: hashes[at]!, totals: sums[at]! })),
  ]);
const somePages = fc.oneof(leaves, inners);

function singles(page: Page): Single[] {
  return Array.from({ length: page.size }, (_, item) => ({
    page: undefined,
    key: page.key(item),
    body: page.level === 0 ? page.value(item) : page.hash(item),
    totals: page.level === 0 ? undefined : page.totals(item),
  }));
}

/** The bytes of a page with one of its numbers padded by a zero, for each of its numbers. */
function paddings(level: number, list: readonly Single[]): Uint8Array[] {
  const padded: Uint8Array[] = [];
  /** Writes the page with number `target` padded; returns how many numbers there are. */
  const write = (target: number): number => {
    const writer = new ByteWriter();
    let numbers = 0;
    const number = (value: number): ByteWriter => {
      const shortest = new ByteWriter().varint(value).finish();
      if (numbers++ !== target) return writer.raw(shortest);
      const last = shortest.length - 1;
      return writer
        .raw(shortest.subarray(0, last))
        .u8(shortest[last]! + 0x80)
        .u8(0);
    };
    number(level);
    number(list.length);
    for (const [at, { key, body, totals: sums }] of list.entries()) {
      const shared = at === 0 ? 0 : sharedPrefixLength(list[at - 1]!.key, key);
      number(shared);
      number(key.length - shared).raw(key.subarray(shared));
      if (sums === undefined) number(body.length).raw(body);
      else {
        writer.raw(body);
        number(sums.count);
        number(sums.live);
        number(sums.bytes);
      }
    }
    padded.push(writer.finish());
    return numbers;
  };
  const count = write(-1);
  expect(toHex(padded.pop()!)).toBe(toHex(encodePage(level, list)));
  for (let target = 0; target < count; target++) write(target);
  return padded;
}

const plain = (list: readonly Single[]): unknown => list.map(({ key, body, totals: sums }) => [toHex(key), toHex(body), sums]);

function codeOf(run: () => unknown): string | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    if (error instanceof SamerootError) return error.code;
    throw error;
  }
}

describe('page codec', () => {
  it('decodes what it encoded', () => {
    fc.assert(
      fc.property(somePages, ([level, list]) => {
        const page = decodePage(encodePage(level, list));
        expect(page.level).toBe(level);
        expect(plain(singles(page))).toEqual(plain(list));
      }),
    );
  });

  it('writes pieces of other pages as it writes their items', () => {
    let goingOn = 0;
    const cut = fc.record({
      how: fc.constantFrom('run', 'replaced', 'single'),
      length: fc.nat({ max: 5 }),
      skip: fc.nat({ max: 1 }),
      other: fc.boolean(),
    });
    fc.assert(
      fc.property(somePages, fc.array(cut, { maxLength: 30 }), ([level, list], cuts) => {
        const bytes = encodePage(level, list);
        const pages = [decodePage(bytes), decodePage(bytes)] as const; // equal, but not one page
        const pieces: (Run | Replacement | Single)[] = [];
        const expected: Single[] = [];
        let at = 0;
        for (const { how, length, skip, other } of cuts) {
          const to = Math.min(list.length, at + length);
          const page = other ? pages[1] : pages[0];
          const items = list.slice(at, to);
          const replaced = items.map(({ key }, index) => ({ ...list[(at + index + 1) % list.length]!, key }));
          if (how === 'run' && to > at) pieces.push({ page, from: at, to, body: undefined });
          if (how === 'replaced')
            pieces.push(
              ...replaced.map(({ body, totals: sums }, index) => ({ page, from: at + index, to: at + index + 1, body, totals: sums })),
            );
          if (how === 'single') pieces.push(...items);
          expected.push(...(how === 'replaced' ? replaced : items));
          at = to + skip;
          if (at >= list.length) break;
        }
        if (pieces.length === 0) return;
        for (const [index, { page, ...piece }] of pieces.entries()) {
          const before = pieces[index - 1];
          if (page !== undefined && before?.page === page && 'from' in piece && piece.from === before.to) goingOn++;
        }
        expect(toHex(encodePage(level, pieces))).toBe(toHex(encodePage(level, expected)));
      }),
      { numRuns: 500 },
    );
    expect(goingOn).toBeGreaterThan(100);
  });

  it('refuses changed bytes, or they are the one encoding of another page', () => {
    let refused = 0;
    let accepted = 0;
    fc.assert(
      fc.property(somePages, mutations, ([level, list], changes) => {
        const bytes = Buffer.from(mutated(encodePage(level, list), changes));
        let page: Page;
        try {
          page = decodePage(bytes);
        } catch (error) {
          expect((error as SamerootError).code).toBe('BAD_ENCODING');
          refused++;
          return;
        }
        accepted++;
        expect(toHex(encodePage(page.level, singles(page)))).toBe(toHex(bytes));
      }),
      { numRuns: 2000 },
    );
    expect(Math.min(refused, accepted)).toBeGreaterThan(100);
  });

  it('refuses every number that is padded, wherever it stands', () => {
    fc.assert(
      fc.property(somePages, ([level, list]) => {
        for (const padded of paddings(level, list)) expect(codeOf(() => decodePage(padded))).toBe('BAD_ENCODING');
      }),
      { numRuns: 30 },
    );
  });

  it('refuses keys that share less than they could', () => {
    let shorter = 0;
    fc.assert(
      fc.property(someKeys, fc.nat(), fc.nat(), (list, pick, less) => {
        const most = list.map((key, at) => (at === 0 ? 0 : sharedPrefixLength(list[at - 1]!, key)));
        const pageOf = (shared: readonly number[]): Uint8Array => {
          const writer = new ByteWriter().u8(0).varint(list.length);
          for (const [at, key] of list.entries()) writer.varint(shared[at]!).sized(key.subarray(shared[at])).sized(utf8('x'));
          return writer.finish();
        };
        expect(codeOf(() => decodePage(pageOf(most)))).toBeUndefined();
        const sharing = [...most.keys()].filter((at) => most[at]! > 0);
        if (sharing.length === 0) return;
        const at = sharing[pick % sharing.length]!;
        expect(codeOf(() => decodePage(pageOf(most.with(at, less % most[at]!))))).toBe('BAD_ENCODING');
        shorter++;
      }),
      { numRuns: 200 },
    );
    expect(shorter).toBeGreaterThan(50);
  });

  it('refuses any bytes cut short or with more behind them', () => {
    fc.assert(
      fc.property(somePages, fc.nat(), ([level, list], where) => {
        const bytes = encodePage(level, list);
        expect(codeOf(() => decodePage(bytes.subarray(0, where % bytes.length)))).toBe('BAD_ENCODING');
        expect(codeOf(() => decodePage(Buffer.concat([bytes, Buffer.from([where % 256])])))).toBe('BAD_ENCODING');
      }),
    );
  });

  const leaf = (...items: readonly (readonly [number, string, string])[]): ByteWriter => {
    const writer = new ByteWriter().u8(0).varint(items.length);
    for (const [shared, suffix, value] of items) writer.varint(shared).sized(utf8(suffix)).sized(utf8(value));
    return writer;
  };
  const inner = (count: number, live: number): ByteWriter =>
    new ByteWriter().u8(1).varint(1).varint(0).sized(utf8('a')).raw(new Uint8Array(HASH_BYTES)).varint(count).varint(live).varint(0);

  it('accepts the smallest of each kind, written by hand', () => {
    expect(decodePage(leaf([0, 'a', '']).finish()).size).toBe(1);
    expect(decodePage(leaf([0, 'ab', 'x'], [2, 'c', ''], [1, 'c', '']).finish()).size).toBe(3);
    expect(decodePage(inner(3, 3).finish()).totals(0)).toEqual({ count: 3, live: 3, bytes: 0 });
  });

  it.each([
    ['no bytes', new ByteWriter()],
    ['no items', leaf()],
    ['an empty key', leaf([0, '', 'x'])],
    ['a first key that shares', leaf([1, 'a', ''])],
    ['equal keys', leaf([0, 'a', ''], [1, '', ''])],
    ['a key that is a prefix of the one before', leaf([0, 'ab', ''], [1, '', ''])],
    ['descending keys', leaf([0, 'b', ''], [0, 'a', ''])],
    ['a key that shares less than it could', leaf([0, 'ab', ''], [0, 'ac', ''])],
    ['a key that shares more than there is', leaf([0, 'a', ''], [2, 'c', ''])],
    ['a level too high', new ByteWriter().u8(RANK_MAX + 1).raw(inner(1, 1).finish().subarray(1))],
    ['a padded number', new ByteWriter().raw(Uint8Array.of(0, 0x81, 0, 0, 1, 97, 0))],
    ['a page of nothing below', inner(0, 0)],
    ['more live entries than entries', inner(1, 2)],
    ['too many items', new ByteWriter().u8(0).varint(PAGE_ITEMS_MAX + 1)],
    ['a key too long', leaf([0, 'k'.repeat(KEY_BYTES_MAX + 1), ''])],
    ['a value too long', leaf([0, 'a', 'v'.repeat(ENTRY_BYTES_MAX + 1)])],
  ])('refuses %s', (_what, writer) => {
    expect(codeOf(() => decodePage(writer.finish()))).toBe('BAD_ENCODING');
  });

  it('refuses to make a page over the limits, naming the place', () => {
    const single = (at: number, body: Uint8Array): Single => ({ page: undefined, key: utf8(`f/${1e6 + at}`), body, totals: undefined });
    const list = (count: number, body: Uint8Array): Single[] => Array.from({ length: count }, (_, at) => single(at, body));
    expect(decodePage(encodePage(0, list(PAGE_ITEMS_MAX, utf8('x')))).size).toBe(PAGE_ITEMS_MAX);
    expect(codeOf(() => encodePage(0, list(PAGE_ITEMS_MAX + 1, utf8('x'))))).toBe('PAGE_TOO_LARGE');
    expect(codeOf(() => encodePage(0, list(9, new Uint8Array(ENTRY_BYTES_MAX))))).toBe('PAGE_TOO_LARGE');
    expect(() => encodePage(0, list(9, new Uint8Array(ENTRY_BYTES_MAX)))).toThrow('near f/1000007');
  });

  it('spells keys out one by one as all at once, also where each shares with the one before what that had of its own', () => {
    fc.assert(
      fc.property(somePages, fc.array(fc.nat()), ([level, list], picks) => {
        const page = decodePage(encodePage(level, list));
        const before = page.memoryBytes;
        for (const pick of picks) {
          const item = pick % page.size;
          expect(equalBytes(page.copyKey(item), list[item]!.key)).toBe(true);
        }
        for (const [item, { key }] of list.entries()) {
          expect(equalBytes(page.key(item), key)).toBe(true);
          expect(page.search(key)).toBe(item);
        }
        expect(page.memoryBytes).toBe(before);
        for (const [item, { key }] of list.entries()) expect(equalBytes(page.copyKey(item), key)).toBe(true);
      }),
    );
  });

  it('finds keys as a search through a list does', () => {
    fc.assert(
      fc.property(somePages, keys, ([level, list], key) => {
        const page = decodePage(encodePage(level, list));
        const bound = list.filter((item) => compareBytes(item.key, key) < 0).length;
        const found = list.some((item) => equalBytes(item.key, key));
        expect(page.search(key)).toBe(found ? bound : -1 - bound);
        expect(page.lowerBound(key)).toBe(bound);
        expect(page.childFor(key)).toBe(found ? bound : Math.max(0, bound - 1));
      }),
    );
  });
});
