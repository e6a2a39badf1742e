/**
 * Disk -> replica: everything that users and programs do in the folder becomes entries of the tree.
 *
 * Three things start a pass: events of the watcher, once their path has settled; a rescan, by the clock or after lost
 * events; and a question (`scanNow`, an answer to held deletes). One pass runs at a time, and all decide by the same
 * code, `Scanner` and `IngestPass`. The first scan starts after the watches are set, so nothing falls between.
 *
 * Nothing is taken in while the folder or its marker is missing: the folder is looked at every 5 s until it is back.
 */
import { messageOf, SamerootError } from '../base/errors.ts';
import { sleep, type Clock, type Log, type Timer, type Timers } from '../base/world.ts';
import { makeGear } from '../content/chunker.ts';
import type { Replica } from '../replica/replica.ts';
import * as keyspace from '../store/keyspace.ts';
import type { Operation } from '../store/store.ts';
import { DeleteGuard, type DeleteAnswer } from './delete-guard.ts';
import type { DiskAccess } from './disk.ts';
import { FileHasher, type FoundOutcome } from './file-hasher.ts';
import { IgnoreRules, NO_RULES } from './ignore.ts';
import { IngestCommitter, type Gate } from './ingest-commit.ts';
import { IngestPass, type PassResult } from './ingest-pass.ts';
import { pathProblem } from './paths.ts';
import { Problems, type ProblemState } from './problems.ts';
import type { HashThreads, ReadThread } from './disk-jobs.ts';
import { disjointPaths, Scanner, type Finding } from './scan.ts';
import type { Standing } from './standing.ts';
import { SettleQueue } from './settle-queue.ts';
import { Watcher } from './watch.ts';

/** After a failure, and while the folder is missing. */
const RETRY_MS = 5000;
/** Between scans where events do not tell everything. */
const UNWATCHED_RESCAN_MS = 60_000;
/** A path with events for so long is listed as changing. */
const RESTLESS_MS = 10_000;
/** Rounds in which `scanNow` waits for files that change while they are read. */
const SETTLE_ROUNDS = 10;

export interface IngestOptions {
  /** Absolute path of the shared folder. */
  readonly root: string;
  readonly replica: Replica;
  readonly access: DiskAccess;
  readonly thread: ReadThread;
  /** They hash. */
  readonly work: HashThreads;
  readonly gate: Gate;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Log;
  /** A path is taken in after this long without events. */
  readonly settleMs: number;
  readonly rescanMs: number;
  /** Shows these keys on the disk again. */
  readonly materialise: (keys: readonly Uint8Array[]) => Promise<unknown>;
  /** The rows that let `materialise` go on after a crash. */
  readonly todoRows: (key: Uint8Array) => readonly Operation[];
  readonly standing: Standing;
}

export interface IngestProgress {
  readonly state: 'idle' | 'scanning';
  /** Of the pass that runs, or of the last. */
  readonly seen: number;
  readonly hashed: number;
  readonly hashedBytes: number;
  /** What the share holds now: about as many bytes as a first scan on a filled host has to hash. */
  readonly totalBytesGuess: number;
}

type Scope = 'everything' | readonly string[];

interface Question {
  readonly scope: Scope;
  readonly deletes: DeleteAnswer;
  resolve(result: PassResult): void;
  reject(error: unknown): void;
}

