import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { realClock } from '../../src/app/real-world.ts';
import { SamerootError } from '../../src/base/errors.ts';
import { makeJobs, runJob, type JobInput, type JobName } from '../../src/folder/disk-jobs.ts';
import { DiskThread } from '../../src/folder/disk-thread.ts';
import { realDisk } from '../../src/folder/real-disk.ts';
import { takeTransfer } from '../../src/folder/transfer.ts';

let root: string;
const thread = new DiskThread('read');
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'sameroot-jobs-'));
  mkdirSync(join(root, '.sameroot'));
  writeFileSync(join(root, '.sameroot/share'), '00');
  writeFileSync(join(root, 'a'), 'some bytes');
});
afterAll(async () => {
  await thread[Symbol.asyncDispose]();
  rmSync(root, { recursive: true, force: true });
});

/** What the caller sees, in place and over the thread. */
async function both<K extends JobName>(name: K, input: JobInput<K>): Promise<[unknown, unknown]> {
  const jobs = makeJobs(realDisk, realClock);
  const inPlace = new Promise((resolve) => resolve(runJob(jobs, name, input)));
  const seen = async (outcome: Promise<unknown>): Promise<unknown> => {
    try {
      return { output: await outcome };
    } catch (error) {
      const { code, message } = error as Error & { code: unknown };
      return { code, message, ours: error instanceof SamerootError, path: error instanceof SamerootError ? error.path : undefined };
    }
  };
  return [await seen(inPlace), await seen(thread.call(name, input))];
}

describe('a job', () => {
  it('says the same in place as in a thread', async () => {
    const [inPlace, inThread] = await both('look', { root, paths: ['a', 'b'] });
    expect(inPlace).toEqual(inThread);
    expect(inPlace).toMatchObject({ output: { problems: [] } });
  });

  it('fails the same in place as in a thread: with our code, or with that of the system', async () => {
    const [mismatch, mismatchInThread] = await both('checkMarker', { root, shareId: Uint8Array.of(1) });
    expect(mismatch).toEqual(mismatchInThread);
    expect(mismatch).toMatchObject({ code: 'SHARE_MISMATCH', ours: true });
    const [gone, goneInThread] = await both('stageList', { tmp: '/nowhere' });
    expect(gone).toEqual(goneInThread);
    expect(gone).toMatchObject({ code: 'ENOENT', ours: false });
    const [missing, missingInThread] = await both('applyBatch', {
      name: 'a 1',
      root: '/nowhere',
      tmp: '/nowhere/tmp',
      day: '2026-01-01',
      quarantine: undefined,
      removals: [],
      placements: [],
      touches: [],
      checks: [],
      copies: [],
    });
    expect(missing).toEqual(missingInThread);
    expect(missing).toMatchObject({ code: 'FOLDER_MISSING', ours: true, path: '/nowhere' });
  });

  it('in place leaves no buffers for the next to give away', () => {
    runJob(makeJobs(realDisk, realClock), 'look', { root, paths: ['a'] });
    expect(takeTransfer()).toEqual([]);
  });

  it('has the state of its own table only', () => {
    const [one, other] = [makeJobs(realDisk, realClock), makeJobs(realDisk, realClock)];
    const handle = runJob(one, 'openWalk', { root, rules: '' });
    expect(() => runJob(other, 'walkSlice', { handle, max: 10 })).toThrow(expect.objectContaining({ code: 'CLOSED' }));
    expect(runJob(one, 'walkSlice', { handle, max: 10 }).paths).toEqual(['a']);
  });
});
