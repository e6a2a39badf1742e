import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  asBuffer,
  byteKey,
  ByteReader,
  ByteWriter,
  compareBytes,
  concatBytes,
  EMPTY_BYTES,
  equalBytes,
  fromByteKey,
  fromHex,
  fromUtf8,
  sharedPrefixLength,
  toHex,
  utf8,
} from '../../src/base/bytes.ts';
import { codeOf } from '../content/code-of.ts';

const anyBytes = fc.uint8Array({ maxLength: 300, size: 'max' });
/** Short strings of few values: equal ones and prefixes of each other are common. */
const nearBytes = fc.array(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), { maxLength: 4 }).map((bytes) => Uint8Array.from(bytes));

type Method = 'u8' | 'u16' | 'u32' | 'u48' | 'varint';
type Field = readonly [Method, number] | readonly ['raw' | 'sized', Uint8Array];

const FIXED_BYTES = { u8: 1, u16: 2, u32: 4, u48: 6 } as const;
const fixed = (Object.keys(FIXED_BYTES) as (keyof typeof FIXED_BYTES)[]).map((method) =>
  fc.tuple(
    fc.constant(method),
    fc.maxSafeNat().map((number) => number % 256 ** FIXED_BYTES[method]),
  ),
);
const anyField: fc.Arbitrary<Field> = fc.oneof(
  ...fixed,
  fc.tuple(fc.constant('varint' as const), fc.oneof(fc.nat(300), fc.maxSafeNat())),
  fc.tuple(fc.constantFrom('raw' as const, 'sized' as const), anyBytes),
);

function put(writer: ByteWriter, field: Field): ByteWriter {
  return typeof field[1] === 'number' ? writer[field[0] as Method](field[1]) : writer[field[0] as 'raw' | 'sized'](field[1]);
}

function take(reader: ByteReader, [method, value]: Field): number | Uint8Array {
  if (method === 'raw') return reader.raw((value as Uint8Array).length);
  return method === 'sized' ? reader.sized((value as Uint8Array).length) : reader[method]();
}

/** What a number is in its shortest LEB128, computed from its binary digits. */
function leb128(value: number): string {
  const groups: number[] = [];
  for (let rest = BigInt(value); groups.length === 0 || rest > 0n; rest >>= 7n) groups.push(Number(rest & 0x7fn));
  return toHex(Uint8Array.from(groups, (bits, at) => (at < groups.length - 1 ? bits | 0x80 : bits)));
}

function bigEndian(value: number, bytes: number): string {
  return value.toString(16).padStart(2 * bytes, '0');
}

function refusal(hex: string, read: (reader: ByteReader) => unknown): string | undefined {
  return codeOf(() => read(new ByteReader(fromHex(hex))));
}

describe('writer', () => {
  test.each(Object.entries(FIXED_BYTES))('%s is big endian in %i bytes, wherever the buffer ends', (name, bytes) => {
    const method = name as keyof typeof FIXED_BYTES;
    const numbers = [0, 1, 0x7f, 0x80, 256 ** bytes - 1, Math.floor(0.7 * 256 ** bytes)];
    for (const number of numbers) {
      // Any capacity, and any number of bytes before: the field lies before, across and after the end of the buffer.
      for (let capacity = 0; capacity <= 10; capacity++) {
        for (let before = 0; before <= 10; before++) {
          const writer = new ByteWriter(capacity).raw(new Uint8Array(before).fill(0xaa))[method](number).u8(0x55);
          expect(writer.length).toBe(before + bytes + 1);
          expect(toHex(writer.finish())).toBe(`${'aa'.repeat(before)}${bigEndian(number, bytes)}55`);
        }
      }
    }
  });

  test('fields of any kind in a buffer of any capacity are what they are one by one', () => {
    fc.assert(
      fc.property(fc.array(anyField, { maxLength: 30 }), fc.nat(40), (fields, capacity) => {
        const writer = new ByteWriter(capacity);
        for (const field of fields) expect(put(writer, field)).toBe(writer);
        const parts = fields.map((field) => toHex(put(new ByteWriter(1000), field).finish()));
        expect(toHex(writer.finish())).toBe(parts.join(''));
      }),
    );
  });

  test('takes its fields by value', () => {
    const bytes = Uint8Array.of(1, 2);
    const writer = new ByteWriter(0).raw(bytes);
    bytes.fill(9);
    expect(toHex(writer.finish())).toBe('0102');
  });

  test('a number too large for its field is no number of it', () => {
    expect(() => new ByteWriter().u16(0x10000)).toThrow(RangeError);
    expect(() => new ByteWriter().u32(2 ** 32)).toThrow(RangeError);
    expect(() => new ByteWriter().u48(2 ** 48)).toThrow(RangeError);
    expect(() => new ByteWriter().u48(-1)).toThrow(RangeError);
  });
});

