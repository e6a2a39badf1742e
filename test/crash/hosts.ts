/**
 * Hosts as processes of the compiled program, for tests that end them without warning or take their network away. A host
 * keeps its addresses over restarts, as a machine does.
 *
 * Everything waits by looking again until a generous deadline; nothing here measures speed.
 */
import { execFile, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'vitest';
import type { NodeStatus } from '../../src/node/node-api.ts';
import { contentsOf, someBytes } from '../node/cluster.ts';

export const MIB: number = 1024 * 1024;
/** For a test that hangs: other work may have the machine. */
const DEADLINE_MS = 120_000;
const PROGRAM = fileURLToPath(new URL('../../dist/app/main.js', import.meta.url));
const WATCHER = fileURLToPath(new URL('./path-watcher.mjs', import.meta.url));

/** `node.json`. */
interface Daemon {
  readonly http: string;
  readonly token: string;
  readonly pid: number;
}

const FETCH_SCRIPT = `
  const answer = await fetch(process.argv[1], JSON.parse(process.argv[2]));
  console.log(await answer.text());
  process.exitCode = answer.ok ? 0 : 1;
`;

/** What `start --json` prints. */
interface Ready {
  readonly nodeId: string;
  readonly peer: string;
  readonly api: string;
  readonly token: string;
}

export class Host {
  readonly folder: string;
  readonly #prefix: readonly string[];
  #listen: string;
  #child: ChildProcess | undefined;
  #ready: Promise<Ready> | undefined;
  #errors = '';

  /** `prefix`: what runs the program, such as `ip netns exec NAME`; `ip`: where it listens. */
  constructor(folder: string, prefix: readonly string[] = [], ip: string = '127.0.0.1') {
    this.folder = folder;
    this.#prefix = prefix;
    this.#listen = `${ip}:0`;
    mkdirSync(folder, { recursive: true });
  }

  /** Starts the process and returns at once. */
  spawn(...args: readonly string[]): void {
    if (this.#isRunning) throw new Error('it still runs');
    const start = [PROGRAM, 'start', this.folder, '--json', '--log-level', 'warn', '--settle', '50ms', '--min-free', '0'];
    const all = [...this.#prefix, process.execPath, ...start, '--listen', this.#listen, '--http', '127.0.0.1:0', ...args];
    const child = spawn(all[0]!, all.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    this.#errors = '';
    child.stderr.setEncoding('utf8').on('data', (part: string) => (this.#errors += part));
    this.#ready = readyOf(child, () => this.#errors);
    // Killed before it was ready: only who waits for it minds.
    this.#ready.catch(() => undefined);
  }

  /** Starts the process and waits until it is ready: it knows its share, and its peer address. */
  async start(...args: readonly string[]): Promise<void> {
    this.spawn(...args);
    this.#listen = (await this.ready()).peer;
  }

  ready(): Promise<Ready> {
    return this.#ready!;
  }

  /** What the program said on stderr since it was started. */
  get errors(): string {
    return this.#errors;
  }

  /** Ends it as a power cut of the process does: no handler runs. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** Also what a failed test left running. */
  async stop(): Promise<void> {
    await this.#end('SIGTERM');
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    if (!this.#isRunning) return;
    const child = this.#child!;
    const exit = once(child, 'exit');
    child.kill(signal);
    await exit;
  }

  get #isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  async joinArguments(): Promise<string[]> {
    const { peer, token } = await this.ready();
    return ['--join', peer, '--token', token];
  }

  /** Undefined while it can not be asked. */
  async status(): Promise<NodeStatus | undefined> {
    try {
      return await this.call<NodeStatus>('GET', '/v1/status');
    } catch {
      return undefined;
    }
  }

  /** The API, with the token of node.json as a verb has it. */
  async call<Answer>(method: 'GET' | 'POST', path: string, body?: unknown): Promise<Answer> {
    const daemon = JSON.parse(readFileSync(join(this.folder, '.sameroot', 'node.json'), 'utf8')) as Daemon;
    if (daemon.pid !== this.#child?.pid) throw new Error('the node.json of an earlier process');
    const answer = await (this.#prefix.length === 0
      ? fetchText(daemon, method, path, body)
      : this.#fetchWithin(daemon, method, path, body));
    return JSON.parse(answer) as Answer;
  }

  /** A network name space has a loopback of its own: the request is made by a process within. */
  async #fetchWithin(daemon: Daemon, method: string, path: string, body: unknown): Promise<string> {
    const options = { method, headers: headersOf(daemon.token), ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
    return this.runWithin(FETCH_SCRIPT, `${daemon.http}${path}`, JSON.stringify(options));
  }

  /** Runs a script, an ES module, where the host is. Resolves to its output. */
  async runWithin(script: string, ...args: readonly string[]): Promise<string> {
    const command = [...this.#prefix, process.execPath, '--input-type=module', '-e', script, '--', ...args];
    return (await promisify(execFile)(command[0]!, command.slice(1))).stdout;
  }
}

function headersOf(token: string): Record<string, string> {
  return { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
}

function fetchText(daemon: Daemon, method: string, path: string, body: unknown): Promise<string> {
  return new Promise((resolve, reject) => {
    const outgoing = request(`${daemon.http}${path}`, { method, headers: headersOf(daemon.token), agent: false });
    outgoing.on('error', reject);
    outgoing.on('response', (answer) => {
      text(answer).then((all) => ((answer.statusCode ?? 500) < 300 ? resolve(all) : reject(new Error(`${path}: ${all}`))), reject);
    });
    outgoing.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

async function readyOf(child: ChildProcess, errors: () => string): Promise<Ready> {
  let out = '';
  for await (const part of child.stdout!.setEncoding('utf8').iterator({ destroyOnReturn: false })) {
    out += part as string;
    if (out.endsWith('}\n')) return JSON.parse(out) as Ready;
  }
  throw new Error(`the node did not start: ${errors()}`);
}

/** A place for the folders of a test, and all that runs in it. */
export class Site implements AsyncDisposable {
  readonly base: string = mkdtempSync(join(tmpdir(), 'sameroot-crash-'));
  readonly #hosts: Host[] = [];
  readonly #watchers: PathWatcher[] = [];

  host(name: string, prefix: readonly string[] = [], ip?: string): Host {
    const host = new Host(join(this.base, name), prefix, ip);
    this.#hosts.push(host);
    return host;
  }

  /** Two hosts: `b` has joined `a`, both have their addresses, and nothing is in the folders. */
  async pair(): Promise<readonly [a: Host, b: Host]> {
    const [a, b] = [this.host('a'), this.host('b')];
    await a.start();
    await b.start(...(await a.joinArguments()));
    await converged(a, b);
    return [a, b];
  }

  /** Begins to look at a path, over and over, from a process of its own. */
  async watch(path: string, allowed: readonly Uint8Array[], mayBeAbsent: boolean): Promise<PathWatcher> {
    const files = allowed.map((_, index) => join(this.base, `allowed-${this.#watchers.length}-${index}`));
    for (const [index, file] of files.entries()) writeFileSync(file, allowed[index]!);
    const watcher = new PathWatcher(path, files, mayBeAbsent);
    this.#watchers.push(watcher);
    await watcher.looking;
    return watcher;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const watcher of this.#watchers) watcher.child.kill('SIGKILL');
    await Promise.all(this.#hosts.map((host) => host.kill()));
    rmSync(this.base, { recursive: true, force: true });
  }
}

/** What a reader of the path saw: `test/crash/path-watcher.mjs`. */
export interface Seen {
  readonly looks: number;
  readonly present: number;
  readonly compared: number;
  /** What must not be: a torn file, or none where there must be one. */
  readonly wrong: readonly string[];
}

class PathWatcher {
  readonly child: ChildProcess;
  readonly looking: Promise<unknown>;
  readonly #out: Promise<string>;

  constructor(path: string, allowed: readonly string[], mayBeAbsent: boolean) {
    this.child = spawn(process.execPath, [WATCHER, path, String(mayBeAbsent), ...allowed], { stdio: ['pipe', 'pipe', 'pipe'] });
    this.looking = once(this.child.stderr!, 'data');
    this.#out = text(this.child.stdout!);
  }

  /** Ends it after one more look. */
  async seen(): Promise<Seen> {
    this.child.stdin!.end();
    return JSON.parse(await this.#out) as Seen;
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Looks again and again, without a pause where `everyMs` is 0; the failure says what was there instead. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  state: () => unknown = () => '',
  everyMs: number = 20,
): Promise<void> {
  const endMs = performance.now() + DEADLINE_MS;
  while (!(await condition())) {
    if (performance.now() > endMs) throw new Error(`never came true: ${what}; ${JSON.stringify(await state(), undefined, 1)}`);
    await sleep(everyMs);
  }
}

/** Both have taken in what is on their disks, are in sync with each other, and of one root. */
export async function converged(...hosts: readonly Host[]): Promise<readonly NodeStatus[]> {
  let statuses: readonly (NodeStatus | undefined)[] = [];
  const look = async (): Promise<readonly (NodeStatus | undefined)[]> => (statuses = await Promise.all(hosts.map((host) => host.status())));
  await until(
    'the API answers',
    async () => (await look()).every((status) => status !== undefined && status.shareId !== ''),
    () => [statuses, hosts.map(({ errors }) => errors)],
  );
  for (const host of hosts) await host.call('POST', '/v1/scan');
  await until(
    'one root',
    async () => {
      const all = await look();
      return all.every(
        (status) => status?.state === 'in-sync' && status.root === all[0]!.root && status.peers.some((peer) => peer.connected),
      );
    },
    () => [statuses, hosts.map(({ errors }) => errors)],
  );
  return statuses as readonly NodeStatus[];
}

/** One root; `diff -r` finds nothing, nor do modes and times differ; no conflict copies, no problems. Returns the paths. */
export async function expectSame(a: Host, b: Host): Promise<string[]> {
  const statuses = await converged(a, b);
  const { status, stdout, stderr } = spawnSync('diff', ['-r', '--no-dereference', '-x', '.sameroot', a.folder, b.folder], {
    encoding: 'utf8',
  });
  expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '', stderr: '' });
  const [inA, inB] = [contentsOf(a.folder), contentsOf(b.folder)];
  expect(inB).toEqual(inA);
  const paths = Object.keys(inA);
  expect(paths.filter((path) => path.includes('.conflict-'))).toEqual([]);
  for (const { conflicts, errors } of statuses) expect({ conflicts, errors }).toEqual({ conflicts: 0, errors: [] });
  return paths;
}

export function write(host: Host, path: string, bytes: string | Uint8Array): void {
  const whole = join(host.folder, path);
  mkdirSync(dirname(whole), { recursive: true });
  writeFileSync(whole, bytes);
}

export function receivedBytes(status: NodeStatus): number {
  return status.peers.reduce((sum, peer) => sum + peer.receivedBytes, 0);
}

/** `count` numbers below 1 that look random; printed with its seed so that a failure can be repeated: `SAMEROOT_SEED`. */
export function seededFractions(test: string, count: number): number[] {
  const seed = Number(process.env['SAMEROOT_SEED'] ?? Date.now() % 1_000_000);
  const words = someBytes(4 * (count + 8), seed);
  const fractions = Array.from({ length: count }, (_, index) => words.readUInt32LE(4 * (index + 8)) / 2 ** 32);
  console.log(`${test}: SAMEROOT_SEED=${seed}`);
  return fractions;
}
