/** Figures: collected over runs, judged against floors, printed. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, freemem, loadavg, release, totalmem } from 'node:os';
import { distUrl } from './common.mjs';

/** `floor` is the least good value that is good enough; `better` tells which way. Without a floor a figure is only told. */
export class Figures {
  #figures = new Map();

  add(name, unit, value, { floor, better = 'higher' } = {}) {
    if (!Number.isFinite(value)) throw new Error(`${name}: ${value} is no figure`);
    const figure = this.#figures.get(name) ?? { name, unit, better, floor, runs: [] };
    figure.runs.push(round(value));
    this.#figures.set(name, figure);
  }

  list(quick) {
    return [...this.#figures.values()].map(({ name, unit, better, floor, runs }) => {
      const sorted = runs.toSorted((a, b) => a - b);
      const middle = sorted.length >> 1;
      const median = sorted.length % 2 === 1 ? sorted[middle] : round((sorted[middle - 1] + sorted[middle]) / 2);
      const judged = floor === undefined || quick ? {} : { met: better === 'higher' ? median >= floor : median <= floor };
      const goal = floor === undefined ? {} : { floor, better };
      return { name, unit, ...goal, ...judged, median, min: sorted[0], max: sorted.at(-1), runs };
    });
  }
}

function round(value) {
  return Number.isInteger(value) ? value : Number(value.toPrecision(4));
}

export async function machine() {
  const { hashImplementation } = await import(distUrl('content/hash.js'));
  const model = /^model name\s*: (.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? cpus()[0]?.model ?? process.arch;
  return {
    machine: {
      cpu: model,
      cores: cpus().length,
      memoryMB: Math.round(totalmem() / 1e6),
      freeMB: Math.round(freemem() / 1e6),
      kernel: release(),
    },
    versions: { node: process.version, hash: hashImplementation(), ...projectVersion() },
    load: loadavg().map((value) => Number(value.toFixed(2))),
  };
}

/**
 * Seconds of work of all cores, and of this process with the children that have ended. What is left between the two is
 * other people's work (and the kernel's writing of our files): it tells how far a figure can be trusted.
 */
export function workSeconds() {
  const ticksPerSecond = 100;
  const [user, nice, system, , , irq, softirq] = /^cpu +(.*)$/m.exec(readFileSync('/proc/stat', 'latin1'))[1].split(' ').map(Number);
  const own = readFileSync('/proc/self/stat', 'latin1');
  const times = own
    .slice(own.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 15);
  const sum = (ticks) => ticks.reduce((total, one) => total + Number(one), 0) / ticksPerSecond;
  return { all: sum([user, nice, system, irq, softirq]), own: sum(times) };
}

function projectVersion() {
  const top = new URL('../..', import.meta.url);
  const { name, version } = JSON.parse(readFileSync(new URL('package.json', top), 'utf8'));
  try {
    const commit = execFileSync('git', ['-C', top.pathname, 'rev-parse', '--short', 'HEAD'], { stdio: ['ignore', 'pipe', 'ignore'] });
    return { [name]: version, commit: commit.toString().trim() };
  } catch {
    return { [name]: version };
  }
}

export function table(result) {
  const mark = ({ met }) => (met === undefined ? '' : met ? 'met' : 'MISSED');
  const bound = ({ floor, better }) => (floor === undefined ? '' : `${better === 'higher' ? '>=' : '<='} ${amount(floor)}`);
  const rows = [['figure', 'median', 'unit', 'floor', '', 'min', 'max', 'runs']];
  for (const figure of result.figures) {
    const { name, median, unit, min, max, runs } = figure;
    rows.push([name, amount(median), unit, bound(figure), mark(figure), amount(min), amount(max), String(runs.length)]);
  }
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const numeric = new Set([1, 5, 6, 7]);
  const lines = rows.map((row) =>
    row
      .map((cell, column) => (numeric.has(column) ? cell.padStart(widths[column]) : cell.padEnd(widths[column])))
      .join('  ')
      .trimEnd(),
  );
  const quick = result.quick ? ' (quick: small sizes, floors are not judged)' : '';
  const others = `  cores busy with other work meanwhile: ${result.otherCores} of ${result.machine.cores}`;
  return [`${result.name}${quick}: ${result.about}`, ...lines.map((line) => `  ${line}`), others, ''].join('\n');
}

function amount(value) {
  return value.toLocaleString('en-US', { maximumSignificantDigits: Math.abs(value) >= 1000 ? 21 : 4 });
}
