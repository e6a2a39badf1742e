/**
 * Hosts as processes of the compiled program, for tests that end them without warning or take their network away. A host
 * keeps its addresses over restarts, as a machine does.
 *
 * Everything waits by looking again until a generous deadline; nothing here measures speed.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { NodeStatus } from '../../src/node/node-api.ts';
import { ownLoopback } from '../loopback.ts';
import { askHere, Relay, type Answer, type Question } from './api-client.ts';
import { PathWatcher } from './path-watcher.ts';

export const MIB: number = 1024 * 1024;
/** For a test that hangs: other work may have the machine. */
const DEADLINE_MS = 120_000;
const PROGRAM = fileURLToPath(new URL('../../dist/app/main.js', import.meta.url));

/** `node.json`. */
interface Daemon {
  readonly http: string;
  readonly token: string;
  readonly pid: number;
}

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
  #relay: Relay | undefined;

  /** `prefix`: what runs the program, such as `nsenter --net=NAME`; `ip`: where it listens. */
  constructor(folder: string, prefix: readonly string[] = [], ip: string = ownLoopback()) {
    this.folder = folder;
    this.#prefix = prefix;
    this.#listen = `${ip}:0`;
    mkdirSync(folder, { recursive: true });
  }

  /** Starts the process and returns at once. */
  spawn(...args: readonly string[]): void {
    if (this.isRunning) throw new Error('it still runs');
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

  /** The end of the test. */
  async dispose(): Promise<void> {
    this.#relay?.[Symbol.dispose]();
    await this.kill();
  }

  /** Also what a failed test left running. */
  async stop(): Promise<void> {
    await this.#end('SIGTERM');
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    if (!this.isRunning) return;
    const child = this.#child!;
    const exit = once(child, 'exit');
    child.kill(signal);
    await exit;
  }

  get isRunning(): boolean {
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

  /**
   * Runs a step while no thread of the process runs: what the step finds in the folder and what it does there is one for
   * the process, which may be stopped at any point. A dead process is not in the way either.
   */
  async frozen<T>(step: () => T): Promise<T> {
    for (;;) {
      if (!this.isRunning) return step();
      const child = this.#child!;
      child.kill('SIGSTOP');
      if (!standsStill(child.pid!)) {
        await sleep(1);
        continue;
      }
      try {
        return step();
      } finally {
        child.kill('SIGCONT');
      }
    }
  }

  async call<Result>(method: 'GET' | 'POST', path: string, body?: unknown): Promise<Result> {
    const { status, text } = await this.ask(method, path, body === undefined ? undefined : JSON.stringify(body));
    if (status >= 300) throw new Error(`${path}: ${text}`);
    return JSON.parse(text) as Result;
  }

  /** The API, with the token of node.json as a verb has it. */
  async ask(method: Question['method'], path: string, body?: string, headers: Record<string, string> = {}): Promise<Answer> {
    const daemon = JSON.parse(readFileSync(join(this.folder, '.sameroot', 'node.json'), 'utf8')) as Daemon;
    if (daemon.pid !== this.#child?.pid) throw new Error('the node.json of an earlier process');
    const all = { authorization: `Bearer ${daemon.token}`, 'content-type': 'application/json', ...headers };
    const question: Question = { method, headers: all, ...(body === undefined ? {} : { body }) };
    const url = `${daemon.http}${path}`;
    if (this.#prefix.length === 0) return askHere(url, question);
    // A network name space has a loopback of its own.
    return (this.#relay ??= new Relay(this.#prefix)).ask(url, question);
  }

  /** Runs a script, an ES module, where the host is. Resolves to its output. */
  async runWithin(script: string, ...args: readonly string[]): Promise<string> {
    const command = [...this.#prefix, process.execPath, '--input-type=module', '-e', script, '--', ...args];
    return (await promisify(execFile)(command[0]!, command.slice(1))).stdout;
  }
}

/** All threads of the process are stopped, or gone. */
function standsStill(pid: number): boolean {
  const stateOf = (thread: string): string => {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'latin1');
    return stat[stat.lastIndexOf(')') + 2]!;
  };
  try {
    return readdirSync(`/proc/${pid}/task`).every((thread) => 'TtZX'.includes(stateOf(thread)));
  } catch {
    // One has just ended: look again, unless it was the last.
    return !isThere(pid);
  }
}

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
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
    return this.hostAt(join(this.base, name), prefix, ip);
  }

  /** `folder`: an absolute path. */
  hostAt(folder: string, prefix: readonly string[] = [], ip?: string): Host {
    const host = new Host(folder, prefix, ip);
    this.#hosts.push(host);
    return host;
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
    await Promise.all(this.#hosts.map((host) => host.dispose()));
    rmSync(this.base, { recursive: true, force: true });
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

export function write(host: Host, path: string, bytes: string | Uint8Array): void {
  const whole = join(host.folder, path);
  mkdirSync(dirname(whole), { recursive: true });
  writeFileSync(whole, bytes);
}
