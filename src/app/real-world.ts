/**
 * The real world behind the ports of `base/world.ts`: clocks, timers, randomness and names of this process and this host.
 * Only this room uses it, so that what runs below it runs the same in a simulation.
 */
import { randomBytes } from 'node:crypto';
import { hostname, networkInterfaces } from 'node:os';
import { performance } from 'node:perf_hooks';
import type { Clock, Log, Random, Timers, World } from '../base/world.ts';

/** Node.js takes a longer time for one millisecond: a timer that was meant for never would not stop firing. */
const TIMER_MS_MAX: number = 2 ** 31 - 1;

export const realClock: Clock = { wallMs: () => Date.now(), monotonicMs: () => performance.now() };

export const realTimers: Timers = {
  after: (afterMs, callback, options) => {
    const timer = setTimeout(callback, Math.min(afterMs, TIMER_MS_MAX));
    if (options?.background === true) timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
  every: (everyMs, callback) => {
    const timer = setInterval(callback, Math.min(everyMs, TIMER_MS_MAX)).unref();
    return { cancel: () => clearInterval(timer) };
  },
  soon: (callback) => void setImmediate(callback),
};

export const realRandom: Random = { bytes: (count) => new Uint8Array(randomBytes(count)), fraction: () => Math.random() };

export function realWorld(log: Log): World {
  return { clock: realClock, timers: realTimers, random: realRandom, log };
}

export function realHostName(): string {
  return hostname();
}

/** IPv4 addresses of this host that others may reach. */
export function realNetworkAddresses(): string[] {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return addresses.filter(({ internal, family }) => !internal && family === 'IPv4').map(({ address }) => address);
}
