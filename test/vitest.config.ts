/** Where the tests are and how long one may take. A limit of time is there for a test that hangs; none measures speed. */
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

// oxlint-disable-next-line import/no-default-export -- vitest reads its settings from there
export default defineConfig({
  root: fileURLToPath(new URL('..', import.meta.url)),
  test: {
    include: ['test/**/*.test.ts'],
    // Native modules (LevelDB, BLAKE3) and signals want a process of their own.
    pool: 'forks',
    testTimeout: 180_000,
    hookTimeout: 180_000,
  },
});
