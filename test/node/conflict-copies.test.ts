/** What people do with conflict copies in the folder, on three hosts: each copy is a file like any other, and doing something with it answers. */
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Cluster, contentsOf, converged, expectSame, sameAddress, type TestNode } from './cluster.ts';

const PATH = 'notes/n.txt';

interface Fight {
  readonly nodes: readonly [a: TestNode, b: TestNode, c: TestNode];
  /** Shows what `a` wrote; `b` wrote later and has won. */
  readonly copy: string;
}

/** A file with two versions: `b` was away when `a` wrote, and has written since. */
async function fight(cluster: Cluster, path: string = PATH): Promise<Fight> {
  cluster.write('a', path, 'before');
  const a = await cluster.start('a');
  const away = await cluster.join('b', a);
  const c = await cluster.join('c', a);
  await expectSame(a, away, c);
  const address = sameAddress(away);
  await cluster.stop(away);
  cluster.write('a', path, 'from a');
  await converged(a, c);
  cluster.write('b', path, 'from b');
  const b = await cluster.start('b', address);
  await expectSame(a, b, c);
  const copy = copiesIn(a)[0]!;
  const extension = path.slice(path.lastIndexOf('.') + 1);
  expect(copy).toMatch(new RegExp(`^notes/n\\.conflict-\\d{8}T\\d{6}Z-[0-9a-f]{8}-[0-9a-f]+\\.${extension}$`));
  expect(text(c, path)).toBe('from b');
  expect(text(b, copy)).toBe('from a');
  expect([a, b, c].map((node) => node.api.status().conflicts)).toEqual([1, 1, 1]);
  return { nodes: [a, b, c], copy };
}

function copiesIn({ folder }: TestNode): string[] {
  return Object.keys(contentsOf(folder)).filter((path) => path.includes('.conflict-'));
}

function text({ folder }: TestNode, path: string): string {
  return readFileSync(`${folder}/${path}`, 'utf8');
}

async function expectFiles(nodes: readonly TestNode[], files: Readonly<Record<string, string>>): Promise<void> {
  const found = await expectSame(...nodes);
  expect(
    Object.keys(found)
      .filter((path) => found[path]!.startsWith('file'))
      .sort(),
  ).toEqual(Object.keys(files).sort());
  for (const [path, wanted] of Object.entries(files)) expect(text(nodes[0]!, path)).toBe(wanted);
}

function conflicts(nodes: readonly TestNode[]): number[] {
  return nodes.map(({ api }) => api.status().conflicts);
}

test('an edited copy is an ordinary file, on all hosts', async () => {
  await using cluster = new Cluster();
  const { nodes, copy } = await fight(cluster);
  writeFileSync(`${nodes[2].folder}/${copy}`, 'from a, and edited');
  await expectFiles(nodes, { [PATH]: 'from b', [copy]: 'from a, and edited' });
  expect(conflicts(nodes)).toEqual([0, 0, 0]);
  // It stays one: the winner may go, and come back.
  rmSync(`${nodes[0].folder}/${PATH}`);
  await expectFiles(nodes, { [copy]: 'from a, and edited' });
});

test('a deleted copy is gone on all hosts', async () => {
  await using cluster = new Cluster();
  const { nodes, copy } = await fight(cluster);
  rmSync(`${nodes[0].folder}/${copy}`);
  await expectFiles(nodes, { [PATH]: 'from b' });
  expect(conflicts(nodes)).toEqual([0, 0, 0]);
});

test('a renamed copy is an ordinary file of that name', async () => {
  await using cluster = new Cluster();
  const { nodes, copy } = await fight(cluster);
  renameSync(`${nodes[1].folder}/${copy}`, `${nodes[1].folder}/kept.txt`);
  await expectFiles(nodes, { [PATH]: 'from b', 'kept.txt': 'from a' });
  expect(conflicts(nodes)).toEqual([0, 0, 0]);
});

test('a copy that is moved over the winner takes its place', async () => {
  await using cluster = new Cluster();
  const { nodes, copy } = await fight(cluster);
  renameSync(`${nodes[2].folder}/${copy}`, `${nodes[2].folder}/${PATH}`);
  await expectFiles(nodes, { [PATH]: 'from a' });
  expect(conflicts(nodes)).toEqual([0, 0, 0]);
});

/** `b` is away while `there` happens in its folder, and `here` on `a`; both have seen the conflict. */
async function atOnce(
  cluster: Cluster,
  there: (folder: string, copy: string) => void,
  here: (folder: string, copy: string) => void,
): Promise<Fight> {
  const { nodes, copy } = await fight(cluster);
  const [a, b, c] = nodes;
  const address = sameAddress(b);
  await cluster.stop(b);
  here(a.folder, copy);
  await converged(a, c);
  there(b.folder, copy);
  const again = await cluster.start('b', address);
  await converged(a, again, c);
  return { nodes: [a, again, c], copy };
}

test('edited on two hosts at once: both edits stay, and the winner is as it was', async () => {
  await using cluster = new Cluster();
  const { nodes, copy } = await atOnce(
    cluster,
    (folder, name) => writeFileSync(`${folder}/${name}`, 'edited on b'),
    (folder, name) => writeFileSync(`${folder}/${name}`, 'edited on a'),
  );
  const second = copiesIn(nodes[0]).find((path) => path !== copy)!;
  await expectFiles(nodes, { [PATH]: 'from b', [copy]: 'edited on b', [second]: 'edited on a' });
  expect(conflicts(nodes)).toEqual([1, 1, 1]);
});

