import { expect, test } from 'vitest';
import { SamerootError } from '../../src/base/errors.ts';
import { silentLog, type Timers } from '../../src/base/world.ts';
import { FirstRead } from '../../src/folder/first-read.ts';

/** Timers that the test lets go off. */
class HandTimers implements Timers {
  readonly waiting: (() => void)[] = [];
  after(_afterMs: number, callback: () => void): { cancel(): void } {
    this.waiting.push(callback);
    return { cancel: () => void this.waiting.splice(this.waiting.indexOf(callback), 1) };
  }
  every(): never {
    throw new Error('not used');
  }
  soon(): never {
    throw new Error('not used');
  }
}

function failing(times: number): { read: () => Promise<void>; attempts: () => number } {
  let attempts = 0;
  const read = async (): Promise<void> => {
    await Promise.resolve();
    if (++attempts <= times) throw new SamerootError('IO_ERROR', `attempt ${attempts}`);
  };
  return { read, attempts: () => attempts };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('is tried again until it is through; who asks meanwhile hears what is wrong', async () => {
  const timers = new HandTimers();
  const { read, attempts } = failing(2);
  const firstRead = new FirstRead({ read, timers, log: silentLog });
  const running = firstRead.run();
  await expect(firstRead.through()).rejects.toThrow('attempt 1');
  expect([firstRead.isThrough, firstRead.failure?.message]).toEqual([false, 'attempt 1']);
  await turn();
  timers.waiting.shift()!();
  await turn();
  await expect(firstRead.through()).rejects.toThrow('attempt 2');
  timers.waiting.shift()!();
  await running;
  await firstRead.through();
  expect([firstRead.isThrough, firstRead.failure, attempts(), timers.waiting.length]).toEqual([true, undefined, 3, 0]);
});

test('ends when it is closed, in a pause as well as in an attempt', async () => {
  for (const closeIn of ['attempt', 'pause']) {
    const timers = new HandTimers();
    const { read, attempts } = failing(Infinity);
    const firstRead = new FirstRead({ read, timers, log: silentLog });
    const running = firstRead.run();
    if (closeIn === 'pause') await turn();
    firstRead.close();
    await expect(running).rejects.toThrow('attempt 1');
    expect([attempts(), timers.waiting.length]).toEqual([1, 0]);
  }
});
