/**
 * A verb's line to the running node: HTTP with the token of node.json, errors back as what the node threw.
 *
 * On `node:http` and not on `fetch`: fetch gives up on an answer whose headers take 300 s, and a barrier or the scan of
 * a large folder may take longer.
 */
import { request, type IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { ERROR_ADVICE, messageOf, SamerootError, systemCode, type ErrorCode } from '../base/errors.ts';
import type { DaemonFile } from './daemon-file.ts';
import { asSamerootError } from './exit.ts';
import { fromJson } from './terminal.ts';

export interface Call {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** With its query, percent-encoded. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | Readable;
}

export class Client {
  readonly #daemon: DaemonFile;

  constructor(daemon: DaemonFile) {
    this.#daemon = daemon;
  }

  async get<Answer>(path: string): Promise<Answer> {
    return fromJson(await readText(await this.call({ method: 'GET', path }))) as Answer;
  }

  async post<Answer>(path: string, body: unknown): Promise<Answer> {
    const bytes = Buffer.from(JSON.stringify(body));
    const answer = await this.call({ method: 'POST', path, headers: { 'content-type': 'application/json' }, body: bytes });
    return fromJson(await readText(answer)) as Answer;
  }

  /**
   * An answer of success, its body not read yet.
   * @throws {SamerootError} the node's own error, or `NO_DAEMON` if nobody answers
   */
  async call(call: Call): Promise<IncomingMessage> {
    const answer = await this.#send(call);
    if ((answer.statusCode ?? 500) < 300) return answer;
    throw errorOf(answer.statusCode ?? 500, await readText(answer));
  }

  #send(call: Call): Promise<IncomingMessage> {
    const { http, token, pid } = this.#daemon;
    const headers = { ...call.headers, authorization: `Bearer ${token}` };
    return new Promise((resolve, reject) => {
      const outgoing = request(`${http}${call.path}`, { method: call.method, headers, agent: false });
      outgoing.on('response', resolve);
      outgoing.on('error', (error) => {
        const gone = systemCode(error) === 'ECONNREFUSED';
        const what = gone ? `nothing answers at ${http} (process ${pid})` : `the node at ${http} broke off: ${messageOf(error)}`;
        reject(new SamerootError(gone ? 'NO_DAEMON' : 'CLOSED', what, { cause: error }));
      });
      if (call.body === undefined || call.body instanceof Uint8Array) outgoing.end(call.body);
      // A source that cannot be read fails the call; if the answer (an error) came first, it stays the result.
      else pipeline(call.body, outgoing).catch((error: unknown) => reject(asSamerootError(error)));
    });
  }
}

/** A path with its query; values that are undefined are left out. */
export function withQuery(path: string, query: Readonly<Record<string, string | number | undefined>>): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) search.set(name, String(value));
  return search.size === 0 ? path : `${path}?${search.toString()}`;
}

async function readText(answer: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of answer) parts.push(part as Buffer);
  return Buffer.concat(parts).toString('utf8');
}

function errorOf(status: number, body: string): SamerootError {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    parsed = undefined;
  }
  const { code, message } = (typeof parsed === 'object' && parsed !== null ? parsed : {}) as { code?: unknown; message?: unknown };
  if (typeof code !== 'string' || typeof message !== 'string')
    return new SamerootError('INTERNAL', `the node answered HTTP ${status} without a reason`);
  return isErrorCode(code) ? new SamerootError(code, message) : new SamerootError('VERSION_MISMATCH', `${code}: ${message}`);
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERROR_ADVICE, code);
}
