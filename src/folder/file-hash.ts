/**
 * The content of files on the disk: opened, read once, cut into chunks and hashed. Synchronous, in a disk thread.
 *
 * Invariant: a content id is reported with a stat only if every byte was read while the file had that stat, and any
 * later change of the file shows in its stat. The second half needs care: file systems stamp times with the kernel's
 * tick (4 ms here), so a file that was written just now could be written again without a trace. Its reader waits
 * until the clock has moved on.
 *
 * A large file is read in runs of chunks by several threads. They share no open file, but a stat: once it is settled,
 * each run is read from what has that stat, before it and after it, which is the same file without a change between.
 */
import { asBuffer } from '../base/bytes.ts';
import { messageOf, SamerootError, systemCode, type ErrorCode } from '../base/errors.ts';
import { CHUNK_BYTES_MAX } from '../base/limits.ts';
import type { Clock } from '../base/world.ts';
import { makeChunkMemory, type ChunkMemory } from '../content/chunk-memory.ts';
import { cutRun, RUN_MEMORY_BYTES, type Chunking, type ChunkRun, type RunRequest } from '../content/chunk-run.ts';
import { ContentListBuilder, type ContentId } from '../content/content-list.ts';
import { hash } from '../content/hash.ts';
import { diskStat, kindOf } from './disk-stat.ts';
import { OPEN, TICK_MS_MAX, type Disk } from './disk.ts';
import { problemCode } from './folder-walk.ts';
import { leadsOutside } from './links.ts';
import { sameStat, type DiskStat } from './placed.ts';
import { readSettledLink } from './settled-link.ts';
import { giveAway } from './transfer.ts';

/** In chunks of the largest size, as many files' lengths are; 4 MiB where a share has the default chunks. */
const WHOLE_CHUNKS_MAX = 16;
const MEMORY_BYTES: number = Math.max(WHOLE_CHUNKS_MAX * CHUNK_BYTES_MAX, RUN_MEMORY_BYTES);
/** Never blocks on a pipe that took the file's place, never follows a link. */
const OPEN_FLAGS: number = OPEN.readOnly | OPEN.noFollow | OPEN.nonBlocking;

export interface ListPage {
  readonly hash: Uint8Array;
  readonly page: Uint8Array;
}

/** What hashing needs of the world: the age of a file is asked of the clock. */
export interface FileWorld {
  readonly disk: Disk;
  readonly clock: Clock;
}

/** Why a path was not read. */
export type Unread =
  { readonly state: 'gone' | 'changing' } | { readonly state: 'problem'; readonly code: ErrorCode; readonly message: string };

/** What was found at a path. `large`: a file to be read in runs. */
export type Examined =
  | { readonly state: 'file'; readonly stat: DiskStat; readonly content: ContentId; readonly pages: readonly ListPage[] }
  | { readonly state: 'large'; readonly stat: DiskStat }
  | { readonly state: 'directory'; readonly stat: DiskStat }
  | { readonly state: 'symlink'; readonly stat: DiskStat; readonly target: Uint8Array }
  | Unread;

export type LargeStat = { readonly state: 'settled'; readonly stat: DiskStat } | Unread;
export type LargeRun = { readonly state: 'read'; readonly run: ChunkRun } | Unread;

let memory: ChunkMemory | undefined;

/** One for all files: they are read one after the other, and nobody keeps a view of it. */
function sharedMemory(): ChunkMemory {
  return (memory ??= makeChunkMemory(MEMORY_BYTES));
}

/** Files up to this size are read in one go, many to a job. */
export function wholeBytesMax({ parameters }: Chunking): number {
  return WHOLE_CHUNKS_MAX * parameters.maxBytes;
}

export function examine(world: FileWorld, root: string, path: string, chunking: Chunking): Examined {
  try {
    const stats = world.disk.lstat(`${root}/${path}`);
    if (stats === undefined) return { state: 'gone' };
    const kind = kindOf(stats);
    if (kind === 'directory') return { state: kind, stat: diskStat(stats) };
    if (kind === 'symlink') return examineLink(world, root, path);
    if (kind === undefined) return { state: 'problem', code: 'FILE_KIND', message: 'neither a file nor a folder nor a symlink' };
    return stats.size > wholeBytesMax(chunking) ? { state: 'large', stat: diskStat(stats) } : hashWhole(world, `${root}/${path}`, chunking);
  } catch (error) {
    return failed(error);
  }
}

function examineLink(world: FileWorld, root: string, path: string): Examined {
  const link = readSettledLink(world, `${root}/${path}`);
  if (link === undefined) return { state: 'changing' };
  const { stat, target } = link;
  if (leadsOutside(path, asBuffer(target).toString('latin1'))) {
    return { state: 'problem', code: 'LINK_OUTSIDE', message: `the link leads to ${asBuffer(target).toString('utf8')}` };
  }
  return { state: 'symlink', stat, target: Uint8Array.from(target) };
}

