/**
 * The script of the thread at the other end of a measured connection: gives back what is small, so that it tells when all
 * that was sent before has arrived, and drops the rest.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { KIB } from '../../base/limits.ts';
import { loadIdentity } from '../../net/identity.ts';
import type { Channel } from '../../net/transport.ts';
import { createPlainTransport, createTlsTransport } from '../../net/ws-transport.ts';
import type { PeerInput, PeerReady } from './network.ts';

const ANSWERED_BYTES_MAX: number = KIB;
const HERE = { host: '127.0.0.1', port: 0 };

function answer(channel: Channel): void {
  channel.onMessage = (message) => {
    if (message.length <= ANSWERED_BYTES_MAX) channel.send(message);
  };
}

const { dataDir } = workerData as PeerInput;
const identity = await loadIdentity(dataDir);
const tls = await createTlsTransport(identity).listen(HERE, answer);
const plain = await createPlainTransport().listen(HERE, answer);
const ready: PeerReady = {
  nodeId: identity.nodeId,
  tls: { host: tls.host, port: tls.port },
  plain: { host: plain.host, port: plain.port },
};
parentPort?.postMessage(ready, []);
