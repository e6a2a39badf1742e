import { spawn, spawnSync } from 'node:child_process';
import { cp, mkdtemp, mkdir, readdir, readFile, rm, stat, symlink, truncate, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { utf8 } from '../../src/base/bytes.ts';
import { LevelStore, openLevelStore } from '../../src/store/level-store.ts';
import { put, rowsOf, storeContract } from '../contracts/store-contract.ts';

const DURABLE = { durable: true };
const LOOSE = { durable: false };
const KIB = 1024;

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sameroot-store-'));
});

afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

storeContract('level-store', async () => {
  const own = await mkdtemp(join(tmpdir(), 'sameroot-store-'));
  const store = await openLevelStore(own);
  return {
    store,
    async [Symbol.asyncDispose]() {
      await store.close();
      await rm(own, { recursive: true, force: true });
    },
  };
});

function coded(code: string): unknown {
  return expect.objectContaining({ name: 'SamerootError', code });
}

/** Writes `count` rows of `rowBytes`, one batch each, and gives the keys that were acknowledged. */
async function writeRows(store: LevelStore, first: number, count: number, rowBytes: number, options = DURABLE): Promise<string[]> {
  const value = new Uint8Array(rowBytes).fill(7);
  const keys: string[] = [];
  for (let index = first; index < first + count; index++) {
    const key = keyOf(index);
    await store.write([put(key, value)], options);
    keys.push(key);
  }
  return keys;
}

function keyOf(index: number): string {
  return `row${String(index).padStart(6, '0')}`;
}

function missing(store: LevelStore, keys: readonly string[]): string[] {
  return keys.filter((key) => store.get(utf8(key)) === undefined);
}

/** A closed database that has tables: its write buffer was small and its rows were many. */
async function makeTables(): Promise<string[]> {
  const store = await openLevelStore(directory, { writeBufferBytes: 64 * KIB });
  const keys = await writeRows(store, 0, 400, KIB, LOOSE);
  await store.close();
  return keys;
}

async function fileNamed(pattern: RegExp): Promise<string> {
  const name = (await readdir(directory)).find((name) => pattern.test(name));
  expect(name).toBeDefined();
  return join(directory, name!);
}

describe('level-store on disk', () => {
  it('has after reopening what was written before closing', async () => {
    const first = await openLevelStore(directory);
    await first.write([put('a', '1'), put('b', '')], DURABLE);
    await first.write([put('c', '3')], LOOSE);
    await first.close();
    const second = await openLevelStore(directory);
    expect(await rowsOf(second)).toEqual(['a=1', 'b=', 'c=3']);
    await second.close();
  });

  it('has what was written when the process dies: files copied while it is open', async () => {
    const store = await openLevelStore(directory, { writeBufferBytes: 64 * KIB });
    const keys = await writeRows(store, 0, 100, KIB, LOOSE);
    keys.push(...(await writeRows(store, 100, 100, KIB, DURABLE)));
    await store.write([], DURABLE);
    const copy = `${directory}-copy`;
    try {
      // Tables that a compaction replaces go away under the copy; the next attempt finds the new ones.
      for (let attempt = 0; ; attempt++) {
        await rm(copy, { recursive: true, force: true });
        const done = await cp(directory, copy, { recursive: true, filter: (source) => !source.endsWith('LOCK') }).then(
          () => true,
          () => attempt >= 20,
        );
        if (done) break;
      }
      await store.close();
      const reopened = await openLevelStore(copy);
      expect(missing(reopened, keys)).toEqual([]);
      await reopened.close();
    } finally {
      await rm(copy, { recursive: true, force: true });
    }
  });

  it('makes the directories on the way', async () => {
    const store = await openLevelStore(join(directory, 'a', 'b'));
    await store.close();
    expect((await stat(join(directory, 'a', 'b'))).isDirectory()).toBe(true);
  });

  it.each([{ cacheBytes: 1 }, { cacheBytes: NaN }, { writeBufferBytes: 0 }, { writeBufferBytes: 2 ** 31 }])(
    'refuses %j by the name of the option',
    async (options) => {
      await expect(openLevelStore(directory, options)).rejects.toThrow(RangeError);
      await expect(openLevelStore(directory, options)).rejects.toThrow(Object.keys(options)[0]!);
    },
  );
});

