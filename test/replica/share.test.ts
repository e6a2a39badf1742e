import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { SamerootError } from '../../src/base/errors.ts';
import { createShare, decodeShare, encodeShare, parametersHash, SHARE_FIELDS_BYTES, type Share } from '../../src/replica/share.ts';
import { codeOf } from '../content/code-of.ts';
import { FOUNDER, seededRandom } from './world.ts';

const shares: fc.Arbitrary<Share> = fc.record({
  id: fc.uint8Array({ minLength: 16, maxLength: 16 }),
  name: fc.string({ maxLength: 60, unit: 'grapheme' }).filter((name) => Buffer.byteLength(name) <= 255),
  chunker: fc.record({
    minBytes: fc.integer({ min: 1024, max: 32_768 }),
    maskBits: fc.integer({ min: 8, max: 20 }),
    maxBytes: fc.integer({ min: 32_769, max: 262_144 }),
  }),
  rankBits: fc.integer({ min: 3, max: 8 }),
  founder: fc.uint8Array({ minLength: 32, maxLength: 32 }).map(toHex),
});

describe('the codec of a share', () => {
  it('gives back what was encoded', () => {
    fc.assert(
      fc.property(shares, (share) => {
        expect(decodeShare(encodeShare(share))).toEqual(share);
      }),
    );
  });

  it('refuses every cut and every byte too many', () => {
    fc.assert(
      fc.property(shares, fc.nat(), (share, at) => {
        const bytes = encodeShare(share);
        expect(codeOf(() => decodeShare(bytes.subarray(0, at % bytes.length)))).toBe('BAD_ENCODING');
        expect(codeOf(() => decodeShare(Buffer.concat([bytes, Uint8Array.of(0)])))).toBe('BAD_ENCODING');
      }),
    );
  });

  it('has one encoding for each share: what decodes at all encodes to the same bytes', () => {
    fc.assert(
      fc.property(shares, fc.nat(), fc.integer({ min: 1, max: 255 }), (share, at, change) => {
        const bytes = Uint8Array.from(encodeShare(share));
        bytes[at % bytes.length]! ^= change;
        try {
          expect(encodeShare(decodeShare(bytes))).toEqual(Buffer.from(bytes));
        } catch (error) {
          if (!(error instanceof SamerootError)) throw error;
        }
      }),
    );
  });

  it('refuses parameters out of their range, another format and a name that is not UTF-8', () => {
    const share = createShare('data', FOUNDER, seededRandom(1));
    const chunker = (change: Partial<Share['chunker']>): Uint8Array => encodeShare({ ...share, chunker: { ...share.chunker, ...change } });
    const bad = [
      chunker({ minBytes: 1023 }),
      chunker({ minBytes: share.chunker.maxBytes }),
      chunker({ maxBytes: 262_145 }),
      chunker({ maskBits: 7 }),
      chunker({ maskBits: 21 }),
      encodeShare({ ...share, rankBits: 2 }),
      encodeShare({ ...share, rankBits: 9 }),
      Buffer.concat([encodeShare(share).subarray(0, SHARE_FIELDS_BYTES), Uint8Array.of(1, 0xff)]),
    ];
    expect(bad.map((bytes) => codeOf(() => decodeShare(bytes)))).toEqual(bad.map(() => 'BAD_ENCODING'));
    const future = Uint8Array.from(encodeShare(share));
    future[0] = 2;
    expect(codeOf(() => decodeShare(future))).toBe('DATABASE_FORMAT');
  });
});

describe('the hash of the parameters', () => {
  it('covers every field but the name', () => {
    fc.assert(
      fc.property(shares, shares, (a, b) => {
        expect(parametersHash({ ...a, name: b.name })).toEqual(parametersHash(a));
        const changes: Share[] = [
          { ...a, id: b.id },
          { ...a, rankBits: b.rankBits },
          { ...a, founder: b.founder },
          { ...a, chunker: { ...a.chunker, minBytes: b.chunker.minBytes } },
          { ...a, chunker: { ...a.chunker, maskBits: b.chunker.maskBits } },
          { ...a, chunker: { ...a.chunker, maxBytes: b.chunker.maxBytes } },
        ];
        const fields = (share: Share): string => toHex(encodeShare({ ...share, name: '' }));
        for (const changed of changes)
          expect(toHex(parametersHash(changed)) === toHex(parametersHash(a))).toBe(fields(changed) === fields(a));
      }),
    );
  });

  it('is over the fixed fields, whose length others rely on', () => {
    expect(encodeShare(createShare('', FOUNDER, seededRandom(1)))).toHaveLength(SHARE_FIELDS_BYTES + 1);
  });
});

describe('making a share', () => {
  it('gives each a new id and parameters that decode', () => {
    const random = seededRandom(1);
    const [a, b] = [createShare('a', FOUNDER, random), createShare('a', FOUNDER, random)];
    expect(decodeShare(encodeShare(a))).toEqual(a);
    expect(toHex(a.id)).not.toBe(toHex(b.id));
  });

  it('refuses what could not be decoded again', () => {
    expect(() => createShare('x'.repeat(256), FOUNDER, seededRandom(1))).toThrow(RangeError);
    expect(() => createShare('é'.repeat(128), FOUNDER, seededRandom(1))).toThrow(RangeError);
    expect(createShare('x'.repeat(255), FOUNDER, seededRandom(1)).name).toHaveLength(255);
    expect(() => createShare('data', 'ab', seededRandom(1))).toThrow(RangeError);
    const small = { minBytes: 1024, maskBits: 8, maxBytes: 1536 };
    expect(decodeShare(encodeShare(createShare('data', FOUNDER, seededRandom(1), small))).chunker).toEqual(small);
    for (const bad of [{ minBytes: 1023 }, { maxBytes: 1024 }, { maskBits: 7 }])
      expect(() => createShare('data', FOUNDER, seededRandom(1), { ...small, ...bad })).toThrow(/^chunker: /);
  });
});
