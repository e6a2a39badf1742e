/** prolly-trees: two maps; the target takes the blocks that it lacks. */
import { fileURLToPath } from 'node:url';
import { missingModule, moduleVersion } from '../support/modules.mjs';

const WORKER = fileURLToPath(new URL('../workers/prolly-trees.mjs', import.meta.url));

export const contestants = [
  {
    name: 'prolly-trees',
    about: 'in memory, all missing blocks of a level in one round trip',
    modules: ['prolly-trees', '@ipld/dag-cbor', 'multiformats-9'],
    version: () => moduleVersion('prolly-trees'),
    missing: () => missingModule('prolly-trees'),
    cases: ['differences'],
    async differences({ space, count, differences }) {
      const worker = space.spawnWorker(WORKER, ['--max-old-space-size=8000']);
      const { buildSeconds } = await worker.call('build', { count, differences });
      return {
        async compare() {
          const { found, ...measured } = await worker.call('compare');
          if (found !== differences) throw new Error(`prolly-trees found ${found} of ${differences} differences`);
          return { ...measured, buildSeconds };
        },
      };
    },
  },
];
