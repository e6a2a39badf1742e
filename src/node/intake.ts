/**
 * What happens to entries from a peer: check, fetch the contents that are not here, flush them, merge the entries in
 * one commit, show the result on disk. In this order, so that a root never covers bytes that this host does not hold.
 *
 * Two stages, each with groups that form by themselves: while one group is committed and shown, the next is flushed, and
 * the contents of the one after that arrive.
 */
import { byteKey, equalBytes } from '../base/bytes.ts';
import { messageOf, SamerootError, type ErrorCode } from '../base/errors.ts';
import { CLOCK_AHEAD_MS_MAX } from '../base/limits.ts';
import type { Clock, Log } from '../base/world.ts';
import { EMPTY_CONTENT, singleChunk, type ContentId } from '../content/content-list.ts';
import { decodeEntry } from '../entry/entry-codec.ts';
import type { Entry, Value } from '../entry/entry.ts';
import { absorb } from '../entry/stable-cut.ts';
import { contentKey } from '../session/fetch-plan.ts';
import type { Mutation, Replica } from '../replica/replica.ts';
import type { Operation } from '../store/store.ts';
import type { EntryItem, InlineChunk } from '../wire/messages.ts';
import type { ContentTarget } from './contents.ts';
import type { Fetcher } from './fetcher.ts';
import { provesRollback, rolledBack } from './incarnation.ts';
import type { Incoming } from './problems.ts';

const GROUP_ENTRIES_MAX = 4_000;

type ContentValue = Extract<Value, { content: ContentId }>;
type ContentKind = ContentValue['kind'];

/** The disk side, as far as incoming entries need it. */
export interface Landing {
  /** Is this a key that this host can hold? */
  keyProblem(key: Uint8Array, entry: Entry): ErrorCode | undefined;
  /**
   * Is the content where a value of this kind has it, outside staging? The bytes of a file do not count for a record, nor
   * the other way: each goes when its own owner lets go of it.
   */
  holds(content: ContentId, kind: ContentKind): boolean;
  readonly files: ContentTarget;
  readonly blobs: ContentTarget;
  /** Makes the contents durable. */
  finish(files: readonly ContentId[]): Promise<void>;
  /** Rows that remember, in the commit's own batch, that this key is still to be shown on disk. */
  todoRows(key: Uint8Array): readonly Operation[];
  /** Shows committed entries on disk. */
  project(keys: readonly Uint8Array[]): Promise<void>;
  close(): void;
}

interface Arrival extends Incoming {
  readonly peer: string;
  readonly staged: ContentId[];
  settle(failed: boolean): void;
}

export interface IntakeOptions {
  readonly replica: Replica;
  readonly fetcher: Fetcher;
  readonly landing: Landing;
  readonly clock: Clock;
  readonly log: Log;
  /** This peer and all others that have the same contents: what it offers may come from any of them. */
  readonly sourcesLike: (peer: string) => Iterable<string>;
  readonly onProblem: (code: ErrorCode, incoming: Incoming, message: string) => void;
  /** A group is committed and on disk. */
  readonly onLanded: () => void;
}

export class Intake {
  readonly #options: IntakeOptions;
  #ready: Arrival[] = [];
  #flushing = false;
  /** Flushed, not yet committed. */
  readonly #flushed: Arrival[] = [];
  #landing: Promise<void> | undefined;
  #pending = 0;
  /** How many entries for a key are under way, by key. */
  readonly #arriving = new Map<string, number>();
  readonly totals = { entries: 0, entriesDone: 0 };

  constructor(options: IntakeOptions) {
    this.#options = options;
  }

  /** Entries between arrival and disk. */
  get pending(): number {
    return this.#pending;
  }

  /** An entry for this key has come and is not committed: what it says may be older than what is here. */
  isArriving(key: Uint8Array): boolean {
    return this.#arriving.has(byteKey(key));
  }

  /** Commits of a peer's entries that are not shown on disk yet. */
  get landing(): boolean {
    return this.#landing !== undefined;
  }

