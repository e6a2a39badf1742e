/**
 * Lets go of the memory of messages that are through.
 *
 * V8 frees a buffer when it collects the small object that stands for it, and collects young objects when some megabytes of
 * them have come together. A socket read is 64 KiB of buffer beside some hundred bytes of objects, so the dead buffers pile
 * up until their sum, 64 MB, makes V8 mark the whole heap: 18 to 50 times for a GiB, and collecting was a quarter of the processor time
 * of who received it (docs/BENCHMARKS.md). A collection of young objects after every 16 MiB finds those buffers in a few milliseconds.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { MIB } from '../base/limits.ts';

const COLLECT_EVERY_BYTES: number = 16 * MIB;

type Collect = (options: { readonly type: 'minor' }) => void;

/** A new context has what the flag brings; this one was made before it was set. */
function findCollect(): Collect | undefined {
  setFlagsFromString('--expose-gc');
  const found: unknown = runInNewContext('globalThis.gc');
  return typeof found === 'function' ? (found as Collect) : undefined;
}

let collect: Collect | undefined;
let deadBytes = 0;

/** So many bytes of buffers were used for the last time. */
export function noteDeadBuffers(bytes: number): void {
  deadBytes += bytes;
  if (deadBytes < COLLECT_EVERY_BYTES) return;
  deadBytes = 0;
  collect ??= findCollect();
  collect?.({ type: 'minor' });
}
