/**
 * Turns paths that differ from the table into values: many small files to a job, large ones in slices.
 *
 * Memory does not grow with the size of a file: the list pages and chunk rows of a large one are written ahead, in
 * batches of some 4 MiB. Pages are named by their hash and chunk rows are hints, so rows of a file that is never
 * committed do no harm; a durable commit makes all earlier writes durable with it.
 */
import { byteKey } from '../base/bytes.ts';
import { messageOf, SamerootError, systemCode, type ErrorCode } from '../base/errors.ts';
import { MIB, MTIME_MS_MAX } from '../base/limits.ts';
import type { ContentId } from '../content/content-list.ts';
import type { FoundValue } from '../entry/entry.ts';
import * as keyspace from '../store/keyspace.ts';
import type { Operation, Store } from '../store/store.ts';
import { chunkPlaceRows } from './content-index.ts';
import { wholeMs } from './disk-stat.ts';
import { WHOLE_BYTES_MAX, type Chunking, type Examined, type ListPage } from './file-hash.ts';
import { problemCode } from './folder-walk.ts';
import type { DiskStat } from './placed.ts';
import type { ReadThread } from './disk-jobs.ts';
import type { LargeSlice } from './read-jobs.ts';
import type { Finding } from './scan.ts';

const FILES_PER_JOB = 500;
const BYTES_PER_JOB: number = 64 * MIB;
const AHEAD_BYTES_GOAL: number = 4 * MIB;
/** Of a chunk row with its key, about. */
const CHUNK_ROW_BYTES = 64;

export interface FoundOutcome {
  readonly state: 'found';
  readonly finding: Finding;
  readonly stat: DiskStat;
  readonly value: FoundValue;
  /** The rest of the rows of its content. */
  readonly rows: readonly Operation[];
}

/** What a path turned out to be. */
export type Outcome =
  | FoundOutcome
  | { readonly state: 'gone' | 'changing'; readonly finding: Finding }
  | { readonly state: 'problem'; readonly finding: Finding; readonly code: ErrorCode; readonly message: string };

export interface FileHasherOptions {
  readonly root: string;
  readonly store: Store;
  readonly thread: ReadThread;
  readonly chunking: Chunking;
  readonly onHashed: (files: number, bytes: number) => void;
}

export function fileValue(stat: DiskStat, content: ContentId): FoundValue {
  const mtimeMs = Math.min(Math.max(wholeMs(stat.mtimeMs), -MTIME_MS_MAX), MTIME_MS_MAX);
  return { kind: 'file', content, bytes: stat.bytes, mode: stat.mode, mtimeMs };
}

export class FileHasher {
  readonly #options: FileHasherOptions;

  constructor(options: FileHasherOptions) {
    this.#options = options;
  }

