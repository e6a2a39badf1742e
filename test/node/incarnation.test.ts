import { copyFileSync, cpSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { realWorld } from '../../src/app/real-world.ts';
import { SamerootError } from '../../src/base/errors.ts';
import { utf8 } from '../../src/base/bytes.ts';
import { silentLog, type LogFields, type World } from '../../src/base/world.ts';
import { nextBatch } from '../../src/folder/interrupted.ts';
import { realDisk } from '../../src/folder/real-disk.ts';
import { forgetRestored, Incarnation, markRolledBack, openReplica, provesRollback } from '../../src/node/incarnation.ts';
import type { Replica } from '../../src/replica/replica.ts';
import { createShare } from '../../src/replica/share.ts';
import { MemoryStore } from '../../src/store/memory-store.ts';
import { codeOf } from './cluster.ts';

const world = realWorld(silentLog);
const share = createShare('test', 'ab'.repeat(32), world.random);
const ALL = { gte: Uint8Array.of(0), lt: Uint8Array.of(255) };

let dataDir: string;

beforeEach(() => (dataDir = mkdtempSync(join(tmpdir(), 'sameroot-incarnation-'))));
afterEach(() => rmSync(dataDir, { recursive: true }));

function file(): string {
  return join(dataDir, 'incarnation');
}

async function open(store: MemoryStore, log: World['log'] = silentLog): ReturnType<typeof openReplica> {
  return openReplica({ store, disk: realDisk, dataDir, world: { ...world, log } }, share, []);
}

async function copyOf(store: MemoryStore): Promise<MemoryStore> {
  const copy = new MemoryStore();
  for await (const rows of store.iterate(ALL)) {
    await copy.write(
      rows.map(([key, value]) => ({ type: 'put', key: Uint8Array.from(key), value: Uint8Array.from(value) })),
      { durable: true },
    );
  }
  return copy;
}

function write(replica: Replica, text: string): Promise<unknown> {
  return replica.write(utf8('r/x'), { kind: 'record', data: utf8(text) });
}

describe('the id of a replica', () => {
  test('stays over stops and over deaths', async () => {
    const store = new MemoryStore();
    const first = await open(store);
    expect(first.restored).toBe(false);
    for (const clean of [true, false, true]) {
      const again = await open(store);
      expect([again.replica.id, again.restored]).toEqual([first.replica.id, false]);
      await write(again.replica, 'x');
      if (clean) await again.incarnation.renew();
    }
  });

  test('stays when the folder is renamed', async () => {
    const store = new MemoryStore();
    const { replica } = await open(store);
    renameSync(dataDir, `${dataDir}-moved`);
    dataDir = `${dataDir}-moved`;
    expect((await open(store)).replica.id).toBe(replica.id);
  });

  test('changes with the database alone, the file alone, and both of them put back; and is said until the folder was read', async () => {
    const warnings: LogFields[] = [];
    const log = { ...silentLog, warn: (_: string, fields?: LogFields) => void warnings.push(fields ?? {}) };
    const store = new MemoryStore();
    const { replica, incarnation } = await open(store);
    await incarnation.renew();
    const backup = await copyOf(store);
    const backupFile = join(dataDir, 'backup');
    cpSync(file(), backupFile, { preserveTimestamps: true });
    const ids = new Set([replica.id, (await open(store)).replica.id]);
    expect(ids.size).toBe(1);

    const opened = await open(await copyOf(backup), log);
    ids.add(opened.replica.id);
    expect([ids.size, opened.restored, opened.replica.head.sequence]).toEqual([2, true, 0]);

    const both = await copyOf(backup);
    cpSync(backupFile, file(), { preserveTimestamps: true });
    ids.add((await open(both, log)).replica.id);
    expect(ids.size).toBe(3);
    expect((await open(both, log)).restored).toBe(true);
    await forgetRestored(both);
    expect((await open(both, log)).restored).toBe(false);

    cpSync(backupFile, file(), { preserveTimestamps: true });
    ids.add((await open(both, log)).replica.id);
    expect([ids.size, warnings.length]).toEqual([4, 3]);
  });

  test('changes where the file is gone, damaged, or the nonce was written into another file', async () => {
    const store = new MemoryStore();
    const ids = [(await open(store)).replica.id];
    const spoilers = [
      () => rmSync(file()),
      () => writeFileSync(file(), ''),
      () => writeFileSync(file(), readFileSync(file()).reverse()),
      () => {
        const nonce = readFileSync(file());
        rmSync(file());
        writeFileSync(`${file()}.other`, '');
        writeFileSync(file(), nonce);
      },
    ];
    for (const spoil of spoilers) {
      spoil();
      ids.push((await open(store)).replica.id);
    }
    expect(new Set(ids).size).toBe(spoilers.length + 1);
  });
});

test('nonce, inode and change time each tell one file from another', async () => {
  const store = new MemoryStore();
  await open(store);
  const stats = realDisk.lstat(file())!;
  const stateWith = (change: object): string => {
    const disk = { ...realDisk, lstat: () => Object.assign(Object.create(stats) as typeof stats, change) };
    return new Incarnation({ disk, dataDir, store, random: world.random }).state;
  };
  expect(stateWith({})).toBe('same');
  expect(stateWith({ ino: stats.ino + 1 })).toBe('copy');
  expect(stateWith({ ctimeMs: stats.ctimeMs + 1 })).toBe('copy');
  writeFileSync(file(), '00'.repeat(16));
  expect(stateWith({})).toBe('copy');
});

type Step =
  | { readonly type: 'start' | 'stop' | 'die' | 'copy-file' | 'copy-database' | 'restore-file' | 'replace-file' | 'restore-database' }
  /** Dies in the middle of a start or stop: the file is new, the row is not. */
  | { readonly type: 'die-between' };

const steps = fc.array(
  fc
    .constantFrom<Step['type']>(
      'start',
      'start',
      'stop',
      'die',
      'die-between',
      'copy-file',
      'copy-database',
      'restore-file',
      'replace-file',
      'restore-database',
    )
    .map((type): Step => ({ type })),
  { minLength: 15, maxLength: 30, size: 'max' },
);

/** Refuses all writes after so many, as a process that is dead. */
class MortalStore extends MemoryStore {
  writesLeft = Number.POSITIVE_INFINITY;

  override write(...input: Parameters<MemoryStore['write']>): Promise<void> {
    return this.writesLeft-- <= 0 ? Promise.reject(new SamerootError('CLOSED', 'dead')) : super.write(...input);
  }
}

test('a death while both are written anew costs a new id at most, and is not taken for a copy', async () => {
  const store = new MortalStore();
  const ids = [(await open(store)).replica.id];
  for (const writes of [0, 1, 2]) {
    store.writesLeft = writes;
    const renewed = new Incarnation({ disk: realDisk, dataDir, store, random: world.random }).renew();
    if (writes === 2) await renewed;
    else expect(await codeOf(renewed)).toBe('CLOSED');
    store.writesLeft = Number.POSITIVE_INFINITY;
    const { replica, restored } = await open(store);
    expect([replica.id === ids.at(-1), restored]).toEqual([writes !== 1, false]);
    ids.push(replica.id);
  }
});

test('so does any death of the start after it, and what the last batch has noted still counts', async () => {
  const dying = {
    ...realDisk,
    rename: (): never => {
      throw new SamerootError('CLOSED', 'dead');
    },
  };
  for (const dies of [0, 1, 2, 'at the file'] as const) {
    const store = new MortalStore();
    const { name } = nextBatch((await open(store)).replica);
    store.writesLeft = 1;
    expect(await codeOf(new Incarnation({ disk: realDisk, dataDir, store, random: world.random }).renew())).toBe('CLOSED');
    store.writesLeft = dies === 'at the file' ? Number.POSITIVE_INFINITY : dies;
    const disk = dies === 'at the file' ? dying : realDisk;
    expect(await codeOf(openReplica({ store, disk, dataDir, world }, share, []))).toBe('CLOSED');
    store.writesLeft = Number.POSITIVE_INFINITY;
    const { replica, restored } = await open(store);
    expect([restored, nextBatch(replica).name], `${dies}`).toEqual([false, name]);
    rmSync(file());
    const other = (await open(store)).replica;
    expect(nextBatch(other).name).toBe(`${other.id} 1`);
    rmSync(file());
  }
});

test('so does a death in the middle of the very first start', async () => {
  // The share, the row of the next nonce, and then the row of the file.
  for (const writes of [1, 2]) {
    const store = new MortalStore();
    store.writesLeft = writes;
    expect(await codeOf(open(store))).toBe('CLOSED');
    store.writesLeft = Number.POSITIVE_INFINITY;
    expect((await open(store)).restored).toBe(false);
    rmSync(file());
  }
});

/**
 * A world of one database, its file, and copies of both taken at any time. The model: all writes that were ever made under
 * an id. Copies of a database are taken while it is stopped: of a running one nobody gets a whole one by copying files.
 */
class Law {
  store = new MortalStore();
  running: Awaited<ReturnType<typeof open>> | undefined;
  database: MemoryStore | undefined;
  hasFileCopy = false;
  hasFile = false;
  counter = 0;
  /** Highest sequence that was ever given, by id. */
  readonly given = new Map<string, number>();

  async step({ type }: Step): Promise<void> {
    const copy = join(dataDir, 'copy');
    if (type === 'start' && this.running === undefined) await this.start();
    else if (type === 'stop' && this.running !== undefined) await this.running.incarnation.renew().then(() => (this.running = undefined));
    else if (type === 'die') this.running = undefined;
    else if (type === 'die-between' && this.running !== undefined) {
      this.store.writesLeft = 1;
      await this.running.incarnation.renew().catch(() => undefined);
      this.store.writesLeft = Number.POSITIVE_INFINITY;
      this.running = undefined;
    } else if (type === 'copy-file' && this.hasFile) {
      cpSync(file(), copy, { preserveTimestamps: true });
      this.hasFileCopy = true;
    } else if (type === 'copy-database' && this.running === undefined) this.database = await copyOf(this.store);
    else if (this.running === undefined && this.hasFileCopy && type === 'restore-file') copyFileSync(copy, file());
    else if (this.running === undefined && this.hasFileCopy && type === 'replace-file') {
      copyFileSync(copy, `${copy}.new`);
      renameSync(`${copy}.new`, file());
    } else if (this.running === undefined && this.database !== undefined && type === 'restore-database') {
      const restored = new MortalStore();
      for await (const rows of this.database.iterate(ALL)) {
        await restored.write(
          rows.map(([key, value]) => ({ type: 'put', key, value })),
          { durable: true },
        );
      }
      this.store = restored;
    }
  }

  async start(): Promise<void> {
    this.running = await open(this.store);
    this.hasFile = true;
    const { replica } = this.running;
    // The law: it knows every write that was ever made under its id.
    expect(replica.head.sequence).toBeGreaterThanOrEqual(this.given.get(replica.id) ?? 0);
    await write(replica, String(this.counter++));
    this.given.set(replica.id, replica.head.sequence);
  }
}

test('whatever is put together of old and new databases and files, no id is used for two histories', async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (list) => {
      rmSync(dataDir, { recursive: true });
      dataDir = mkdtempSync(join(tmpdir(), 'sameroot-incarnation-'));
      const law = new Law();
      await law.start();
      for (const step of list) await law.step(step);
      if (law.running === undefined) await law.start();
    }),
    { numRuns: 60 },
  );
});

test('a write of its own that it does not know proves that a replica was rolled back, and it is not opened again', async () => {
  const store = new MemoryStore();
  const { replica } = await open(store);
  await write(replica, 'known');
  const entry = replica.entry(utf8('r/x'))!;
  expect(provesRollback(entry, replica)).toBe(false);
  expect(provesRollback({ ...entry, context: new Map([['00'.repeat(8), 99]]) }, replica)).toBe(false);
  expect(provesRollback({ ...entry, context: new Map([[replica.id, replica.head.sequence + 1]]) }, replica)).toBe(true);
  await markRolledBack(store);
  expect(await codeOf(open(store))).toBe('REPLICA_ROLLED_BACK');
});

test('a file that can not be written is an error of the disk, and the old one still counts', async () => {
  const store = new MemoryStore();
  const { replica } = await open(store);
  const full = Object.assign(new Error('full'), { code: 'ENOSPC' });
  const disk = {
    ...realDisk,
    rename: () => {
      throw full;
    },
  };
  const failing = new Incarnation({ disk, dataDir, store, random: world.random });
  expect(await codeOf(failing.renew())).toBe('DISK_FULL');
  expect(failing.state).toBe('same');
  expect((await open(store)).replica.id).toBe(replica.id);
});
