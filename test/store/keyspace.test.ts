import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { byteKey, compareBytes, equalBytes, toHex, utf8 } from '../../src/base/bytes.ts';
import * as keyspace from '../../src/store/keyspace.ts';

const hash = fc.uint8Array({ minLength: 32, maxLength: 32 });
const content = fc.uint8Array({ minLength: 33, maxLength: 33 });
const path = fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.string().map(utf8));
const number = fc.oneof(fc.maxSafeNat(), fc.constantFrom(0, 255, 256, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER));

/** One arbitrary row key of each kind: [kind, what it was made of, key]. */
const anyKey: fc.Arbitrary<readonly [keyof typeof keyspace.PREFIX, string, Uint8Array]> = fc.oneof(
  hash.map((hash) => ['page', toHex(hash), keyspace.pageKey(hash)] as const),
  hash.map((hash) => ['listPage', toHex(hash), keyspace.listPageKey(hash)] as const),
  fc.constant(['head', '', keyspace.headKey()] as const),
  hash.map((hash) => ['root', toHex(hash), keyspace.rootKey(hash)] as const),
  number.map((commit) => ['commit', String(commit), keyspace.commitKey(commit)] as const),
  fc.string({ unit: 'binary' }).map((name) => ['meta', name, keyspace.metaKey(name)] as const),
  path.map((path) => ['placed', toHex(path), keyspace.placedKey(path)] as const),
  fc
    .tuple(content, path)
    .map(([content, path]) => ['contentPath', `${toHex(content)} ${toHex(path)}`, keyspace.contentPathKey(content, path)] as const),
  hash.map((hash) => ['chunkPlace', toHex(hash.subarray(0, 16)), keyspace.chunkPlaceKey(hash)] as const),
  path.map((key) => ['pending', toHex(key), keyspace.pendingKey(key)] as const),
  number.map((sequence) => ['chunkBytes', String(sequence), keyspace.chunkBytesKey(sequence)] as const),
  hash.map((hash) => ['chunkSequence', toHex(hash), keyspace.chunkSequenceKey(hash)] as const),
);

function inRange(key: Uint8Array, range: { gte: Uint8Array; lt: Uint8Array }): boolean {
  return compareBytes(key, range.gte) >= 0 && compareBytes(key, range.lt) < 0;
}

