/**
 * One host has the data, the others have nothing and join at the same moment. In a swarm each knows of all and takes what
 * it lacks from whoever has it; in a star the others know the source alone, which then sends everything to each.
 *
 * With an `uplink` the source's sockets send at that pace: on one machine nothing else is like a network.
 */
import { join } from 'node:path';
import { MIB } from '../../support/common.mjs';
import { requireSameFolders, writeRandomFile } from '../../support/data.mjs';
import { touchFreeMemory } from '../../support/memory.mjs';
import { quiet } from '../../support/workspace.mjs';

const FILES = 8;
/** 1 Gbit/s. */
const UPLINK_BYTES_PER_SECOND = 125e6;

function parts({ quick }) {
  const bytes = quick ? 16 * MIB : 256 * MIB;
  const all = (quick ? [2, 4] : [2, 4, 8]).flatMap((nodes) =>
    // Two are both.
    (nodes === 2 ? ['pair'] : ['swarm', 'star']).map((shape) => ({ label: `${nodes} nodes, ${shape}`, nodes, shape, bytes })),
  );
  return [...all, ...all.map((part) => ({ ...part, label: `${part.label}, uplink of 1 Gbit/s`, uplink: UPLINK_BYTES_PER_SECOND }))];
}

export const cases = [
  {
    name: 'nodes',
    about: 'data of one host to all others, which join at the same moment, until all have it',
    metrics: {
      seconds: { title: 'time until all have it', unit: 's' },
      busiestTimes: { title: 'sent by the busiest, by the size of the data', unit: 'times' },
    },
    figures: ['seconds', 'busiestTimes'],
    parts,
    diskBytes: ({ nodes, bytes }) => bytes * (nodes + 1),
    async open({ part, space }) {
      const folder = space.makeFolder('source');
      for (let index = 0; index < FILES; index++) writeRandomFile(join(folder, `part-${index}.bin`), part.bytes / FILES, 50 + index);
      const source = await space.startNode(folder, { uplink: part.uplink, insecure: true });
      await source.scan();
      const targets = [];
      for (let index = 1; index < part.nodes; index++)
        targets.push({ node: await space.spawn(), folder: space.makeFolder(`target-${index}`) });
      return { source, folder, targets };
    },
    async turn({ source, folder, targets }, { part }) {
      const options = { ...(await source.invitation({ insecure: true })), advertise: part.shape !== 'star' };
      await touchFreeMemory(part.bytes * part.nodes * 2);
      const confirmed = source.waitForPeers(targets.length);
      confirmed.catch(() => undefined);
      await Promise.all(targets.map((target) => target.node.start(target.folder, options)));
      const { atMs } = await confirmed;
      const startedMs = Math.min(...targets.map(({ node }) => node.startedMs));
      const nodes = [source, ...targets.map(({ node }) => node)];
      await quiet(nodes);
      for (const target of targets) requireSameFolders(folder, target.folder);
      const sent = await Promise.all(nodes.map((node) => node.sentBytes()));
      return {
        seconds: (atMs - startedMs) / 1000,
        busiestTimes: Math.max(...sent) / part.bytes,
      };
    },
    goals: [],
  },
];
