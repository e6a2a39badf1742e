import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { killAll, program, PROGRAM, startProgram, stop, type StartedNode } from './program.ts';

let work: string;
beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), 'sameroot-program-'));
});
afterAll(() => {
  killAll();
  rmSync(work, { recursive: true, force: true });
});

/** One error line of the documented form. */
function errorLine(code: string): RegExp {
  return new RegExp(`^sameroot: ${code}: [^\\n]+; [^\\n]+\\n$`);
}

describe('what can not start says so in one line', () => {
  it.each([
    [['status', '--foo'], 2, 'CONFIG_INVALID', '--foo'],
    [['start', 'x', '--settle', '300'], 2, 'CONFIG_INVALID', '--settle'],
    [['start', 'x', '--bare'], 2, 'CONFIG_INVALID', '--bare'],
    [['start', 'x', '--config', 'missing.toml'], 2, 'CONFIG_INVALID', 'missing.toml'],
    [['start', 'x', '--join', '127.0.0.1:9', '--token', 'sr1abc'], 1, 'BAD_TOKEN', ''],
    [['start', '/dev/null'], 1, 'FOLDER_NOT_DIRECTORY', '/dev/null'],
    [['start', 'x', '--http', '192.0.2.1:80'], 2, 'CONFIG_INVALID', '192.0.2.1:80'],
    [['status', '/nonexistent'], 3, 'NO_DAEMON', '/nonexistent'],
    [['sync', 'nowhere', 'x'], 2, 'CONFIG_INVALID', 'SOURCE'],
    [['sync', '127.0.0.1:1', '127.0.0.1:2'], 2, 'CONFIG_INVALID', 'SOURCE and TARGET'],
  ] as [string[], number, string, string][])('%j', async (args, code, name, part) => {
    const result = await program(args, { cwd: work });
    expect([result.code, result.out]).toEqual([code, '']);
    expect(result.err).toMatch(errorLine(name));
    expect(result.err).toContain(part);
  });

  it('a port that is taken', async () => {
    await using server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    for (const flag of ['--http', '--listen']) {
      const result = await program(['start', join(work, 'port'), flag, address]);
      expect([result.code, result.out]).toEqual([1, '']);
      expect(result.err).toMatch(errorLine('PORT_IN_USE'));
      expect(result.err).toContain(address);
    }
  });

  it('shows the stack on demand only', async () => {
    const { err } = await program(['status', '/nonexistent', '--debug']);
    expect(err).toMatch(/\n {4}at /);
  });
});

