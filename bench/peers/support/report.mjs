/** What is told about a case: ratios, goals, missing peers; as a table for people, as JSON for programs. */
import { OURS } from './options.mjs';
import { ratio, rounded } from './maths.mjs';

/** Adds what follows from the medians: how each compares with us, and whether our goals are met. */
export function judge(result) {
  const parts = result.parts.map((part) => {
    const ours = part.contestants.find(({ name }) => name === OURS)?.metrics ?? {};
    const contestants = part.contestants.map((one) => ({ ...one, metrics: withRatios(one.metrics, ours) }));
    return { ...part, contestants, goals: goalsOf(result, part) };
  });
  const { goals: _, metrics: __, figures: ___, ...rest } = result;
  const units = Object.fromEntries(Object.entries(result.metrics).map(([name, { unit }]) => [name, unit]));
  return { ...rest, units, parts };
}

function withRatios(metrics, ours) {
  return Object.fromEntries(
    Object.entries(metrics).map(([name, figure]) => {
      const timesOurs = ratio(figure.median, ours[name]?.median);
      return [name, { ...figure, ...(timesOurs !== undefined && { timesOurs: rounded(timesOurs) }) }];
    }),
  );
}

/** `most` and `least` bound our median, or its ratio to that of `against`. A part that a goal does not name is not meant. */
function goalsOf(result, part) {
  return result.goals
    .filter((goal) => goal.part === undefined || goal.part === part.label)
    .flatMap(({ metric, of, against, most, least }) => {
      const medianOf = (name) => part.contestants.find((one) => one.name === name)?.metrics[metric]?.median;
      const value = against === undefined ? medianOf(of) : ratio(medianOf(of), medianOf(against));
      if (value === undefined) return [];
      const met = result.quick ? undefined : (most === undefined || value <= most) && (least === undefined || value >= least);
      const bound = most === undefined ? { least: rounded(least) } : { most: rounded(most) };
      return [
        { metric, of, ...(against !== undefined && { against }), ...bound, value: rounded(value), ...(met !== undefined && { met }) },
      ];
    });
}

/** @param {ReturnType<typeof judge>} judged */
export function table(judged, { metrics, missing }) {
  const lines = [`${judged.case}${judged.quick ? ' (quick: small sizes, goals are not judged)' : ''}: ${judged.about}`];
  for (const part of judged.parts)
    lines.push(`  ${part.label}`, ...align(rowsOf(part, metrics)).map((line) => `    ${line}`), ...told(part));
  for (const { name, reason, remedy } of missing) lines.push(`  missing: ${name}: ${reason} (${remedy})`);
  const { machine, load, otherCores } = judged;
  lines.push(`  ${machine.cpu}, ${machine.cores} cores, load before ${load[0]}, cores busy with other work meanwhile ${otherCores}`);
  return lines.join('\n');
}

function rowsOf(part, metrics) {
  const rows = [['', 'contestant', 'median', 'unit', 'times ours', 'min', 'max', 'runs']];
  for (const [metric, { title, unit }] of Object.entries(metrics)) {
    const known = part.contestants.filter((one) => one.metrics[metric] !== undefined);
    for (const [index, { name, metrics: own }] of known.entries()) {
      const { median, min, max, runs, timesOurs } = own[metric];
      const ratioText = timesOurs === undefined ? '' : amount(timesOurs);
      rows.push([index === 0 ? title : '', name, amount(median), unit, ratioText, amount(min), amount(max), String(runs.length)]);
    }
  }
  return rows;
}

function told(part) {
  const failed = part.contestants.filter(({ failed }) => failed !== undefined).map(({ name, failed }) => `    FAILED: ${name}: ${failed}`);
  const goals = part.goals.map(({ metric, of, against, most, least, value, met }) => {
    const verdict = met === undefined ? 'not judged' : met ? 'met' : 'MISSED';
    const bound = most === undefined ? `at least ${amount(least)}` : `at most ${amount(most)}`;
    return `    goal ${verdict}: ${metric} of ${of}${against === undefined ? '' : ` by that of ${against}`}: ${amount(value)}, ${bound}`;
  });
  return [...goals, ...failed];
}

const NUMERIC_COLUMNS = new Set([2, 4, 5, 6, 7]);

function align(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const cell = (text, column) => (NUMERIC_COLUMNS.has(column) ? text.padStart(widths[column]) : text.padEnd(widths[column]));
  return rows.map((row) => row.map(cell).join('  ').trimEnd());
}

function amount(value) {
  return value.toLocaleString('en-US', { maximumSignificantDigits: Math.abs(value) >= 1000 ? 21 : 4 });
}
