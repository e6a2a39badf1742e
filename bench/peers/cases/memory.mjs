/** What an idle node holds in memory by the number of its entries: restarted, after a garbage collection. */
import { measureIdle } from '../../cases/memory.mjs';
import { MIB } from '../../support/common.mjs';
import { fittedExponent } from '../support/maths.mjs';

const GROUP = 10_000;

export const cases = [
  {
    name: 'memory',
    about: 'memory of an idle node by the number of its records, restarted, after a garbage collection',
    metrics: {
      rssBytes: { title: 'resident', unit: 'bytes' },
      bytesPerEntry: { title: 'resident bytes for each further entry, between the two largest', unit: 'bytes' },
      exponent: { title: 'fitted exponent of what an empty node does not hold', unit: '' },
    },
    figures: ['rssBytes'],
    parts: ({ quick }) => [
      quick ? { label: 'to 20,000', counts: [1_000, 5_000, 20_000] } : { label: 'to 1,000,000', counts: [10_000, 100_000, 1_000_000] },
    ],
    diskBytes: ({ counts }) => counts.at(-1) * 4_000 + 100 * MIB,
    open: async ({ space }) => ({ space, folder: space.makeFolder('node') }),
    async turn({ space, folder }, { part: { counts } }) {
      const empty = await rssOf(space, folder, 0, 0);
      const sizes = [];
      let from = 0;
      for (const count of counts) {
        sizes.push({ count, rss: await rssOf(space, folder, from, count) });
        from = count;
      }
      const [small, large] = sizes.slice(-2);
      const above = sizes.map(({ count, rss }) => [count, Math.max(1, rss - empty)]);
      return {
        rssBytes: large.rss,
        bytesPerEntry: (large.rss - small.rss) / (large.count - small.count),
        exponent: fittedExponent(above),
      };
    },
    goals: [
      { part: 'to 1,000,000', metric: 'bytesPerEntry', of: 'sameroot', most: 256 },
      { part: 'to 1,000,000', metric: 'exponent', of: 'sameroot', most: 1.1 },
    ],
  },
];

async function rssOf(space, folder, from, to) {
  const writer = await space.startNode(folder);
  await writer.call('putRecords', { prefix: 'sample/', from, count: to - from, group: GROUP, valueBytes: 32 });
  await writer.end();
  return (await measureIdle(space, folder)).collected.rss;
}
