/** helia (IPFS): a folder imported as UnixFS and fetched by bitswap over TCP into another process, which writes it out. */
import { fileURLToPath } from 'node:url';
import { missingModule, moduleVersion } from '../support/modules.mjs';

const WORKER = fileURLToPath(new URL('../workers/helia.mjs', import.meta.url));

async function open({ space, source: sourceFolder, target: targetFolder }) {
  const source = space.spawnWorker(WORKER);
  const target = space.spawnWorker(WORKER);
  await Promise.all([source.call('start'), target.call('start')]);
  const { seconds: indexSeconds, address, root } = await source.call('takeIn', { source: sourceFolder });
  await target.call('follow', { address });
  return { indexSeconds, first: () => target.call('pull', { root, target: targetFolder }) };
}

export const contestants = [
  {
    name: 'helia',
    about: 'bitswap over TCP, encrypted, blocks in memory; it has no sync of a folder that is there already',
    modules: ['helia', '@helia/unixfs', '@helia/libp2p', '@helia/bitswap'],
    version: () => moduleVersion('helia'),
    missing: () => missingModule('helia'),
    cases: ['first-sync-large', 'first-sync-small'],
    open,
  },
];