describe('level-store says what is wrong', () => {
  it('DATABASE_IN_USE when this process has it open', async () => {
    const store = await openLevelStore(directory);
    await expect(openLevelStore(directory)).rejects.toEqual(coded('DATABASE_IN_USE'));
    await store.write([put('a', '1')], DURABLE);
    expect(await rowsOf(store)).toEqual(['a=1']);
    await store.close();
    await (await openLevelStore(directory)).close();
  });

  it('DATABASE_IN_USE when another process has it open', async () => {
    const script = `new (require('level').Level)(process.argv[1]).open().then(() => process.stdout.write('open')); setInterval(() => {}, 1000)`;
    const child = spawn(process.execPath, ['-e', script, directory], { stdio: ['ignore', 'pipe', 'inherit'] });
    const exited = new Promise((resolve) => child.once('exit', resolve));
    try {
      await new Promise((resolve) => child.stdout.once('data', resolve));
      await expect(openLevelStore(directory)).rejects.toEqual(coded('DATABASE_IN_USE'));
    } finally {
      child.kill('SIGKILL');
      await exited;
    }
    await (await openLevelStore(directory)).close();
  });

  it.each<[string, () => Promise<void>]>([
    ['an empty MANIFEST', async () => truncate(await fileNamed(/^MANIFEST-/), 0)],
    ['a MANIFEST of other bytes', async () => writeFile(await fileNamed(/^MANIFEST-/), Buffer.alloc(500, 0xa5))],
    ['no MANIFEST', async () => unlink(await fileNamed(/^MANIFEST-/))],
    ['an empty CURRENT', () => truncate(join(directory, 'CURRENT'), 0)],
    ['a CURRENT of other bytes', () => writeFile(join(directory, 'CURRENT'), 'nonsense\n')],
    ['no CURRENT', () => unlink(join(directory, 'CURRENT'))],
    ['a missing table', async () => unlink(await fileNamed(/\.ldb$/))],
  ])('DATABASE_DAMAGED: %s', async (_, damage) => {
    await makeTables();
    const tables = (await readdir(directory)).filter((name) => name.endsWith('.ldb'));
    expect(tables.length).toBeGreaterThan(0);
    await damage();
    const left = (await readdir(directory)).filter((name) => name.endsWith('.ldb'));
    await expect(openLevelStore(directory)).rejects.toEqual(coded('DATABASE_DAMAGED'));
    const error: unknown = await openLevelStore(directory).catch((error: unknown) => error);
    expect(error).toEqual(coded('DATABASE_DAMAGED'));
    expect((await readdir(directory)).filter((name) => name.endsWith('.ldb'))).toEqual(left);
  });

  it('DATABASE_DAMAGED when a table is cut short, from reads and iterations', async () => {
    const keys = await makeTables();
    for (const name of await readdir(directory)) {
      if (name.endsWith('.ldb')) await truncate(join(directory, name), Math.floor((await stat(join(directory, name))).size / 2));
    }
    const store = await openLevelStore(directory);
    expect(() => missing(store, keys)).toThrow(coded('DATABASE_DAMAGED') as Error);
    await expect(rowsOf(store)).rejects.toEqual(coded('DATABASE_DAMAGED'));
    await store.close();
  });

  it('FOLDER_NOT_DIRECTORY when a file is in the way, and chains the cause', async () => {
    const path = join(directory, 'file');
    await writeFile(path, 'mine');
    for (const place of [path, join(path, 'db')]) {
      const error: unknown = await openLevelStore(place).catch((error: unknown) => error);
      expect(error).toEqual(coded('FOLDER_NOT_DIRECTORY'));
      expect((error as Error).cause).toBeInstanceOf(Error);
    }
    expect(await readFile(path, 'utf8')).toBe('mine');
  });

  it.runIf(process.platform === 'linux')('FOLDER_READ_ONLY where nothing can be made', async () => {
    await expect(openLevelStore('/sys/sameroot-test')).rejects.toEqual(coded('FOLDER_READ_ONLY'));
  });

  it('IO_ERROR for the rest', async () => {
    await mkdir(join(directory, 'LOCK'));
    await expect(openLevelStore(directory)).rejects.toEqual(coded('IO_ERROR'));
  });
});