function hashWhole(world: FileWorld, file: string, chunking: Chunking): Examined {
  const { disk } = world;
  const handle = disk.open(file, OPEN_FLAGS);
  try {
    const stat = settledStat(world, handle);
    if (stat === undefined) return { state: 'changing' };
    const memory = sharedMemory();
    const bytes = fill(disk, handle, memory.bytes, 0, Math.min(stat.bytes, memory.bytes.length), 0);
    if (bytes !== stat.bytes || !unchanged(disk, handle, stat)) return { state: 'changing' };
    const pages: ListPage[] = [];
    const builder = listBuilder(pages);
    cutAll(memory, bytes, true, chunking, builder);
    return { state: 'file', stat, content: Uint8Array.from(builder.finish().id), pages };
  } finally {
    disk.close(handle);
  }
}

/** The stat of a file that is at rest: that of all its runs. */
export function largeStat(world: FileWorld, root: string, path: string): LargeStat {
  return withFile(world.disk, `${root}/${path}`, (handle) => {
    const stat = settledStat(world, handle);
    return stat === undefined ? { state: 'changing' } : { state: 'settled', stat };
  });
}

/** The chunks of a part of a file that has this stat, which must be settled. */
export function largeRun(disk: Disk, file: string, stat: DiskStat, chunking: Chunking, request: RunRequest): LargeRun {
  return withFile(disk, file, (handle) => {
    if (!unchanged(disk, handle, stat)) return { state: 'changing' };
    const run = cutRun(sharedMemory(), (target, from, to, offset) => fill(disk, handle, target, from, to, offset), chunking, request);
    if (run === undefined || !unchanged(disk, handle, stat)) return { state: 'changing' };
    giveAway(run.sizes.buffer);
    giveAway(run.hashes.buffer);
    return { state: 'read', run };
  });
}

/** Errors of the system concern this file and are its state; others are thrown. */
function withFile<T>(disk: Disk, file: string, work: (handle: number) => T): T | Unread {
  try {
    const handle = disk.open(file, OPEN_FLAGS);
    try {
      return work(handle);
    } finally {
      disk.close(handle);
    }
  } catch (error) {
    if (error instanceof SamerootError || systemCode(error) === undefined) throw error;
    return failed(error);
  }
}

function listBuilder(pages: { push(page: ListPage): unknown }): ContentListBuilder {
  return new ContentListBuilder((pageHash, page) => {
    const copy = Uint8Array.from(page);
    giveAway(copy.buffer);
    pages.push({ hash: Uint8Array.from(pageHash), page: copy });
  });
}

/** Adds the chunks of the first `end` bytes; returns where the last one ends. */
function cutAll(memory: ChunkMemory, end: number, last: boolean, { gear, parameters }: Chunking, builder: ContentListBuilder): number {
  let start = 0;
  for (;;) {
    const cut = memory.nextCut(gear, parameters, start, end, last);
    if (cut === undefined) return start;
    builder.add({ hash: hash('chunk', memory.bytes.subarray(start, cut)), bytes: cut - start });
    start = cut;
  }
}

/** Reads until buffer[from, to) is full or the file ends; returns the end of what was read. */
function fill(disk: Disk, handle: number, buffer: Buffer, from: number, to: number, position: number): number {
  let at = from;
  while (at < to) {
    const read = disk.read(handle, buffer, at, to - at, position + at - from);
    if (read === 0) break;
    at += read;
  }
  return at;
}

/** The stat of an open file, after the tick in which it was last changed; `undefined` if it is no file or changes again. */
function settledStat({ disk, clock }: FileWorld, handle: number): DiskStat | undefined {
  const stats = disk.fstat(handle);
  if (!stats.isFile()) return undefined;
  const ageMs = clock.wallMs() - stats.ctimeMs;
  // A clock in whole milliseconds is a little behind the file's; one that is far off says nothing of the age.
  if (Math.abs(ageMs) > TICK_MS_MAX) return diskStat(stats);
  disk.nextTick();
  return unchanged(disk, handle, diskStat(stats)) ? diskStat(stats) : undefined;
}

function unchanged(disk: Disk, handle: number, stat: DiskStat): boolean {
  return sameStat(diskStat(disk.fstat(handle)), stat);
}

function failed(error: unknown): Unread {
  const system = systemCode(error);
  if (system === 'ENOENT' || system === 'ENOTDIR') return { state: 'gone' };
  // The path became a link or a pipe between stat and open.
  if (system === 'ELOOP' || system === 'ENXIO') return { state: 'changing' };
  if (error instanceof SamerootError) return { state: 'problem', code: error.code, message: error.message };
  return { state: 'problem', code: problemCode(system), message: messageOf(error) };
}

/** The bytes of some ranges of a file, if it has the expected stat before and after they are read. */
export function readRanges(
  disk: Disk,
  file: string,
  expected: DiskStat | undefined,
  ranges: readonly { readonly offsetBytes: number; readonly bytes: number }[],
  target: Uint8Array,
  targetOffset: number,
): number | undefined {
  let handle: number;
  try {
    handle = disk.open(file, OPEN_FLAGS);
  } catch {
    return undefined;
  }
  try {
    const before = disk.fstat(handle);
    if (!before.isFile() || (expected !== undefined && !sameStat(diskStat(before), expected))) return undefined;
    let at = targetOffset;
    for (const { offsetBytes, bytes } of ranges) {
      if (fill(disk, handle, asBuffer(target), at, at + bytes, offsetBytes) < at + bytes) return undefined;
      at += bytes;
    }
    return unchanged(disk, handle, diskStat(before)) ? at : undefined;
  } catch {
    return undefined;
  } finally {
    disk.close(handle);
  }
}
