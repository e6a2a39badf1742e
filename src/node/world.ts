/** The real world behind the ports: clock and randomness of this process. */
import { randomBytes } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import type { Clock, Random } from '../base/world.ts';

export const realClock: Clock = { wallMs: () => Date.now(), monotonicMs: () => performance.now() };
export const realRandom: Random = { bytes: (count) => new Uint8Array(randomBytes(count)), fraction: () => Math.random() };
