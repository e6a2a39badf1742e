/**
 * Deliberate bugs, one after the other, and what catches each: the simulator, or else the tests that state the law it breaks.
 * What the simulator does not find in a program that is known to be wrong, it would not find in ours. See mutants.md.
 *
 *   node test/simulation/mutants.mjs [--only NAME]... [--seeds COUNT] [--laws] [--json | --markdown]
 *
 * `--laws` leaves the simulator out, `--markdown` prints the table of mutants.md. Exit code 1 where a mutant survives, or where one is stale: its text is not in the
 * sources exactly once.
 */
import { parseArgs } from 'node:util';
import { MUTANTS } from './mutant-list.mjs';
import { isStale, Workspace } from './mutant-workspace.mjs';

const SEEDS = 2_000;
/** The program as it is has to pass what is taken as proof against a mutant. */
const SOUND_SEEDS = 50;

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', multiple: true },
    seeds: { type: 'string', default: String(SEEDS) },
    laws: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    markdown: { type: 'boolean', default: false },
  },
});

/**
 * @typedef {{ name: string, breaks: string, caught: boolean, by: string, histories: number | undefined, seconds: number }} Result
 * `histories`: how many the simulator ran, to the first violation or in vain.
 */

/**
 * @param {Workspace} workspace
 * @param {import('./mutant-list.mjs').Mutant | undefined} mutant
 * @param {number} seeds
 * @param {readonly string[]} laws
 */
async function prove(workspace, mutant, seeds, laws) {
  return workspace.with(mutant, async () => {
    const simulated = options.laws ? undefined : await workspace.simulate(seeds);
    if (simulated?.caught === true) return { ...simulated, by: `simulator: ${simulated.by}` };
    const tested = await workspace.laws(laws);
    const by = tested.caught ? tested.by : [simulated?.by, tested.by].filter((text) => text !== undefined && text !== '').join('; ');
    return { caught: tested.caught, by, histories: simulated?.histories };
  });
}

/** @param {Result} result */
function caughtText({ caught, by }) {
  return caught ? by : `SURVIVES${by === '' ? '' : ` (${by})`}`;
}

/** @param {readonly Result[]} results */
function table(results) {
  const rows = results.map((result) => [
    result.name,
    result.breaks,
    caughtText(result),
    String(result.histories ?? ''),
    result.seconds.toFixed(1),
  ]);
  const all = [['mutant', 'what it breaks', 'caught by', 'histories', 'seconds'], ...rows];
  const widths = all[0].map((_, column) => Math.max(...all.map((row) => row[column].length)));
  return all
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column]))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** @param {readonly Result[]} results */
function markdown(results) {
  const rows = results.map((result) => {
    const { name, file, breaks, promise } = MUTANTS.find((mutant) => mutant.name === result.name);
    // Of a law its file: the names of tests change more often.
    const by = caughtText(result).replace(/^(test\/\S+):.*/s, '`$1`');
    return [`\`${name}\``, `\`${file}\``, breaks, promise, by, String(result.histories ?? '')];
  });
  const head = ['mutant', 'file', 'what it breaks', 'promise', 'caught by', 'histories'];
  return [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');
}

/** @param {readonly import('./mutant-list.mjs').Mutant[]} mutants */
async function run(mutants) {
  /** @type {Result[]} */
  const results = [];
  const workspace = new Workspace();
  try {
    const laws = [...new Set(mutants.flatMap((mutant) => mutant.laws))];
    const sound = await prove(workspace, undefined, Math.min(SOUND_SEEDS, Number(options.seeds)), laws);
    if (sound.caught) throw new Error(`the program fails as it is, so nothing can be told of mutants: ${sound.by}`);
    for (const mutant of mutants) {
      const startMs = performance.now();
      const proof = await prove(workspace, mutant, Number(options.seeds), mutant.laws);
      results.push({ name: mutant.name, breaks: mutant.breaks, ...proof, seconds: (performance.now() - startMs) / 1_000 });
      console.error(`${results.length} of ${mutants.length}: ${mutant.name}: ${proof.caught ? proof.by : 'SURVIVES'}`);
    }
  } finally {
    workspace.remove();
  }
  return results;
}

const chosen = MUTANTS.filter(({ name }) => options.only === undefined || options.only.includes(name));
const unknown = (options.only ?? []).filter((name) => !MUTANTS.some((mutant) => mutant.name === name));
if (unknown.length > 0 || !(Number(options.seeds) >= 1)) {
  console.error(unknown.length > 0 ? `no such mutant: ${unknown.join(', ')}` : '--seeds: not a number from 1 on');
  process.exit(2);
}
const stale = chosen.filter(isStale);
for (const { name, file } of stale) console.error(`STALE: ${name}: its text is not in ${file} exactly once`);
const results = await run(chosen.filter((mutant) => !stale.includes(mutant)));
const survivors = results.filter(({ caught }) => !caught);
if (options.json) console.log(JSON.stringify({ results, stale: stale.map(({ name }) => name) }, undefined, 2));
else if (options.markdown) console.log(markdown(results));
else {
  console.log(table(results));
  console.log(`${results.length - survivors.length} of ${results.length} caught; ${stale.length} stale`);
}
process.exitCode = survivors.length > 0 || stale.length > 0 ? 1 : 0;
