/**
 * `simulate`: runs the production node on simulated hosts, by seed, and says whether anything was lost. One history with its
 * trace, or many in all cores; a history that fails is made short and printed with the command that runs it again.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { messageOf, SamerootError } from '../base/errors.ts';
import { builtFile } from '../base/built-file.ts';
import { decodeHistory, encodeHistory, requireVersion, type History } from '../simulation/history.ts';
import { SIMULATION_VERSION } from '../simulation/limits.ts';
import { shrink } from '../simulation/shrink.ts';
import type { Outcome } from '../simulation/simulation.ts';
import type { TraceLine } from '../simulation/trace.ts';
import { EXIT } from './exit.ts';
import { historyOf, runHistory, watchRejections, type HistorySize } from './simulate-run.ts';
import { toJson, type Terminal, type VerbContext } from './terminal.ts';

const SHRINK_RUNS_MAX = 400;
const PROGRESS_EVERY_MS = 2_000;
/** A run that finds this many is stopped: they are likely to be one and the same. */
const FAILURES_MAX = 50;

interface SimulateOptions extends HistorySize {
  /** `7`, or `1:7` with the version of the simulation. */
  readonly seed?: string;
  readonly seeds?: number;
  readonly from: number;
  readonly jobs?: number;
  readonly history?: string;
  readonly save?: string;
  readonly json?: boolean;
  readonly shrink: boolean;
  readonly stop?: boolean;
}

/** A seed as it is printed: it means the same run in this version of the simulation only. */
export function seedText(seed: number): string {
  return `${SIMULATION_VERSION}:${seed}`;
}

/** @throws {SamerootError} `SIMULATION_VERSION`, or `CONFIG_INVALID` if it is no seed */
export function parseSeed(text: string): number {
  const match = /^(?:(\d{1,9}):)?(\d{1,16})$/.exec(text);
  const seed = Number(match?.[2]);
  if (match === null || !Number.isSafeInteger(seed)) {
    throw new SamerootError('CONFIG_INVALID', `--seed: ${text} is neither a whole number nor VERSION:NUMBER`);
  }
  if (match[1] !== undefined) requireVersion(Number(match[1]));
  return seed;
}

/** Exit code 1 where an invariant was broken. */
export async function simulateVerb(context: VerbContext, given: Readonly<Record<string, unknown>>): Promise<number> {
  const options = given as unknown as SimulateOptions;
  watchRejections();
  if (options.seeds !== undefined) return many(context.terminal, options, options.seeds);
  const history =
    options.history === undefined
      ? historyOf(parseSeed(options.seed ?? String(Date.now() % 1_000_000)), options)
      : decodeHistory(readHistory(options.history));
  return one(context.terminal, options, history);
}

function readHistory(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new SamerootError('HISTORY_DAMAGED', `${file} can not be read: ${messageOf(error)}`, { cause: error, path: file });
  }
}

function sizeOf({ replicas, steps }: SimulateOptions): HistorySize {
  return { replicas, steps };
}

// --- one history -------------------------------------------------------------------------------------------------

async function one(terminal: Terminal, options: SimulateOptions, history: History): Promise<number> {
  const outcome = await runHistory(history, options.json === true ? undefined : (line) => terminal.out(`${traceText(line)}\n`));
  const failed = outcome.violations.length > 0;
  const shrunk = failed && options.shrink ? await shorter(terminal, history, outcome) : history;
  if (options.save !== undefined) writeFileSync(options.save, encodeHistory(shrunk));
  if (options.json === true) {
    terminal.out(
      `${toJson({ ...outcome, seed: seedText(outcome.seed), replicas: history.replicas, steps: history.steps.length, ...(failed ? { shrunk: shrunk.steps } : {}) })}\n`,
    );
    return failed ? EXIT.failed : EXIT.done;
  }
  terminal.out(
    `seed ${seedText(outcome.seed)}, ${history.replicas} replicas, ${history.steps.length} steps, ${outcome.events} events in ${(outcome.virtualMs / 1_000).toFixed(1)} virtual seconds\n`,
  );
  terminal.out(`root  ${outcome.root ?? 'none'}\ntrace ${outcome.traceHash}\n`);
  for (const { invariant, message } of outcome.violations) terminal.out(`violation ${invariant}: ${message}\n`);
  if (failed && shrunk !== history)
    terminal.out(`shortest history found (${shrunk.steps.length} of ${history.steps.length} steps):\n${encodeHistory(shrunk)}`);
  terminal.out(failed ? 'violated\n' : 'no violation\n');
  return failed ? EXIT.failed : EXIT.done;
}

function traceText({ atMs, host, text }: TraceLine): string {
  return `${(atMs / 1_000).toFixed(4).padStart(11)} ${host === undefined ? '      ' : `host ${host}`} ${text}`;
}

