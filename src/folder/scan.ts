/**
 * The comparison of the disk with a table of what is known to lie there, nearly always the `placed` table: what is new, changed
 * or gone. The only code that decides this, for a full scan and for a few paths after an event alike.
 *
 * Both sides come in the bytewise order of paths and are joined as streams, so memory does not grow with the folder.
 * Invariant: a row is reported gone only if the path was looked for and not found. Ignored paths, and paths that could
 * not be read (with all below them), are left out: nothing follows from not seeing them.
 */
import { asBuffer, concatBytes, utf8 } from '../base/bytes.ts';
import * as keyspace from '../store/keyspace.ts';
import type { Range, Row, Store } from '../store/store.ts';
import { compareText, WALK_KINDS, type PathProblem, type WalkSlice } from './folder-walk.ts';
import type { IgnoreRules } from './ignore.ts';
import { decodePlaced, sameStat, type DiskStat, type Placed, type PlacedKind } from './placed.ts';
import type { ReadThread } from './disk-jobs.ts';
import { NO_KIND } from './read-jobs.ts';
import { StatColumns } from './stat-columns.ts';

/** Paths in one slice of a walk: some 5 ms of the read thread. */
const SLICE_PATHS = 2000;

export interface Found {
  readonly kind: PlacedKind;
  readonly stat: DiskStat;
  /** When its inode was created, in ms; 0 where the file system does not say. */
  readonly birthMs: number;
}

/** A path where disk and table differ; at least one of `found` and `row` is there. */
export interface Finding {
  readonly path: string;
  readonly found: Found | undefined;
  /** The bytes of the row: who acts on a finding later checks that it is still the same. */
  readonly row: Uint8Array | undefined;
  readonly placed: Placed | undefined;
}

export interface ScanBatch {
  readonly findings: readonly Finding[];
  readonly problems: readonly PathProblem[];
  /** Paths on the disk that this batch went over. */
  readonly seen: number;
}

export interface ScannerOptions {
  readonly root: string;
  readonly store: Store;
  /** What the keys of the table begin with; the rest is a path below `root`, the value a `Placed`. */
  readonly table: Uint8Array;
  readonly thread: ReadThread;
}

/** Whether what was found is what the row says. A folder's own size and times change with its content: they say nothing. */
export function matches(found: Found, placed: Placed): boolean {
  if (found.kind !== placed.kind) return false;
  if (found.kind === 'directory') return found.stat.mode === placed.stat.mode && found.stat.inode === placed.stat.inode;
  return sameStat(found.stat, placed.stat);
}

/** `path` is one of `roots` or lies below one. */
export function isWithin(roots: ReadonlySet<string>, path: string): boolean {
  if (roots.size === 0) return false;
  for (let end = path.length; end > 0; end = path.lastIndexOf('/', end - 1)) {
    if (roots.has(path.slice(0, end))) return true;
  }
  return false;
}

/** Sorted, each once, and none that lies below another. */
export function disjointPaths(paths: Iterable<string>): string[] {
  const all = new Set(paths);
  const parent = (path: string): string => path.slice(0, Math.max(path.lastIndexOf('/'), 0));
  return [...all].filter((path) => !isWithin(all, parent(path))).sort(compareText);
}

export class Scanner {
  readonly #options: ScannerOptions;

  constructor(options: ScannerOptions) {
    this.#options = options;
  }

  /** The table holds nothing yet. */
  async isTableEmpty(): Promise<boolean> {
    const { store, table } = this.#options;
    const rows = store.iterate({ ...keyspace.prefixRange(table), limit: 1 })[Symbol.asyncIterator]();
    const { done } = await rows.next();
    await rows.return?.();
    return done === true;
  }

  /** Everything, or with `scopes` (see `disjointPaths`) those paths and what is below them. */
  async *scan(scopes: readonly string[] | undefined, rules: IgnoreRules): AsyncGenerator<ScanBatch> {
    if (scopes === undefined) {
      yield* this.#join(undefined, [keyspace.prefixRange(this.#options.table)], rules);
      return;
    }
    for (let at = 0; at < scopes.length; at += SLICE_PATHS) {
      const starts = scopes.slice(at, at + SLICE_PATHS);
      yield* this.#join(starts, await this.#segments(starts), rules);
    }
  }

