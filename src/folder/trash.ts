/**
 * The trash: what entries of others replaced or removed in the folder stays in `.sameroot/trash/<day>/<path>` for 30 days,
 * or until the trash outgrows its bound. Its files are in the index of contents like any other: what comes back, or was
 * only moved, is taken from there and not fetched again.
 */
import { join } from 'node:path';
import { asBuffer, utf8 } from '../base/bytes.ts';
import { systemCode } from '../base/errors.ts';
import type { Clock, Log } from '../base/world.ts';
import type { ContentId } from '../content/content-list.ts';
import * as keyspace from '../store/keyspace.ts';
import type { Operation, Store } from '../store/store.ts';
import { ContentIndex, newestPathRow } from './content-index.ts';
import type { JobCaller } from './disk-jobs.ts';
import type { DiskAccess } from './disk.ts';
import { TRASH_FOLDER, type Trashed } from './into-trash.ts';
import { decodePlaced, encodePlaced, type Placed } from './placed.ts';

export interface TrashOptions {
  /** Absolute path of the shared folder. */
  readonly root: string;
  readonly store: Store;
  readonly access: DiskAccess;
  readonly writeThread: JobCaller;
  readonly clock: Clock;
  readonly log: Log;
  /** Undefined: 10 % of the disk. */
  readonly maxBytes: number | undefined;
}

const KEEP_DAYS = 30;
const DAY_MS = 86_400_000;
const DISK_SHARE = 0.1;
const FILES_PER_JOB = 512;

export class Trash {
  readonly #options: TrashOptions;
  readonly #index: ContentIndex;

  constructor(options: TrashOptions) {
    this.#options = options;
    this.#index = new ContentIndex(options.store);
  }

  /** The folder of today: `2026-11-23`, UTC. */
  day(daysAgo: number = 0): string {
    return new Date(this.#options.clock.wallMs() - daysAgo * DAY_MS).toISOString().slice(0, 10);
  }

  /** The rows for a file that was moved here from `path`, or got a second name here. */
  rows(path: string, content: ContentId, trashed: Trashed): Operation[] {
    const place = utf8(trashed.path);
    const placed: Placed = { kind: 'file', stat: trashed.stat, content, target: undefined, owner: path, dots: [], copies: false };
    const newest = this.#index.path(content);
    const rows: Operation[] = [
      { type: 'put', key: keyspace.trashKey(place), value: encodePlaced(trashed.path, placed) },
      { type: 'put', key: keyspace.contentPathKey(content, place), value: keyspace.PRESENT },
    ];
    if (newest === undefined || newest === path) rows.push(newestPathRow(content, trashed.path));
    return rows;
  }

  /** The rows for a file that left the trash. */
  rowsTaken(place: string, content: ContentId): Operation[] {
    return [
      { type: 'del', key: keyspace.trashKey(utf8(place)) },
      { type: 'del', key: keyspace.contentPathKey(content, utf8(place)) },
    ];
  }

  /** What is known of a file in the trash. */
  get(place: string): Placed | undefined {
    const row = this.#options.store.get(keyspace.trashKey(utf8(place)));
    return row === undefined ? undefined : decodePlaced(place, row);
  }

  /** The days that have something, newest first. */
  days(): string[] {
    return this.#days().sort().reverse();
  }

  /** Removes all of it, for good. */
  async empty(): Promise<{ readonly files: number; readonly bytes: number }> {
    const { store, root, writeThread, log } = this.#options;
    const removed = { files: 0, bytes: 0 };
    for await (const rows of store.iterate(keyspace.prefixRange(keyspace.PREFIX.trash))) {
      const gone = rows.map(([key, value]) => ({ path: pathOf(key), placed: decodePlaced(pathOf(key), value) }));
      for (const { placed } of gone) removed.bytes += placed.stat.bytes;
      removed.files += gone.length;
      await this.#remove(gone);
    }
    // Links, and what has lost its row.
    await writeThread.call('emptyTrashDays', { root, days: this.#days() });
    log.info('trash emptied', removed);
    return removed;
  }

  /** Removes what is over 30 days old, then the oldest of the rest until the trash is within its bound. */
  async expire(): Promise<{ readonly files: number; readonly bytes: number }> {
    const { store, log, root, writeThread } = this.#options;
    const oldest = `${TRASH_FOLDER}/${this.day(KEEP_DAYS)}`;
    let total = 0;
    for await (const rows of store.iterate(keyspace.prefixRange(keyspace.PREFIX.trash))) {
      for (const [key, value] of rows) total += decodePlaced(pathOf(key), value).stat.bytes;
    }
    let over = total - this.#maxBytes();
    const removed = { files: 0, bytes: 0 };
    // Days sort by name, so the rows come oldest first.
    for await (const rows of store.iterate(keyspace.prefixRange(keyspace.PREFIX.trash))) {
      const gone: { path: string; placed: Placed }[] = [];
      for (const [key, value] of rows) {
        const path = pathOf(key);
        if (path >= oldest && over <= 0) break;
        const placed = decodePlaced(path, value);
        gone.push({ path, placed });
        over -= placed.stat.bytes;
        removed.bytes += placed.stat.bytes;
      }
      removed.files += gone.length;
      await this.#remove(gone);
      if (gone.length < rows.length) break;
    }
    const days = this.#days().filter((day) => `${TRASH_FOLDER}/${day}` < oldest);
    if (days.length > 0) await writeThread.call('emptyTrashDays', { root, days });
    if (removed.files > 0) log.info('trash emptied', { ...removed, days: days.length });
    return removed;
  }

  async #remove(gone: readonly { readonly path: string; readonly placed: Placed }[]): Promise<void> {
    const { root, store, writeThread } = this.#options;
    for (let from = 0; from < gone.length; from += FILES_PER_JOB) {
      const some = gone.slice(from, from + FILES_PER_JOB);
      // Rows first: a file without a row is removed with its day, a row without a file would promise bytes.
      await store.write(
        some.flatMap(({ path, placed }) => this.rowsTaken(path, placed.content!)),
        { durable: false },
      );
      await writeThread.call('emptyTrash', { root, paths: some.map(({ path }) => path) });
    }
  }

  #days(): string[] {
    try {
      return this.#options.access.disk.readdir(join(this.#options.root, TRASH_FOLDER));
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return [];
      throw error;
    }
  }

  #maxBytes(): number {
    const { maxBytes, root, access } = this.#options;
    return maxBytes ?? access.disk.space(root).totalBytes * DISK_SHARE;
  }
}

function pathOf(key: Uint8Array): string {
  return asBuffer(keyspace.keyBody(key)).toString('utf8');
}