  /** Of findings that are on the disk. The next job runs while these outcomes are worked on. */
  async *examine(findings: readonly Finding[]): AsyncGenerator<readonly Outcome[]> {
    const large = findings.filter(isLarge);
    let running: { group: readonly Finding[]; results: Promise<Examined[]> } | undefined;
    for (const group of [...jobGroups(findings.filter((finding) => !isLarge(finding))), undefined]) {
      const done = running;
      running = group === undefined ? undefined : { group, results: this.#examine(group) };
      running?.results.catch(() => undefined);
      if (done === undefined) continue;
      const results = await done.results;
      for (const [index, finding] of done.group.entries()) if (results[index]!.state === 'large') large.push(finding);
      yield done.group.flatMap((finding, index) => this.#outcome(finding, results[index]!));
    }
    for (const finding of large) yield [await this.#large(finding)];
  }

  #examine(group: readonly Finding[]): Promise<Examined[]> {
    const { root, thread, chunking } = this.#options;
    return thread.call('examineAll', { root, paths: group.map(({ path }) => path), chunking });
  }

  /** None for a file that has grown so large that it is read in slices. */
  #outcome(finding: Finding, found: Examined): Outcome[] {
    switch (found.state) {
      case 'large':
        return [];
      case 'gone':
      case 'changing':
        return [{ state: found.state, finding }];
      case 'problem':
        return [{ state: 'problem', finding, code: found.code, message: found.message }];
      case 'directory':
        return [{ state: 'found', finding, stat: found.stat, value: { kind: 'directory', mode: found.stat.mode }, rows: [] }];
      case 'symlink':
        return [{ state: 'found', finding, stat: found.stat, value: { kind: 'symlink', target: found.target }, rows: [] }];
      case 'file': {
        this.#options.onHashed(1, found.stat.bytes);
        const pages = new Map(found.pages.map(({ hash, page }) => [byteKey(hash), page]));
        const chunks = chunkPlaceRows((hash) => pages.get(byteKey(hash)), found.content);
        return [
          {
            state: 'found',
            finding,
            stat: found.stat,
            value: fileValue(found.stat, found.content),
            rows: [...pageRows(found.pages), ...chunks],
          },
        ];
      }
    }
  }

  async #large(finding: Finding): Promise<Outcome> {
    const { root, store, thread, chunking, onHashed } = this.#options;
    try {
      const handle = await thread.call('openLarge', { root, path: finding.path, chunking });
      if (handle === undefined) return { state: 'changing', finding };
      const ahead = new AheadRows(store);
      try {
        let slice: LargeSlice;
        do {
          slice = await thread.call('largeSlice', { handle, maxBytes: BYTES_PER_JOB });
          if (slice.changing) return { state: 'changing', finding };
          onHashed(slice.content === undefined ? 0 : 1, Math.min(BYTES_PER_JOB, slice.stat.bytes));
          for (const row of pageRows(slice.pages)) if (ahead.add(row, row.value.length)) await ahead.write();
        } while (slice.content === undefined);
        await ahead.write();
        const chunks = chunkPlaceRows((hash) => store.get(keyspace.listPageKey(hash)), slice.content);
        for (const row of chunks) if (ahead.add(row, CHUNK_ROW_BYTES)) await ahead.write();
        return { state: 'found', finding, stat: slice.stat, value: fileValue(slice.stat, slice.content), rows: ahead.rest };
      } finally {
        await thread.call('closeLarge', { handle });
      }
    } catch (error) {
      const system = systemCode(error);
      if (system === 'ENOENT' || system === 'ENOTDIR') return { state: 'gone', finding };
      // Our own errors are of the store or the thread: they concern everything, not this path.
      if (error instanceof SamerootError || system === undefined) throw error;
      return { state: 'problem', finding, code: problemCode(system), message: messageOf(error) };
    }
  }
}

/** Rows on their way to the store, written whenever some 4 MiB have come together. */
class AheadRows {
  readonly #store: Store;
  #rows: Operation[] = [];
  #bytes = 0;

  constructor(store: Store) {
    this.#store = store;
  }

  get rest(): readonly Operation[] {
    return this.#rows;
  }

  /** It is time to write. Not awaited here: that would cost each row a turn of the event loop's queue. */
  add(row: Operation, bytes: number): boolean {
    this.#rows.push(row);
    this.#bytes += bytes;
    return this.#bytes >= AHEAD_BYTES_GOAL;
  }

  async write(): Promise<void> {
    const rows = this.#rows;
    this.#rows = [];
    this.#bytes = 0;
    if (rows.length > 0) await this.#store.write(rows, { durable: false });
  }
}

function pageRows(pages: readonly ListPage[]): (Operation & { readonly type: 'put' })[] {
  return pages.map(({ hash, page }) => ({ type: 'put', key: keyspace.listPageKey(hash), value: page }));
}

function isLarge({ found }: Finding): boolean {
  return found?.kind === 'file' && found.stat.bytes > WHOLE_BYTES_MAX;
}

function* jobGroups(findings: readonly Finding[]): Generator<readonly Finding[]> {
  let group: Finding[] = [];
  let bytes = 0;
  for (const finding of findings) {
    const size = finding.found?.kind === 'file' ? finding.found.stat.bytes : 0;
    if (group.length > 0 && (group.length === FILES_PER_JOB || bytes + size > BYTES_PER_JOB)) {
      yield group;
      group = [];
      bytes = 0;
    }
    group.push(finding);
    bytes += size;
  }
  if (group.length > 0) yield group;
}
