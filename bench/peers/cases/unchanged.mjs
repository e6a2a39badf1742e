/**
 * Nothing has changed, and the two hosts find out. Programs that run and end compare both folders. Hosts that keep
 * running notice changes as they come: what they have to find out is whether the other has all of it, when the
 * connection comes back. What a full look at both folders takes them is told beside it.
 */
import { MIB } from '../../support/common.mjs';
import { writeSmallFiles } from '../../support/data.mjs';
import { FOLDER_METRICS, folderCase } from '../support/folder-case.mjs';

const between = folderCase({
  name: 'unchanged',
  manyFiles: true,
  about: 'nothing has changed in what both have: running hosts meet again, other programs compare the folders',
  parts({ quick, variants }) {
    if (quick) return [{ label: '2,000 files', files: 2_000 }];
    const records = { label: '1,000,000 records', files: 1, records: 1_000_000, only: ['sameroot', 'sameroot-tls'] };
    return [{ label: '100,000 files', files: 100_000 }, ...(variants ? [records] : [])];
  },
  diskBytes: ({ files, records = 0 }) => files * 16_000 + records * 3_000 + 100 * MIB,
  build: (folder, { files }) => writeSmallFiles(folder, files, 200, 600, 8),
  change: () => [],
  settings: { relayed: true, trace: true },
  metrics: { ...FOLDER_METRICS, messages: { title: 'messages', unit: '' } },
  figures: ['seconds', 'bytes'],
  goals: [
    { metric: 'seconds', of: 'sameroot', against: 'rsync', most: 0.01 },
    { metric: 'roundTrips', of: 'sameroot', most: 1 },
  ],
});

export const cases = [
  {
    ...between,
    keepsPairs: true,
    async turn(state, context) {
      const { pair } = state;
      const { records } = context.part;
      if (records !== undefined && state.filled !== true) {
        await pair.putRecords(records);
        state.filled = true;
      }
      const met = await pair.meetAgain?.();
      const { seconds, ...compared } = await between.turn(state, context);
      return met === undefined ? { seconds, ...compared } : { ...compared, ...met, rescanSeconds: seconds };
    },
  },
];
