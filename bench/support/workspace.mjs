/**
 * A temporary folder and the processes that live in it: nodes, and programs of others that are handed over to `adopt`.
 * Whatever happens, `close` ends the processes that were started here (no others) and removes the folder.
 */
import { mkdirSync, mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MB, nowMs, sleep } from './common.mjs';
import { WorkerProcess } from './worker-process.mjs';

const PROCESS = fileURLToPath(new URL('./node-process.mjs', import.meta.url));
/** On top of what a case asks for: database logs, staging, the floor under which a node stops writing. */
const SPARE_BYTES = 2_000 * MB;

const open = new Set();

/** Nothing may be left behind, when the bench is over or interrupted. */
export function closeAllNow() {
  for (const workspace of open) workspace.closeNow();
}

/**
 * The folder for workspaces, if its disk has room for this much.
 * @throws {Error} which says how much is missing and what to do
 */
export function requireFreeBytes(bytes) {
  const parent = process.env.SAMEROOT_BENCH_DIR ?? tmpdir();
  const { bavail, bsize } = statfsSync(parent);
  const free = bavail * bsize;
  if (free < bytes + SPARE_BYTES) {
    const text = (amount) => `${Math.ceil(amount / MB)} MB`;
    const told = `${parent} has ${text(free)} free and this bench needs ${text(bytes + SPARE_BYTES)}: set SAMEROOT_BENCH_DIR to a larger disk`;
    throw Object.assign(new Error(told), { code: 'ENOSPC' });
  }
  return parent;
}

export class Workspace {
  #processes = new Set();
  #profile;
  #keep;
  #numbers = 0;

  /**
   * @param {{ bytes: number, profile?: string | undefined, keep?: boolean }} options `keep`: the folder stays when the
   *   workspace is closed; its processes end all the same
   */
  constructor({ bytes, profile, keep = false }) {
    this.folder = mkdtempSync(join(requireFreeBytes(bytes), 'sameroot-bench-'));
    this.#profile = profile;
    this.#keep = keep;
    open.add(this);
  }

  /** An empty folder for a node or for data; on the same file system as the others. */
  makeFolder(name) {
    const path = join(this.folder, name);
    mkdirSync(path, { recursive: true });
    return path;
  }

