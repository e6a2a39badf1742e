/** Two and three nodes: what is done in one folder is in all of them, with one root. */
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Cluster, connections, converged, expectSame, receivedBytes, sentBytes, someBytes, until, type TestNode } from './cluster.ts';

describe('the first sync', () => {
  test('goes both ways, and so does what comes later', async () => {
    await using cluster = new Cluster();
    cluster.write('a', 'docs/one.txt', 'one');
    cluster.write('a', 'big.bin', someBytes(3_000_000, 1));
    cluster.write('b', 'docs/two.txt', 'two');
    cluster.write('b', 'large.bin', someBytes(2_000_000, 2));
    const a = await cluster.start('a');
    const b = await cluster.join('b', a);
    const files = await expectSame(a, b);
    expect(Object.keys(files).sort()).toEqual(['big.bin', 'docs', 'docs/one.txt', 'docs/two.txt', 'large.bin']);
    cluster.write('a', 'later/a.txt', 'from a');
    cluster.write('b', 'later/b.txt', 'from b');
    cluster.write('b', 'docs/one.txt', 'one, edited by b');
    expect(Object.keys(await expectSame(a, b))).toHaveLength(8);
    expect(readFileSync(cluster.path('a', 'docs/one.txt'), 'utf8')).toBe('one, edited by b');
    expect(a.api.status().conflicts + b.api.status().conflicts).toBe(0);
  });

  test('links, empty folders, empty files, modes and times', async () => {
    await using cluster = new Cluster();
    cluster.write('a', 'script.sh', '#!/bin/sh\n');
    cluster.write('a', 'secret', 'x');
    cluster.write('a', 'zero', '');
    cluster.write('a', 'sub/old', 'old');
    mkdirSync(cluster.path('a', 'empty/within/empty'), { recursive: true });
    mkdirSync(cluster.path('a', 'private'));
    chmodSync(cluster.path('a', 'script.sh'), 0o755);
    chmodSync(cluster.path('a', 'secret'), 0o600);
    chmodSync(cluster.path('a', 'private'), 0o700);
    utimesSync(cluster.path('a', 'sub/old'), new Date('1999-12-31T23:59:59.123Z'), new Date('1999-12-31T23:59:59.123Z'));
    symlinkSync('sub/old', cluster.path('a', 'to-file'));
    symlinkSync('../script.sh', cluster.path('a', 'sub/up'));
    symlinkSync('nowhere/at all', cluster.path('a', 'dangling'));
    linkSync(cluster.path('a', 'secret'), cluster.path('a', 'hard'));
    const [a, b] = await cluster.pair();
    const files = await expectSame(a, b);
    expect(files['script.sh']).toMatch(/^file 755 /);
    expect(files['secret']).toMatch(/^file 600 /);
    expect(files['private']).toBe('folder 700');
    expect(files['sub/old']).toMatch(/^file 644 946684799123 3 /);
    expect(files['empty/within/empty']).toMatch(/^folder/);
    expect(files['sub/up']).toBe('link ../script.sh');
    expect(files['dangling']).toBe('link nowhere/at all');
    // Only mode and time change: no bytes move for that.
    const before = receivedBytes(a);
    chmodSync(cluster.path('b', 'script.sh'), 0o700);
    utimesSync(cluster.path('b', 'zero'), 1_000_000, 1_000_000.5);
    chmodSync(cluster.path('b', 'private'), 0o755);
    rmSync(cluster.path('b', 'empty/within/empty'), { recursive: true });
    const after = await expectSame(a, b);
    expect(after['script.sh']).toMatch(/^file 700 /);
    expect(after['zero']).toMatch(/^file 644 1000000500 0 /);
    expect(after['private']).toBe('folder 755');
    expect(after['empty/within']).toMatch(/^folder/);
    expect(after['empty/within/empty']).toBeUndefined();
    expect(receivedBytes(a) - before).toBeLessThan(10_000);
  });

  test('any name that is UTF-8: spaces, line breaks, dashes, quotes, long ones', async () => {
    await using cluster = new Cluster();
    const names = [
      ' leading and trailing ',
      '-rf',
      '--',
      'line\nbreak',
      'tab\tand\rreturn',
      'quote"\'`$(x);&|<>*?[]{}!\\',
      'ümläut-日本語-🦄',
      'e\u0301 as two code points',
      '\u00e9 as one',
      '...',
      '.hidden',
      'a.conflict-20260101T000000Z-deadbeef.txt',
      '\u{1}\u{7f}',
      'CON',
      'x'.repeat(255),
      '日'.repeat(85),
    ];
    for (const [index, name] of names.entries()) cluster.write('a', `${name}`, `file ${index}`);
    for (const name of names) cluster.write('a', `in folders/${name}/${name}`, name);
    const a = await cluster.start('a');
    const b = await cluster.join('b', a);
    const files = await expectSame(a, b);
    expect(Object.keys(files)).toHaveLength(names.length * 3 + 1);
    expect([...a.api.status().errors, ...b.api.status().errors]).toEqual([]);
    // Deleted and changed by name, too: no prefix of a name is taken for the name.
    for (const name of names.slice(0, 6)) rmSync(cluster.path('b', 'in folders', name), { recursive: true });
    writeFileSync(cluster.path('b', names[3]!), 'changed');
    expect(Object.keys(await expectSame(a, b))).toHaveLength(names.length * 3 + 1 - 12);
  });
});

