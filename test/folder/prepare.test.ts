import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { OPEN, type Disk } from '../../src/folder/disk.ts';
import { openMarker } from '../../src/folder/marker.ts';
import { prepareFolder } from '../../src/folder/prepare.ts';
import { realDisk } from '../../src/folder/real-disk.ts';
import { seededRandom } from './ingest-world.ts';

let root: string;
const at = (path: string): string => join(root, path);
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'sameroot-prepare-'));
});
afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

const prepare = (path: string, disk: Partial<Disk> = {}): void => prepareFolder({ ...realDisk, ...disk }, seededRandom(1), at(path));
const code = (expected: string): unknown => expect.objectContaining({ code: expected });
const refused = (system: string): never => {
  throw Object.assign(new Error(system), { code: system });
};

describe('prepareFolder', () => {
  it('makes what is missing and leaves nothing else', () => {
    prepare('a/b');
    prepare('a/b');
    expect(readdirSync(at('a/b'))).toEqual(['.sameroot']);
    expect(readdirSync(at('a/b/.sameroot'))).toEqual([]);
  });

  it('takes a link to a folder, and no file', () => {
    mkdirSync(at('real'));
    symlinkSync('real', at('link'));
    prepare('link');
    expect(existsSync(at('real/.sameroot'))).toBe(true);
    writeFileSync(at('file'), '');
    expect(() => prepare('file')).toThrow(code('FOLDER_NOT_DIRECTORY'));
    expect(() => prepare('file/below')).toThrow(code('FOLDER_NOT_DIRECTORY'));
  });

  it('refuses a folder inside a shared one', () => {
    openMarker(realDisk, root, Uint8Array.of(1), true);
    expect(() => prepare('a/b')).toThrow(code('FOLDER_NESTED'));
  });

  it('says what is not allowed, or that the disk is full', () => {
    mkdirSync(at('f'));
    const denied = (path: string, flags: number): number => ((flags & OPEN.folder) !== 0 ? refused('EACCES') : realDisk.open(path, flags));
    expect(() => prepare('f', { open: denied, readdir: () => refused('EACCES') })).toThrow(code('FOLDER_UNREADABLE'));
    expect(() => prepare('f', { mkdir: () => refused('EROFS') })).toThrow(code('FOLDER_READ_ONLY'));
    expect(() => prepare('f', { write: () => refused('ENOSPC') })).toThrow(code('DISK_FULL'));
    expect(() => prepare('f', { write: () => refused('EIO') })).toThrow(code('IO_ERROR'));
    expect(readdirSync(at('f/.sameroot'))).toEqual([]);
  });
});

describe('the marker', () => {
  it('is made once, where nothing is known of the folder yet, and tells shares apart', () => {
    const share = Uint8Array.of(1, 2);
    expect(() => openMarker(realDisk, root, share, false)).toThrow(code('FOLDER_MISSING'));
    openMarker(realDisk, root, share, true);
    openMarker(realDisk, root, share, false);
    expect(() => openMarker(realDisk, root, Uint8Array.of(3), true)).toThrow(code('SHARE_MISMATCH'));
  });

  it('is durable, its name too, before a start goes on', () => {
    const flushed: string[] = [];
    const names = new Map<number, string>();
    const disk: Disk = {
      ...realDisk,
      open: (path, flags, mode) => {
        const handle = realDisk.open(path, flags, mode);
        names.set(handle, path);
        return handle;
      },
      flush: (handle, what) => void flushed.push(`${what} of ${names.get(handle)}`),
      rename: (source, target) => {
        flushed.push('renamed');
        realDisk.rename(source, target);
      },
    };
    openMarker(disk, root, Uint8Array.of(1), true);
    expect(flushed).toEqual([`bytes of ${at('.sameroot/share.new')}`, 'renamed', `names of ${at('.sameroot')}`, `names of ${root}`]);
  });
});
