import { createRequire } from 'node:module';
import { blake3 } from '@noble/hashes/blake3.js';
import * as fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { fromHex, toHex, utf8 } from '../../src/base/bytes.ts';
import * as chosen from '../../src/content/hash.ts';

const DOMAINS: chosen.Domain[] = ['chunk', 'list', 'page', 'root', 'rank', 'birth', 'gear', 'params', 'member', 'invite', 'entry', 'name'];

const nativeModule = ((): { Blake3Hasher: { newKeyed(key: Buffer): object } } | undefined => {
  try {
    return createRequire(import.meta.url)('@napi-rs/blake-hash');
  } catch {
    return undefined;
  }
})();

async function freshModule(): Promise<typeof chosen> {
  vi.resetModules();
  return import('../../src/content/hash.ts');
}

async function nobleModule(): Promise<typeof chosen> {
  vi.stubEnv('SAMEROOT_HASH', 'noble');
  return freshModule();
}

afterEach(() => {
  vi.unstubAllEnvs();
  vi.doUnmock('node:module');
});

/** From the official test_vectors.json of BLAKE3: key below, input byte i is i % 251. */
const OFFICIAL_KEY = utf8('whats the Elvish word for friend');
const OFFICIAL: readonly (readonly [number, string])[] = [
  [0, '92b2b75604ed3c761f9d6f62392c8a9227ad0ea3f09573e783f1498a4ed60d26'],
  [1, '6d7878dfff2f485635d39013278ae14f1454b8c0a3a2d34bc1ab38228a80c95b'],
  [63, 'bb1eb5d4afa793c1ebdd9fb08def6c36d10096986ae0cfe148cd101170ce37ae'],
  [64, 'ba8ced36f327700d213f120b1a207a3b8c04330528586f414d09f2f7d9ccb7e6'],
  [65, 'c0a4edefa2d2accb9277c371ac12fcdbb52988a86edc54f0716e1591b4326e72'],
  [1023, 'c951ecdf03288d0fcc96ee3413563d8a6d3589547f2c2fb36d9786470f1b9d6e'],
  [1024, '75c46f6f3d9eb4f55ecaaee480db732e6c2105546f1e675003687c31719c7ba4'],
  [1025, '357dc55de0c7e382c900fd6e320acc04146be01db6a8ce7210b7189bd664ea69'],
  [4096, 'befc660aea2f1718884cd8deb9902811d332f4fc4a38cf7c7300d597a081bfc0'],
  [102400, '1c35d1a5811083fd7119f5d5d1ba027b4d01c0c6c49fb6ff2cf75393ea5db4a7'],
];

function officialInput(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, at) => at % 251);
}

describe('hash', () => {
  test('both implementations pass the official vectors of the keyed mode', async () => {
    const noble = await nobleModule();
    for (const [length, expected] of OFFICIAL) {
      expect(toHex(chosen.mac(OFFICIAL_KEY, officialInput(length)))).toBe(expected);
      expect(toHex(noble.mac(OFFICIAL_KEY, officialInput(length)))).toBe(expected);
    }
  });

  test('a domain is the keyed mode with its name as key', () => {
    for (const domain of DOMAINS) {
      const key = Buffer.alloc(32);
      key.write(`sameroot 1 ${domain}`);
      expect(toHex(chosen.hash(domain, utf8('abc')))).toBe(toHex(chosen.mac(key, utf8('abc'))));
      expect(chosen.hashHex(domain, utf8('abc'))).toBe(toHex(chosen.hash(domain, utf8('abc'))));
    }
  });

  test('no two domains agree', () => {
    expect(new Set(DOMAINS.map((domain) => toHex(chosen.hash(domain, utf8('abc'))))).size).toBe(DOMAINS.length);
  });

  test('the native implementation is used where it is installed', async () => {
    vi.stubEnv('SAMEROOT_HASH', undefined);
    expect((await freshModule()).hashImplementation()).toBe(nativeModule === undefined ? 'noble' : 'native');
  });

  test('SAMEROOT_HASH=noble keeps it out, and gives the same hashes', async () => {
    const noble = await nobleModule();
    expect(noble.hashImplementation()).toBe('noble');
    fc.assert(
      fc.property(fc.constantFrom(...DOMAINS), fc.uint8Array({ maxLength: 5000 }), fc.nat(40), (domain, bytes, skip) => {
        const view = bytes.subarray(Math.min(skip, bytes.length));
        expect(toHex(noble.hash(domain, view))).toBe(toHex(chosen.hash(domain, view)));
        expect(noble.hashHex(domain, view)).toBe(chosen.hashHex(domain, view));
      }),
      { numRuns: 200 },
    );
  });

  test.skipIf(nativeModule === undefined)('a native module that is wrong anywhere is not used', async () => {
    vi.stubEnv('SAMEROOT_HASH', undefined);
    const wrongIn = (domain: string) => ({
      Blake3Hasher: {
        newKeyed(key: Buffer) {
          return key.includes(domain)
            ? { reset() {}, update() {}, digest: () => '00'.repeat(32) }
            : nativeModule!.Blake3Hasher.newKeyed(key);
        },
      },
    });
    for (const module of [wrongIn('birth'), {}]) {
      vi.doMock('node:module', () => ({ createRequire: () => () => module }));
      expect((await freshModule()).hashImplementation()).toBe('noble');
    }
    vi.doMock('node:module', () => ({ createRequire: () => () => wrongIn('no such domain') }));
    expect((await freshModule()).hashImplementation()).toBe('native');
  });

  test('a module that answers as noble does is used', async () => {
    vi.stubEnv('SAMEROOT_HASH', undefined);
    const newKeyed = (key: Buffer): object => {
      let input: Uint8Array;
      return { reset() {}, update: (bytes: Uint8Array) => (input = bytes), digest: () => toHex(blake3(input, { key })) };
    };
    vi.doMock('node:module', () => ({ createRequire: () => () => ({ Blake3Hasher: { newKeyed } }) }));
    expect((await freshModule()).hashImplementation()).toBe('native');
  });

  test('a result is not touched by the next call', () => {
    const first = chosen.hash('chunk', utf8('first'));
    const before = toHex(first);
    chosen.hash('chunk', utf8('second'));
    expect(toHex(first)).toBe(before);
  });

  test('mac takes keys of 32 bytes only', () => {
    expect(() => chosen.mac(fromHex('00'.repeat(31)), utf8('abc'))).toThrow(RangeError);
  });
});
