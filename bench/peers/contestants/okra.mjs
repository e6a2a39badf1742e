/** okra: the Merkle index of Canvas, two trees in memory in two processes, its own `sync` over TCP. */
import { fileURLToPath } from 'node:url';
import { missingModule, moduleVersion } from '../support/modules.mjs';

const WORKER = fileURLToPath(new URL('../workers/okra.mjs', import.meta.url));
const EXECUTE = ['--max-old-space-size=6000'];

export const contestants = [
  {
    name: 'okra',
    about: 'in memory, one request after another over TCP',
    modules: ['@canvas-js/okra', '@canvas-js/okra-memory', 'msgpackr'],
    version: () => moduleVersion('@canvas-js/okra'),
    missing: () => missingModule('@canvas-js/okra'),
    cases: ['differences'],
    async differences({ space, count, differences }) {
      const [source, target] = [space.spawnWorker(WORKER, EXECUTE), space.spawnWorker(WORKER, EXECUTE)];
      const [{ seconds: buildSeconds }] = await Promise.all([
        source.call('build', { count, differences }),
        target.call('build', { count, differences: 0 }),
      ]);
      const { port } = await source.call('serve');
      return {
        async compare() {
          const { found, ...measured } = await target.call('compare', { port });
          if (found !== differences) throw new Error(`okra found ${found} of ${differences} differences`);
          return { ...measured, buildSeconds };
        },
      };
    },
  },
];