  /** A process with the code loaded and no node in it yet. */
  async spawn({ trace = false, uplink } = {}) {
    const node = new NodeProcess(this.#profile);
    this.adopt(node);
    await node.call('load', { trace, uplink });
    return node;
  }

  /** A process that serves the commands of a module. */
  spawnWorker(module, execArgv) {
    const worker = new WorkerProcess(module, execArgv);
    this.adopt(worker);
    return worker;
  }

  /** A node on `folder`; `join` is an invite, or the address of a node that it knows already. */
  async startNode(folder, { trace, uplink, ...options } = {}) {
    const node = await this.spawn({ trace, uplink });
    await node.start(folder, options);
    return node;
  }

  /** Something with `end()` and `kill()`, which ends with this workspace. */
  adopt(child) {
    this.#processes.add(child);
  }

  /** It has ended by itself. */
  release(child) {
    this.#processes.delete(child);
  }

  /** Numbers what would have the same name otherwise. */
  nextNumber() {
    return ++this.#numbers;
  }

  async close() {
    await this.end();
    this.#remove();
  }

  /** The processes only; the folder goes with `closeAllNow`. */
  async end() {
    await Promise.all([...this.#processes].map((child) => child.end()));
    this.#processes.clear();
  }

  closeNow() {
    for (const child of this.#processes) child.kill();
    this.#remove();
  }

  #remove() {
    open.delete(this);
    if (this.#keep) return;
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}

export class NodeProcess extends WorkerProcess {
  #started = false;
  /** When `openNode` was called, on the clock of `nowMs`. */
  startedMs = 0;

  constructor(profile) {
    const profiled = profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`];
    super(PROCESS, ['--expose-gc', '--no-warnings', ...profiled]);
  }

  async start(folder, options = {}) {
    const { sinceMs } = await this.call('start', { ...nodeOptions(folder), ...options });
    this.#started = true;
    this.startedMs = sinceMs;
  }

  /** The commit that this node has reached is on the disks of `peers` peers; gives the moment. */
  async waitForPeers(peers, timeoutMs = 1_800_000) {
    const { output, atMs } = await this.callAt('waitForPeers', { count: peers, timeoutMs });
    if (!output.done || output.peers.length < peers) throw new Error(`wait ended without all peers: ${JSON.stringify(output)}`);
    return { atMs, connectedMs: output.connectedMs };
  }

  async wait(timeoutMs = 1_800_000) {
    const { output, atMs } = await this.callAt('wait', { timeoutMs });
    if (!output.done) throw new Error(`wait timed out: ${JSON.stringify(output)}`);
    return { atMs };
  }

  async scan() {
    return (await this.callAt('scan')).atMs;
  }

  async address() {
    const { peer } = (await this.call('status')).addresses;
    const at = peer.lastIndexOf(':');
    return { host: peer.slice(0, at), port: Number(peer.slice(at + 1)) };
  }

  /** Options with which another node joins this one. */
  async invitation({ insecure = false } = {}) {
    const join = [await this.address()];
    return insecure ? { join, insecure } : { join, token: (await this.call('invite')).token };
  }

  /** Application bytes since the start, both directions. */
  async wireBytes() {
    return (await this.call('status')).peers.reduce((sum, peer) => sum + peer.sentBytes + peer.receivedBytes, 0);
  }

  async sentBytes() {
    return (await this.call('status')).peers.reduce((sum, peer) => sum + peer.sentBytes, 0);
  }

  /** CPU seconds since the last call: main thread, all other threads. */
  async cpuSeconds() {
    const { threads } = await this.call('cpu');
    const sum = (items) => items.reduce((total, { seconds }) => total + seconds, 0);
    const now = { main: sum(threads.filter(({ main }) => main)), others: sum(threads.filter(({ main }) => !main)) };
    const before = this.cpuBefore ?? { main: 0, others: 0 };
    this.cpuBefore = now;
    return { main: now.main - before.main, others: now.others - before.others };
  }

  /** Adds what the threads of this node have worked since the last call; unlike a rate, hardly touched by other load. */
  async addCpu(figures, side) {
    const { main, others } = await this.cpuSeconds();
    figures.add(`CPU of the ${side}, main thread`, 's', main, { better: 'lower' });
    figures.add(`CPU of the ${side}, other threads`, 's', others, { better: 'lower' });
  }

  async beforeEnd() {
    if (this.#started) await this.call('stop');
  }
}

/** As the command line starts a node, but for the port: any free one. */
function nodeOptions(folder) {
  return {
    folder,
    dataDir: join(folder, '.sameroot'),
    shareName: 'bench',
    listen: { host: '127.0.0.1', port: 0 },
    listenAnyPort: false,
    advertise: true,
    join: [],
    token: undefined,
    insecure: false,
    settleMs: 300,
    rescanMs: 3_600_000,
    pullEveryMs: 30_000,
    minFreeBytes: undefined,
  };
}

/** Until all have one root and have said nothing for a while: what is measured next is not the echo of what was before. */
export async function quiet(nodes, { silentMs = 1_000, timeoutMs = 300_000 } = {}) {
  const deadlineMs = nowMs() + timeoutMs;
  let last;
  let sinceMs = nowMs();
  for (;;) {
    const statuses = await Promise.all(nodes.map((node) => node.call('status')));
    const roots = new Set(statuses.map(({ root }) => root));
    const calm = roots.size === 1 && statuses.every(({ state, pending }) => state === 'in-sync' && pending.fetch === 0);
    const now = JSON.stringify([[...roots], statuses.flatMap(({ peers }) => peers.map((peer) => [peer.sentBytes, peer.receivedBytes]))]);
    if (!calm || now !== last) {
      last = now;
      sinceMs = nowMs();
    } else if (nowMs() - sinceMs >= silentMs) return;
    if (nowMs() > deadlineMs) throw new Error(`the nodes did not come to rest: ${statuses.map(describe).join(' | ')}`);
    await sleep(50);
  }
}

function describe({ state, root, entries, pending, errors }) {
  return `${state} root ${root.slice(0, 8)} entries ${entries} pending ${JSON.stringify(pending)} errors ${JSON.stringify(errors.slice(0, 3))}`;
}
