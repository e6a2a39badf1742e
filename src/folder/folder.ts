/**
 * The folder of a share, both ways: what users do in it becomes entries (ingest), what entries say is shown in it
 * (materialise), and contents come in and go out. This file only puts the parts together.
 */
import { join } from 'node:path';
import { equalBytes } from '../base/bytes.ts';
import { messageOf, SamerootError, type ErrorCode } from '../base/errors.ts';
import { KIB } from '../base/limits.ts';
import type { Timer, World } from '../base/world.ts';
import { contentHash, contentLevel, EMPTY_CONTENT, type ContentId } from '../content/content-list.ts';
import { hash } from '../content/hash.ts';
import { decodeEntry } from '../entry/entry-codec.ts';
import { view } from '../entry/view.ts';
import type { Mutation, Replica } from '../replica/replica.ts';
import type { Operation, Store } from '../store/store.ts';
import { ShownWriter } from './as-shown.ts';
import { ContentIndex } from './content-index.ts';
import { closeDiskThreads, type DiskThreads } from './disk-threads.ts';
import type { DiskAccess } from './disk.ts';
import { readSmall } from './file-io.ts';
import { FirstRead } from './first-read.ts';
import { WALK_KINDS } from './folder-walk.ts';
import { PathGate } from './gate.ts';
import type { FoundOutcome } from './file-hasher.ts';
import { Ingest } from './ingest.ts';
import { recordInterrupted } from './interrupted.ts';
import { openMarker } from './marker.ts';
import { Materialiser, type Projection } from './materialise.ts';
import type { ChunkInPart, CopyItem } from './part-copies.ts';
import type { PathLook } from './path-look.ts';
import { getPlaced, isAsPlaced } from './placed.ts';
import { ContentReader, type WantedRange } from './serve.ts';
import { Withheld } from './set-aside.ts';
import type { Standing } from './standing.ts';
import { StatColumns } from './stat-columns.ts';
import { Staging, type PartItem } from './staging.ts';
import { TrashIndex } from './trash-index.ts';
import { TrashRestore, type RestoreRequest, type RestoreResult, type TrashedFile } from './trash-restore.ts';
import { Trash } from './trash.ts';

/** A change of this size or less is sent along with its entry: it saves the round trip of asking for the bytes. */
const INLINE_BYTES_MAX: number = 64 * KIB;
const INLINE_AGE_MS_MAX = 10_000;
const TRASH_EXPIRY_MS = 6 * 3_600_000;

export interface FolderOptions {
  /** Absolute path. */
  readonly root: string;
  readonly replica: Replica;
  readonly store: Store;
  readonly world: World;
  readonly access: DiskAccess;
  readonly settleMs: number;
  readonly rescanMs: number;
  readonly minFreeBytes: number | undefined;
  /** Closed with the folder. */
  readonly threads: DiskThreads;
  readonly standing: Standing;
}

export interface FolderProblem {
  readonly path: string;
  readonly code: ErrorCode;
  readonly message: string;
  readonly sinceMs: number;
}

export class Folder implements AsyncDisposable {
  readonly #options: FolderOptions;
  readonly #staging: Staging;
  readonly #gate = new PathGate();
  readonly #trash: Trash;
  readonly #trashIndex: TrashIndex;
  readonly #restorer: TrashRestore;
  readonly #materialiser: Materialiser;
  readonly #ingest: Ingest;
  readonly #reader: ContentReader;
  readonly #index: ContentIndex;
  readonly #firstRead: FirstRead;
  readonly #shownWriter: ShownWriter;
  readonly #withheld: Withheld;
  #expiry: Timer | undefined;

