/**
 * Writes to a path's entry whose author did not use the disk but goes by what it shows: who keeps one of several versions.
 *
 * Invariant: such a write is committed only while the disk is, at each path where a version of the entry is shown, as the rows
 * say; what was changed is taken in before. Otherwise a version could be kept whose file was overwritten a moment ago, and whose
 * bytes are nowhere any more. The rows of what is kept get its new dots in the same commit: an edit from then on has seen it.
 */
import { SamerootError } from '../base/errors.ts';
import type { Dot, Entry } from '../entry/entry.ts';
import { conflictNames, view } from '../entry/view.ts';
import type { Mutation, Replica } from '../replica/replica.ts';
import type { Operation } from '../store/store.ts';
import type { ReadThread } from './disk-jobs.ts';
import { WALK_KINDS } from './folder-walk.ts';
import type { Gate } from './ingest-commit.ts';
import { fileKey } from './paths.ts';
import { getPlaced, isAsPlaced, placeRows, shows } from './placed.ts';
import { StatColumns } from './stat-columns.ts';

const ATTEMPTS_MAX = 5;

export interface ShownWriterOptions {
  readonly root: string;
  readonly replica: Replica;
  readonly gate: Gate;
  readonly thread: ReadThread;
  readonly ignores: (path: string, isDirectory: boolean) => boolean;
  /** Commits what these paths hold now. */
  readonly takeIn: (paths: readonly string[]) => Promise<void>;
}

export class ShownWriter {
  readonly #options: ShownWriterOptions;

  constructor(options: ShownWriterOptions) {
    this.#options = options;
  }

  /** @throws {SamerootError} `FILE_CHANGING` if the disk does not rest, or what the commit fails with */
  async commit(path: string, mutation: Mutation): Promise<void> {
    const { gate, takeIn, replica } = this.#options;
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const changed = await gate.run(async () => {
        const paths = this.#shownAt(path);
        const changed = await this.#changedOf(paths);
        if (changed.length > 0) return changed;
        const rows: Mutation['rows'] = (entry, isNew) => [...(mutation.rows?.(entry, isNew) ?? []), ...this.#newDots(paths, path, entry)];
        await replica.commit([{ ...mutation, rows }]);
        return [];
      });
      if (changed.length === 0) return;
      await takeIn(changed);
    }
    throw new SamerootError('FILE_CHANGING', `${path} is being written to`, { path });
  }

  #shownAt(path: string): string[] {
    return [path, ...conflictNames(path, view(this.#options.replica.entry(fileKey(path))).others)];
  }

  async #changedOf(paths: readonly string[]): Promise<string[]> {
    const { root, thread, replica, ignores } = this.#options;
    const { kinds, stats } = await thread.call('look', { root, paths });
    const columns = new StatColumns(stats);
    return paths.filter((path, at) => {
      const kind = WALK_KINDS[kinds[at]!];
      return !isAsPlaced(kind, columns.get(at), getPlaced(replica.store, path)) && !ignores(path, kind === 'directory');
    });
  }

  #newDots(paths: readonly string[], owner: string, entry: Entry | undefined): Operation[] {
    const { winner, others } = view(entry);
    return paths.flatMap((path) => {
      const placed = getPlaced(this.#options.replica.store, path);
      if (placed?.owner !== owner) return [];
      const shown = [winner, ...others].find((candidate) => candidate !== undefined && shows(placed, candidate.version.value));
      const dots: readonly Dot[] | undefined = shown?.dots;
      return dots === undefined ? [] : placeRows(path, { ...placed, dots }, placed);
    });
  }
}
