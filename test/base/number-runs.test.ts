import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NumberRuns } from '../../src/base/number-runs.ts';

const NUMBERS = 40;
const someRun = fc.record({ first: fc.nat({ max: NUMBERS - 1 }), count: fc.nat({ max: 8 }) });

function numbersOf({ first, count }: { readonly first: number; readonly count: number }): number[] {
  return Array.from({ length: count }, (_, index) => first + index);
}

describe('runs of numbers', () => {
  it('are the set of all that was added, in as few runs as there can be', () => {
    fc.assert(
      fc.property(fc.array(someRun, { maxLength: 20 }), fc.array(someRun, { minLength: 1, maxLength: 20 }), (added, asked) => {
        const runs = new NumberRuns();
        const model = new Set<number>();
        for (const run of added) {
          runs.add(run);
          for (const number of numbersOf(run)) model.add(number);
        }
        expect(runs.runs.flatMap(numbersOf)).toEqual([...model].sort((a, b) => a - b));
        const begins = [...model].filter((number) => !model.has(number - 1)).length;
        expect(runs.size).toBe(begins);
        expect(runs.runs.length).toBe(begins);
        for (const run of asked) expect(runs.has(run)).toBe(numbersOf(run).every((number) => model.has(number)));
      }),
    );
  });
});
