/**
 * Replica -> disk: makes the folder show what the entries say. Idempotent: `project` may be called again for any key at
 * any time, and only does what is still to do.
 *
 * Invariants. What is not exactly as its placed row says is the user's: it is reported `dirty` and left alone until it has
 * been ingested. The placed rows are written after the names were flushed, in one commit with the end of the todo row,
 * and the todo row goes only if the entry is still the one that was shown. So after a crash at any moment `redo` finishes
 * what was begun, and no rename of ours is taken for an edit.
 *
 * Bytes come, in this order: from staging; from a file that goes away in the same batch (a rename costs a rename); from
 * the trash; from a copy of another file in the folder. What is nowhere is `missing`.
 */
import { byteKey, compareBytes, fromByteKey, toHex } from '../base/bytes.ts';
import { SamerootError, type ErrorCode } from '../base/errors.ts';
import type { Clock, Log, Timers } from '../base/world.ts';
import { contentLevel, type ContentId } from '../content/content-list.ts';
import { equalEntries, type Entry } from '../entry/entry.ts';
import { view } from '../entry/view.ts';
import type { Head } from '../replica/head.ts';
import type { Mutation, Replica } from '../replica/replica.ts';
import * as keyspace from '../store/keyspace.ts';
import type { Operation } from '../store/store.ts';
import { BegunRemovals } from './begun-removals.ts';
import { chunkPlaceRows, ContentIndex } from './content-index.ts';
import type { JobCaller } from './disk-jobs.ts';
import type { DiskAccess } from './disk.ts';
import type { PathGate } from './gate.ts';
import { nextBatch } from './interrupted.ts';
import { LocalSources } from './local-sources.ts';
import { OWN_FOLDER, pathOfKey } from './paths.ts';
import type { BatchResult, Outcome } from './place-batch.ts';
import { getPlaced } from './placed.ts';
import { outcomesByPath, rowsOf, rowToCome } from './plan-outcome.ts';
import { Planner, type KeyPlan, type Plan } from './plan.ts';
import { countAside } from './set-aside.ts';
import type { Standing } from './standing.ts';
import { stagedName, type Staging } from './staging.ts';
import { todoDone, todoKeys, todoRow } from './todo.ts';
import type { Trash } from './trash.ts';

export interface MaterialiserOptions {
  /** Absolute path of the shared folder. */
  readonly root: string;
  readonly replica: Replica;
  readonly staging: Staging;
  readonly trash: Trash;
  readonly gate: PathGate;
  readonly access: DiskAccess;
  readonly writeThread: JobCaller;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Log;
  readonly standing: Standing;
}

export interface MissingContent {
  readonly key: Uint8Array;
  readonly content: ContentId;
  readonly bytes: number;
}

export interface Projection {
  /** The disk shows the entries of these keys. */
  readonly done: readonly Uint8Array[];
  /** Paths that must be ingested before their keys can be projected again. */
  readonly dirty: readonly string[];
  /** Contents that are nowhere on this host. */
  readonly missing: readonly MissingContent[];
  /** Keys that wait for something else: see `problems`. */
  readonly waiting: readonly Uint8Array[];
}

export interface PlaceProblem {
  readonly code: ErrorCode;
  readonly message: string;
  readonly sinceMs: number;
}

type KeyState = 'done' | 'stale' | 'dirty' | 'absent' | 'waiting';

interface Round {
  readonly keys: Map<string, KeyState>;
  readonly dirty: Set<string>;
  /** By key. */
  readonly absent: Map<string, MissingContent[]>;
}

/** Keys of one batch: some tenths of a second with the gate closed. */
const KEYS_PER_BATCH = 4096;
const ROWS_PER_WRITE = 4096;
const NOTHING_DONE: BatchResult = { removals: [], placements: [], touches: [], checks: [], touched: [] };
/** After all hexadecimal digits. */
const LAST = 'z';

