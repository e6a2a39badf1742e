import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { writeDaemonFile } from '../../src/app/daemon-file.ts';
import { startHttp, type HttpServer } from '../../src/app/http.ts';
import { makeVerbs } from '../../src/app/verbs.ts';
import { SamerootError } from '../../src/base/errors.ts';
import { silentLog } from '../../src/base/world.ts';
import { FakeNode, ROOT, STATUS } from './fake-node.ts';
import { recorder, run as runAt, type Run } from './recorder.ts';

let folder: string;
let server: HttpServer;
let node: FakeNode;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sameroot-cli-'));
  server = await startHttp({ address: { host: '127.0.0.1', port: 0 }, token: 'token', node: () => node, log: silentLog });
});
beforeEach(() => {
  node = new FakeNode();
  writeDaemonFile(folder, { http: server.url, token: 'token', pid: process.pid });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

function run(...args: readonly string[]): Promise<Run> {
  return runAt(args, folder);
}

async function json(...args: readonly string[]): Promise<Record<string, unknown>> {
  const { out } = await run(...args, '--json');
  return JSON.parse(out) as Record<string, unknown>;
}

const VERBS = makeVerbs({ terminal: recorder(), environment: {}, currentFolder: '/' });

describe('help', () => {
  it('lists the verbs that are there', async () => {
    const { code, out } = await run('--help');
    expect(code).toBe(0);
    const names = 'start sync status wait diff peers conflicts why trash invite evict gc deletes ls put get rm repair bench simulate'.split(
      ' ',
    );
    expect(VERBS.map((verb) => verb.name).sort()).toEqual([...names].sort());
    for (const name of names) expect(out).toMatch(new RegExp(`^  ${name} `, 'm'));
  });

  const names = VERBS.flatMap((verb) => [verb.name, ...(verb.below ?? []).map((below) => `${verb.name} ${below.name}`)]);

  it.each(names)('%s has an example that it would accept, --json, and every option explained', async (name) => {
    const { code, out } = await run(...name.split(' '), '--help');
    expect(code).toBe(0);
    const example = /\nExample:\n {2}sameroot (.+)\n/.exec(out)?.[1];
    expect(`${example!} `.startsWith(`${name} `)).toBe(true);
    for (const option of example!.match(/--[a-z-]+/g) ?? []) expect(out).toMatch(new RegExp(`^  ${option}\\b`, 'm'));
    expect(out).toMatch(/^ {2}--json +\S/m);
    for (const line of out.split('\n').filter((text) => /^ {2}--/.test(text))) expect(line).toMatch(/^ {2}--[a-z-]+( <[a-z:]+>)? {2,}\S/);
  });
});

describe('usage errors: exit code 2, one line that names it', () => {
  it.each([
    [['status', '--foo'], "unknown option '--foo'"],
    [['stats'], "unknown command 'stats'"],
    [['get'], "missing required argument 'KEY'"],
    [['status', 'a', 'b'], 'too many arguments'],
    [['wait', '--timeout', '5'], "'--timeout <duration>' argument '5' is invalid"],
    [['ls', '--limit', '0'], "'--limit <count>' argument '0' is invalid"],
    [['invite', '--expires', 'never'], "'--expires <duration>' argument 'never' is invalid"],
    [['deletes', 'perhaps'], 'ANSWER: must be accept or restore'],
    [['put', 'k', 'no-such-file'], 'FILE: cannot read'],
    [['wait', '--root', 'abc'], 'root: must be a root'],
    [['wait', '--timeout'], 'argument missing'],
  ])('%j', async (args, message) => {
    const result = await run(...args);
    expect([result.code, result.out]).toEqual([2, '']);
    expect(result.err).toMatch(/^sameroot: CONFIG_INVALID: [^\n]+; see `sameroot help`\n$/);
    expect(result.err).toContain(message);
  });

  it('without a verb it is the help', async () => {
    const result = await run();
    expect(result.code).toBe(2);
    expect(result.err).toContain('Usage: sameroot');
  });
});

describe('no node: exit code 3', () => {
  it.each(['status', 'wait', 'diff', 'peers', 'invite'])('%s', async (verb) => {
    const result = await run(verb, '/nonexistent');
    expect(result.code).toBe(3);
    expect(result.err).toMatch(/^sameroot: NO_DAEMON: [^\n]*\/nonexistent[^\n]*; start it with `sameroot start FOLDER`\n$/);
  });

  it('and when nothing listens at its address', async () => {
    writeDaemonFile(folder, { http: 'http://127.0.0.1:9', token: 't', pid: process.pid });
    expect(await run('status')).toMatchObject({ code: 3, err: expect.stringContaining('nothing answers at http://127.0.0.1:9') });
  });
});

describe('the folder', () => {
  it('is the named one, the current one, or one above it', async () => {
    const below = join(folder, 'a', 'b');
    mkdirSync(below, { recursive: true });
    for (const [args, at] of [
      [['status', folder], '/'],
      [['status', '--folder', folder], '/'],
      [['status'], folder],
      [['status'], below],
      [['get', 'k', '--folder', '../..'], below],
    ] as const) {
      node.records.set('k', { revision: 1, value: Buffer.from('v') });
      expect((await runAt(args, at)).code).toBe(0);
    }
  });
});

describe('status', () => {
  it('says it in one line, then a line per peer', async () => {
    const { out } = await run('status');
    expect(out.split('\n')).toEqual([
      'IN SYNC   share data   root abababab...   1,234 entries   5.61 GB   1 peer',
      '  peer host-b (10.0.0.7:7440)   in sync   sent 2.00 MB   received 0 B   confirmed 3 s ago',
      '',
    ]);
  });

  it('names problems, without the control characters of a file name', async () => {
    const problem = {
      code: 'NAME_RESERVED',
      path: 'a\u001b[2Jb',
      message: 'reserved',
      since: '2026-01-01T00:00:00Z',
      nextRetry: undefined,
    } as const;
    const peer = {
      ...STATUS.peers[0]!,
      connected: false,
      inSync: false,
      nextRetrySeconds: 4,
      error: { code: 'PEER_UNREACHABLE', message: 'refused' } as const,
    };
    node.current = { ...STATUS, state: 'degraded', errors: [problem], peers: [peer] };
    const { out } = await run('status');
    expect(out).toContain('NAME_RESERVED: a\\x1b[2Jb: reserved');
    expect(out).toContain('not connected, next try in 4 s');
    expect(out).toContain('PEER_UNREACHABLE: refused');
    expect(out).not.toContain('\u001b');
  });

  it('is one document as JSON, with null where there is nothing', async () => {
    const status = await json('status');
    expect(status).toMatchObject({ state: 'in-sync', root: ROOT, entries: 1234, addresses: { http: server.url } });
    expect(status['syncTimeSeconds']).toEqual({ p50: null, p99: null, last: null });
  });

  it.each([
    ['in-sync', 0],
    ['syncing', 5],
    ['behind', 5],
    ['alone', 5],
    ['degraded', 5],
    ['held', 6],
  ] as const)('--check of %s: exit code %d', async (state, code) => {
    node.current = { ...STATUS, state };
    expect((await run('status', '--check')).code).toBe(code);
    expect((await run('status')).code).toBe(0);
  });
});

describe('wait', () => {
  it('is done, or exits with 4, or with 6 when it is held', async () => {
    expect(await run('wait')).toMatchObject({ code: 0, out: 'root abababab... is durable on host-b\n' });
    node.waitDone = false;
    expect(await run('wait', '--timeout', '10ms')).toMatchObject({ code: 4, out: 'root abababab... is not confirmed by host-b\n' });
    node.current = { ...STATUS, state: 'held' };
    expect((await run('wait', '--timeout', '10ms')).code).toBe(6);
  });

  it('asks for what was said', async () => {
    await run('wait', '--root', ROOT, '--peers', 'a,b', '--timeout', '2m');
    expect(node.waitRequest).toMatchObject({ root: ROOT, peers: ['a', 'b'], timeoutMs: 120_000 });
    expect(await json('wait')).toMatchObject({ done: true, root: ROOT });
    expect(node.waitRequest).toMatchObject({ timeoutMs: 60_000 });
  });
});

describe('diff', () => {
  it('lists, and exits with 5 if asked to check', async () => {
    const { code, out } = await run('diff');
    expect(code).toBe(0);
    expect(out).toContain('only-here  70.0 KB  f/a\\x1b[31m');
    expect(out).toContain('2 differences with host-b, 140 KB');
    expect((await run('diff', '--check')).code).toBe(5);
    node.current = { ...STATUS, root: 'cd'.repeat(32) };
    expect((await run('diff', '--check')).code).toBe(0);
  });

  it('takes a peer and a limit', async () => {
    expect(await json('diff', folder, 'host-c', '--limit', '1')).toMatchObject({ peer: 'host-c', truncated: true });
    expect(await run('diff', folder, 'nobody')).toMatchObject({
      code: 1,
      err: 'sameroot: NOT_FOUND: no peer "nobody"; see `sameroot ls`\n',
    });
  });
});

describe('peers, invite, deletes', () => {
  it('peers', async () => {
    expect((await run('peers')).out).toMatch(/^host-b {2}10\.0\.0\.7:7440 .* in sync\n$/);
    node.current = { ...STATUS, peers: [] };
    expect((await run('peers')).out).toContain('no peers');
    expect(await json('peers')).toEqual({ peers: [] });
  });

  it('invite prints the join line alone', async () => {
    const { out, err } = await run('invite', '--expires', '2h');
    expect(out).toBe('sameroot start FOLDER --join 127.0.0.1:7440 --token sr1token\n');
    expect(err).toBe('valid until 2030-01-01T00:00:00.000Z\n');
    expect(node.inviteMs).toBe(7_200_000);
    expect(await json('invite')).toMatchObject({ token: 'sr1token' });
  });

  it('deletes', async () => {
    expect((await run('deletes', 'accept')).out).toBe('accepted: deletion of 77 paths\n');
    expect(await json('deletes', 'restore', folder)).toEqual({ answer: 'restore', paths: 78 });
  });

  it('evict', async () => {
    expect(await run('evict', 'host-c')).toEqual({ code: 0, out: 'evicted host-c (cccccccc): no member talks to it any more\n', err: '' });
    expect(await json('evict', 'host-c', folder)).toMatchObject({ name: 'host-c' });
    expect(await run('evict', 'nobody')).toMatchObject({ code: 1, err: expect.stringContaining('NOT_FOUND') });
    expect(await run('evict')).toMatchObject({ code: 2, err: expect.stringContaining("missing required argument 'PEER'") });
  });

  it('gc', async () => {
    expect((await run('gc')).out).toBe('12 marks of deleted paths dropped, 0 left\n');
    node.purged = { purged: 1, left: 2_000, waitingFor: ['host-b', 'c\u001b'] };
    expect((await run('gc', folder)).out).toBe('1 mark of deleted paths dropped, 2,000 left; not yet seen by host-b, c\\x1b\n');
    expect(await json('gc')).toEqual({ purged: 1, left: 2_000, waitingFor: ['host-b', 'c\u001b'] });
  });

  it('a held delete that stops a verb: exit code 6', async () => {
    node.failure = new SamerootError('MASS_DELETE_HELD', '200 of 300 files');
    expect(await run('status')).toMatchObject({
      code: 6,
      err: expect.stringMatching(/^sameroot: MASS_DELETE_HELD: 200 of 300 files; answer with/),
    });
  });
});

describe('records', () => {
  it('put, get, rm', async () => {
    writeFileSync(join(folder, 'value'), Buffer.from([0, 255, 10, 13]));
    expect(await run('put', 'a/ü', 'value')).toMatchObject({ code: 0, out: 'a/ü   4 B   etag 1\n' });
    expect(await run('get', 'a/ü')).toEqual({ code: 0, out: '\u0000ÿ\n\r', err: '' });
    expect(await json('get', 'a/ü')).toEqual({ key: 'a/ü', bytes: 4, etag: '1', siblings: 0, valueBase64: 'AP8KDQ==' });
    expect(await json('put', 'a/ü', 'value')).toEqual({ key: 'a/ü', bytes: 4, etag: '2' });
    expect(await run('put', 'a/ü', 'value', '--if-match', '1')).toMatchObject({ code: 1, err: expect.stringContaining('STALE_WRITE') });
    expect((await run('put', 'a/ü', 'value', '--if-match', '2')).code).toBe(0);
    expect(await run('rm', 'a/ü')).toMatchObject({ code: 0, out: 'a/ü   deleted\n' });
    for (const verb of ['rm', 'get'])
      expect(await run(verb, 'a/ü')).toMatchObject({ code: 1, err: expect.stringMatching(/NOT_FOUND: no record "a\/ü"; /) });
  });

  it('tells of concurrent versions and shows them', async () => {
    node.records.set('k', { revision: 1, value: Buffer.from('winner') });
    node.siblings = [Buffer.from('loser')];
    expect(await run('get', 'k')).toMatchObject({ code: 0, out: 'winner', err: expect.stringContaining('2 concurrent versions') });
    expect(await run('get', 'k', '--sibling', '0')).toEqual({ code: 0, out: 'loser', err: '' });
  });
});

describe('ls', () => {
  afterEach(() => node.records.clear());

  it('lists all pages, or one', async () => {
    expect((await run('ls')).out).toBe('file  -  5 B  -  f/a\nfile  -  5 B  -  f/b\nfile  -  5 B  -  f/c\n');
    expect(await run('ls', '--limit', '2')).toMatchObject({ out: expect.not.stringContaining('f/c'), err: 'more with --after f/b\n' });
    expect((await json('ls', '--after', 'f/b'))['items']).toMatchObject([{ key: 'f/c' }]);
    expect(await json('ls', 'x')).toEqual({ items: [], next: null });
  });
});

describe('errors of ours', () => {
  it('say that they are bugs, with the stack only on demand', async () => {
    node.failure = new Error('first line\n  second line');
    const quiet = await run('status');
    expect([quiet.code, quiet.err]).toEqual([
      1,
      'sameroot: INTERNAL: first line second line; this is a bug in sameroot; repeat it with --debug and report what that prints\n',
    ]);
    expect((await run('status', '--debug')).err).toMatch(/\n {4}at /);
  });
});
