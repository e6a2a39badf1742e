/** Many files vanish on one of three hosts: nothing is told to the others before somebody has answered, and the answer holds for all. */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Cluster, connections, contentsOf, expectSame, sameAddress, until, type TestNode } from './cluster.ts';

const FILES = 120;

/** Three hosts with two folders of many files each; on `a` one of them is gone, and the deletes are held. */
async function held(cluster: Cluster): Promise<[TestNode, TestNode, TestNode]> {
  for (let i = 0; i < FILES; i++) {
    cluster.write('a', `data/${i}`, `file ${i}`);
    cluster.write('a', `more/${i}`, `other file ${i}`);
  }
  cluster.write('a', 'kept', 'x');
  const a = await cluster.start('a');
  const [b, c] = await Promise.all([cluster.join('b', a), cluster.join('c', a)]);
  await expectSame(a, b, c);
  rmSync(cluster.path('a', 'data'), { recursive: true });
  await expectHeld(a, FILES + 1);
  return [a, b, c];
}

async function expectHeld({ api }: TestNode, count: number): Promise<void> {
  await api.scan();
  await until(
    'it is held',
    () => api.status().state === 'held',
    () => api.status(),
  );
  const hold = (await api.why('f/data/7')).holds.find(({ what }) => what === 'deletes-held');
  expect(hold).toMatchObject({ code: 'MASS_DELETE_HELD', message: expect.stringContaining(`${count} deletes`) });
}

/** What another host has told by now has arrived, deletes too. */
async function heardFrom(cluster: Cluster, source: string, ...others: readonly string[]): Promise<void> {
  const name = `mark-${readdirSync(cluster.path(source)).length}`;
  cluster.write(source, name, name);
  await until('the mark has arrived', () => others.every((other) => existsSync(cluster.path(other, name))));
}

function filesIn(cluster: Cluster, folder: string, below: string): number {
  return Object.keys(contentsOf(cluster.path(folder))).filter((path) => path.startsWith(`${below}/`)).length;
}

test('accepted: they are gone on all hosts, in the trash of those that did not delete them, and come back from there', async () => {
  await using cluster = new Cluster();
  const [a, b, c] = await held(cluster);
  await heardFrom(cluster, 'a', 'b', 'c');
  // A single delete may belong to them: it waits too.
  rmSync(cluster.path('a', 'kept'));
  await expectHeld(a, FILES + 2);
  await heardFrom(cluster, 'a', 'b', 'c');
  for (const other of ['b', 'c']) expect([filesIn(cluster, other, 'data'), existsSync(cluster.path(other, 'kept'))]).toEqual([FILES, true]);
  expect(await a.api.answerDeletes('accept')).toEqual({ paths: FILES + 2 });
  await expectSame(a, b, c);
  for (const host of ['a', 'b', 'c']) expect([filesIn(cluster, host, 'data'), filesIn(cluster, host, 'more')]).toEqual([0, FILES]);

  const gone = await b.api.why('f/data/7');
  expect(gone).toMatchObject({ state: 'deleted', versions: [], deletions: [{ author: { nodeId: a.id } }], disk: { kind: 'nothing' } });
  expect(gone.trash).toMatchObject([{ path: 'data/7' }]);
  expect((await a.api.why('f/data/7')).trash).toEqual([]);
  const { restored, skipped } = await b.api.restoreTrash({ path: 'data', as: undefined, day: undefined, force: false });
  expect([restored.length, skipped]).toEqual([FILES, []]);
  await expectSame(a, b, c);
  expect(filesIn(cluster, 'c', 'data')).toBe(FILES);
  expect((await b.api.trash({ prefix: 'data/', after: undefined, limit: 1_000 })).items).toEqual([]);
});

test('restored: the files come back where they vanished, and nothing happens anywhere else', async () => {
  await using cluster = new Cluster();
  const [a, b, c] = await held(cluster);
  const roots = [b, c].map(({ api }) => api.status().root);
  expect(await a.api.answerDeletes('restore')).toEqual({ paths: FILES + 1 });
  expect(filesIn(cluster, 'a', 'data')).toBe(FILES);
  await expectSame(a, b, c);
  expect([b, c].map(({ api }) => api.status().root)).toEqual(roots);
  for (const { api } of [b, c]) expect((await api.trash({ prefix: '', after: undefined, limit: 10 })).items).toEqual([]);
});

test('a second mass delete during the hold waits with the first, also over a restart', async () => {
  await using cluster = new Cluster();
  const [a, b, c] = await held(cluster);
  rmSync(cluster.path('a', 'more'), { recursive: true });
  await expectHeld(a, 2 * FILES + 2);
  const address = sameAddress(a);
  await cluster.stop(a);
  const again = await cluster.start('a', address);
  await expectHeld(again, 2 * FILES + 2);
  await until(
    'it is connected again',
    () => connections(again.api.status()) === 2,
    () => again.api.status(),
  );
  await heardFrom(cluster, 'a', 'b', 'c');
  for (const other of ['b', 'c']) expect([filesIn(cluster, other, 'data'), filesIn(cluster, other, 'more')]).toEqual([FILES, FILES]);
  expect(await again.api.answerDeletes('accept')).toEqual({ paths: 2 * FILES + 2 });
  await expectSame(again, b, c);
  for (const host of ['a', 'b', 'c']) expect([filesIn(cluster, host, 'data'), filesIn(cluster, host, 'more')]).toEqual([0, 0]);
});

test('edits of other hosts go on during the hold, and win over the deletes that did not know of them', async () => {
  await using cluster = new Cluster();
  const [a, b, c] = await held(cluster);
  cluster.write('b', 'data/7', 'edited while the deletes were held');
  await heardFrom(cluster, 'b', 'a', 'c');
  expect(await a.api.answerDeletes('accept')).toMatchObject({ paths: expect.any(Number) });
  const files = await expectSame(a, b, c);
  expect(Object.keys(files).filter((path) => path.startsWith('data/'))).toEqual(['data/7']);
});
