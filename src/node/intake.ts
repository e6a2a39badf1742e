/**
 * What happens to entries from a peer: check, fetch the contents that are not here, flush them, merge the entries in
 * one commit, show the result on disk. In this order, so that a root never covers bytes that this host does not hold.
 *
 * Groups form by themselves: while one group is flushed and committed, the contents of the next arrive.
 */
import { equalBytes } from '../base/bytes.ts';
import { messageOf, SamerootError, type ErrorCode } from '../base/errors.ts';
import { CLOCK_AHEAD_MS_MAX } from '../base/limits.ts';
import type { Clock, Log } from '../base/world.ts';
import { EMPTY_CONTENT, singleChunk, type ContentId } from '../content/content-list.ts';
import { decodeEntry } from '../entry/entry-codec.ts';
import { contains, isBirth, merge, type Entry, type Value } from '../entry/entry.ts';
import { contentKey } from '../session/fetch-plan.ts';
import type { Mutation, Replica } from '../replica/replica.ts';
import type { Operation } from '../store/store.ts';
import type { EntryItem, InlineChunk } from '../wire/messages.ts';
import type { ContentTarget } from './contents.ts';
import type { Fetcher } from './fetcher.ts';

const GROUP_ENTRIES_MAX = 4_000;

/** The disk side, as far as incoming entries need it. */
export interface Landing {
  /** Is this a key that this host can hold? */
  keyProblem(key: Uint8Array, entry: Entry): ErrorCode | undefined;
  /** Is the content on this host already, outside staging? */
  holds(content: ContentId): boolean;
  readonly files: ContentTarget;
  readonly blobs: ContentTarget;
  /** Makes the contents durable. */
  finish(files: readonly ContentId[]): Promise<void>;
  /** Rows that remember, in the commit's own batch, that this key is still to be shown on disk. */
  todoRows(key: Uint8Array, entry: Entry | undefined): readonly Operation[];
  /** Shows committed entries on disk. */
  project(keys: readonly Uint8Array[]): Promise<void>;
  close(): void;
}

interface Arrival {
  readonly key: Uint8Array;
  readonly entry: Entry;
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
  readonly onProblem: (code: ErrorCode, key: Uint8Array, message: string) => void;
  /** A group is committed and on disk. */
  readonly onLanded: () => void;
}

export class Intake {
  readonly #options: IntakeOptions;
  #ready: Arrival[] = [];
  #landing: Promise<void> | undefined;
  #pending = 0;
  /** Contents that came with their entries and were written. */
  readonly #inlined = new Set<string>();
  readonly totals = { entries: 0, entriesDone: 0 };

  constructor(options: IntakeOptions) {
    this.#options = options;
  }

  /** Entries between arrival and disk. */
  get pending(): number {
    return this.#pending;
  }

  /** Commits of a peer's entries that are not shown on disk yet. */
  get landing(): boolean {
    return this.#landing !== undefined;
  }

