/** A child process that is told what to do: the end of the bench. `worker-commands.mjs` is the other end. */
import { fork } from 'node:child_process';

const END_MS_MAX = 60_000;

export class WorkerProcess {
  #child;
  #exited;
  #waiting = new Map();
  #nextId = 1;

  /** @param {string} module path of a file that calls `serveCommands` */
  constructor(module, execArgv = []) {
    this.#child = fork(module, [], { execArgv, serialization: 'advanced', stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    this.#exited = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.on('message', (reply) => this.#settle(reply));
    void this.#exited.then((code) => this.#fail(new Error(`a process of the bench ended with ${code}`)));
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

  /** What has to be done there before the process may go. */
  async beforeEnd() {}

  /** Ends the process in the ordinary way. */
  async end() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const timer = setTimeout(() => this.kill(), END_MS_MAX);
    try {
      await this.beforeEnd();
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
