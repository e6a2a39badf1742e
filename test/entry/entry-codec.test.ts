import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ByteWriter, concatBytes, fromHex, toHex, utf8 } from '../../src/base/bytes.ts';
import {
  CONTEXT_REPLICAS_MAX,
  ENTRY_BYTES_MAX,
  LINK_TARGET_BYTES_MAX,
  RECORD_INLINE_BYTES_MAX,
  VERSIONS_MAX,
} from '../../src/base/limits.ts';
import { singleChunk } from '../../src/content/content-list.ts';
import { hash } from '../../src/content/hash.ts';
import { birth, covers, equalEntries, merge, retire, write, type Entry, type Value } from '../../src/entry/entry.ts';
import { decodeEntry, encodeEntry, weighEntry } from '../../src/entry/entry-codec.ts';
import { view } from '../../src/entry/view.ts';
import { mutated, mutations } from '../base/mutated.ts';
import { codeOf } from '../content/code-of.ts';
import { expectVectors } from '../vectors/vector-file.ts';
import { anyEntry, plainEntry } from './history.ts';

const A = '00000000000000aa';
const B = '00000000000000bb';
const content = singleChunk(hash('chunk', utf8('four kilobytes')));
const file: Value = { kind: 'file', content, bytes: 4096, mode: 0o644, mtimeMs: 1_795_408_495_123 };

function entryOf(value: Value, replica: string = A, sequence: number = 1): Entry {
  return write(undefined, [], { replica, sequence }, { wallMs: 1_795_408_495_123, counter: 0 }, value);
}

describe('entry codec', () => {
  test('gives back what it was given', () => {
    fc.assert(
      fc.property(anyEntry, (entry) => {
        const bytes = encodeEntry(entry);
        const decoded = decodeEntry(bytes);
        expect(plainEntry(decoded)).toEqual(plainEntry(entry));
        expect(equalEntries(decoded, entry)).toBe(true);
        expect(toHex(encodeEntry(decoded))).toBe(toHex(bytes));
      }),
      { numRuns: 500 },
    );
  });

  test('the order in which a context was learnt does not show', () => {
    fc.assert(
      fc.property(anyEntry, (entry) => {
        const reversed = { ...entry, context: new Map([...entry.context].reverse()) };
        expect(toHex(encodeEntry(reversed))).toBe(toHex(encodeEntry(entry)));
      }),
    );
  });

  test('any bytes are refused, or are the encoding of what they decode to', () => {
    let accepted = 0;
    let refused = 0;
    fc.assert(
      fc.property(anyEntry, mutations, (entry, changes) => {
        const bytes = mutated(encodeEntry(entry), changes);
        let decoded: Entry;
        try {
          decoded = decodeEntry(bytes);
        } catch (error) {
          expect(error).toMatchObject({ code: 'BAD_ENCODING' });
          refused++;
          return;
        }
        accepted++;
        expect(toHex(encodeEntry(decoded))).toBe(toHex(bytes));
        expect(decoded.versions.every(({ dot }) => covers(decoded.context, dot))).toBe(true);
      }),
      { numRuns: 2000 },
    );
    expect(accepted).toBeGreaterThan(100);
    expect(refused).toBeGreaterThan(100);
  });

  test('a retired version stays covered', () => {
    const loser = entryOf({ kind: 'deleted' });
    const both = write(loser, [], { replica: B, sequence: 1 }, { wallMs: 2, counter: 0 }, file);
    const decoded = decodeEntry(encodeEntry(retire(both, [{ replica: A, sequence: 1 }])));
    expect(decoded.versions.map(({ dot }) => dot)).toEqual([{ replica: B, sequence: 1 }]);
    expect(decoded.context).toEqual(both.context);
    expect(merge(decoded, loser)).toBe(decoded);
  });

  test('an entry as most are takes 60 bytes', () => {
    expect(encodeEntry(entryOf(file)).length).toBe(60);
    expect(encodeEntry(entryOf({ kind: 'deleted' })).length).toBe(17);
  });

  test('the largest entry that its limits allow is within the limit of bytes', () => {
    const context = new Map(
      Array.from({ length: CONTEXT_REPLICAS_MAX }, (_, n) => [n.toString(16).padStart(16, 'f'), Number.MAX_SAFE_INTEGER]),
    );
    const versions = [...context.keys()]
      .sort()
      .slice(0, VERSIONS_MAX)
      .map((replica) => ({
        dot: { replica, sequence: Number.MAX_SAFE_INTEGER },
        stamp: { wallMs: 2 ** 48 - 1, counter: 0xffff },
        value: { kind: 'record' as const, data: new Uint8Array(RECORD_INLINE_BYTES_MAX) },
      }));
    const bytes = encodeEntry({ versions, context });
    expect(bytes.length).toBeLessThan(ENTRY_BYTES_MAX);
    expect(decodeEntry(bytes).versions.length).toBe(VERSIONS_MAX);
  });
});

