/**
 * The jobs of the read thread: list, look, hash, and read for peers. Walks and large files go on over several jobs;
 * their state stays in the thread under a number, until they end or are closed.
 */
import { lstatSync, readdirSync } from 'node:fs';
import { messageOf, SamerootError, systemCode } from '../base/errors.ts';
import type { ContentId } from '../content/content-list.ts';
import { diskStat, kindOf } from './disk-stat.ts';
import { examine, LargeHash, readRanges, type Chunking, type Examined, type ListPage } from './file-hash.ts';
import { FolderWalk, problemCode, WALK_KINDS, type PathProblem, type WalkSlice } from './folder-walk.ts';
import { IgnoreRules } from './ignore.ts';
import { OWN_FOLDER, parentPath } from './paths.ts';
import type { DiskStat } from './placed.ts';
import { StatColumns } from './stat-columns.ts';
import { giveAway } from './transfer.ts';

/** What a walk slice says of a path that is not there. */
export const NO_KIND = 0xff;

export interface Looked {
  /** Index into WALK_KINDS, or NO_KIND. */
  readonly kinds: Uint8Array;
  readonly stats: Float64Array<ArrayBuffer>;
  readonly problems: readonly PathProblem[];
}

export interface LargeSlice {
  readonly pages: readonly ListPage[];
  readonly changing: boolean;
  readonly content: ContentId | undefined;
  readonly stat: DiskStat;
}

export interface ReadItem {
  /** Below the root; the first that holds the expected bytes counts. */
  readonly path: string;
  /** `undefined`: files of ours, which nobody changes. */
  readonly stat: DiskStat | undefined;
  readonly ranges: readonly { readonly offsetBytes: number; readonly bytes: number }[];
}

const walks = new Map<number, FolderWalk>();
const larges = new Map<number, LargeHash>();
let nextHandle = 1;
let lastRules = new IgnoreRules('');

function rulesOf(text: string): IgnoreRules {
  if (lastRules.text !== text) lastRules = new IgnoreRules(text);
  return lastRules;
}

function openWalk(input: { root: string; rules: string; starts?: readonly string[] }): number {
  const handle = nextHandle++;
  walks.set(handle, new FolderWalk(input.root, rulesOf(input.rules), input.starts));
  return handle;
}

function walkSlice(input: { handle: number; max: number }): WalkSlice {
  const walk = walks.get(input.handle);
  if (walk === undefined) throw new SamerootError('CLOSED', 'the walk has ended');
  const slice = walk.slice(input.max);
  if (slice.done) walks.delete(input.handle);
  giveAway(slice.stats.buffer);
  giveAway(slice.births.buffer);
  return slice;
}

function closeWalk(input: { handle: number }): void {
  walks.delete(input.handle);
}

/** The stat of each path. Links are not followed, nor is there anything below one. */
function look(input: { root: string; paths: readonly string[] }): Looked {
  const kinds = new Uint8Array(input.paths.length).fill(NO_KIND);
  const stats = new StatColumns(input.paths.length);
  const problems: PathProblem[] = [];
  const folders = new Map<string, boolean>();
  for (const [index, path] of input.paths.entries()) {
    try {
      if (!isRealFolder(input.root, parentPath(path), folders)) continue;
      const found = lstatSync(`${input.root}/${path}`, { throwIfNoEntry: false });
      const kind = found === undefined ? undefined : kindOf(found);
      if (found === undefined || kind === undefined) continue;
      kinds[index] = WALK_KINDS.indexOf(kind);
      stats.set(index, diskStat(found));
    } catch (error) {
      const code = systemCode(error);
      if (code !== 'ENOENT' && code !== 'ENOTDIR') problems.push({ path, code: problemCode(code), message: messageOf(error) });
    }
  }
  giveAway(stats.numbers.buffer);
  return { kinds, stats: stats.numbers, problems };
}

