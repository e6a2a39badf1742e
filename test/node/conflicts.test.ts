/** Edits on both sides while apart: no edit is lost, and both hosts come to the same view by themselves. */
import { existsSync, readFileSync, rmSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { Cluster, converged, expectSame, sameAddress, someBytes, type TestNode } from './cluster.ts';

/** Stops both, changes the folders as `change` says, starts both again. */
async function apart(cluster: Cluster, [a, b]: readonly [TestNode, TestNode], change: () => void): Promise<[TestNode, TestNode]> {
  const address = sameAddress(a);
  await cluster.stop(a, b);
  change();
  return [await cluster.start('a', address), await cluster.start('b')];
}

/** Conflict copies of a file, by their names. */
function copiesOf(files: Readonly<Record<string, string>>, name: string): string[] {
  return Object.keys(files).filter((path) => path !== name && path.startsWith(name.replace(/\.[^.]*$/, '.conflict-')));
}

describe('the same file on both sides', () => {
  test('both edited: one root, one winner, the other beside it as the same copy on both hosts', async () => {
    await using cluster = new Cluster();
    cluster.write('a', 'notes.txt', 'base');
    const pair = await cluster.pair();
    await converged(...pair);
    const [a, b] = await apart(cluster, pair, () => {
      cluster.write('a', 'notes.txt', 'edited by a');
      cluster.write('b', 'notes.txt', 'edited by b');
    });
    const files = await expectSame(a, b);
    const copies = copiesOf(files, 'notes.txt');
    expect(copies).toHaveLength(1);
    expect(copies[0]).toMatch(/^notes\.conflict-\d{8}T\d{6}Z-[0-9a-f]{8}\.txt$/);
    const texts = ['notes.txt', copies[0]!].map((path) => readFileSync(cluster.path('b', path), 'utf8'));
    expect(texts.sort()).toEqual(['edited by a', 'edited by b']);
    expect([a, b].map(({ api }) => api.status().conflicts)).toEqual([1, 1]);
    // Restarting changes nothing.
    const again = await apart(cluster, [a, b], () => {});
    expect(await expectSame(...again)).toEqual(files);
  });

  test('deleting the copy ends the conflict; so does editing it', async () => {
    await using cluster = new Cluster();
    cluster.write('a', 'one.txt', 'base');
    cluster.write('a', 'two.txt', 'base');
    const pair = await cluster.pair();
    await converged(...pair);
    const [a, b] = await apart(cluster, pair, () => {
      for (const name of ['one.txt', 'two.txt']) {
        cluster.write('a', name, `${name} by a`);
        cluster.write('b', name, `${name} by b`);
      }
    });
    const files = await expectSame(a, b);
    const winners = ['one.txt', 'two.txt'].map((name) => readFileSync(cluster.path('a', name), 'utf8'));
    unlinkSync(cluster.path('a', copiesOf(files, 'one.txt')[0]!));
    const kept = copiesOf(files, 'two.txt')[0]!;
    writeFileSync(cluster.path('b', kept), 'a file of its own now');
    const after = await expectSame(a, b);
    expect(Object.keys(after).sort()).toEqual(['one.txt', kept, 'two.txt'].sort());
    expect([a, b].map(({ api }) => api.status().conflicts)).toEqual([0, 0]);
    expect(['one.txt', 'two.txt'].map((name) => readFileSync(cluster.path('b', name), 'utf8'))).toEqual(winners);
    expect(readFileSync(cluster.path('a', kept), 'utf8')).toBe('a file of its own now');
  });

  test('editing the winner leaves the copy alone', async () => {
    await using cluster = new Cluster();
    cluster.write('a', 'x.txt', 'base');
    const pair = await cluster.pair();
    await converged(...pair);
    const [a, b] = await apart(cluster, pair, () => {
      cluster.write('a', 'x.txt', 'by a');
      cluster.write('b', 'x.txt', 'by b');
    });
    const files = await expectSame(a, b);
    const [copy] = copiesOf(files, 'x.txt');
    const text = readFileSync(cluster.path('a', copy!), 'utf8');
    writeFileSync(cluster.path('b', 'x.txt'), 'the winner, edited');
    const after = await expectSame(a, b);
    expect(copiesOf(after, 'x.txt')).toEqual([copy]);
    expect(readFileSync(cluster.path('a', copy!), 'utf8')).toBe(text);
    expect(readFileSync(cluster.path('a', 'x.txt'), 'utf8')).toBe('the winner, edited');
  });

  test('both wrote the same bytes: no conflict', async () => {
    await using cluster = new Cluster();
    cluster.write('a', 'x.txt', 'base');
    const pair = await cluster.pair();
    await converged(...pair);
    const [a, b] = await apart(cluster, pair, () => {
      cluster.write('a', 'x.txt', 'the same idea');
      cluster.write('b', 'x.txt', 'the same idea');
    });
    expect(Object.keys(await expectSame(a, b))).toEqual(['x.txt']);
    expect([a, b].map(({ api }) => api.status().conflicts)).toEqual([0, 0]);
  });

  test('an edit beats a delete on the other side', async () => {
    await using cluster = new Cluster();
    for (const name of ['a-edits.txt', 'b-edits.txt', 'folder/kept.txt', 'folder/gone.txt']) cluster.write('a', name, 'base');
    const pair = await cluster.pair();
    await converged(...pair);
    const [a, b] = await apart(cluster, pair, () => {
      cluster.write('a', 'a-edits.txt', 'edited');
      rmSync(cluster.path('b', 'a-edits.txt'));
      cluster.write('b', 'b-edits.txt', 'edited');
      rmSync(cluster.path('a', 'b-edits.txt'));
      rmSync(cluster.path('a', 'folder'), { recursive: true });
      cluster.write('b', 'folder/kept.txt', 'edited');
      cluster.write('b', 'folder/new.txt', 'new');
    });
    const files = await expectSame(a, b);
    expect(Object.keys(files).sort()).toEqual(['a-edits.txt', 'b-edits.txt', 'folder', 'folder/kept.txt', 'folder/new.txt']);
    expect(readFileSync(cluster.path('a', 'b-edits.txt'), 'utf8')).toBe('edited');
  });

  test('deleted on both sides, and written anew on one', async () => {
    await using cluster = new Cluster();
    cluster.write('a', 'both', 'x');
    cluster.write('a', 'back', 'x');
    const pair = await cluster.pair();
    await converged(...pair);
    const [a, b] = await apart(cluster, pair, () => {
      for (const side of ['a', 'b']) for (const name of ['both', 'back']) rmSync(cluster.path(side, name));
      cluster.write('b', 'back', 'written anew');
    });
    expect(Object.keys(await expectSame(a, b))).toEqual(['back']);
    expect(readFileSync(cluster.path('a', 'back'), 'utf8')).toBe('written anew');
  });

  test('a file on one side, a folder of the same name on the other', async () => {
    await using cluster = new Cluster();
    const pair = await cluster.pair();
    await converged(...pair);
    const [a, b] = await apart(cluster, pair, () => {
      cluster.write('a', 'name', 'a file');
      cluster.write('b', 'name/inside', 'in a folder');
    });
    // What wins depends on the stamps. Nothing may be lost, and roots must be equal.
    await converged(a, b);
    for (const { folder } of [a, b]) {
      const isFile = existsSync(`${folder}/name`) && !existsSync(`${folder}/name/inside`);
      expect(isFile || readFileSync(`${folder}/name/inside`, 'utf8') === 'in a folder').toBe(true);
    }
    expect(a.api.list({ prefix: 'f/', after: undefined, limit: 10 })).toEqual(b.api.list({ prefix: 'f/', after: undefined, limit: 10 }));
  });

  test('three hosts edit one file while apart', async () => {
    await using cluster = new Cluster();
    cluster.write('a', 'x.txt', 'base');
    const [a, b] = await cluster.pair();
    const c = await cluster.join('c', a);
    await converged(a, b, c);
    const addresses = [a, b, c].map(sameAddress);
    await cluster.stop(a, b, c);
    for (const name of ['a', 'b', 'c']) cluster.write(name, 'x.txt', `by ${name}`);
    const again = [];
    for (const [index, name] of ['a', 'b', 'c'].entries()) again.push(await cluster.start(name, addresses[index]));
    const files = await expectSame(...again);
    expect(copiesOf(files, 'x.txt')).toHaveLength(2);
    const texts = Object.keys(files).map((path) => readFileSync(cluster.path('b', path), 'utf8'));
    expect(texts.sort()).toEqual(['by a', 'by b', 'by c']);
  });
});

describe('hosts that were filled before they met', () => {
  test('with the same data: equal roots at once, and no chunk moves', async () => {
    await using cluster = new Cluster();
    const mtime = new Date('2026-01-01T00:00:00.250Z');
    for (const side of ['a', 'b']) {
      for (let i = 0; i < 200; i++) {
        cluster.write(side, `data/${i % 10}/${i}.bin`, someBytes(5_000 + i, i));
        utimesSync(cluster.path(side, `data/${i % 10}/${i}.bin`), mtime, mtime);
      }
      cluster.write(side, 'large.bin', someBytes(2_000_000, 999));
      utimesSync(cluster.path(side, 'large.bin'), mtime, mtime);
    }
    const [a, b] = await cluster.pair();
    await expectSame(a, b);
    // The greeting, the member records and a walk through them: far below what 3 MB of contents would be.
    expect(a.api.status().peers[0]!.receivedBytes).toBeLessThan(60_000);
    expect(b.api.status().peers[0]!.receivedBytes).toBeLessThan(60_000);
    expect(b.api.status().progress.fetch.bytes).toBe(0);
    const versions = a.api.list({ prefix: 'f/', after: undefined, limit: 1_000 }).items.map((item) => item.versions);
    expect(new Set(versions)).toEqual(new Set([1]));
  });

  test('with different data: the union, and both versions of what differs', async () => {
    await using cluster = new Cluster();
    cluster.write('a', 'common/x.txt', 'a has this');
    cluster.write('b', 'common/x.txt', 'b has that');
    for (let i = 0; i < 50; i++) {
      cluster.write('a', `a/${i}`, `a ${i}`);
      cluster.write('b', `b/${i}`, `b ${i}`);
    }
    const [a, b] = await cluster.pair();
    const files = await expectSame(a, b);
    expect(copiesOf(files, 'common/x.txt')).toHaveLength(1);
    expect(Object.keys(files)).toHaveLength(3 + 100 + 2);
  });
});
