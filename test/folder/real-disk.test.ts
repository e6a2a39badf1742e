import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { OPEN } from '../../src/folder/disk.ts';
import { RealDiskAccess, realDisk } from '../../src/folder/real-disk.ts';

let root: string;
const at = (path: string): string => join(root, path);
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'sameroot-disk-'));
});
afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

function withOpen<T>(path: string, flags: number, use: (handle: number) => T): T {
  const handle = realDisk.open(path, flags);
  try {
    return use(handle);
  } finally {
    realDisk.close(handle);
  }
}

const code = (expected: string): unknown => expect.objectContaining({ code: expected });

describe('realDisk', () => {
  it('opens as its flags say', () => {
    const create = OPEN.writeOnly | OPEN.create;
    expect(() => realDisk.open(at('f'), OPEN.readOnly)).toThrow(code('ENOENT'));
    withOpen(at('f'), create, (handle) => expect(realDisk.write(handle, Buffer.from('abc'), 1, 2, 0)).toBe(2));
    expect(readFileSync(at('f'), 'utf8')).toBe('bc');
    expect(() => realDisk.open(at('f'), create | OPEN.exclusive)).toThrow(code('EEXIST'));
    withOpen(at('f'), OPEN.readWrite, (handle) => {
      const target = new Uint8Array(4);
      expect(realDisk.read(handle, target, 1, 3, 0)).toBe(2);
      expect([...target]).toEqual([0, 98, 99, 0]);
      realDisk.truncate(handle, 5);
      expect(realDisk.fstat(handle).size).toBe(5);
    });
    withOpen(at('f'), OPEN.readOnly, (handle) => expect(() => realDisk.write(handle, Buffer.from('x'), 0, 1, 0)).toThrow(code('EBADF')));
    withOpen(at('f'), OPEN.writeOnly | OPEN.truncate, () => expect(statSync(at('f')).size).toBe(0));
    symlinkSync('f', at('l'));
    expect(() => realDisk.open(at('l'), OPEN.readOnly | OPEN.noFollow)).toThrow(code('ELOOP'));
    expect(() => realDisk.open(at('f'), OPEN.readOnly | OPEN.folder)).toThrow(code('ENOTDIR'));
    withOpen(at(''), OPEN.readOnly | OPEN.folder, (handle) => expect(() => realDisk.flush(handle, 'names')).not.toThrow());
  });

  it('lists names, folders among them, and bytes', () => {
    mkdirSync(at('d'));
    writeFileSync(at('f'), '');
    symlinkSync('d', at('l'));
    expect(realDisk.readdir(root).toSorted()).toEqual(['d', 'f', 'l']);
    expect(realDisk.subfolders(root)).toEqual(['d']);
    expect(realDisk.readdirBytes(root).map(String).toSorted()).toEqual(['d', 'f', 'l']);
    expect(Buffer.from(realDisk.readlink(at('l'))).toString()).toBe('d');
    expect(realDisk.lstat(at('l'))!.isSymbolicLink()).toBe(true);
    expect(realDisk.lstat(at('nothing'))).toBeUndefined();
    expect(() => realDisk.lstat(at('f/x'))).toThrow(code('ENOTDIR'));
  });

  it('copies over what is there, or refuses to', () => {
    writeFileSync(at('a'), 'a');
    writeFileSync(at('b'), 'b');
    expect(() => realDisk.copyFile(at('a'), at('b'), { exclusive: true })).toThrow(code('EEXIST'));
    realDisk.copyFile(at('a'), at('b'), { exclusive: false });
    expect(readFileSync(at('b'), 'utf8')).toBe('a');
    realDisk.link(at('a'), at('c'));
    expect(realDisk.lstat(at('c'))!.nlink).toBe(2);
    realDisk.removeTree(at('nothing'));
    realDisk.removeTree(root);
    expect(() => readdirSync(root)).toThrow(code('ENOENT'));
  });

  it('stamps what is changed after a tick with another time', () => {
    writeFileSync(at('f'), '1');
    const before = realDisk.lstat(at('f'))!.ctimeMs;
    realDisk.nextTick();
    writeFileSync(at('f'), '2');
    expect(realDisk.lstat(at('f'))!.ctimeMs).toBeGreaterThan(before);
  });

  it('flushes later, with the handle open until it is done, and tells of an error', async () => {
    writeFileSync(at('f'), 'x');
    const handle = realDisk.open(at('f'), OPEN.readOnly);
    expect(await new Promise((resolve) => realDisk.flushLater(handle, resolve))).toBeUndefined();
    realDisk.close(handle);
    expect(await new Promise((resolve) => realDisk.flushLater(1_000_000, resolve))).toMatchObject({ code: 'EBADF' });
  });

  it('knows the space', () => {
    const { totalBytes, freeBytes } = realDisk.space(root);
    expect(freeBytes).toBeGreaterThan(0);
    expect(totalBytes).toBeGreaterThanOrEqual(freeBytes);
  });
});

describe('RealDiskAccess.makeDurable', () => {
  it('takes few and many files and folders, and leaves out what is gone or another thing', async () => {
    const access = new RealDiskAccess();
    mkdirSync(at('d'));
    symlinkSync('nowhere', at('d/link'));
    const names = Array.from({ length: 40 }, (_, index) => `d/${index}`);
    for (const name of names) writeFileSync(at(name), name);
    await access.makeDurable(root, [...names.slice(0, 3), 'd/gone', 'd/link', 'd/1/below'], ['', 'd', 'gone']);
    await access.makeDurable(root, [...names, 'd/gone'], ['', 'd']);
  });

  it('says so when the file system can not be flushed', async () => {
    const many = Array.from({ length: 40 }, (_, index) => `${index}`);
    const flushed = new RealDiskAccess().makeDurable(at('nowhere'), many, []);
    await expect(flushed).rejects.toMatchObject({ code: 'IO_ERROR', path: at('nowhere') });
  });
});
