/** The script of a thread that runs histories: takes a seed at a time, answers with what came of it. */
import { parentPort } from 'node:worker_threads';
import type { HistorySize } from './simulate-run.ts';
import { historyOf, runHistory, watchRejections } from './simulate-run.ts';

// Simulated disks throw thousands of errors a second, and nobody reads their stacks. A seed that fails is run again by itself.
Error.stackTraceLimit = 0;
watchRejections();

parentPort?.on('message', ({ seed, size }: { readonly seed: number; readonly size: HistorySize }) => {
  runHistory(historyOf(seed, size)).then(
    (outcome) => parentPort?.postMessage(outcome, []),
    // A history reports its errors as findings: what comes here is a bug of the simulator, and ends this thread.
    (error: unknown) =>
      setImmediate(() => {
        throw error;
      }),
  );
});
