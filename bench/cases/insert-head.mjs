/** One byte more at the head of a large file: every later byte has another offset. */
import { join } from 'node:path';
import { GIB, MB, MIB, nowMs } from '../support/common.mjs';
import { replaceFile, requireSameFolders, writeRandomFile } from '../support/data.mjs';
import { quiet } from '../support/workspace.mjs';

export const bench = {
  name: 'insert-head',
  about: 'one byte inserted at the head of a 1 GiB file that both have, until durable there',
  runs: 3,
  async measure({ size, workspace, figures }) {
    const bytes = size(GIB, 64 * MIB);
    const space = workspace(bytes * 6);
    try {
      const folder = space.makeFolder('source');
      const file = join(folder, 'large.bin');
      writeRandomFile(file, bytes, 3);
      const source = await space.startNode(folder);
      await source.scan();
      const target = await space.startNode(space.makeFolder('target'), await source.invitation());
      await source.waitForPeers(1);
      await quiet([source, target]);
      const before = await source.wireBytes();
      await Promise.all([source.cpuSeconds(), target.cpuSeconds()]);
      // Written beside and renamed: the watcher must not begin while the bench still writes.
      const aside = join(space.makeFolder('aside'), 'large.bin');
      replaceFile(file, aside, (path) => writeRandomFile(path, bytes, 3, Buffer.from('!')));
      const changedMs = nowMs();
      const indexedMs = await source.scan();
      const { atMs } = await source.wait();
      figures.add('bytes on the wire', 'KB', ((await source.wireBytes()) - before) / 1000, { floor: 200, better: 'lower' });
      figures.add('index', 's', (indexedMs - changedMs) / 1000, { better: 'lower' });
      figures.add('index rate', 'MB/s', bytes / MB / ((indexedMs - changedMs) / 1000));
      figures.add('transfer', 's', (atMs - indexedMs) / 1000, { better: 'lower' });
      figures.add('change to durable', 's', (atMs - changedMs) / 1000, { better: 'lower' });
      await source.addCpu(figures, 'source');
      await target.addCpu(figures, 'target');
      requireSameFolders(folder, space.makeFolder('target'));
    } finally {
      await space.close();
    }
  },
};