test('deleted on one host and edited on the other at once: the edit stays', async () => {
  await using cluster = new Cluster();
  const { nodes, copy } = await atOnce(
    cluster,
    (folder, name) => rmSync(`${folder}/${name}`),
    (folder, name) => writeFileSync(`${folder}/${name}`, 'edited on a'),
  );
  await expectFiles(nodes, { [PATH]: 'from b', [copy]: 'edited on a' });
  expect(conflicts(nodes)).toEqual([0, 0, 0]);
});

test('renamed on both hosts at once: two files', async () => {
  await using cluster = new Cluster();
  const { nodes } = await atOnce(
    cluster,
    (folder, name) => renameSync(`${folder}/${name}`, `${folder}/on-b.txt`),
    (folder, name) => renameSync(`${folder}/${name}`, `${folder}/on-a.txt`),
  );
  await expectFiles(nodes, { [PATH]: 'from b', 'on-a.txt': 'from a', 'on-b.txt': 'from a' });
});

test('the winner is deleted on one host while the copy is edited on another', async () => {
  await using cluster = new Cluster();
  const { nodes, copy } = await atOnce(
    cluster,
    (folder) => rmSync(`${folder}/${PATH}`),
    (folder, name) => writeFileSync(`${folder}/${name}`, 'edited on a'),
  );
  await expectFiles(nodes, { [copy]: 'edited on a' });
  expect(conflicts(nodes)).toEqual([0, 0, 0]);
});

test('the winner is deleted: the copy takes its name', async () => {
  await using cluster = new Cluster();
  const { nodes } = await fight(cluster);
  rmSync(`${nodes[0].folder}/${PATH}`);
  await expectFiles(nodes, { [PATH]: 'from a' });
});

test.each(['notes/n.bin', PATH])('%s and its copy are deleted in one go: both stay away, and the tombstone can go', async (path) => {
  // The names sort differently: the delete of the winner uncovers the copy, or finds it gone.
  await using cluster = new Cluster();
  const { nodes, copy } = await fight(cluster, path);
  for (const name of [path, copy]) rmSync(`${nodes[2].folder}/${name}`);
  await expectFiles(nodes, {});
  // Once more where a peer has not told its root yet.
  let left = (await nodes[2].api.purge()).left;
  for (let round = 0; round < 10 && left > 0; round++) left = (await nodes[2].api.purge()).left;
  expect(left).toBe(0);
});

test('an edit of the winner replaces what it has seen, and leaves the copy', async () => {
  await using cluster = new Cluster();
  const { nodes, copy } = await fight(cluster);
  writeFileSync(`${nodes[2].folder}/${PATH}`, 'edited on c');
  await expectFiles(nodes, { [PATH]: 'edited on c', [copy]: 'from a' });
});

test('resolved by name: one version on all hosts, the other is in the trash', async () => {
  await using cluster = new Cluster();
  const { nodes, copy } = await fight(cluster);
  const [a, b, c] = nodes;
  const { items, complete } = c.api.conflicts({ after: undefined, limit: 10 });
  expect(complete).toBe(true);
  expect(items).toMatchObject([
    {
      key: `f/${PATH}`,
      versions: [
        { name: PATH, shown: true, kind: 'file', bytes: 6, found: false, author: { nodeId: b.id } },
        { name: copy, shown: true, kind: 'file', bytes: 6, found: false, author: { nodeId: a.id } },
      ],
    },
  ]);
  await expect(c.api.resolveConflict(`f/${PATH}`, 'nobody', undefined)).rejects.toMatchObject({
    code: 'NOT_FOUND',
    message: expect.stringContaining(copy),
  });
  const { kept, dropped } = await c.api.resolveConflict(`f/${PATH}`, copy, items[0]!.etag);
  expect([kept.author.nodeId, kept.bytes, dropped]).toEqual([c.id, 6, 1]);
  // The disk of the host where it was resolved follows at once.
  expect(text(c, PATH)).toBe('from a');
  expect(existsSync(`${c.folder}/${copy}`)).toBe(false);
  await expectFiles(nodes, { [PATH]: 'from a' });
  expect(conflicts(nodes)).toEqual([0, 0, 0]);
  for (const { api } of nodes) {
    const { items: trashed } = await api.trash({ prefix: PATH, after: undefined, limit: 10 });
    expect(trashed.map(({ path }) => path)).toContain(PATH);
  }
  await expect(c.api.resolveConflict(`f/${PATH}`, copy, undefined)).rejects.toMatchObject({ code: 'NOT_FOUND' });
});

test('resolved with an ETag that is not current: nothing changes', async () => {
  await using cluster = new Cluster();
  const { nodes, copy } = await fight(cluster);
  const { etag } = nodes[0].api.conflicts({ after: undefined, limit: 10 }).items[0]!;
  writeFileSync(`${nodes[1].folder}/${PATH}`, 'edited');
  await expectFiles(nodes, { [PATH]: 'edited', [copy]: 'from a' });
  await expect(nodes[0].api.resolveConflict(`f/${PATH}`, PATH, etag)).rejects.toMatchObject({ code: 'STALE_WRITE' });
  await expectFiles(nodes, { [PATH]: 'edited', [copy]: 'from a' });
});

test('resolved on two hosts at once, each for another version: one of the two answers, or both as a conflict again', async () => {
  await using cluster = new Cluster();
  const { nodes, copy } = await fight(cluster);
  const answers = await Promise.allSettled([
    nodes[0].api.resolveConflict(`f/${PATH}`, copy, undefined),
    nodes[2].api.resolveConflict(`f/${PATH}`, PATH, undefined),
  ]);
  expect(answers.filter(({ status }) => status === 'fulfilled').length).toBeGreaterThan(0);
  await expectSame(...nodes);
  const shown = [PATH, ...copiesIn(nodes[1])].map((path) => text(nodes[1], path));
  expect([['from a'], ['from b'], ['from a', 'from b'], ['from b', 'from a']]).toContainEqual(shown);
});
