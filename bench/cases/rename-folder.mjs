/** A folder gets another name: nothing has to be sent but the names. */
import { renameSync } from 'node:fs';
import { join } from 'node:path';
import { GIB, MIB, nowMs } from '../support/common.mjs';
import { requireSameFolders, writeRandomFile } from '../support/data.mjs';
import { quiet } from '../support/workspace.mjs';

export const bench = {
  name: 'rename-folder',
  about: 'a folder of 1 GiB that both have gets another name, until durable there',
  runs: 3,
  async measure({ size, workspace, figures, detail }) {
    const bytes = size(GIB, 64 * MIB);
    for (const files of [16, size(1024, 64)]) {
      const space = workspace(bytes * 4);
      try {
        const folder = space.makeFolder('source');
        for (let index = 0; index < files; index++) {
          writeRandomFile(join(folder, 'old', `part-${String(index).padStart(4, '0')}.bin`), bytes / files, 100 + index);
        }
        const source = await space.startNode(folder);
        await source.scan();
        const target = await space.startNode(space.makeFolder('target'), await source.invitation());
        await source.waitForPeers(1);
        await quiet([source, target]);
        const before = await source.wireBytes();
        const changedMs = nowMs();
        renameSync(join(folder, 'old'), join(folder, 'new'));
        const indexedMs = await source.scan();
        const { atMs } = await source.wait();
        const of = `${files === 16 ? 16 : 'many'} files`;
        const wire = ((await source.wireBytes()) - before) / 1000;
        figures.add(`bytes on the wire, ${of}`, 'KB', wire, files === 16 ? { floor: 50, better: 'lower' } : { better: 'lower' });
        figures.add(`index, ${of}`, 's', (indexedMs - changedMs) / 1000, { better: 'lower' });
        figures.add(`rename to durable, ${of}`, 's', (atMs - changedMs) / 1000, { better: 'lower' });
        detail({ files, bytesPerFile: bytes / files });
        requireSameFolders(folder, space.makeFolder('target'));
      } finally {
        await space.close();
      }
    }
  },
};
