/** The HTTP API of a node, also where the node has a network of its own: a process within asks then (`relay.mjs`). */
import { spawn, type ChildProcess } from 'node:child_process';
import { request } from 'node:http';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

const RELAY = fileURLToPath(new URL('./relay.mjs', import.meta.url));

/** `etag` and `siblings` are those of a record. */
export interface Answer {
  readonly status: number;
  readonly etag: string | undefined;
  readonly siblings: number;
  readonly text: string;
}

export interface Question {
  readonly method: 'GET' | 'POST' | 'PUT';
  readonly headers: Record<string, string>;
  readonly body?: string;
}

export function askHere(url: string, { body, ...options }: Question): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { ...options, agent: false });
    outgoing.on('error', reject);
    outgoing.on('response', (answer) => {
      const { statusCode: status = 500, headers } = answer;
      const siblings = Number(headers['sameroot-siblings'] ?? 0);
      text(answer).then((all) => resolve({ status, etag: headers.etag, siblings, text: all }), reject);
    });
    outgoing.end(body);
  });
}

export class Relay implements Disposable {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, { resolve(answer: Answer): void; reject(error: Error): void }>();
  #nextId = 0;

  /** `prefix`: what runs a program in the name space. */
  constructor(prefix: readonly string[]) {
    const command = [...prefix, process.execPath, RELAY];
    this.#child = spawn(command[0]!, command.slice(1), { stdio: ['pipe', 'pipe', 'inherit'] });
    createInterface({ input: this.#child.stdout! }).on('line', (line) => {
      const { id, error, ...answer } = JSON.parse(line) as Answer & { id: number; error?: string };
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiting?.resolve(answer);
      else waiting?.reject(new Error(error));
    });
  }

  ask(url: string, options: Question): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      this.#waiting.set(id, { resolve, reject });
      this.#child.stdin!.write(`${JSON.stringify({ id, url, options })}\n`);
    });
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
    for (const { reject } of this.#waiting.values()) reject(new Error('the relay is closed'));
  }
}
