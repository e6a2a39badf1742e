import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { utf8 } from '../../src/base/bytes.ts';
import { EMPTY_CONTENT, singleChunk } from '../../src/content/content-list.ts';
import { hash } from '../../src/content/hash.ts';
import type { Dot, Entry, Value, Version } from '../../src/entry/entry.ts';
import { conflictName, sameValue, view, type Shown } from '../../src/entry/view.ts';
import { fewValues, History, nameOf, steps } from './history.ts';

const DELETED: Value = { kind: 'deleted' };
const ONE: Value = { kind: 'record', data: utf8('one') };
const TWO: Value = { kind: 'record', data: utf8('two') };

/** An entry of versions made by replicas 1, 2, 3, ... at these times. */
function entryOf(...made: readonly (readonly [wallMs: number, value: Value])[]): Entry {
  const versions = made.map(([wallMs, value], at) => ({
    dot: { replica: String(at + 1).padStart(16, '0'), sequence: 1 },
    stamp: { wallMs, counter: 0 },
    value,
  }));
  return { versions, context: new Map(versions.map(({ dot }) => [dot.replica, dot.sequence])) };
}

/** The group of these versions of an entry, counted from 0: the first is the one to show. */
function group(entry: Entry, ...at: readonly number[]): Shown {
  return { version: entry.versions[at[0]!]!, dots: dots(entry, ...at) };
}

function dots(entry: Entry, ...at: readonly number[]): Dot[] {
  return at.map((index) => entry.versions[index]!.dot);
}

describe('view', () => {
  test('of nothing is nothing', () => {
    expect(view(undefined)).toEqual({ winner: undefined, others: [], buried: [] });
  });

  test('the newest wins, the others are beside it, newest first', () => {
    const three: Value = { kind: 'directory', mode: 0o755 };
    const entry = entryOf([5, ONE], [9, TWO], [7, three]);
    expect(view(entry)).toEqual({ winner: group(entry, 1), others: [group(entry, 2), group(entry, 0)], buried: [] });
    expect(view(entry).winner?.version).toBe(entry.versions[1]);
  });

  test('of equal stamps the greater replica wins', () => {
    const entry = entryOf([5, ONE], [5, TWO]);
    expect(view(entry)).toEqual({ winner: group(entry, 1), others: [group(entry, 0)], buried: [] });
  });

  test('an edit hides a newer tombstone that had not seen it, and whoever sees the edit has seen both', () => {
    const entry = entryOf([5, ONE], [9, DELETED]);
    expect(view(entry)).toEqual({ winner: { version: entry.versions[0], dots: dots(entry, 0, 1) }, others: [], buried: dots(entry, 1) });
  });

  test('a tombstone goes with the winner, not with a conflict copy', () => {
    const entry = entryOf([5, ONE], [7, DELETED], [6, TWO]);
    expect(view(entry)).toEqual({ winner: group(entry, 2, 1), others: [group(entry, 0)], buried: dots(entry, 1) });
  });

  test('tombstones alone show nothing, and are seen', () => {
    const entry = entryOf([5, DELETED], [9, DELETED]);
    expect(view(entry)).toEqual({ winner: undefined, others: [], buried: dots(entry, 0, 1) });
  });

  test('equal values are one, and the newest stands for them', () => {
    const file = (mtimeMs: number): Value => ({ kind: 'file', content: EMPTY_CONTENT, bytes: 0, mode: 0o644, mtimeMs });
    const entry = entryOf([5, file(1)], [9, file(2)], [7, file(3)]);
    expect(view(entry)).toEqual({ winner: group(entry, 1, 2, 0), others: [], buried: [] });
    const mixed = entryOf([5, ONE], [9, TWO], [6, ONE]);
    expect(view(mixed)).toEqual({ winner: group(mixed, 1), others: [group(mixed, 2, 0)], buried: [] });
  });

  test('shows each live value once, and each version in one group', () => {
    let groups = 0;
    fc.assert(
      fc.property(steps(fewValues), (plan) => {
        for (const entry of new History(plan).states) {
          const { winner, others, buried } = view(entry);
          const shown = winner === undefined ? [] : [winner, ...others];
          const live = entry.versions.filter(({ value }) => value.kind !== 'deleted');
          for (const version of live) {
            const [own, ...more] = shown.filter(({ version: { value } }) => sameValue(value, version.value));
            expect(more).toEqual([]);
            expect(own!.dots).toContainEqual(version.dot);
          }
          expect(shown.every(({ version }) => live.includes(version))).toBe(true);
          // Every dot is in one place; tombstones are in the winner's group too, so that an edit of it replaces them.
          const all = [...shown.flatMap((one) => one.dots), ...(winner === undefined ? buried : [])];
          expect(all.map(nameOf).sort()).toEqual(entry.versions.map(({ dot }) => nameOf(dot)).sort());
          expect(buried).toEqual(entry.versions.filter(({ value }) => value.kind === 'deleted').map(({ dot }) => dot));
          if (others.length > 0) groups++;
        }
      }),
      { numRuns: 200 },
    );
    expect(groups).toBeGreaterThan(100);
  });
});

