/**
 * Programs of others as child processes. Each is the leader of a process group of its own, so that what it starts (a
 * daemon's worker, a helper that fetches) ends with it, and nothing else does: nothing is ever ended by name.
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { nowMs, sleep } from '../../support/common.mjs';

const END_MS_MAX = 10_000;
const START_MS_MAX = 20_000;
const POLL_MS = 10;
/** Of /proc, on every Linux. */
const TICKS_PER_SECOND = 100;
const TOLD_CHARACTERS = 300;

/** A running program; what it prints goes to a file in the workspace, which an error quotes. */
export class Service {
  #child;
  #name;
  #logPath;
  #exited;

  /**
   * @param {import('../../support/workspace.mjs').Workspace} space ends it when the workspace is closed
   * @param {string} command
   * @param {readonly string[]} parameters
   * @param {{ environment?: Record<string, string>, folder?: string }} [options]
   */
  constructor(space, command, parameters, { environment = {}, folder } = {}) {
    this.#name = command;
    this.#logPath = join(space.makeFolder('logs'), `${command.replaceAll('/', '_')}-${space.nextNumber()}`);
    const log = openSync(this.#logPath, 'w');
    this.startedMs = nowMs();
    this.#child = spawn(command, parameters, {
      stdio: ['ignore', log, log],
      env: { ...process.env, LC_ALL: 'C', ...environment },
      cwd: folder ?? space.folder,
      detached: true,
    });
    closeSync(log);
    this.#exited = new Promise((resolve) => {
      this.#child.once('error', (error) => resolve({ atMs: nowMs(), error }));
      this.#child.once('exit', (code, signal) => resolve({ atMs: nowMs(), code, signal }));
    });
    space.adopt(this);
  }

  get pid() {
    return this.#child.pid;
  }

  /** CPU seconds that it and what it started have worked so far. */
  cpuSeconds() {
    let ticks = 0;
    for (const fields of processes()) {
      // Group; then user and system time, own and of children that have ended.
      if (Number(fields[2]) === this.pid) for (const field of [11, 12, 13, 14]) ticks += Number(fields[field]);
    }
    return ticks / TICKS_PER_SECOND;
  }

  get output() {
    return readFileSync(this.#logPath, 'utf8');
  }

  /** The first and the last it said, for an error. */
  told() {
    const text = this.output.trim();
    return text.length <= 2 * TOLD_CHARACTERS ? text : `${text.slice(0, TOLD_CHARACTERS)} ... ${text.slice(-TOLD_CHARACTERS)}`;
  }

  /**
   * Until it ends by itself, well.
   * @param {readonly number[]} [good] exit codes that are no failure
   */
  async finished(good = [0]) {
    const { atMs, code, signal, error } = await this.#exited;
    if (error !== undefined) throw new Error(`${this.#name}: ${error.message}`, { cause: error });
    if (!good.includes(code)) throw new Error(`${this.#name} ended with ${code ?? signal}: ${this.told()}`);
    return { seconds: (atMs - this.startedMs) / 1000, output: this.output };
  }

  /** Until `ready` gives something else than undefined or false; its errors count as "not yet". */
  async until(ready, timeoutMs = START_MS_MAX) {
    const deadlineMs = nowMs() + timeoutMs;
    for (;;) {
      const found = await Promise.resolve()
        .then(ready)
        .catch(() => undefined);
      if (found !== undefined && found !== false) return found;
      if (!this.#alive()) throw new Error(`${this.#name} ended early: ${this.told()}`);
      if (nowMs() > deadlineMs) throw new Error(`${this.#name} was not ready after ${timeoutMs / 1000} s: ${this.told()}`);
      await sleep(POLL_MS);
    }
  }

  /** Asks it to end, then makes it. */
  async end() {
    if (this.#alive()) {
      this.#signal('SIGTERM');
      const timer = setTimeout(() => this.kill(), END_MS_MAX);
      await this.#exited;
      clearTimeout(timer);
    }
    // What it had started and left.
    this.#signal('SIGKILL');
  }

  kill() {
    this.#signal('SIGKILL');
  }

  #alive() {
    return this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  #signal(signal) {
    if (this.#child.pid === undefined) return;
    try {
      process.kill(-this.#child.pid, signal);
    } catch (error) {
      if (error.code !== 'ESRCH') throw error;
    }
  }
}

/** The fields of /proc/ID/stat, from the state on, of all processes that are there. */
function* processes() {
  for (const id of readdirSync('/proc')) {
    if (!/^\d+$/.test(id)) continue;
    try {
      const stat = readFileSync(`/proc/${id}/stat`, 'latin1');
      yield stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    } catch {
      // It has ended since.
    }
  }
}

/** Runs a program to its end. */
export async function runProgram(space, command, parameters, options = {}) {
  const service = new Service(space, command, parameters, options);
  try {
    return await service.finished(options.good);
  } finally {
    space.release(service);
  }
}

/** A port of 127.0.0.1 that was free a moment ago, for programs that cannot choose one by themselves and tell it. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** Does somebody listen there? */
export function listens(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
