/**
 * The one queue of events of a simulation, and the time that jumps from each to the next.
 *
 * Invariant: one event runs at a time, and the next one begins only when every promise that could go on has gone on.
 * Events of one time run in a seeded order: whoever relies on theirs relies on nothing. What must stay in order (the
 * callbacks of `soon`, the messages of a channel) is a queue of its own, of which an event takes the oldest.
 *
 * Production code runs on promises of unknown depth, so no number of awaited microtasks is enough: `drain` has to be a
 * turn that Node.js takes when its microtask queue is empty. Measured with chains of up to 500 promises, of 1000 each none
 * was left behind: `process.nextTick` takes 0.4 us an event, `setImmediate` 1.5 us, a message port 1.4 us. Node.js runs a tick
 * that was asked for from a microtask when no microtask is left (processTicksAndRejections), so ticks are enough; but they
 * starve signals and everything from outside, so every few hundredth drain should be an immediate.
 */
import { assert } from '../base/assert.ts';
import type { Clock, Timer, Timers } from '../base/world.ts';
import type { SeededRandom } from './random.ts';

interface Event {
  readonly atMs: number;
  readonly order: number;
  readonly sequence: number;
  /** `undefined` once it was cancelled or run. */
  callback: (() => void) | undefined;
}

export interface VirtualTimeOptions {
  /** Resolves when no microtask is left. */
  readonly drain: () => Promise<void>;
  readonly random: SeededRandom;
}

export interface RunGoal {
  /** Asked before each event. */
  readonly until?: () => boolean;
  /** Virtual; events after it stay. */
  readonly deadlineMs?: number;
}

export interface TimersOptions {
  readonly random: SeededRandom;
  /** Timers fire early by less than this, as those of Node.js do by up to 1 ms. */
  readonly earlyMsMax: number;
  /** And late by less than this, as on a busy host. */
  readonly lateMsMax: number;
}

export class VirtualTime {
  readonly #drain: () => Promise<void>;
  readonly #random: SeededRandom;
  readonly #events = new EventHeap();
  #nowMs = 0;
  #sequence = 0;
  #running = false;

  constructor({ drain, random }: VirtualTimeOptions) {
    this.#drain = drain;
    this.#random = random;
  }

  /** Milliseconds since the simulation began; fractional, never goes back. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** Events run so far. */
  eventCount = 0;