  /** @throws {SamerootError} `FOLDER_MISSING` if the folder belongs to another share, `IO_ERROR` */
  static async open(options: FolderOptions): Promise<Folder> {
    const { root, replica, world, access, minFreeBytes } = options;
    openMarker(access.disk, root, replica.share.id, replica.head.tree.live === 0);
    const { write: writeThread, work } = options.threads;
    await recordInterrupted({ root, replica, access, writeThread });
    const staging = await Staging.open(
      { root, access, writeThread, work, clock: world.clock, minFreeBytes },
      await Materialiser.wantedContents(replica),
    );
    return new Folder(options, staging);
  }

  private constructor(options: FolderOptions, staging: Staging) {
    const { root, replica, store, access, settleMs, rescanMs, standing } = options;
    const { clock, timers, log } = options.world;
    const { read: readThread, write: writeThread, work } = options.threads;
    const gate = this.#gate;
    this.#options = options;
    this.#staging = staging;
    this.#index = new ContentIndex(store);
    this.#trash = new Trash({ root, store, access, writeThread, clock, log, maxBytes: undefined });
    this.#trashIndex = new TrashIndex({ root, replica, trash: this.#trash, gate, thread: readThread, work, timers, log });
    this.#materialiser = new Materialiser({
      root,
      replica,
      staging,
      trash: this.#trash,
      gate,
      access,
      writeThread,
      clock,
      timers,
      log,
      standing,
    });
    this.#ingest = new Ingest({
      root,
      replica,
      access,
      thread: readThread,
      work,
      gate,
      clock,
      timers,
      log,
      settleMs,
      rescanMs,
      materialise: (keys) => this.restore(keys),
      todoRows: (key) => this.todoRows(key),
      standing,
    });
    this.#firstRead = new FirstRead({ read: () => this.#read(), timers, log });
    const takeInAsNew = (items: readonly FoundOutcome[]): Promise<void> => this.#ingest.takeInWithheld(items);
    this.#withheld = new Withheld({ root, replica, gate, access, writeThread, timers, standing, takeIn: takeInAsNew });
    const takeIn = (paths: readonly string[]): Promise<void> => this.#ingest.takeIn(paths);
    const ignores = (path: string, isDirectory: boolean): boolean => this.#ingest.ignores(path, isDirectory);
    this.#shownWriter = new ShownWriter({ root, replica, gate, thread: readThread, ignores, takeIn });
    this.#restorer = new TrashRestore({ root, store, trash: this.#trash, gate, access, writeThread, takeIn });
    this.#reader = new ContentReader({ root, store, thread: readThread, timers, checkSoon: (paths) => this.#ingest.checkSoon(paths) });
  }

  /** Asked for keys that must come back, contents from peers included; set by the node. */
  restore: (keys: readonly Uint8Array[]) => Promise<unknown> = (keys) => this.project(keys);

  /**
   * Resolves when what is on the disk is in the tree.
   * @throws only if it was closed before
   */
  async start(): Promise<void> {
    await this.#firstRead.run();
    this.#expiry = this.#options.world.timers.every(TRASH_EXPIRY_MS, () => this.#expireTrash());
    this.#expireTrash();
  }

  async #read(): Promise<void> {
    await this.#trashIndex.run();
    const { dirty, left } = await this.#materialiser.redo();
    await this.#ingest.start();
    const { standing, world } = this.#options;
    standing.restored = false;
    this.#ingest.checkSoon(dirty);
    // Not waited for: it may have to fetch, and no peer is greeted before this is through.
    this.restore(left).catch((error: unknown) => world.log.warn('paths can not be shown', { error: messageOf(error) }));
  }

  #expireTrash(): void {
    this.#trash
      .expire()
      .catch((error: unknown) => this.#options.world.log.warn('the trash could not be emptied', { error: messageOf(error) }));
  }

  // --- disk -> replica -------------------------------------------------------------------------------------------

  /** Resolves when the first reading is through; fails when an attempt does. */
  whenRead(): Promise<void> {
    return this.#firstRead.through();
  }

  async scanNow(): Promise<void> {
    await this.whenRead();
    await this.#ingest.scanNow();
  }

  checkSoon(paths: readonly string[]): void {
    this.#ingest.checkSoon(paths);
  }

  get scanning(): boolean {
    return !this.#firstRead.isThrough || (this.#ingest.progress.state === 'scanning' && this.#ingest.progress.hashed > 0);
  }

  /** Paths with events that are not taken in yet. */
  get pending(): number {
    return this.#ingest.pending;
  }

  get progress(): { readonly seen: number; readonly hashed: number; readonly hashedBytes: number } {
    const { seen, hashed, hashedBytes } = this.#ingest.progress;
    return { seen, hashed, hashedBytes };
  }

  get held(): { readonly count: number } | undefined {
    return this.#ingest.held;
  }

  /** Why nothing is taken in at all. */
  get problem(): SamerootError | undefined {
    return this.#firstRead.failure ?? this.#ingest.failure;
  }

  /** What is wrong with single paths. */
  get problems(): FolderProblem[] {
    return [...this.#ingest.problems, ...this.#materialiser.problems].map(([path, { code, message, sinceMs }]) => ({
      path,
      code,
      message,
      sinceMs,
    }));
  }

  async acceptDeletes(): Promise<number> {
    const count = this.held?.count ?? 0;
    await this.#ingest.acceptDeletes();
    return count;
  }

  async restoreDeletes(): Promise<number> {
    const count = this.held?.count ?? 0;
    await this.#ingest.restoreDeletes();
    return count;
  }

  /** What is at a path now, and what the folder makes of it. */
  async look(path: string): Promise<PathLook> {
    const { root, store, threads } = this.#options;
    const { kinds, stats } = await threads.read.call('look', { root, paths: [path] });
    const kind = WALK_KINDS[kinds[0]!];
    const stat = new StatColumns(stats).get(0);
    const placed = getPlaced(store, path);
    const ignoredBy = this.#ingest.ruleFor(path, kind === 'directory');
    const asKnown = ignoredBy !== undefined || isAsPlaced(kind, stat, placed);
    return { kind: kind ?? 'nothing', asKnown, settling: this.#ingest.isSettling(path), ignoredBy };
  }

  // --- coming back -----------------------------------------------------------------------------------------------

  /** The peers were heard: what is still withheld is new here, or goes to the quarantine. May be asked again where it failed. */
  endWithholding(unknown: 'keep' | 'set-aside', alone: boolean): Promise<void> {
    return this.#withheld.end(unknown, alone);
  }

  /** Commits a write to the entry of a path by somebody who goes by what the folder shows of it: see `as-shown.ts`. */
  commitAsShown(path: string, mutation: Mutation): Promise<void> {
    return this.#shownWriter.commit(path, mutation);
  }

  // --- trash -----------------------------------------------------------------------------------------------------

  listTrash(options: Parameters<TrashRestore['list']>[0]): ReturnType<TrashRestore['list']> {
    return this.#restorer.list(options);
  }

  /** What was at this path and is in the trash, newest first. */
  trashOf(path: string): Promise<TrashedFile[]> {
    return this.#restorer.versionsOf(path);
  }

  restoreTrash(request: RestoreRequest): Promise<RestoreResult> {
    return this.#restorer.restore(request);
  }

  /** While nothing is being put into it. */
  emptyTrash(): Promise<{ readonly files: number; readonly bytes: number }> {
    return this.#gate.run(() => this.#trash.empty());
  }

  // --- contents --------------------------------------------------------------------------------------------------

  /** A file here has this content; one in staging does not count, it may not be whole. */
  holds(content: ContentId): boolean {
    return equalBytes(content, EMPTY_CONTENT) || this.#index.holds(content) || this.#staging.complete(content);
  }

  read(content: ContentId, wanted: readonly WantedRange[]): ReturnType<ContentReader['readChunks']> {
    return this.#reader.readChunks(content, wanted);
  }

  /** The same of a content that is being received; whoever asks knows that these bytes are written. */
  readPart(content: ContentId, wanted: readonly WantedRange[]): ReturnType<ContentReader['readPart']> {
    return this.#reader.readPart(content, wanted);
  }

  /** The bytes of a small file's winner, if the file still has them and the entry `known` over there has others. */
  inline(item: { readonly entry: Uint8Array }, known: Uint8Array | undefined): { hash: Uint8Array; bytes: Uint8Array } | undefined {
    const value = view(decodeEntry(item.entry)).winner?.version.value;
    if (value?.kind !== 'file' || value.bytes === 0 || value.bytes > INLINE_BYTES_MAX || contentLevel(value.content) !== 0)
      return undefined;
    const there = known === undefined ? [] : decodeEntry(known).versions.map((version) => version.value);
    if (there.some((other) => other.kind === 'file' && equalBytes(other.content, value.content))) return undefined;
    // A file that was only moved keeps its time, and its bytes are on the other side already.
    if (this.#options.world.clock.wallMs() - value.mtimeMs > INLINE_AGE_MS_MAX) return undefined;
    const path = this.#index.path(value.content);
    if (path === undefined) return undefined;
    const bytes = this.#small(path, value.bytes);
    const wanted = contentHash(value.content);
    return bytes !== undefined && equalBytes(hash('chunk', bytes), wanted) ? { hash: wanted, bytes } : undefined;
  }

  /** A file of this size, read here and now: it is small. */
  #small(path: string, bytes: number): Uint8Array | undefined {
    try {
      const found = readSmall(this.#options.access.disk, join(this.#options.root, path));
      return found?.length === bytes ? Uint8Array.from(found) : undefined;
    } catch {
      return undefined;
    }
  }

  /** Where contents from peers go. */
  readonly target: {
    readonly servesParts: boolean;
    begin(content: ContentId, bytes: number): Promise<boolean>;
    present(content: ContentId, chunks: readonly ChunkInPart[]): Promise<readonly boolean[]>;
    write(content: ContentId, frame: Uint8Array, chunks: readonly PartItem[]): Promise<readonly boolean[]>;
    writeWhole(frame: Uint8Array, chunks: readonly PartItem[]): Promise<readonly boolean[]>;
    copy(content: ContentId, copies: readonly CopyItem[]): Promise<readonly boolean[]>;
    localChunks(hashes: readonly Uint8Array[]): readonly ({ readonly path: string; readonly offsetBytes: number } | undefined)[];
  } = {
    servesParts: true,
    begin: async (content, bytes) => {
      const resumed = this.#staging.hasPart(content);
      await this.#staging.openPart(content, bytes);
      return resumed;
    },
    present: (content, chunks) => this.#staging.checkPart(content, chunks),
    write: (content, frame, chunks) => this.#staging.writePart(content, frame, chunks),
    writeWhole: (frame, chunks) => this.#staging.writeWhole(frame, chunks),
    copy: (content, copies) => (contentLevel(content) === 0 ? this.#staging.copyWhole(copies) : this.#staging.copyPart(content, copies)),
    localChunks: (hashes) => this.#index.localChunks(hashes),
  };

  /** Makes staged contents durable; what is held in the folder already is so. */
  finish(contents: readonly ContentId[]): Promise<void> {
    return this.#staging.finish(contents);
  }

  /** Written to staging, and not flushed yet. Never said of a content of several chunks: somebody may still be at its part. */
  isUnflushed(content: ContentId): boolean {
    return contentLevel(content) === 0 && this.#staging.placeable(content) === undefined;
  }

  // --- replica -> disk -------------------------------------------------------------------------------------------

  todoRows(key: Uint8Array): Operation[] {
    return this.#materialiser.todoRows(key);
  }

  project(keys: readonly Uint8Array[]): Promise<Projection> {
    return this.#materialiser.project(keys);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#expiry?.cancel();
    this.#firstRead.close();
    this.#trashIndex.close();
    await this.#ingest[Symbol.asyncDispose]();
    await closeDiskThreads(this.#options.threads);
  }
}