describe('keyspace', () => {
  it('gives different rows different keys', () => {
    fc.assert(
      fc.property(anyKey, anyKey, ([kindA, bodyA, a], [kindB, bodyB, b]) => {
        expect(equalBytes(a, b)).toBe(kindA === kindB && bodyA === bodyB);
      }),
      { numRuns: 2000 },
    );
  });

  it('has every key in the range of its kind and of no other', () => {
    fc.assert(
      fc.property(anyKey, ([kind, , key]) => {
        for (const [other, prefix] of Object.entries(keyspace.PREFIX)) {
          expect(inRange(key, keyspace.prefixRange(prefix))).toBe(other === kind);
        }
      }),
    );
  });

  it('gives back what a key was made of', () => {
    fc.assert(
      fc.property(hash, content, path, number, fc.string(), (hash, content, path, number, name) => {
        for (const builder of [keyspace.pageKey, keyspace.listPageKey, keyspace.rootKey, keyspace.chunkSequenceKey]) {
          expect(toHex(keyspace.keyBody(builder(hash)))).toBe(toHex(hash));
        }
        expect(toHex(keyspace.keyBody(keyspace.chunkPlaceKey(hash)))).toBe(toHex(hash).slice(0, 32));
        expect(toHex(keyspace.keyBody(keyspace.placedKey(path)))).toBe(toHex(path));
        expect(toHex(keyspace.keyBody(keyspace.pendingKey(path)))).toBe(toHex(path));
        expect(toHex(keyspace.contentOfContentPathKey(keyspace.contentPathKey(content, path)))).toBe(toHex(content));
        expect(toHex(keyspace.pathOfContentPathKey(keyspace.contentPathKey(content, path)))).toBe(toHex(path));
        expect(keyspace.numberOfKey(keyspace.commitKey(number))).toBe(number);
        expect(keyspace.numberOfKey(keyspace.chunkBytesKey(number))).toBe(number);
        expect(keyspace.decodeNumber(keyspace.encodeNumber(number))).toBe(number);
        expect(keyspace.nameOfMetaKey(keyspace.metaKey(name))).toBe(name);
      }),
    );
  });

  it('orders numbered rows by their number and placed rows by their path', () => {
    fc.assert(
      fc.property(number, number, path, path, (a, b, pathA, pathB) => {
        expect(Math.sign(compareBytes(keyspace.chunkBytesKey(a), keyspace.chunkBytesKey(b)))).toBe(Math.sign(a - b));
        expect(Math.sign(compareBytes(keyspace.commitKey(a), keyspace.commitKey(b)))).toBe(Math.sign(a - b));
        expect(Math.sign(compareBytes(keyspace.placedKey(pathA), keyspace.placedKey(pathB)))).toBe(Math.sign(compareBytes(pathA, pathB)));
      }),
    );
  });

  it('puts the paths of one content into its range, and of no other', () => {
    fc.assert(
      fc.property(content, content, path, (a, b, path) => {
        expect(inRange(keyspace.contentPathKey(a, path), keyspace.contentPathRange(a))).toBe(true);
        expect(inRange(keyspace.contentPathKey(b, path), keyspace.contentPathRange(a))).toBe(equalBytes(a, b));
      }),
    );
  });

  it('keeps the bytes of released databases', () => {
    const hash = Uint8Array.from({ length: 32 }, (_, index) => 0x80 + index);
    const content = Uint8Array.of(1, ...hash);
    const keys = [
      keyspace.pageKey(hash),
      keyspace.listPageKey(hash),
      keyspace.headKey(),
      keyspace.rootKey(hash),
      keyspace.commitKey(0x0102030405),
      keyspace.metaKey('share'),
      keyspace.cursorKey('n1'),
      keyspace.pinKey('n1'),
      keyspace.invitationKey('i1'),
      keyspace.placedKey(utf8('a/b')),
      keyspace.contentPathKey(content, utf8('a/b')),
      keyspace.chunkPlaceKey(hash),
      keyspace.pendingKey(utf8('f/a')),
      keyspace.chunkBytesKey(7),
      keyspace.chunkSequenceKey(hash),
    ];
    const body = byteKey(hash);
    expect(keys.map(byteKey)).toEqual([
      `p/${body}`,
      `l/${body}`,
      'h',
      `y/${body}`,
      'Y/\0\0\0\x01\x02\x03\x04\x05',
      'm/share',
      'm/cursor/n1',
      'm/pin/n1',
      'm/invitation/i1',
      'P/a/b',
      `k/\x01${body}/a/b`,
      `x/${body.slice(0, 16)}`,
      't/f/a',
      'd/\0\0\0\0\0\0\0\x07',
      `c/${body}`,
    ]);
  });

  it('refuses what cannot be a key', () => {
    const short = new Uint8Array(31);
    expect(() => keyspace.pageKey(short)).toThrow('32 bytes');
    expect(() => keyspace.chunkPlaceKey(short)).toThrow('32 bytes');
    expect(() => keyspace.contentPathKey(short, short)).toThrow('33 bytes');
    for (const number of [-1, 0.5, NaN, 2 ** 53]) expect(() => keyspace.chunkBytesKey(number)).toThrow('whole');
    for (const bytes of [new Uint8Array(7), new Uint8Array(9), new Uint8Array(8).fill(0xff)]) {
      expect(() => keyspace.decodeNumber(bytes)).toThrow(expect.objectContaining({ code: 'DATABASE_DAMAGED' }));
    }
    expect(() => keyspace.prefixRange(Uint8Array.of(0xff))).toThrow('0xff');
    expect(() => keyspace.prefixRange(new Uint8Array(0))).toThrow('0xff');
  });
});
