/** What a folder, a port or a disk may have wrong: one coded error, or one listed path while the rest goes on. */
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { createServer, type Server } from 'node:net';
import { describe, expect, test } from 'vitest';
import { Cluster, addressOf, codeOf, contentsOf, converged, expectSame, sameAddress, someBytes, until, type TestNode } from './cluster.ts';

function listen(address: { readonly path: string }): Promise<Server> {
  const server = createServer();
  return new Promise((resolve) => server.listen(address, () => resolve(server)));
}

function problemsOf({ api }: TestNode): string[] {
  return api
    .status()
    .errors.map(({ code, path }) => `${code} ${path}`)
    .sort();
}

describe('a node that can not start says why', () => {
  test('the folder is a file, or lies in another share', async () => {
    await using cluster = new Cluster();
    writeFileSync(cluster.path('file'), 'x');
    expect(await codeOf(cluster.start('file', { dataDir: cluster.path('data') }))).toBe('FOLDER_NOT_DIRECTORY');
    expect(readFileSync(cluster.path('file'), 'utf8')).toBe('x');
    await cluster.start('a');
    expect(await codeOf(cluster.start('a/inner/most'))).toBe('FOLDER_NESTED');
  });

  test('the folder holds another share: that is not sent twice', async () => {
    await using cluster = new Cluster();
    cluster.write('outer/inner', 'mine', 'x');
    const inner = await cluster.start('outer/inner');
    const outer = await cluster.start('outer').catch((error: unknown) => error as { code: string });
    if ('api' in outer) {
      await outer.api.scan();
      expect(outer.api.list({ prefix: 'f/inner/.sameroot', after: undefined, limit: 10 }).items).toEqual([]);
    } else expect(outer.code).toBe('FOLDER_NESTED');
    expect(inner.api.status().errors).toEqual([]);
  });

  test('the port is in use, the address is not ours', async () => {
    await using cluster = new Cluster();
    const a = await cluster.start('a');
    const listen = addressOf(a);
    expect(await codeOf(cluster.start('b', { listen, listenAnyPort: false }))).toBe('PORT_IN_USE');
    expect(await codeOf(cluster.start('b', { listen: { host: '203.0.113.1', port: 0 } }))).toBe('CONFIG_INVALID');
    // The failures have let go of the database; and with leave to look for another port it starts.
    const b = await cluster.start('b', { listen });
    expect(addressOf(b).port).not.toBe(listen.port);
  });

  test('the database is in use by another node on the same folder', async () => {
    await using cluster = new Cluster();
    cluster.write('a', 'x', 'x');
    const a = await cluster.start('a');
    expect(await codeOf(cluster.start('a'))).toBe('DATABASE_IN_USE');
    await a.api.scan();
    await cluster.stop(a);
    const again = await cluster.start('a');
    expect(again.id).toBe(a.id);
  });

  test.skipIf(process.getuid?.() === 0)('a folder without permissions (does not run as root, for whom there are none)', async () => {
    await using cluster = new Cluster();
    mkdirSync(cluster.path('unreadable'), { mode: 0o000 });
    mkdirSync(cluster.path('read-only'), { mode: 0o555 });
    expect(await codeOf(cluster.start('unreadable'))).toBe('FOLDER_UNREADABLE');
    expect(await codeOf(cluster.start('read-only'))).toBe('FOLDER_READ_ONLY');
  });

  test('a damaged key, a key that others can read', async () => {
    await using cluster = new Cluster();
    const a = await cluster.start('a');
    await cluster.stop(a);
    const names = spawnSync('find', [
      cluster.path('a', '.sameroot'),
      '-maxdepth',
      '1',
      '-type',
      'f',
      '-name',
      '*key*',
      '-o',
      '-maxdepth',
      '1',
      '-name',
      '*identity*',
    ]);
    const [key] = names.stdout.toString().trim().split('\n');
    const bytes = readFileSync(key!);
    writeFileSync(key!, bytes.subarray(0, bytes.length / 2));
    expect(await codeOf(cluster.start('a'))).toBe('IDENTITY_DAMAGED');
    writeFileSync(key!, bytes);
    spawnSync('chmod', ['644', key!]);
    expect(await codeOf(cluster.start('a'))).toBe('IDENTITY_EXPOSED');
    spawnSync('chmod', ['600', key!]);
    expect((await cluster.start('a')).id).toBe(a.id);
  });
});