export class Materialiser {
  readonly #options: MaterialiserOptions;
  readonly #index: ContentIndex;
  readonly #sources: LocalSources;
  #nextCopy = 0;
  readonly #problems = new Map<string, PlaceProblem>();
  readonly #begun: BegunRemovals;

  constructor(options: MaterialiserOptions) {
    this.#options = options;
    this.#index = new ContentIndex(options.replica.store);
    this.#sources = new LocalSources(options);
    this.#begun = new BegunRemovals(options);
  }

  /** Paths that cannot be shown now, and why. */
  get problems(): ReadonlyMap<string, PlaceProblem> {
    return this.#problems;
  }

  /** The rows that go into the batch of a file entry from a peer, so that a crash cannot forget to show it. */
  todoRows(key: Uint8Array): Operation[] {
    return [todoRow(key)];
  }

  /**
   * Makes the disk show the entries of these file keys.
   * @throws {SamerootError} `FOLDER_MISSING`, `DISK_FULL`, `IO_ERROR`, or the errors of a commit; the todo rows stay
   */
  async project(keys: readonly Uint8Array[]): Promise<Projection> {
    const round: Round = { keys: new Map(), dirty: new Set(), absent: new Map() };
    let pending = [...new Map(keys.map((key) => [byteKey(key), key])).values()];
    for (let idleRounds = 0; pending.length > 0 && idleRounds < 2;) {
      const progress = await this.#projectRound(pending, round);
      idleRounds = progress ? 0 : idleRounds + 1;
      const obtained = await this.#sources.obtain([...round.absent.values()].flat());
      const retry = [...round.absent]
        .filter(([, contents]) => contents.some(({ content }) => obtained.has(byteKey(content))))
        .map(([id]) => id);
      // A path may have waited for one that was in its way.
      if (progress) for (const [id, state] of round.keys) if (state === 'stale' || state === 'waiting') retry.push(id);
      pending = retry.map(fromByteKey);
    }
    const inState = (wanted: KeyState): Uint8Array[] =>
      [...round.keys].filter(([, state]) => state === wanted).map(([id]) => fromByteKey(id));
    const waiting = [...inState('waiting'), ...inState('stale')];
    return { done: inState('done'), dirty: [...round.dirty], missing: [...round.absent.values()].flat(), waiting };
  }

  /** Projects everything that has a todo row, at the start. `left`: the keys that are not done. */
  async redo(): Promise<Projection & { readonly left: readonly Uint8Array[] }> {
    await this.#options.gate.run(() => this.#begun.settle());
    const all = { done: [] as Uint8Array[], dirty: new Set<string>(), missing: [] as MissingContent[], waiting: [] as Uint8Array[] };
    const left = new Map<string, Uint8Array>();
    const project = async (keys: readonly Uint8Array[]): Promise<void> => {
      const { done, dirty, missing, waiting } = await this.project(keys);
      for (const key of keys) left.set(byteKey(key), key);
      for (const key of done) left.delete(byteKey(key));
      all.done.push(...done);
      all.missing.push(...missing);
      all.waiting.push(...waiting);
      for (const path of dirty) all.dirty.add(path);
    };
    let keys: Uint8Array[] = [];
    for await (const some of todoKeys(this.#options.replica.store)) {
      keys.push(...some);
      if (keys.length < KEYS_PER_BATCH) continue;
      await project(keys);
      keys = [];
    }
    await project(keys);
    // What waited for something of a later batch.
    const again = all.waiting.splice(0);
    if (again.length > 0) await project(again);
    return { ...all, dirty: [...all.dirty], left: [...left.values()] };
  }

  /** Names in staging of contents that committed entries still need; for `Staging.open`. */
  static async wantedContents(replica: Replica): Promise<Set<string>> {
    const wanted = new Set<string>();
    for await (const keys of todoKeys(replica.store)) {
      for (const key of keys) {
        for (const { value } of replica.entry(key)?.versions ?? []) if (value.kind === 'file') wanted.add(stagedName(value.content));
      }
    }
    return wanted;
  }

  /** True if anything got done. */
  async #projectRound(keys: readonly Uint8Array[], round: Round): Promise<boolean> {
    const sorted = this.#ordered(keys);
    let progress = false;
    for (let from = 0; from < sorted.length; from += KEYS_PER_BATCH) {
      const batch = sorted.slice(from, from + KEYS_PER_BATCH);
      const fresh = await this.#options.gate.run(() => this.#projectBatch(batch, round));
      for (const content of fresh) await this.#indexChunks(content);
      progress ||= batch.some((key) => ['done', 'stale'].includes(round.keys.get(byteKey(key))!));
    }
    return progress;
  }

