/**
 * Real nodes in one process, on addresses and folders of their own, for tests of the whole: disk -> tree -> peer -> disk.
 * Everything waits by looking again until a generous deadline; nothing here measures time.
 */
import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync, type Stats } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect } from 'vitest';
import type { Log } from '../../src/base/world.ts';
import { silentLog } from '../../src/base/world.ts';
import { openNode } from '../../src/app/open-node.ts';
import type { NodeApi, NodeOptions, NodeStatus } from '../../src/node/node-api.ts';
import { parseAddress } from '../../src/node/peers.ts';
import { ownLoopback } from '../loopback.ts';

const HOUR_MS = 3_600_000;
/** For a test that hangs; on an idle machine everything here takes well under a second. */
const DEADLINE_MS = 60_000;

export interface TestNode {
  readonly api: NodeApi;
  readonly folder: string;
  readonly id: string;
}

export class Cluster implements AsyncDisposable {
  readonly base: string = mkdtempSync(join(tmpdir(), 'sameroot-node-'));
  readonly #running = new Set<NodeApi>();

  /** An absolute path below the folder of that name. */
  path(folder: string, ...below: readonly string[]): string {
    return join(this.base, folder, ...below);
  }

  /** Writes a file and the folders above it. */
  write(folder: string, file: string, bytes: string | Uint8Array): void {
    const path = this.path(folder, file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, bytes);
  }

  options(folder: string, more: Partial<NodeOptions> = {}): NodeOptions {
    return {
      folder: this.path(folder),
      dataDir: this.path(folder, '.sameroot'),
      shareName: 'test',
      listen: { host: ownLoopback(), port: 0 },
      listenAnyPort: true,
      join: [],
      token: undefined,
      insecure: false,
      advertise: true,
      settleMs: 50,
      rescanMs: HOUR_MS,
      pullEveryMs: 30_000,
      minFreeBytes: 0,
      ...more,
    };
  }

  async start(folder: string, more: Partial<NodeOptions> = {}, log: Log = silentLog): Promise<TestNode> {
    const api = await openNode(this.options(folder, more), log);
    this.#running.add(api);
    return { api, folder: this.path(folder), id: api.status().nodeId };
  }

  /** Starts a node that joins `host` with a fresh invitation. */
  async join(folder: string, host: TestNode, more: Partial<NodeOptions> = {}, log: Log = silentLog): Promise<TestNode> {
    const { token } = await host.api.invite({ expiresMs: HOUR_MS });
    return this.start(folder, { join: [addressOf(host)], token, ...more }, log);
  }

  /** Two nodes: `b` has joined `a`, and knows the share. */
  async pair(): Promise<readonly [a: TestNode, b: TestNode]> {
    const a = await this.start('a');
    const b = await this.join('b', a);
    await until(
      'the share is known',
      () => b.api.status().shareId !== '',
      () => b.api.status(),
    );
    return [a, b];
  }

  async stop(...nodes: readonly TestNode[]): Promise<void> {
    for (const { api } of nodes) {
      this.#running.delete(api);
      await api[Symbol.asyncDispose]();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#running].map((node) => node[Symbol.asyncDispose]()));
    rmSync(this.base, { recursive: true, force: true });
  }
}

export function addressOf({ api }: TestNode): { host: string; port: number } {
  return parseAddress(api.status().addresses.peer)!;
}

/** A listen address that a restarted node keeps. */
export function sameAddress(node: TestNode): Partial<NodeOptions> {
  return { listen: addressOf(node), listenAnyPort: false };
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Looks again and again; `state` says in the failure what was there instead. */
export async function until(what: string, condition: () => boolean | Promise<boolean>, state: () => unknown = () => ''): Promise<void> {
  const endMs = performance.now() + DEADLINE_MS;
  while (!(await condition())) {
    if (performance.now() > endMs) throw new Error(`never came true: ${what}; ${JSON.stringify(state(), undefined, 1)}`);
    await sleep(20);
  }
}

/** Whatever the watchers have not told yet is looked at, then all nodes are connected, in sync and of one root. */
export async function converged(...nodes: readonly TestNode[]): Promise<string> {
  for (const { api } of nodes) {
    await until(
      'the share is known',
      () => api.status().shareId !== '',
      () => api.status(),
    );
    await api.scan();
  }
  const statuses = (): NodeStatus[] => nodes.map(({ api }) => api.status());
  const equal = (): boolean => {
    const all = statuses();
    return all.every((status) => status.state === 'in-sync' && status.root === all[0]!.root && connections(status) >= nodes.length - 1);
  };
  await until('one root', equal, statuses);
  return statuses()[0]!.root;
}

export function connections(status: NodeStatus): number {
  return status.peers.filter((peer) => peer.connected).length;
}

export function receivedBytes({ api }: TestNode): number {
  return api.status().peers.reduce((sum, peer) => sum + peer.receivedBytes, 0);
}

export function sentBytes({ api }: TestNode): number {
  return api.status().peers.reduce((sum, peer) => sum + peer.sentBytes, 0);
}

/** Everything in a folder that is replicated: kind, mode, time and bytes by path. Names are latin-1 texts of their bytes. */
export function contentsOf(folder: string): Record<string, string> {
  const found: Record<string, string> = {};
  const visit = (at: Buffer, name: string): void => {
    for (const item of readdirSync(at, { encoding: 'buffer' })) {
      const path = Buffer.concat([at, Buffer.from('/'), item]);
      const shown = name === '' ? item.toString('latin1') : `${name}/${item.toString('latin1')}`;
      if (shown === '.sameroot') continue;
      const stats = lstatSync(path);
      found[shown] = describe(path, stats);
      if (stats.isDirectory()) visit(path, shown);
    }
  };
  visit(Buffer.from(folder), '');
  return found;
}

function describe(path: Buffer, stats: Stats): string {
  const mode = (stats.mode & 0o7777).toString(8);
  if (stats.isDirectory()) return `folder ${mode}`;
  if (stats.isSymbolicLink()) return `link ${readlinkSync(path, 'buffer').toString('latin1')}`;
  if (!stats.isFile()) return 'other';
  const sum = createHash('sha256').update(readFileSync(path)).digest('hex').slice(0, 16);
  return `file ${mode} ${Math.floor(stats.mtimeMs)} ${stats.size} ${sum}`;
}

/** One root, and one and the same in all folders, down to modes and times. */
export async function expectSame(...nodes: readonly TestNode[]): Promise<Record<string, string>> {
  await converged(...nodes);
  const [first, ...others] = nodes.map(({ folder }) => contentsOf(folder));
  for (const other of others) expect(other).toEqual(first);
  return first!;
}

/** Bytes that look random and are the same in each run. */
export function someBytes(count: number, seed: number): Buffer {
  const bytes = Buffer.alloc(count);
  let state = (seed * 2_654_435_761 + 1) >>> 0;
  for (let at = 0; at + 4 <= count; at += 4) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes.writeInt32LE(state, at);
  }
  return bytes;
}

/** `error.code` of what the promise fails with. */
export async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
  return 'it did not fail';
}
