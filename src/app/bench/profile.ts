/**
 * CPU profiles of this process for Chrome's DevTools: one file for the main thread, one for each thread beside it. Made with
 * Node's own inspector, without a port that others could connect to.
 */
import { writeFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { extname } from 'node:path';
import { messageOf, SamerootError } from '../../base/errors.ts';

const EXTENSION = '.cpuprofile';

interface ThreadReply {
  readonly id: number;
  readonly result?: { readonly profile?: unknown };
}

interface Thread {
  readonly name: string;
  readonly sessionId: string;
}

export class Profiler {
  readonly #file: string;
  readonly #session = new Session();
  readonly #threads: Thread[] = [];
  readonly #waiting = new Map<number, { readonly sessionId: string; readonly settle: (reply: ThreadReply | undefined) => void }>();
  #nextId = 1;

  private constructor(file: string) {
    this.#file = extname(file) === EXTENSION ? file.slice(0, -EXTENSION.length) : file;
  }

  /** From now on, threads that are started later included. @throws {SamerootError} `CONFIG_INVALID` if the file can not be written */
  static async start(file: string): Promise<Profiler> {
    const profiler = new Profiler(file);
    // Before the work, not after it.
    profiler.#write(profiler.#file, {});
    const session = profiler.#session;
    session.connect();
    session.on('NodeWorker.attachedToWorker', ({ params: { sessionId, workerInfo } }) => {
      const name = workerInfo.title.replace(/^\[worker \d+\] /, '').replace(/[^\w-]/g, '-');
      profiler.#threads.push({ sessionId, name: `${name}-${workerInfo.workerId}` });
      // A thread that ends at once has nothing to tell.
      for (const method of ['Profiler.enable', 'Profiler.start']) profiler.#ask(sessionId, method).catch(() => undefined);
    });
    session.on('NodeWorker.receivedMessageFromWorker', ({ params: { message } }) => {
      const reply = JSON.parse(message) as ThreadReply;
      profiler.#waiting.get(reply.id)?.settle(reply);
      profiler.#waiting.delete(reply.id);
    });
    session.on('NodeWorker.detachedFromWorker', ({ params: { sessionId } }) => {
      const at = profiler.#threads.findIndex((thread) => thread.sessionId === sessionId);
      if (at >= 0) profiler.#threads.splice(at, 1);
      for (const waiting of profiler.#waiting.values()) if (waiting.sessionId === sessionId) waiting.settle(undefined);
    });
    await session.post('NodeWorker.enable', { waitForDebuggerOnStart: false });
    await session.post('Profiler.enable');
    await session.post('Profiler.start');
    return profiler;
  }

  /** While the threads still run. Returns the files. @throws {SamerootError} `CONFIG_INVALID` */
  async stop(): Promise<string[]> {
    const files: string[] = [];
    const { profile } = await this.#session.post('Profiler.stop');
    files.push(this.#write(this.#file, profile));
    const replies = this.#threads.map(async ({ sessionId, name }) => ({ name, reply: await this.#ask(sessionId, 'Profiler.stop') }));
    for (const { name, reply } of await Promise.all(replies)) {
      const threadProfile = reply?.result?.profile;
      if (threadProfile !== undefined) files.push(this.#write(`${this.#file}.${name}`, threadProfile));
    }
    await this.#session.post('NodeWorker.disable');
    this.#session.disconnect();
    return files;
  }

  /** `undefined` where the thread has ended. */
  #ask(sessionId: string, method: string): Promise<ThreadReply | undefined> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { sessionId, settle: resolve });
      this.#session.post('NodeWorker.sendMessageToWorker', { sessionId, message: JSON.stringify({ id, method }) }).catch(reject);
    });
  }

  #write(stem: string, profile: unknown): string {
    const file = stem + EXTENSION;
    try {
      writeFileSync(file, JSON.stringify(profile));
    } catch (error) {
      throw new SamerootError('CONFIG_INVALID', `--profile: cannot write ${file}: ${messageOf(error)}`, { cause: error, path: file });
    }
    return file;
  }
}