describe('entry codec refuses', () => {
  const refused = (bytes: Uint8Array): string | undefined => codeOf(() => decodeEntry(bytes));
  const stamp = (writer: ByteWriter): ByteWriter => writer.u48(1).varint(0);
  /** The short form with a value of this kind, in bytes. */
  const simple = (kind: number, value: Uint8Array, sequence: number = 1): Uint8Array =>
    stamp(new ByteWriter().u8(kind).raw(fromHex(A)).varint(sequence))
      .raw(value)
      .finish();
  /** The general form with tombstones. */
  const general = (context: readonly (readonly [string, number])[], dots: readonly (readonly [number, number])[]): Uint8Array => {
    const writer = new ByteWriter().u8(0x10).varint(context.length);
    for (const [replica, sequence] of context) writer.raw(fromHex(replica)).varint(sequence);
    writer.varint(dots.length);
    for (const [index, sequence] of dots) stamp(writer.varint(index).varint(sequence).u8(0));
    return writer.finish();
  };
  const both = [
    [A, 1],
    [B, 2],
  ] as const;

  test('the longer form where the short one does', () => {
    expect(refused(general([[A, 1]], [[0, 1]]))).toBe('BAD_ENCODING');
    expect(refused(general([[A, 2]], [[0, 1]]))).toBeUndefined();
  });

  test('what is out of order, twice, or not covered', () => {
    expect(refused(general(both, [[0, 1], [1, 2]]))).toBeUndefined(); // prettier-ignore
    expect(refused(general([both[1], both[0]], [[0, 1]]))).toBe('BAD_ENCODING');
    expect(refused(general([both[0], both[0], both[1]], [[0, 1]]))).toBe('BAD_ENCODING');
    expect(refused(general(both, [[1, 2], [0, 1]]))).toBe('BAD_ENCODING'); // prettier-ignore
    expect(refused(general(both, [[1, 2], [1, 1]]))).toBe('BAD_ENCODING'); // prettier-ignore
    expect(refused(general(both, [[0, 1], [0, 1]]))).toBe('BAD_ENCODING'); // prettier-ignore
    expect(refused(general(both, [[0, 2]]))).toBe('BAD_ENCODING');
    expect(refused(general(both, [[2, 1]]))).toBe('BAD_ENCODING');
  });

  test('what is empty or counts from nothing', () => {
    expect(refused(new Uint8Array(0))).toBe('BAD_ENCODING');
    expect(refused(general([], []))).toBe('BAD_ENCODING');
    expect(refused(general(both, []))).toBe('BAD_ENCODING');
    expect(refused(general([[A, 0], [B, 2]], [[1, 2]]))).toBe('BAD_ENCODING'); // prettier-ignore
    expect(refused(general(both, [[0, 0]]))).toBe('BAD_ENCODING');
    expect(refused(simple(0, new Uint8Array(0), 0))).toBe('BAD_ENCODING');
    expect(refused(concatBytes(simple(0, new Uint8Array(0)), utf8('x')))).toBe('BAD_ENCODING');
  });

  test('what is over a limit', () => {
    const sized = (bytes: Uint8Array): Uint8Array => new ByteWriter().sized(bytes).finish();
    expect(refused(simple(4, sized(new Uint8Array(RECORD_INLINE_BYTES_MAX))))).toBeUndefined();
    expect(refused(simple(4, sized(new Uint8Array(RECORD_INLINE_BYTES_MAX + 1))))).toBe('BAD_ENCODING');
    expect(refused(simple(2, sized(new Uint8Array(LINK_TARGET_BYTES_MAX).fill(65))))).toBeUndefined();
    expect(refused(simple(2, sized(new Uint8Array(LINK_TARGET_BYTES_MAX + 1).fill(65))))).toBe('BAD_ENCODING');
    expect(refused(simple(2, sized(new Uint8Array(0))))).toBe('BAD_ENCODING');
    expect(refused(simple(2, sized(utf8('a\0b'))))).toBe('BAD_ENCODING');
    expect(refused(simple(3, Uint8Array.of(0x0f, 0xff)))).toBeUndefined();
    expect(refused(simple(3, Uint8Array.of(0x10, 0x00)))).toBe('BAD_ENCODING');
    expect(refused(simple(6, new Uint8Array(0)))).toBe('BAD_ENCODING');
    const blob = (level: number, bytes: number): Uint8Array =>
      simple(5, new ByteWriter().u8(level).raw(content.subarray(1)).varint(bytes).finish());
    expect(refused(blob(8, 2 ** 48 - 1))).toBeUndefined();
    expect(refused(blob(9, 1))).toBe('BAD_ENCODING');
    expect(refused(blob(8, 2 ** 48))).toBe('BAD_ENCODING');
    const time = (folded: number): Uint8Array => simple(1, new ByteWriter().raw(content).varint(1).u16(0).varint(folded).finish());
    expect(refused(time(2 ** 53 - 2))).toBeUndefined();
    expect(refused(time(2 ** 53 - 1))).toBe('BAD_ENCODING');
    const name = (n: number): string => n.toString(16).padStart(16, '0');
    const many = (count: number): (readonly [string, number])[] => Array.from({ length: count }, (_, n) => [name(n), 300]);
    expect(refused(general(many(CONTEXT_REPLICAS_MAX), [[0, 1]]))).toBeUndefined();
    expect(refused(general(many(CONTEXT_REPLICAS_MAX + 1), [[0, 1]]))).toBe('BAD_ENCODING');
    const crowd = (count: number): (readonly [number, number])[] => Array.from({ length: count }, (_, n) => [0, n + 1]);
    expect(refused(general(many(2), crowd(VERSIONS_MAX)))).toBeUndefined();
    expect(refused(general(many(2), crowd(VERSIONS_MAX + 1)))).toBe('BAD_ENCODING');
  });
});

