import { describe, expect, it } from 'vitest';
import { SeededRandom } from '../../src/simulation/random.ts';
import { HostClock, VirtualTime } from '../../src/simulation/virtual-time.ts';
import { drainByTick, makeTime } from './ground.ts';

const EXACT = { earlyMsMax: 0, lateMsMax: 0 };

describe('seeded randomness', () => {
  it('repeats with its seed and differs with another', () => {
    const draws = (seed: string): number[] =>
      Array.from(
        { length: 8 },
        (
          (random) => () =>
            random.uint32()
        )(new SeededRandom(seed)),
      );
    expect(draws('1')).toEqual(draws('1'));
    expect(draws('1')).not.toEqual(draws('2'));
  });

  it('forks streams that no draw from the parent shifts', () => {
    const parent = new SeededRandom('1');
    const before = parent.fork('disk').bytes(16);
    parent.uint32();
    expect(parent.fork('disk').bytes(16)).toEqual(before);
    expect(parent.fork('store').bytes(16)).not.toEqual(before);
  });

  it('is spread evenly over its range', () => {
    const random = new SeededRandom('1');
    const counts = Array.from({ length: 10 }, () => 0);
    for (let draw = 0; draw < 20_000; draw++) counts[random.below(10)]!++;
    // Five standard deviations (42) about the mean of 2000.
    expect(Math.min(...counts)).toBeGreaterThan(1_790);
    expect(Math.max(...counts)).toBeLessThan(2_210);
    expect([random.below(1), random.chance(0), random.chance(1), random.bytes(7).length]).toEqual([0, false, true, 7]);
    expect(() => random.below(0)).toThrow(RangeError);
    expect(() => random.pick([])).toThrow(RangeError);
  });
});

describe('virtual time', () => {
  it('runs events in the order of their times and jumps between them', async () => {
    const time = makeTime();
    const seen: [string, number][] = [];
    for (const [name, afterMs] of [
      ['c', 3e7],
      ['a', 1],
      ['b', 2.5],
    ] as const)
      time.schedule(afterMs, () => seen.push([name, time.nowMs]));
    expect(await time.run({})).toBe('idle');
    expect(seen).toEqual([
      ['a', 1],
      ['b', 2.5],
      ['c', 3e7],
    ]);
  });

  it('keeps a heap of any shape in order', async () => {
    const time = makeTime();
    const random = new SeededRandom('shape');
    const seen: number[] = [];
    for (let index = 0; index < 500; index++) {
      const timer = time.schedule(random.below(100), () => {
        seen.push(time.nowMs);
        if (random.chance(0.3)) time.schedule(random.below(50), () => seen.push(time.nowMs));
      });
      if (random.chance(0.2)) timer.cancel();
    }
    await time.run({});
    expect(seen.length).toBeGreaterThan(400);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
  });

  it.each([
    ['a tick', drainByTick],
    ['an immediate', () => new Promise<void>((resolve) => setImmediate(resolve))],
  ])('lets every promise go on before the next event, drained by %s', async (_name, drain) => {
    const time = new VirtualTime({ drain, random: new SeededRandom('1') });
    const seen: string[] = [];
    time.schedule(1, () => {
      void (async () => {
        for (let depth = 0; depth < 300; depth++) await Promise.resolve();
        seen.push('deep');
      })();
    });
    time.schedule(2, () => seen.push('next'));
    await time.run({});
    expect(seen).toEqual(['deep', 'next']);
  });

  it('drains what was going on before the first event, too', async () => {
    const time = makeTime();
    const seen: string[] = [];
    time.schedule(0, () => seen.push('event'));
    void Promise.resolve()
      .then(() => undefined)
      .then(() => seen.push('promise'));
    await time.run({});
    expect(seen).toEqual(['promise', 'event']);
  });

  it('stops where it is told to, and goes on from there', async () => {
    const time = makeTime();
    const seen: number[] = [];
    for (const afterMs of [10, 20, 30]) time.schedule(afterMs, () => seen.push(afterMs));
    expect(await time.run({ deadlineMs: 15 })).toBe('deadline');
    expect([time.nowMs, seen]).toEqual([15, [10]]);
    expect(await time.run({ until: () => seen.length === 2 })).toBe('done');
    expect(await time.run({ deadlineMs: 100 })).toBe('idle');
    expect([time.nowMs, seen]).toEqual([100, [10, 20, 30]]);
  });

  it('orders events of one time by the seed', async () => {
    const order = async (seed: string): Promise<string> => {
      const time = makeTime(seed);
      let seen = '';
      for (const name of 'abcdefgh') time.schedule(1, () => (seen += name));
      await time.run({});
      return seen;
    };
    expect(await order('1')).toBe(await order('1'));
    expect(new Set(await Promise.all(['1', '2', '3'].map(order))).size).toBeGreaterThan(1);
  });

  it('throws what a callback throws, and can go on', async () => {
    const time = makeTime();
    time.schedule(1, () => {
      throw new Error('a bug');
    });
    time.schedule(2, () => undefined);
    await expect(time.run({})).rejects.toThrow('a bug');
    expect(await time.run({})).toBe('idle');
    expect(time.nowMs).toBe(2);
  });

  it('refuses times that are none', () => {
    const time = makeTime();
    for (const afterMs of [-1, Number.NaN, Infinity]) expect(() => time.schedule(afterMs, () => undefined)).toThrow(RangeError);
  });
});

