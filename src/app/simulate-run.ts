/**
 * Runs histories in this thread: what the verb `simulate` and its worker threads share.
 *
 * The simulator is told here, and only here, how Node.js lets every promise go on before the next event.
 */
import { makeHistory, type History } from '../simulation/history.ts';
import { SeededRandom } from '../simulation/random.ts';
import { simulate, type Outcome } from '../simulation/simulation.ts';
import type { TraceLine } from '../simulation/trace.ts';

export interface HistorySize {
  readonly replicas: number;
  readonly steps: number;
}

/** Ticks starve what comes from outside (signals, messages of other threads): now and then it gets a turn. */
const TICKS_PER_TURN = 256;

let ticks = 0;

/** A tick runs when no microtask is left, and costs a third of a turn of the event loop. */
function drain(): Promise<void> {
  return new Promise((resolve) => {
    if (++ticks % TICKS_PER_TURN === 0) setImmediate(resolve);
    else process.nextTick(resolve);
  });
}

let onUnhandled: ((error: unknown) => void) | undefined;

/** From now on a rejection that nobody handles is a finding of the history that runs, not the end of the process. */
export function watchRejections(): void {
  process.on('unhandledRejection', (error) => onUnhandled?.(error));
}

export function historyOf(seed: number, size: HistorySize): History {
  return makeHistory(seed, size, new SeededRandom(`history ${seed}`));
}

export async function runHistory(history: History, print?: (line: TraceLine) => void): Promise<Outcome> {
  try {
    return await simulate(history, { drain, onUnhandled: (report) => (onUnhandled = report), ...(print === undefined ? {} : { print }) });
  } finally {
    onUnhandled = undefined;
  }
}
