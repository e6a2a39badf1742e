/**
 * The API of a node over HTTP: JSON in and out, record values as they are. The command line uses nothing else.
 *
 * Invariant: nothing but /healthz answers without the token, and nothing at all to a request that names another host than
 * this one: a web page could point its own name at this address (DNS rebinding) and let the browser ask.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { isIP } from 'node:net';
import { createAdaptorServer, type ServerType } from '@hono/node-server';
import { Hono, type Context } from 'hono';
import { messageOf, SamerootError, systemCode, type ErrorCode } from '../base/errors.ts';
import { KIB, RECORD_BYTES_MAX } from '../base/limits.ts';
import type { Log } from '../base/world.ts';
import type { Address, ListResult, NodeApi, NodeStatus } from '../node/node-api.ts';
import { parseRequest } from './config.ts';
import { asSamerootError } from './exit.ts';
import { formatAddress } from './quantities.ts';
import { toJson } from './terminal.ts';

const JSON_BODY_BYTES_MAX: number = 64 * KIB;
const RECORDS_PATH = '/v1/records/';
const RECORD_PREFIX = 'r/';

export interface HttpOptions {
  readonly address: Address;
  readonly token: string;
  /** Undefined while the node is not open yet: the port is taken first, because that fails at once or not at all. */
  readonly node: () => NodeApi | undefined;
  readonly log: Log;
}

export interface HttpServer extends AsyncDisposable {
  /** `http://HOST:PORT`, with an address that this host itself can reach. */
  readonly url: string;
}

const bodyTooLarge = new SamerootError('CONFIG_INVALID', `the body is over the limit of ${JSON_BODY_BYTES_MAX} bytes`);
const recordTooLarge = new SamerootError('RECORD_TOO_LARGE', `the record is over the limit of ${RECORD_BYTES_MAX} bytes`);

const STATUS_BY_CODE = {
  UNAUTHORIZED: 401,
  NOT_FOUND: 404,
  CONFIG_INVALID: 400,
  KEY_INVALID: 400,
  STALE_WRITE: 412,
  RECORD_TOO_LARGE: 413,
  MASS_DELETE_HELD: 409,
  CLOSED: 503,
  TIMED_OUT: 504,
  PEER_TIMEOUT: 504,
  PEER_UNREACHABLE: 502,
  CONTENT_MISSING: 503,
  DISK_FULL: 507,
} as const satisfies Partial<Record<ErrorCode, number>>;

/** @throws {SamerootError} `PORT_IN_USE`, or `CONFIG_INVALID` for an address that is not of this host */
export async function startHttp(options: HttpOptions): Promise<HttpServer> {
  const { address } = options;
  let url = '';
  const server = createAdaptorServer({ fetch: makeApp(options, () => url).fetch, overrideGlobalObjects: false });
  await listen(server, address);
  const { port } = server.address() as AddressInfo;
  url = `http://${formatAddress({ host: reachableHost(address.host), port })}`;
  return {
    url,
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      if ('closeAllConnections' in server) server.closeAllConnections();
      await closed;
    },
  };
}

function listen(server: ServerType, address: Address): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      const inUse = systemCode(error) === 'EADDRINUSE';
      const what = inUse
        ? `--http: ${formatAddress(address)} is in use`
        : `--http: cannot listen on ${formatAddress(address)}: ${messageOf(error)}`;
      reject(new SamerootError(inUse ? 'PORT_IN_USE' : 'CONFIG_INVALID', what, { cause: error }));
    });
    server.listen(address.port, address.host, () => resolve());
  });
}

function makeApp(options: HttpOptions, url: () => string): Hono {
  const app = new Hono();
  const { log } = options;
  const node = (): NodeApi => {
    const api = options.node();
    if (api === undefined) throw new SamerootError('CLOSED', 'the node is not ready yet');
    return api;
  };
  app.onError((thrown, context) => {
    const error = asSamerootError(thrown);
    if (error.code === 'INTERNAL') log.error('a request failed', { path: context.req.path, error: thrown });
    return fail(context, error);
  });
  app.notFound((context) => fail(context, new SamerootError('NOT_FOUND', `no resource ${context.req.method} ${context.req.path}`)));
  app.use(async (context, next) => {
    refuseOtherHosts(context, options.address.host);
    if (context.req.path !== '/healthz') requireToken(context, options.token);
    await next();
  });
  app.get('/healthz', (context) => json(context, { alive: true }));
  app.get('/readyz', (context) => json(context, { ready: true, state: node().status().state }));
  addStatusRoutes(app, node, url);
  addRecordRoutes(app, node);
  addConflictRoutes(app, node);
  addTrashRoutes(app, node);
  return app;
}

