/** The kernel has a limit of watches; here it is two. */
import { mkdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { realTimers } from '../../src/app/real-world.ts';
import { silentLog } from '../../src/base/world.ts';
import type { FolderWatch } from '../../src/folder/disk.ts';
import { RealDiskAccess } from '../../src/folder/real-disk.ts';
import { Watcher } from '../../src/folder/watch.ts';
import { World } from './ingest-world.ts';

/** Gives two watches. */
class ScarceWatches extends RealDiskAccess {
  #left = 2;

  override watch(...args: Parameters<RealDiskAccess['watch']>): FolderWatch {
    if (this.#left-- <= 0) throw Object.assign(new Error('ENOSPC: System limit for number of file watchers reached'), { code: 'ENOSPC' });
    return super.watch(...args);
  }
}

describe('Watcher at the limit', () => {
  it('says so once and asks for scans instead', async () => {
    await using world = await World.make();
    mkdirSync(world.path('a/b/c/d'), { recursive: true });
    const warnings: string[] = [];
    let overflows = 0;
    using watcher = new Watcher({
      root: world.root,
      access: new ScarceWatches(),
      thread: world.thread,
      timers: realTimers,
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
