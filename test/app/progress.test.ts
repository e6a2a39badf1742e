import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { showProgress } from '../../src/app/progress.ts';
import { FakeNode, STATUS } from './fake-node.ts';
import { recorder } from './recorder.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('progress without a terminal', () => {
  it('is one line for each state that lasts, and none while it works', () => {
    const node = new FakeNode();
    const lines: string[] = [];
    node.current = { ...STATUS, state: 'scanning' };
    const progress = showProgress(node, recorder(), (line) => lines.push(line.split(' ')[0]!));
    const after = (status: typeof STATUS) => {
      node.current = status;
      vi.advanceTimersByTime(2000);
    };
    after({ ...STATUS, state: 'alone' });
    after({ ...STATUS, state: 'syncing', pending: { scan: 0, fetch: 7 } });
    after({ ...STATUS, state: 'in-sync' });
    after({ ...STATUS, state: 'in-sync' });
    after({ ...STATUS, state: 'in-sync', root: 'ff'.repeat(32) });
    progress[Symbol.dispose]();
    after({ ...STATUS, state: 'held' });
    expect(lines).toEqual(['ALONE', 'IN', 'IN']);
  });
});