describe('a node', () => {
  let folder: string;
  let node: StartedNode;
  beforeAll(async () => {
    folder = join(work, 'alone');
    mkdirSync(folder);
    writeFileSync(join(folder, 'file'), 'content');
    node = await startProgram(folder, '--data', join(work, 'elsewhere'), '--share', 'named');
  });

  it('says when it is ready, and where', () => {
    expect(node.ready).toMatchObject({
      share: 'named',
      root: expect.stringMatching(/^[0-9a-f]{64}$/),
      api: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
    });
    expect(node.ready['join']).toBe(`sameroot start FOLDER --join ${node.ready['peer']} --token ${node.ready['token']}`);
  });

  it('is found by its folder, whose file only its user can read, also when the database is elsewhere', async () => {
    const file = join(folder, '.sameroot', 'node.json');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ http: node.ready['api'], pid: node.child.pid });
    expect(existsSync(join(work, 'elsewhere'))).toBe(true);
    expect(existsSync(join(folder, '.sameroot', 'db'))).toBe(false);
    expect((await program(['wait'], { cwd: folder })).code).toBe(0);
    const status = await program(['status', '--json'], { cwd: folder });
    expect(JSON.parse(status.out)).toMatchObject({ share: 'named', state: 'alone', entries: 1, bytes: 7 });
  });

  it('has the folder for itself', async () => {
    for (const args of [
      ['start', folder, '--data', join(work, 'elsewhere')],
      ['start', folder, '--data', join(work, 'elsewhere'), '--json'],
    ]) {
      expect(await program(args)).toMatchObject({ code: 1, out: '', err: expect.stringMatching(errorLine('DATABASE_IN_USE')) });
    }
    expect((await program(['status', folder])).code).toBe(0);
  });

  it('keeps records from standard input', async () => {
    expect((await program(['put', 'a/b', '--folder', folder], { stdin: 'value\n' })).code).toBe(0);
    expect(await program(['get', 'a/b'], { cwd: folder })).toEqual({ code: 0, out: 'value\n', err: '' });
    expect((await program(['ls', 'r/'], { cwd: folder })).out).toContain('r/a/b');
    expect((await program(['rm', 'a/b'], { cwd: folder })).code).toBe(0);
    expect(await program(['get', 'a/b'], { cwd: folder })).toMatchObject({ code: 1, err: expect.stringMatching(errorLine('NOT_FOUND')) });
  });

  it('takes back the ETag that it gave, as it gave it', async () => {
    const url = `${node.ready['api']}/v1/records/tagged`;
    const { token } = JSON.parse(readFileSync(join(folder, '.sameroot', 'node.json'), 'utf8')) as { token: string };
    const put = (body: string, etag?: string): Promise<Response> =>
      fetch(url, {
        method: 'PUT',
        body,
        headers: { authorization: `Bearer ${token}`, ...(etag === undefined ? {} : { 'if-match': etag }) },
      });
    const first = (await put('one')).headers.get('etag')!;
    expect(first).toMatch(/^"[0-9a-f]{16}-\d+"$/);
    expect((await put('two', first)).status).toBe(200);
    expect((await put('three', first)).status).toBe(412);
    const { etag } = JSON.parse((await program(['get', 'tagged', '--json'], { cwd: folder })).out) as { etag: string };
    expect((await program(['put', 'tagged', '--if-match', etag], { cwd: folder, stdin: 'three' })).code).toBe(0);
  });

  it('tells why, lists conflicts and the trash', async () => {
    const why = await program(['why', 'file', '--json'], { cwd: folder });
    expect(JSON.parse(why.out)).toMatchObject({ key: 'f/file', state: 'present', disk: { kind: 'file', asKnown: true } });
    expect((await program(['why', join(folder, 'file')], { cwd: work })).out).toMatch(
      /^f\/file: replicated\nversion {2}file {3}7 B, found on disk /,
    );
    expect(await program(['conflicts', folder, '--check'])).toEqual({ code: 0, out: '0 conflicts\n', err: '' });
    expect(await program(['trash', 'list'], { cwd: folder })).toEqual({ code: 0, out: '', err: '' });
    expect(await program(['trash', 'restore', 'file'], { cwd: folder })).toMatchObject({
      code: 1,
      err: expect.stringMatching(errorLine('NOT_FOUND')),
    });
    expect((await program(['conflicts', 'resolve', 'file', '--keep', 'file'], { cwd: folder })).err).toMatch(errorLine('NOT_FOUND'));
  });

  it('is not in sync when it is alone', async () => {
    expect((await program(['status', folder, '--check'])).code).toBe(5);
    expect(await program(['diff', folder])).toMatchObject({ code: 1, err: expect.stringMatching(errorLine('PEER_UNREACHABLE')) });
  });

  it('stops when it is told to, takes its file with it, and says nothing that is not JSON', async () => {
    expect(await stop(node)).toBe(0);
    expect(existsSync(join(folder, '.sameroot', 'node.json'))).toBe(false);
    const lines = (await node.err).trim().split('\n');
    for (const line of lines) expect(JSON.parse(line)).toMatchObject({ level: expect.any(Number), msg: expect.any(String) });
    expect((await program(['status', folder])).code).toBe(3);
  });
});

describe('a node that was killed', () => {
  it('leaves a file that counts for nothing, and starts again', async () => {
    const folder = join(work, 'killed');
    const node = await startProgram(folder);
    expect(await stop(node, 'SIGKILL')).toBe('SIGKILL');
    expect(await program(['status', folder])).toMatchObject({ code: 3, err: expect.stringMatching(errorLine('NO_DAEMON')) });
    const again = await startProgram(folder);
    expect((await program(['status', folder])).code).toBe(0);
    expect(await stop(again, 'SIGINT')).toBe(0);
  });
});