  /**
   * The ranges of rows of some paths, in order. A path without folder on either side costs one read, no iterator. Only where no
   * row is, the disk is asked whether there is a folder. Below the row of a file or link there are none but those of deletes that
   * are held, and what turns up there is looked at again by itself.
   */
  async #segments(starts: readonly string[]): Promise<(Range | Row)[]> {
    const { root, store, table, thread } = this.#options;
    const segments: { at: string; rows: Range | Row }[] = [];
    const unknown: string[] = [];
    const addBelow = (path: string): void => {
      segments.push({ at: `${path}/`, rows: keyspace.prefixRange(concatBytes(table, utf8(`${path}/`))) });
    };
    for (const path of starts) {
      const key = concatBytes(table, utf8(path));
      const row = store.get(key);
      if (row === undefined) unknown.push(path);
      else segments.push({ at: path, rows: [key, row] });
      if (row !== undefined && decodePlaced(path, row).kind === 'directory') addBelow(path);
    }
    if (unknown.length > 0) {
      const { kinds } = await thread.call('look', { root, paths: unknown });
      const mayHaveRowsBelow: readonly number[] = [NO_KIND, WALK_KINDS.indexOf('directory')];
      for (const [index, path] of unknown.entries()) if (mayHaveRowsBelow.includes(kinds[index]!)) addBelow(path);
    }
    return segments.sort((a, b) => compareText(a.at, b.at)).map(({ rows }) => rows);
  }

  async *#join(starts: readonly string[] | undefined, segments: readonly (Range | Row)[], rules: IgnoreRules): AsyncGenerator<ScanBatch> {
    const { store, table } = this.#options;
    const rows = new RowCursor(store, table.length, segments);
    const blind = new Set<string>();
    let findings: Finding[] = [];
    const gone = (path: string, row: Uint8Array): void => {
      const placed = decodePlaced(path, row);
      if (isWithin(blind, path) || rules.ignores(path, placed.kind === 'directory')) return;
      findings.push({ path, found: undefined, row, placed });
    };
    try {
      for await (const slice of this.#slices(starts, rules.text)) {
        for (const problem of slice.problems) blind.add(problem.path);
        const stats = new StatColumns(slice.stats);
        for (const [index, path] of slice.paths.entries()) {
          let order = 1;
          while (rows.ready || (await rows.fill())) {
            order = rows.path === path ? 0 : compareText(rows.path, path);
            if (order >= 0) break;
            gone(rows.path, rows.row);
            rows.next();
            if (findings.length < SLICE_PATHS) continue;
            yield { findings, problems: [], seen: 0 };
            findings = [];
          }
          const found = { kind: WALK_KINDS[slice.kinds[index]!]!, stat: stats.get(index), birthMs: slice.births[index]! };
          if (order !== 0 || !rows.ready) {
            findings.push({ path, found, row: undefined, placed: undefined });
            continue;
          }
          const placed = decodePlaced(path, rows.row);
          if (!matches(found, placed)) findings.push({ path, found, row: rows.row, placed });
          rows.next();
        }
        yield { findings, problems: slice.problems, seen: slice.paths.length };
        findings = [];
      }
      while (rows.ready || (await rows.fill())) {
        gone(rows.path, rows.row);
        rows.next();
        if (findings.length < SLICE_PATHS) continue;
        yield { findings, problems: [], seen: 0 };
        findings = [];
      }
      if (findings.length > 0) yield { findings, problems: [], seen: 0 };
    } finally {
      await rows.close();
    }
  }

  /** The next slice is made while this one is worked on. */
  async *#slices(starts: readonly string[] | undefined, rules: string): AsyncGenerator<WalkSlice> {
    const { root, thread } = this.#options;
    const handle = await thread.call('openWalk', starts === undefined ? { root, rules } : { root, rules, starts });
    const ask = (): Promise<WalkSlice> => thread.call('walkSlice', { handle, max: SLICE_PATHS });
    let next: Promise<WalkSlice> | undefined = ask();
    try {
      while (next !== undefined) {
        const slice: WalkSlice = await next;
        next = slice.done ? undefined : ask();
        // Its error is taken when its turn comes; until then nobody waits for it.
        next?.catch(() => undefined);
        yield slice;
      }
    } finally {
      if (next !== undefined) await thread.call('closeWalk', { handle }).catch(() => undefined);
    }
  }
}

/** Rows of some ranges, one after the other; synchronous as long as rows are at hand. */
class RowCursor {
  readonly #store: Store;
  readonly #prefixBytes: number;
  readonly #segments: readonly (Range | Row)[];
  #nextSegment = 0;
  #batches: AsyncIterator<readonly Row[]> | undefined;
  #batch: readonly Row[] = [];
  #at = 0;
  path = '';

  constructor(store: Store, prefixBytes: number, segments: readonly (Range | Row)[]) {
    this.#store = store;
    this.#prefixBytes = prefixBytes;
    this.#segments = segments;
  }

  /** `path` and `row` are those of the current row. */
  get ready(): boolean {
    return this.#at < this.#batch.length;
  }

  get row(): Uint8Array {
    return this.#batch[this.#at]![1];
  }

  next(): void {
    this.#at++;
    this.#setPath();
  }

  /** Makes the next rows ready; false at the end. */
  async fill(): Promise<boolean> {
    for (;;) {
      if (this.#batches !== undefined) {
        const { value, done } = await this.#batches.next();
        if (done !== true) return this.#take(value);
        this.#batches = undefined;
      }
      const segment = this.#segments[this.#nextSegment++];
      if (segment === undefined) return false;
      if (!('gte' in segment)) return this.#take([segment]);
      this.#batches = this.#store.iterate(segment)[Symbol.asyncIterator]();
    }
  }

  async close(): Promise<void> {
    await this.#batches?.return?.();
  }

  #take(batch: readonly Row[]): true {
    this.#batch = batch;
    this.#at = 0;
    this.#setPath();
    return true;
  }

  #setPath(): void {
    const row = this.#batch[this.#at];
    if (row !== undefined) this.path = asBuffer(row[0]).toString('utf8', this.#prefixBytes);
  }
}
