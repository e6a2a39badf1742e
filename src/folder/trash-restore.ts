/**
 * The trash as people see it: a list of what was where, and the way back.
 *
 * Invariants. What comes back comes as if a user had moved it there: bytes, mode and time as they were, taken in as a change
 * of this folder. Nothing that is there is overwritten: it stays, or, where that was asked for, goes to the trash itself.
 * At every moment the bytes have a name, in the folder or in the trash.
 */
import { asBuffer, utf8 } from '../base/bytes.ts';
import { SamerootError, type ErrorCode } from '../base/errors.ts';
import type { Store } from '../store/store.ts';
import * as keyspace from '../store/keyspace.ts';
import type { JobCaller } from './disk-jobs.ts';
import type { DiskAccess } from './disk.ts';
import type { PathGate } from './gate.ts';
import { TRASH_FOLDER } from './into-trash.ts';
import { parentPath, pathProblem } from './paths.ts';
import { decodePlaced, getPlaced, type DiskStat } from './placed.ts';
import type { RestoreOutcome } from './trash-jobs.ts';
import type { Trash } from './trash.ts';

export interface TrashedFile {
  /** Where it was. */
  readonly path: string;
  /** Where it is, relative to the shared folder. */
  readonly place: string;
  /** `2026-11-23`, UTC. */
  readonly day: string;
  readonly stat: DiskStat;
}

export interface RestoreRequest {
  /** A file, or a folder: then the newest of each file that was below it. */
  readonly path: string;
  /** Put it here instead; files only. */
  readonly as: string | undefined;
  /** Only what went into the trash on this day. */
  readonly day: string | undefined;
  /** What is there now goes to the trash instead of staying. */
  readonly force: boolean;
}

export interface RestoreResult {
  readonly restored: readonly { readonly path: string; readonly place: string }[];
  readonly skipped: readonly { readonly path: string; readonly code: ErrorCode; readonly message: string }[];
}

export interface TrashRestoreOptions {
  /** Absolute path of the shared folder. */
  readonly root: string;
  readonly store: Store;
  readonly trash: Trash;
  readonly gate: PathGate;
  readonly access: Pick<DiskAccess, 'makeDurable'>;
  readonly writeThread: JobCaller;
  /** Takes these paths in now, with all below them. */
  readonly takeIn: (paths: readonly string[]) => Promise<void>;
}

/** Files that are restored with the gate closed. */
const FILES_PER_STEP = 256;

export class TrashRestore {
  readonly #options: TrashRestoreOptions;

  constructor(options: TrashRestoreOptions) {
    this.#options = options;
  }

  /** The newest days first. `after`: the `place` of the last one before. Links are in the trash too, but not in this list. */
  async list({ prefix, after, limit }: { readonly prefix: string; readonly after: string | undefined; readonly limit: number }): Promise<{
    readonly items: readonly TrashedFile[];
    readonly next: string | undefined;
  }> {
    const all = keyspace.prefixRange(keyspace.PREFIX.trash);
    const range = after === undefined ? all : { ...all, lt: keyspace.trashKey(utf8(after)) };
    const items: TrashedFile[] = [];
    for await (const rows of this.#options.store.iterate({ ...range, reverse: true })) {
      for (const [key, value] of rows) {
        const file = fileOf(key, value);
        if (!file.path.startsWith(prefix)) continue;
        if (items.length >= limit) return { items, next: items.at(-1)!.place };
        items.push(file);
      }
    }
    return { items, next: undefined };
  }