  schedule(afterMs: number, callback: () => void): Timer {
    if (!(afterMs >= 0 && afterMs < Infinity)) throw new RangeError(`afterMs: ${afterMs} is no time to wait`);
    const event: Event = { atMs: this.#nowMs + afterMs, order: this.#random.uint32(), sequence: this.#sequence++, callback };
    this.#events.push(event);
    return { cancel: () => (event.callback = undefined) };
  }

  /**
   * Runs events until the goal is reached, its deadline passed, or nothing is left to happen. An error of a callback ends the
   * run and is thrown; a further run goes on behind it.
   */
  async run({ until, deadlineMs = Infinity }: RunGoal): Promise<'done' | 'deadline' | 'idle'> {
    assert(!this.#running, 'one run at a time');
    this.#running = true;
    try {
      await this.#drain();
      for (;;) {
        if (until?.() === true) return 'done';
        const event = this.#events.first();
        if (event === undefined || event.atMs > deadlineMs) {
          if (deadlineMs < Infinity) this.#nowMs = Math.max(this.#nowMs, deadlineMs);
          return event === undefined ? 'idle' : 'deadline';
        }
        this.#events.shift();
        const { callback } = event;
        if (callback === undefined) continue;
        event.callback = undefined;
        this.#nowMs = event.atMs;
        this.eventCount++;
        callback();
        await this.#drain();
      }
    } finally {
      this.#running = false;
    }
  }

  /** The timers of one incarnation of a host. They are silent once it is dead. Processes do not end by themselves here, so `background` says nothing. */
  timersFor(alive: () => boolean, options: TimersOptions): Timers {
    const { random, earlyMsMax, lateMsMax } = options;
    const turns: (() => void)[] = [];
    const soonEnough = (afterMs: number): number => {
      const shiftMs = random.between(-earlyMsMax, lateMsMax);
      return Math.max(0, (Number.isFinite(afterMs) ? afterMs : 0) + shiftMs);
    };
    const after = (afterMs: number, callback: () => void): Timer => this.schedule(soonEnough(afterMs), () => runFor(alive, callback));
    const every = (everyMs: number, callback: () => void): Timer => {
      if (!(everyMs > earlyMsMax)) throw new RangeError(`everyMs: ${everyMs} is not above ${earlyMsMax}`);
      let timer: Timer;
      let cancelled = false;
      const again = (): void => {
        timer = after(everyMs, () => {
          callback();
          if (!cancelled) again();
        });
      };
      again();
      return {
        cancel: () => {
          cancelled = true;
          timer.cancel();
        },
      };
    };
    const soon = (callback: () => void): void => {
      turns.push(callback);
      this.schedule(0, () => runFor(alive, turns.shift()!));
    };
    return { after, every, soon };
  }
}

/** Runs a callback of a host, if it lives. What it throws because it dies in the middle is nobody's error. */
export function runFor(alive: () => boolean, callback: () => void): void {
  if (!alive()) return;
  try {
    callback();
  } catch (error) {
    if (alive()) throw error;
  }
}

export interface HostClockOptions {
  /** How far its wall clock is from the true time. */
  readonly offsetMs: number;
  /** How much faster its clocks go, in millionths; real ones are within 200 or so. */
  readonly driftPerMillion: number;
}

/** 2026-01-01 UTC: the true time at which every simulation begins. */
const EPOCH_MS = 1_767_225_600_000;

/** The clocks of one host, through all its incarnations. */
export class HostClock {
  readonly #time: VirtualTime;
  readonly #rate: number;
  #offsetMs: number;

  constructor(time: VirtualTime, { offsetMs, driftPerMillion }: HostClockOptions) {
    this.#time = time;
    this.#rate = 1 + driftPerMillion / 1e6;
    this.#offsetMs = offsetMs;
  }

  /** How far the wall clock was set from the true time; what it drifted since comes on top. */
  get offsetMs(): number {
    return this.#offsetMs;
  }

  /** Somebody sets the wall clock. */
  jump(byMs: number): void {
    this.#offsetMs += byMs;
  }

  wallMs(): number {
    return Math.floor(EPOCH_MS + this.#offsetMs + this.#time.nowMs * this.#rate);
  }

  /** The clock of a new incarnation; its monotonic time begins now. */
  boot(): Clock {
    const bootMs = this.#time.nowMs;
    return { wallMs: () => this.wallMs(), monotonicMs: () => (this.#time.nowMs - bootMs) * this.#rate };
  }
}

/** A binary heap: the earliest event first, of equals the one that was drawn lower. */
class EventHeap {
  readonly #events: Event[] = [];

  first(): Event | undefined {
    return this.#events[0];
  }

  push(event: Event): void {
    const events = this.#events;
    let at = events.length;
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if (!isBefore(event, events[parent]!)) break;
      events[at] = events[parent]!;
      at = parent;
    }
    events[at] = event;
  }

  shift(): void {
    const events = this.#events;
    const last = events.pop();
    if (last === undefined || events.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= events.length) break;
      if (child + 1 < events.length && isBefore(events[child + 1]!, events[child]!)) child++;
      if (!isBefore(events[child]!, last)) break;
      events[at] = events[child]!;
      at = child;
    }
    events[at] = last;
  }
}

function isBefore(a: Event, b: Event): boolean {
  if (a.atMs !== b.atMs) return a.atMs < b.atMs;
  return a.order === b.order ? a.sequence < b.sequence : a.order < b.order;
}