describe('varint', () => {
  const borders = Array.from({ length: 54 }, (_, bit) => [2 ** bit - 1, 2 ** bit, 2 ** bit + 1])
    .flat()
    .filter((value) => Number.isSafeInteger(value));

  test('is the shortest LEB128, in a buffer of any capacity', () => {
    for (const value of borders) {
      for (let capacity = 0; capacity <= 9; capacity++) expect(toHex(new ByteWriter(capacity).varint(value).finish())).toBe(leb128(value));
      expect(new ByteReader(fromHex(leb128(value))).varint()).toBe(value);
    }
  });

  test('any bytes are refused, or are the one encoding of what they are read as', () => {
    const outcomes = { read: 0, refused: 0 };
    const byte = fc.constantFrom(0x00, 0x01, 0x0f, 0x10, 0x7f, 0x80, 0x81, 0xff);
    fc.assert(
      fc.property(fc.array(byte, { minLength: 1, maxLength: 12, size: 'max' }), (bytes) => {
        const reader = new ByteReader(Uint8Array.from(bytes));
        let value = -1;
        const code = codeOf(() => (value = reader.varint()));
        outcomes[code === undefined ? 'read' : 'refused']++;
        if (code === undefined) expect(toHex(Uint8Array.from(bytes.slice(0, reader.position)))).toBe(leb128(value));
        else expect(code).toBe('BAD_ENCODING');
      }),
      { numRuns: 3000 },
    );
    expect(outcomes.read).toBeGreaterThan(100);
    expect(outcomes.refused).toBeGreaterThan(100);
  });

  test('is refused where it is padded, unfinished, or over 2^53 - 1', () => {
    for (const hex of [
      '8000',
      '808000',
      'ff00',
      '81808000',
      '',
      '80',
      'ffff',
      'ffffffffffffff10',
      'ffffffffffffffff01',
      '808080808080808001',
    ]) {
      expect(refusal(hex, (reader) => reader.varint())).toBe('BAD_ENCODING');
    }
    expect(refusal('ffffffffffffff0f', (reader) => reader.varint())).toBeUndefined();
  });

  test('is refused however long its padding is', () => {
    // 2^(7 x 147) is no finite number any more: zero times it would be none at all, and within every limit.
    for (const zeros of [8, 9, 100, 146, 147, 148, 149, 300, 5000]) {
      for (const last of ['', '00', '01', '7f']) {
        expect(refusal('80'.repeat(zeros) + last, (reader) => reader.varint())).toBe('BAD_ENCODING');
        expect(refusal('80'.repeat(zeros) + last, (reader) => reader.varint(5))).toBe('BAD_ENCODING');
        expect(refusal('80'.repeat(zeros) + last, (reader) => reader.sized(5))).toBe('BAD_ENCODING');
      }
    }
  });

  test('is held to the limit of its reader, to the number', () => {
    for (const max of [0, 1, 127, 128, 300, 2 ** 31, 2 ** 32, 2 ** 48 - 1, Number.MAX_SAFE_INTEGER - 1]) {
      expect(new ByteReader(fromHex(leb128(max))).varint(max)).toBe(max);
      expect(refusal(leb128(max + 1), (reader) => reader.varint(max))).toBe('BAD_ENCODING');
    }
  });
});

