import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { daemonFilePath, findDaemon, removeDaemonFile, writeDaemonFile } from '../../src/app/daemon-file.ts';

const ours = { http: 'http://127.0.0.1:1234', token: 'secret', pid: process.pid };
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sameroot-daemon-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe('node.json', () => {
  it('is for its user only, also when it replaces another one', () => {
    mkdirSync(join(folder, '.sameroot'));
    writeFileSync(daemonFilePath(folder), '{}', { mode: 0o644 });
    writeDaemonFile(folder, ours);
    expect(statSync(daemonFilePath(folder)).mode & 0o777).toBe(0o600);
    expect(readdirSync(join(folder, '.sameroot'))).toEqual(['node.json']);
    expect(findDaemon(folder, '/')).toEqual({ ...ours, folder });
  });

  it('is found from a folder below, but only if none was named', () => {
    const below = join(folder, 'a', 'b');
    mkdirSync(below, { recursive: true });
    writeDaemonFile(folder, ours);
    expect(findDaemon(undefined, below)).toEqual({ ...ours, folder });
    expect(findDaemon('..', join(folder, 'a'))).toEqual({ ...ours, folder });
    expect(() => findDaemon('.', below)).toThrow(expect.objectContaining({ code: 'NO_DAEMON' }));
  });

  it('of a process that is gone counts for nothing', () => {
    const { pid } = spawnSync(process.execPath, ['--version']);
    writeDaemonFile(folder, { ...ours, pid });
    expect(() => findDaemon(folder, '/')).toThrow(
      expect.objectContaining({ code: 'NO_DAEMON', message: expect.stringContaining(String(pid)) }),
    );
  });

  it.each([
    '',
    '{',
    '[]',
    'null',
    '{"http":"x","token":"t","pid":1}',
    '{"http":"http://h","pid":1}',
    '{"http":"http://h","token":"t","pid":-1}',
  ])('that says %j is no node', (content) => {
    mkdirSync(join(folder, '.sameroot'));
    writeFileSync(daemonFilePath(folder), content);
    expect(() => findDaemon(folder, '/')).toThrow(expect.objectContaining({ code: 'NO_DAEMON' }));
  });

  it('is removed by its own process only', () => {
    writeDaemonFile(folder, { ...ours, pid: process.ppid });
    removeDaemonFile(folder);
    expect(readdirSync(join(folder, '.sameroot'))).toEqual(['node.json']);
    writeDaemonFile(folder, ours);
    removeDaemonFile(folder);
    expect(readdirSync(join(folder, '.sameroot'))).toEqual([]);
    removeDaemonFile(folder);
  });
});
