/** Reading a folder for the first time: scan, cut into chunks, hash. */
import { GIB, MIB } from '../../support/common.mjs';
import { writeRandomFile } from '../../support/data.mjs';
import { join } from 'node:path';

export const cases = [
  {
    name: 'index',
    about: 'one large file is read for the first time, page cache warm: scan, chunks, hashes',
    metrics: {
      rate: { title: 'per core', unit: 'GB/CPU s' },
      wallRate: { title: 'by the clock', unit: 'GB/s' },
    },
    figures: ['rate'],
    parts: ({ quick }) => [quick ? { label: '128 MiB', bytes: 128 * MIB } : { label: '1 GiB', bytes: GIB }],
    diskBytes: ({ bytes }) => bytes * 3,
    async open({ part, space }) {
      const source = space.makeFolder('source');
      writeRandomFile(join(source, 'large.bin'), part.bytes, 1);
      return { source, space };
    },
    async turn(state, { contestant, part }) {
      const { seconds, cpuSeconds } = await contestant.index(state);
      return { rate: part.bytes / 1e9 / cpuSeconds, wallRate: part.bytes / 1e9 / seconds };
    },
    goals: [{ metric: 'rate', of: 'sameroot', least: 1.2 }],
  },
];
