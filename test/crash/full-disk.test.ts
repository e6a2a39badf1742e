/**
 * A disk that fills up, really: by what comes from peers, and by the user of the host. The node says so, tears nothing,
 * harms no other host, and goes on by itself when there is room again.
 */
import { closeSync, existsSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { NodeStatus } from '../../src/node/node-api.ts';
import { someBytes } from '../node/cluster.ts';
import { converged, expectSame, expectUnharmed } from './checks.ts';
import { MIB, Site, until, write, type Host } from './hosts.ts';
import { Mount } from './mounts.ts';

const DISK_BYTES = 192 * MIB;
/** What is free when the trouble begins. */
const ROOM_BYTES = 40 * MIB;
const FILE_BYTES = 6 * MIB;
const FILES = 12;
const TIMEOUT_MS = 300_000;

const missing = Mount.obstacle('tmpfs');

function fileName(index: number): string {
  return `incoming/${index}.bin`;
}

function fileBytes(index: number): Buffer {
  return someBytes(FILE_BYTES, index + 1);
}

function isFull(status: NodeStatus | undefined): boolean {
  return status?.state === 'degraded' && status.errors.some(({ code }) => code === 'DISK_FULL');
}

/** `b` has folder and database on the disk, `a` has room. */
async function startPairOn(mount: Mount, site: Site, minFree: string): Promise<readonly [a: Host, b: Host]> {
  const [a, b] = [site.host('a'), site.hostAt(join(mount.path, 'b'))];
  await a.start();
  write(a, 'small.txt', 'as it was');
  write(a, 'other.txt', 'as it was');
  await b.start(...(await a.joinArguments()), '--min-free', minFree);
  await expectSame(a, b);
  return [a, b];
}

describe(`a disk of ${DISK_BYTES / MIB} MiB${missing === undefined ? '' : ` (${missing})`}`, () => {
  describe.skipIf(missing !== undefined)('fills up', () => {
    test.each([
      ['to its floor', '16MiB'],
      ['to the last byte', '0'],
    ])(
      'with what a peer sends, %s: whole files or none, the sender goes on, and it ends in sync',
      { timeout: TIMEOUT_MS },
      async (_how, minFree) => {
        using mount = new Mount('tmpfs', DISK_BYTES);
        await using site = new Site();
        const [a, b] = await startPairOn(mount, site, minFree);
        mount.fillUpTo(ROOM_BYTES);
        for (let index = 0; index < FILES; index++) write(a, fileName(index), fileBytes(index));
        await until(
          'the receiver says that its disk is full',
          async () => isFull(await b.status()),
          () => b.status(),
        );
        await expectUnharmed(a);
        const [ofA, ofB] = [(await a.status())!, (await b.status())!];
        expect(ofA.peers).toMatchObject([{ connected: true, inSync: false }]);
        expect(ofB.root).not.toBe(ofA.root);
        const present = Array.from({ length: FILES }, (_, index) => index).filter((index) => existsSync(join(b.folder, fileName(index))));
        expect(present.length).toBeLessThan(FILES);
        for (const index of present) expect(readFileSync(join(b.folder, fileName(index))).equals(fileBytes(index))).toBe(true);
        // The sender is not held up.
        write(a, 'meanwhile.txt', 'from a');
        await a.call('POST', '/v1/scan');
        expect((await a.status())!.root).not.toBe(ofA.root);
        mount.release();
        expect((await expectSame(a, b)).filter((path) => path.startsWith('incoming/'))).toHaveLength(FILES);
      },
    );

    test(
      'by its own user, to the last byte: what he wrote and what others wrote is all there afterwards',
      { timeout: TIMEOUT_MS },
      async () => {
        using mount = new Mount('tmpfs', DISK_BYTES);
        await using site = new Site();
        const [a, b] = await startPairOn(mount, site, '0');
        mount.fillUpTo(ROOM_BYTES);
        const written = fillWith(join(b.folder, 'own.bin'));
        write(a, 'small.txt', 'edited elsewhere');
        write(a, 'larger.bin', fileBytes(1));
        await until(
          'it says that its disk is full',
          async () => isFull(await b.status()),
          () => b.status(),
        );
        await expectUnharmed(a);
        // Neither does a start on the full disk lose anything, whether or not it comes up.
        await b.kill();
        b.spawn('--min-free', '0');
        await b.ready().catch(() => b.kill());
        expect(readFileSync(join(b.folder, 'other.txt'), 'utf8')).toBe('as it was');
        mount.release();
        if (!b.isRunning) await b.start('--min-free', '0');
        expect((await expectSame(a, b)).sort()).toEqual(['larger.bin', 'other.txt', 'own.bin', 'small.txt']);
        expect(readFileSync(join(a.folder, 'own.bin')).equals(written)).toBe(true);
        expect(readFileSync(join(b.folder, 'small.txt'), 'utf8')).toBe('edited elsewhere');
        await converged(a, b);
      },
    );
  });
});

/** Writes until there is no room. Returns what the file has then. */
function fillWith(path: string): Buffer {
  const file = openSync(path, 'w');
  try {
    for (let block = 0; ; block++) writeSync(file, someBytes(MIB, block + 100));
  } catch (error) {
    expect((error as NodeJS.ErrnoException).code).toBe('ENOSPC');
  } finally {
    closeSync(file);
  }
  return readFileSync(path);
}