async function shorter(terminal: Terminal, history: History, { violations }: Outcome): Promise<History> {
  const broken = violations[0]!.invariant;
  terminal.err(`sameroot: ${broken} is violated; looking for a shorter history\n`);
  const fails = async (candidate: History): Promise<boolean> =>
    (await runHistory(candidate)).violations.some(({ invariant }) => invariant === broken);
  return (await shrink(history, fails, SHRINK_RUNS_MAX)).history;
}

// --- many --------------------------------------------------------------------------------------------------------

interface Totals {
  histories: number;
  events: number;
  virtualMs: number;
  readonly counts: Map<string, number>;
  readonly failures: Outcome[];
}

async function many(terminal: Terminal, options: SimulateOptions, seeds: number): Promise<number> {
  const startMs = performance.now();
  const totals: Totals = { histories: 0, events: 0, virtualMs: 0, counts: new Map(), failures: [] };
  let shownMs = startMs;
  await runAll(options, seeds, (outcome) => {
    add(totals, outcome);
    const nowMs = performance.now();
    if (options.json === true || nowMs - shownMs < PROGRESS_EVERY_MS) return;
    shownMs = nowMs;
    terminal.err(`sameroot: ${totals.histories} of ${seeds} histories, ${totals.failures.length} violations\n`);
  });
  const seconds = (performance.now() - startMs) / 1_000;
  report(terminal, options, totals, seconds);
  return totals.failures.length > 0 ? EXIT.failed : EXIT.done;
}

function add(totals: Totals, outcome: Outcome): void {
  totals.histories++;
  totals.events += outcome.events;
  totals.virtualMs += outcome.virtualMs;
  for (const [kind, count] of Object.entries(outcome.counts)) totals.counts.set(kind, (totals.counts.get(kind) ?? 0) + count);
  if (outcome.violations.length > 0) totals.failures.push(outcome);
}

/** Each thread has one seed at a time; the order of the answers does not matter to the totals. */
async function runAll(options: SimulateOptions, seeds: number, onOutcome: (outcome: Outcome) => void): Promise<void> {
  let next = options.from;
  let failures = 0;
  const end = options.from + seeds;
  const threads = Math.min(options.jobs ?? availableParallelism(), seeds);
  const work = async (): Promise<void> => {
    const worker = new Worker(builtFile(import.meta.url, 'app/simulate-worker.js'));
    try {
      while (next < end && failures < (options.stop === true ? 1 : FAILURES_MAX)) {
        const outcome = await ask(worker, next++, sizeOf(options));
        if (outcome.violations.length > 0) failures++;
        onOutcome(outcome);
      }
    } finally {
      await worker.terminate();
    }
  };
  await Promise.all(Array.from({ length: threads }, work));
}

function ask(worker: Worker, seed: number, size: HistorySize): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const failed = (error: unknown): void =>
      reject(new SamerootError('INTERNAL', `seed ${seedText(seed)}: ${messageOf(error)}`, { cause: error }));
    worker.removeAllListeners('error').once('error', failed);
    worker.once('message', resolve);
    worker.postMessage({ seed, size }, []);
  });
}

function report(terminal: Terminal, options: SimulateOptions, totals: Totals, seconds: number): void {
  const { json } = options;
  const size = sizeOf(options);
  const { histories, events, virtualMs, failures } = totals;
  const counts = [...totals.counts]
    .filter(([kind]) => kind.startsWith('step '))
    .map(([kind, count]): [string, number] => [kind.slice('step '.length), count]);
  const violations = failures.map(({ seed, violations: [first] }) => ({
    seed: seedText(seed),
    invariant: first!.invariant,
    message: first!.message,
  }));
  if (json === true) {
    const faults = Object.fromEntries(counts.sort(([a], [b]) => (a < b ? -1 : 1)));
    terminal.out(`${toJson({ histories, ...size, violations, seconds, events, virtualSeconds: virtualMs / 1_000, faults })}\n`);
    return;
  }
  for (const { seed, invariant, message } of violations) {
    terminal.out(`violation seed ${seed}: ${invariant}: ${message}\n`);
    terminal.out(`  sameroot simulate --seed ${seed} --replicas ${size.replicas} --steps ${size.steps}\n`);
  }
  terminal.out(
    `${histories} histories of ${size.steps} steps on ${size.replicas} replicas in ${seconds.toFixed(1)} s: ${violations.length} violations\n`,
  );
  terminal.out(`${events} events, ${(virtualMs / 3_600_000).toFixed(1)} virtual hours\n`);
  terminal.out(
    `${counts
      .sort(([, a], [, b]) => b - a)
      .map(([kind, count]) => `${kind} ${count}`)
      .join(', ')}\n`,
  );
}
