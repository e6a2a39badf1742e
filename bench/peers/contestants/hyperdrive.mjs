/** hyperdrive: a folder mirrored into a drive, the drive followed over TCP by another process and mirrored to disk there. */
import { fileURLToPath } from 'node:url';
import { missingModule, moduleVersion } from '../support/modules.mjs';

const WORKER = fileURLToPath(new URL('../workers/hyperdrive.mjs', import.meta.url));

async function open({ space, source: sourceFolder, target: targetFolder }) {
  const source = space.spawnWorker(WORKER);
  const target = space.spawnWorker(WORKER);
  const { key, port } = await source.call('serve', { source: sourceFolder, state: space.makeFolder('hyperdrive-source') });
  const { seconds: indexSeconds } = await source.call('takeIn');
  await target.call('follow', { target: targetFolder, state: space.makeFolder('hyperdrive-target'), key, port });
  const pull = async () => target.call('pull', { length: await source.call('length') });
  return {
    indexSeconds,
    first: pull,
    async again() {
      const { seconds: takenIn } = await source.call('takeIn');
      const { seconds, bytes } = await pull();
      return { seconds: takenIn + seconds, bytes };
    },
  };
}

export const contestants = [
  {
    name: 'hyperdrive',
    about: 'mirrored into a drive, followed over TCP, encrypted',
    modules: ['hyperdrive', 'corestore', 'localdrive', 'mirror-drive'],
    version: () => moduleVersion('hyperdrive'),
    missing: () => missingModule('hyperdrive'),
    cases: ['first-sync-large', 'first-sync-small', 'data-set', 'insert-head', 'rename-folder', 'copy-folder', 'unchanged'],
    open,
  },
];