/** The hosts are the same for all tests: starting them is most of the work. Each test has a folder of its own. */
describe('two nodes in sync', () => {
  let cluster: Cluster;
  let a: TestNode;
  let b: TestNode;
  let tests = 0;
  let here = '';
  beforeAll(async () => {
    cluster = new Cluster();
    [a, b] = await cluster.pair();
    await converged(a, b);
  });
  beforeEach(() => void (here = `test-${++tests}`));
  afterAll(() => cluster[Symbol.asyncDispose]());

  const path = (host: string, ...below: readonly string[]): string => cluster.path(host, here, ...below);
  const write = (host: string, file: string, bytes: string | Uint8Array): void => cluster.write(host, `${here}/${file}`, bytes);

  /** The files of this test, the same on both hosts. */
  async function filesHere(): Promise<Record<string, string>> {
    const files = Object.entries(await expectSame(a, b));
    return Object.fromEntries(files.flatMap(([name, what]) => (name.startsWith(`${here}/`) ? [[name.slice(here.length + 1), what]] : [])));
  }

  /** What the files of this test held that are in the trash. */
  function trashedHere({ folder }: TestNode): string[] {
    const trash = join(folder, '.sameroot', 'trash');
    if (!existsSync(trash)) return [];
    return readdirSync(trash, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.includes(`/${here}/`) && lstatSync(join(trash, name)).isFile())
      .map((name) => readFileSync(join(trash, name), 'utf8'))
      .sort();
  }

  test('changes arrive by themselves, nobody has to ask for a scan', async () => {
    write('a', 'new/deep/er/file', 'x');
    const there = path('b', 'new/deep/er/file');
    await until(
      'the file arrives',
      () => existsSync(there),
      () => [a.api.status(), b.api.status()],
    );
    unlinkSync(there);
    await until(
      'the delete arrives',
      () => !existsSync(path('a', 'new/deep/er/file')),
      () => [a.api.status(), b.api.status()],
    );
  });

  test('a delete arrives, and the file is in the trash of the other host', async () => {
    write('a', 'gone.txt', 'still needed?');
    write('a', 'folder/in/it.txt', 'deep');
    await converged(a, b);
    unlinkSync(path('a', 'gone.txt'));
    rmSync(path('a', 'folder'), { recursive: true });
    expect(await filesHere()).toEqual({});
    expect(trashedHere(b)).toEqual(['deep', 'still needed?']);
    expect(trashedHere(a)).toEqual([]);
  });

  test('an overwritten file is in the trash, too', async () => {
    write('a', 'file', 'before');
    await converged(a, b);
    write('a', 'file', 'after');
    await filesHere();
    expect(readFileSync(path('b', 'file'), 'utf8')).toBe('after');
    expect(trashedHere(b)).toEqual(['before']);
  });

  test('a rename of a file and of a folder moves no content', async () => {
    write('a', 'one.bin', someBytes(4_000_000, 3));
    for (let i = 0; i < 40; i++) write('a', `folder/sub/${i}.bin`, someBytes(100_000, 10 + i));
    await converged(a, b);
    const before = receivedBytes(b);
    renameSync(path('a', 'one.bin'), path('a', 'two.bin'));
    renameSync(path('a', 'folder'), path('a', 'renamed'));
    const files = await filesHere();
    expect(Object.keys(files)).toHaveLength(43);
    expect(receivedBytes(b) - before).toBeLessThan(50_000);
    expect(existsSync(path('b', 'folder'))).toBe(false);
  });

  test('a copy of a file that is there moves no content', async () => {
    const bytes = someBytes(4_000_000, 4);
    write('a', 'one.bin', bytes);
    await converged(a, b);
    const before = receivedBytes(b);
    write('a', 'copy.bin', bytes);
    await filesHere();
    expect(receivedBytes(b) - before).toBeLessThan(50_000);
  });

  test('an insert in a large file moves a few chunks', async () => {
    const bytes = someBytes(8_000_000, 5);
    const sentBefore = sentBytes(a);
    write('a', 'large.bin', bytes);
    await converged(a, b);
    const before = receivedBytes(b);
    write('a', 'large.bin', Buffer.concat([bytes.subarray(0, 3_000_000), Buffer.from('!'), bytes.subarray(3_000_000)]));
    await filesHere();
    // Two chunks of 256 KiB at most, the list's pages and the entry.
    expect(receivedBytes(b) - before).toBeLessThan(600_000);
    expect(sentBytes(a) - sentBefore).toBeLessThan(9_000_000);
  });

  test('a rename with an edit in the same moment', async () => {
    write('a', 'x/one', 'one');
    write('a', 'x/two', 'two');
    await converged(a, b);
    renameSync(path('a', 'x'), path('a', 'y'));
    write('a', 'y/one', 'one, edited');
    write('a', 'x/two', 'another two');
    await filesHere();
    expect(readFileSync(path('b', 'y/one'), 'utf8')).toBe('one, edited');
    expect(readFileSync(path('b', 'x/two'), 'utf8')).toBe('another two');
  });

  test('two files change places', async () => {
    write('a', 'one', 'first');
    write('a', 'two', 'second');
    await converged(a, b);
    renameSync(path('a', 'one'), path('a', 'tmp'));
    renameSync(path('a', 'two'), path('a', 'one'));
    renameSync(path('a', 'tmp'), path('a', 'two'));
    await filesHere();
    expect(readFileSync(path('b', 'one'), 'utf8')).toBe('second');
    expect(readFileSync(path('b', 'two'), 'utf8')).toBe('first');
  });

  test('a file becomes a folder, a folder a file, a link a file, a folder a link', async () => {
    write('a', 'file', 'file');
    write('a', 'folder/a/b', 'deep');
    write('a', 'folder2/x', 'x');
    symlinkSync('file', path('a', 'link'));
    await converged(a, b);
    unlinkSync(path('a', 'file'));
    write('a', 'file/now/inside', 'was a file');
    rmSync(path('a', 'folder'), { recursive: true });
    write('a', 'folder', 'was a folder');
    unlinkSync(path('a', 'link'));
    write('a', 'link', 'was a link');
    rmSync(path('a', 'folder2'), { recursive: true });
    symlinkSync('folder', path('a', 'folder2'));
    const files = await filesHere();
    expect(Object.keys(files).sort()).toEqual(['file', 'file/now', 'file/now/inside', 'folder', 'folder2', 'link']);
    // And back again, from the other side.
    rmSync(path('b', 'file'), { recursive: true });
    write('b', 'file', 'a file again');
    unlinkSync(path('b', 'folder'));
    write('b', 'folder/a', 'a folder again');
    const again = await filesHere();
    expect(Object.keys(again).sort()).toEqual(['file', 'folder', 'folder/a', 'folder2', 'link']);
  });

  test('a file in a folder without write permission, and a read-only file that is replaced', async () => {
    write('a', 'locked/file', 'one');
    chmodSync(path('a', 'locked/file'), 0o444);
    chmodSync(path('a', 'locked'), 0o555);
    const files = await filesHere();
    expect(files['locked']).toBe('folder 555');
    chmodSync(path('a', 'locked'), 0o755);
    rmSync(path('a', 'locked/file'));
    write('a', 'locked/file', 'two');
    chmodSync(path('a', 'locked'), 0o555);
    await filesHere();
    expect(readFileSync(path('b', 'locked/file'), 'utf8')).toBe('two');
    for (const side of ['a', 'b']) chmodSync(path(side, 'locked'), 0o755);
  });
});

