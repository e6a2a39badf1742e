/** The kernel has a limit of watches; here it is two. */
import { mkdirSync } from 'node:fs';
import { describe, expect, it, vi } from 'vitest';
import { silentLog } from '../../src/base/world.ts';
import { Watcher } from '../../src/folder/watch.ts';
import { World } from './ingest-world.ts';

vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>();
  let left = 2;
  const watch = (...args: Parameters<typeof fs.watch>): unknown => {
    if (left-- <= 0) throw Object.assign(new Error('ENOSPC: System limit for number of file watchers reached'), { code: 'ENOSPC' });
    return fs.watch(...args);
  };
  return { ...fs, watch };
});

describe('Watcher at the limit', () => {
  it('says so once and asks for scans instead', async () => {
    await using world = await World.make();
    mkdirSync(world.path('a/b/c/d'), { recursive: true });
    const warnings: string[] = [];
    let overflows = 0;
    using watcher = new Watcher({
      root: world.root,
      thread: world.thread,
      log: { ...silentLog, warn: (message) => warnings.push(message) },
      rules: () => '',
      onPath: () => undefined,
      onOverflow: () => overflows++,
    });
    await watcher.addTree('');
    expect(watcher.size).toBe(2);
    expect(watcher.limited).toBe(true);
    expect(warnings.length).toBe(1);
    expect(overflows).toBe(1);
  });
});