describe('what can not be replicated is listed, and the rest goes on', () => {
  test('pipes, sockets, devices, names that are not UTF-8, links that lead out', async () => {
    await using cluster = new Cluster();
    cluster.write('a', 'folder/fine', 'fine');
    cluster.write('a', 'also fine', 'fine');
    expect(spawnSync('mkfifo', [cluster.path('a', 'folder/pipe')]).status).toBe(0);
    const socket = await listen({ path: cluster.path('a', 'socket') });
    const device = spawnSync('mknod', [cluster.path('a', 'device'), 'c', '1', '3']).status === 0;
    writeFileSync(Buffer.concat([Buffer.from(`${cluster.path('a')}/latin-`), Buffer.of(0xe9), Buffer.from('.txt')]), 'x');
    symlinkSync('/etc/passwd', cluster.path('a', 'out'));
    symlinkSync('../../x', cluster.path('a', 'folder/up and out'));
    const [a, b] = await cluster.pair();
    await converged(a, b);
    socket.close();
    const problems = problemsOf(a);
    expect(problems).toContain('FILE_KIND folder/pipe');
    expect(problems).toContain('FILE_KIND socket');
    if (device) expect(problems).toContain('FILE_KIND device');
    expect(problems.filter((problem) => problem.startsWith('NAME_NOT_UTF8'))).toHaveLength(1);
    expect(problems).toContain('LINK_OUTSIDE out');
    expect(problems).toContain('LINK_OUTSIDE folder/up and out');
    expect(Object.keys(contentsOf(b.folder)).sort()).toEqual(['also fine', 'folder', 'folder/fine']);
    expect(problemsOf(b)).toEqual([]);
    expect(a.api.status().state).toBe('in-sync');
    // What was put right is not listed any more.
    rmSync(cluster.path('a', 'folder/pipe'));
    rmSync(cluster.path('a', 'out'));
    writeFileSync(cluster.path('a', 'out'), 'a file now');
    await converged(a, b);
    expect(problemsOf(a)).not.toContain('FILE_KIND folder/pipe');
    expect(readFileSync(cluster.path('b', 'out'), 'utf8')).toBe('a file now');
  });

  test('a pipe in the place of a file: no delete is sent for the file', async () => {
    await using cluster = new Cluster();
    cluster.write('a', 'x', 'precious');
    const [a, b] = await cluster.pair();
    await converged(a, b);
    rmSync(cluster.path('a', 'x'));
    spawnSync('mkfifo', [cluster.path('a', 'x')]);
    await a.api.scan();
    await until(
      'it is listed',
      () => problemsOf(a).includes('FILE_KIND x'),
      () => a.api.status(),
    );
    await a.api.wait({ timeoutMs: 30_000 });
    expect(readFileSync(cluster.path('b', 'x'), 'utf8')).toBe('precious');
  });

  test('a file that is written to all the time is left for later, then arrives whole', async () => {
    await using cluster = new Cluster();
    cluster.write('a', 'other', 'x');
    cluster.write('a', 'busy', 'start\n');
    const [a, b] = await cluster.pair();
    await converged(a, b);
    const file = openSync(cluster.path('a', 'busy'), 'a');
    const writer = setInterval(() => writeSync(file, 'more of it\n'), 5);
    try {
      cluster.write('a', 'other', 'changed');
      await until(
        'the other file arrives',
        () => readFileSync(cluster.path('b', 'other'), 'utf8') === 'changed',
        () => a.api.status(),
      );
      for (let look = 0; look < 20; look++) {
        const seen = readFileSync(cluster.path('b', 'busy'), 'utf8');
        expect(seen).toMatch(/^start\n(more of it\n)*$/);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    } finally {
      clearInterval(writer);
      closeSync(file);
    }
    await expectSame(a, b);
    expect(readFileSync(cluster.path('b', 'busy'), 'utf8').endsWith('more of it\n')).toBe(true);
  });

  test('files that vanish and change while they are read', async () => {
    await using cluster = new Cluster();
    const a = await cluster.start('a');
    const b = await cluster.join('b', a);
    for (let round = 0; round < 10; round++) {
      for (let i = 0; i < 20; i++) cluster.write('a', `f/${i}`, someBytes(50_000 + round * 1_000, round * 100 + i));
      const scan = a.api.scan();
      for (let i = 0; i < 20; i += 2) rmSync(cluster.path('a', `f/${i}`), { force: true });
      for (let i = 1; i < 20; i += 2) cluster.write('a', `f/${i}`, someBytes(60_000, round * 100 + i));
      renameSync(cluster.path('a', 'f'), cluster.path('a', `g${round}`));
      await scan;
    }
    const files = await expectSame(a, b);
    expect(Object.keys(files)).toHaveLength(110);
    expect([...problemsOf(a), ...problemsOf(b)]).toEqual([]);
  });
});

describe('guards', () => {
  const FILES = 120;

  async function afterMassDelete(cluster: Cluster): Promise<readonly [TestNode, TestNode]> {
    for (let i = 0; i < FILES; i++) cluster.write('a', `data/${i}`, `file ${i}`);
    cluster.write('a', 'kept', 'x');
    const [a, b] = await cluster.pair();
    await converged(a, b);
    rmSync(cluster.path('a', 'data'), { recursive: true });
    await a.api.scan();
    await until(
      'it is held',
      () => a.api.status().state === 'held',
      () => a.api.status(),
    );
    return [a, b];
  }

  test('a mass delete is held until it is accepted; the rest goes on', async () => {
    await using cluster = new Cluster();
    const [a, b] = await afterMassDelete(cluster);
    cluster.write('a', 'new', 'new');
    await until(
      'new files still arrive',
      () => existsSync(cluster.path('b', 'new')),
      () => [a.api.status(), b.api.status()],
    );
    expect(existsSync(cluster.path('b', 'data/7'))).toBe(true);
    // It is still held after a restart.
    const address = sameAddress(a);
    await cluster.stop(a);
    const again = await cluster.start('a', address);
    await again.api.scan();
    await until(
      'it is held',
      () => again.api.status().state === 'held',
      () => again.api.status(),
    );
    expect(existsSync(cluster.path('b', 'data/7'))).toBe(true);
    expect((await again.api.answerDeletes('accept')).paths).toBe(FILES + 1);
    expect(Object.keys(await expectSame(again, b)).sort()).toEqual(['kept', 'new']);
  });

  test('a mass delete of a peer is not held where it arrives, even if that folder is scanned while files go away', async () => {
    await using cluster = new Cluster();
    const [a, b] = await afterMassDelete(cluster);
    await a.api.answerDeletes('accept');
    await until('the deletes have arrived', async () => {
      await b.api.scan();
      expect(b.api.status().state).not.toBe('held');
      return a.api.status().root === b.api.status().root;
    });
    await b.api.scan();
    expect(b.api.status().state).not.toBe('held');
    expect(Object.keys(await expectSame(a, b))).toEqual(['kept']);
  });

  test('a mass delete is taken back: the files come from the peer', async () => {
    await using cluster = new Cluster();
    const [a, b] = await afterMassDelete(cluster);
    expect((await a.api.answerDeletes('restore')).paths).toBe(FILES + 1);
    const files = await expectSame(a, b);
    expect(Object.keys(files)).toHaveLength(FILES + 2);
    expect(a.api.status().conflicts).toBe(0);
  });

  test('the folder is emptied while the node is down, or swapped for an empty one', async () => {
    await using cluster = new Cluster();
    for (let i = 0; i < FILES; i++) cluster.write('a', `data/${i}`, `file ${i}`);
    const [a, b] = await cluster.pair();
    await converged(a, b);
    // The database lies elsewhere and survives; the folder is an empty mount point now.
    const address = sameAddress(b);
    await cluster.stop(b);
    mkdirSync(cluster.path('away'));
    renameSync(cluster.path('b', '.sameroot/db'), cluster.path('away/db'));
    for (const name of ['key.pem', 'cert.pem', 'identity.json']) {
      if (existsSync(cluster.path('b', '.sameroot', name))) renameSync(cluster.path('b', '.sameroot', name), cluster.path('away', name));
    }
    rmSync(cluster.path('b'), { recursive: true });
    mkdirSync(cluster.path('b'));
    const code = await codeOf(
      cluster.start('b', { ...address, dataDir: cluster.path('away') }).then(async (node) => {
        await node.api.scan();
      }),
    );
    expect(code).toBe('FOLDER_MISSING');
    await a.api.scan();
    expect(existsSync(cluster.path('a', 'data/7'))).toBe(true);
  });

  test('the folder is taken away while the node runs, and comes back', async () => {
    await using cluster = new Cluster();
    for (let i = 0; i < 20; i++) cluster.write('a', `data/${i}`, `file ${i}`);
    const [a, b] = await cluster.pair();
    await converged(a, b);
    renameSync(cluster.path('a'), cluster.path('elsewhere'));
    mkdirSync(cluster.path('a'));
    expect(await codeOf(a.api.scan())).toBe('FOLDER_MISSING');
    expect(a.api.status().state).toBe('degraded');
    expect(existsSync(cluster.path('b', 'data/7'))).toBe(true);
    rmSync(cluster.path('a'), { recursive: true });
    renameSync(cluster.path('elsewhere'), cluster.path('a'));
    cluster.write('a', 'after', 'x');
    expect(Object.keys(await expectSame(a, b))).toHaveLength(22);
  });
});

describe('many files', () => {
  test('two thousand small files in both directions at once', async () => {
    await using cluster = new Cluster();
    for (let i = 0; i < 1_000; i++) {
      cluster.write('a', `from-a/${i % 17}/${i}.txt`, someBytes(1_000 + (i % 3_000), i));
      cluster.write('b', `from-b/${i % 13}/${i}.txt`, someBytes(1_000 + (i % 3_000), i + 5_000));
    }
    const [a, b] = await cluster.pair();
    const files = await expectSame(a, b);
    expect(Object.values(files).filter((what) => what.startsWith('file'))).toHaveLength(2_000);
    for (let i = 0; i < 1_000; i += 2) {
      cluster.write('a', `from-b/${i % 13}/${i}.txt`, `changed ${i}`);
      cluster.write('b', `from-a/${i % 17}/${i}.txt`, `changed ${i}`);
    }
    await expectSame(a, b);
    expect(a.api.status().conflicts).toBe(0);
  });
});
