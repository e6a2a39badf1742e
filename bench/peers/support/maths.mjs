/** The arithmetic of the report, apart from what it is measured on: pure, so that tests can state what it must give. */

/**
 * @param {readonly number[]} values at least one
 * @returns {{ median: number, min: number, max: number }}
 */
export function spread(values) {
  if (values.length === 0) throw new RangeError('values: none');
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return { median, min: sorted[0], max: sorted[sorted.length - 1] };
}

/**
 * The smallest value that `share` of all do not exceed (nearest rank).
 * @param {readonly number[]} values
 * @param {number} share from 0 to 1
 */
export function percentile(values, share) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(sorted.length * share) - 1))];
}

/**
 * How often `base` goes into `value`. Undefined where that says nothing.
 * @param {number | undefined} value
 * @param {number | undefined} base
 */
export function ratio(value, base) {
  return value === undefined || base === undefined || base === 0 ? undefined : value / base;
}

/**
 * The exponent k of y = c * x^k: the slope of the least-squares line through the logarithms.
 * @param {readonly (readonly [number, number])[]} points x and y, both above 0, at least two different x
 */
export function fittedExponent(points) {
  const logs = points.map(([x, y]) => [Math.log(x), Math.log(y)]);
  const mean = (index) => logs.reduce((sum, pair) => sum + pair[index], 0) / logs.length;
  const [meanX, meanY] = [mean(0), mean(1)];
  const along = logs.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0);
  const across = logs.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  if (!Number.isFinite(along) || across === 0) throw new RangeError('points: all above 0 and at least two different x');
  return along / across;
}

/**
 * The fewest bytes that can say which `differences` of `count` entries differ: log2 of the number of choices, by
 * Stirling's formula d * log2(n/d) + 1.44 * d bits.
 * @param {number} differences
 * @param {number} count
 */
export function boundBytes(differences, count) {
  return (differences * Math.log2(count / differences) + 1.44 * differences) / 8;
}

/** What naming each difference by its 32-byte hash costs. */
export const hashBytes = (/** @type {number} */ differences) => differences * 32;

/** Four digits, or whole numbers: more would claim a precision that no run has. */
export function rounded(/** @type {number} */ value) {
  return Math.abs(value) >= 1_000 ? Math.round(value) : Number(value.toPrecision(4));
}