function addStatusRoutes(app: Hono, node: () => NodeApi, url: () => string): void {
  app.get('/v1/status', (context) => json(context, withHttpAddress(node().status(), url())));
  app.get('/v1/peers', (context) => json(context, { peers: node().status().peers }));
  app.get('/v1/diff', async (context) => {
    const { peer, limit } = parseRequest('diff', context.req.query());
    return json(context, await node().diff(peer, limit));
  });
  app.get('/v1/ls', (context) => json(context, node().list(withAfter(parseRequest('list', context.req.query())))));
  app.post('/v1/wait', async (context) => {
    const request = parseRequest('wait', await readJson(context));
    const cancellable = { ...request, signal: context.req.raw.signal };
    return json(context, await node().wait(cancellable));
  });
  app.post('/v1/scan', async (context) => {
    await node().scan();
    return json(context, { root: node().status().root });
  });
  app.post('/v1/invite', async (context) => json(context, await node().invite(parseRequest('invite', await readJson(context)))));
  app.post('/v1/evict', async (context) => json(context, await node().evict(parseRequest('evict', await readJson(context)).peer)));
  app.post('/v1/gc', async (context) => json(context, await node().purge()));
  app.post('/v1/deletes', async (context) => {
    const { answer } = parseRequest('deletes', await readJson(context));
    return json(context, await node().answerDeletes(answer));
  });
}

function addRecordRoutes(app: Hono, node: () => NodeApi): void {
  app.get('/v1/records', (context) => {
    const { prefix, after, limit } = parseRequest('list', context.req.query());
    const from = after === undefined ? undefined : `${RECORD_PREFIX}${after}`;
    return json(context, withoutPrefix(node().list({ prefix: `${RECORD_PREFIX}${prefix}`, after: from, limit })));
  });
  app.get(`${RECORDS_PATH}*`, async (context) => {
    const key = recordKey(context);
    const { sibling } = parseRequest('record', context.req.query());
    const record = await node().getRecord(key);
    const value = sibling === undefined ? record?.value : record?.siblings[sibling];
    if (record === undefined || value === undefined) throw new SamerootError('NOT_FOUND', `no record ${JSON.stringify(key)}`);
    context.header('ETag', quoteTag(record.etag));
    context.header('Sameroot-Siblings', String(record.siblings.length));
    context.header('Content-Type', 'application/octet-stream');
    return context.body(value as Uint8Array<ArrayBuffer>);
  });
  app.put(`${RECORDS_PATH}*`, async (context) => {
    const key = recordKey(context);
    const value = await readBody(context, RECORD_BYTES_MAX, recordTooLarge);
    const { etag } = await node().putRecord(key, value, ifMatch(context));
    context.header('ETag', quoteTag(etag));
    return json(context, { key, bytes: value.length, etag });
  });
  app.delete(`${RECORDS_PATH}*`, async (context) => {
    const key = recordKey(context);
    const existed = await node().deleteRecord(key, ifMatch(context));
    if (!existed) throw new SamerootError('NOT_FOUND', `no record ${JSON.stringify(key)}`);
    return json(context, { key, deleted: true });
  });
}

function addConflictRoutes(app: Hono, node: () => NodeApi): void {
  app.get('/v1/conflicts', (context) => {
    const { after, limit } = parseRequest('page', context.req.query());
    return json(context, node().conflicts({ after, limit }));
  });
  app.post('/v1/conflicts/resolve', async (context) => {
    const { key, keep, ifMatch: etag } = parseRequest('resolve', await readJson(context));
    return json(context, await node().resolveConflict(key, keep, etag));
  });
  app.get('/v1/why', async (context) => {
    const { path, key } = parseRequest('why', context.req.query());
    if ((path === undefined) === (key === undefined)) throw new SamerootError('CONFIG_INVALID', 'request: name a path or a key');
    return json(context, await node().why(key ?? `f/${path!}`));
  });
}

function addTrashRoutes(app: Hono, node: () => NodeApi): void {
  app.get('/v1/trash', async (context) => json(context, await node().trash(withAfter(parseRequest('list', context.req.query())))));
  app.post('/v1/trash/restore', async (context) => {
    const { path, as, day, force } = parseRequest('restore', await readJson(context));
    return json(context, await node().restoreTrash({ path, as, day, force }));
  });
  app.delete('/v1/trash', async (context) => json(context, await node().emptyTrash()));
}