describe('level-store frees the iterator of LevelDB', () => {
  /** A store over an iterator that gives one batch again and again until `nextv` has something else to say. */
  function storeOver(nextv: (call: number) => Promise<unknown[]>): { store: LevelStore; closed: () => number } {
    let calls = 0;
    let closed = 0;
    const iterator = { nextv: () => nextv(calls++), close: async () => void closed++ };
    return { store: new LevelStore({ iterator: () => iterator, close: async () => {} } as never, directory, KIB), closed: () => closed };
  }
  const row = [utf8('a'), utf8('1')];

  it('when the consumer stops early', async () => {
    const { store, closed } = storeOver(async () => [row]);
    for await (const _ of store.iterate({ gte: utf8('a'), lt: utf8('b') })) break;
    expect(closed()).toBe(1);
  });

  it('at the end', async () => {
    const { store, closed } = storeOver(async (call) => (call < 3 ? [row] : []));
    expect(await rowsOf(store)).toHaveLength(3);
    expect(closed()).toBe(1);
  });

  it('when it fails, with the code of the failure', async () => {
    const { store, closed } = storeOver(async (call) => {
      if (call > 0) throw Object.assign(new Error('Corruption: bad block'), { code: 'LEVEL_CORRUPTION' });
      return [row];
    });
    await expect(rowsOf(store)).rejects.toEqual(coded('DATABASE_DAMAGED'));
    expect(closed()).toBe(1);
  });
});

describe('level-store after a failed write', () => {
  /** The next logs of the database end in /dev/full, the device on which every write fails with ENOSPC. */
  it.runIf(process.platform === 'linux')('DISK_FULL, and goes on when there is room again', async () => {
    const store = await openLevelStore(directory, { writeBufferBytes: 64 * KIB });
    const kept = await writeRows(store, 0, 5, KIB);
    const links = Array.from({ length: 60 }, (_, index) => join(directory, `${String(index + 4).padStart(6, '0')}.log`));
    for (const link of links) await symlink('/dev/full', link);
    await expect(writeRows(store, 5, 200, KIB)).rejects.toEqual(coded('DISK_FULL'));
    expect(missing(store, kept)).toEqual([]);
    for (const link of links) await rm(link, { force: true });
    kept.push(...(await writeRows(store, 1000, 50, KIB)));
    expect(missing(store, kept)).toEqual([]);
    await store.close();
    const reopened = await openLevelStore(directory);
    expect(missing(reopened, kept)).toEqual([]);
    await reopened.close();
  });

  /** The size limit of files cuts the log in the middle of a batch, as a full disk does. */
  const limited = spawnSync('prlimit', ['--version']).status === 0;
  it.runIf(limited)('keeps what it acknowledges behind the torn end of the log', async () => {
    const limit = (bytes: number | 'unlimited'): void => {
      expect(spawnSync('prlimit', [`--pid=${process.pid}`, `--fsize=${bytes}:`]).status).toBe(0);
    };
    const store = await openLevelStore(directory);
    const kept = await writeRows(store, 0, 10, 5000);
    limit(100 * KIB + 777);
    try {
      await expect(writeRows(store, 100, 30, 5000)).rejects.toEqual(coded('IO_ERROR'));
    } finally {
      limit('unlimited');
    }
    kept.push(...(await writeRows(store, 200, 3, 500)));
    const asked = Array.from({ length: 30 }, (_, index) => keyOf(100 + index));
    const notWritten = missing(store, asked);
    await store.close();
    const reopened = await openLevelStore(directory);
    expect(missing(reopened, kept)).toEqual([]);
    // Nothing of what failed turns up behind what was written since.
    expect(missing(reopened, asked)).toEqual(notWritten);
    await reopened.close();
  });
});
