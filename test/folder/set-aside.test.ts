import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { describe, expect, test, vi } from 'vitest';
import { realTimers } from '../../src/app/real-world.ts';
import { SamerootError } from '../../src/base/errors.ts';
import { birth } from '../../src/entry/entry.ts';
import {
  asideRows,
  countAside,
  isAside,
  QUARANTINE_FOLDER,
  quarantineName,
  Withheld,
  type WithheldOptions,
} from '../../src/folder/set-aside.ts';
import { ContentIndex } from '../../src/folder/content-index.ts';
import { fileKey } from '../../src/folder/paths.ts';
import { isWithheld } from '../../src/folder/placed.ts';
import { MemoryStore } from '../../src/store/memory-store.ts';
import { bytesOf, World } from './ingest-world.ts';

function withheldOf(world: World): Withheld {
  const { root, replica, gate, access, thread: writeThread, standing, ingest } = world;
  const takeIn: WithheldOptions['takeIn'] = (items) => ingest.takeInWithheld(items);
  return new Withheld({ root, replica, gate, access, writeThread, timers: realTimers, standing, takeIn });
}

describe('while a replica comes back', () => {
  async function returning(files: Readonly<Record<string, string | Buffer>>): Promise<World> {
    const world = await World.make();
    world.standing.quarantine = 'then';
    for (const [path, bytes] of Object.entries(files)) world.write(path, bytes);
    await world.ingest.start();
    return world;
  }

  test('what is found is in the index and in its row, and in no entry', async () => {
    await using world = await returning({ 'd/small': 'small', large: bytesOf(600_000) });
    expect(world.live).toEqual([]);
    expect(world.replica.head.tree.count).toBe(0);
    for (const path of ['d/small', 'large']) {
      const placed = world.placed(path)!;
      expect([isWithheld(placed), placed.owner]).toEqual([true, path]);
      expect(new ContentIndex(world.replica.store).path(placed.content!)).toBe(path);
    }
    // Folders that show nothing are nobody's loss.
    expect(world.placed('d')).toMatchObject({ kind: 'directory', dots: [] });
    expect(isWithheld(world.placed('d')!)).toBe(false);
  });

  test('an edit or a delete of what was withheld is one of the row only', async () => {
    await using world = await returning({ x: 'x', y: 'y' });
    const before = world.placed('x')!.content;
    world.write('x', 'edited');
    rmSync(world.path('y'));
    await world.ingest.scanNow();
    expect(world.placed('x')!.content).not.toEqual(before);
    expect([world.placed('y'), world.live]).toEqual([undefined, []]);
  });

  test('what has come from peers meanwhile is edited as ever', async () => {
    await using world = await returning({ x: 'x' });
    const { content, stat } = world.placed('x')!;
    const value = { kind: 'file', content: content!, bytes: 1, mode: stat.mode, mtimeMs: Math.floor(stat.mtimeMs) } as const;
    await world.replica.commit([{ key: fileKey('y'), next: () => birth(fileKey('y'), value) }]);
    world.write('y', 'y');
    await world.ingest.scanNow();
    expect(world.live).toEqual(['y']);
    expect(world.entry('y')!.versions).toHaveLength(2);
  });

  test('what is just giving way to the peers, and got a second name in the quarantine, is no edit', async () => {
    await using world = await returning({ x: 'x' });
    const { content, stat } = world.placed('x')!;
    const value = { kind: 'file', content: content!, bytes: 9, mode: stat.mode, mtimeMs: 1 } as const;
    await world.replica.commit([{ key: fileKey('x'), next: () => birth(fileKey('x'), value) }]);
    linkSync(world.path('x'), world.path('.sameroot/second-name'));
    await world.ingest.scanNow();
    expect(world.entry('x')!.versions).toHaveLength(1);
    expect(isWithheld(world.placed('x')!)).toBe(true);
  });

  test('where the end fails, at any step, it is made again, and then all is taken in', async () => {
    for (let failing = 0; failing < 4; failing++) {
      await using world = await returning({ x: 'x', y: 'y' });
      const { replica } = world;
      const withheld = withheldOf(world);
      let reads = 0;
      const iterate = vi.spyOn(replica.store, 'iterate').mockImplementation((range) => {
        if (reads++ === failing) throw new SamerootError('IO_ERROR', 'the disk failed');
        return MemoryStore.prototype.iterate.call(replica.store, range);
      });
      await expect(withheld.end('keep', false)).rejects.toMatchObject({ code: 'IO_ERROR' });
      expect(world.standing.quarantine).toBe('then');
      await withheld.end('keep', false);
      expect([world.live, world.standing.quarantine]).toEqual([['x', 'y'], undefined]);
      // What came after the end may have failed as well: asked once more, it has nothing to do.
      await withheld.end('keep', false);
      iterate.mockRestore();
    }
  });

  test('a conflict copy is no new file: peers that were not heard may know that it was decided against', async () => {
    const copy = 'x.conflict-20261123T081502Z-0123abcd-1.txt';
    const files = { [copy]: 'one version', 'x.txt': 'another' };
    {
      await using world = await returning(files);
      mkdirSync(world.path('.sameroot/tmp'));
      await withheldOf(world).end('keep', false);
      expect(world.live).toEqual(['x.txt']);
      expect(readFileSync(world.path(`${QUARANTINE_FOLDER}/then/${copy}`), 'utf8')).toBe('one version');
      expect(world.standing.setAside).toBe(1);
    }
    await using world = await returning(files);
    await withheldOf(world).end('keep', true);
    expect(world.live).toEqual([copy, 'x.txt']);
  });

  test('it is found by an ordinary scan, too, once it is over, if it was changed in between', async () => {
    await using world = await returning({ x: 'x' });
    world.standing.quarantine = undefined;
    writeFileSync(world.path('x'), 'x');
    await world.ingest.scanNow();
    expect(world.live).toEqual(['x']);
  });
});

test('a place in the quarantine', async () => {
  await using world = await World.make();
  expect(quarantineName(Date.UTC(2026, 10, 23, 8, 15, 2, 500))).toBe('2026-11-23T08-15-02Z');
  expect([isAside(`${QUARANTINE_FOLDER}/then/x`), isAside('.sameroot/trash/then/x'), isAside(QUARANTINE_FOLDER)]).toEqual([
    true,
    false,
    false,
  ]);
  const stat = { inode: 1, bytes: 1, mtimeMs: 1, ctimeMs: 1, mode: 0o644 };
  const at = (path: string) => ({ status: 'done', stat: undefined, trashed: { path, stat } }) as const;
  expect(countAside([at(`${QUARANTINE_FOLDER}/then/x`), at('.sameroot/trash/then/x'), { status: 'absent' }])).toBe(1);

  const content = new Uint8Array(33).fill(7);
  const place = `${QUARANTINE_FOLDER}/then/x`;
  await world.replica.store.write(asideRows(content, place), { durable: false });
  expect(new ContentIndex(world.replica.store).path(content)).toBe(place);
});
