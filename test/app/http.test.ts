import { request } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SamerootError } from '../../src/base/errors.ts';
import { silentLog } from '../../src/base/world.ts';
import { startHttp, type HttpServer } from '../../src/app/http.ts';
import type { NodeApi } from '../../src/node/node-api.ts';
import { FakeNode, ROOT } from './fake-node.ts';

const TOKEN = 'the-token';
let node: FakeNode;
let opened: NodeApi | undefined;
let server: HttpServer;

beforeEach(async () => {
  node = new FakeNode();
  opened = node;
  server = await startHttp({ address: { host: '127.0.0.1', port: 0 }, token: TOKEN, node: () => opened, log: silentLog });
});

afterEach(async () => {
  await server[Symbol.asyncDispose]();
});

function ask(path: string, init: Omit<RequestInit, 'headers'> & { headers?: Record<string, string> | undefined } = {}): Promise<Response> {
  return fetch(`${server.url}${path}`, { ...init, headers: { authorization: `Bearer ${TOKEN}`, ...init.headers } });
}

async function errorOf(answer: Response): Promise<[number, unknown]> {
  const body = (await answer.json()) as { code: unknown; message: unknown };
  expect(Object.keys(body).sort()).toEqual(['code', 'message']);
  expect(typeof body.message).toBe('string');
  return [answer.status, body.code];
}

/** `fetch` sets the Host header itself, so a forged one needs the lower layer. */
function askAs(host: string, path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const outgoing = request(`${server.url}${path}`, { headers: { host, authorization: `Bearer ${TOKEN}` } }, (answer) => {
      answer.resume();
      resolve(answer.statusCode!);
    });
    outgoing.on('error', reject);
    outgoing.end();
  });
}

