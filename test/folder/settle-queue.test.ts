import { describe, expect, it } from 'vitest';
import { DIRTY_PATHS_MAX } from '../../src/base/limits.ts';
import { SettleQueue } from '../../src/folder/settle-queue.ts';

describe('SettleQueue', () => {
  it('gives a path once it has been quiet', () => {
    const queue = new SettleQueue(100);
    queue.event('a', 0);
    queue.event('b', 40);
    expect(queue.event('a', 60)).toBe(60);
    expect(queue.nextDueMs).toBe(140);
    expect(queue.take(139)).toEqual({ paths: [], everything: false });
    expect(queue.take(150)).toEqual({ paths: ['b'], everything: false });
    expect(queue.has('a')).toBe(true);
    expect(queue.take(160)).toEqual({ paths: ['a'], everything: false });
    expect(queue.nextDueMs).toBeUndefined();
    expect(queue.event('a', 200)).toBe(0);
  });

  it('asks for a look at everything rather than to grow without bound', () => {
    const queue = new SettleQueue(100);
    for (let i = 0; i <= DIRTY_PATHS_MAX; i++) queue.event(`${i}`, 0);
    expect(queue.size).toBe(DIRTY_PATHS_MAX);
    const { paths, everything } = queue.take(100);
    expect(everything).toBe(true);
    expect(paths.length).toBe(DIRTY_PATHS_MAX);
    expect(queue.take(300)).toEqual({ paths: [], everything: false });
  });

  it('looks at everything a settle time after the loss, however long events go on', () => {
    const queue = new SettleQueue(100);
    queue.overflow(0);
    queue.overflow(90);
    expect(queue.nextDueMs).toBe(100);
    expect(queue.take(100).everything).toBe(true);
  });
});
