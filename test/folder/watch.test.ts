import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { realTimers } from '../../src/app/real-world.ts';
import { silentLog } from '../../src/base/world.ts';
import { Watcher } from '../../src/folder/watch.ts';
import { until, World } from './ingest-world.ts';

async function watching(folders: readonly string[]): Promise<{ world: World; watcher: Watcher; seen: Set<string> }> {
  const world = await World.make();
  for (const folder of folders) mkdirSync(world.path(folder), { recursive: true });
  const seen = new Set<string>();
  const watcher = new Watcher({
    root: world.root,
    access: world.access,
    thread: world.thread,
    timers: realTimers,
    log: silentLog,
    rules: () => 'skip/\n',
    onPath: (path) => seen.add(path),
    onOverflow: () => seen.add('*'),
  });
  await watcher.addTree('');
  return { world, watcher, seen };
}

describe('Watcher', () => {
  it('watches every folder but ours and the ignored', async () => {
    const { world, watcher } = await watching(['a/b/c', 'skip/x', '.sameroot/db']);
    await using _ = world;
    using __ = watcher;
    expect(watcher.size).toBe(4);
    expect(watcher.watches('a/b/c')).toBe(true);
  });

  it('names what happens in fresh nested folders', async () => {
    const { world, watcher, seen } = await watching([]);
    await using _ = world;
    using __ = watcher;
    mkdirSync(world.path('n/e/s/t'), { recursive: true });
    await until(() => watcher.watches('n/e/s/t'));
    // What was there before its watch is below a path that was named after the watch was set.
    expect(seen.has('n')).toBe(true);
    writeFileSync(world.path('n/e/s/t/file'), 'x');
    await until(() => seen.has('n/e/s/t/file'));
  });

  it('follows folders that are moved, and lets go of those that are gone', async () => {
    const { world, watcher, seen } = await watching(['a/b', 'c']);
    await using _ = world;
    using __ = watcher;
    renameSync(world.path('a'), world.path('c/a'));
    await until(() => watcher.watches('c/a/b') && !watcher.watches('a') && !watcher.watches('a/b'));
    writeFileSync(world.path('c/a/b/file'), 'x');
    await until(() => seen.has('c/a/b/file'));
    rmSync(world.path('c'), { recursive: true });
    await until(() => watcher.size === 1);
  });

  it('says nothing of our own folder, and nothing once it is closed', async () => {
    const { world, watcher, seen } = await watching([]);
    await using _ = world;
    writeFileSync(world.path('.sameroot/x'), 'x');
    writeFileSync(world.path('y'), 'y');
    await until(() => seen.has('y'));
    expect([...seen]).toEqual(['y']);
    watcher[Symbol.dispose]();
    expect(watcher.size).toBe(0);
    await watcher.addTree('');
    expect(watcher.size).toBe(0);
  });
});
