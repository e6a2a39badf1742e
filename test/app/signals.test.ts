import { afterEach, describe, expect, it, vi } from 'vitest';
import { onStopSignal } from '../../src/app/signals.ts';

afterEach(() => vi.restoreAllMocks());

describe('a signal to stop', () => {
  it('is honoured in order at first, and at once the second time', async () => {
    const exit = vi.spyOn(process, 'exit').mockImplementation(() => undefined as never);
    const now = vi.spyOn(performance, 'now').mockReturnValue(1000);
    using stop = onStopSignal();
    process.emit('SIGTERM', 'SIGTERM');
    expect(await stop.requested).toBe(143);
    now.mockReturnValue(1001);
    process.emit('SIGINT', 'SIGINT');
    expect(exit, 'npm passes on what the terminal has sent already').not.toHaveBeenCalled();
    now.mockReturnValue(2000);
    process.emit('SIGINT', 'SIGINT');
    expect(exit).toHaveBeenCalledWith(130);
  });

  it('is left to others when it is over', () => {
    const before = process.listenerCount('SIGTERM');
    {
      using _stop = onStopSignal();
      expect(process.listenerCount('SIGTERM')).toBe(before + 1);
    }
    expect(process.listenerCount('SIGTERM')).toBe(before);
  });
});
