/** Verbs for keys: `ls` for all of them; `put`, `get` and `rm` for records (`r/...`). */
import { createReadStream, fstatSync, openSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { messageOf, SamerootError } from '../base/errors.ts';
import { RECORD_BYTES_MAX } from '../base/limits.ts';
import type { ListResult } from '../node/node-api.ts';
import { withQuery } from './client.ts';
import { describeList } from './describe.ts';
import { EXIT } from './exit.ts';
import { formatBytes } from './quantities.ts';
import { toJson, type VerbContext } from './terminal.ts';
import { connect, type LookOptions } from './verbs-status.ts';

/** Without a limit it prints all pages, one after the other; with `--json` it is one document all the same. */
export async function listVerb(
  context: VerbContext,
  options: LookOptions & { readonly prefix?: string | undefined; readonly after?: string; readonly limit?: number },
): Promise<number> {
  const client = connect(context, options.folder);
  const all: ListResult['items'][number][] = [];
  let after = options.after;
  do {
    const page = await client.get<ListResult>(withQuery('/v1/ls', { prefix: options.prefix, after, limit: options.limit }));
    if (options.json === true) all.push(...page.items);
    else context.terminal.out(describeList(page));
    after = page.next;
  } while (after !== undefined && options.limit === undefined);
  if (options.json === true) context.terminal.out(`${toJson({ items: all, next: after })}\n`);
  else if (after !== undefined) context.terminal.err(`more with --after ${after}\n`);
  return EXIT.done;
}

interface RecordOptions extends LookOptions {
  readonly key: string;
}

export async function putVerb(
  context: VerbContext,
  options: RecordOptions & { readonly file?: string | undefined; readonly ifMatch?: string },
): Promise<number> {
  const client = connect(context, options.folder);
  const headers = {
    ...(options.ifMatch === undefined ? {} : { 'if-match': options.ifMatch === '*' ? '*' : `"${options.ifMatch}"` }),
    'content-type': 'application/octet-stream',
  };
  const answer = await client.call({ method: 'PUT', path: recordPath(options.key), headers, body: openSource(context, options.file) });
  const result = JSON.parse((await buffer(answer)).toString('utf8')) as { key: string; bytes: number; etag: string };
  context.terminal.out(
    options.json === true ? `${toJson(result)}\n` : `${result.key}   ${formatBytes(result.bytes)}   etag ${result.etag}\n`,
  );
  return EXIT.done;
}

function openSource(context: VerbContext, file: string | undefined): Readable {
  if (file === undefined || file === '-') return process.stdin;
  const path = resolve(context.currentFolder, file);
  try {
    const descriptor = openSync(path, 'r');
    const stat = fstatSync(descriptor);
    if (stat.isDirectory()) throw new SamerootError('CONFIG_INVALID', `FILE: ${path} is a folder`);
    if (stat.size > RECORD_BYTES_MAX)
      throw new SamerootError('RECORD_TOO_LARGE', `${path} is over the limit of ${formatBytes(RECORD_BYTES_MAX)}`);
    return createReadStream(path, { fd: descriptor });
  } catch (error) {
    if (error instanceof SamerootError) throw error;
    throw new SamerootError('CONFIG_INVALID', `FILE: cannot read ${path}: ${messageOf(error)}`, { cause: error });
  }
}

export async function getVerb(context: VerbContext, options: RecordOptions & { readonly sibling?: number }): Promise<number> {
  const client = connect(context, options.folder);
  const answer = await client.call({ method: 'GET', path: withQuery(recordPath(options.key), { sibling: options.sibling }) });
  const siblings = Number(header(answer, 'sameroot-siblings'));
  if (options.json === true) {
    const etag = header(answer, 'etag').replace(/^"|"$/g, '');
    const value = await buffer(answer);
    context.terminal.out(`${toJson({ key: options.key, bytes: value.length, etag, siblings, valueBase64: value.toString('base64') })}\n`);
    return EXIT.done;
  }
  await context.terminal.pipeOut(answer);
  if (siblings > 0 && options.sibling === undefined) {
    context.terminal.err(`sameroot: ${siblings + 1} concurrent versions; --sibling 0 shows the newest of the others, a put settles it\n`);
  }
  return EXIT.done;
}

function header(answer: IncomingMessage, name: string): string {
  const value = answer.headers[name];
  return typeof value === 'string' ? value : '';
}

export async function removeVerb(context: VerbContext, options: RecordOptions): Promise<number> {
  const answer = await connect(context, options.folder).call({ method: 'DELETE', path: recordPath(options.key) });
  answer.resume();
  context.terminal.out(options.json === true ? `${toJson({ key: options.key, deleted: true })}\n` : `${options.key}   deleted\n`);
  return EXIT.done;
}

function recordPath(key: string): string {
  try {
    return `/v1/records/${encodeURIComponent(key)}`;
  } catch (error) {
    throw new SamerootError('KEY_INVALID', 'the key is not Unicode text', { cause: error });
  }
}
