/**
 * A walk over the shared folder, or over some paths of it, in the bytewise order of full paths: the order of the
 * `placed` table, so that the two can be compared in one pass. Synchronous, in a disk thread, in slices.
 *
 * In that order a folder `a` comes at `a`, but what is in it comes at `a/...`, after a sibling `a-b`. So a folder waits
 * on a stack until the next sibling is past `a/`. Siblings before that all start with `a`, hence the stack is in order.
 *
 * Invariants: symlinks are never followed, neither at a path nor on the way to it. What cannot be read is a problem at
 * its path, never an absence: who compares must not take it for a delete. Memory is the names of one folder per level.
 */
import { asBuffer, fromUtf8 } from '../base/bytes.ts';
import { messageOf, SamerootError, systemCode, type ErrorCode } from '../base/errors.ts';
import { diskStat, kindOf } from './disk-stat.ts';
import type { Disk, FileStats } from './disk.ts';
import type { IgnoreRules } from './ignore.ts';
import { OWN_FOLDER, pathProblem } from './paths.ts';
import type { PlacedKind } from './placed.ts';
import { StatColumns } from './stat-columns.ts';

export const WALK_KINDS: readonly PlacedKind[] = ['file', 'symlink', 'directory'];

export interface PathProblem {
  readonly path: string;
  readonly code: ErrorCode;
  readonly message: string;
}

/** Columns of equal length: path, kind (index into WALK_KINDS), stat, time of birth. */
export interface WalkSlice {
  readonly paths: string[];
  readonly kinds: Uint8Array;
  readonly stats: Float64Array<ArrayBuffer>;
  /** When the inode was created, in ms; 0 where the file system does not say. */
  readonly births: Float64Array<ArrayBuffer>;
  /** Of this slice's range of paths; nothing is known of such a path and of what lies below it. */
  readonly problems: PathProblem[];
  readonly done: boolean;
}

interface Frame {
  /** `''` or a folder with its slash. */
  readonly prefix: string;
  readonly names: readonly string[];
  next: number;
  /** Folders of this frame that were met and not yet entered. */
  readonly waiting: string[];
}

/** Orders strings as their UTF-8 forms; JavaScript's own order puts U+E000 to U+FFFF after all else. */
export function compareText(a: string, b: string): number {
  const end = Math.min(a.length, b.length);
  for (let at = 0; at < end; at++) {
    const x = a.charCodeAt(at);
    const y = b.charCodeAt(at);
    if (x !== y) return utf8Rank(x) - utf8Rank(y);
  }
  return a.length - b.length;
}

/** Surrogates stand for characters beyond U+FFFF: they belong after U+E000 to U+FFFF. */
function utf8Rank(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit >= 0xe000 ? unit - 0x800 : unit + 0x2000;
}

export class FolderWalk {
  readonly #disk: Disk;
  readonly #root: string;
  readonly #rules: IgnoreRules;
  readonly #frames: Frame[] = [];
  #problems: PathProblem[] = [];

  /** Everything, or with `starts` (sound, sorted by `compareText`, none within another) those paths and what is below them. */
  constructor(disk: Disk, root: string, rules: IgnoreRules, starts?: readonly string[]) {
    this.#disk = disk;
    this.#root = root;
    this.#rules = rules;
    if (starts === undefined) this.#enter('');
    else this.#frames.push({ prefix: '', names: starts.filter((path) => this.#reachable(path)), next: 0, waiting: [] });
  }

