import { test } from 'vitest';
import { byteKey, toHex, utf8 } from '../../src/base/bytes.ts';
import { makeGear, nextCut, type ChunkerParameters } from '../../src/content/chunker.ts';
import { ContentListBuilder, EMPTY_CONTENT } from '../../src/content/content-list.ts';
import { hash, type Domain } from '../../src/content/hash.ts';
import { expectVectors } from '../vectors/vector-file.ts';
import { seededBytes } from './seeded-bytes.ts';

const SHARE_ID = utf8('sameroot vectors');
const gear = makeGear(SHARE_ID);

function cutsOf(parameters: ChunkerParameters, bytes: Uint8Array): number[] {
  const ends: number[] = [];
  for (let at = 0; at < bytes.length;) {
    at = nextCut(gear, parameters, bytes, at, bytes.length, true)!;
    ends.push(at);
  }
  return ends;
}

/** The list of `count` chunks; chunk number n is the text n, and counts as 2000 + n % 1000 bytes. */
function listOf(count: number): { chunks: number; pages: number; id: string } {
  const pages = new Set<string>();
  const builder = new ContentListBuilder((pageHash) => pages.add(byteKey(pageHash)));
  for (let n = 0; n < count; n++) builder.add({ hash: hash('chunk', utf8(String(n))), bytes: 2000 + (n % 1000) });
  return { chunks: count, pages: pages.size, id: toHex(builder.finish().id) };
}

test('content vectors hold', () => {
  const domains: Domain[] = ['chunk', 'list', 'page', 'root', 'rank', 'birth', 'gear', 'params', 'member', 'invite', 'entry', 'name'];
  const cut = (seed: number, length: number, parameters: ChunkerParameters) => ({
    bytes: { generator: 'xorshift32 (13, 17, 5), low byte of each state', seed, length },
    parameters,
    ends: cutsOf(parameters, seededBytes(seed, length)),
  });
  expectVectors('content', {
    hashOfAbc: Object.fromEntries(domains.map((domain) => [domain, toHex(hash(domain, utf8('abc')))])),
    gear: { shareId: toHex(SHARE_ID), first: [...gear.subarray(0, 8)], last: gear[255] },
    cuts: [
      cut(1, 20_000, { minBytes: 256, maskBits: 8, maxBytes: 2048 }),
      cut(2, 1_500_000, { minBytes: 32_768, maskBits: 15, maxBytes: 262_144 }),
    ],
    lists: {
      rule: 'chunk n of a list has the hash of its number in decimal, and 2000 + n % 1000 bytes',
      empty: toHex(EMPTY_CONTENT),
      lists: [1, 2, 16, 17, 1000, 20_000].map(listOf),
    },
  });
});
