import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { utf8 } from '../../src/base/bytes.ts';
import { CONTEXT_REPLICAS_MAX, LINK_TARGET_BYTES_MAX, MTIME_MS_MAX, RECORD_INLINE_BYTES_MAX, VERSIONS_MAX } from '../../src/base/limits.ts';
import { EMPTY_CONTENT } from '../../src/content/content-list.ts';
import {
  birth,
  contains,
  EMPTY_CONTEXT,
  equalEntries,
  isBirth,
  merge,
  write,
  type Context,
  type Entry,
  type FoundValue,
  type ReplicaId,
  type Value,
} from '../../src/entry/entry.ts';
import { view } from '../../src/entry/view.ts';
import { codeOf } from '../content/code-of.ts';
import { anyValue, fewValues, History, plainEntry, steps } from './history.ts';

const A = '00000000000000aa';
const B = '00000000000000bb';

function record(text: string): Value {
  return { kind: 'record', data: utf8(text) };
}

function put(entry: Entry | undefined, seen: Context, replica: ReplicaId, sequence: number, text: string): Entry {
  return write(entry, seen, { replica, sequence }, { wallMs: sequence, counter: 0 }, record(text));
}

function texts(entry: Entry): string[] {
  return entry.versions.map(({ value }) => (value.kind === 'record' ? Buffer.from(value.data).toString() : value.kind));
}

/** Three states out of one history: any of them may know more than, less than or other things than the rest. */
const threeStates = fc
  .tuple(steps(fewValues, 40), fc.nat(), fc.nat(), fc.nat())
  .map(([plan, ...picks]) => {
    const { states } = new History(plan);
    return picks.map((pick) => states[pick % Math.max(states.length, 1)]!);
  })
  .filter((states) => states.every((state) => state !== undefined)) as fc.Arbitrary<[Entry, Entry, Entry]>;

describe('merge', () => {
  test('is commutative, associative and idempotent', () => {
    fc.assert(
      fc.property(threeStates, ([a, b, c]) => {
        expect(plainEntry(merge(a, b))).toEqual(plainEntry(merge(b, a)));
        expect(plainEntry(merge(merge(a, b), c))).toEqual(plainEntry(merge(a, merge(b, c))));
        expect(merge(a, a)).toBe(a);
        expect(plainEntry(merge(a, structuredClone(a)))).toEqual(plainEntry(a));
      }),
      { numRuns: 500 },
    );
  });

  test('only grows, and says so by identity', () => {
    fc.assert(
      fc.property(threeStates, ([a, b]) => {
        const both = merge(a, b);
        expect(contains(both, a) && contains(both, b)).toBe(true);
        expect(merge(both, a)).toBe(both);
        expect(merge(both, structuredClone(b))).toBe(both);
        expect(merge(a, b) === a).toBe(equalEntries(both, a));
        expect(contains(a, b)).toBe(JSON.stringify(plainEntry(both)) === JSON.stringify(plainEntry(a)));
      }),
      { numRuns: 500 },
    );
  });

  test('keeps every version that no write had seen, and no other', () => {
    let concurrent = 0;
    fc.assert(
      fc.property(steps(anyValue), (plan) => {
        const done = new History(plan, (history, replica) => {
          const entry = history.entries[replica];
          const live = history.liveInModel(replica);
          const inModel = live.map(({ dot, value }) => `${dot.replica}:${dot.sequence} ${value.kind}`).sort();
          expect((entry?.versions ?? []).map(({ dot, value }) => `${dot.replica}:${dot.sequence} ${value.kind}`)).toEqual(inModel);
          if (live.length > 1) concurrent++;
        });
        expect(done.states.every(({ versions }) => versions.length > 0)).toBe(true);
      }),
      { numRuns: 400 },
    );
    expect(concurrent).toBeGreaterThan(100);
  });

  test('makes all replicas and their views equal once all is exchanged', () => {
    fc.assert(
      fc.property(steps(fewValues), fc.nat(3), (plan, first) => {
        const history = new History(plan);
        history.exchangeAll(first);
        const [reference, ...others] = history.entries;
        if (reference === undefined) return;
        for (const entry of others) {
          expect(equalEntries(reference, entry!)).toBe(true);
          expect(plainEntry(entry!)).toEqual(plainEntry(reference));
          expect(view(entry)).toEqual(view(reference));
        }
      }),
      { numRuns: 300 },
    );
  });

  test('a dot used twice ends the same on both sides', () => {
    fc.assert(
      fc.property(anyValue, anyValue, (one, two) => {
        const of = (value: Value): Entry => write(undefined, EMPTY_CONTEXT, { replica: A, sequence: 1 }, { wallMs: 1, counter: 0 }, value);
        expect(plainEntry(merge(of(one), of(two)))).toEqual(plainEntry(merge(of(two), of(one))));
        expect(equalEntries(of(one), of(two))).toBe(JSON.stringify(plainEntry(of(one))) === JSON.stringify(plainEntry(of(two))));
      }),
      { numRuns: 300 },
    );
  });

  test('a longer context alone is something new', () => {
    const short = put(undefined, EMPTY_CONTEXT, A, 1, 'a');
    const long: Entry = { ...short, context: new Map([...short.context, [B, 4]]) };
    expect(equalEntries(short, long) || equalEntries(long, short)).toBe(false);
    expect(contains(short, long)).toBe(false);
    expect(contains(long, short)).toBe(true);
    expect(merge(short, long).context).toEqual(long.context);
  });

  test('forged contexts that would delete without a trace are refused', () => {
    const context = new Map([
      [A, 1],
      [B, 1],
    ]);
    const a: Entry = { ...put(undefined, EMPTY_CONTEXT, A, 1, 'a'), context };
    const b: Entry = { ...put(undefined, EMPTY_CONTEXT, B, 1, 'b'), context };
    expect(codeOf(() => merge(a, b))).toBe('BAD_MESSAGE');
  });

  test('an entry does not outgrow its limits', () => {
    const name = (n: number): ReplicaId => n.toString(16).padStart(16, '0');
    let crowd: Entry | undefined;
    for (let n = 1; n <= VERSIONS_MAX; n++) crowd = put(crowd, EMPTY_CONTEXT, name(n), 1, String(n));
    expect(crowd!.versions.length).toBe(VERSIONS_MAX);
    const one = put(undefined, EMPTY_CONTEXT, 'f'.repeat(16), 1, 'one');
    expect(codeOf(() => put(crowd, EMPTY_CONTEXT, name(9999), 1, 'x'))).toBe('LIMIT_EXCEEDED');
    expect(codeOf(() => merge(crowd, one))).toBe('LIMIT_EXCEEDED');
    const long = new Map(Array.from({ length: CONTEXT_REPLICAS_MAX }, (_, n) => [name(n + 1), 1]));
    expect(codeOf(() => put(undefined, long, name(1), 2, 'x'))).toBeUndefined();
    expect(codeOf(() => put(undefined, long, name(9999), 1, 'x'))).toBe('LIMIT_EXCEEDED');
  });
});

