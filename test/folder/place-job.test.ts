import { chmodSync, lstatSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { realClock } from '../../src/app/real-world.ts';
import { diskStat } from '../../src/folder/disk-stat.ts';
import type { Disk } from '../../src/folder/disk.ts';
import { IntoTrash } from '../../src/folder/into-trash.ts';
import type { BatchResult } from '../../src/folder/place-batch.ts';
import { PlaceJobs } from '../../src/folder/place-job.ts';
import { realDisk } from '../../src/folder/real-disk.ts';

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'sameroot-place-'));
  mkdirSync(join(root, '.sameroot/tmp'), { recursive: true });
  writeFileSync(at('a'), 'one');
  chmodSync(at('a'), 0o644);
});
afterEach(() => rmSync(root, { recursive: true }));

const at = (path: string): string => join(root, path);

/** Gives `a` another mode; `then`: what happens right after that. */
function changeMode(then: () => void, disk: Partial<Disk> = {}): BatchResult {
  const chmod = (path: string, mode: number): void => {
    realDisk.chmod(path, mode);
    then();
  };
  const whole = { ...realDisk, chmod, ...disk };
  const touch = { path: 'a', was: { kind: 'file', stat: diskStat(lstatSync(at('a'))) }, mode: 0o600, mtimeMs: undefined } as const;
  return new PlaceJobs(whole, new IntoTrash(whole, realClock)).applyBatch({
    name: 'replica 1',
    root,
    tmp: at('.sameroot/tmp'),
    day: '2026-01-01',
    quarantine: undefined,
    removals: [],
    placements: [],
    touches: [{ ...touch, row: Uint8Array.of(1) }],
    checks: [],
    copies: [],
  });
}

test('a change in place was made, also where it can not be looked at any more', () => {
  let changed = false;
  const fail = (): never => {
    throw Object.assign(new Error('EIO'), { code: 'EIO' });
  };
  const lstat: Disk['lstat'] = (path) => (changed && path === at('a') ? fail() : realDisk.lstat(path));
  const unlink: Disk['unlink'] = (path) => (changed && !path.includes('notes-') ? fail() : realDisk.unlink(path));
  const { touches, touched } = changeMode(() => (changed = true), { lstat, unlink });
  expect(touches).toMatchObject([{ status: 'done', stat: { mode: 0o600, ctimeMs: 0 } }]);
  expect(touched).toContain('a');
  expect(new PlaceJobs(realDisk, new IntoTrash(realDisk, realClock)).readNotes({ tmp: at('.sameroot/tmp') })?.notes).toHaveLength(1);
});

test('an edit that comes with a change in place is not taken for what was to be shown: the file is read again', () => {
  const seen = changeMode(() => undefined);
  expect(seen.touches).toEqual([{ status: 'done', stat: diskStat(lstatSync(at('a'))) }]);
  chmodSync(at('a'), 0o644);
  const edited = changeMode(() => writeFileSync(at('a'), 'mine'));
  expect(edited.touches).toMatchObject([{ status: 'done', stat: { ctimeMs: 0 } }]);
});
