/**
 * How soon V8 compiles for speed.
 *
 * Most of our functions run some ten thousand times in a burst of work (files of a first sync, chunks of a large file) and
 * then hardly ever. Compiling each of them in full costs more than the burst gains: of the 5.7 s of processor time that
 * 20,000 small files took a target, 1.5 to 2 s were V8's compiler. Nine times the usual patience leaves it the functions
 * that are hot for long; a daemon gets to the same code, a little later.
 */
import { setFlagsFromString } from 'node:v8';

/** V8's own, in Node.js 20: 67,584 bytes of bytecode run. */
const BYTECODE_BYTES_BEFORE_OPTIMISING = 600_000;

/** Of this process and all threads that are started after this. It is for programs, not for libraries. */
export function tierUpLate(): void {
  setFlagsFromString(`--interrupt-budget=${BYTECODE_BYTES_BEFORE_OPTIMISING}`);
}
