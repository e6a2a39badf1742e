/** What must hold of hosts that have come to rest. */
import { spawnSync } from 'node:child_process';
import { expect } from 'vitest';
import type { NodeStatus } from '../../src/node/node-api.ts';
import { contentsOf } from '../node/cluster.ts';
import { until, type Host, type Site } from './hosts.ts';

/** Two hosts: `b` has joined `a`, both have their addresses, and nothing is in the folders. */
export async function startPair(site: Site): Promise<readonly [a: Host, b: Host]> {
  const [a, b] = [site.host('a'), site.host('b')];
  await a.start();
  await b.start(...(await a.joinArguments()));
  await converged(a, b);
  return [a, b];
}

/** All have taken in what is on their disks, are connected to all the others and in sync with them, and of one root. */
export async function converged(...hosts: readonly Host[]): Promise<readonly NodeStatus[]> {
  let statuses: readonly (NodeStatus | undefined)[] = [];
  const look = async (): Promise<readonly (NodeStatus | undefined)[]> => {
    for (const host of hosts) if (!host.isRunning) throw new Error(`a node is not running: ${host.errors}`);
    return (statuses = await Promise.all(hosts.map((host) => host.status())));
  };
  const state = (): unknown => [statuses, hosts.map(({ errors }) => errors)];
  await until('the API answers', async () => (await look()).every((status) => status !== undefined && status.shareId !== ''), state);
  for (const host of hosts) await host.call('POST', '/v1/scan');
  const isDone = (status: NodeStatus | undefined): boolean =>
    status?.state === 'in-sync' &&
    status.root === statuses[0]!.root &&
    status.peers.filter((peer) => peer.connected).length >= hosts.length - 1;
  await until('one root', async () => (await look()).every(isDone), state);
  return statuses as readonly NodeStatus[];
}

/**
 * One root; `diff -r` finds nothing, nor do modes and times differ; no problems. Returns what is in the folders: see
 * `contentsOf`.
 */
export async function expectIdentical(...hosts: readonly Host[]): Promise<Record<string, string>> {
  const statuses = await converged(...hosts);
  const [first, ...others] = hosts;
  const contents = contentsOf(first!.folder);
  for (const other of others) {
    const { status, stdout, stderr } = spawnSync('diff', ['-r', '--no-dereference', '-x', '.sameroot', first!.folder, other.folder], {
      encoding: 'utf8',
    });
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(contentsOf(other.folder)).toEqual(contents);
  }
  // The list of problems is emptied a moment after the last was solved.
  const all = async (): Promise<readonly (NodeStatus | undefined)[]> => Promise.all(hosts.map((host) => host.status()));
  await until('no problems are left', async () => (await all()).every((status) => status?.errors.length === 0), all);
  for (const { conflicts } of statuses) expect(conflicts).toBe(statuses[0]!.conflicts);
  return contents;
}

/** Identical, and without conflict copies. Returns the paths. */
export async function expectSame(...hosts: readonly Host[]): Promise<string[]> {
  const paths = Object.keys(await expectIdentical(...hosts));
  expect(paths.filter((path) => path.includes('.conflict-'))).toEqual([]);
  expect((await hosts[0]!.status())!.conflicts).toBe(0);
  return paths;
}

/** The trouble of another host is none of this one: it may say for a moment that a file is just being written, no more. */
export async function expectUnharmed(host: Host): Promise<void> {
  await until(
    'it has no problems',
    async () => (await host.status())?.errors.length === 0,
    () => host.status(),
  );
}

export function receivedBytes(status: NodeStatus): number {
  return status.peers.reduce((sum, peer) => sum + peer.receivedBytes, 0);
}