export class Ingest implements AsyncDisposable {
  readonly #options: IngestOptions;
  /** Takes no more jobs once we are closing. */
  readonly #thread: ReadThread;
  readonly #watcher: Watcher;
  readonly #scanner: Scanner;
  readonly #hasher: FileHasher;
  readonly #committer: IngestCommitter;
  readonly #problems: Problems;
  readonly #queue: SettleQueue;
  readonly #guard: DeleteGuard;
  #questions: Question[] = [];
  #rules: IgnoreRules = NO_RULES;
  #restoring: Promise<unknown>[] = [];
  #failure: SamerootError | undefined;
  #fullDueMs: number | undefined;
  #running: Promise<void> | undefined;
  #timer: Timer | undefined;
  /** When the timer goes off. */
  #timerDueMs = Infinity;
  #closed = false;
  #progress: { state: 'idle' | 'scanning'; seen: number; hashed: number; hashedBytes: number } = {
    state: 'idle',
    seen: 0,
    hashed: 0,
    hashedBytes: 0,
  };

  constructor(options: IngestOptions) {
    this.#options = options;
    const { root, replica, access, gate, clock, timers, log } = options;
    const { store, share } = replica;
    // A pass may have hours of hashing before it: once we are closing, its next job fails and ends it.
    const thread: ReadThread = {
      call: (name, input) => (this.#closed ? Promise.reject(closing()) : options.thread.call(name, input)),
    };
    const threads: HashThreads = {
      width: options.work.width,
      call: (name, input) => (this.#closed ? Promise.reject(closing()) : options.work.call(name, input)),
    };
    this.#thread = thread;
    this.#problems = new Problems(() => clock.wallMs());
    this.#queue = new SettleQueue(options.settleMs);
    this.#guard = new DeleteGuard(log);
    this.#scanner = new Scanner({ root, store, table: keyspace.PREFIX.placed, thread });
    this.#hasher = new FileHasher({
      root,
      store,
      threads,
      chunking: { gear: makeGear(share.id), parameters: share.chunker },
      onHashed: (files, bytes) => {
        this.#progress.hashed += files;
        this.#progress.hashedBytes += bytes;
      },
    });
    this.#committer = new IngestCommitter({
      root,
      replica,
      access,
      thread,
      gate,
      onProblem: (problem) => this.#problems.add(problem),
      standing: options.standing,
      touchUp: (keys) => void options.materialise(keys).catch(() => undefined), // The todo rows stay.
    });
    this.#watcher = new Watcher({
      root,
      access,
      thread,
      timers,
      log,
      rules: () => this.#rules.text,
      onPath: (path) => this.#onEvent(path),
      onOverflow: () => {
        this.#queue.overflow(this.#nowMs());
        this.#wake();
      },
    });
  }

  /**
   * Watches the folder, then scans it; resolves when all that was found is committed.
   * @throws what the first pass fails with; it is tried again by itself all the same
   */
  async start(): Promise<void> {
    await this.#loadRules().catch(() => undefined); // The pass says what is wrong.
    await this.#watcher.addTree('');
    await this.scanNow();
  }

  /** Paths that can not be replicated now, and why. */
  get problems(): ReadonlyMap<string, ProblemState> {
    return this.#problems.list;
  }

  /** Deletes that wait for `acceptDeletes` or `restoreDeletes`. */
  get held(): { readonly count: number } | undefined {
    return this.#guard.held === 0 ? undefined : { count: this.#guard.held };
  }

  /** Why nothing is taken in now: `FOLDER_MISSING`, or what the last pass failed with. It is tried again by itself. */
  get failure(): SamerootError | undefined {
    return this.#failure;
  }

  get progress(): IngestProgress {
    return { ...this.#progress, totalBytesGuess: Math.max(this.#options.replica.head.tree.bytes, this.#progress.hashedBytes) };
  }

  /** Paths with events that are not taken in yet. */
  get pending(): number {
    return this.#queue.size;
  }

  /** The path had events a moment ago. */
  isSettling(path: string): boolean {
    return this.#queue.has(path);
  }

  /** The rule of this folder that leaves the path alone. */
  ruleFor(path: string, isDirectory: boolean): { readonly line: number; readonly rule: string } | undefined {
    return this.#rules.ruleFor(path, isDirectory);
  }

  /** Resolves when these paths, and all below them, have been taken in as they are now. */
  async takeIn(paths: readonly string[]): Promise<void> {
    if (paths.length > 0) await this.#ask(disjointPaths(paths), 'guard');
  }

  /** Takes in what was withheld: the peers know nothing of it. */
  async takeInWithheld(items: readonly FoundOutcome[]): Promise<void> {
    this.checkSoon(await this.#committer.takeInWithheld(items));
  }

  /** Whether the rules of this folder leave the path alone. */
  ignores(path: string, isDirectory: boolean): boolean {
    return this.#rules.ignores(path, isDirectory);
  }

  /** Looks at these paths, and all below them, once they have settled. */
  checkSoon(paths: readonly string[]): void {
    for (const path of paths) if (!this.#queue.has(path)) this.#onEvent(path);
  }

  /**
   * Resolves when everything that is on the disk now has been taken in and committed, settled or not. A file that
   * never rests is waited for some time and then left to later passes.
   * @throws {SamerootError} `FOLDER_MISSING`, `IO_ERROR`, ... what the pass failed with
   */
  async scanNow(): Promise<void> {
    let { again } = await this.#ask('everything', 'guard');
    for (let round = 0; again.length > 0 && round < SETTLE_ROUNDS; round++) {
      await sleep(this.#options.timers, this.#options.settleMs);
      again = (await this.#ask(disjointPaths(again), 'guard')).again;
    }
  }

  /** The paths that are gone were deleted on purpose. Resolves to their number; 0 if they are too many now and still held. */
  async acceptDeletes(): Promise<number> {
    const { gone, held } = await this.#ask('everything', 'accept');
    return held > 0 ? 0 : gone;
  }

  /** The paths that are gone were lost: they are brought back from the trash and from peers. Resolves to their number. */
  async restoreDeletes(): Promise<number> {
    const { gone } = await this.#ask('everything', 'restore');
    await Promise.all(this.#restoring.splice(0));
    return gone;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    this.#watcher[Symbol.dispose]();
    while (this.#running !== undefined) await this.#running;
    for (const question of this.#questions.splice(0)) question.reject(closing());
  }

  #nowMs(): number {
    return this.#options.clock.monotonicMs();
  }

  #onEvent(path: string): void {
    if (pathProblem(path) !== undefined) return;
    const restlessMs = this.#queue.event(path, this.#nowMs());
    if (restlessMs >= RESTLESS_MS) this.#problems.add({ path, code: 'FILE_CHANGING', message: 'the file is being written to' });
    this.#wake();
  }

  #ask(scope: Scope, deletes: DeleteAnswer): Promise<PassResult> {
    return new Promise((resolve, reject) => {
      if (this.#closed) throw closing();
      this.#questions.push({ scope, deletes, resolve, reject });
      this.#wake();
    });
  }

  /** Runs what is due, or sets the timer for what will be. */
  #wake(): void {
    if (this.#closed || this.#running !== undefined) return;
    const dueMs = this.#questions.length > 0 ? 0 : this.#nextDueMs();
    const waitMs = dueMs === undefined ? 0 : dueMs - this.#nowMs();
    // One that goes off earlier looks again: an event puts off what is due, and must not cost a timer each.
    if (waitMs > 0 && this.#timerDueMs <= dueMs!) return;
    this.#timer?.cancel();
    this.#timerDueMs = Infinity;
    if (dueMs === undefined) return;
    if (waitMs > 0) {
      this.#timerDueMs = dueMs;
      this.#timer = this.#options.timers.after(Math.ceil(waitMs), () => {
        this.#timerDueMs = Infinity;
        this.#wake();
      });
      return;
    }
    this.#running = this.#step().finally(() => {
      this.#running = undefined;
      this.#wake();
    });
  }

  #nextDueMs(): number | undefined {
    // While something is wrong, events are no reason to try: the scan that follows covers them.
    const queueDueMs = this.#failure === undefined ? this.#queue.nextDueMs : undefined;
    if (queueDueMs === undefined || this.#fullDueMs === undefined) return queueDueMs ?? this.#fullDueMs;
    return Math.min(queueDueMs, this.#fullDueMs);
  }

  /** One pass, with all that is due and asked for. */
  async #step(): Promise<void> {
    const nowMs = this.#nowMs();
    const questions = this.#takeQuestions();
    const { paths, everything } = this.#queue.take(nowMs);
    const full =
      everything || (this.#fullDueMs !== undefined && this.#fullDueMs <= nowMs) || questions.some(({ scope }) => scope === 'everything');
    const asked = questions.flatMap(({ scope }) => (scope === 'everything' ? [] : scope));
    try {
      const result = await this.#pass(full ? undefined : disjointPaths([...paths, ...asked]), questions);
      this.#failure = undefined;
      for (const question of questions) question.resolve(result);
    } catch (error) {
      this.#failed(error);
      for (const question of questions) question.reject(error);
    }
  }

  /** All questions that one pass can answer together: those about deletes are answered one by one. */
  #takeQuestions(): readonly Question[] {
    const alone = this.#questions.findIndex(({ deletes }) => deletes !== 'guard');
    return this.#questions.splice(0, alone === 0 ? 1 : alone < 0 ? this.#questions.length : alone);
  }

  async #pass(asked: readonly string[] | undefined, questions: readonly Question[]): Promise<PassResult> {
    const { replica, clock, root, log } = this.#options;
    const checkFolder = (): Promise<void> => this.#thread.call('checkMarker', { root, shareId: replica.share.id });
    await checkFolder();
    const rulesChanged = await this.#loadRules();
    const scopes = rulesChanged || this.#failure !== undefined ? undefined : asked;
    if (scopes === undefined) this.#fullDueMs = this.#nowMs() + (this.#watcher.limited ? UNWATCHED_RESCAN_MS : this.#options.rescanMs);
    if (rulesChanged || this.#failure !== undefined) await this.#watcher.addTree('');
    this.#progress = { state: 'scanning', seen: 0, hashed: 0, hashedBytes: 0 };
    const options = {
      scanner: this.#scanner,
      hasher: this.#hasher,
      committer: this.#committer,
      problems: this.#problems,
      clock,
      checkFolder,
      onSeen: (paths: number) => void (this.#progress.seen += paths),
      onFolder: (path: string) => this.#onFolder(path),
    };
    const isRestless = questions.length > 0 ? () => false : (path: string) => this.#queue.has(path);
    const request = { scopes, rules: this.#rules, first: await this.#scanner.isTableEmpty(), isRestless };
    const deletes = this.#guard.rule(questions[0]?.deletes ?? 'guard', replica.head.tree.live, (gone) => this.#restore(gone));
    try {
      let result = await new IngestPass(options, { ...request, deletes }).run();
      this.checkSoon(result.again);
      if (result.deletesLeft) result = await new IngestPass(options, { ...request, deletes: { kind: 'apply' } }).run();
      this.#guard.note(result, scopes === undefined);
      // How many are gone in all is for a full scan to say.
      if (result.held > 0 && scopes !== undefined) this.#fullDueMs = this.#nowMs();
      if (result.taken > 0) log.debug('took in changes of the folder', { paths: result.taken });
      return result;
    } finally {
      this.#progress.state = 'idle';
    }
  }

  async #restore(gone: readonly Finding[]): Promise<void> {
    const keys = await this.#committer.forget(gone, this.#options.todoRows);
    // Not waited for here: it may have to fetch, and events are to be taken in meanwhile.
    if (keys.length === 0) return;
    const shown = this.#options.materialise(keys);
    shown.catch(() => undefined); // Whoever asked gets the error.
    this.#restoring.push(shown);
  }

  #failed(error: unknown): void {
    if (this.#closed) return;
    const failure = error instanceof SamerootError ? error : new SamerootError('IO_ERROR', messageOf(error), { cause: error });
    if (this.#failure?.code !== failure.code)
      this.#options.log.error('the folder can not be scanned', { code: failure.code, reason: failure.message });
    this.#failure = failure;
    this.#fullDueMs = this.#nowMs() + RETRY_MS;
    // What the watches hang on is not the folder that may come back.
    if (failure.code === 'FOLDER_MISSING' || failure.code === 'SHARE_MISMATCH') this.#watcher.dropTree('');
  }

  /** A folder that the table does not know is watched already, unless its event was lost. */
  #onFolder(path: string): void {
    if (this.#closed || this.#watcher.limited || this.#watcher.watches(path)) return;
    this.#watcher.addTree(path).then(
      () => this.#onEvent(path),
      (error: unknown) => this.#options.log.debug('a folder could not be watched', { path, reason: messageOf(error) }),
    );
  }

  /** Reads the ignore rules; true if they are others than before. */
  async #loadRules(): Promise<boolean> {
    const text = await this.#thread.call('readRules', { root: this.#options.root });
    if (text === this.#rules.text) return false;
    this.#rules = new IgnoreRules(text);
    return true;
  }
}

function closing(): SamerootError {
  return new SamerootError('CLOSED', 'the folder is closing');
}
