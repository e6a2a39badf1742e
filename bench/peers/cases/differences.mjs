/**
 * d of n entries differ, and the two sides share no history: what it costs to find and to get them. The bound is the
 * fewest bytes that can say which d of n it is; naming each by a hash of 32 bytes is what a list would cost.
 */
import { MIB } from '../../support/common.mjs';
import { boundBytes, hashBytes } from '../support/maths.mjs';

const MILLION = 1_000_000;

function parts({ quick }) {
  const sizes = quick
    ? [
        [1, 20_000],
        [100, 20_000],
      ]
    : [
        [1, MILLION],
        [100, MILLION],
        [10_000, MILLION],
      ];
  return sizes.map(([differences, count]) => ({
    label: `${differences.toLocaleString('en-US')} in ${count.toLocaleString('en-US')}`,
    differences,
    count,
  }));
}

export const cases = [
  {
    name: 'differences',
    about: 'd of n records differ between two trees without shared history: to find and to get them',
    metrics: {
      bytes: { title: 'bytes both ways', unit: 'bytes' },
      roundTrips: { title: 'round trips', unit: '' },
      seconds: { title: 'time', unit: 's' },
      boundRatio: { title: 'bytes by d*log2(n/d)+1.44d bits', unit: 'times' },
      hashRatio: { title: 'bytes by d*32 B', unit: 'times' },
      walkBytes: { title: 'of it to find them', unit: 'bytes' },
      buildRate: { title: 'build of the tree', unit: 'entries/s' },
      editRate: { title: 'edits in one batch', unit: 'edits/s' },
    },
    figures: ['bytes', 'roundTrips', 'seconds'],
    parts,
    diskBytes: () => 100 * MIB,
    // The trees are built once; comparing does not change them.
    keepsPairs: true,
    open: ({ contestant, space, part: { count, differences } }) => contestant.differences({ space, count, differences }),
    async turn(pair, { part: { count, differences } }) {
      const { buildSeconds, editSeconds, ...measured } = await pair.compare();
      return {
        ...measured,
        boundRatio: measured.bytes / boundBytes(differences, count),
        hashRatio: measured.bytes / hashBytes(differences),
        buildRate: count / buildSeconds,
        ...(editSeconds !== undefined && { editRate: differences / editSeconds }),
      };
    },
    goals: [
      { part: '100 in 1,000,000', metric: 'roundTrips', of: 'sameroot', most: 2 },
      { part: '100 in 1,000,000', metric: 'bytes', of: 'sameroot', most: 350_000 },
      { part: '100 in 1,000,000', metric: 'roundTrips', of: 'sameroot', against: 'okra', most: 0.05 },
      { part: '100 in 1,000,000', metric: 'buildRate', of: 'sameroot', least: 300_000 },
      { part: '10,000 in 1,000,000', metric: 'editRate', of: 'sameroot', least: 50_000 },
    ],
  },
];