describe('reader', () => {
  test('gives back what the writer was given, and nothing is left', () => {
    fc.assert(
      fc.property(fc.array(anyField, { maxLength: 20 }), fc.nat(20), (fields, offset) => {
        const writer = new ByteWriter(8);
        for (const field of fields) put(writer, field);
        // A view into a larger buffer: what lies around it does not show.
        const around = new Uint8Array(writer.length + offset + 7).fill(0xee);
        around.set(writer.finish(), offset);
        const reader = new ByteReader(around.subarray(offset, offset + writer.length));
        for (const field of fields) {
          const value = take(reader, field);
          if (typeof value === 'number') expect(value).toBe(field[1]);
          else expect(toHex(value)).toBe(toHex(field[1] as Uint8Array));
          expect(reader.position + reader.remaining).toBe(writer.length);
        }
        reader.end();
      }),
    );
  });

  test('refuses fields that end too early, and stays where it is', () => {
    const reads: readonly (readonly [bytes: number, read: (reader: ByteReader) => unknown])[] = [
      [1, (reader) => reader.u8()],
      [2, (reader) => reader.u16()],
      [4, (reader) => reader.u32()],
      [6, (reader) => reader.u48()],
      [5, (reader) => reader.raw(5)],
    ];
    for (const [bytes, read] of reads) {
      for (let present = 0; present <= bytes; present++) {
        // The memory goes on after the view: it is not for the reader.
        const reader = new ByteReader(new Uint8Array(20).fill(1).subarray(3, 3 + present));
        expect(codeOf(() => read(reader))).toBe(present < bytes ? 'BAD_ENCODING' : undefined);
        expect(reader.position).toBe(present < bytes ? 0 : bytes);
      }
    }
  });

  test('refuses a length over its limit, or over what there is', () => {
    expect(toHex(new ByteReader(fromHex('03aabbcc')).sized(3))).toBe('aabbcc');
    expect(refusal('03aabbcc', (reader) => reader.sized(2))).toBe('BAD_ENCODING');
    expect(refusal('03aabb', (reader) => reader.sized(10))).toBe('BAD_ENCODING');
    expect(refusal('8300aabbcc', (reader) => reader.sized(10))).toBe('BAD_ENCODING');
    expect(refusal(`${leb128(Number.MAX_SAFE_INTEGER)}aa`, (reader) => reader.sized(Number.MAX_SAFE_INTEGER))).toBe('BAD_ENCODING');
    expect(toHex(new ByteReader(fromHex('00')).sized(0))).toBe('');
  });

  test('refuses bytes that are left over', () => {
    expect(refusal('', (reader) => reader.end())).toBeUndefined();
    expect(refusal('00', (reader) => reader.end())).toBe('BAD_ENCODING');
  });

  test('gives views, not copies', () => {
    const bytes = Uint8Array.of(2, 7, 8);
    const view = new ByteReader(bytes).sized(2);
    bytes[1] = 9;
    expect(toHex(view)).toBe('0908');
  });
});

