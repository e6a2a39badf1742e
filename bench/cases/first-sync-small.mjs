/** Many small files to a new host. */
import { MIB } from '../support/common.mjs';
import { diskCreateRate, requireSameFolders, writeSmallFiles } from '../support/data.mjs';
import { touchFreeMemory } from '../support/memory.mjs';

export const bench = {
  name: 'first-sync-small',
  about: '20,000 files of 2 to 6 KB to a host that has nothing, until durable there',
  runs: 3,
  async measure({ size, workspace, figures, detail }) {
    const count = size(20_000, 2_000);
    const space = workspace(count * 40_000 + 100 * MIB);
    try {
      const folder = space.makeFolder('source');
      writeSmallFiles(folder, count, 2_000, 6_000, 2);
      figures.add('disk alone: write, rename and flush', 'files/s', diskCreateRate(space.makeFolder('disk'), count, 4_000));
      const source = await space.startNode(folder);
      const indexedMs = await source.scan();
      figures.add('cold index of the source', 'files/s', count / ((indexedMs - source.startedMs) / 1000));
      const target = await space.spawn();
      await Promise.all([source.cpuSeconds(), target.cpuSeconds()]);
      await touchFreeMemory(count * 40_000);
      const confirmed = source.waitForPeers(1);
      await target.start(space.makeFolder('target'), await source.invitation());
      const { atMs, connectedMs } = await confirmed;
      const seconds = (atMs - target.startedMs) / 1000;
      figures.add('join to durable, TLS', 'files/s', count / seconds, { floor: 4_000 });
      await source.addCpu(figures, 'source');
      await target.addCpu(figures, 'target');
      detail({
        seconds,
        connectSeconds: (connectedMs - target.startedMs) / 1000,
        wireBytes: await source.wireBytes(),
      });
      requireSameFolders(folder, space.makeFolder('target'));
    } finally {
      // The folders stay until the bench is over: on ext4 new files are slow for minutes after thousands were deleted.
      await space.end();
    }
  },
};