  /** What was at this path, newest first. */
  async versionsOf(path: string): Promise<TrashedFile[]> {
    return (await this.#under(path, undefined)).filter((file) => file.path === path);
  }

  /**
   * Brings a file, or all files of a folder, back.
   * @throws {SamerootError} `NOT_FOUND` if there is nothing of this name in the trash, `KEY_INVALID` for a path that can not be
   */
  async restore({ path, as, day, force }: RestoreRequest): Promise<RestoreResult> {
    for (const name of [path, as ?? path])
      if (pathProblem(name) !== undefined) throw new SamerootError('KEY_INVALID', `no path of this folder: ${name}`);
    const found = await this.#under(path, day);
    const file = found.find((item) => item.path === path);
    if (found.length === 0) throw new SamerootError('NOT_FOUND', `nothing of ${path} is in the trash of this host`);
    if (as !== undefined && file === undefined)
      throw new SamerootError('NOT_FOUND', `${path} was a folder: only files can get another name`);
    const newest = new Map<string, TrashedFile>();
    for (const item of file === undefined ? found : [file]) if (!newest.has(item.path)) newest.set(item.path, item);
    const wanted = [...newest.values()].map((item) => ({ item, target: as ?? item.path }));
    const restored: { path: string; place: string }[] = [];
    const skipped: { path: string; code: ErrorCode; message: string }[] = [];
    for (let from = 0; from < wanted.length; from += FILES_PER_STEP) {
      const some = wanted.slice(from, from + FILES_PER_STEP);
      const outcomes = await this.#options.gate.run(() => this.#step(some, force));
      const scopes: string[] = [];
      for (const [at, outcome] of outcomes.entries()) {
        const { target, item } = some[at]!;
        if (outcome.status === 'done') {
          restored.push({ path: target, place: item.place });
          scopes.push(outcome.scope);
        } else skipped.push({ path: target, code: outcome.code, message: outcome.message });
      }
      await this.#options.takeIn(scopes);
    }
    return { restored, skipped };
  }

  /** First the names in the folder, flushed; then the rows; then the names in the trash go. */
  async #step(
    some: readonly { readonly item: TrashedFile; readonly target: string }[],
    force: boolean,
  ): Promise<readonly RestoreOutcome[]> {
    const { root, store, trash, access, writeThread } = this.#options;
    const items = some.map(({ item: { place, stat }, target }) => ({ place, stat, target }));
    const outcomes = await writeThread.call('restoreFromTrash', { root, day: trash.day(), force, items });
    const changed = outcomes.flatMap((outcome, at) => (outcome.status === 'done' ? [some[at]!.target, outcome.displaced?.path ?? ''] : []));
    await access.makeDurable(root, [], [...new Set(changed.flatMap(foldersAbove))]);
    const done = some.filter((_, at) => outcomes[at]!.status === 'done').map(({ item }) => item.place);
    const rows = outcomes.flatMap((outcome, at) => {
      const { item, target } = some[at]!;
      const content = trash.get(item.place)?.content;
      if (outcome.status !== 'done' || content === undefined) return [];
      const before = outcome.displaced === undefined ? undefined : getPlaced(store, target);
      // Without a row it is in the trash all the same, for nobody knows its content.
      const known = before?.content !== undefined && sameBytes(before.stat, outcome.displaced!.stat);
      return [...trash.rowsTaken(item.place, content), ...(known ? trash.rows(target, before.content, outcome.displaced!) : [])];
    });
    await store.write(rows, { durable: false });
    await writeThread.call('emptyTrash', { root, paths: done });
    return outcomes;
  }

  /** Files that were at `path` or below it, newest first. */
  async #under(path: string, day: string | undefined): Promise<TrashedFile[]> {
    const found: TrashedFile[] = [];
    for (const folder of this.#options.trash.days()) {
      if (day !== undefined && folder !== day) continue;
      const begin = `${TRASH_FOLDER}/${folder}`;
      const own = this.#options.trash.get(`${begin}/${path}`);
      if (own !== undefined) found.push({ path: own.owner, place: `${begin}/${path}`, day: folder, stat: own.stat });
      // Below it; and in the folders for what came on a day when its name was taken.
      for (const prefix of [`${begin}/${path}/`, `${begin}/~`]) {
        for await (const rows of this.#options.store.iterate(keyspace.prefixRange(keyspace.trashKey(utf8(prefix))))) {
          for (const [key, value] of rows) {
            const file = fileOf(key, value);
            if (file.path === path || file.path.startsWith(`${path}/`)) found.push(file);
          }
        }
      }
    }
    const unique = new Map(found.map((file) => [file.place, file]));
    return [...unique.values()].sort((a, b) => (a.day === b.day ? b.stat.ctimeMs - a.stat.ctimeMs : a.day < b.day ? 1 : -1));
  }
}

function fileOf(key: Uint8Array, value: Uint8Array): TrashedFile {
  const place = asBuffer(keyspace.keyBody(key)).toString('utf8');
  const { owner, stat } = decodePlaced(place, value);
  return { path: owner, place, day: place.slice(TRASH_FOLDER.length + 1).split('/')[0]!, stat };
}

/** Of a path relative to the root, the root included. */
function foldersAbove(path: string): string[] {
  const above = parentPath(path);
  return above === undefined ? [''] : [above, ...foldersAbove(above)];
}

/** A rename changes the ctime only. */
function sameBytes(a: DiskStat, b: DiskStat): boolean {
  return a.inode === b.inode && a.bytes === b.bytes && a.mtimeMs === b.mtimeMs;
}
