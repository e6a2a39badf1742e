import { constants, PerformanceObserver } from 'node:perf_hooks';
import { expect, test } from 'vitest';
import { MIB } from '../../src/base/limits.ts';
import { noteDeadBuffers } from '../../src/net/dead-buffers.ts';

/** Collections of young objects that were asked for, in each of the turns. */
async function collections(turns: readonly number[]): Promise<number> {
  let asked = 0;
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const { kind, flags } = (entry as unknown as { detail: { kind: number; flags: number } }).detail;
      if (kind === constants.NODE_PERFORMANCE_GC_MINOR && flags === constants.NODE_PERFORMANCE_GC_FLAGS_FORCED) asked++;
    }
  });
  observer.observe({ entryTypes: ['gc'] });
  for (const bytes of turns) {
    noteDeadBuffers(bytes);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  observer.disconnect();
  return asked;
}

test('young objects are collected once for 16 MiB, not for every message', async () => {
  expect(await collections(Array.from({ length: 8 }, () => MIB))).toBe(0);
  expect(await collections([8 * MIB])).toBe(1);
  expect(await collections([15 * MIB, 1 * MIB, 40 * MIB])).toBe(2);
});