describe('weight', () => {
  const key = utf8('f/a');

  test('is that of what the entry shows', () => {
    fc.assert(
      fc.property(anyEntry, (entry) => {
        const value = view(entry).winner?.version.value;
        const bytes = value === undefined ? 0 : value.kind === 'record' ? value.data.length : 'bytes' in value ? value.bytes : 0;
        expect(weighEntry(key, encodeEntry(entry))).toEqual({ live: value === undefined ? 0 : 1, bytes });
      }),
      { numRuns: 500 },
    );
  });

  test('entries of members weigh nothing', () => {
    const bytes = encodeEntry(entryOf({ kind: 'record', data: utf8('member') }));
    expect(weighEntry(utf8('m/0123'), bytes)).toEqual({ live: 0, bytes: 0 });
    expect(weighEntry(utf8('r/m/0123'), bytes)).toEqual({ live: 1, bytes: 6 });
    expect(weighEntry(utf8('m'), bytes)).toEqual({ live: 1, bytes: 6 });
  });

  test('damaged bytes are refused', () => {
    expect(codeOf(() => weighEntry(key, encodeEntry(entryOf(file)).subarray(0, 40)))).toBe('BAD_ENCODING');
    expect(codeOf(() => weighEntry(key, new Uint8Array(0)))).toBe('BAD_ENCODING');
  });
});

test('entry vectors hold', () => {
  const edited = write(
    entryOf(file),
    [{ replica: A, sequence: 1 }],
    { replica: B, sequence: 300 },
    { wallMs: 1_795_408_500_000, counter: 3 },
    file,
  );
  const conflict = write(edited, [], { replica: 'ffeeddccbbaa9988', sequence: 2 }, { wallMs: 0, counter: 65_535 }, { kind: 'deleted' });
  const found = (path: string, value: Parameters<typeof birth>[1]) => ({ key: path, ...plainEntry(birth(utf8(path), value)) });
  const entries: Entry[] = [
    entryOf(file),
    entryOf(
      { kind: 'file', content, bytes: 2 ** 48 - 1, mode: 0o7777, mtimeMs: -(2 ** 52) + 1 },
      'ffffffffffffffff',
      Number.MAX_SAFE_INTEGER,
    ),
    entryOf({ kind: 'file', content: Uint8Array.from([2, ...content.subarray(1)]), bytes: 9_000_000, mode: 0o600, mtimeMs: -1 }),
    entryOf({ kind: 'symlink', target: utf8('../über') }),
    entryOf({ kind: 'directory', mode: 0o2755 }),
    entryOf({ kind: 'record', data: utf8('{"label":7}') }),
    entryOf({ kind: 'record', data: new Uint8Array(0) }),
    entryOf({ kind: 'blob', content, bytes: 123_456 }),
    entryOf({ kind: 'deleted' }),
    edited,
    conflict,
  ];
  expectVectors('entry', {
    entries: entries.map((entry) => ({ entry: plainEntry(entry), encoded: toHex(encodeEntry(entry)) })),
    births: [
      found('f/data/a.txt', { kind: 'file', content, bytes: 4096, mode: 0o644, mtimeMs: 1_795_408_495_123 }),
      found('f/data/old.txt', { kind: 'file', content, bytes: 4096, mode: 0o644, mtimeMs: -1 }),
      found('f/data/link', { kind: 'symlink', target: utf8('a.txt') }),
      found('f/data/empty', { kind: 'directory', mode: 0o755 }),
    ],
  });
});
