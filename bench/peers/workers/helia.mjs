/**
 * One IPFS host: it either imports a folder as UnixFS, or fetches one by bitswap over TCP and writes it out. Blocks are
 * kept in memory; no DHT, bootstrap list, relay or gateway.
 */
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { multiaddr } from '@multiformats/multiaddr';
import { CID } from 'multiformats/cid';
import { serveCommands } from '../../support/worker-commands.mjs';
import { nowMs } from '../../support/common.mjs';

// It is written for a Node.js that has this.
Promise.withResolvers ??= () => {
  let settle;
  const promise = new Promise((resolve, reject) => (settle = { resolve, reject }));
  return { promise, ...settle };
};
const { createHeliaLight } = await import('helia');
const { globSource, unixfs } = await import('@helia/unixfs');
const { withLibp2pLight } = await import('@helia/libp2p');
const { withBitswap } = await import('@helia/bitswap');
const [{ tcp }, { noise }, { yamux }, { identify }] = await Promise.all([
  import('@libp2p/tcp'),
  import('@libp2p/noise'),
  import('@libp2p/yamux'),
  import('@libp2p/identify'),
]);

let host;
let root;

async function start() {
  const made = withBitswap(
    withLibp2pLight(createHeliaLight(), {
      addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
      transports: [tcp()],
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
      services: { identify: identify() },
    }),
  );
  host = (await made.start()) ?? made;
}

async function writeOut(files, cid, path) {
  const found = await files.stat(cid);
  if (found.type === 'directory') {
    mkdirSync(path, { recursive: true });
    for await (const item of files.ls(cid)) await writeOut(files, item.cid, join(path, item.name));
    return;
  }
  const file = openSync(path, 'w');
  for await (const piece of files.cat(cid)) writeSync(file, piece);
  closeSync(file);
}

serveCommands({
  start,
  async takeIn({ source }) {
    const sinceMs = nowMs();
    for await (const item of unixfs(host).addAll(globSource(source, '**/*', { hidden: true }), { wrapWithDirectory: true }))
      root = item.cid;
    return { seconds: (nowMs() - sinceMs) / 1000, address: String(host.libp2p.getMultiaddrs()[0]), root: String(root) };
  },
  async follow({ address }) {
    await host.libp2p.dial(multiaddr(address));
  },
  async pull({ root: text, target }) {
    const sinceMs = nowMs();
    await writeOut(unixfs(host), CID.parse(text), target);
    return { seconds: (nowMs() - sinceMs) / 1000 };
  },
});
