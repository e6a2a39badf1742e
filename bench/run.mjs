/**
 * Measures the project against its floors.
 *
 *   node bench/run.mjs NAME|all [--json] [--quick] [--runs N] [--profile DIR] [--variants]
 *
 * Prints a table, or with --json one JSON document a bench. Exit code 0: measured, no floor missed; 1: a floor missed;
 * 2: not measured. bench/README.md says what each bench measures and what it does not.
 */
import { mkdirSync, readdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { Figures, machine, table, workSeconds } from './support/report.mjs';
import { closeAllNow, Workspace } from './support/workspace.mjs';

const folder = new URL('./cases/', import.meta.url);
const benches = new Map();
for (const file of readdirSync(folder).sort()) {
  const { bench } = await import(new URL(file, folder));
  benches.set(bench.name, bench);
}

function readArguments() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      variants: { type: 'boolean', default: false },
      runs: { type: 'string' },
      profile: { type: 'string' },
    },
  });
  const runs = values.runs === undefined ? undefined : Number(values.runs);
  if (runs !== undefined && !(Number.isInteger(runs) && runs > 0)) throw new RangeError('--runs: not a whole number from 1 up');
  const names = positionals.includes('all') ? [...benches.keys()] : positionals;
  const unknown = names.filter((name) => !benches.has(name));
  if (names.length === 0 || unknown.length > 0) {
    const list = [...benches.values()].map(({ name, about }) => `  ${name.padEnd(18)} ${about}`).join('\n');
    throw new RangeError(`${unknown.length > 0 ? `no bench is called ${unknown.join(', ')}` : 'name a bench, or all'}\n${list}`);
  }
  return { ...values, runs, names };
}

async function measure(bench, { quick, variants, runs: wanted, profile }) {
  const figures = new Figures();
  const about = await machine();
  const since = performance.now();
  const before = workSeconds();
  const runs = wanted ?? (quick ? 1 : bench.runs);
  const details = [];
  for (let run = 0; run < runs; run++) {
    const context = {
      run,
      quick,
      variants,
      figures,
      /** The full size, or that of a quick run. */
      size: (full, small) => (quick ? small : full),
      workspace: (bytes) => new Workspace({ bytes, profile }),
      detail: (item) => details.push({ run, ...item }),
    };
    await bench.measure(context);
  }
  const seconds = Math.max(0.1, Math.round((performance.now() - since) / 100) / 10);
  const after = workSeconds();
  const otherSeconds = Math.max(0, after.all - before.all - (after.own - before.own));
  const otherCores = Math.round((otherSeconds / seconds) * 100) / 100;
  return { name: bench.name, about: bench.about, quick, figures: figures.list(quick), details, ...about, seconds, otherCores };
}

async function main() {
  const options = readArguments();
  if (options.profile !== undefined) {
    options.profile = resolve(options.profile);
    mkdirSync(options.profile, { recursive: true });
  }
  let missed = false;
  for (const name of options.names) {
    const result = await measure(benches.get(name), options);
    missed ||= result.figures.some(({ met }) => met === false);
    process.stdout.write(options.json ? `${JSON.stringify(result)}\n` : `${table(result)}\n`);
  }
  return missed ? 1 : 0;
}

for (const [signal, code] of Object.entries({ SIGINT: 130, SIGTERM: 143, SIGHUP: 129 })) {
  process.once(signal, () => {
    closeAllNow();
    process.exit(code);
  });
}
try {
  process.exitCode = await main();
  closeAllNow();
} catch (error) {
  closeAllNow();
  const asked = error instanceof RangeError || error.code?.startsWith('ERR_PARSE_ARGS');
  process.stderr.write(`bench: ${asked ? error.message : (error.remote ?? error.stack)}\n`);
  process.exitCode = 2;
}