test('values are the same in what they show, whatever their time', () => {
  const content = singleChunk(hash('chunk', utf8('x')));
  const file: Value = { kind: 'file', content, bytes: 1, mode: 0o644, mtimeMs: 1 };
  const all: Value[] = [
    file,
    { ...file, mode: 0o755 },
    { ...file, content: EMPTY_CONTENT },
    { kind: 'symlink', target: utf8('a') },
    { kind: 'symlink', target: utf8('b') },
    { kind: 'directory', mode: 0o755 },
    { kind: 'directory', mode: 0o700 },
    ONE,
    TWO,
    { kind: 'blob', content, bytes: 1 },
    { kind: 'blob', content: EMPTY_CONTENT, bytes: 1 },
    DELETED,
  ];
  for (const [i, a] of all.entries()) for (const [j, b] of all.entries()) expect(sameValue(a, structuredClone(b))).toBe(i === j);
  expect(sameValue(file, { ...file, mtimeMs: 2 })).toBe(true);
});

describe('conflict name', () => {
  const versionAt = (wallMs: number, replica: string = '0123456789abcdef'): Version => ({
    dot: { replica, sequence: 1 },
    stamp: { wallMs, counter: 0 },
    value: ONE,
  });

  test('stands between name and extension', () => {
    const version = versionAt(Date.UTC(2026, 10, 23, 4, 34, 55, 999));
    expect(conflictName('a/name.ext', version)).toBe('a/name.conflict-20261123T043455Z-01234567-1.ext');
    expect(conflictName('name.tar.gz', version)).toBe('name.tar.conflict-20261123T043455Z-01234567-1.gz');
    expect(conflictName('a.b/name', version)).toBe('a.b/name.conflict-20261123T043455Z-01234567-1');
    expect(conflictName('a/.profile', version)).toBe('a/.profile.conflict-20261123T043455Z-01234567-1');
  });

  test('has the date of the stamp', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: Date.UTC(9999, 11, 31) }), (wallMs) => {
        const expected = new Date(wallMs).toISOString().replace(/[-:]|\.\d+/g, '');
        expect(conflictName('a', versionAt(wallMs))).toBe(`a.conflict-${expected}-01234567-1`);
      }),
      { numRuns: 1000 },
    );
    expect(conflictName('a', versionAt(2 ** 48 - 1))).toBe(
      'a.conflict-108890802T053128Z-01234567-1'.replace(
        '108890802T053128Z',
        new Date(2 ** 48 - 1).toISOString().replace(/^\+0?|[-:]|\.\d+/g, ''),
      ),
    );
  });

  test('keeps within a name, and tells long names apart', () => {
    const bytesOf = (path: string): number => utf8(path.slice(path.lastIndexOf('/') + 1)).length;
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 255 }), fc.string({ unit: 'grapheme', maxLength: 80 }), (stem, extension) => {
        const name = `${stem}.${extension}`.replaceAll('/', '_');
        const made = conflictName(`folder/${name}`, versionAt(0));
        expect(bytesOf(made)).toBeLessThanOrEqual(255);
        expect(made).toContain('.conflict-19700101T000000Z-01234567-1');
        expect(Buffer.from(made).toString()).toBe(made);
        if (utf8(name).length < 200) expect(made.replace('.conflict-19700101T000000Z-01234567-1', '')).toBe(`folder/${name}`);
      }),
    );
    for (const long of ['shard-'.repeat(42), 'é'.repeat(127), '𝔛'.repeat(63), `.${'x'.repeat(254)}`, `a.${'x'.repeat(253)}`]) {
      const made = conflictName(`folder/${long}`, versionAt(0));
      expect(bytesOf(made)).toBeLessThanOrEqual(255);
      expect(bytesOf(made)).toBeGreaterThan(250);
      expect(Buffer.from(made).toString()).toBe(made);
    }
    const long = 'shard-'.repeat(40);
    expect(conflictName(`${long}1.bin`, versionAt(0))).not.toBe(conflictName(`${long}2.bin`, versionAt(0)));
  });
});