describe('the timers of a host', () => {
  it('fire once, or again and again, until they are cancelled', async () => {
    const time = makeTime();
    const timers = time.timersFor(() => true, { random: new SeededRandom('1'), ...EXACT });
    const seen: string[] = [];
    timers.after(5, () => seen.push(`after ${time.nowMs}`));
    timers.after(5, () => seen.push('never')).cancel();
    const every = timers.every(4, () => {
      seen.push(`every ${time.nowMs}`);
      if (time.nowMs >= 12) every.cancel();
    });
    expect(await time.run({})).toBe('idle');
    expect(seen).toEqual(['every 4', 'after 5', 'every 8', 'every 12']);
  });

  it('may be early and late, within bounds', async () => {
    const time = makeTime();
    const timers = time.timersFor(() => true, { random: new SeededRandom('1'), earlyMsMax: 0.9, lateMsMax: 3 });
    const seen: number[] = [];
    for (let count = 0; count < 200; count++) timers.after(10, () => seen.push(time.nowMs));
    await time.run({});
    expect(Math.min(...seen)).toBeGreaterThanOrEqual(9.1);
    expect(Math.min(...seen)).toBeLessThan(10);
    expect(Math.max(...seen)).toBeGreaterThan(10);
    expect(Math.max(...seen)).toBeLessThan(13);
  });

  it('run `soon` later, at the same time, in the order of the calls', async () => {
    for (const seed of ['1', '2', '3', '4']) {
      const time = makeTime(seed);
      const timers = time.timersFor(() => true, { random: new SeededRandom('1'), ...EXACT });
      let seen = '';
      for (const name of 'abcd') timers.soon(() => (seen += name));
      expect(seen).toBe('');
      await time.run({});
      expect([seen, time.nowMs]).toEqual(['abcd', 0]);
    }
  });

  it('are silent once the host is dead, and take its dying for no error', async () => {
    const time = makeTime();
    let alive = true;
    const timers = time.timersFor(() => alive, { random: new SeededRandom('1'), ...EXACT });
    const seen: string[] = [];
    timers.after(1, () => {
      alive = false;
      throw new Error('the host died in here');
    });
    timers.after(2, () => seen.push('after'));
    timers.every(2, () => seen.push('every'));
    timers.soon(() => seen.push('soon'));
    expect(await time.run({})).toBe('idle');
    expect(seen).toEqual(['soon']);
  });
});

describe('the clocks of a host', () => {
  it('drift, jump with the wall clock only, and begin anew with each incarnation', async () => {
    const time = makeTime();
    const host = new HostClock(time, { offsetMs: -500, driftPerMillion: 100 });
    const first = host.boot();
    const startMs = first.wallMs();
    await time.run({ deadlineMs: 1e6 });
    expect(first.wallMs() - startMs).toBe(1_000_100);
    expect(first.monotonicMs()).toBeCloseTo(1_000_100, 6);
    host.jump(-3_600_000);
    expect(host.offsetMs).toBe(-3_600_500);
    expect(first.wallMs() - startMs).toBe(1_000_100 - 3_600_000);
    expect(first.monotonicMs()).toBeCloseTo(1_000_100, 6);
    const second = host.boot();
    expect([second.monotonicMs(), second.wallMs()]).toEqual([0, first.wallMs()]);
  });
});
