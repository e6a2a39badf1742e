import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Cluster, converged, type TestNode } from './cluster.ts';

const HOSTS = 8;

test('eight hosts, each joined to the one before, form a full mesh; all write, all end with the same', async () => {
  await using cluster = new Cluster();
  const nodes: TestNode[] = [await cluster.start('host-0')];
  for (let at = 1; at < HOSTS; at++) {
    nodes.push(await cluster.join(`host-${at}`, nodes[at - 1]!));
    await converged(...nodes);
  }
  for (let at = 0; at < HOSTS; at++) {
    for (let file = 0; file < 10; file++) cluster.write(`host-${at}`, `of-${at}/${file}`, `file ${file} of host ${at}`);
  }
  await converged(...nodes);
  cluster.write(`host-${HOSTS - 1}`, 'last', 'to all');
  const { done, peers } = await nodes.at(-1)!.api.wait({ timeoutMs: 60_000 });
  expect(done).toBe(true);
  expect(peers).toHaveLength(HOSTS - 1);
  for (const { folder } of nodes) {
    expect(existsSync(`${folder}/last`)).toBe(true);
    for (let at = 0; at < HOSTS; at++) expect(existsSync(`${folder}/of-${at}/9`)).toBe(true);
  }
});
