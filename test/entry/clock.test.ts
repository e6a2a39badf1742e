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

  test('goes on from its mark, over restarts, clocks that jump by hours, and stamps that are refused', () => {
    const HOUR_MS = 3_600_000;
    const jump = fc.record({ type: fc.constant('jump' as const), byMs: fc.integer({ min: -4 * HOUR_MS, max: 4 * HOUR_MS }) });
    const remote = fc.record({
      type: fc.constant('observe' as const),
      aheadMs: fc.integer({ min: -4 * HOUR_MS, max: 4 * HOUR_MS }),
      counter: fc.constantFrom(0, 0xffff),
    });
    const others = fc.constantFrom({ type: 'now' as const }, { type: 'restart' as const });
    const outcomes = { given: 0, behind: 0, refused: 0, restarts: 0 };
    fc.assert(
      fc.property(fc.array(fc.oneof(jump, remote, others, others), { maxLength: 40, size: 'max' }), (events) => {
        let wallMs = 1_795_408_495_123;
        let clock = new HybridClock(() => wallMs);
        let high: Stamp = clock.high;
        for (const event of events) {
          if (event.type === 'jump') wallMs += event.byMs;
          else if (event.type === 'restart') {
            clock = new HybridClock(() => wallMs, { ...clock.high });
            outcomes.restarts++;
          } else if (event.type === 'observe') {
            const stamp = { wallMs: wallMs + event.aheadMs, counter: event.counter };
            const code = codeOf(() => clock.observe(stamp));
            expect(code).toBe(event.aheadMs > CLOCK_AHEAD_MS_MAX ? 'CLOCK_AHEAD' : undefined);
            if (code !== undefined) outcomes.refused++;
            else if (compareStamps(stamp, high) > 0) high = stamp;
          } else {
            const stamp = clock.now();
            expect(compareStamps(stamp, high)).toBeGreaterThan(0);
            outcomes.given++;
            if (wallMs < high.wallMs) outcomes.behind++;
            high = stamp;
          }
          expect(clock.high).toEqual(high);
        }
      }),
      { numRuns: 500 },
    );
    expect(Math.min(...Object.values(outcomes))).toBeGreaterThan(100);
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