describe('three nodes', () => {
  test('one that joined the second only is soon connected with the first, and all converge', async () => {
    await using cluster = new Cluster();
    cluster.write('a', 'a.txt', 'a');
    cluster.write('b', 'b.txt', 'b');
    cluster.write('c', 'c.bin', someBytes(1_000_000, 5));
    const a = await cluster.start('a');
    const b = await cluster.join('b', a);
    await converged(a, b);
    const c = await cluster.join('c', b);
    await until(
      'a full mesh',
      () => [a, b, c].every(({ api }) => connections(api.status()) === 2),
      () => [a, b, c].map(({ api }) => api.status()),
    );
    expect(a.api.status().peers.map((peer) => peer.nodeId)).toContain(c.id);
    const files = await expectSame(a, b, c);
    expect(Object.keys(files).sort()).toEqual(['a.txt', 'b.txt', 'c.bin']);
    // The middle goes away: the outer ones still have each other.
    await cluster.stop(b);
    cluster.write('a', 'without-b.txt', 'x');
    await until(
      'c has it',
      () => existsSync(cluster.path('c', 'without-b.txt')),
      () => [a.api.status(), c.api.status()],
    );
    // And when it is back it gets what it missed.
    const again = await cluster.start('b');
    expect(Object.keys(await expectSame(a, again, c))).toHaveLength(4);
  });

  test('all three write at once', async () => {
    await using cluster = new Cluster();
    const [a, b] = await cluster.pair();
    const c = await cluster.join('c', a);
    await converged(a, b, c);
    for (let round = 0; round < 5; round++) {
      for (const name of ['a', 'b', 'c']) {
        cluster.write(name, `by-${name}/${round}.txt`, `${name} ${round}`);
        cluster.write(name, `common/${name}-${round}`, someBytes(20_000, round));
        if (round > 0) rmSync(cluster.path(name, `by-${name}/${round - 1}.txt`));
      }
    }
    const files = await expectSame(a, b, c);
    expect(Object.keys(files)).toHaveLength(4 + 3 + 15);
    expect(a.api.status().conflicts).toBe(0);
  });
});
