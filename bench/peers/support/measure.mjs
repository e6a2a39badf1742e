/**
 * Runs one case: its parts, in each the contestants in turn. A contestant that fails (an error, a time limit, a target
 * that is not like the source) is out of that part and is named with the reason; the others go on.
 */
import { machine, workSeconds } from '../../support/report.mjs';
import { Workspace } from '../../support/workspace.mjs';
import { rounded, spread } from './maths.mjs';
import { interleaved } from './schedule.mjs';

const TURN_MS_MAX = 1_800_000;
const QUICK_TURN_MS_MAX = 180_000;

/**
 * @param {object} benchCase
 * @param {{ quick: boolean, variants: boolean, runs: number, keep: boolean, contestants: readonly object[] }} options
 * @param {(text: string) => void} say
 */
export async function measureCase(benchCase, options, say) {
  const about = await machine();
  const since = performance.now();
  const before = workSeconds();
  const parts = [];
  for (const part of benchCase.parts(options)) parts.push(await measurePart(benchCase, part, options, say));
  const seconds = Math.max(0.1, rounded((performance.now() - since) / 1000));
  const after = workSeconds();
  const otherSeconds = Math.max(0, after.all - before.all - (after.own - before.own));
  const { name, metrics, goals, figures } = benchCase;
  return {
    case: name,
    about: benchCase.about,
    quick: options.quick,
    parts,
    metrics,
    goals,
    figures,
    ...about,
    seconds,
    otherCores: rounded(otherSeconds / seconds),
  };
}

async function measurePart(benchCase, part, options, say) {
  const contestants = options.contestants.filter(
    ({ name, cases }) => cases.includes(benchCase.name) && (part.only?.includes(name) ?? true),
  );
  const samples = new Map(contestants.map(({ name }) => [name, new Map()]));
  const failures = new Map();
  const stage = new Stage(benchCase, part, options, say);
  try {
    for (const { run, contestant } of interleaved(contestants, options.runs)) {
      if (failures.has(contestant.name)) continue;
      say(`${benchCase.name}, ${part.label}: run ${run + 1} of ${options.runs}, ${contestant.name}`);
      try {
        add(samples.get(contestant.name), await stage.turn(contestant, run));
      } catch (error) {
        failures.set(contestant.name, error.message);
        say(`  ${contestant.name} failed: ${error.remote ?? error.stack}`);
      }
    }
  } finally {
    await stage.close();
  }
  const rows = contestants.map(({ name }) => ({ name, ...outcome(failures.get(name), samples.get(name)) }));
  return { label: part.label, contestants: rows };
}

function outcome(failed, samples) {
  if (failed !== undefined) return { failed, metrics: {} };
  return { metrics: Object.fromEntries([...samples].map(([metric, runs]) => [metric, { ...roundedSpread(runs), runs }])) };
}

const roundedSpread = (runs) => Object.fromEntries(Object.entries(spread(runs)).map(([name, value]) => [name, rounded(value)]));

function add(samples, measured) {
  for (const [metric, value] of Object.entries(measured)) {
    if (value === undefined) continue;
    if (!Number.isFinite(value)) throw new Error(`${metric}: ${value} is no figure`);
    samples.set(metric, [...(samples.get(metric) ?? []), rounded(value)]);
  }
}

/** The workspaces of a part: one for each turn, or one for each contestant where the case keeps its pairs open. */
class Stage {
  #case;
  #part;
  #options;
  #say;
  /** Contestant -> its workspace and what the case opened in it. */
  #kept = new Map();

  constructor(benchCase, part, options, say) {
    this.#say = say;
    this.#case = benchCase;
    this.#part = part;
    this.#options = options;
  }

  async turn(contestant, run) {
    const limitMs = this.#options.quick ? QUICK_TURN_MS_MAX : TURN_MS_MAX;
    const kept = this.#kept.get(contestant) ?? { space: this.#space() };
    this.#kept.set(contestant, kept);
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`not done within ${limitMs / 1000} s`)), limitMs);
    });
    let good = false;
    try {
      const measured = await Promise.race([this.#play(contestant, run, kept), late]);
      good = true;
      return measured;
    } finally {
      clearTimeout(timer);
      if (!good || this.#case.keepsPairs !== true) await this.#end(contestant);
    }
  }

  async close() {
    for (const contestant of this.#kept.keys()) await this.#end(contestant);
  }

  #space() {
    return new Workspace({ bytes: this.#case.diskBytes(this.#part), keep: this.#options.keep });
  }

  async #play(contestant, run, kept) {
    const { space } = kept;
    const context = { contestant, part: this.#part, space, run, quick: this.#options.quick };
    kept.state ??= await this.#case.open(context);
    return this.#case.turn(kept.state, context);
  }

  async #end(contestant) {
    const { space } = this.#kept.get(contestant);
    this.#kept.delete(contestant);
    if (this.#options.keep) this.#say(`  kept: ${space.folder}`);
    // ext4 does not use an inode again in the minutes after its file was deleted, and looks at each of them for every new file:
    // the contestant that comes after thousands of deletions would pay for them.
    if (this.#case.manyFiles === true) await space.end();
    else await space.close();
  }
}