  /**
   * Resolves when all are dealt with; true if each is committed and on disk.
   * @throws {SamerootError} `BAD_ENCODING`, `BAD_MESSAGE` for bytes that no honest peer sends; `REPLICA_ROLLED_BACK`
   */
  async offer(peer: string, items: readonly EntryItem[], inline: readonly InlineChunk[]): Promise<boolean> {
    const fresh: Incoming[] = [];
    let sound = true;
    for (const item of items) {
      const incoming = { key: item.key, entry: decodeEntry(item.entry) };
      if (provesRollback(incoming.entry, this.#options.replica)) throw rolledBack();
      const adds = this.#guarded(incoming, () => this.#adds(incoming));
      if (adds === undefined) sound = false;
      else if (adds) fresh.push(incoming);
    }
    for (const { key } of fresh) this.#arriving.set(byteKey(key), (this.#arriving.get(byteKey(key)) ?? 0) + 1);
    try {
      const inlined = await this.#takeInline(inline, fresh);
      const results = await Promise.all(fresh.map((incoming) => this.#admit(peer, incoming, inlined)));
      return sound && results.every((failed) => !failed);
    } finally {
      for (const { key } of fresh) this.#arrived(byteKey(key));
    }
  }

  #arrived(id: string): void {
    const left = this.#arriving.get(id)! - 1;
    if (left > 0) this.#arriving.set(id, left);
    else this.#arriving.delete(id);
  }

  /** Is all that it says known here? */
  isKnown(incoming: Incoming): boolean {
    try {
      return !this.#adds(incoming);
    } catch (error) {
      if (error instanceof SamerootError) return false;
      throw error;
    }
  }

  /** Does it say anything that is not known here? */
  #adds({ key, entry }: Incoming): boolean {
    const { replica } = this.#options;
    const current = replica.entry(key);
    return absorb(current, entry, replica.stable) !== current;
  }

  /** An entry that can not be merged with what is here stays out and is reported; the others go on. */
  #guarded<T>(incoming: Incoming, action: () => T): T | undefined {
    try {
      return action();
    } catch (error) {
      if (!(error instanceof SamerootError)) throw error;
      this.#options.onProblem(error.code, incoming, error.message);
      return undefined;
    }
  }

  /**
   * Contents that came with their entries and were written. Inline bytes count only if they have their hash (the target
   * checks) and one of the entries wants them. Bad ones are asked for like all others.
   */
  async #takeInline(inline: readonly InlineChunk[], fresh: readonly Incoming[]): Promise<ReadonlySet<string>> {
    const taken = new Set<string>();
    if (inline.length === 0) return taken;
    const wanted = new Set<string>();
    for (const { entry } of fresh) for (const { value } of entry.versions) if (value.kind === 'file') wanted.add(contentKey(value.content));
    for (const { hash, bytes } of inline) {
      const content = singleChunk(hash);
      if (!wanted.has(contentKey(content)) || this.#options.landing.holds(content, 'file')) continue;
      const whole = [{ hash, offset: 0, bytes: bytes.length, fileOffset: 0 }];
      // Where our disk takes nothing, the entry fails when its content is asked for, and says why.
      const [good] = await this.#options.landing.files.writeWhole(Uint8Array.from(bytes), whole).catch(() => [false]);
      if (good === true) taken.add(contentKey(content));
    }
    return taken;
  }

  /** Resolves true if the entry failed. */
  #admit(peer: string, incoming: Incoming, inlined: ReadonlySet<string>): Promise<boolean> {
    const { key, entry } = incoming;
    const problem = this.#problemOf(key, entry);
    if (problem !== undefined) {
      this.#options.onProblem(problem, incoming, 'an entry of a peer can not be taken over');
      return Promise.resolve(true);
    }
    const missing = this.#guarded(incoming, () => this.#missingContents(key, entry));
    if (missing === undefined) return Promise.resolve(true);
    this.#pending++;
    this.totals.entries++;
    return new Promise((resolve) => {
      const settle = (failed: boolean): void => {
        this.#pending--;
        this.totals.entriesDone++;
        resolve(failed);
      };
      const arrival: Arrival = { key, entry, peer, staged: [], settle };
      const orders = missing.map((value) => this.#bring(arrival, value, inlined));
      if (orders.length === 0) this.#land(arrival);
      else {
        Promise.all(orders).then(
          () => this.#land(arrival),
          (error: unknown) => this.#fail(arrival, error),
        );
      }
    });
  }

  #problemOf(key: Uint8Array, entry: Entry): ErrorCode | undefined {
    const limit = this.#options.clock.wallMs() + CLOCK_AHEAD_MS_MAX;
    if (entry.versions.some(({ stamp }) => stamp.wallMs > limit)) return 'CLOCK_AHEAD';
    return this.#options.landing.keyProblem(key, entry);
  }

