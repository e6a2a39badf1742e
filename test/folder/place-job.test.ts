import { chmodSync, lstatSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { realClock } from '../../src/app/real-world.ts';
import { diskStat } from '../../src/folder/disk-stat.ts';
import type { Disk, FileStats } from '../../src/folder/disk.ts';
import { IntoTrash } from '../../src/folder/into-trash.ts';
import type { Batch, BatchResult } from '../../src/folder/place-batch.ts';
import { PlaceJobs } from '../../src/folder/place-job.ts';
import { realDisk } from '../../src/folder/real-disk.ts';
import { readSettledLink } from '../../src/folder/settled-link.ts';

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'sameroot-place-'));
  mkdirSync(join(root, '.sameroot/tmp'), { recursive: true });
  writeFileSync(at('a'), 'one');
  chmodSync(at('a'), 0o644);
});
afterEach(() => rmSync(root, { recursive: true }));

const at = (path: string): string => join(root, path);

function apply(disk: Disk, operations: Partial<Batch>): BatchResult {
  return new PlaceJobs(disk, realClock, new IntoTrash(disk, realClock)).applyBatch({
    name: 'replica 1',
    root,
    tmp: at('.sameroot/tmp'),
    day: '2026-01-01',
    quarantine: undefined,
    removals: [],
    placements: [],
    touches: [],
    checks: [],
    copies: [],
    ...operations,
  });
}

/** Gives `a` another mode; `then`: what happens right after that. */
function changeMode(then: () => void, disk: Partial<Disk> = {}): BatchResult {
  const chmod = (path: string, mode: number): void => {
    realDisk.chmod(path, mode);
    then();
  };
  const whole = { ...realDisk, chmod, ...disk };
  const touch = { path: 'a', was: { kind: 'file', stat: diskStat(lstatSync(at('a'))) }, mode: 0o600, mtimeMs: undefined } as const;
  return apply(whole, { touches: [{ ...touch, row: Uint8Array.of(1) }] });
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
  expect(
    new PlaceJobs(realDisk, realClock, new IntoTrash(realDisk, realClock)).readNotes({ tmp: at('.sameroot/tmp') })?.notes,
  ).toHaveLength(1);
});

test('an edit that comes with a change in place is not taken for what was to be shown: the file is read again', () => {
  const seen = changeMode(() => undefined);
  expect(seen.touches).toEqual([{ status: 'done', stat: diskStat(lstatSync(at('a'))) }]);
  chmodSync(at('a'), 0o644);
  const edited = changeMode(() => writeFileSync(at('a'), 'mine'));
  expect(edited.touches).toMatchObject([{ status: 'done', stat: { ctimeMs: 0 } }]);
});

test('a link that a user replaces in the same tick, and that looks the same, is not taken for what was placed', () => {
  const link = {
    path: 'link',
    was: undefined,
    want: { kind: 'symlink', target: Buffer.from('ours') },
    setAside: false,
    row: undefined,
  } as const;
  const replaced = linkDisk(at('link'), 'user');
  expect(apply(replaced, { placements: [link] }).placements).toMatchObject([{ status: 'done', stat: { ctimeMs: 0 } }]);
  rmSync(at('link'));
  expect(apply(realDisk, { placements: [link] }).placements).toMatchObject([{ status: 'done', stat: diskStat(lstatSync(at('link'))) }]);
});

test('a young link is read when its tick is over', () => {
  symlinkSync('first', at('link'));
  expect(readSettledLink({ disk: linkDisk(at('link'), 'other'), clock: realClock }, at('link'))?.target.toString()).toBe('other');
  const gone = { ...realDisk, nextTick: () => rmSync(at('a')) };
  symlinkSync('first', at('young'));
  expect(readSettledLink({ disk: gone, clock: realClock }, at('young'))?.target.toString()).toBe('first');
  const later = { wallMs: () => Date.now() + 1000, monotonicMs: () => 0 };
  const noWait = { ...realDisk, nextTick: () => expect.unreachable() };
  expect(readSettledLink({ disk: noWait, clock: later }, at('young'))?.target.toString()).toBe('first');
  expect(readSettledLink({ disk: realDisk, clock: realClock }, at('none'))).toBeUndefined();
});

/** A user gives the link another target before its tick is over; inode and times are those that it had. */
function linkDisk(path: string, target: string): Disk {
  let before: FileStats | undefined;
  const nextTick = (): void => {
    before ??= realDisk.lstat(path);
    rmSync(path);
    symlinkSync(target, path);
  };
  return { ...realDisk, nextTick, lstat: (asked) => (asked === path && before !== undefined ? before : realDisk.lstat(asked)) };
}
