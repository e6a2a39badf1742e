/** The member list is kept in the tree, and seen nowhere else. */
import { readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Cluster, connections, converged, sameAddress, until } from './cluster.ts';

test('members are no entries that anyone sees: not listed, not counted, not in the folder', async () => {
  await using cluster = new Cluster();
  const [a, b] = await cluster.pair();
  await converged(a, b);
  for (const { api, folder } of [a, b]) {
    expect(api.list({ prefix: '', after: undefined, limit: 100 }).items).toEqual([]);
    expect(api.status()).toMatchObject({ entries: 0, bytes: 0, conflicts: 0, errors: [] });
    expect(readdirSync(folder)).toEqual(['.sameroot']);
  }
});

test('a member that dials while the other is still starting is not taken for a stranger', async () => {
  await using cluster = new Cluster();
  const [a, b] = await cluster.pair();
  await converged(a, b);
  const address = sameAddress(a);
  const refusals: unknown[] = [];
  const note = (_message: string, fields?: object): void => void refusals.push(fields);
  for (let round = 0; round < 8; round++) {
    const node = round === 0 ? a : undefined;
    if (node !== undefined) await cluster.stop(node);
    const again = await cluster.start('a', address, { debug() {}, info() {}, warn: note, error: note });
    await until(
      'it is back',
      () => connections(b.api.status()) === 1,
      () => b.api.status(),
    );
    await cluster.stop(again);
  }
  expect(refusals.filter((fields) => JSON.stringify(fields).includes('NOT_INVITED'))).toEqual([]);
});
