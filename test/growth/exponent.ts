/**
 * How a cost grows, as one number: the exponent `a` of the power law `cost = c * size^a` that fits best, by least squares of
 * the logarithms. 0 is a cost that does not grow, 1 one in proportion. A cost that grows with the logarithm has no exponent;
 * over the sizes here, three decades from 100 on, it looks like some 0.1 to 0.2, and ever less further on.
 */

export interface Point {
  readonly size: number;
  readonly cost: number;
}

/** @throws {RangeError} for fewer than three sizes, or what has no logarithm */
export function exponentOf(points: readonly Point[]): number {
  if (new Set(points.map(({ size }) => size)).size < 3) throw new RangeError('points: fewer than three sizes say nothing of growth');
  if (points.some(({ size, cost }) => !(size > 0) || !(cost > 0))) throw new RangeError('points: sizes and costs must be more than 0');
  const xs = points.map(({ size }) => Math.log(size));
  const ys = points.map(({ cost }) => Math.log(cost));
  const [meanX, meanY] = [mean(xs), mean(ys)];
  const covariance = mean(xs.map((x, at) => (x - meanX) * (ys[at]! - meanY)));
  return covariance / mean(xs.map((x) => (x - meanX) ** 2));
}

export function mean(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
}

/** What a test can print: `vitest --reporter=verbose` shows it. */
export interface Report {
  readonly annotate: (message: string) => Promise<unknown>;
}

/** Measures `costOf` for each size, one after the other, and says what came out. Costs are counts (pages, bytes, messages), the same in every run. */
export async function growth(
  { annotate }: Report,
  what: string,
  sizes: readonly number[],
  costOf: (size: number) => number | Promise<number>,
): Promise<number> {
  const points: Point[] = [];
  for (const size of sizes) points.push({ size, cost: await costOf(size) });
  const exponent = exponentOf(points);
  const costs = points.map(({ size, cost }) => `${size}: ${Number(cost.toPrecision(4))}`).join(', ');
  await annotate(`${what}: exponent ${exponent.toFixed(2)} (${costs})`);
  return exponent;
}
