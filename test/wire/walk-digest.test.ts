import { describe, expect, it } from 'vitest';
import { digestBytes, isFirstWalk, sameDigest } from '../../src/wire/walk-digest.ts';

describe('digests', () => {
  it('are 8 bytes in the first walk of either side, 16 in the second, and whole hashes in all others', () => {
    expect([1, 2, 3, 4, 5, 6, 7, 2 ** 40 + 1, Number.MAX_SAFE_INTEGER].map(digestBytes)).toEqual([8, 8, 16, 16, 32, 32, 32, 32, 32]);
    expect([1, 2, 3, 4].map(isFirstWalk)).toEqual([true, true, false, false]);
  });

  it('are compared as far as they go', () => {
    const hash = Uint8Array.from({ length: 32 }, (_, at) => at);
    for (const bytes of [8, 16, 32]) {
      expect(sameDigest(hash, hash.slice(0, bytes))).toBe(true);
      for (let at = 0; at < bytes; at++) expect(sameDigest(hash, hash.slice(0, bytes).with(at, 0xff))).toBe(false);
    }
  });
});
