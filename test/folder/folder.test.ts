import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { realWorld } from '../../src/app/real-world.ts';
import { byteKey } from '../../src/base/bytes.ts';
import { silentLog } from '../../src/base/world.ts';
import { singleChunk } from '../../src/content/content-list.ts';
import { hash } from '../../src/content/hash.ts';
import { write, type Value } from '../../src/entry/entry.ts';
import { startDiskThreads } from '../../src/folder/disk-threads.ts';
import { Folder } from '../../src/folder/folder.ts';
import { openMarker } from '../../src/folder/marker.ts';
import { fileKey } from '../../src/folder/paths.ts';
import { prepareFolder } from '../../src/folder/prepare.ts';
import { RealDiskAccess } from '../../src/folder/real-disk.ts';
import { Standing } from '../../src/folder/standing.ts';
import { todoRow } from '../../src/folder/todo.ts';
import { Replica } from '../../src/replica/replica.ts';
import { MemoryStore } from '../../src/store/memory-store.ts';
import { seededRandom, smallShare } from '../replica/world.ts';

test('what can not be shown at the start is handed on once the folder has been read', async () => {
  const root = mkdtempSync(join(tmpdir(), 'sameroot-folder-'));
  const world = realWorld(silentLog);
  const store = new MemoryStore();
  const access = new RealDiskAccess();
  const replica = await Replica.create(store, smallShare(), world.clock, seededRandom(1));
  const key = fileKey('nowhere');
  const value: Value = { kind: 'file', content: singleChunk(hash('chunk', new Uint8Array(5))), bytes: 5, mode: 0o644, mtimeMs: 1 };
  await replica.commit([
    {
      key,
      next: (_current, author) => write(undefined, [], author.dot(), author.stamp(), value),
      rows: () => [todoRow(key)],
    },
  ]);
  prepareFolder(access.disk, world.random, root);
  openMarker(access.disk, root, replica.share.id, true);
  const options = { root, replica, store, world, access, settleMs: 20, rescanMs: 60_000, minFreeBytes: 0 };
  const folder = await Folder.open({ ...options, threads: startDiskThreads(world.timers, 2), standing: new Standing() });
  const handedOn: string[][] = [];
  folder.restore = async (keys) => {
    expect(folder.scanning).toBe(true);
    handedOn.push(keys.map(byteKey));
  };
  await folder.start();
  expect(handedOn).toEqual([[byteKey(key)]]);
  expect(folder.scanning).toBe(false);
  await folder[Symbol.asyncDispose]();
  rmSync(root, { recursive: true });
});
