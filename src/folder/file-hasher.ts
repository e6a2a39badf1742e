/**
 * Turns paths that differ from the table into values: many small files to a job, several jobs to a large file, and as
 * many jobs under way as keep all work threads busy.
 *
 * Invariant: which outcomes there are, and in which order, depends on the findings and the disk alone, not on which
 * thread was faster.
 *
 * Memory does not grow with the size of a file: the list pages and chunk rows of a large one are written ahead, in
 * batches of some 4 MiB. Pages are named by their hash and chunk rows are hints, so rows of a file that is never
 * committed do no harm; a durable commit makes all earlier writes durable with it.
 */
import { byteKey } from '../base/bytes.ts';
import type { ErrorCode } from '../base/errors.ts';
import { CHUNK_BYTES_MAX, MIB, MTIME_MS_MAX } from '../base/limits.ts';
import { workAhead } from '../base/work-ahead.ts';
import type { ChunkRun, Chunking } from '../content/chunk-run.ts';
import { ContentListBuilder, type ContentId } from '../content/content-list.ts';
import type { FoundValue } from '../entry/entry.ts';
import * as keyspace from '../store/keyspace.ts';
import type { Operation, Store } from '../store/store.ts';
import { hashAt } from './chunk-items.ts';
import { chunkPlaceRows } from './content-index.ts';
import { wholeMs } from './disk-stat.ts';
import type { HashThreads } from './disk-jobs.ts';
import { wholeBytesMax, type Examined, type ListPage, type Unread } from './file-hash.ts';
import { readLargeFile } from './large-file.ts';
import type { DiskStat } from './placed.ts';
import type { Finding } from './scan.ts';
import { Slots } from './slots.ts';

/** Some 5 ms of work, so that what an ordinary pass finds is enough for all threads; a job as such costs 0.1 ms. */
const FILES_PER_JOB = 128;
/** Some 25 ms of work: what a peer wants to read from the first thread waits for two such jobs at most. */
const BYTES_PER_JOB: number = 32 * MIB;
/** The same for a run of a large file, in chunks of the largest size: runs that are long beside chunks meet soon (`chunk-run.ts`). */
const CHUNKS_PER_RUN: number = BYTES_PER_JOB / CHUNK_BYTES_MAX;
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
  readonly threads: HashThreads;
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

  /** Of findings that are on the disk. Further jobs run while these outcomes are worked on. */
  examine(findings: readonly Finding[]): AsyncGenerator<readonly Outcome[]> {
    const jobsMax = this.#options.threads.width + 1;
    const slots = new Slots(jobsMax);
    return workAhead(this.#works(findings, slots), {
      weigh: () => 1,
      weightMax: jobsMax,
      work: (work) => work(),
      // If it was left early: nothing goes on behind the back of whoever comes next.
      abandon: () => slots.close(),
    });
  }

  *#works(findings: readonly Finding[], slots: Slots): Generator<() => Promise<readonly Outcome[]>> {
    const wholeMax = wholeBytesMax(this.#options.chunking);
    const isLarge = ({ found }: Finding): boolean => found?.kind === 'file' && found.stat.bytes > wholeMax;
    for (const group of jobGroups(findings.filter((finding) => !isLarge(finding)))) yield () => this.#group(group, slots);
    for (const finding of findings) if (isLarge(finding)) yield async () => [await this.#large(finding, slots)];
  }

  async #group(group: readonly Finding[], slots: Slots): Promise<readonly Outcome[]> {
    const { root, threads, chunking } = this.#options;
    const results = await threads.call('examineAll', { root, paths: group.map(({ path }) => path), chunking });
    const outcomes: Outcome[] = [];
    for (const [index, finding] of group.entries()) {
      const found = results[index]!;
      // It has grown since it was found.
      outcomes.push(found.state === 'large' ? await this.#large(finding, slots) : this.#outcome(finding, found));
    }
    return outcomes;
  }

  #outcome(finding: Finding, found: Exclude<Examined, { readonly state: 'large' }>): Outcome {
    switch (found.state) {
      case 'directory':
        return { state: 'found', finding, stat: found.stat, value: { kind: 'directory', mode: found.stat.mode }, rows: [] };
      case 'symlink':
        return { state: 'found', finding, stat: found.stat, value: { kind: 'symlink', target: found.target }, rows: [] };
      case 'file': {
        this.#options.onHashed(1, found.stat.bytes);
        const pages = new Map(found.pages.map(({ hash, page }) => [byteKey(hash), page]));
        const chunks = chunkPlaceRows((hash) => pages.get(byteKey(hash)), found.content);
        const rows = [...found.pages.map(pageRow), ...chunks];
        return { state: 'found', finding, stat: found.stat, value: fileValue(found.stat, found.content), rows };
      }
      default:
        return unreadOutcome(finding, found);
    }
  }

  async #large(finding: Finding, slots: Slots): Promise<Outcome> {
    const { root, store, threads, chunking, onHashed } = this.#options;
    const ahead = new AheadRows(store);
    const builder = new ContentListBuilder((hash, page) => ahead.add(pageRow({ hash, page }), page.length));
    const onChunks = async (chunks: ChunkRun): Promise<void> => {
      let bytes = 0;
      for (const [index, size] of chunks.sizes.entries()) {
        builder.add({ hash: hashAt(chunks, index), bytes: size });
        bytes += size;
      }
      onHashed(0, bytes);
      if (ahead.isDue) await ahead.write();
    };
    const read = await readLargeFile({
      root,
      path: finding.path,
      chunking,
      threads,
      slots,
      runBytes: CHUNKS_PER_RUN * chunking.parameters.maxBytes,
      onChunks,
    });
    if (read.state !== 'read') return unreadOutcome(finding, read);
    const content = builder.finish().id;
    onHashed(1, 0);
    await ahead.write();
    for (const row of chunkPlaceRows((hash) => store.get(keyspace.listPageKey(hash)), content)) {
      ahead.add(row, CHUNK_ROW_BYTES);
      if (ahead.isDue) await ahead.write();
    }
    return { state: 'found', finding, stat: read.stat, value: fileValue(read.stat, content), rows: ahead.rest };
  }
}

function unreadOutcome(finding: Finding, unread: Unread): Outcome {
  return unread.state === 'problem'
    ? { state: 'problem', finding, code: unread.code, message: unread.message }
    : { state: unread.state, finding };
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

  /** It is time to write. Asked, not awaited with each row: that would cost a turn of the event loop's queue. */
  get isDue(): boolean {
    return this.#bytes >= AHEAD_BYTES_GOAL;
  }

  add(row: Operation, bytes: number): void {
    this.#rows.push(row);
    this.#bytes += bytes;
  }

  async write(): Promise<void> {
    const rows = this.#rows;
    this.#rows = [];
    this.#bytes = 0;
    if (rows.length > 0) await this.#store.write(rows, { durable: false });
  }
}

function pageRow({ hash, page }: ListPage): Operation {
  return { type: 'put', key: keyspace.listPageKey(hash), value: page };
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
