/**
 * The composition of a real node: the parts that touch this host (disk and its threads, database, key, sockets, clock)
 * are chosen here and nowhere else, then handed to `startNode`, which takes whatever fits the ports.
 *
 * The disk threads are started as soon as the folder is known to be fit: they take some 0.2 s to be ready, and the
 * database is opened meanwhile.
 */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { Log } from '../base/world.ts';
import { closeDiskThreads, startDiskThreads } from '../folder/disk-threads.ts';
import { prepareFolder } from '../folder/prepare.ts';
import { RealDiskAccess } from '../folder/real-disk.ts';
import { loadIdentity } from '../net/identity.ts';
import { createPlainTransport, createTlsTransport } from '../net/ws-transport.ts';
import type { NodeApi, NodeOptions } from '../node/node-api.ts';
import { startNode, type Grounds } from '../node/node.ts';
import { openLevelStore } from '../store/level-store.ts';
import type { Store } from '../store/store.ts';
import { comeBack } from './come-back.ts';
import { realClock, realHostName, realNetworkAddresses, realWorld } from './real-world.ts';

/**
 * Resolves when the node listens and its share is known or being asked for; the folder may still be being read.
 * @throws {SamerootError} what is wrong with the folder, database, address or invitation
 */
export async function openNode(options: NodeOptions, log: Log): Promise<NodeApi> {
  const chosen = await comeBack(options, realClock.wallMs(), log);
  return startNode(chosen, await openGrounds(chosen, log));
}

async function openGrounds({ folder, dataDir, insecure }: NodeOptions, log: Log): Promise<Grounds> {
  const world = realWorld(log);
  const access = new RealDiskAccess();
  prepareFolder(access.disk, world.random, folder);
  const threads = startDiskThreads(world.timers, availableParallelism());
  let store: Store | undefined;
  try {
    store = await openLevelStore(join(dataDir, 'db'));
    const identity = await loadIdentity(dataDir);
    const transport = insecure ? createPlainTransport() : createTlsTransport(identity);
    const host = { hostName: realHostName(), networkAddresses: realNetworkAddresses };
    return { world, store, identity, transport, access, threads, ...host };
  } catch (error) {
    await closeDiskThreads(threads);
    await store?.close();
    throw error;
  }
}
