/** conflicts, why and trash: what they ask the node, and what they print. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { writeDaemonFile } from '../../src/app/daemon-file.ts';
import { startHttp, type HttpServer } from '../../src/app/http.ts';
import { silentLog } from '../../src/base/world.ts';
import type { ConflictStatus, Hold, PeerKnowledge } from '../../src/node/answers.ts';
import { COPY, FakeNode, TRASHED, VERSION, WHY } from './fake-node.ts';
import { run as runAt, type Run } from './recorder.ts';

let base: string;
let folder: string;
let server: HttpServer;
let node: FakeNode;

beforeAll(async () => {
  base = mkdtempSync(join(tmpdir(), 'sameroot-paths-'));
  folder = join(base, 'data');
  mkdirSync(join(folder, 'below', 'f'), { recursive: true });
  server = await startHttp({ address: { host: '127.0.0.1', port: 0 }, token: 'token', node: () => node, log: silentLog });
});
beforeEach(() => {
  node = new FakeNode();
  writeDaemonFile(folder, { http: server.url, token: 'token', pid: process.pid });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  rmSync(base, { recursive: true });
});

function run(...args: readonly string[]): Promise<Run> {
  return runAt(args, folder);
}

async function json(...args: readonly string[]): Promise<Record<string, unknown>> {
  const { out } = await run(...args, '--json');
  return JSON.parse(out) as Record<string, unknown>;
}

const CONFLICT: ConflictStatus = { key: 'f/n.txt', versions: [VERSION, COPY], etag: 'tag' };

describe('PATH', () => {
  it.each([
    ['n.txt', 'data', [], 'f/n.txt'],
    ['../n.txt', 'data/below', [], 'f/n.txt'],
    ['data/below/../x', '.', [], 'f/x'],
    ['gone/for/long', 'data/below', [], 'f/below/gone/for/long'],
    ['ABSOLUTE/below/x', '.', [], 'f/below/x'],
    ['data/n.txt', '.', ['--folder', 'data'], 'f/n.txt'],
    ['n.txt', '.', ['--folder', 'data'], 'f/n.txt'],
    ['below/x', '.', ['--folder', 'data'], 'f/below/x'],
    ['r/labels/42', 'data', [], 'r/labels/42'],
    ['f/models/x', 'data', [], 'f/models/x'],
    ['f/x', 'data/below', [], 'f/x'],
    ['./f/x', 'data/below', [], 'f/below/f/x'],
    // There is a file of that name.
    ['f/there', 'data/below', [], 'f/below/f/there'],
  ])('%s in %s %j is %s', async (path, at, more, key) => {
    writeFileSync(join(folder, 'below', 'f', 'there'), '');
    const result = await runAt(['why', path.replace('ABSOLUTE', folder), ...more], join(base, at));
    expect([result.code, result.err, node.asked]).toEqual([0, '', key]);
  });

  it.each([
    ['/etc/passwd', [], 3, 'NO_DAEMON'],
    ['/etc/passwd', ['--folder', 'DATA'], 2, 'CONFIG_INVALID: PATH: /etc/passwd is not below the shared folder'],
    ['../other', ['--folder', 'DATA'], 2, 'CONFIG_INVALID: PATH'],
    ['.', ['--folder', 'DATA'], 2, 'CONFIG_INVALID: PATH'],
  ])('%s %j is none', async (path, more, code, message) => {
    const result = await run('why', path, ...more.map((text) => text.replace('DATA', folder)));
    expect(result.code).toBe(code);
    expect(result.err).toContain(message);
  });
});

describe('conflicts', () => {
  it('lists each with its versions, the one that is shown first', async () => {
    node.conflictList = [CONFLICT, { ...CONFLICT, key: 'r/k\u001b[2J' }];
    const { code, out } = await run('conflicts');
    expect(code).toBe(0);
    expect(out.split('\n')).toEqual([
      'f/n.txt',
      '  n.txt                                     host-b            2026-11-23T04:34:55.000Z  70.0 KB  ',
      '  n.conflict-20261123T043400Z-aaaaaaaa.txt  replica aaaaaaaa  2026-11-23T04:34:55.000Z  70.0 KB  (not on this disk)',
      'r/k\\x1b[2J',
      ...Array.from({ length: 2 }, () => expect.any(String)),
      '2 conflicts',
      'the first of each is shown; `sameroot conflicts resolve PATH --keep NAME` keeps the one you name',
      '',
    ]);
  });

  it('all pages, or as many as asked for', async () => {
    node.conflictList = Array.from({ length: 2_500 }, (_, index) => ({ ...CONFLICT, key: `f/${String(index).padStart(4, '0')}` }));
    expect((await json('conflicts'))['items']).toHaveLength(2_500);
    const some = await json('conflicts', folder, '--limit', '2');
    expect(some).toMatchObject({ items: [{ key: 'f/0000' }, { key: 'f/0001' }], next: 'f/0001', complete: true });
    expect((await run('conflicts', '--limit', '2')).out).toContain('2 conflicts and more (see --limit)\n');
  });

  it('--check exits with 5 if there are any', async () => {
    expect(await run('conflicts', '--check')).toMatchObject({ code: 0, out: '0 conflicts\n' });
    node.conflictsComplete = false;
    expect((await run('conflicts')).out).toBe('0 conflicts; not every key has been looked at yet\n');
    node.conflictList = [CONFLICT];
    expect((await run('conflicts', '--check')).code).toBe(5);
    expect((await run('conflicts')).code).toBe(0);
  });

  it('resolve keeps the one that is named', async () => {
    expect(await run('conflicts', 'resolve', 'n.txt', '--keep', 'host-b')).toEqual({
      code: 0,
      out: 'f/n.txt   kept 70.0 KB, 2 other versions dropped\n',
      err: '',
    });
    expect(node.resolved).toEqual(['f/n.txt', 'host-b', undefined]);
    expect(await json('conflicts', 'resolve', 'r/k', '--keep', '0', '--if-match', 'tag')).toMatchObject({ key: 'r/k', dropped: 2 });
    expect(node.resolved).toEqual(['r/k', '0', 'tag']);
    expect(await run('conflicts', 'resolve', 'n.txt', '--keep', 'nobody')).toMatchObject({
      code: 1,
      err: expect.stringContaining('NOT_FOUND: f/n.txt has no version called "nobody"'),
    });
    expect(await run('conflicts', 'resolve', 'n.txt')).toMatchObject({ code: 2, err: expect.stringContaining('--keep') });
    expect((await run('conflicts', 'resolve')).code).toBe(2);
  });
});

describe('why', () => {
  const PEER: PeerKnowledge = {
    name: 'host-b',
    nodeId: 'bb'.repeat(32),
    connected: true,
    state: 'same',
    by: 'root',
    versions: undefined,
    nextRetrySeconds: undefined,
    error: undefined,
  };
  const HOLD: Hold = {
    what: 'ignored',
    code: undefined,
    message: 'line 3 of .samerootignore leaves it alone: *.log',
    nextRetry: undefined,
  };

  it('tells the story in sentences', async () => {
    node.story = {
      ...WHY,
      state: 'conflict',
      versions: [VERSION, COPY],
      disk: { kind: 'file', asKnown: false },
      peers: [
        PEER,
        { ...PEER, name: 'host-c', state: 'behind', versions: [] },
        {
          ...PEER,
          name: 'host-d',
          connected: false,
          state: 'ahead',
          by: 'history',
          versions: [COPY],
          nextRetrySeconds: 4,
          error: { code: 'PEER_UNREACHABLE', message: 'refused' },
        },
        { ...PEER, name: '', state: 'unknown', by: undefined },
      ],
      holds: [{ what: 'problem', code: 'DISK_FULL', message: 'no room', nextRetry: '2026-11-23T05:00:00.000Z' }],
      trash: [TRASHED],
    };
    const { out } = await run('why', 'n.txt');
    expect(out.split('\n')).toEqual([
      'f/n.txt: 2 versions that were written without knowing of each other',
      'version  n.txt   70.0 KB, written by host-b at 2026-11-23T04:34:55.000Z   (0123456789abcdef-7)',
      'version  n.conflict-20261123T043400Z-aaaaaaaa.txt   70.0 KB, written by replica aaaaaaaa at 2026-11-23T04:34:55.000Z; not on this disk   (aaaaaaaaaaaaaaaa-3)',
      'on disk  a file is there, and that is not taken in yet',
      'peer     host-b: has the same',
      'peer     host-c: lacks something of this (nothing is there)',
      'peer     host-d: not connected; had what is not here (70.0 KB by replica aaaaaaaa at 2026-11-23T04:34:55.000Z); next try in 4 s; PEER_UNREACHABLE: refused',
      'peer     bbbbbbbb: it is not known what it has',
      'held     DISK_FULL: no room; next try at 2026-11-23T05:00:00.000Z',
      'trash    .sameroot/trash/2026-11-23/n.txt   70.0 KB, of 2026-11-20T00:00:00.000Z',
      '         `sameroot trash restore n.txt` brings the newest back',
      '',
    ]);
  });

  it.each([
    [{ state: 'conflict-copy', copyOf: 'f/n.txt' }, 'f/x: a conflict copy of f/n.txt: edit or rename it'],
    [{ state: 'deleted', versions: [], deletions: [{ ...VERSION, kind: 'deleted' }] }, 'deleted  by host-b at 2026-11-23T04:34:55.000Z'],
    [
      { state: 'unknown', versions: [], holds: [HOLD] },
      'f/x: not replicated\non disk  a file is there\nheld     line 3 of .samerootignore',
    ],
    [
      { state: 'unknown', versions: [], disk: { kind: 'nothing', asKnown: true } },
      'f/x: nothing is known of it\non disk  nothing is there\n',
    ],
    [
      { versions: [{ ...VERSION, author: { ...VERSION.author, here: true } }] },
      'written by host-b (this host) at 2026-11-23T04:34:55.000Z',
    ],
    [{ state: 'unknown', versions: [], peers: [PEER] }, 'peer     host-b: knows nothing of it either\n'],
    [{ versions: [{ ...VERSION, found: true }] }, 'found on disk (time 2026-11-23T04:34:55.000Z)'],
  ] as const)('%j', async (story, text) => {
    node.story = { ...WHY, ...story };
    expect((await run('why', 'x')).out).toContain(text);
  });

  it('is one document as JSON', async () => {
    expect(await json('why', 'n.txt')).toMatchObject({ key: 'f/n.txt', state: 'present', copyOf: null, versions: [{ id: VERSION.id }] });
  });
});

describe('trash', () => {
  it('list: all pages, or as many as asked for', async () => {
    node.trashed = Array.from({ length: 1_200 }, (_, index) => ({ ...TRASHED, path: `p/${index}`, place: `place/${index}` }));
    expect((await run('trash', 'list')).out.split('\n').filter((line) => line !== '')).toHaveLength(1_200);
    expect((await json('trash', 'list', 'p/119'))['items']).toHaveLength(11);
    expect(await run('trash', 'list', '--limit', '1')).toEqual({
      code: 0,
      out: '2026-11-23  70.0 KB  2026-11-20T00:00:00.000Z  p/0\n',
      err: 'there is more; see --limit\n',
    });
  });

  it('restore asks for what was said, and fails if something stayed in the trash', async () => {
    node.restoreResult = { restored: [{ path: 'n.txt', place: TRASHED.place }], skipped: [] };
    expect(await run('trash', 'restore', 'n.txt')).toEqual({ code: 0, out: 'restored n.txt\n1 file restored\n', err: '' });
    expect(node.restoreRequest).toEqual({ path: 'n.txt', as: undefined, day: undefined, force: false });
    node.restoreResult = { restored: [], skipped: [{ path: 'm', code: 'PATH_TAKEN', message: 'm is there already' }] };
    expect(await run('trash', 'restore', 'below/x', '--as', 'm', '--day', '2026-11-23', '--force')).toEqual({
      code: 1,
      out: '0 files restored\n',
      err: 'sameroot: PATH_TAKEN: m: m is there already\n',
    });
    expect(node.restoreRequest).toEqual({ path: 'below/x', as: 'm', day: '2026-11-23', force: true });
    expect(await json('trash', 'restore', 'n.txt')).toMatchObject({ restored: [], skipped: [{ code: 'PATH_TAKEN' }] });
  });

  it('empty', async () => {
    expect(await run('trash', 'empty')).toEqual({ code: 0, out: 'removed 2 files, 140 KB\n', err: '' });
    expect(await json('trash', 'empty', folder)).toEqual({ files: 2, bytes: 140_000 });
  });

  it.each([
    [['trash', 'restore', 'n.txt', '--day', 'monday'], 'It must be a day such as 2026-11-23'],
    [['trash', 'restore', 'r/k'], 'PATH: r/k is a record'],
    [['trash', 'restore'], "missing required argument 'PATH'"],
    [['trash', 'throw'], "unknown command 'throw'"],
  ])('%j is a usage error', async (args, message) => {
    const result = await run(...args);
    expect(result.code).toBe(2);
    expect(result.err).toContain(message);
  });

  it('without a verb below it is the help', async () => {
    const result = await run('trash');
    expect(result.code).toBe(2);
    expect(result.err).toContain('restore [options] <PATH>');
  });
});

describe('HTTP', () => {
  async function ask(method: string, path: string, body?: unknown): Promise<[number, unknown]> {
    const init = { method, headers: { authorization: 'Bearer token' }, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
    const answer = await fetch(`${server.url}${path}`, init);
    return [answer.status, await answer.json()];
  }

  it('takes a path or a key, and says what is wrong with a request', async () => {
    expect(await ask('GET', '/v1/why?path=a%2Fb')).toMatchObject([200, { key: 'f/a/b' }]);
    expect(await ask('GET', '/v1/why?key=r%2Fb')).toMatchObject([200, { key: 'r/b' }]);
    for (const query of ['', '?path=a&key=f/a', '?path='])
      expect(await ask('GET', `/v1/why${query}`)).toMatchObject([400, { code: 'CONFIG_INVALID' }]);
    expect(await ask('GET', '/v1/conflicts?limit=0')).toMatchObject([400, { code: 'CONFIG_INVALID' }]);
    expect(await ask('POST', '/v1/conflicts/resolve', { key: 'f/a' })).toMatchObject([400, { code: 'CONFIG_INVALID' }]);
    expect(await ask('POST', '/v1/conflicts/resolve', { key: 'f/a', keep: 'nobody' })).toMatchObject([404, { code: 'NOT_FOUND' }]);
    expect(await ask('POST', '/v1/trash/restore', { path: 'a', day: '1' })).toMatchObject([400, { code: 'CONFIG_INVALID' }]);
    expect(await ask('POST', '/v1/trash/restore', { path: 'a' })).toMatchObject([200, { restored: [], skipped: [] }]);
    expect(await ask('DELETE', '/v1/trash')).toMatchObject([200, { files: 2 }]);
  });
});
