/** One large file to a new host. */
import { join } from 'node:path';
import { GIB, MB, MIB } from '../support/common.mjs';
import { diskWriteRate, requireSameFolders, writeRandomFile } from '../support/data.mjs';
import { touchFreeMemory } from '../support/memory.mjs';

export const bench = {
  name: 'first-sync-large',
  about: 'one 1 GiB file to a host that has nothing, until durable there',
  runs: 3,
  async measure({ size, workspace, figures, detail }) {
    const bytes = size(GIB, 64 * MIB);
    for (const insecure of [false, true]) {
      const space = workspace(bytes * 2);
      try {
        const folder = space.makeFolder('source');
        writeRandomFile(join(folder, 'large.bin'), bytes, 1);
        if (!insecure) {
          const scratch = join(space.makeFolder('disk'), 'file');
          figures.add('disk alone: write and flush', 'MB/s', diskWriteRate(scratch, Math.min(bytes, 512 * MIB)));
        }
        const source = await space.startNode(folder, { insecure });
        const indexedMs = await source.scan();
        if (!insecure) figures.add('cold index of the source', 'MB/s', bytes / MB / ((indexedMs - source.startedMs) / 1000));
        const target = await space.spawn();
        await Promise.all([source.cpuSeconds(), target.cpuSeconds()]);
        await touchFreeMemory(bytes * 3);
        const confirmed = source.waitForPeers(1);
        await target.start(space.makeFolder('target'), await source.invitation({ insecure }));
        const { atMs, connectedMs } = await confirmed;
        const seconds = (atMs - target.startedMs) / 1000;
        const name = insecure ? 'join to durable, plain text' : 'join to durable, TLS';
        figures.add(name, 'MB/s', bytes / MB / seconds, insecure ? {} : { floor: 250 });
        await source.addCpu(figures, `source, ${insecure ? 'plain text' : 'TLS'}`);
        await target.addCpu(figures, `target, ${insecure ? 'plain text' : 'TLS'}`);
        detail({
          transport: insecure ? 'plain' : 'TLS',
          seconds,
          connectSeconds: (connectedMs - target.startedMs) / 1000,
        });
        requireSameFolders(folder, space.makeFolder('target'));
      } finally {
        await space.close();
      }
    }
  },
};