describe('two nodes', () => {
  it('come to the same root, and say so by exit codes', async () => {
    const [a, b] = [join(work, 'a'), join(work, 'b')];
    mkdirSync(a);
    writeFileSync(join(a, 'file'), 'x'.repeat(100_000));
    const first = await startProgram(a, '--settle', '10ms');
    const second = await startProgram(b, '--join', first.ready['peer']!, '--token', first.ready['token']!, '--settle', '10ms');
    expect(JSON.parse((await program(['wait', a, '--json'])).out)).toMatchObject({ done: true, peers: [{ confirmed: true }] });
    expect(readFileSync(join(b, 'file'), 'utf8')).toBe('x'.repeat(100_000));
    for (const folder of [a, b]) {
      await expect.poll(async () => (await program(['status', folder, '--check'])).code, { timeout: 20_000 }).toBe(0);
      expect((await program(['diff', folder, '--check'])).code).toBe(0);
    }
    const roots = await Promise.all(
      [a, b].map(async (folder) => (JSON.parse((await program(['status', folder, '--json'])).out) as { root: string }).root),
    );
    expect(roots[0]).toBe(roots[1]);

    expect(await stop(second)).toBe(0);
    writeFileSync(join(a, 'more'), 'y');
    expect(await program(['wait', a, '--timeout', '200ms'])).toMatchObject({ code: 4, out: expect.stringContaining('not confirmed by') });
    const again = await startProgram(b, '--settle', '10ms');
    expect((await program(['wait', a])).code).toBe(0);
    expect(readFileSync(join(b, 'more'), 'utf8')).toBe('y');
    expect(await Promise.all([stop(first), stop(again)])).toEqual([0, 0]);
  });
});

describe('sync', () => {
  it('brings two folders together in both directions, and again when nothing is to do', async () => {
    const [a, b] = [join(work, 'sync-a'), join(work, 'sync-b')];
    for (const [folder, name] of [[a, 'only-a'] as const, [b, 'only-b'] as const]) {
      mkdirSync(folder);
      writeFileSync(join(folder, name), name);
    }
    const first = JSON.parse((await program(['sync', a, b, '--json'])).out) as Record<string, unknown>;
    expect(first).toMatchObject({ source: a, target: b, entries: 2, bytes: 12, root: expect.stringMatching(/^[0-9a-f]{64}$/) });
    for (const folder of [a, b]) for (const name of ['only-a', 'only-b']) expect(readFileSync(join(folder, name), 'utf8')).toBe(name);
    const second = await program(['sync', b, a]);
    expect(second).toMatchObject({ code: 0, out: expect.stringMatching(/^IN SYNC {3}root [0-9a-f]{64} {3}2 entries /) });
  });

  it('with a running node, and not into its folder', async () => {
    const [a, b] = [join(work, 'sync-c'), join(work, 'sync-d')];
    mkdirSync(a);
    writeFileSync(join(a, 'file'), 'content');
    const node = await startProgram(a);
    const result = await program(['sync', node.ready['peer']!, b, '--token', node.ready['token']!, '--json']);
    expect(JSON.parse(result.out)).toMatchObject({ entries: 1 });
    expect(readFileSync(join(b, 'file'), 'utf8')).toBe('content');
    expect(await program(['sync', a, join(work, 'sync-e')])).toMatchObject({
      code: 1,
      err: expect.stringMatching(errorLine('DATABASE_IN_USE')),
    });
    expect(await program(['sync', node.ready['peer']!, join(work, 'sync-f')])).toMatchObject({
      code: 1,
      err: expect.stringMatching(errorLine('NOT_INVITED')),
    });
    expect(await stop(node)).toBe(0);
  });
});

describe('a reader that goes away', () => {
  it('does not end a node', async () => {
    const folder = join(work, 'reader');
    const child = spawn(process.execPath, [PROGRAM, 'start', folder, '--listen', '127.0.0.1:0'], { stdio: ['ignore', 'pipe', 'ignore'] });
    const exit = once(child, 'exit');
    await once(child.stdout, 'data');
    child.stdout.destroy();
    writeFileSync(join(folder, 'file'), 'a change makes it print a line');
    await expect.poll(async () => (await program(['status', folder])).out, { timeout: 20_000 }).toContain('1 entry');
    expect((await program(['put', 'k', '--folder', folder], { stdin: 'v' })).code).toBe(0);
    child.kill('SIGTERM');
    expect(await exit).toEqual([0, null]);
  });
});