describe('write', () => {
  test('replaces what its author had seen, and leaves the rest beside it', () => {
    const first = put(undefined, EMPTY_CONTEXT, A, 1, 'one');
    const second = put(first, first.context, A, 2, 'two');
    expect(texts(second)).toEqual(['two']);
    const beside = put(second, first.context, B, 1, 'beside');
    expect(texts(beside)).toEqual(['two', 'beside']);
    expect(texts(put(beside, beside.context, B, 2, 'end'))).toEqual(['end']);
    expect(texts(merge(second, first))).toEqual(['two']);
  });

  test('a dot is used once', () => {
    const first = put(undefined, EMPTY_CONTEXT, A, 1, 'one');
    expect(() => put(first, EMPTY_CONTEXT, A, 1, 'again')).toThrow(/a dot names one write/);
    expect(() => put(undefined, new Map([[A, 5]]), A, 5, 'again')).toThrow(/a dot names one write/);
  });

  test('takes no value that cannot be encoded', () => {
    const attempt = (value: Value) => () => write(undefined, EMPTY_CONTEXT, { replica: A, sequence: 1 }, { wallMs: 1, counter: 0 }, value);
    const file: Value = { kind: 'file', content: EMPTY_CONTENT, bytes: 0, mode: 0o644, mtimeMs: 0 };
    expect(attempt(file)).not.toThrow();
    expect(attempt({ ...file, mtimeMs: 0.5 })).toThrow(/mtimeMs/);
    expect(attempt({ ...file, mtimeMs: MTIME_MS_MAX + 1 })).toThrow(/mtimeMs/);
    expect(attempt({ ...file, mode: 0o10000 })).toThrow(/mode/);
    expect(attempt({ ...file, bytes: -1 })).toThrow(/bytes/);
    expect(attempt({ ...file, content: EMPTY_CONTENT.subarray(1) })).toThrow(/content/);
    expect(attempt({ kind: 'record', data: new Uint8Array(RECORD_INLINE_BYTES_MAX + 1) })).toThrow(/data/);
    expect(attempt({ kind: 'symlink', target: new Uint8Array(0) })).toThrow(/target/);
    expect(attempt({ kind: 'symlink', target: utf8('a\0b') })).toThrow(/target/);
    expect(attempt({ kind: 'symlink', target: new Uint8Array(LINK_TARGET_BYTES_MAX + 1).fill(65) })).toThrow(/target/);
  });
});

