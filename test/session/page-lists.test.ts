import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { byteKey, compareBytes } from '../../src/base/bytes.ts';
import { WALK_DIGEST_BYTES_MIN } from '../../src/base/limits.ts';
import { hash } from '../../src/content/hash.ts';
import { segments, unlikeLeaves } from '../../src/session/page-lists.ts';
import type { Item } from '../../src/tree/walk.ts';

/** Two lists of pages by key; equal digests where `same`. */
const lists = fc
  .uniqueArray(fc.record({ key: fc.nat({ max: 60 }), here: fc.boolean(), there: fc.boolean(), same: fc.boolean() }), {
    selector: ({ key }) => key,
    maxLength: 40,
  })
  .map((list) => list.sort((a, b) => a.key - b.key));
const keyOf = (at: number): Uint8Array => Uint8Array.of(at);

describe('the segments of a range', () => {
  it('hold every page that is not the same on both sides and no other, and have at most their first key in common', () => {
    fc.assert(
      fc.property(lists, fc.boolean(), (list, bounded) => {
        const from = bounded ? keyOf(0) : undefined;
        const to = bounded ? keyOf(61) : undefined;
        const item = ({ key, same }: (typeof list)[number], side: number): Uint8Array => hash('page', Uint8Array.of(key, same ? 0 : side));
        const own = list
          .filter(({ here }) => here)
          .map((page) => ({ key: keyOf(page.key), hash: item(page, 1), count: 1, live: 0, bytes: 0 }));
        const theirs = list
          .filter(({ there }) => there)
          .map((page) => ({ key: keyOf(page.key), digest: item(page, 2).subarray(0, WALK_DIGEST_BYTES_MIN) }));
        const found = segments({ from, to }, own, theirs);
        const inside = (key: Uint8Array, segment: (typeof found)[number]): boolean =>
          (segment.from === undefined || compareBytes(segment.from, key) <= 0) &&
          (segment.to === undefined || compareBytes(key, segment.to) < 0);
        for (const page of list) {
          if (!page.here && !page.there) continue;
          const key = keyOf(page.key);
          const settled = page.here && page.there && page.same;
          expect(found.filter((segment) => inside(key, segment)).length).toBe(settled ? 0 : 1);
        }
        for (const [at, segment] of found.entries()) {
          expect(segment.own).toEqual(own.filter(({ key }) => inside(key, segment)));
          const common = list.filter(({ key, here, there }) => here && there && inside(keyOf(key), segment)).map(({ key }) => key);
          const [first] = list.filter(({ key, here, there }) => (here || there) && inside(keyOf(key), segment)).map(({ key }) => key);
          expect(common.every((key) => key === first)).toBe(true);
          if (at > 0) expect(compareBytes(found[at - 1]!.to!, segment.from!)).toBeLessThanOrEqual(0);
        }
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('the runs of unlike leaves', () => {
  interface Place {
    readonly key: number;
    readonly here: boolean;
    readonly there: boolean;
    readonly same: boolean;
  }
  const hashOf = ({ key, same }: Place, side: number): Uint8Array => hash('page', Uint8Array.of(key, same ? 0 : side));
  const ownOf = (list: readonly Place[]): Item[] =>
    list.filter(({ here }) => here).map((page) => ({ key: keyOf(page.key), hash: hashOf(page, 1), count: 1, live: 0, bytes: 0 }));
  const theirsOf = (list: readonly Place[]): Uint8Array[] =>
    list.filter(({ there }) => there).map((page) => hashOf(page, 2).subarray(0, WALK_DIGEST_BYTES_MIN));

  it('hold every page that is not the same on both sides and no other, between the same two pages on both', () => {
    fc.assert(
      fc.property(lists, (list) => {
        const own = ownOf(list);
        const expected: { first: number; end: number }[] = [];
        let [at, first, foreign] = [0, 0, 0];
        const end = (): void => {
          if (at > first || foreign > 0) expected.push({ first, end: at });
          foreign = 0;
        };
        for (const { here, there, same } of list) {
          if (here && there && same) {
            end();
            first = ++at;
            continue;
          }
          if (here) at++;
          if (there) foreign++;
        }
        end();
        expect(unlikeLeaves(own, theirsOf(list), WALK_DIGEST_BYTES_MIN)).toEqual(expected);
      }),
      { numRuns: 1_000 },
    );
  });

  it('are in order and leave out no page of ours that is not listed, whatever the other side lists', () => {
    fc.assert(
      fc.property(lists, fc.array(fc.nat({ max: 60 }), { maxLength: 40 }), (list, any) => {
        const own = ownOf(list);
        const theirs = any.map((key) => hash('page', Uint8Array.of(key, 1)).subarray(0, WALK_DIGEST_BYTES_MIN));
        const listedThere = new Set(theirs.map(byteKey));
        const runs = unlikeLeaves(own, theirs, WALK_DIGEST_BYTES_MIN);
        for (const [at, run] of runs.entries()) {
          expect(run.first).toBeLessThanOrEqual(run.end);
          // Between two runs is a page that both list.
          if (at > 0) expect(runs[at - 1]!.end).toBeLessThan(run.first);
        }
        for (const [at, { hash: digest }] of own.entries()) {
          const open = runs.some(({ first, end }) => first <= at && at < end);
          if (!open) expect(listedThere.has(byteKey(digest.subarray(0, WALK_DIGEST_BYTES_MIN)))).toBe(true);
        }
      }),
      { numRuns: 1_000 },
    );
  });
});
