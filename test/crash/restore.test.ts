/**
 * An old backup of a folder with its database is put back while the other hosts went on: the host is a new replica, what
 * the others wrote and deleted since stands, and what is edited after the restore is a conflict at most.
 */
import { cpSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { converged, expectIdentical, expectSame, startPair } from './checks.ts';
import { Site, write, type Host } from './hosts.ts';

const TIMEOUT_MS = 300_000;

function read(host: Host, path: string): string {
  return readFileSync(join(host.folder, path), 'utf8');
}

interface Backup {
  /** What came to be there since is not in it. */
  putBack(part?: string): void;
}

function backUp(site: Site, host: Host, preserveTimestamps: boolean): Backup {
  const kept = join(site.base, 'backup');
  cpSync(host.folder, kept, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
  return {
    putBack: (part = '') => {
      rmSync(join(host.folder, part), { recursive: true });
      cpSync(join(kept, part), join(host.folder, part), { recursive: true, preserveTimestamps, verbatimSymlinks: true });
    },
  };
}

/** A backup of `b`, taken while it was stopped, and much that has happened since on both hosts. */
async function agedBackup(
  site: Site,
  preserveTimestamps: boolean,
): Promise<readonly [a: Host, b: Host, backup: Backup, replicaId: string]> {
  const [a, b] = await startPair(site);
  for (const name of ['kept', 'edited', 'deleted', 'rewritten', 'conflict']) write(a, `d/${name}`, `${name} 0`);
  await converged(a, b);
  for (const name of ['kept', 'edited', 'deleted', 'rewritten', 'conflict']) write(b, `d/${name}`, `${name} 1`);
  const [, { replicaId }] = (await converged(a, b)) as [unknown, { replicaId: string }];
  await b.stop();
  const backup = backUp(site, b, preserveTimestamps);
  await b.start();
  // Writes of its own that the backup does not know, and of the other host that replace what the backup knows.
  write(b, 'd/rewritten', 'rewritten 2');
  write(b, 'd/new', 'new');
  write(a, 'd/edited', 'edited 2');
  write(a, 'd/conflict', 'conflict 2');
  rmSync(join(a.folder, 'd/deleted'));
  await expectSame(a, b);
  await b.stop();
  return [a, b, backup, replicaId];
}

describe.each([
  ['with the times of its files', true],
  ['without the times of its files', false],
])('a backup %s', (_, preserveTimestamps) => {
  test(
    'is put back while the host is stopped',
    async () => {
      await using site = new Site();
      const [a, b, backup, replicaId] = await agedBackup(site, preserveTimestamps);
      backup.putBack();
      expect(read(b, 'd/deleted')).toBe('deleted 1');
      await b.start();
      const paths = await expectSame(a, b);
      expect(paths.sort()).toEqual(['d', 'd/conflict', 'd/edited', 'd/kept', 'd/new', 'd/rewritten']);
      expect(['edited', 'rewritten', 'conflict', 'kept', 'new'].map((name) => read(b, `d/${name}`))).toEqual([
        'edited 2',
        'rewritten 2',
        'conflict 2',
        'kept 1',
        'new',
      ]);
      const status = (await b.status())!;
      expect(status.restored).toBe(true);
      expect(status.replicaId).not.toBe(replicaId);

      // It is said once, and the id is kept from now on.
      await b.stop();
      await b.start();
      await expectSame(a, b);
      expect(await b.status()).toMatchObject({ restored: false, replicaId: status.replicaId });
      write(b, 'd/kept', 'kept 2');
      await expectSame(a, b);
      expect(read(a, 'd/kept')).toBe('kept 2');
    },
    TIMEOUT_MS,
  );
});

test(
  'what is edited after the restore, before the others were heard, replaces nothing that was not seen',
  async () => {
    await using site = new Site();
    const [a, b, backup] = await agedBackup(site, true);
    await a.stop();
    backup.putBack();
    await b.start();
    write(b, 'd/conflict', 'edited after the restore');
    write(b, 'd/rewritten', 'rewritten after the restore');
    rmSync(join(b.folder, 'd/edited'));
    await b.call('POST', '/v1/scan');
    await a.start();
    const files = Object.keys(await expectIdentical(a, b));
    // Both versions are there, under two names each; an edit that the delete had not seen stands.
    for (const name of ['conflict', 'rewritten']) {
      const paths = files.filter((path) => path === `d/${name}` || path.startsWith(`d/${name}.conflict-`));
      const texts = paths.map((path) => read(a, path)).sort();
      expect(texts).toEqual([`${name} 2`, name === 'conflict' ? 'edited after the restore' : 'rewritten after the restore'].sort());
    }
    expect(read(a, 'd/edited')).toBe('edited 2');
    expect(files).not.toContain('d/deleted');
    expect((await a.status())!.conflicts).toBe(2);
  },
  TIMEOUT_MS,
);

test(
  'the database alone is put back: what is in the folder is newer, and is no edit of the old',
  async () => {
    await using site = new Site();
    const [a, b, backup, replicaId] = await agedBackup(site, true);
    backup.putBack('.sameroot/db');
    await b.start();
    const paths = await expectSame(a, b);
    expect(paths.sort()).toEqual(['d', 'd/conflict', 'd/edited', 'd/kept', 'd/new', 'd/rewritten']);
    expect(['edited', 'rewritten', 'conflict'].map((name) => read(a, `d/${name}`))).toEqual(['edited 2', 'rewritten 2', 'conflict 2']);
    expect((await b.status())!.replicaId).not.toBe(replicaId);
  },
  TIMEOUT_MS,
);
