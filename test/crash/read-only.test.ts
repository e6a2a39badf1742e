/**
 * A file system that becomes read-only under a running node: the node says so by a code, nothing is lost, no other host
 * is harmed. Where only the folder is on it, the node goes on by itself once it can be written again; where the
 * database is on it too, after a restart.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { expectSame, expectUnharmed } from './checks.ts';
import { MIB, Site, until, write, type Host } from './hosts.ts';
import { Mount } from './mounts.ts';

const DISK_BYTES = 64 * MIB;
const TIMEOUT_MS = 300_000;
const [noTmpfs, noExt4] = [Mount.obstacle('tmpfs'), Mount.obstacle('ext4')];

const named = (name: string, obstacle: string | undefined): string => (obstacle === undefined ? name : `${name} (${obstacle})`);

async function saysReadOnly(host: Host): Promise<void> {
  await until(
    'status says that it is read-only',
    async () => {
      const status = await host.status();
      return status?.state === 'degraded' && status.errors.some(({ code }) => code === 'FOLDER_READ_ONLY');
    },
    () => host.status(),
  );
}

/** Done once on the other host, with the disk of `b` as it was. */
async function changeElsewhere(a: Host): Promise<void> {
  write(a, 'edited.txt', 'edited elsewhere');
  write(a, 'new/file.txt', 'new elsewhere');
  await a.call('POST', '/v1/scan');
}

function expectUntouched(b: Host): void {
  expect(readFileSync(join(b.folder, 'edited.txt'), 'utf8')).toBe('as it was');
  expect(existsSync(join(b.folder, 'new/file.txt'))).toBe(false);
}

const record = { path: '/v1/records/manifest', value: 'version 1' };

async function putRecord(host: Host, value: string): Promise<number> {
  return (await host.ask('PUT', record.path, value)).status;
}

describe('a file system becomes read-only', () => {
  test.skipIf(noTmpfs !== undefined)(named('the folder only: it goes on by itself', noTmpfs), { timeout: TIMEOUT_MS }, async () => {
    using mount = new Mount('tmpfs', DISK_BYTES);
    await using site = new Site();
    const [a, b] = [site.host('a'), site.hostAt(join(mount.path, 'b'))];
    await a.start();
    write(a, 'edited.txt', 'as it was');
    await b.start(...(await a.joinArguments()), '--data', join(site.base, 'data of b'));
    await expectSame(a, b);
    // While a file is open for writing the system refuses.
    await until('it is read-only', () => mount.remount('ro'));
    await changeElsewhere(a);
    await saysReadOnly(b);
    expectUntouched(b);
    await expectUnharmed(a);
    // The database is elsewhere: records are taken, and reach the other host.
    expect(await putRecord(b, record.value)).toBe(200);
    await until('the record is there', async () => (await a.ask('GET', record.path)).text === record.value);
    expect(mount.remount('rw')).toBe(true);
    expect((await expectSame(a, b)).sort()).toEqual(['edited.txt', 'new', 'new/file.txt']);
    expect(readFileSync(join(b.folder, 'edited.txt'), 'utf8')).toBe('edited elsewhere');
  });

  test.skipIf(noExt4 !== undefined)(
    named('everything, after an error of the disk: it refuses writes, and after a restart all is there', noExt4),
    { timeout: TIMEOUT_MS },
    async () => {
      using mount = new Mount('ext4', DISK_BYTES);
      await using site = new Site();
      const [a, b] = [site.host('a'), site.hostAt(join(mount.path, 'b'))];
      await a.start();
      write(a, 'edited.txt', 'as it was');
      await b.start(...(await a.joinArguments()));
      await expectSame(a, b);
      write(b, 'own.txt', 'written here');
      expect(await putRecord(b, record.value)).toBe(200);
      await b.call('POST', '/v1/scan');
      expect(mount.remount('abort')).toBe(true);
      expect(await putRecord(b, 'version 2')).not.toBe(200);
      await changeElsewhere(a);
      await saysReadOnly(b);
      expectUntouched(b);
      await expectUnharmed(a);
      await b.kill();
      mount.unmount();
      mount.mount();
      await b.start();
      expect((await expectSame(a, b)).sort()).toEqual(['edited.txt', 'new', 'new/file.txt', 'own.txt']);
      expect(readFileSync(join(a.folder, 'own.txt'), 'utf8')).toBe('written here');
      for (const host of [a, b]) expect((await host.ask('GET', record.path)).text).toBe(record.value);
    },
  );
});
