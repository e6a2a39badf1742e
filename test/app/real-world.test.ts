import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { realClock, realRandom, realTimers } from '../../src/app/real-world.ts';

describe('timers of this process', () => {
  const calls: string[] = [];
  const note = (what: string) => (): void => void calls.push(what);

  beforeEach(() => {
    calls.length = 0;
    vi.useFakeTimers();
  });
  afterEach(() => vi.useRealTimers());

  it('call once after a time, again and again, or in the next turn', () => {
    realTimers.after(10, note('after'));
    realTimers.every(4, note('every'));
    realTimers.soon(note('soon'));
    expect(calls).toEqual([]);
    vi.advanceTimersByTime(10);
    expect(calls).toEqual(['soon', 'every', 'every', 'after']);
  });

  it('do not call once they are cancelled, however often', () => {
    const timers = [realTimers.after(10, note('after')), realTimers.every(4, note('every'))];
    for (const timer of [...timers, ...timers]) timer.cancel();
    vi.advanceTimersByTime(100);
    expect(calls).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('take a time that is too long for Node.js for a long one', () => {
    for (const longMs of [2 ** 31, Infinity]) {
      realTimers.after(longMs, note('after'));
      realTimers.every(longMs, note('every'));
    }
    vi.advanceTimersByTime(60_000);
    expect(calls).toEqual([]);
  });
});

describe('the clock and chance of this process', () => {
  it('are in their units and ranges', () => {
    const before = realClock.monotonicMs();
    expect(Math.abs(realClock.wallMs() - Date.now())).toBeLessThan(60_000);
    expect(realClock.monotonicMs()).toBeGreaterThanOrEqual(before);
    expect(realRandom.bytes(16)).toHaveLength(16);
    expect(realRandom.bytes(16)).not.toEqual(realRandom.bytes(16));
    const fraction = realRandom.fraction();
    expect(fraction >= 0 && fraction < 1).toBe(true);
  });
});
