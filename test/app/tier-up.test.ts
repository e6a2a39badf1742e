import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const MODULE = JSON.stringify(fileURLToPath(new URL('../../dist/app/tier-up.js', import.meta.url)));
/** Some 200,000 bytes of bytecode: between V8's patience and ours. */
const WORK =
  'function work(n) { let sum = 0; for (let i = 0; i < n; i++) sum += i; return sum; } for (let round = 0; round < 100; round++) work(100);';

/** Whether V8 finds it worth compiling. */
function isMarked(before: string): boolean {
  const script = `import { tierUpLate } from ${MODULE}; ${before} ${WORK}`;
  const output = execFileSync(process.execPath, ['--trace-opt', '--input-type=module', '-e', script], { encoding: 'utf8' });
  return /marking \S+ <JSFunction work\b.* to TURBOFAN/.test(output);
}

test('V8 compiles for speed later than it would by itself where processors are few', () => {
  expect(isMarked('')).toBe(true);
  expect(isMarked('tierUpLate(2);')).toBe(false);
  expect(isMarked('tierUpLate(4);')).toBe(true);
});
