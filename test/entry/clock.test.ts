import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CLOCK_AHEAD_MS_MAX } from '../../src/base/limits.ts';
import { compareStamps, HybridClock, type Stamp } from '../../src/entry/clock.ts';
import { codeOf } from '../content/code-of.ts';

describe('hybrid clock', () => {
  test('every stamp is greater than all given and observed, whatever the wall clock does', () => {
    const anyStamp = fc.record({ wallMs: fc.nat(5000), counter: fc.constantFrom(0, 1, 0xfffe, 0xffff) });
    fc.assert(
      fc.property(anyStamp, fc.array(fc.oneof(fc.nat(5000), anyStamp, fc.constant(undefined)), { maxLength: 50 }), (start, events) => {
        let wallMs = 1000;
        const clock = new HybridClock(() => wallMs, start);
        let high: Stamp = start;
        for (const event of events) {
          if (typeof event === 'number') wallMs = event + 0.5;
          else if (event !== undefined) {
            clock.observe(event);
            if (compareStamps(event, high) > 0) high = event;
          } else {
            const stamp = clock.now();
            expect(compareStamps(stamp, high)).toBeGreaterThan(0);
            expect(stamp.wallMs).toBeGreaterThanOrEqual(Math.floor(wallMs));
            expect(Number.isInteger(stamp.wallMs) && stamp.counter >= 0 && stamp.counter <= 0xffff).toBe(true);
            high = stamp;
          }
          expect(clock.high).toEqual(high);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('follows the wall clock while that goes forward', () => {
    let wallMs = 1000;
    const clock = new HybridClock(() => wallMs);
    expect(clock.now()).toEqual({ wallMs: 1000, counter: 0 });
    expect(clock.now()).toEqual({ wallMs: 1000, counter: 1 });
    wallMs = 1001;
    expect(clock.now()).toEqual({ wallMs: 1001, counter: 0 });
    wallMs = 500;
    expect(clock.now()).toEqual({ wallMs: 1001, counter: 1 });
  });

  test('a full counter moves on to the next millisecond', () => {
    const clock = new HybridClock(() => 1000, { wallMs: 1000, counter: 0xffff });
    expect(clock.now()).toEqual({ wallMs: 1001, counter: 0 });
  });

  test('a wall clock before 1970 counts as 1970', () => {
    expect(new HybridClock(() => -5).now()).toEqual({ wallMs: 0, counter: 1 });
  });

  test('refuses stamps of more than an hour ahead, and stays as it was', () => {
    const clock = new HybridClock(() => 1000);
    const before = clock.high;
    expect(codeOf(() => clock.observe({ wallMs: 1001 + CLOCK_AHEAD_MS_MAX, counter: 0 }))).toBe('CLOCK_AHEAD');
    expect(clock.high).toBe(before);
    clock.observe({ wallMs: 1000 + CLOCK_AHEAD_MS_MAX, counter: 7 });
    expect(clock.now()).toEqual({ wallMs: 1000 + CLOCK_AHEAD_MS_MAX, counter: 8 });
  });
});