  /** Contents of versions that are new here and whose bytes are not on this host. */
  #missingContents(key: Uint8Array, entry: Entry): ContentValue[] {
    const known = this.#options.replica.entry(key);
    const result: ContentValue[] = [];
    for (const { value } of absorb(known, entry, this.#options.replica.stable)?.versions ?? []) {
      if (value.kind !== 'file' && value.kind !== 'blob') continue;
      if (known?.versions.some((version) => version.value === value) === true) continue;
      if (!this.#options.landing.holds(value.content, value.kind)) result.push(value);
    }
    return result;
  }

  async #bring(arrival: Arrival, value: ContentValue, inlined: ReadonlySet<string>): Promise<void> {
    const { files, blobs } = this.#options.landing;
    const file = value.kind === 'file';
    if (file) arrival.staged.push(value.content);
    if (file && inlined.has(contentKey(value.content))) return;
    if (equalBytes(value.content, EMPTY_CONTENT)) return;
    await this.#options.fetcher.fetch(value.content, value.bytes, file ? files : blobs, this.#options.sourcesLike(arrival.peer));
  }

  #fail(arrival: Arrival, error: unknown): void {
    // Another peer may have brought the same meanwhile; or it is committed, and that it is not shown is for `landing` to say.
    if (!this.isKnown(arrival)) {
      const code = error instanceof SamerootError ? error.code : 'IO_ERROR';
      this.#options.onProblem(code, arrival, messageOf(error));
    }
    arrival.settle(true);
  }

  #land(arrival: Arrival): void {
    this.#ready.push(arrival);
    if (!this.#flushing) void this.#flushAll();
  }

  /** First stage: what is ready is flushed, group by group, while the group before is committed and shown. */
  async #flushAll(): Promise<void> {
    this.#flushing = true;
    // Entries that became ready in the same tick go into one group.
    await Promise.resolve();
    while (this.#ready.length > 0) {
      const group = this.#ready.splice(0, GROUP_ENTRIES_MAX);
      try {
        await this.#finish(group);
        this.#flushed.push(...group);
        this.#landing ??= this.#landAll();
      } catch (error) {
        for (const arrival of group) this.#fail(arrival, error);
      }
    }
    // In the same tick as the last look: what becomes ready a tick later starts anew and is not left lying.
    this.#flushing = false;
  }

  /** Second stage. */
  async #landAll(): Promise<void> {
    while (this.#flushed.length > 0) {
      await this.#landGroup(this.#flushed.splice(0, GROUP_ENTRIES_MAX));
      this.#options.onLanded();
    }
    this.#landing = undefined;
    // A local commit may have slipped in after the last group: it was told to wait for us.
    this.#options.onLanded();
  }

  async #landGroup(group: readonly Arrival[]): Promise<void> {
    let landed: readonly Arrival[] = group;
    try {
      landed = await this.#commit(group);
      await this.#options.landing.project(landed.map(({ key }) => key));
    } catch (error) {
      for (const arrival of landed) this.#fail(arrival, error);
      return;
    }
    for (const arrival of landed) arrival.settle(false);
  }

  async #finish(group: readonly Arrival[]): Promise<void> {
    const { landing } = this.#options;
    const staged = new Map(group.flatMap((arrival) => arrival.staged.map((content) => [contentKey(content), content])));
    // What is held by now was staged for an earlier group too and has been placed by it.
    await landing.finish([...staged.values()].filter((content) => !landing.holds(content, 'file')));
  }

  /** All in one group, yet each a commit of its own: an entry that can not be merged fails alone. Gives the others. */
  async #commit(group: readonly Arrival[]): Promise<Arrival[]> {
    const { landing, replica } = this.#options;
    const mutations = group.map(({ key, entry, peer }): Mutation => ({
      key,
      origin: peer,
      next: (current, author) => {
        for (const { stamp } of entry.versions) author.observe(stamp);
        return absorb(current, entry, replica.stable);
      },
      rows: (_merged, changed) => (changed ? landing.todoRows(key) : []),
    }));
    const results = await Promise.allSettled(mutations.map((mutation) => replica.commit([mutation])));
    return group.filter((arrival, index) => {
      const result = results[index]!;
      if (result.status === 'rejected') this.#fail(arrival, result.reason);
      return result.status === 'fulfilled';
    });
  }
}
