import * as fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { exponentOf } from './exponent.ts';

function exponentWith(costOf: (size: number) => number, sizes: readonly number[] = [100, 1_000, 10_000, 100_000]): number {
  return exponentOf(sizes.map((size) => ({ size, cost: costOf(size) })));
}

describe('the exponent', () => {
  test('of a power law is its exponent, whatever its factor', () => {
    fc.assert(
      fc.property(fc.double({ min: -3, max: 3, noNaN: true }), fc.double({ min: 1e-3, max: 1e6, noNaN: true }), (exponent, factor) => {
        expect(exponentWith((size) => factor * size ** exponent)).toBeCloseTo(exponent, 6);
      }),
    );
  });

  it.each([
    ['a constant', () => 7, 0, 0],
    ['a logarithm', (size: number) => Math.log2(size), 0.1, 0.2],
    ['a constant and a logarithm', (size: number) => 20 + Math.log2(size), 0.03, 0.06],
    ['n log n', (size: number) => size * Math.log2(size), 1.1, 1.2],
    ['a little that grows with n beside much that does not', (size: number) => 1_000 + size / 10, 0.3, 0.4],
    ['a square', (size: number) => size ** 2 + 100, 1.9, 2],
  ] as [string, (size: number) => number, number, number][])('of %s lies where it should', (_name, costOf, least, most) => {
    const exponent = exponentWith(costOf);
    expect(exponent).toBeGreaterThanOrEqual(least - 1e-9);
    expect(exponent).toBeLessThanOrEqual(most + 1e-9);
  });

  it('is that of the line with the least squares', () => {
    // In logarithms to base e: (0, 0), (1, 2), (2, 1). The slope is 1/2.
    const [one, two] = [Math.E, Math.E ** 2];
    expect(
      exponentOf([
        { size: 1, cost: 1 },
        { size: one, cost: two },
        { size: two, cost: one },
      ]),
    ).toBeCloseTo(0.5, 9);
  });

  it('needs three sizes, and costs that are more than nothing', () => {
    expect(() => exponentWith(() => 1, [10, 100, 100])).toThrow(RangeError);
    expect(() => exponentWith(() => 0, [1, 10, 100])).toThrow(RangeError);
    expect(() => exponentWith(() => 1, [0, 10, 100])).toThrow(RangeError);
  });
});
