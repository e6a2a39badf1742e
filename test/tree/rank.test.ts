import { describe, expect, it } from 'vitest';
import { concatBytes, utf8 } from '../../src/base/bytes.ts';
import { KEY_BYTES_MAX } from '../../src/base/limits.ts';
import { hash } from '../../src/content/hash.ts';
import { RANK_MAX, Ranker } from '../../src/tree/rank.ts';
import { makeRanker, weigh } from './support.ts';

describe('rank', () => {
  it('is the number of leading zero bits of the salted hash, in steps of rankBits', () => {
    for (const rankBits of [1, 2, 5]) {
      const ranker = makeRanker(rankBits, 'a salt');
      for (let at = 0; at < 2000; at++) {
        const key = utf8(`f/${at}`);
        const bits = [...hash('rank', concatBytes(utf8('a salt'), key))].map((byte) => byte.toString(2).padStart(8, '0')).join('');
        expect(ranker.rank(key)).toBe(Math.min(RANK_MAX, Math.floor(bits.indexOf('1') / rankBits)));
      }
    }
  });

  it('reaches every rank up to its maximum and never goes beyond', () => {
    const ranker = makeRanker(1);
    const seen = new Set<number>();
    for (let at = 0; at < 60_000; at++) seen.add(ranker.rank(utf8(`${at}`)));
    expect([...seen].sort((a, b) => a - b)).toEqual(Array.from({ length: RANK_MAX + 1 }, (_, rank) => rank));
  });

  it('takes the longest key, and forgets it', () => {
    const ranker = makeRanker(1);
    const before = ranker.rank(utf8('f/a'));
    ranker.rank(new Uint8Array(KEY_BYTES_MAX).fill(7));
    expect(ranker.rank(utf8('f/a'))).toBe(before);
  });

  it('differs between salts', () => {
    const ranks = (salt: string): number[] => Array.from({ length: 200 }, (_, at) => makeRanker(1, salt).rank(utf8(`${at}`)));
    expect(ranks('one')).not.toEqual(ranks('two'));
  });

  it('refuses a fan-out that makes no sense', () => {
    for (const rankBits of [0, -1, 1.5, 17, NaN]) {
      expect(() => new Ranker({ salt: utf8(''), rankBits, weigh })).toThrow(RangeError);
    }
  });
});
