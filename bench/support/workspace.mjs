/**
 * A temporary folder and the node processes that live in it. Whatever happens, `close` ends the processes that were
 * started here (no others) and removes the folder.
 */
import { fork } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MB, nowMs, sleep } from './common.mjs';

const PROCESS = fileURLToPath(new URL('./node-process.mjs', import.meta.url));
const END_MS_MAX = 60_000;
/** On top of what a case asks for: database logs, staging, the floor under which a node stops writing. */
const SPARE_BYTES = 2_000 * MB;

const open = new Set();

/** Nothing may be left behind when the bench is interrupted. */
export function closeAllNow() {
  for (const workspace of open) workspace.closeNow();
}

export class Workspace {
  #nodes = new Set();
  #profile;

  constructor({ bytes, profile }) {
    const parent = process.env.SAMEROOT_BENCH_DIR ?? tmpdir();
    const { bavail, bsize } = statfsSync(parent);
    const free = bavail * bsize;
    if (free < bytes + SPARE_BYTES) {
      const text = (amount) => `${Math.ceil(amount / MB)} MB`;
      throw new Error(
        `${parent} has ${text(free)} free and this bench needs ${text(bytes + SPARE_BYTES)}: set SAMEROOT_BENCH_DIR to a larger disk`,
      );
    }
    this.folder = mkdtempSync(join(parent, 'sameroot-bench-'));
    this.#profile = profile;
    open.add(this);
  }

  /** An empty folder for a node or for data; on the same file system as the others. */
  makeFolder(name) {
    const path = join(this.folder, name);
    mkdirSync(path, { recursive: true });
    return path;
  }

  /** A process with the code loaded and no node in it yet. */
  async spawn({ trace = false } = {}) {
    const node = new NodeProcess(this.#profile);
    this.#nodes.add(node);
    await node.call('load', { trace });
    return node;
  }

  /** A node on `folder`; `join` is an invite, or the address of a node that it knows already. */
  async startNode(folder, { trace, ...options } = {}) {
    const node = await this.spawn({ trace });
    await node.start(folder, options);
    return node;
  }

  async close() {
    await Promise.all([...this.#nodes].map((node) => node.end()));
    this.#remove();
  }

  closeNow() {
    for (const node of this.#nodes) node.kill();
    this.#remove();
  }

  #remove() {
    open.delete(this);
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}

export class NodeProcess {
  #child;
  #exited;
  #waiting = new Map();
  #nextId = 1;
  #started = false;
  /** When `openNode` was called, on the clock of `nowMs`. */
  startedMs = 0;

  constructor(profile) {
    const execArgv = ['--expose-gc', '--no-warnings'];
    if (profile !== undefined) execArgv.push('--cpu-prof', `--cpu-prof-dir=${profile}`);
    this.#child = fork(PROCESS, [], { execArgv, serialization: 'advanced', stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    this.#exited = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.on('message', (reply) => this.#settle(reply));
    void this.#exited.then((code) => this.#fail(new Error(`a node process ended with ${code}`)));
  }

  get pid() {
    return this.#child.pid;
  }

  /** The output of a command; `callAt` also tells when it was done there. */
  async call(name, input = {}) {
    return (await this.callAt(name, input)).output;
  }

  callAt(name, input = {}) {
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      this.#waiting.set(id, { name, resolve, reject });
      this.#child.send({ id, name, input }, (error) => {
        if (error !== null && this.#waiting.delete(id)) reject(error);
      });
    });
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

  /** Application bytes of the present connections, both directions. */
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

  /** Stops the node and its process in the ordinary way. */
  async end() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const timer = setTimeout(() => this.kill(), END_MS_MAX);
    try {
      if (this.#started) await this.call('stop');
      await this.call('exit');
      await this.#exited;
    } catch {
      this.kill();
    }
    clearTimeout(timer);
  }

  kill() {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill('SIGKILL');
  }

  #settle({ id, output, atMs, error }) {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) waiting?.resolve({ output, atMs });
    else waiting?.reject(Object.assign(new Error(`${waiting.name}: ${error.message}`), { code: error.code, remote: error.stack }));
  }

  #fail(error) {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
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
