/**
 * All chance of a simulated history, from one seed.
 *
 * Invariant: what a generator gives depends on its seed and on the number of draws from it, nothing else. `fork` depends
 * on the seed and the label only, so a draw that is added in one part of the simulation does not shift the others, and
 * a seed keeps telling about the same story while the code around it grows.
 *
 * sfc32 (Doty-Humphrey, PractRand): 128 bits of state, a few adds and shifts a draw. The state is the start of a SHA-256 of the
 * seed, so that seeds that differ in one digit have nothing in common.
 */
import { createHash } from 'node:crypto';
import type { Random } from '../base/world.ts';

/** Draws thrown away first: the counter is the only part of the state that does not come from the hash. */
const WARM_UP_DRAWS = 12;

export class SeededRandom implements Random {
  readonly #seed: string;
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: string) {
    this.#seed = seed;
    const state = createHash('sha256').update(seed).digest();
    this.#a = state.readInt32LE(0);
    this.#b = state.readInt32LE(4);
    this.#c = state.readInt32LE(8);
    for (let draw = 0; draw < WARM_UP_DRAWS; draw++) this.uint32();
  }

  uint32(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  fraction(): number {
    return this.uint32() / 2 ** 32;
  }

  /** A whole number from 0 to `count` - 1; `count` from 1 to 2^32. */
  below(count: number): number {
    if (!(Number.isInteger(count) && count >= 1 && count <= 2 ** 32)) throw new RangeError(`count: ${count} is not from 1 to 2^32`);
    return Math.floor(this.fraction() * count);
  }

  /** Uniform in [min, max). */
  between(min: number, max: number): number {
    return min + this.fraction() * (max - min);
  }

  /** Draws also where the answer is certain: a fault that is switched off does not shift what comes after it. */
  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  pick<T>(list: readonly T[]): T {
    if (list.length === 0) throw new RangeError('list: it is empty');
    return list[this.below(list.length)]!;
  }

  bytes(count: number): Uint8Array {
    const bytes = new Uint8Array(count);
    for (let index = 0; index < count; index += 4) {
      const word = this.uint32();
      for (let shift = 0; shift < 4 && index + shift < count; shift++) bytes[index + shift] = word >>> (8 * shift);
    }
    return bytes;
  }

  /** A generator of its own; the same label gives the same one again. */
  fork(label: string): SeededRandom {
    return new SeededRandom(`${this.#seed}/${label}`);
  }
}
