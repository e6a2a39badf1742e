/** The measurement of a host: that it runs and cleans up whatever happens. How fast anything is, is nothing a test asserts. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Control } from '../../src/app/bench/control.ts';
import { firstSync, type Bound, type Figures } from '../../src/app/bench/first-sync.ts';
import { measureHost, type MeasureOptions } from '../../src/app/bench/measure.ts';
import { Workspace } from '../../src/app/bench/workspace.ts';
import { realClock, realRandom } from '../../src/app/real-world.ts';
import { MIB } from '../../src/base/limits.ts';
import { makeJobs, runJob } from '../../src/folder/disk-jobs.ts';
import type { WorkCaller } from '../../src/folder/work-threads.ts';
import type { Disk } from '../../src/folder/disk.ts';
import { startDiskThreads } from '../../src/folder/disk-threads.ts';
import { RealDiskAccess, realDisk } from '../../src/folder/real-disk.ts';
import { PROGRAM } from './program.ts';
import { run } from './recorder.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sameroot-test-bench-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const SMALL = ['--quick', '--bytes', '1MiB'] as const;

function everyNumber(value: unknown): number[] {
  if (typeof value === 'number') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(everyNumber) : [];
}

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: as the operating system says it`), { code });
}

describe('bench', () => {
  it('measures every part, says what is the bound, and leaves nothing', async () => {
    const { code, out, err } = await run(['bench', folder, ...SMALL, '--json'], '/');
    expect([code, err]).toEqual([0, '']);
    const report = JSON.parse(out) as { folder: string; figures: Figures; firstSync: { large: Bound; small: Bound } };
    expect(report).toMatchObject({
      folder,
      inMemory: expect.any(Boolean),
      cores: expect.any(Number),
      loadBefore: expect.any(Number),
      profiles: [],
    });
    const { figures } = report;
    expect(figures).toEqual({
      hash: { implementation: expect.stringMatching(/^(native|noble)$/), bytesPerSecond: expect.any(Number) },
      chunkScan: { bytesPerSecond: expect.any(Number) },
      large: {
        bytes: expect.any(Number),
        targetBytesPerSecond: expect.any(Number),
        sourceBytesPerSecond: expect.any(Number),
        readBytesPerSecond: expect.any(Number),
      },
      small: {
        files: expect.any(Number),
        fileBytes: 4096,
        targetFilesPerSecond: expect.any(Number),
        sourceFilesPerSecond: expect.any(Number),
      },
      loopback: {
        tls: { bytesPerSecond: expect.any(Number), roundTripMs: expect.any(Number) },
        plain: { bytesPerSecond: expect.any(Number), roundTripMs: expect.any(Number) },
      },
    });
    expect(everyNumber(figures).filter((figure) => !(figure > 0))).toEqual([]);
    // It ends with a whole chunk.
    expect(figures.large.bytes).toBeGreaterThanOrEqual(MIB);
    expect(report.firstSync).toEqual(firstSync(figures));
    expect(readdirSync(folder)).toEqual([]);
  });

  it('says it in words, too', async () => {
    const { code, out } = await run(['bench', '.', ...SMALL], folder);
    expect(code).toBe(0);
    for (const what of ['large files', 'small files'])
      expect(out).toMatch(new RegExp(`^A first sync of ${what} is bound by .+ at most\\.$`, 'm'));
    expect(out).toMatch(/^loopback +TLS +[\d.]+ .?B\/s +round trip [\d.]+ ms$/m);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('writes profiles of the process and of its threads', async () => {
    const { code, out } = await run(['bench', folder, ...SMALL, '--profile', 'slow', '--json'], folder);
    expect(code).toBe(0);
    const { profiles } = JSON.parse(out) as { profiles: string[] };
    expect(profiles[0]).toBe(join(folder, 'slow.cpuprofile'));
    for (const thread of ['sameroot-read', 'sameroot-write', 'sameroot-bench-peer']) {
      expect(profiles.filter((file) => file.startsWith(join(folder, `slow.${thread}-`)))).toHaveLength(1);
    }
    for (const file of profiles) {
      const profile = JSON.parse(readFileSync(file, 'utf8')) as { nodes: unknown[]; samples: unknown[] };
      expect(profile.nodes.length).toBeGreaterThan(0);
      expect(profile.samples.length).toBeGreaterThan(0);
    }
    expect(readdirSync(folder).toSorted()).toEqual(profiles.map((file) => file.slice(folder.length + 1)).toSorted());
  });

  it.each([
    [['--bytes', '5'], 2, "'--bytes <size>' argument '5' is invalid. It must be a size from 1.05 MB to"],
    [['--bytes', '10B'], 2, "argument '10B' is invalid"],
    [['missing'], 1, 'FOLDER_MISSING'],
    [['file'], 1, 'FOLDER_NOT_DIRECTORY'],
    [['.', '--profile', 'missing/x'], 2, '--profile: cannot write'],
  ] as [string[], number, string][])('refuses %j in one line', async (args, code, message) => {
    writeFileSync(join(folder, 'file'), '');
    const result = await run(['bench', ...args], folder);
    expect([result.code, result.out]).toEqual([code, '']);
    expect(result.err).toMatch(/^sameroot: [A-Z_]+: [^\n]+; [^\n]+\n$/);
    expect(result.err).toContain(message);
    expect(readdirSync(folder)).toEqual(['file']);
  });
});

describe('a run that comes to no end', () => {
  /** Threads and main thread see `disk`. */
  function measuring(disk: Disk, bytes: number | undefined, control: Control): Promise<unknown> {
    const inPlace = (): WorkCaller => {
      const jobs = makeJobs(disk, realClock);
      return { busy: 0, width: 1, call: async (name, input) => runJob(jobs, name, input), [Symbol.asyncDispose]: () => Promise.resolve() };
    };
    const access = Object.assign(Object.create(new RealDiskAccess()) as RealDiskAccess, { disk });
    const options: MeasureOptions = {
      folder,
      bytes,
      quick: true,
      profile: undefined,
      access,
      startThreads: () => ({ read: inPlace(), write: inPlace(), work: inPlace() }),
    };
    return measureHost(options, control);
  }

  const silent = new Control(new AbortController().signal, () => undefined);

  it('because the disk gets full', async () => {
    let leftBytes = 3 * MIB;
    const write: Disk['write'] = (handle, source, offset, bytes, position) => {
      leftBytes -= bytes;
      if (leftBytes < 0) throw systemError('ENOSPC');
      return realDisk.write(handle, source, offset, bytes, position);
    };
    await expect(measuring({ ...realDisk, write }, 8 * MIB, silent)).rejects.toMatchObject({ code: 'DISK_FULL' });
    expect(leftBytes).toBeLessThan(0);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('because there is not enough room: nothing is written', async () => {
    const space = (): { totalBytes: number; freeBytes: number } => ({ totalBytes: 1_000 * MIB, freeBytes: 40 * MIB });
    const mkdir = (): never => expect.unreachable('a folder is made');
    const disk = { ...realDisk, space, mkdir };
    await expect(measuring(disk, 64 * MIB, silent)).rejects.toMatchObject({
      code: 'DISK_FULL',
      message: expect.stringMatching(/ take 76\.5 MB, and 14\.7 MB of /),
    });
  });

  it('because the disk can not be written; a little room would do where no size is asked for', async () => {
    const space = (): { totalBytes: number; freeBytes: number } => ({ totalBytes: 1_000 * MIB, freeBytes: 40 * MIB });
    const mkdir = (): never => {
      throw systemError('EROFS');
    };
    await expect(measuring({ ...realDisk, space, mkdir }, undefined, silent)).rejects.toMatchObject({ code: 'FOLDER_READ_ONLY' });
  });

  it.each(['hashing', 'writing a file', 'reading and hashing', 'small files', 'loopback'])(
    'because it is stopped while %s',
    async (step) => {
      const stop = new AbortController();
      const steps: string[] = [];
      const control = new Control(stop.signal, (what) => {
        steps.push(what);
        if (what.includes(step)) stop.abort();
      });
      const options = { folder, bytes: MIB, quick: true, profile: undefined, access: new RealDiskAccess(), startThreads: startDiskThreads };
      await expect(measureHost(options, control)).rejects.toMatchObject({ code: 'CLOSED' });
      expect(steps.at(-1)).toContain(step);
      expect(readdirSync(folder)).toEqual([]);
    },
  );

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('because of %s: exit code %i, no word, nothing left', async (signal, code) => {
    const child = spawn(process.execPath, [PROGRAM, 'bench', folder], { stdio: ['ignore', 'pipe', 'pipe'] });
    const said: Buffer[] = [];
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (part: Buffer) => said.push(part));
    const exit = once(child, 'close');
    await expect.poll(() => readdirSync(folder), { timeout: 20_000 }).toHaveLength(1);
    child.kill(signal);
    expect(await exit).toEqual([code, null]);
    expect(Buffer.concat(said).toString()).toBe('');
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe('the folder to measure in', () => {
  it('is hidden, and inside .sameroot where the folder or one above it is shared', () => {
    const below = join(folder, 'a', 'b');
    mkdirSync(below, { recursive: true });
    const placeOf = (at: string): string => {
      using workspace = Workspace.make(realDisk, realRandom, at);
      expect(readdirSync(join(workspace.path, '..'))).toContain(workspace.path.split('/').at(-1));
      return workspace.path.slice(folder.length);
    };
    expect(placeOf(below)).toMatch(/^\/a\/b\/\.sameroot-bench-[0-9a-f]{12}$/);
    mkdirSync(join(folder, '.sameroot'));
    writeFileSync(join(folder, '.sameroot', 'share'), 'id');
    for (const at of [folder, below]) expect(placeOf(at)).toMatch(/^\/\.sameroot\/\.sameroot-bench-[0-9a-f]{12}$/);
    expect(readdirSync(join(folder, '.sameroot'))).toEqual(['share']);
  });
});

describe('the bound of a first sync', () => {
  const figures: Figures = {
    hash: { implementation: 'native', bytesPerSecond: 1 },
    chunkScan: { bytesPerSecond: 1 },
    large: { bytes: 1, targetBytesPerSecond: 500, sourceBytesPerSecond: 600, readBytesPerSecond: 700 },
    small: { files: 1, fileBytes: 4096, targetFilesPerSecond: 5, sourceFilesPerSecond: 6 },
    loopback: { tls: { bytesPerSecond: 434_600, roundTripMs: 1 }, plain: { bytesPerSecond: 1, roundTripMs: 1 } },
  };

  it.each([
    ['the target', {}, { boundBy: 'target', perSecond: 500, lineBitsPerSecond: 4_000 }],
    ['what the source reads first', { large: { ...figures.large, sourceBytesPerSecond: 40 } }, { boundBy: 'source', perSecond: 40 }],
    ['what the source reads for peers', { large: { ...figures.large, readBytesPerSecond: 30 } }, { boundBy: 'source', perSecond: 30 }],
    ['TLS', { loopback: { ...figures.loopback, tls: { bytesPerSecond: 20, roundTripMs: 1 } } }, { boundBy: 'network', perSecond: 20 }],
  ])('of large files: %s', (_what, changed, bound) => {
    expect(firstSync({ ...figures, ...changed }).large).toMatchObject(bound);
  });

  it('of small files: with what goes over the wire beside their bytes', () => {
    expect(firstSync(figures).small).toEqual({
      boundBy: 'target',
      perSecond: 5,
      stages: { source: 6, network: 100, target: 5 },
      lineBitsPerSecond: 5 * 4_346 * 8,
    });
  });
});
