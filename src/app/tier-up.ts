/**
 * How soon V8 compiles for speed, on hosts with few processors.
 *
 * Most of our functions run some ten thousand times in a burst of work (files of a first sync, chunks of a large file) and
 * then hardly ever. V8 compiles each of them for speed beside the work, in a thread of its own: of the 5.4 s of processor time
 * that source and target need for 20,000 small files 0.7 s, and 7 % of the wall time on two processors. Nine times its usual
 * patience leaves it the functions that are hot for long. Where a processor is idle the compiler costs nobody anything,
 * and the main thread is a tenth faster in such a burst with it.
 */
import { setFlagsFromString } from 'node:v8';

const FEW_PROCESSORS_MAX = 3;
/** V8's own, in Node.js 20: 67,584 bytes of bytecode run. */
const BYTECODE_BYTES_BEFORE_OPTIMISING = 600_000;

/** For this process and all threads that are started after this. It is for programs, not for libraries. */
export function tierUpLate(processors: number): void {
  if (processors <= FEW_PROCESSORS_MAX) setFlagsFromString(`--interrupt-budget=${BYTECODE_BYTES_BEFORE_OPTIMISING}`);
}
