/**
 * `bench`: measures what this host makes of the work of a first sync, with the code that would do it, and says which part
 * would be the bound. It needs no node and no peer, and leaves nothing behind.
 */
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { startDiskThreads } from '../folder/disk-threads.ts';
import { RealDiskAccess } from '../folder/real-disk.ts';
import { Control } from './bench/control.ts';
import { firstSync } from './bench/first-sync.ts';
import { measureHost } from './bench/measure.ts';
import { describeBench } from './bench/report.ts';
import { isInMemory } from './bench/workspace.ts';
import { EXIT } from './exit.ts';
import { TaskBar } from './progress.ts';
import { onStopSignal } from './signals.ts';
import { toJson, type VerbContext } from './terminal.ts';

interface BenchOptions {
  readonly bytes?: number;
  readonly quick?: boolean;
  readonly profile?: string;
  readonly json?: boolean;
}

/** The exit code is that of the signal where it was stopped. */
export async function benchVerb(
  context: VerbContext,
  given: Readonly<Record<string, unknown>>,
  named: string | undefined,
): Promise<number> {
  const { terminal, currentFolder } = context;
  const options = given as BenchOptions;
  const folder = named === undefined ? tmpdir() : resolve(currentFolder, named);
  const profile = options.profile === undefined ? undefined : resolve(currentFolder, options.profile);
  using stop = onStopSignal();
  const cancel = new AbortController();
  const stopped = stop.requested.then((code) => {
    cancel.abort();
    return code;
  });
  const loadBefore = loadavg()[0]!;
  const sinceMs = performance.now();
  using bar = terminal.interactiveErrors ? new TaskBar() : undefined;
  const control = new Control(cancel.signal, (what) => bar?.show({ what: 'measuring', done: 0, total: 0, detail: what }));
  try {
    const access = new RealDiskAccess();
    const wanted = { folder, bytes: options.bytes, quick: options.quick === true, profile, access, startThreads: startDiskThreads };
    const { figures, profiles } = await measureHost(wanted, control);
    const seconds = (performance.now() - sinceMs) / 1_000;
    const report = { folder, inMemory: isInMemory(folder), cores: availableParallelism(), loadBefore, seconds, figures, profiles };
    bar?.show(undefined);
    terminal.out(options.json === true ? `${toJson({ ...report, firstSync: firstSync(figures) })}\n` : describeBench(terminal, report));
    return EXIT.done;
  } catch (error) {
    if (cancel.signal.aborted) return await stopped;
    throw error;
  }
}