  /** The next `max` paths. */
  slice(max: number): WalkSlice {
    const paths: string[] = [];
    const kinds = new Uint8Array(max);
    const stats = new StatColumns(max);
    const births = new Float64Array(max);
    for (let frame = this.#frames.at(-1); frame !== undefined && paths.length < max; frame = this.#frames.at(-1)) {
      const name = frame.names[frame.next];
      const folder = frame.waiting.at(-1);
      if (folder !== undefined && (name === undefined || compareText(`${folder}/`, name) < 0)) {
        frame.waiting.pop();
        this.#enter(`${frame.prefix}${folder}/`);
        continue;
      }
      if (name === undefined) {
        this.#frames.pop();
        continue;
      }
      frame.next++;
      const path = frame.prefix + name;
      const found = this.#look(path);
      if (found === undefined) continue;
      const { kind, stat } = found;
      if (kind === 'directory') frame.waiting.push(name);
      kinds[paths.length] = WALK_KINDS.indexOf(kind);
      stats.set(paths.length, diskStat(stat));
      births[paths.length] = stat.birthtimeMs;
      paths.push(path);
    }
    const problems = this.#problems;
    this.#problems = [];
    return { paths, kinds, stats: stats.numbers, births, problems, done: this.#frames.length === 0 };
  }

  #look(path: string): { kind: PlacedKind; stat: FileStats } | undefined {
    const unsound = path.length > 1000 ? pathProblem(path) : undefined;
    if (unsound !== undefined) {
      this.#report(path, unsound, 'the path is too long');
      return undefined;
    }
    try {
      const stat = this.#disk.lstat(`${this.#root}/${path}`);
      if (stat === undefined) return undefined;
      const kind = kindOf(stat);
      if (this.#rules.ignores(path, kind === 'directory')) return undefined;
      if (kind !== undefined) return { kind, stat };
      this.#report(path, 'FILE_KIND', 'neither a file nor a folder nor a symlink');
    } catch (error) {
      this.#fail(path, error);
    }
    return undefined;
  }

  #enter(prefix: string): void {
    const folder = prefix.slice(0, -1);
    try {
      const names = this.#names(prefix, this.#disk.readdir(`${this.#root}/${prefix}`));
      if (names.length > 0) this.#frames.push({ prefix, names, next: 0, waiting: [] });
    } catch (error) {
      // Without its top the folder would look like a folder where everything was deleted.
      if (prefix === '') throw new SamerootError('FOLDER_MISSING', messageOf(error), { cause: error });
      this.#fail(folder, error);
    }
  }

  #names(prefix: string, found: string[]): readonly string[] {
    let names = found;
    // The replacement character stands for bytes that are not UTF-8, or, rarely, for itself.
    if (names.some((name) => name.includes('\ufffd'))) names = this.#readExactly(prefix);
    if (names.includes(OWN_FOLDER)) {
      names = names.filter((name) => name !== OWN_FOLDER);
      if (prefix !== '') this.#report(prefix + OWN_FOLDER, 'FOLDER_NESTED', 'a folder inside this one is a share of its own');
    }
    return names.some((name) => /[\ud800-\uffff]/.test(name)) ? names.sort(compareText) : names.sort();
  }

  #readExactly(prefix: string): string[] {
    const names: string[] = [];
    for (const bytes of this.#disk.readdirBytes(`${this.#root}/${prefix}`)) {
      const name = fromUtf8(bytes);
      if (name === undefined) this.#report(prefix + asBuffer(bytes).toString('utf8'), 'NAME_NOT_UTF8', 'the name is not UTF-8');
      else names.push(name);
    }
    return names;
  }

  /** Sound, not ours, not ignored, and no folder on the way is a symlink or missing. */
  #reachable(path: string): boolean {
    if (pathProblem(path) !== undefined) return false;
    for (let slash = path.indexOf('/'); slash >= 0; slash = path.indexOf('/', slash + 1)) {
      const parent = path.slice(0, slash);
      if (this.#rules.ignores(parent, true)) return false;
      try {
        if (this.#disk.lstat(`${this.#root}/${parent}`)?.isDirectory() !== true) return false;
      } catch (error) {
        this.#fail(path, error);
        return false;
      }
    }
    return true;
  }

  #fail(path: string, error: unknown): void {
    const code = systemCode(error);
    // Gone or replaced between two calls: the next event or scan sees what came of it.
    if (code === 'ENOENT' || code === 'ENOTDIR') return;
    this.#report(path, problemCode(code), messageOf(error));
  }

  #report(path: string, code: ErrorCode, message: string): void {
    this.#problems.push({ path, code, message });
  }
}

/** The code under which a file system error at a path is listed. */
export function problemCode(code: string | undefined): ErrorCode {
  if (code === 'EACCES' || code === 'EPERM') return 'FILE_UNREADABLE';
  return code === 'ENAMETOOLONG' ? 'NAME_TOO_LONG' : 'IO_ERROR';
}