  /**
   * By path; but where files go away and there are several batches, by content, so that a file that was moved goes and
   * comes in one batch. Folders last: those that go are empty then.
   */
  #ordered(keys: readonly Uint8Array[]): Uint8Array[] {
    const { replica } = this.#options;
    const sorted = keys.toSorted(compareBytes);
    if (keys.length <= KEYS_PER_BATCH) return sorted;
    let removals = false;
    const tagged = sorted.map((key) => {
      const path = pathOfKey(key);
      const winner = view(replica.entry(key)).winner?.version.value;
      removals ||= winner === undefined;
      const content = winner?.kind === 'file' ? winner.content : path === undefined ? undefined : getPlaced(replica.store, path)?.content;
      return { key, tag: content === undefined ? LAST : toHex(content) };
    });
    if (!removals) return sorted;
    return tagged.sort((a, b) => (a.tag < b.tag ? -1 : a.tag > b.tag ? 1 : 0)).map(({ key }) => key);
  }

  /** The contents of several chunks that are new in the folder. */
  async #projectBatch(keys: readonly Uint8Array[], round: Round): Promise<ContentId[]> {
    const { root, access, replica, staging, gate, timers } = this.#options;
    const { head } = replica;
    const plan = await new Planner(replica, staging, timers).plan(keys);
    const batch = nextBatch(replica);
    const result = await this.#apply(plan, batch.name).catch((error: unknown) => {
      gate.owe(() => this.#begun.settle());
      throw error;
    });
    this.#options.standing.setAside += countAside([...result.removals, ...result.placements]);
    this.#noteKept(plan, result);
    const unsettled = unsettledRemovals(plan, result);
    let rows: readonly Operation[] | undefined;
    // The database is read for them, and may fail: then it is done again with what is owed.
    const makeRows = (): readonly Operation[] => (rows ??= this.#rowsOf(plan, result, batch.row));
    try {
      makeRows();
      await access.makeDurable(root, [], result.touched);
      const outcomes = outcomesByPath(plan, result);
      for (const keyPlan of plan.keys) this.#judge(keyPlan, plan, outcomes, round);
      for (const key of plan.idle) round.keys.set(byteKey(key), 'done');
      const fresh = this.#newLargeContents(plan, result);
      await this.#commit(plan, head, makeRows(), round);
      if (unsettled.size > 0) gate.owe(() => this.#begun.settle());
      return fresh;
    } catch (error) {
      if (rows?.length !== 0 || unsettled.size > 0) gate.owe(() => this.#record(result.touched, makeRows));
      throw error;
    } finally {
      this.#noteMoved(plan, result);
    }
  }

  /** What the disk shows since this batch. */
  #rowsOf(plan: Plan, result: BatchResult, recorded: Operation): Operation[] {
    const rows = rowsOf(plan, result, this.#options.trash);
    const unsettled = unsettledRemovals(plan, result);
    rows.push(...this.#begun.end(this.#begun.paths.filter((path) => !unsettled.has(path))));
    if (rows.length > 0) rows.push(recorded);
    return rows;
  }

  /** Again: what the disk shows is not in the rows yet, and an edit of it must not be taken for one of what was there before. */
  async #record(touched: readonly string[], makeRows: () => readonly Operation[]): Promise<void> {
    const { root, access, replica } = this.#options;
    await access.makeDurable(root, [], touched);
    await replica.store.write(makeRows(), { durable: true });
    await this.#begun.settle();
  }

  #newLargeContents(plan: Plan, result: BatchResult): ContentId[] {
    return plan.placements.flatMap(({ plan: { wish } }, at) => {
      const content = wish?.value.kind === 'file' && result.placements[at]!.status === 'done' ? wish.value.content : undefined;
      return content === undefined || contentLevel(content) === 0 || this.#index.holds(content) ? [] : [content];
    });
  }

  async #apply(plan: Plan, name: string): Promise<BatchResult> {
    const { root, trash, staging, writeThread } = this.#options;
    // In an older copy of the database a removal that was recorded since is not.
    const { restored } = this.#options.standing;
    const removals = plan.removals.map(({ operation }) => ({ ...operation, mayBeGone: operation.mayBeGone || restored }));
    await this.#begun.begin(removals.filter(({ mayBeGone }) => !mayBeGone).map(({ path }) => path));
    const placements = plan.placements.map(({ operation }) => operation);
    const touches = plan.touches.map(({ operation }) => operation);
    const checks = plan.refreshes.map(({ operation }) => operation);
    if (removals.length + placements.length + touches.length + checks.length === 0) return NOTHING_DONE;
    const tmp = `${root}/${OWN_FOLDER}/tmp`;
    const duplicates = plan.duplicates.map(({ name, bytes, at }) => ({ name, bytes, at, copy: `copy-${this.#nextCopy++}` }));
    if (duplicates.length > 0) {
      await staging.duplicate(duplicates);
      for (const { at, copy } of duplicates) {
        const operation = placements[at]!;
        if (operation.want.kind === 'file') placements[at] = { ...operation, want: { ...operation.want, staged: copy } };
      }
    }
    return writeThread.call('applyBatch', {
      name,
      root,
      tmp,
      day: trash.day(),
      quarantine: this.#options.standing.quarantine,
      removals,
      placements: placements.map((operation, at) => ({ ...operation, row: rowToCome(plan.placements[at]!.plan) })),
      touches: touches.map((operation, at) => ({ ...operation, row: rowToCome(plan.touches[at]!.plan) })),
      checks,
      copies: duplicates.map(({ copy }) => copy),
    });
  }

  #noteKept(plan: Plan, result: BatchResult): void {
    const { staging } = this.#options;
    for (const [at, { operation }] of plan.removals.entries()) {
      const outcome = result.removals[at]!;
      if (outcome.status === 'done' && outcome.kept === true) staging.noteKept(operation.keepAs!);
    }
  }

  /**
   * After the commit: until then a look-up finds the content in staging, from then on in the folder. Also where the batch
   * failed later on: a name that is taken for a content that is there would never be filled again.
   */
  #noteMoved(plan: Plan, result: BatchResult): void {
    for (const [at, { operation }] of plan.placements.entries()) {
      const outcome = result.placements[at]!;
      const name = operation.want.kind === 'file' ? operation.want.staged : undefined;
      const isGone = outcome.status === 'absent' || (outcome.status === 'done' && outcome.moved === true);
      if (isGone && name !== undefined) this.#options.staging.noteMoved(name);
    }
  }

  /** What became of a key: the worst of its paths. */
  #judge(keyPlan: KeyPlan, plan: Plan, outcomes: ReadonlyMap<string, Outcome>, round: Round): void {
    const id = byteKey(keyPlan.key);
    round.absent.delete(id);
    const own = keyPlan.paths[0]!;
    if (keyPlan.problem !== undefined) {
      round.keys.set(id, 'waiting');
      this.#addProblem(own, keyPlan.problem.code, keyPlan.problem.message);
      return;
    }
    let state: KeyState = 'done';
    const absent: MissingContent[] = [];
    for (const path of keyPlan.paths) {
      const outcome = outcomes.get(path);
      if (outcome === undefined || outcome.status === 'done' || outcome.status === 'left') continue;
      if (outcome.status === 'absent') {
        const value = plan.paths.get(path)?.wish?.value;
        if (value?.kind === 'file') absent.push({ key: keyPlan.key, content: value.content, bytes: value.bytes });
        if (state === 'done') state = 'absent';
      } else if (outcome.status === 'failed') {
        state = 'waiting';
        this.#addProblem(own, outcome.code, outcome.message);
      } else if (outcome.status === 'blocked' && this.#isOurs(path, outcome.path)) {
        state = 'waiting';
        this.#addProblem(own, 'PATH_BLOCKED', `${outcome.path} is in the way of ${path}`);
      } else {
        round.dirty.add(outcome.path);
        state = 'dirty';
      }
    }
    if (state === 'done') this.#problems.delete(own);
    if (absent.length > 0) round.absent.set(id, absent);
    round.keys.set(id, state);
  }

  /** What is in the way is there by an entry, not by an edit that we have not seen. */
  #isOurs(path: string, inTheWay: string): boolean {
    const row = getPlaced(this.#options.replica.store, inTheWay);
    return row !== undefined && (row.kind === 'directory') === (path === inTheWay);
  }

  #addProblem(path: string, code: ErrorCode, message: string): void {
    const known = this.#problems.get(path);
    if (known?.code === code && known.message === message) return;
    this.#options.log.warn('path cannot be written', { path, code, message });
    this.#problems.set(path, { code, message, sinceMs: known?.sinceMs ?? this.#options.clock.wallMs() });
  }

  /**
   * Through the replica's own queue, for its order: only there is it certain that no commit under way brings a new
   * entry, with a todo row that must stay. `head`: from before the plan. While it is the same, so is every entry.
   */
  async #commit(plan: Plan, head: Head, rows: readonly Operation[], round: Round): Promise<void> {
    const { replica } = this.#options;
    const all = [...rows, ...plan.idle.map(todoDone)];
    const isTodo = ({ key }: KeyPlan): boolean => replica.store.get(keyspace.pendingKey(key)) !== undefined;
    const done = plan.keys.filter(({ key }) => round.keys.get(byteKey(key)) === 'done');
    // To delete a row that is not there costs less than to look for it, but where nothing else is to be written.
    const ends = all.length > 0 ? done : done.filter(isTodo);
    if (all.length + ends.length === 0) return;
    if (await replica.record(head, [...all, ...ends.map(({ key }) => todoDone(key))])) return;
    const checked = ends.filter(isTodo).map(({ key, entry }): Mutation => {
      let unchanged = false;
      const next = (current: Entry | undefined): Entry | undefined => {
        unchanged = current !== undefined && equalEntries(current, entry);
        if (!unchanged) round.keys.set(byteKey(key), 'stale');
        return current;
      };
      return { key, next, rows: () => (unchanged ? [todoDone(key)] : []) };
    });
    const first: Mutation = { key: plan.keys[0]?.key ?? plan.idle[0]!, next: (current) => current, rows: () => all };
    await replica.commit([first, ...checked]);
  }

  /** So that chunks of this content are found when another file needs them. Only hints, so not in the commit. */
  async #indexChunks(content: ContentId): Promise<void> {
    const { store } = this.#options.replica;
    try {
      let rows: Operation[] = [];
      for (const row of chunkPlaceRows((hash) => store.get(keyspace.listPageKey(hash)), content)) {
        rows.push(row);
        if (rows.length < ROWS_PER_WRITE) continue;
        await store.write(rows, { durable: false });
        rows = [];
      }
      if (rows.length > 0) await store.write(rows, { durable: false });
    } catch (error) {
      if (!(error instanceof SamerootError) || error.code !== 'CONTENT_MISSING') throw error;
      this.#options.log.warn('content list is incomplete', { content: toHex(content) });
    }
  }
}

/** Paths of which it is not known whether we have removed what was there. */
function unsettledRemovals(plan: Plan, { removals }: BatchResult): Set<string> {
  const isUnknown = (outcome: Outcome): boolean => outcome.status === 'failed' && outcome.isThere !== true;
  return new Set(plan.removals.filter((_, at) => isUnknown(removals[at]!)).map(({ operation }) => operation.path));
}
