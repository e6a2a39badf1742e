import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Cluster, converged, sameAddress } from './cluster.ts';

const MIB = 2 ** 20;

test('a file that two hosts have comes from both', async () => {
  await using cluster = new Cluster();
  const a = await cluster.start('a');
  const b = await cluster.join('b', a);
  const c = await cluster.join('c', a);
  await converged(a, b, c);
  const address = sameAddress(c);
  await cluster.stop(c);
  writeFileSync(cluster.path('a', 'large.bin'), randomBytes(48 * MIB));
  await converged(a, b);
  const again = await cluster.start('c', address);
  await converged(a, b, again);
  const received = again.api.status().peers.map(({ receivedBytes }) => receivedBytes);
  // Every chunk once, and no source without its share.
  expect(received.reduce((sum, bytes) => sum + bytes, 0)).toBeLessThan(52 * MIB);
  expect(Math.min(...received)).toBeGreaterThan(4 * MIB);
});
