/**
 * casync: chunks of the source in a store that is served over HTTP, from which the target is extracted with its own old
 * content as a seed. Making the store is its index; after a change it has to be made again, which is timed.
 */
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { workSeconds } from '../../support/report.mjs';
import { missingProgram, programVersion } from '../support/programs.mjs';
import { runProgram } from '../support/service.mjs';
import { FOLDER_CASES } from '../support/folder-case.mjs';

const SERVER = fileURLToPath(new URL('../workers/http-server.mjs', import.meta.url));
/** What the other peers keep too. */
const KEPT = ['--with=2sec-time', '--with=symlinks', '--with=permissions'];

const make = (space, work, source) =>
  runProgram(space, 'casync', ['make', ...KEPT, `--store=${join(work, 'store.castr')}`, join(work, 'index.caidx'), source]);

async function open({ space, source, target }) {
  const work = space.makeFolder('casync');
  const { seconds: indexSeconds } = await make(space, work, source);
  const server = space.spawnWorker(SERVER);
  const { port } = await server.call('serve', { folder: work });
  const extract = async () => {
    const { bytes: before } = await server.call('traffic');
    const at = `http://127.0.0.1:${port}`;
    const { seconds } = await runProgram(space, 'casync', ['extract', ...KEPT, `--store=${at}/store.castr`, `${at}/index.caidx`, target]);
    return { seconds, bytes: (await server.call('traffic')).bytes - before };
  };
  return {
    indexSeconds,
    first: extract,
    async again() {
      const { seconds: made } = await make(space, work, source);
      const { seconds, bytes } = await extract();
      return { seconds: made + seconds, bytes };
    },
  };
}

export const contestants = [
  {
    name: 'casync',
    about: 'store served over HTTP, target as seed',
    program: 'casync',
    version: () => programVersion('casync', ['--version']),
    missing: () => missingProgram('casync'),
    cases: [...FOLDER_CASES, 'index'],
    open,
    /** Its store is written too: it has no index apart from that. */
    async index({ space, source }) {
      const before = workSeconds().own;
      const { seconds } = await make(space, space.makeFolder('casync'), source);
      return { seconds, cpuSeconds: workSeconds().own - before };
    },
  },
];
