/**
 * The whole measurement, one part after the other so that none takes the processor or the disk from another: processor, disk
 * with large and small files, loopback.
 */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { silentLog, type Timers } from '../../base/world.ts';
import { hashImplementation } from '../../content/hash.ts';
import type { DiskAccess } from '../../folder/disk.ts';
import { closeDiskThreads, type DiskThreads } from '../../folder/disk-threads.ts';
import { createShare } from '../../replica/share.ts';
import { realWorld } from '../real-world.ts';
import type { Ground } from './bench-host.ts';
import type { Control } from './control.ts';
import type { Figures } from './first-sync.ts';
import { BENCH_LIMITS } from './limits.ts';
import { measureLoopback, Peer } from './network.ts';
import { Payload } from './payload.ts';
import { measureChunkScan, measureHash } from './processor.ts';
import { Profiler } from './profile.ts';
import { measureLarge, measureSmall, storageBytes, type Amount } from './storage.ts';
import { requireFolder, requireRoom, roomBytes, Workspace } from './workspace.ts';

/** Where nobody is a founder. */
const NO_FOUNDER: string = '0'.repeat(64);
const PROCESSOR_MS = { usual: 300, quick: 100 };
const LOOPBACK_MS = { usual: 700, quick: 150 };

export interface MeasureOptions {
  /** Absolute path. */
  readonly folder: string;
  /** Of the large file; undefined: what is usual, less where the disk is slow or nearly full. */
  readonly bytes: number | undefined;
  readonly quick: boolean;
  /** Where CPU profiles go. */
  readonly profile: string | undefined;
  readonly access: DiskAccess;
  readonly startThreads: (timers: Timers, processors: number) => DiskThreads;
}

export interface Measured {
  readonly figures: Figures;
  /** Files with CPU profiles. */
  readonly profiles: readonly string[];
}

/**
 * @throws {SamerootError} `FOLDER_MISSING`, `FOLDER_NOT_DIRECTORY`, `FOLDER_UNREADABLE`, `FOLDER_READ_ONLY`, `DISK_FULL`, `IO_ERROR`;
 *   `CLOSED` if it was stopped. The folder is as it was, whatever happens
 */
export async function measureHost(options: MeasureOptions, control: Control): Promise<Measured> {
  const { folder, access, quick } = options;
  const world = realWorld(silentLog);
  requireFolder(access.disk, folder);
  const amounts = amountsOf(options);
  requireRoom(access.disk, folder, storageBytes(amounts.large, amounts.small));
  using workspace = Workspace.make(access.disk, world.random, folder);
  const profiler = options.profile === undefined ? undefined : await Profiler.start(options.profile);
  const threads = options.startThreads(world.timers, availableParallelism());
  // What they have under way is written before the folder goes, or it would come back.
  await using _threads = { [Symbol.asyncDispose]: () => closeDiskThreads(threads) };
  await using peer = new Peer(join(workspace.path, 'peer'));
  const share = createShare('bench', NO_FOUNDER, world.random);
  const parts = { ground: { world, access, threads, share }, peer, workspace, amounts, pace: quick ? 'quick' : 'usual' } as const;
  let profiles: readonly string[] = [];
  let figures: Figures;
  try {
    figures = await measureParts(parts, control);
  } finally {
    // Also of a run that was stopped: it may have been stopped because it took so long.
    profiles = (await profiler?.stop()) ?? [];
  }
  return { figures, profiles };
}

interface Parts {
  readonly ground: Ground;
  readonly peer: Peer;
  readonly workspace: Workspace;
  readonly amounts: { readonly large: Amount; readonly small: Amount };
  readonly pace: 'usual' | 'quick';
}

async function measureParts({ ground, peer, workspace, amounts, pace }: Parts, control: Control): Promise<Figures> {
  const below = (name: string): string => join(workspace.path, name);
  // Threads that start take the processor from what is measured first.
  const ready = [ground.threads.read, ground.threads.write].map((thread) => thread.call('look', { root: workspace.path, paths: [] }));
  await control.orStop(Promise.all([...ready, peer.ready()]));
  const payload = new Payload(ground.share, ground.world.random);
  const hashRate = await measureHash(payload, PROCESSOR_MS[pace], control);
  const scanRate = await measureChunkScan(payload, PROCESSOR_MS[pace], control);
  const large = await measureLarge(ground, below('large'), payload, amounts.large, control);
  const small = await measureSmall(ground, below('small'), payload, amounts.small, control);
  const loopback = await measureLoopback(peer, below('own'), payload, LOOPBACK_MS[pace], control);
  const hash = { implementation: hashImplementation(), bytesPerSecond: hashRate };
  return { hash, chunkScan: { bytesPerSecond: scanRate }, large, small, loopback };
}

function amountsOf({ folder, bytes, quick, access }: MeasureOptions): { readonly large: Amount; readonly small: Amount } {
  const small = { count: quick ? BENCH_LIMITS.filesQuick : BENCH_LIMITS.filesDefault, mayShrink: true };
  if (bytes !== undefined) return { large: { count: bytes, mayShrink: false }, small };
  // On a disk that is nearly full less is written, down to what still says something.
  const fits = (count: number): boolean => storageBytes({ count, mayShrink: true }, small) <= roomBytes(access.disk, folder);
  let count = quick ? BENCH_LIMITS.bytesQuick : BENCH_LIMITS.bytesDefault;
  while (count > BENCH_LIMITS.bytesMin && !fits(count)) count /= 2;
  return { large: { count, mayShrink: true }, small };
}
