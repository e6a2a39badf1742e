import { describe, expect, it } from 'vitest';
import { realTimers } from '../../src/app/real-world.ts';
import { Confirmations } from '../../src/node/confirmations.ts';
import { TestClock, turns } from '../replica/world.ts';

function root(number: number): Uint8Array {
  const bytes = Buffer.alloc(32);
  bytes.writeUInt32BE(number);
  return bytes;
}

function setup(commits: number): { clock: TestClock; confirmations: Confirmations } {
  const clock = new TestClock();
  const confirmations = new Confirmations(clock, realTimers);
  for (let commit = 1; commit <= commits; commit++) confirmations.committed(root(commit), commit);
  return { clock, confirmations };
}

describe('a confirmation', () => {
  it('of a root covers its commit and all before, of that peer only', () => {
    const { confirmations } = setup(5);
    confirmations.confirmed('a', root(3));
    const has = [1, 2, 3, 4].map((commit) => confirmations.hasConfirmed('a', commit));
    expect(has).toEqual([true, true, true, false]);
    expect(confirmations.hasConfirmed('b', 1)).toBe(false);
  });

  it('of an older root takes nothing back, and of an unknown one says nothing', () => {
    const { confirmations } = setup(5);
    confirmations.confirmed('a', root(4));
    confirmations.confirmed('a', root(2));
    confirmations.confirmed('a', root(99));
    expect([confirmations.hasConfirmed('a', 4), confirmations.hasConfirmed('a', 5)]).toEqual([true, false]);
  });

  it('knows commits by their roots, the newest where one came back', () => {
    const { confirmations } = setup(3);
    confirmations.committed(root(1), 4);
    expect([1, 2, 9].map((number) => confirmations.commitOf(root(number)))).toEqual([4, 2, undefined]);
    for (let commit = 5; commit < 10_003; commit++) confirmations.committed(root(commit), commit);
    // Ten thousand are remembered, counted from when they were last the head.
    expect([1, 2, 3, 5].map((number) => confirmations.commitOf(root(number)))).toEqual([4, undefined, 3, 5]);
    confirmations.committed(root(20_000), 20_000);
    expect([1, 3].map((number) => confirmations.commitOf(root(number)))).toEqual([4, undefined]);
  });
});

describe('the time to a confirmation', () => {
  it('runs from the commit, once for each commit and peer', () => {
    const { clock, confirmations } = setup(0);
    expect(confirmations.syncSeconds).toEqual({ p50: undefined, p99: undefined, last: undefined });
    for (let commit = 1; commit <= 100; commit++) {
      confirmations.committed(root(commit), commit);
      clock.wall += commit * 10;
      confirmations.confirmed('a', root(commit));
      confirmations.confirmed('a', root(commit));
    }
    const { p50, p99, last } = confirmations.syncSeconds;
    expect([p50, p99, last]).toEqual([0.51, 1, 1]);
  });
});

describe('waiting', () => {
  it('ends when the condition holds, as soon as something is confirmed', async () => {
    const { confirmations } = setup(2);
    const waiting = confirmations.until(() => confirmations.hasConfirmed('a', 2), 1_000_000);
    confirmations.confirmed('a', root(1));
    await turns();
    confirmations.confirmed('a', root(2));
    expect(await waiting).toBe(true);
  });

  it('ends at once where it holds already or there is no time', async () => {
    const { confirmations } = setup(0);
    expect(await confirmations.until(() => true, 0)).toBe(true);
    expect(await confirmations.until(() => false, 0)).toBe(false);
  });

  it('looks again at a commit and when it is poked, and gives up when the time is over', async () => {
    const { clock, confirmations } = setup(0);
    let looks = 0;
    const waiting = confirmations.until(() => {
      looks++;
      return false;
    }, 5_000);
    confirmations.committed(root(1), 1);
    await turns();
    confirmations.poke();
    await turns();
    expect(looks).toBe(3);
    clock.wall += 5_000;
    confirmations.poke();
    expect(await waiting).toBe(false);
  });

  it('serves many waiters, each for itself', async () => {
    const { confirmations } = setup(3);
    const waiting = [1, 2, 3].map((commit) =>
      confirmations.until(() => confirmations.hasConfirmed('a', commit), 1_000_000).then(() => commit),
    );
    confirmations.confirmed('a', root(2));
    expect(await Promise.all(waiting.slice(0, 2))).toEqual([1, 2]);
    confirmations.confirmed('a', root(3));
    expect(await waiting[2]).toBe(3);
  });
});
