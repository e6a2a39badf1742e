/** Where the tests are, in which order they run, and how long one may take. A limit of time is there for a test that hangs; none measures speed. */
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { BaseSequencer, type TestSpecification } from 'vitest/node';
import { defineConfig } from 'vitest/config';

/** Files that take long, most of it in processes that they start and wait for. */
const SLOW = /\/test\/(?:crash\/|simulation\/simulate\.|app\/(?:setup|program|cli)\.)/;

/** A long file that is begun last runs alone in the end: the slow ones go first, and otherwise the larger. */
class SlowFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isSlow = ({ moduleId }: TestSpecification): boolean => SLOW.test(moduleId);
    return [...sorted.filter(isSlow), ...sorted.filter((file) => !isSlow(file))];
  }
}

// oxlint-disable-next-line import/no-default-export -- vitest reads its settings from there
export default defineConfig({
  root: fileURLToPath(new URL('..', import.meta.url)),
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: 'test/global-setup.ts',
    sequence: { sequencer: SlowFirst },
    // Native modules (LevelDB, BLAKE3) and signals want a process of their own.
    pool: 'forks',
    // Half of the time goes by in waiting for the disk, and for processes that are killed and started.
    maxWorkers: availableParallelism() + 1,
    testTimeout: 180_000,
    hookTimeout: 180_000,
  },
});
