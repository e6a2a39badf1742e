/** Hashes that agree in the bytes that a first walk sends: what differs is found by the walk after it. */
import { expect, it, vi } from 'vitest';
import { WALK_DIGEST_BYTES_MIN } from '../../src/base/limits.ts';
import { byteKey, utf8 } from '../../src/base/bytes.ts';
import { hash } from '../../src/content/hash.ts';
import type * as TreeWalk from '../../src/tree/walk.ts';
import { World } from './mesh.ts';
import { listed, missing, runWalk, Side, SKIP_NO_LEVEL } from './walks.ts';

/** Of pages and entries with the same key, the first bytes of the hash are the same. */
vi.mock('../../src/tree/walk.ts', async (original) => {
  const real = await original<typeof TreeWalk>();
  return {
    ...real,
    *items(...where: Parameters<typeof real.items>): ReturnType<typeof real.items> {
      for (const item of real.items(...where)) {
        const collided = Uint8Array.from(item.hash);
        collided.set(hash('page', item.key).subarray(0, WALK_DIGEST_BYTES_MIN));
        yield { ...item, hash: collided };
      }
    },
  };
});

it('the first walk does not see what differs, the second finds it all', () => {
  const model = new Map(Array.from({ length: 300 }, (_, at) => [byteKey(utf8(`f/${String(at).padStart(4, '0')}`)), utf8('value')]));
  const other = new Map([...model].map(([key, value], at) => [key, at % 50 === 0 ? utf8('other') : value]));
  for (const guessBits of [SKIP_NO_LEVEL, 2]) {
    const [a, b] = [new Side(model, 2), new Side(other, 2)];
    a.guessBits = b.guessBits = guessBits;
    expect(runWalk(a, b, undefined, 1).fromA).toEqual([]);
    const second = runWalk(a, b, undefined, 3);
    expect(listed(second.fromA)).toEqual(listed(missing(model, other)));
    expect(listed(second.fromB)).toEqual(listed(missing(other, model)));
  }
});

it('hosts whose roots stay unlike after a walk that found nothing walk again, and are equal then', () => {
  const world = new World(['a', 'b'], 5);
  const [a, b] = world.hosts as [World['hosts'][0], World['hosts'][0]];
  a.write('f/one', 'f/two');
  b.write('f/one', 'f/two');
  // What the first walk makes them claim is not so: they take for the same what is not.
  world.check = () => undefined;
  world.connect(a, b);
  world.settle();
  expect(byteKey(a.root)).toBe(byteKey(b.root));
  const walks = world.sent.flatMap(({ message }) => (message.type === 'walk' && !message.answers ? [message.id] : []));
  expect(walks).toEqual([1, 3]);
});
