/**
 * Runs the peers beside us: the same work, the same machine, the same minutes.
 *
 *   node bench/peers/run.mjs [--case NAME,..] [--peer NAME,..] [--quick] [--variants] [--runs N] [--json] [--figures DIR]
 *                            [--install] [--keep] [--list]
 *
 * Prints a table, or with --json one JSON document a case. Exit code 0: measured, no goal missed and nobody failed;
 * 1: a goal missed or a contestant failed; 2: not measured. bench/README.md says what is compared with what.
 */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { closeAllNow, requireFreeBytes } from '../support/workspace.mjs';
import { drawCase } from './support/figures.mjs';
import { measureCase } from './support/measure.mjs';
import { installModules } from './support/modules.mjs';
import { OURS, readOptions } from './support/options.mjs';
import { installPrograms } from './support/programs.mjs';
import { judge, table } from './support/report.mjs';

const say = (text) => process.stderr.write(`${text}\n`);

/** What the modules of a folder export under this name, in the order of their files. */
async function load(folder, name) {
  const url = new URL(`./${folder}/`, import.meta.url);
  const modules = await Promise.all(readdirSync(url).map((file) => import(new URL(file, url))));
  const found = modules.flatMap((module) => module[name]);
  // Ourselves first.
  return found.sort((a, b) => Number(b.name.startsWith(OURS)) - Number(a.name.startsWith(OURS)));
}

/** Puts the contestants that can run apart from those that are missing. */
async function gather({ contestants, cases, install, namedPeers }) {
  const wanted = contestants.filter((one) => cases.some(({ name }) => one.cases.includes(name)));
  const programs = wanted.filter((one) => one.program !== undefined && one.missing() !== undefined).map(({ program }) => program);
  if (install) installPrograms([...new Set(programs)]);
  if (wanted.some(({ modules }) => modules !== undefined)) await installModules(say);
  const missing = wanted.flatMap((one) => {
    const lack = one.missing();
    return lack === undefined ? [] : [{ name: one.name, ...lack }];
  });
  const named = missing.filter(({ name }) => namedPeers.has(name));
  if (named.length > 0) throw new RangeError(named.map(({ name, reason, remedy }) => `${name}: ${reason}; ${remedy}`).join('\n'));
  for (const { name, reason, remedy } of missing) say(`missing: ${name}: ${reason} (${remedy})`);
  const present = wanted.filter(({ name }) => !missing.some((one) => one.name === name));
  const versions = Object.fromEntries(await Promise.all(present.map(async (one) => [one.name, await one.version()])));
  return { present, missing, versions };
}

/** The most that any part of any case needs at once; asked before the first run, not hours later. */
function requireRoom(cases, options, contestants) {
  const needs = cases.flatMap((one) =>
    one.parts(options).map((part) => one.diskBytes(part) * (one.keepsPairs === true ? contestants.length : 1)),
  );
  requireFreeBytes(Math.max(...needs));
}

function writeFigures(folder, result) {
  if (folder === undefined) return;
  mkdirSync(folder, { recursive: true });
  for (const { name, svg } of drawCase(result)) writeFileSync(join(folder, `${name}.svg`), svg);
}

async function main() {
  const known = { cases: await load('cases', 'cases'), contestants: await load('contestants', 'contestants') };
  const options = readOptions(process.argv.slice(2), known);
  if (options.text !== undefined) {
    process.stdout.write(`${options.text}\n`);
    return 0;
  }
  const { present, missing, versions } = await gather(options);
  requireRoom(options.cases, options, present);
  let good = true;
  for (const benchCase of options.cases) {
    const result = await measureCase(benchCase, { ...options, contestants: present }, say);
    const concerned = missing.filter(({ name }) => options.contestants.find((one) => one.name === name).cases.includes(benchCase.name));
    const judged = { ...judge(result), versions: { ...result.versions, ...versions }, missing: concerned };
    for (const part of judged.parts) {
      good &&= part.goals.every(({ met }) => met !== false) && part.contestants.every(({ failed }) => failed === undefined);
    }
    writeFigures(options.figures, result);
    process.stdout.write(options.json ? `${JSON.stringify(judged)}\n` : `${table(judged, { ...benchCase, missing: concerned })}\n\n`);
  }
  return good ? 0 : 1;
}

for (const [signal, code] of Object.entries({ SIGINT: 130, SIGTERM: 143, SIGHUP: 129 })) {
  process.once(signal, () => {
    say(`bench: ${signal}: ending what was started`);
    closeAllNow();
    process.exit(code);
  });
}

function fail(error) {
  closeAllNow();
  const asked = error instanceof RangeError || error.code === 'ENOSPC' || error.code?.startsWith('ERR_PARSE_ARGS');
  say(`bench: ${asked ? error.message : (error.remote ?? error.stack)}`);
  process.exitCode = 2;
}

// A bug of ours must not leave anything behind either.
process.once('uncaughtException', (error) => {
  fail(error);
  process.exit();
});
try {
  process.exitCode = await main();
  closeAllNow();
} catch (error) {
  fail(error);
}
