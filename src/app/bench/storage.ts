/**
 * How fast this disk, its file system and the database take files in and give them out, with the product's own code: first
 * as the target of a sync, which leaves the files, then as the source of one, which reads them.
 *
 * How slow a disk is shows before much was written to it: a little is measured first, and where no size was asked for it
 * grows only as long as a run is over in a moment.
 */
import { join } from 'node:path';
import { assert } from '../../base/assert.ts';
import { MIB } from '../../base/limits.ts';
import { OWN_FOLDER } from '../../folder/paths.ts';
import { formatBytes, formatCount } from '../quantities.ts';
import { BenchHost, type Ground } from './bench-host.ts';
import { secondsSince, type Control } from './control.ts';
import type { Figures } from './first-sync.ts';
import { SMALL_FILE_BYTES, type Payload } from './payload.ts';

export interface Amount {
  readonly count: number;
  /** Not asked for: less will do on a slow disk. */
  readonly mayShrink: boolean;
}

const FIRST_BYTES: number = 8 * MIB;
const FIRST_FILES = 50;
const GROWTH = 8;
/** A run of this length is not repeated with more. */
const SECONDS_ENOUGH = 0.4;

/** What the files of both measurements take on the disk at most, those of the shorter runs included. */
export function storageBytes(large: Amount, small: Amount): number {
  const sum = (counts: Iterable<number>): number => [...counts].reduce((total, count) => total + count, 0);
  return sum(growing(FIRST_BYTES, large)) + sum(growing(FIRST_FILES, small)) * SMALL_FILE_BYTES;
}

/** How much the runs are measured with, the first of which compiles the code. */
function* growing(first: number, { count, mayShrink }: Amount): Generator<number> {
  if (mayShrink) for (let next = first; next < count; next *= GROWTH) yield next;
  else if (first < count) yield first;
  yield count;
}

interface Run {
  /** What it was really measured with. */
  readonly count: number;
  readonly seconds: number;
}

/** The last run, which is the one that counts. */
async function grow(first: number, wanted: Amount, run: (count: number) => Promise<Run>): Promise<Run> {
  let last: Run | undefined;
  for (const count of growing(first, wanted)) {
    if (wanted.mayShrink && last !== undefined && last.seconds > SECONDS_ENOUGH) break;
    last = await run(count);
  }
  assert(last !== undefined, 'there is a run for any amount');
  return last;
}

export async function measureLarge(
  ground: Ground,
  root: string,
  payload: Payload,
  wanted: Amount,
  control: Control,
): Promise<Figures['large']> {
  let files = 0;
  let allBytes = 0;
  const received = await asTarget(ground, root, (host) =>
    grow(FIRST_BYTES, wanted, async (size) => {
      const content = payload.large(size);
      const sinceMs = performance.now();
      await host.receiveLarge(`${++files}.bin`, content, payload.largeFrames(size), control, `writing a file of ${formatBytes(size)}`);
      allBytes += content.bytes;
      return { count: content.bytes, seconds: secondsSince(sinceMs) };
    }),
  );
  await using host = await BenchHost.open(ground, root);
  const indexedMs = performance.now();
  await host.index(files, control, `reading and hashing ${formatBytes(allBytes)}`);
  const sourceBytesPerSecond = allBytes / secondsSince(indexedMs);
  const readMs = performance.now();
  const readBytes = await host.readAll(`${files}.bin`, control, 'reading for a peer');
  const readBytesPerSecond = readBytes / secondsSince(readMs);
  return { bytes: received.count, targetBytesPerSecond: received.count / received.seconds, sourceBytesPerSecond, readBytesPerSecond };
}

export async function measureSmall(
  ground: Ground,
  root: string,
  payload: Payload,
  wanted: Amount,
  control: Control,
): Promise<Figures['small']> {
  let files = 0;
  const received = await asTarget(ground, root, (host) =>
    grow(FIRST_FILES, wanted, async (count) => {
      const contents = payload.small(count);
      const sinceMs = performance.now();
      await host.receiveSmall(`of-${count}`, contents, control, `writing ${formatCount(count)} small files`);
      files += count;
      return { count, seconds: secondsSince(sinceMs) };
    }),
  );
  await using host = await BenchHost.open(ground, root);
  const sinceMs = performance.now();
  await host.index(files, control, `reading and hashing ${formatCount(files)} small files`);
  return {
    files: received.count,
    fileBytes: SMALL_FILE_BYTES,
    targetFilesPerSecond: received.count / received.seconds,
    sourceFilesPerSecond: files / secondsSince(sinceMs),
  };
}

/** The files that `work` leaves stay when the host is forgotten, as if a user had put them there. */
async function asTarget<T>(ground: Ground, root: string, work: (host: BenchHost) => Promise<T>): Promise<T> {
  const host = await BenchHost.open(ground, root);
  try {
    return await work(host);
  } finally {
    await host[Symbol.asyncDispose]();
    ground.access.disk.removeTree(join(root, OWN_FOLDER));
  }
}
