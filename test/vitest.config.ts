/** Where the tests are and how long one may take. A limit of time is there for a test that hangs; none measures speed. */
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

// oxlint-disable-next-line import/no-default-export -- vitest reads its settings from there
export default defineConfig({
  root: fileURLToPath(new URL('..', import.meta.url)),
  test: {
    include: ['test/**/*.test.ts'],
    // Native modules (LevelDB, BLAKE3) and signals want a process of their own.
    pool: 'forks',
    // Half of the time goes by in waiting for processes that are killed and started: two at least, also on two cores.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    testTimeout: 180_000,
    hookTimeout: 180_000,
  },
});
