/** Two new hosts at once: may the source send everything twice, or do they help each other? */
import { join } from 'node:path';
import { GIB, MB, MIB } from '../support/common.mjs';
import { requireSameFolders, writeRandomFile } from '../support/data.mjs';
import { quiet } from '../support/workspace.mjs';

export const bench = {
  name: 'three',
  about: 'one 1 GiB file to two new hosts at once, all three in one mesh',
  runs: 1,
  async measure({ size, workspace, figures, detail }) {
    const bytes = size(GIB, 64 * MIB);
    const space = workspace(bytes * 3);
    try {
      const folder = space.makeFolder('source');
      writeRandomFile(join(folder, 'large.bin'), bytes, 9);
      const source = await space.startNode(folder);
      await source.scan();
      const targets = [await space.spawn(), await space.spawn()];
      const invitations = [await source.invitation(), await source.invitation()];
      const confirmed = source.waitForPeers(2);
      await Promise.all(targets.map((target, index) => target.start(space.makeFolder(`target-${index}`), invitations[index])));
      const { atMs } = await confirmed;
      const startedMs = Math.min(...targets.map((target) => target.startedMs));
      await quiet([source, ...targets]);
      for (const index of [0, 1]) requireSameFolders(folder, space.makeFolder(`target-${index}`));
      const sent = await Promise.all([source, ...targets].map((node) => node.sentBytes()));
      figures.add('join to durable on both', 'MB/s for each', bytes / MB / ((atMs - startedMs) / 1000));
      figures.add('sent by the busiest node, by the size of the file', 'times', Math.max(...sent) / bytes, { better: 'lower' });
      detail({ seconds: (atMs - startedMs) / 1000, sentBytes: sent });
    } finally {
      await space.close();
    }
  },
};
