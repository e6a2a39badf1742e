/**
 * Makes a failing history short: tries ever smaller parts of it without some of its steps, and keeps each that still
 * breaks the same invariant. Delta debugging (Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input",
 * IEEE TSE 28(2), 2002), on complements only: a history does not fail by a single step.
 */
import type { History, Step } from './history.ts';

export interface Shrunk {
  readonly history: History;
  readonly runs: number;
}

/** `fails`: does this history break the invariant in question? Asked at most `runsMax` times. */
export async function shrink(history: History, fails: (history: History) => Promise<boolean>, runsMax: number): Promise<Shrunk> {
  let steps: readonly Step[] = history.steps;
  let runs = 0;
  let parts = 2;
  while (steps.length > 1 && runs < runsMax) {
    const size = Math.ceil(steps.length / parts);
    let shorter: readonly Step[] | undefined;
    for (let from = 0; from < steps.length && shorter === undefined && runs < runsMax; from += size) {
      const rest = without(steps, from, from + size);
      runs++;
      if (await fails({ ...history, steps: rest })) shorter = rest;
    }
    if (shorter !== undefined) {
      steps = shorter;
      parts = Math.max(2, parts - 1);
    } else if (size === 1) break;
    else parts = Math.min(steps.length, parts * 2);
  }
  return { history: { ...history, steps }, runs };
}

/** What remains happens when it did before: the pauses of the steps taken out go to the next one. */
function without(steps: readonly Step[], from: number, to: number): Step[] {
  const rest = steps.slice(0, from);
  const pauseMs = steps.slice(from, to).reduce((sum, { afterMs }) => sum + afterMs, 0);
  for (const [index, step] of steps.slice(to).entries()) rest.push(index === 0 ? { ...step, afterMs: step.afterMs + pauseMs } : step);
  return rest;
}
