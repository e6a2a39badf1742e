/** A real temporary folder with a replica in memory and the read jobs run in place, as a thread would run them. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { realClock, realTimers } from '../../src/app/real-world.ts';
import { silentLog, type Random } from '../../src/base/world.ts';
import type { Entry } from '../../src/entry/entry.ts';
import type { Disk } from '../../src/folder/disk.ts';
import { PathGate } from '../../src/folder/gate.ts';
import { Ingest, type IngestOptions } from '../../src/folder/ingest.ts';
import { errorOf } from '../../src/folder/job-failure.ts';
import { openMarker } from '../../src/folder/marker.ts';
import { fileKey, pathOfKey } from '../../src/folder/paths.ts';
import { getPlaced, type Placed } from '../../src/folder/placed.ts';
import { answer, makeJobs, type JobReply } from '../../src/folder/disk-jobs.ts';
import { RealDiskAccess, realDisk } from '../../src/folder/real-disk.ts';
import { Standing } from '../../src/folder/standing.ts';
import { takeTransfer } from '../../src/folder/transfer.ts';
import type { WorkCaller } from '../../src/folder/work-threads.ts';
import { Replica } from '../../src/replica/replica.ts';
import { createShare, type Share } from '../../src/replica/share.ts';
import { MemoryStore } from '../../src/store/memory-store.ts';
import { walk } from '../../src/tree/walk.ts';

/** Different bytes at each call, the same in each run. */
export function seededRandom(seed: number): Random {
  let state = seed;
  const next = (): number => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0);
  return { bytes: (count) => Uint8Array.from({ length: count }, () => next() >>> 24), fraction: () => next() / 2 ** 32 };
}

/** Jobs run at once; what goes in and out is cloned, and their buffers are moved, like between threads. */
export function inlineThread(disk: Disk = realDisk): WorkCaller & { readonly jobs: string[] } {
  const jobs: string[] = [];
  const table = makeJobs(disk, realClock);
  return {
    jobs,
    call: async (name, input, transfer = []) => {
      jobs.push(name);
      const request = structuredClone({ id: 1, name, input }, { transfer: [...transfer] });
      await Promise.resolve();
      const reply: JobReply = answer(table, request);
      const { output, error } = structuredClone(reply, { transfer: takeTransfer() });
      if (error !== undefined) throw errorOf(error);
      return output as never;
    },
    busy: 0,
    width: 2,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

export function bytesOf(length: number, seed: number = 1): Buffer {
  return Buffer.from(seededRandom(seed).bytes(length));
}

const share: Share = createShare('test', 'ab'.repeat(32), seededRandom(7));

export class World implements AsyncDisposable {
  readonly root: string;
  readonly replica: Replica;
  readonly access = new RealDiskAccess();
  readonly thread = inlineThread();
  readonly ingest: Ingest;
  readonly gate = new PathGate();
  readonly standing = new Standing();
  /** Keys that were to be shown again. */
  readonly materialised: Uint8Array[] = [];

  private constructor(root: string, replica: Replica, options: Partial<IngestOptions>) {
    this.root = root;
    this.replica = replica;
    this.ingest = new Ingest({
      standing: this.standing,
      root,
      replica,
      access: this.access,
      thread: this.thread,
      work: this.thread,
      gate: this.gate,
      clock: realClock,
      timers: realTimers,
      log: silentLog,
      settleMs: 20,
      rescanMs: 3_600_000,
      materialise: async (keys) => void this.materialised.push(...keys),
      todoRows: () => [],
      ...options,
    });
  }

  static async make(seed: number = 1, options: Partial<IngestOptions> = {}): Promise<World> {
    const root = mkdtempSync(join(tmpdir(), 'sameroot-test-'));
    openMarker(realDisk, root, share.id, true);
    return new World(root, await Replica.create(new MemoryStore(), share, realClock, seededRandom(seed)), options);
  }

  path(name: string): string {
    return join(this.root, name);
  }

  /** With a whole-second time in the past, unless it is to be as young as it is. */
  write(name: string, content: string | Uint8Array, mtimeSeconds: number | undefined = 1_700_000_000): void {
    mkdirSync(dirname(this.path(name)), { recursive: true });
    writeFileSync(this.path(name), content);
    if (mtimeSeconds !== undefined) utimesSync(this.path(name), mtimeSeconds, mtimeSeconds);
  }

  entry(path: string): Entry | undefined {
    return this.replica.entry(fileKey(path));
  }

  placed(path: string): Placed | undefined {
    return getPlaced(this.replica.store, path);
  }

  /** Paths with a live version. */
  get live(): string[] {
    const found: string[] = [];
    for (const { key } of walk(this.replica.reader, this.replica.head.tree)) {
      const path = pathOfKey(key)!;
      if (this.entry(path)!.versions.some(({ value }) => value.kind !== 'deleted')) found.push(path);
    }
    return found;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.ingest[Symbol.asyncDispose]();
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** All paths below a folder, without our own, in the order of the tree. */
export function pathsOnDisk(root: string): string[] {
  const all = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((path) => path.split('/')[0] !== '.sameroot');
  return all.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}

/** Waits for something that another part does in its own time. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}
