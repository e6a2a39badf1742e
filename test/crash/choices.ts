/**
 * The choices of a test: moments, victims, what is written where. Seeded and printed, so that a failure can be tried
 * again with `SAMEROOT_SEED`; the same choices then meet another timing, as the processes are real.
 */
import { createHash } from 'node:crypto';

/** The seed of this run, printed with the name of the test. */
export function printSeed(test: string): number {
  const seed = Number(process.env['SAMEROOT_SEED'] ?? Date.now() % 1_000_000);
  console.log(`${test}: SAMEROOT_SEED=${seed}`);
  return seed;
}

/** `count` numbers below 1 that look random; printed with their seed. */
export function seededFractions(test: string, count: number): number[] {
  const choices = new Choices(printSeed(test), test);
  return Array.from({ length: count }, () => choices.fraction());
}

export class Choices {
  readonly #label: string;
  #drawn = 0;

  /** One for each who chooses: then the choices of one do not depend on how often the others chose before. */
  constructor(seed: number, label: string) {
    this.#label = `${seed} ${label}`;
  }

  /** From 0 to below 1. */
  fraction(): number {
    return createHash('sha256').update(`${this.#label} ${this.#drawn++}`).digest().readUInt32LE() / 2 ** 32;
  }

  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  /** A whole number from 0 to below `count`. */
  below(count: number): number {
    return Math.floor(this.fraction() * count);
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
}