/** The path is a folder, and so is everything on the way to it; `known` keeps the answers. */
function isRealFolder(root: string, path: string | undefined, known: Map<string, boolean>): boolean {
  if (path === undefined) return true;
  let answer = known.get(path);
  if (answer === undefined) {
    const above = isRealFolder(root, parentPath(path), known);
    answer = above && lstatSync(`${root}/${path}`, { throwIfNoEntry: false })?.isDirectory() === true;
    known.set(path, answer);
  }
  return answer;
}

/** The folders directly in each of the given folders (`''`: the top), as paths. */
function subfolders(input: { root: string; rules: string; paths: readonly string[] }): string[] {
  const rules = rulesOf(input.rules);
  const found: string[] = [];
  for (const path of input.paths) {
    const prefix = path === '' ? '' : `${path}/`;
    let entries;
    try {
      entries = readdirSync(`${input.root}/${path}`, { withFileTypes: true });
    } catch {
      continue; // Gone or unreadable: the scan reports it.
    }
    for (const entry of entries) {
      if (!entry.isDirectory() || entry.name.includes('\ufffd')) continue;
      const child = prefix + entry.name;
      if (entry.name !== OWN_FOLDER && !rules.ignores(child, true)) found.push(child);
    }
  }
  return found;
}

function examineAll(input: { root: string; paths: readonly string[]; chunking: Chunking }): Examined[] {
  return input.paths.map((path) => examine(input.root, path, input.chunking));
}

/** `undefined` if the file is being changed. */
function openLarge(input: { root: string; path: string; chunking: Chunking }): number | undefined {
  const large = LargeHash.open(input.root, input.path, input.chunking);
  if (large === undefined) return undefined;
  const handle = nextHandle++;
  larges.set(handle, large);
  return handle;
}

function largeSlice(input: { handle: number; maxBytes: number }): LargeSlice {
  const large = larges.get(input.handle);
  if (large === undefined) throw new SamerootError('CLOSED', 'the file is not being hashed');
  return { ...large.slice(input.maxBytes), stat: large.stat };
}

function closeLarge(input: { handle: number }): void {
  larges.get(input.handle)?.close();
  larges.delete(input.handle);
}

/**
 * The bytes of each item, its ranges one after the other; `undefined` where the file is not what is expected. All
 * results are in one buffer, which is moved to the caller.
 */
function readFiles(input: { root: string; items: readonly ReadItem[] }): (Uint8Array | undefined)[] {
  const sizes = input.items.map((item) => item.ranges.reduce((sum, range) => sum + range.bytes, 0));
  // Not zeroed first, and not from the shared pool: it is moved to the caller.
  const block = Buffer.allocUnsafeSlow(sizes.reduce((sum, size) => sum + size, 0));
  giveAway(block.buffer);
  let at = 0;
  return input.items.map(({ path, stat, ranges }) => {
    const end = readRanges(`${input.root}/${path}`, stat, ranges, block, at);
    if (end === undefined) return undefined;
    const bytes = block.subarray(at, end);
    at = end;
    return bytes;
  });
}

export const readJobs: {
  readonly openWalk: typeof openWalk;
  readonly walkSlice: typeof walkSlice;
  readonly closeWalk: typeof closeWalk;
  readonly look: typeof look;
  readonly subfolders: typeof subfolders;
  readonly examineAll: typeof examineAll;
  readonly openLarge: typeof openLarge;
  readonly largeSlice: typeof largeSlice;
  readonly closeLarge: typeof closeLarge;
  readonly readFiles: typeof readFiles;
} = { openWalk, walkSlice, closeWalk, look, subfolders, examineAll, openLarge, largeSlice, closeLarge, readFiles };

type ReadJobs = typeof readJobs;

/** The read thread as its users see it; `DiskThread` is one. */
export interface ReadThread {
  call<K extends keyof ReadJobs>(name: K, input: Parameters<ReadJobs[K]>[0]): Promise<ReturnType<ReadJobs[K]>>;
}
