/**
 * What people do with conflict copies in the folder, on three hosts: each copy is a file like any other, and doing something
 * with it answers. The hosts are the same for all tests, as starting them is most of the work; each test has a conflict of its
 * own, in a folder of its own, and all of them are made in one absence of `b`.
 */
import { existsSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { NodeApi } from '../../src/node/node-api.ts';
import { Cluster, contentsOf, converged, expectSame, sameAddress, type TestNode } from './cluster.ts';

interface Fight {
  readonly folder: string;
  readonly path: string;
  /** Shows what `a` wrote; `b` wrote later and has won. */
  readonly copy: string;
}

/** Of each extension more than there are tests. */
const PATHS = Array.from({ length: 20 }, (_, index) => `notes-${index}/n.${index < 2 ? 'bin' : 'txt'}`);
const unused = new Set(PATHS);

let cluster: Cluster;
let a: TestNode;
let b: TestNode;
let c: TestNode;

const all = (): [TestNode, TestNode, TestNode] => [a, b, c];

/** `here` happens on `a`, and `there` in the folder of `b`, which is stopped meanwhile. */
async function atOnce(there: () => void, here: () => void): Promise<void> {
  const address = sameAddress(b);
  await cluster.stop(b);
  here();
  await converged(a, c);
  there();
  b = await cluster.start('b', address);
  await expectSame(...all());
}

beforeAll(async () => {
  cluster = new Cluster();
  for (const path of PATHS) cluster.write('a', path, 'before');
  a = await cluster.start('a');
  [b, c] = await Promise.all([cluster.join('b', a), cluster.join('c', a)]);
  await expectSame(...all());
  await atOnce(
    () => PATHS.forEach((path) => cluster.write('b', path, 'from b')),
    () => PATHS.forEach((path) => cluster.write('a', path, 'from a')),
  );
  expect(all().map(({ api }) => api.status().conflicts)).toEqual(all().map(() => PATHS.length));
});
afterAll(() => cluster[Symbol.asyncDispose]());

/** A file with two versions: `b` was away when `a` wrote, and has written since. */
function fight(extension: string = 'txt'): Fight {
  const path = [...unused].find((candidate) => candidate.endsWith(extension))!;
  unused.delete(path);
  const folder = path.slice(0, path.indexOf('/'));
  const [copy, ...more] = copiesIn(a, folder);
  expect(copy).toMatch(new RegExp(`^${folder}/n\\.conflict-\\d{8}T\\d{6}Z-[0-9a-f]{8}-[0-9a-f]+\\.${extension}$`));
  expect(more).toEqual([]);
  expect(text(c, path)).toBe('from b');
  expect(text(b, copy!)).toBe('from a');
  expect(conflicts(folder)).toEqual([1, 1, 1]);
  return { folder, path, copy: copy! };
}

function copiesIn({ folder }: TestNode, below: string): string[] {
  return Object.keys(contentsOf(folder)).filter((path) => path.startsWith(`${below}/`) && path.includes('.conflict-'));
}

function text({ folder }: TestNode, path: string): string {
  return readFileSync(`${folder}/${path}`, 'utf8');
}

/** These, and no other files, are in the folder of a fight, on all hosts. */
async function expectFiles(folder: string, files: Readonly<Record<string, string>>): Promise<void> {
  const found = await expectSame(...all());
  expect(
    Object.keys(found)
      .filter((path) => path.startsWith(`${folder}/`) && found[path]!.startsWith('file'))
      .sort(),
  ).toEqual(Object.keys(files).sort());
  for (const [path, wanted] of Object.entries(files)) expect(text(a, path)).toBe(wanted);
}

function conflictsIn(folder: string, { api }: TestNode): ReturnType<NodeApi['conflicts']>['items'] {
  const { items, complete } = api.conflicts({ after: undefined, limit: 100 });
  expect(complete).toBe(true);
  return items.filter(({ key }) => key.startsWith(`f/${folder}/`));
}

/** How many in a folder, by host. */
function conflicts(folder: string): number[] {
  return all().map((node) => conflictsIn(folder, node).length);
}

test('an edited copy is an ordinary file, on all hosts', async () => {
  const { path, copy, folder } = fight();
  cluster.write('c', copy, 'from a, and edited');
  await expectFiles(folder, { [path]: 'from b', [copy]: 'from a, and edited' });
  expect(conflicts(folder)).toEqual([0, 0, 0]);
  // It stays one: the winner may go, and come back.
  rmSync(cluster.path('a', path));
  await expectFiles(folder, { [copy]: 'from a, and edited' });
});

test('a deleted copy is gone on all hosts', async () => {
  const { path, copy, folder } = fight();
  rmSync(cluster.path('a', copy));
  await expectFiles(folder, { [path]: 'from b' });
  expect(conflicts(folder)).toEqual([0, 0, 0]);
});

test('a renamed copy is an ordinary file of that name', async () => {
  const { path, copy, folder } = fight();
  renameSync(cluster.path('b', copy), cluster.path('b', folder, 'kept.txt'));
  await expectFiles(folder, { [path]: 'from b', [`${folder}/kept.txt`]: 'from a' });
  expect(conflicts(folder)).toEqual([0, 0, 0]);
});

test('a copy that is moved over the winner takes its place', async () => {
  const { path, copy, folder } = fight();
  renameSync(cluster.path('c', copy), cluster.path('c', path));
  await expectFiles(folder, { [path]: 'from a' });
  expect(conflicts(folder)).toEqual([0, 0, 0]);
});

test('edited on two hosts at once: both edits stay, and the winner is as it was', async () => {
  const { path, copy, folder } = fight();
  await atOnce(
    () => cluster.write('b', copy, 'edited on b'),
    () => cluster.write('a', copy, 'edited on a'),
  );
  const second = copiesIn(a, folder).find((name) => name !== copy)!;
  await expectFiles(folder, { [path]: 'from b', [copy]: 'edited on b', [second]: 'edited on a' });
  expect(conflicts(folder)).toEqual([1, 1, 1]);
});

test('deleted on one host and edited on the other at once: the edit stays', async () => {
  const { path, copy, folder } = fight();
  await atOnce(
    () => rmSync(cluster.path('b', copy)),
    () => cluster.write('a', copy, 'edited on a'),
  );
  await expectFiles(folder, { [path]: 'from b', [copy]: 'edited on a' });
  expect(conflicts(folder)).toEqual([0, 0, 0]);
});

test('renamed on both hosts at once: two files', async () => {
  const { path, copy, folder } = fight();
  await atOnce(
    () => renameSync(cluster.path('b', copy), cluster.path('b', folder, 'on-b.txt')),
    () => renameSync(cluster.path('a', copy), cluster.path('a', folder, 'on-a.txt')),
  );
  await expectFiles(folder, { [path]: 'from b', [`${folder}/on-a.txt`]: 'from a', [`${folder}/on-b.txt`]: 'from a' });
});

test('the winner is deleted on one host while the copy is edited on another', async () => {
  const { path, copy, folder } = fight();
  await atOnce(
    () => rmSync(cluster.path('b', path)),
    () => cluster.write('a', copy, 'edited on a'),
  );
  await expectFiles(folder, { [copy]: 'edited on a' });
  expect(conflicts(folder)).toEqual([0, 0, 0]);
});

test('the winner is deleted: the copy takes its name', async () => {
  const { path, folder } = fight();
  rmSync(cluster.path('a', path));
  await expectFiles(folder, { [path]: 'from a' });
});

test.each(['bin', 'txt'])('n.%s and its copy are deleted in one go: both stay away, and the tombstone can go', async (extension) => {
  // The names sort differently: the delete of the winner uncovers the copy, or finds it gone.
  const { path, copy, folder } = fight(extension);
  for (const name of [path, copy]) rmSync(cluster.path('c', name));
  await expectFiles(folder, {});
  // Once more where a peer has not told its root yet.
  let left = (await c.api.purge()).left;
  for (let round = 0; round < 10 && left > 0; round++) left = (await c.api.purge()).left;
  expect(left).toBe(0);
});

test('an edit of the winner replaces what it has seen, and leaves the copy', async () => {
  const { path, copy, folder } = fight();
  cluster.write('c', path, 'edited on c');
  await expectFiles(folder, { [path]: 'edited on c', [copy]: 'from a' });
});

test('resolved by name: one version on all hosts, the other is in the trash', async () => {
  const { path, copy, folder } = fight();
  const key = `f/${path}`;
  const items = conflictsIn(folder, c);
  expect(items).toMatchObject([
    {
      key,
      versions: [
        { name: path, shown: true, kind: 'file', bytes: 6, found: false, author: { nodeId: b.id } },
        { name: copy, shown: true, kind: 'file', bytes: 6, found: false, author: { nodeId: a.id } },
      ],
    },
  ]);
  await expect(c.api.resolveConflict(key, 'nobody', undefined)).rejects.toMatchObject({
    code: 'NOT_FOUND',
    message: expect.stringContaining(copy),
  });
  const { kept, dropped } = await c.api.resolveConflict(key, copy, items[0]!.etag);
  expect([kept.author.nodeId, kept.bytes, dropped]).toEqual([c.id, 6, 1]);
  // The disk of the host where it was resolved follows at once.
  expect(text(c, path)).toBe('from a');
  expect(existsSync(cluster.path('c', copy))).toBe(false);
  await expectFiles(folder, { [path]: 'from a' });
  expect(conflicts(folder)).toEqual([0, 0, 0]);
  for (const { api } of all()) {
    const { items: trashed } = await api.trash({ prefix: path, after: undefined, limit: 10 });
    expect(trashed.map((item) => item.path)).toContain(path);
  }
  await expect(c.api.resolveConflict(key, copy, undefined)).rejects.toMatchObject({ code: 'NOT_FOUND' });
});

test('resolved with an ETag that is not current: nothing changes', async () => {
  const { path, copy, folder } = fight();
  const { etag } = conflictsIn(folder, a)[0]!;
  cluster.write('b', path, 'edited');
  await expectFiles(folder, { [path]: 'edited', [copy]: 'from a' });
  await expect(a.api.resolveConflict(`f/${path}`, path, etag)).rejects.toMatchObject({ code: 'STALE_WRITE' });
  await expectFiles(folder, { [path]: 'edited', [copy]: 'from a' });
});

test('resolved on two hosts at once, each for another version: one of the two answers, or both as a conflict again', async () => {
  const { path, copy, folder } = fight();
  const answers = await Promise.allSettled([
    a.api.resolveConflict(`f/${path}`, copy, undefined),
    c.api.resolveConflict(`f/${path}`, path, undefined),
  ]);
  expect(answers.filter(({ status }) => status === 'fulfilled').length).toBeGreaterThan(0);
  await expectSame(...all());
  const shown = [path, ...copiesIn(b, folder)].map((name) => text(b, name));
  expect([['from a'], ['from b'], ['from a', 'from b'], ['from b', 'from a']]).toContainEqual(shown);
});
