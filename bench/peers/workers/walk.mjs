/** Our trees in a process of their own: a tree of a million entries is not for the bench process to hold. */
import { compareTrees, loadTrees } from '../../cases/walk.mjs';
import { serveCommands } from '../../support/worker-commands.mjs';

/** The tree that both sides began with is built once. */
const trees = loadTrees();

serveCommands({
  async compare({ count, differences }) {
    const { buildSeconds, editSeconds, milliseconds, roundTrips, bytes, walkBytes } = compareTrees(await trees, count, differences);
    return { seconds: milliseconds / 1000, roundTrips, bytes, walkBytes, buildSeconds, editSeconds };
  },
});
