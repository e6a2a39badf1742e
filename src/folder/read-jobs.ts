/**
 * The jobs of the read thread: list, look, hash, and read for peers. Walks go on over several jobs; their state stays
 * here under a number, until they end or are closed. Hashing keeps nothing, so that any thread can do it.
 */
import { messageOf, SamerootError, systemCode } from '../base/errors.ts';
import { FRAME_HEAD_ROOM_BYTES } from '../base/limits.ts';
import type { Clock } from '../base/world.ts';
import type { Chunking, RunRequest } from '../content/chunk-run.ts';
import { diskStat, kindOf } from './disk-stat.ts';
import type { Disk } from './disk.ts';
import { examine, largeRun, largeStat, readRanges, type Examined, type FileWorld, type LargeRun, type LargeStat } from './file-hash.ts';
import { FolderWalk, problemCode, WALK_KINDS, type PathProblem, type WalkSlice } from './folder-walk.ts';
import { IgnoreRules, NO_RULES, readRules } from './ignore.ts';
import { checkMarker } from './marker.ts';
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

export interface ReadItem {
  /** Below the root; the first that holds the expected bytes counts. */
  readonly path: string;
  /** `undefined`: files of ours, which nobody changes. */
  readonly stat: DiskStat | undefined;
  readonly ranges: readonly { readonly offsetBytes: number; readonly bytes: number }[];
}

/** Public methods are jobs: see `disk-jobs.ts`. */
export class ReadJobs {
  readonly #disk: Disk;
  readonly #world: FileWorld;
  readonly #walks = new Map<number, FolderWalk>();
  #nextHandle = 1;
  #lastRules = NO_RULES;

  constructor(disk: Disk, clock: Clock) {
    this.#disk = disk;
    this.#world = { disk, clock };
  }

  openWalk(input: { root: string; rules: string; starts?: readonly string[] }): number {
    const handle = this.#nextHandle++;
    this.#walks.set(handle, new FolderWalk(this.#disk, input.root, this.#rulesOf(input.rules), input.starts));
    return handle;
  }

  walkSlice(input: { handle: number; max: number }): WalkSlice {
    const walk = this.#walks.get(input.handle);
    if (walk === undefined) throw new SamerootError('CLOSED', 'the walk has ended');
    const slice = walk.slice(input.max);
    if (slice.done) this.#walks.delete(input.handle);
    giveAway(slice.stats.buffer);
    giveAway(slice.births.buffer);
    return slice;
  }

  closeWalk(input: { handle: number }): void {
    this.#walks.delete(input.handle);
  }

  /** The stat of each path. Links are not followed, nor is there anything below one. */
  look(input: { root: string; paths: readonly string[] }): Looked {
    const kinds = new Uint8Array(input.paths.length).fill(NO_KIND);
    const stats = new StatColumns(input.paths.length);
    const problems: PathProblem[] = [];
    const folders = new Map<string, boolean>();
    for (const [index, path] of input.paths.entries()) {
      try {
        if (!isRealFolder(this.#disk, input.root, parentPath(path), folders)) continue;
        const found = this.#disk.lstat(`${input.root}/${path}`);
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

  /** The folders directly in each of the given folders (`''`: the top), as paths. */
  subfolders(input: { root: string; rules: string; paths: readonly string[] }): string[] {
    const rules = this.#rulesOf(input.rules);
    const found: string[] = [];
    for (const path of input.paths) {
      const prefix = path === '' ? '' : `${path}/`;
      let names: readonly string[];
      try {
        names = this.#disk.subfolders(`${input.root}/${path}`);
      } catch {
        continue; // Gone or unreadable: the scan reports it.
      }
      for (const name of names) {
        if (name !== OWN_FOLDER && !name.includes('\ufffd') && !rules.ignores(prefix + name, true)) found.push(prefix + name);
      }
    }
    return found;
  }

  /** @throws {SamerootError} see `checkMarker` */
  checkMarker(input: { root: string; shareId: Uint8Array }): void {
    checkMarker(this.#disk, input.root, input.shareId);
  }

  /** The text of the ignore rules. @throws {SamerootError} `IO_ERROR` */
  readRules(input: { root: string }): string {
    return readRules(this.#disk, input.root);
  }

  examineAll(input: { root: string; paths: readonly string[]; chunking: Chunking }): Examined[] {
    return input.paths.map((path) => examine(this.#world, input.root, path, input.chunking));
  }

  /** The stat of a large file, for the `largeRun` of each part. */
  largeStat(input: { root: string; path: string }): LargeStat {
    return largeStat(this.#world, input.root, input.path);
  }

  largeRun(input: { root: string; path: string; stat: DiskStat; chunking: Chunking; request: RunRequest }): LargeRun {
    return largeRun(this.#disk, `${input.root}/${input.path}`, input.stat, input.chunking, input.request);
  }

  /**
   * The bytes of each item, its ranges one after the other; `undefined` where the file is not what is expected. All
   * results are in one buffer, which is moved to the caller: `block`, if it is long enough. Before the first result, which
   * starts there, it has `FRAME_HEAD_ROOM_BYTES` that nobody uses.
   */
  readFiles(input: { root: string; items: readonly ReadItem[]; block?: Uint8Array<ArrayBuffer> | undefined }): (Uint8Array | undefined)[] {
    const sizes = input.items.map((item) => item.ranges.reduce((sum, range) => sum + range.bytes, 0));
    const bytes = sizes.reduce((sum, size) => sum + size, FRAME_HEAD_ROOM_BYTES);
    const { block: given } = input;
    // A new one is not zeroed first, and not from the shared pool: it is moved to the caller.
    const block = given !== undefined && given.length >= bytes ? Buffer.from(given.buffer) : Buffer.allocUnsafeSlow(bytes);
    giveAway(block.buffer);
    let at = FRAME_HEAD_ROOM_BYTES;
    return input.items.map(({ path, stat, ranges }) => {
      const end = readRanges(this.#disk, `${input.root}/${path}`, stat, ranges, block, at);
      if (end === undefined) return undefined;
      const bytes = block.subarray(at, end);
      at = end;
      return bytes;
    });
  }

  #rulesOf(text: string): IgnoreRules {
    if (this.#lastRules.text !== text) this.#lastRules = new IgnoreRules(text);
    return this.#lastRules;
  }
}

/** The path is a folder, and so is everything on the way to it; `known` keeps the answers. */
function isRealFolder(disk: Disk, root: string, path: string | undefined, known: Map<string, boolean>): boolean {
  if (path === undefined) return true;
  let answer = known.get(path);
  if (answer === undefined) {
    const above = isRealFolder(disk, root, parentPath(path), known);
    answer = above && disk.lstat(`${root}/${path}`)?.isDirectory() === true;
    known.set(path, answer);
  }
  return answer;
}
