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
  /** Makes the contents durable. Some may have been placed by now: they were staged for an earlier group too. */
  finish(files: readonly ContentId[]): Promise<void>;
  /** Rows that remember, in the commit's own batch, that this key is still to be shown on disk. */
  todoRows(key: Uint8Array): readonly Operation[];
  /** Shows committed entries on disk. */
  project(keys: readonly Uint8Array[]): Promise<void>;
  close(): void;
}

/** The new entries of one message of a peer. */
interface Offer {
  readonly peer: string;
  left: number;
  failed: boolean;
  settled(): void;
}

interface Arrival extends Incoming {
  /** Of the entry. */
  readonly bytes: Uint8Array;
  /** The key, for maps. */
  readonly id: string;
  /** Contents of versions that are new here and whose bytes were not on this host when it came. */
  readonly missing: readonly ContentValue[];
  readonly staged: ContentId[];
  readonly offer: Offer;
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
    const offer: Offer = { peer, left: 0, failed: false, settled: () => {} };
    const fresh: Arrival[] = [];
    for (const { key, entry: bytes } of items) {
      const incoming = { key, entry: decodeEntry(bytes) };
      if (provesRollback(incoming.entry, this.#options.replica)) throw rolledBack();
      const missing = this.#guarded(incoming, () => this.#missingContents(incoming));
      if (missing === undefined) offer.failed = true;
      else if (missing !== 'known') fresh.push({ key, entry: incoming.entry, bytes, id: byteKey(key), missing, staged: [], offer });
    }
    for (const { id } of fresh) this.#arriving.set(id, (this.#arriving.get(id) ?? 0) + 1);
    try {
      const inlined = await this.#takeInline(inline, fresh);
      await this.#admitAll(offer, fresh, inlined);
      return !offer.failed;
    } finally {
      for (const { id } of fresh) this.#arrived(id);
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
      const { current, merged } = this.#merge(incoming);
      return merged === current;
    } catch (error) {
      if (error instanceof SamerootError) return false;
      throw error;
    }
  }

  /** `merged` is `current` itself where it says nothing new. */
  #merge({ key, entry }: Incoming): { readonly current: Entry | undefined; readonly merged: Entry | undefined } {
    const { replica } = this.#options;
    const current = replica.entry(key);
    return { current, merged: absorb(current, entry, replica.stable) };
  }

  /** What of its contents is to be fetched, if it says anything that is not known here. */
  #missingContents(incoming: Incoming): ContentValue[] | 'known' {
    const { landing } = this.#options;
    const { current, merged } = this.#merge(incoming);
    if (merged === current) return 'known';
    const missing: ContentValue[] = [];
    for (const { value } of merged?.versions ?? []) {
      if (value.kind !== 'file' && value.kind !== 'blob') continue;
      if (current?.versions.some((version) => version.value === value) === true) continue;
      if (!landing.holds(value.content, value.kind)) missing.push(value);
    }
    return missing;
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

  /** Resolves when all of an offer have landed or failed. */
  #admitAll(offer: Offer, arrivals: readonly Arrival[], inlined: ReadonlySet<string>): Promise<void> {
    const clockLimitMs = this.#options.clock.wallMs() + CLOCK_AHEAD_MS_MAX;
    const sources = [...this.#options.sourcesLike(offer.peer)];
    const admitted = arrivals.filter((arrival) => {
      const problem = this.#problemOf(arrival, clockLimitMs);
      if (problem === undefined) return true;
      this.#options.onProblem(problem, arrival, 'an entry of a peer can not be taken over');
      offer.failed = true;
      return false;
    });
    if (admitted.length === 0) return Promise.resolve();
    this.#pending += admitted.length;
    this.totals.entries += admitted.length;
    return new Promise((resolve) => {
      offer.left = admitted.length;
      offer.settled = resolve;
      for (const arrival of admitted) this.#bring(arrival, inlined, sources);
    });
  }

  #settle({ offer }: Arrival, failed: boolean): void {
    this.#pending--;
    this.totals.entriesDone++;
    if (failed) offer.failed = true;
    if (--offer.left === 0) offer.settled();
  }

  #problemOf({ key, entry }: Incoming, clockLimitMs: number): ErrorCode | undefined {
    if (entry.versions.some(({ stamp }) => stamp.wallMs > clockLimitMs)) return 'CLOCK_AHEAD';
    return this.#options.landing.keyProblem(key, entry);
  }

  #bring(arrival: Arrival, inlined: ReadonlySet<string>, sources: readonly string[]): void {
    const { files, blobs } = this.#options.landing;
    const fetches: Promise<void>[] = [];
    for (const { kind, content, bytes } of arrival.missing) {
      if (kind === 'file') arrival.staged.push(content);
      if (kind === 'file' && inlined.has(contentKey(content))) continue;
      if (equalBytes(content, EMPTY_CONTENT)) continue;
      fetches.push(this.#options.fetcher.fetch(content, bytes, kind === 'file' ? files : blobs, sources));
    }
    const [first] = fetches;
    if (first === undefined) this.#land(arrival);
    else {
      // Nearly always one: `all` would make three promises of it.
      (fetches.length === 1 ? first : Promise.all(fetches)).then(
        () => this.#land(arrival),
        (error: unknown) => this.#fail(arrival, error),
      );
    }
  }

  #fail(arrival: Arrival, error: unknown): void {
    // Another peer may have brought the same meanwhile; or it is committed, and that it is not shown is for `landing` to say.
    if (!this.isKnown(arrival)) {
      const code = error instanceof SamerootError ? error.code : 'IO_ERROR';
      this.#options.onProblem(code, arrival, messageOf(error));
    }
    this.#settle(arrival, true);
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
    for (const arrival of landed) this.#settle(arrival, false);
  }

  async #finish(group: readonly Arrival[]): Promise<void> {
    const staged = new Map(group.flatMap((arrival) => arrival.staged.map((content) => [contentKey(content), content])));
    await this.#options.landing.finish([...staged.values()]);
  }

  /** All as one write. Where that can not be, each is a commit of its own: an entry that can not be merged fails alone. Gives the others. */
  async #commit(group: readonly Arrival[]): Promise<readonly Arrival[]> {
    const { replica } = this.#options;
    const mutations = group.map((arrival) => this.#mutationOf(arrival));
    try {
      await replica.commit(mutations);
      return group;
    } catch {
      const results = await Promise.allSettled(mutations.map((mutation) => replica.commit([mutation])));
      return group.filter((arrival, index) => {
        const result = results[index]!;
        if (result.status === 'rejected') this.#fail(arrival, result.reason);
        return result.status === 'fulfilled';
      });
    }
  }

  #mutationOf({ key, entry, bytes, offer }: Arrival): Mutation {
    const { landing, replica } = this.#options;
    return {
      key,
      origin: offer.peer,
      encoded: { entry, bytes },
      next: (current, author) => {
        for (const { stamp } of entry.versions) author.observe(stamp);
        return absorb(current, entry, replica.stable);
      },
      rows: (_merged, changed) => (changed ? landing.todoRows(key) : []),
    };
  }
}
