/**
 * Free memory that is there. A virtual machine may give pages that are free for some seconds back to its host (free page
 * reporting, balloons), and then the first touch of each costs: 1 GiB written to a new file took 2.1 s instead of 0.2 s
 * here. Whoever runs right after another has freed its memory would look that much faster. So free pages are touched
 * right before the clock starts, for every contestant and every run; where the machine is a real one it changes nothing.
 */
import { execFile } from 'node:child_process';
import { freemem } from 'node:os';
import { promisify } from 'node:util';
import { GIB } from './common.mjs';

const BYTES_MAX = 3 * GIB;
const run = promisify(execFile);

/** Touches as much free memory as work on so many bytes may take: files of the target, buffers of all processes. */
export async function touchFreeMemory(workBytes) {
  const bytes = Math.min(workBytes, BYTES_MAX, freemem() / 2);
  const script = `for (let left = ${bytes}, all = []; left > 0; left -= 2 ** 28) all.push(Buffer.alloc(Math.min(left, 2 ** 28), 1));`;
  await run(process.execPath, ['-e', script]);
}
