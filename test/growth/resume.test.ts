/** What two hosts that know each other send when they meet again, as a function of what they hold and of what has changed. */
import { describe, expect, test } from 'vitest';
import { World } from '../session/mesh.ts';
import { growth } from './exponent.ts';
import { someOf } from './forest.ts';

const nameAt = (at: number): string => `r/record-${at}`;

/** Bytes of all messages, both ways, after `changes` records of `count` were written while the hosts were apart. */
function meetAgain(count: number, changes: number): number {
  const world = new World(['a', 'b'], 1);
  const [a, b] = world.hosts as [World['hosts'][0], World['hosts'][0]];
  a.write(...Array.from({ length: count }, (_, at) => nameAt(at)));
  world.connect(a, b);
  world.settle();
  world.disconnect(a, b);
  world.forget();
  a.write(...someOf(count, changes, 5).map(nameAt));
  world.connect(a, b);
  world.settle();
  expect(b.root).toEqual(a.root);
  expect(world.entriesSent()).toHaveLength(changes);
  expect(world.types()).not.toContain('walk');
  return world.sent.reduce((sum, { bytes }) => sum + bytes, 0);
}

describe('two hosts that meet again', () => {
  test('send as much for 10 changes, however much they hold', async (report) => {
    expect(await growth(report, 'bytes', [300, 1_000, 3_000], (count) => meetAgain(count, 10))).toBeLessThan(0.05);
  });

  test('send in proportion to the changes', async (report) => {
    expect(await growth(report, 'bytes', [1, 10, 100, 1_000], (changes) => meetAgain(2_000, changes))).toBeLessThan(1.05);
  });
});
