/**
 * One folder below the temporary directory for all that the tests of a run put there. What a test leaves behind fails the
 * run: it would fill the disks of those who run tests often.
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

let base: string;

export function setup(): void {
  base = mkdtempSync(join(tmpdir(), 'sameroot-tests-'));
  // The workers are started with this environment, and so are the processes that they start.
  process.env['TMPDIR'] = base;
}

export function teardown(): void {
  const left = readdirSync(base);
  rmSync(base, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  if (left.length === 0) return;
  console.error(`tests have left these behind: ${left.join(', ')}`);
  process.exitCode = 1;
}
