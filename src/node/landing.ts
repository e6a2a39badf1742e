/**
 * Where incoming entries land: files in the folder, large records in the chunk store. Also looks after projections
 * that could not be finished at once, because the user changed the path meanwhile or its bytes were moved away.
 */
import { byteKey, fromByteKey, toHex } from '../base/bytes.ts';
import { messageOf, SamerootError, type ErrorCode } from '../base/errors.ts';
import type { Timer, World } from '../base/world.ts';
import type { ContentId } from '../content/content-list.ts';
import type { Entry } from '../entry/entry.ts';
import type { Folder } from '../folder/folder.ts';
import type { MissingContent } from '../folder/materialise.ts';
import { pathOfKey } from '../folder/paths.ts';
import type { Replica } from '../replica/replica.ts';
import type { BlobTarget } from './blob-target.ts';
import type { Landing } from './intake.ts';
import { isMemberKey } from './member-record.ts';
import type { Members } from './members.ts';
import { isRecordKey, type Records } from './records.ts';

const RETRY_MS_FIRST = 200;
const RETRY_MS_MAX = 10_000;
/** How long acknowledgements wait for a path that can not be shown at once: it was just changed here, say. */
const UNSHOWN_MS_MAX = 5_000;

export interface LandingParts {
  readonly replica: Replica;
  readonly folder: Folder;
  readonly records: Records;
  readonly members: Members;
  readonly blobs: BlobTarget;
  /** From any connected peer, into staging. */
  readonly fetch: (content: ContentId, bytes: number) => Promise<void>;
  readonly world: World;
}

/** What is committed and not on disk yet. */
export interface Showing {
  /** Something has just been committed and is not on disk yet. What can not be shown for longer is a problem of its path only. */
  readonly unshown: boolean;
  /** Resolves when nothing is `unshown`. */
  shown(): Promise<void>;
  /** Why nothing at all can be shown now; it is tried again by itself. */
  readonly problem: SamerootError | undefined;
}

export function makeLanding(parts: LandingParts): Landing & Showing {
  const { folder, records, members } = parts;
  const retries = new Retries(parts);
  folder.restore = (keys) => retries.project(keys);
  return {
    files: folder.target,
    blobs: parts.blobs,
    keyProblem: (key, entry) => keyProblem(key, entry, members),
    holds: (content, kind) => (kind === 'file' ? folder.holds(content) : records.holds(content)),
    // What is held by now was staged for an earlier group too and has been placed by it; nearly all is plainly waiting for this.
    finish: (files) => folder.finish(files.filter((content) => folder.isUnflushed(content) || !folder.holds(content))),
    todoRows: (key) => (pathOfKey(key) === undefined ? [] : folder.todoRows(key)),
    project: (keys) => retries.project(keys.filter((key) => pathOfKey(key) !== undefined)),
    close: () => retries.close(),
    get unshown() {
      return retries.unshown;
    },
    shown: () => retries.shown(),
    get problem() {
      return retries.problem;
    },
  };
}

function keyProblem(key: Uint8Array, entry: Entry, members: Members): ErrorCode | undefined {
  if (isMemberKey(key)) {
    members.check(key, entry);
    return undefined;
  }
  const kinds = entry.versions.map(({ value }) => value.kind);
  if (isRecordKey(key))
    return kinds.every((kind) => kind === 'record' || kind === 'blob' || kind === 'deleted') ? undefined : 'BAD_MESSAGE';
  if (pathOfKey(key) === undefined) return 'KEY_INVALID';
  return kinds.every((kind) => kind !== 'record' && kind !== 'blob') ? undefined : 'BAD_MESSAGE';
}

/** Keys that are committed but not yet on disk are tried again, with growing pauses, until they are. */
class Retries {
  readonly #parts: LandingParts;
  /** Since when. */
  readonly #waiting = new Map<string, number>();
  readonly #watchers = new Set<() => void>();
  #timer: Timer | undefined;
  #pauseMs = RETRY_MS_FIRST;
  #closed = false;
  #problem: SamerootError | undefined;

  constructor(parts: LandingParts) {
    this.#parts = parts;
  }

  /** Resolves when the keys are shown, or will be tried again: because the path was changed here, or no peer has the bytes now. */
  async project(keys: readonly Uint8Array[]): Promise<void> {
    if (keys.length === 0) return;
    const nowMs = this.#parts.world.clock.monotonicMs();
    // Waiting until shown, so that a failure on the way leaves none behind.
    for (const key of keys) if (!this.#waiting.has(byteKey(key))) this.#waiting.set(byteKey(key), nowMs);
    try {
      const first = await this.#attempt(keys);
      if (first.missing.length > 0 && (await this.#bring(first.missing))) await this.#attempt(first.left);
      this.#problem = undefined;
    } catch (error) {
      this.#problem = error instanceof SamerootError ? error : new SamerootError('IO_ERROR', messageOf(error), { cause: error });
      throw error;
    } finally {
      this.#retryLater();
      if (!this.unshown) for (const done of this.#watchers) done();
    }
  }

  get problem(): SamerootError | undefined {
    return this.#problem;
  }

  get unshown(): boolean {
    const nowMs = this.#parts.world.clock.monotonicMs();
    return [...this.#waiting.values()].some((sinceMs) => nowMs - sinceMs < UNSHOWN_MS_MAX);
  }

  async shown(): Promise<void> {
    if (!this.unshown) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        timer.cancel();
        this.#watchers.delete(done);
        resolve();
      };
      const timer = this.#parts.world.timers.after(UNSHOWN_MS_MAX, done);
      this.#watchers.add(done);
    });
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    for (const done of this.#watchers) done();
  }

  async #attempt(keys: readonly Uint8Array[]): Promise<{ left: Uint8Array[]; missing: readonly MissingContent[] }> {
    const { folder, world } = this.#parts;
    const { done, dirty, missing } = await folder.project(keys);
    const left = new Map(keys.map((key) => [byteKey(key), key]));
    for (const key of done) {
      this.#waiting.delete(byteKey(key));
      left.delete(byteKey(key));
    }
    if (left.size > 0)
      world.log.debug('paths wait to be shown', { count: left.size, changedHere: dirty.length, bytesMissing: missing.length });
    folder.checkSoon(dirty);
    return { left: [...left.values()], missing };
  }

  /** False: some are still missing. */
  async #bring(missing: readonly MissingContent[]): Promise<boolean> {
    const results = await Promise.all(
      missing.map(async ({ content, bytes }) => {
        try {
          await this.#parts.fetch(content, bytes);
          await this.#parts.folder.finish([content]);
          return true;
        } catch (error) {
          this.#parts.world.log.warn('bytes of a version are missing and no peer has them now', {
            content: toHex(content).slice(0, 18),
            error: messageOf(error),
          });
          return false;
        }
      }),
    );
    return results.every(Boolean);
  }

  #retryLater(): void {
    if (this.#closed || this.#timer !== undefined || this.#waiting.size === 0) return;
    this.#timer = this.#parts.world.timers.after(this.#pauseMs, () => void this.#retry(), { background: true });
  }

  async #retry(): Promise<void> {
    const before = this.#waiting.size;
    try {
      await this.project([...this.#waiting.keys()].map(fromByteKey));
    } catch (error) {
      this.#parts.world.log.warn('paths can not be shown', { error: messageOf(error) });
    }
    // Only now may the next attempt be planned: its pause depends on how this one went.
    this.#timer = undefined;
    this.#pauseMs = this.#waiting.size < before ? RETRY_MS_FIRST : Math.min(RETRY_MS_MAX, this.#pauseMs * 2);
    this.#retryLater();
  }
}