/** The key as the client encoded it: slashes in it may be written as they are or as `%2F`. */
function recordKey(context: Context): string {
  const path = new URL(context.req.url).pathname;
  try {
    return decodeURIComponent(path.slice(RECORDS_PATH.length));
  } catch (error) {
    throw new SamerootError('KEY_INVALID', 'the key is not percent-encoded UTF-8', { cause: error });
  }
}

function withoutPrefix(list: ListResult): ListResult {
  const bare = (key: string) => (key.startsWith(RECORD_PREFIX) ? key.slice(RECORD_PREFIX.length) : key);
  return {
    items: list.items.map((item) => ({ ...item, key: bare(item.key) })),
    next: list.next === undefined ? undefined : bare(list.next),
  };
}

function withAfter(query: {
  readonly prefix: string;
  readonly after?: string | undefined;
  readonly limit: number;
}): Parameters<NodeApi['list']>[0] {
  return { prefix: query.prefix, after: query.after, limit: query.limit };
}

function quoteTag(etag: string): string {
  return `"${etag}"`;
}

/** `If-Match: *`, or one tag in quotes: a write has seen one state of the record, so a list has no meaning here. */
function ifMatch(context: Context): string | undefined {
  const header = context.req.header('if-match')?.trim();
  if (header === undefined || header === '*') return header;
  const tag = /^"([^"]+)"$/.exec(header)?.[1];
  if (tag === undefined) throw new SamerootError('CONFIG_INVALID', 'If-Match: must be * or one ETag in quotes');
  return tag;
}

/** An empty body is an empty request: everything has a default. */
async function readJson(context: Context): Promise<unknown> {
  const bytes = await readBody(context, JSON_BODY_BYTES_MAX, bodyTooLarge);
  if (bytes.length === 0) return {};
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    throw new SamerootError('CONFIG_INVALID', 'the body is not JSON', { cause: error });
  }
}

/**
 * The whole body, at most `maxBytes`, whether or not its length is told beforehand. By hand, because hono's body limit
 * makes a new `Request` of the old one, which this server's requests do not allow.
 */
async function readBody(context: Context, maxBytes: number, tooLarge: SamerootError): Promise<Buffer> {
  if (Number(context.req.header('content-length') ?? 0) > maxBytes) throw tooLarge;
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of context.req.raw.body ?? []) {
    bytes += part.length;
    if (bytes > maxBytes) throw tooLarge;
    parts.push(part);
  }
  return Buffer.concat(parts, bytes);
}

function json(context: Context, value: unknown): Response {
  return context.body(`${toJson(value, 0)}\n`, 200, { 'Content-Type': 'application/json' });
}

function fail(context: Context, error: SamerootError): Response {
  const status = error.code in STATUS_BY_CODE ? STATUS_BY_CODE[error.code as keyof typeof STATUS_BY_CODE] : 500;
  if (status === 401) context.header('WWW-Authenticate', 'Bearer');
  // The rest of a refused body is not worth reading.
  if (status === 413) context.header('Connection', 'close');
  return context.body(`${toJson({ code: error.code, message: error.message }, 0)}\n`, status, { 'Content-Type': 'application/json' });
}

/** The node knows its peer address only; who serves HTTP adds the other one. */
export function withHttpAddress(status: NodeStatus, url: string): NodeStatus {
  return { ...status, addresses: { ...status.addresses, http: url } };
}

/** Compares digests, so that neither the time nor the length tells anything about the token. */
function requireToken(context: Context, token: string): void {
  const given = /^Bearer +(\S+)$/i.exec(context.req.header('authorization') ?? '')?.[1] ?? '';
  const digest = (text: string) => createHash('sha256').update(text).digest();
  if (!timingSafeEqual(digest(given), digest(token))) throw new SamerootError('UNAUTHORIZED', 'the token is missing or wrong');
}

/** A name in `Host` must be this host's; an IP address cannot be rebound, so on a public address any will do. */
function refuseOtherHosts(context: Context, boundHost: string): void {
  const header = context.req.header('host') ?? '';
  const name = header
    .replace(/:\d+$/, '')
    .replace(/^\[(.*)\]$/, '$1')
    .toLowerCase();
  if (name === 'localhost' || isLoopback(name) || name === boundHost.toLowerCase()) return;
  if (isWildcard(boundHost) && isIP(name) !== 0) return;
  throw new SamerootError('UNAUTHORIZED', `this is not host ${JSON.stringify(header.slice(0, 255))}`);
}

function isLoopback(host: string): boolean {
  return host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}

function reachableHost(host: string): string {
  if (!isWildcard(host)) return host;
  return host === '::' ? '::1' : '127.0.0.1';
}