describe('birth', () => {
  const key = utf8('f/data/a.txt');
  const file: FoundValue = { kind: 'file', content: EMPTY_CONTENT, bytes: 0, mode: 0o644, mtimeMs: 1_700_000_000_000 };
  const link: FoundValue = { kind: 'symlink', target: utf8('../b') };
  const folder: FoundValue = { kind: 'directory', mode: 0o755 };

  test('replicas that find the same make the same entry', () => {
    const copied = { ...file, content: Uint8Array.from(EMPTY_CONTENT) };
    expect(plainEntry(birth(key, copied))).toEqual(plainEntry(birth(Uint8Array.from(key), file)));
    expect(birth(key, file).versions[0]!.stamp).toEqual({ wallMs: file.mtimeMs, counter: 0 });
    expect(birth(key, link).versions[0]!.stamp).toEqual({ wallMs: 0, counter: 0 });
    const [version] = birth(key, file).versions;
    expect(birth(key, file).context).toEqual(new Map([[version!.dot.replica, 1]]));
    expect(version!.dot.replica).toMatch(/^[0-9a-f]{16}$/);
  });

  test('any difference in what is found makes another dot', () => {
    const changed = Uint8Array.from(EMPTY_CONTENT).fill(1, 0, 1);
    const all: readonly (readonly [Uint8Array, FoundValue])[] = [
      [key, file],
      [key, { ...file, mode: 0o755 }],
      [key, { ...file, mtimeMs: file.mtimeMs + 1 }],
      [key, { ...file, mtimeMs: -1 }],
      [key, { ...file, mtimeMs: 1 }],
      [key, { ...file, content: changed }],
      [key, link],
      [key, { kind: 'symlink', target: utf8('../c') }],
      [key, folder],
      [key, { kind: 'directory', mode: 0o700 }],
      [utf8('f/data/b.txt'), file],
    ];
    expect(new Set(all.map(([at, value]) => birth(at, value).versions[0]!.dot.replica)).size).toBe(all.length);
  });

  test('a time before 1970 or past the stamps is brought into their range', () => {
    expect(birth(key, { ...file, mtimeMs: -5 }).versions[0]!.stamp.wallMs).toBe(0);
    expect(birth(key, { ...file, mtimeMs: 2 ** 50 }).versions[0]!.stamp.wallMs).toBe(2 ** 48 - 1);
    expect(() => birth(key, { ...file, mtimeMs: 1.5 })).toThrow(RangeError);
  });

  test('a version can be told to be a birth', () => {
    for (const value of [file, link, folder, { ...file, mtimeMs: 2 ** 47 }, { ...file, mtimeMs: -7 }]) {
      const version = birth(key, value).versions[0]!;
      expect(isBirth(key, version)).toBe(true);
      expect(isBirth(utf8('f/other'), version)).toBe(false);
      expect(isBirth(key, { ...version, stamp: { ...version.stamp, wallMs: version.stamp.wallMs + 1 } })).toBe(false);
      expect(isBirth(key, { ...version, stamp: { ...version.stamp, counter: 1 } })).toBe(false);
      expect(isBirth(key, { ...version, dot: { ...version.dot, sequence: 2 } })).toBe(false);
      expect(isBirth(key, { ...version, dot: { ...version.dot, replica: A } })).toBe(false);
      expect(isBirth(key, { ...version, value: record('x') })).toBe(false);
    }
  });

  test('a host that lost its database neither resurrects nor conflicts', () => {
    const found = birth(key, file);
    const edited = put(found, found.context, A, 1, 'edited');
    const deleted = write(found, found.context, { replica: A, sequence: 1 }, { wallMs: 5, counter: 0 }, { kind: 'deleted' });
    expect(merge(edited, birth(key, file))).toBe(edited);
    expect(merge(birth(key, file), deleted)).toEqual(deleted);
    const other = birth(key, { ...file, mtimeMs: 7 });
    expect(merge(found, other).versions.length).toBe(2);
    expect(view(merge(found, other)).others).toEqual([]);
  });
});