  /**
   * Resolves when all are dealt with; true if each is committed and on disk.
   * @throws {SamerootError} `BAD_ENCODING`, `BAD_MESSAGE` for bytes that no honest peer sends
   */
  async offer(peer: string, items: readonly EntryItem[], inline: readonly InlineChunk[]): Promise<boolean> {
    const fresh = items
      .map((item) => ({ key: item.key, entry: decodeEntry(item.entry) }))
      .filter(({ key, entry }) => !contains(this.#options.replica.entry(key), entry));
    await this.#takeInline(inline);
    const results = await Promise.all(fresh.map(({ key, entry }) => this.#admit(peer, key, entry)));
    return results.every((failed) => !failed);
  }

  /** Inline bytes count only if they have their hash: the target checks. Bad ones are asked for like all others. */
  async #takeInline(inline: readonly InlineChunk[]): Promise<void> {
    for (const { hash, bytes } of inline) {
      if (this.#options.landing.holds(singleChunk(hash))) continue;
      const [sound] = await this.#options.landing.files.writeWhole(Uint8Array.from(bytes), [
        { hash, offset: 0, bytes: bytes.length, fileOffset: 0 },
      ]);
      if (sound === true) this.#inlined.add(contentKey(singleChunk(hash)));
    }
  }

  #admit(peer: string, key: Uint8Array, entry: Entry): Promise<boolean> {
    const problem = this.#problemOf(key, entry);
    if (problem !== undefined) {
      this.#options.onProblem(problem, key, 'an entry of a peer can not be taken over');
      return Promise.resolve(true);
    }
    this.#pending++;
    this.totals.entries++;
    return new Promise((resolve) => {
      const settle = (failed: boolean): void => {
        this.#pending--;
        this.totals.entriesDone++;
        resolve(failed);
      };
      const arrival: Arrival = { key, entry, peer, staged: [], settle };
      const orders = this.#missingContents(key, entry).map((value) => this.#bring(arrival, value));
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
    // The stamp of a birth is the file's own time, which may be anything.
    if (entry.versions.some((version) => version.stamp.wallMs > limit && !isBirth(key, version))) return 'CLOCK_AHEAD';
    return this.#options.landing.keyProblem(key, entry);
  }

  /** Contents of versions that are new here and whose bytes are not on this host. */
  #missingContents(key: Uint8Array, entry: Entry): Extract<Value, { content: ContentId }>[] {
    const known = this.#options.replica.entry(key);
    const result: Extract<Value, { content: ContentId }>[] = [];
    for (const { value } of merge(known, entry).versions) {
      if (value.kind !== 'file' && value.kind !== 'blob') continue;
      if (known?.versions.some((version) => version.value === value) === true) continue;
      if (!this.#options.landing.holds(value.content)) result.push(value);
    }
    return result;
  }

  async #bring(arrival: Arrival, value: Extract<Value, { content: ContentId }>): Promise<void> {
    const { files, blobs } = this.#options.landing;
    const file = value.kind === 'file';
    if (file) arrival.staged.push(value.content);
    if (file && this.#inlined.delete(contentKey(value.content))) return;
    if (equalBytes(value.content, EMPTY_CONTENT)) return;
    await this.#options.fetcher.fetch(value.content, value.bytes, file ? files : blobs, [arrival.peer]);
  }

  #fail(arrival: Arrival, error: unknown): void {
    const code = error instanceof SamerootError ? error.code : 'IO_ERROR';
    this.#options.onProblem(code, arrival.key, messageOf(error));
    arrival.settle(true);
  }

  #land(arrival: Arrival): void {
    this.#ready.push(arrival);
    this.#landing ??= this.#landAll().finally(() => {
      this.#landing = undefined;
      // A local commit may have slipped in after the last group: it was told to wait for us.
      this.#options.onLanded();
    });
  }

  async #landAll(): Promise<void> {
    // Entries that became ready in the same tick go into one group.
    await Promise.resolve();
    while (this.#ready.length > 0) {
      const group = this.#ready.splice(0, GROUP_ENTRIES_MAX);
      try {
        await this.#landGroup(group);
        for (const arrival of group) arrival.settle(false);
      } catch (error) {
        for (const arrival of group) this.#fail(arrival, error);
      }
      this.#options.onLanded();
    }
  }

  async #landGroup(group: readonly Arrival[]): Promise<void> {
    const { landing, replica } = this.#options;
    const staged = new Map(group.flatMap((arrival) => arrival.staged.map((content) => [contentKey(content), content])));
    // What is held by now was staged for an earlier group too and has been placed by it.
    await landing.finish([...staged.values()].filter((content) => !landing.holds(content)));
    const mutations = group.map(({ key, entry, peer }): Mutation => ({
      key,
      origin: peer,
      next: (current, author) => {
        for (const version of entry.versions) if (!isBirth(key, version)) author.observe(version.stamp);
        return merge(current, entry);
      },
      rows: (merged, changed) => (changed ? landing.todoRows(key, merged) : []),
    }));
    await replica.commit(mutations);
    await landing.project(group.map(({ key }) => key));
  }
}
