/** The first sync: a target that has nothing. */
import { join } from 'node:path';
import { GIB, MIB } from '../../support/common.mjs';
import { writeRandomFile, writeSmallFiles } from '../../support/data.mjs';
import { folderCase } from '../support/folder-case.mjs';

export const cases = [
  folderCase({
    name: 'first-sync-large',
    about: 'one file of 1 GiB to a host that has nothing',
    parts: ({ quick }) => [quick ? { label: '64 MiB', bytes: 64 * MIB } : { label: '1 GiB', bytes: GIB }],
    diskBytes: ({ bytes }) => bytes * 4,
    build: (folder, { bytes }) => writeRandomFile(join(folder, 'large.bin'), bytes, 1),
    goals: [
      { metric: 'seconds', of: 'sameroot', against: 'rsync-fsync', most: 0.6 },
      { metric: 'seconds', of: 'sameroot', against: 'rsync', most: 1.3 },
      { metric: 'seconds', of: 'sameroot', against: 'syncthing', most: 1 / 3 },
    ],
  }),
  folderCase({
    name: 'first-sync-medium',
    about: 'files of 256 to 768 KB, as shards of a data set are, to a host that has nothing',
    parts: ({ quick }) => [quick ? { label: '128 files', files: 128 } : { label: '2,048 files', files: 2_048 }],
    diskBytes: ({ files }) => files * 4 * MIB,
    build: (folder, { files }) => writeSmallFiles(folder, files, 256_000, 768_000, 4),
    goals: [],
  }),
  folderCase({
    name: 'first-sync-small',
    about: 'many files of 2 to 6 KB to a host that has nothing',
    manyFiles: true,
    parts({ quick, variants }) {
      if (quick) return [{ label: '2,000 files', files: 2_000 }];
      return [{ label: '20,000 files', files: 20_000 }, ...(variants ? [{ label: '200,000 files', files: 200_000 }] : [])];
    },
    diskBytes: ({ files }) => files * 60_000 + 100 * MIB,
    build: (folder, { files }) => writeSmallFiles(folder, files, 2_000, 6_000, 2),
    goals: [
      { metric: 'seconds', of: 'sameroot', against: 'rsync-fsync', most: 0.25 },
      { metric: 'seconds', of: 'sameroot', against: 'rsync', most: 1 },
      { metric: 'seconds', of: 'sameroot', against: 'syncthing', most: 1 / 12 },
    ],
  }),
];