describe('who may ask', () => {
  it('answers /healthz to everybody and nothing else', async () => {
    expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
    for (const path of ['/readyz', '/v1/status', '/v1/records/a', '/', '/nothing']) {
      expect(await errorOf(await fetch(`${server.url}${path}`))).toEqual([401, 'UNAUTHORIZED']);
    }
  });

  it.each(['Bearer wrong', 'Bearer', `Basic ${TOKEN}`, TOKEN, `Bearer ${TOKEN}x`])('refuses %j', async (authorization) => {
    const answer = await fetch(`${server.url}/v1/status`, { headers: { authorization } });
    expect(answer.status).toBe(401);
  });

  it('refuses another host name, as DNS rebinding would send it', async () => {
    for (const host of ['localhost', 'localhost:1', '127.0.0.1:9', '[::1]:9', '127.9.9.9'])
      expect(await askAs(host, '/v1/status')).toBe(200);
    for (const host of ['evil.example', '127.0.0.1.evil.example', '10.0.0.1', 'localhost.evil.example:80']) {
      expect(await askAs(host, '/v1/status')).toBe(401);
      expect(await askAs(host, '/healthz')).toBe(401);
    }
  });

  it('takes any IP address, but no name, when it is bound to all of them', async () => {
    await using open = await startHttp({ address: { host: '0.0.0.0', port: 0 }, token: TOKEN, node: () => node, log: silentLog });
    expect(open.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    await server[Symbol.asyncDispose]();
    server = open;
    expect(await askAs('10.0.0.1', '/v1/status')).toBe(200);
    expect(await askAs('evil.example', '/v1/status')).toBe(401);
  });
});

describe('a node that is not ready', () => {
  it('is alive, not ready', async () => {
    opened = undefined;
    expect((await ask('/healthz')).status).toBe(200);
    expect(await errorOf(await ask('/readyz'))).toEqual([503, 'CLOSED']);
    expect(await errorOf(await ask('/v1/status'))).toEqual([503, 'CLOSED']);
  });
});

describe('status', () => {
  it('names its own address and says null where there is nothing', async () => {
    const status = (await (await ask('/v1/status')).json()) as Record<string, unknown>;
    expect(status['root']).toBe(ROOT);
    expect(status['addresses']).toEqual({ peer: '127.0.0.1:7440', http: server.url });
    expect(status['syncTimeSeconds']).toEqual({ p50: null, p99: null, last: null });
  });

  it('lists peers, and is ready', async () => {
    expect(((await (await ask('/v1/peers')).json()) as { peers: unknown[] }).peers).toHaveLength(1);
    expect(await (await ask('/readyz')).json()).toEqual({ ready: true, state: 'in-sync' });
  });

  it('scans', async () => {
    expect(await (await ask('/v1/scan', { method: 'POST' })).json()).toEqual({ root: ROOT });
    expect(node.scans).toBe(1);
  });

  it('tells differences, and an unknown peer', async () => {
    const cut = (await (await ask('/v1/diff?limit=1')).json()) as { differences: unknown[]; truncated: boolean };
    expect([cut.differences.length, cut.truncated]).toEqual([1, true]);
    expect(await errorOf(await ask('/v1/diff?peer=nobody'))).toEqual([404, 'NOT_FOUND']);
  });

  it('lists page by page', async () => {
    const first = (await (await ask('/v1/ls?limit=2')).json()) as { items: { key: string }[]; next: string };
    expect(first.items.map((item) => item.key)).toEqual(['f/a', 'f/b']);
    const second = (await (await ask(`/v1/ls?limit=2&after=${first.next}`)).json()) as { items: { key: string }[]; next: null };
    expect([second.items.map((item) => item.key), second.next]).toEqual([['f/c'], null]);
  });
});

describe('bad requests', () => {
  it.each([
    ['/v1/ls?limit=0', 'GET', undefined],
    ['/v1/ls?limit=x', 'GET', undefined],
    ['/v1/ls?limt=5', 'GET', undefined],
    ['/v1/diff?limit=10001', 'GET', undefined],
    ['/v1/wait', 'POST', '{"root":"abc"}'],
    ['/v1/wait', 'POST', '{"timeoutMs":-1}'],
    ['/v1/wait', 'POST', '{"timeoutMs":"60s"}'],
    ['/v1/wait', 'POST', 'no json'],
    ['/v1/wait', 'POST', '[]'],
    ['/v1/invite', 'POST', '{"expiresMs":0}'],
    ['/v1/deletes', 'POST', '{"answer":"maybe"}'],
    ['/v1/deletes', 'POST', '{}'],
  ])('%s %s %s: 400', async (path, method, body) => {
    expect(await errorOf(await ask(path, { method, ...(body === undefined ? {} : { body }) }))).toEqual([400, 'CONFIG_INVALID']);
  });

  it('refuses a body of JSON that is too long', async () => {
    const body = JSON.stringify({ peers: ['x'.repeat(70_000)] });
    expect(await errorOf(await ask('/v1/wait', { method: 'POST', body }))).toEqual([400, 'CONFIG_INVALID']);
    const unannounced = { method: 'POST', body: new Blob([body]).stream(), duplex: 'half' } as const;
    expect(await errorOf(await ask('/v1/wait', unannounced))).toEqual([400, 'CONFIG_INVALID']);
  });

  it('knows no other resources', async () => {
    expect(await errorOf(await ask('/v2/status'))).toEqual([404, 'NOT_FOUND']);
    expect(await errorOf(await ask('/v1/status', { method: 'DELETE' }))).toEqual([404, 'NOT_FOUND']);
  });

  it('answers a bug of ours with 500', async () => {
    node.failure = new Error('an assertion');
    expect(await errorOf(await ask('/v1/status'))).toEqual([500, 'INTERNAL']);
    node.failure = new SamerootError('DISK_FULL', 'full');
    expect(await errorOf(await ask('/v1/status'))).toEqual([507, 'DISK_FULL']);
  });
});

describe('wait, invite, deletes', () => {
  it('hands the request on, with its defaults', async () => {
    const answer = await ask('/v1/wait', { method: 'POST' });
    expect(((await answer.json()) as { done: boolean }).done).toBe(true);
    expect(node.waitRequest).toMatchObject({ timeoutMs: 60_000 });
    await ask('/v1/wait', { method: 'POST', body: JSON.stringify({ root: ROOT, peers: ['b'], timeoutMs: 5 }) });
    expect(node.waitRequest).toMatchObject({ root: ROOT, peers: ['b'], timeoutMs: 5 });
  });

  it('tells the node when the client goes away', async () => {
    let release = () => {};
    node.waitUntil = new Promise((resolve) => (release = resolve));
    const client = new AbortController();
    const answer = ask('/v1/wait', { method: 'POST', signal: client.signal }).catch(() => undefined);
    await expect.poll(() => node.waitRequest).toBeDefined();
    const { signal } = node.waitRequest as unknown as { signal: AbortSignal };
    expect(signal.aborted).toBe(false);
    client.abort();
    await answer;
    await expect.poll(() => signal.aborted).toBe(true);
    release();
  });

  it('invites and answers deletes', async () => {
    await ask('/v1/invite', { method: 'POST' });
    expect(node.inviteMs).toBe(3_600_000);
    const invite = await ask('/v1/invite', { method: 'POST', body: '{"expiresMs":1000}' });
    expect(((await invite.json()) as { token: string }).token).toBe('sr1token');
    expect(node.inviteMs).toBe(1000);
    const deletes = await ask('/v1/deletes', { method: 'POST', body: '{"answer":"restore"}' });
    expect(await deletes.json()).toEqual({ paths: 78 });
  });
});

describe('records', () => {
  const put = (path: string, body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}) =>
    ask(path, { method: 'PUT', body, headers });

  it('gives back the bytes that were put', async () => {
    const bytes = Uint8Array.from({ length: 300_000 }, (_, at) => (at * 7) & 0xff);
    const written = await put('/v1/records/big', bytes);
    expect(await written.json()).toEqual({ key: 'big', bytes: 300_000, etag: '1' });
    const read = await ask('/v1/records/big');
    expect(read.headers.get('etag')).toBe('"1"');
    expect(read.headers.get('content-type')).toBe('application/octet-stream');
    expect(Buffer.from(await read.arrayBuffer()).equals(bytes)).toBe(true);
  });

  it.each(['a/b/c', 'a b', 'ü%?#&+', 'a//b', 'x/../y', '.hidden', '%2F'])('takes the key %j', async (key) => {
    await put(`/v1/records/${encodeURIComponent(key)}`, 'v');
    expect([...node.records.keys()]).toEqual([key]);
    expect(await (await ask(`/v1/records/${encodeURIComponent(key)}`)).text()).toBe('v');
  });

  it('takes slashes as they are', async () => {
    await put('/v1/records/a/b', 'v');
    expect([...node.records.keys()]).toEqual(['a/b']);
  });

  it('refuses a key that is not UTF-8', async () => {
    expect(await errorOf(await ask('/v1/records/%ff'))).toEqual([400, 'KEY_INVALID']);
  });

  it('honours If-Match', async () => {
    expect((await put('/v1/records/k', '0', { 'if-match': '*' })).status).toBe(412);
    const etag = (await put('/v1/records/k', '1')).headers.get('etag')!;
    expect((await put('/v1/records/k', '2', { 'if-match': etag })).status).toBe(200);
    expect(await errorOf(await put('/v1/records/k', '3', { 'if-match': etag }))).toEqual([412, 'STALE_WRITE']);
    expect((await ask('/v1/records/k', { method: 'DELETE', headers: { 'if-match': etag } })).status).toBe(412);
    expect(await errorOf(await put('/v1/records/k', '3', { 'if-match': '"1", "2"' }))).toEqual([400, 'CONFIG_INVALID']);
    expect(await (await ask('/v1/records/k')).text()).toBe('2');
  });

  it('shows siblings', async () => {
    await put('/v1/records/k', 'winner');
    node.siblings = [Buffer.from('newest'), Buffer.from('older')];
    const answer = await ask('/v1/records/k');
    expect([answer.headers.get('sameroot-siblings'), await answer.text()]).toEqual(['2', 'winner']);
    expect(await (await ask('/v1/records/k?sibling=1')).text()).toBe('older');
    expect((await ask('/v1/records/k?sibling=2')).status).toBe(404);
  });

  it('deletes once', async () => {
    await put('/v1/records/k', 'v');
    expect(await (await ask('/v1/records/k', { method: 'DELETE' })).json()).toEqual({ key: 'k', deleted: true });
    expect(await errorOf(await ask('/v1/records/k', { method: 'DELETE' }))).toEqual([404, 'NOT_FOUND']);
    expect(await errorOf(await ask('/v1/records/k'))).toEqual([404, 'NOT_FOUND']);
  });

  it('lists keys that can be asked for', async () => {
    for (const key of ['a', 'b', 'c']) await put(`/v1/records/${key}`, key);
    const first = (await (await ask('/v1/records?limit=2')).json()) as { items: { key: string }[]; next: string };
    expect([first.items.map((item) => item.key), first.next]).toEqual([['a', 'b'], 'b']);
    const rest = (await (await ask('/v1/records?after=b&prefix=c')).json()) as { items: { key: string }[] };
    expect(rest.items.map((item) => item.key)).toEqual(['c']);
  });

  it('refuses a record over the limit before it has read it', async () => {
    const status = await new Promise((resolve, reject) => {
      const headers = { authorization: `Bearer ${TOKEN}`, 'content-length': String(2 ** 31) };
      const outgoing = request(`${server.url}/v1/records/k`, { method: 'PUT', headers }, (answer) => {
        resolve(answer.statusCode);
        outgoing.destroy();
      });
      outgoing.on('error', reject);
      outgoing.write('a');
    });
    expect(status).toBe(413);
  });
});

describe('the port', () => {
  it('says so when it is in use, or not ours', async () => {
    const port = Number(new URL(server.url).port);
    const options = { token: TOKEN, node: () => node, log: silentLog };
    await expect(startHttp({ ...options, address: { host: '127.0.0.1', port } })).rejects.toMatchObject({ code: 'PORT_IN_USE' });
    await expect(startHttp({ ...options, address: { host: '192.0.2.1', port: 0 } })).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });
});