describe('byte strings', () => {
  /** The order of byte strings by their definition. */
  const order = (a: Uint8Array, b: Uint8Array): number => {
    for (let at = 0; at < Math.min(a.length, b.length); at++) if (a[at] !== b[at]) return a[at]! - b[at]!;
    return a.length - b.length;
  };

  test('are ordered by their first difference, a beginning before the whole', () => {
    let equal = 0;
    fc.assert(
      fc.property(nearBytes, nearBytes, (a, b) => {
        expect(Math.sign(compareBytes(a, b))).toBe(Math.sign(order(a, b)));
        expect(equalBytes(a, b)).toBe(order(a, b) === 0);
        const [keyA, keyB] = [byteKey(a), byteKey(b)];
        expect(keyA === keyB).toBe(order(a, b) === 0);
        expect(keyA < keyB).toBe(order(a, b) < 0);
        if (order(a, b) === 0) equal++;
      }),
      { numRuns: 2000 },
    );
    expect(equal).toBeGreaterThan(10);
  });

  test('come back from each of their text forms', () => {
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        expect(equalBytes(fromHex(toHex(bytes)), bytes)).toBe(true);
        expect(equalBytes(fromHex(toHex(bytes).toUpperCase()), bytes)).toBe(true);
        expect(equalBytes(fromByteKey(byteKey(bytes)), bytes)).toBe(true);
      }),
    );
    const all = Uint8Array.from({ length: 256 }, (_, value) => value);
    expect(equalBytes(fromByteKey(byteKey(all)), all)).toBe(true);
  });

  test('are read within their view alone', () => {
    const view = Uint8Array.of(1, 2, 3, 4).subarray(1, 3);
    expect(toHex(view)).toBe('0203');
    expect(byteKey(view)).toBe('\x02\x03');
    expect(asBuffer(view).length).toBe(2);
    view[0] = 9;
    expect(asBuffer(view)[0]).toBe(9);
    const buffer = Buffer.from('x');
    expect(asBuffer(buffer)).toBe(buffer);
  });

  test('that are not hexadecimal are refused by name', () => {
    for (const text of ['0', '0g', 'abc', ' 00', '0x00', '00\n', 'éé']) expect(() => fromHex(text)).toThrow(/^hex: /);
    expect(() => fromHex('zz')).toThrow(TypeError);
  });

  test('are joined in order', () => {
    expect(toHex(concatBytes(Uint8Array.of(1), EMPTY_BYTES, Uint8Array.of(2, 3)))).toBe('010203');
    expect(concatBytes().length).toBe(0);
  });

  test('share the bytes before their first difference', () => {
    fc.assert(
      fc.property(nearBytes, nearBytes, (a, b) => {
        const shared = sharedPrefixLength(a, b);
        expect(equalBytes(a.subarray(0, shared), b.subarray(0, shared))).toBe(true);
        expect(shared === a.length || shared === b.length || a[shared] !== b[shared]).toBe(true);
      }),
    );
  });
});

describe('UTF-8', () => {
  test('comes back as it was, a byte order mark and NUL included', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(fromUtf8(utf8(text))).toBe(text);
      }),
    );
    for (const text of ['', '\uFEFFmark', 'a\0b', '\u{10FFFF}', 'e\u0301']) expect(fromUtf8(utf8(text))).toBe(text);
  });

  test('any bytes are no text, or the one encoding of theirs', () => {
    let texts = 0;
    const byte = fc.constantFrom(0x41, 0x80, 0xa0, 0xbf, 0xc2, 0xe0, 0xed, 0xef, 0xf0, 0xf4);
    fc.assert(
      fc.property(fc.array(byte, { minLength: 1, maxLength: 4 }), (bytes) => {
        const text = fromUtf8(Uint8Array.from(bytes));
        if (text === undefined) return;
        texts++;
        expect([...utf8(text)]).toEqual(bytes);
      }),
      { numRuns: 2000 },
    );
    expect(texts).toBeGreaterThan(20);
  });

  test.each([
    ['a byte that begins nothing', '80'],
    ['a byte that is never used', 'ff'],
    ['a character cut off', 'e282'],
    ['an overlong slash', 'c0af'],
    ['an overlong NUL', 'e08080'],
    ['half of a surrogate pair', 'eda080'],
    ['a surrogate pair in six bytes', 'eda081edb080'],
    ['past the last character', 'f4908080'],
    ['text, then none', '61ff'],
  ])('%s is no text', (_what, hex) => {
    expect(fromUtf8(fromHex(hex))).toBeUndefined();
  });
});
