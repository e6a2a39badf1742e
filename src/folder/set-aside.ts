/**
 * What a replica finds in its folder while it comes back to its share without knowing what became of it: after its database
 * was lost, or after it was evicted. Such files are withheld: a placed row that shows no version, the indexes of their
 * content, and no entry. So nothing of them is told to anybody, what the peers have needs no fetching where it is here, and
 * where the peers have something else the file gives way to the quarantine, `.sameroot/quarantine/<time>/<path>`.
 *
 * When the peers were heard, what is still withheld is known to none of them: it is taken in as new, or set aside.
 *
 * Invariant: nothing is deleted. A file leaves its path only by a rename into the quarantine, which never empties itself.
 */
import { asBuffer, utf8 } from '../base/bytes.ts';
import { nextTurn, type Timers } from '../base/world.ts';
import type { ContentId } from '../content/content-list.ts';
import type { FoundValue } from '../entry/entry.ts';
import type { Replica } from '../replica/replica.ts';
import * as keyspace from '../store/keyspace.ts';
import type { Operation } from '../store/store.ts';
import { newestPathRow } from './content-index.ts';
import { parseCopyName } from './copy-names.ts';
import type { JobCaller } from './disk-jobs.ts';
import type { DiskAccess } from './disk.ts';
import { fileValue, type FoundOutcome } from './file-hasher.ts';
import type { Gate } from './ingest-commit.ts';
import { QUARANTINE_FOLDER } from './into-trash.ts';
import { comparePaths, fileKey, OWN_FOLDER } from './paths.ts';
import type { Outcome, Removal } from './place-batch.ts';
import { decodePlaced, unplaceRows, type Placed } from './placed.ts';
import type { Standing } from './standing.ts';

export { QUARANTINE_FOLDER };

const ROWS_PER_COMMIT = 2_000;

/** Name of a folder in the quarantine: `2026-11-23T08-15-02Z`. */
export function quarantineName(nowMs: number): string {
  return `${new Date(nowMs).toISOString().slice(0, 19).replaceAll(':', '-')}Z`;
}

export function isAside(path: string): boolean {
  return path.startsWith(`${QUARANTINE_FOLDER}/`);
}

/** The rows for a file that was moved there: its bytes are found by their content, as those of the trash are. */
export function asideRows(content: ContentId, place: string): Operation[] {
  return [{ type: 'put', key: keyspace.contentPathKey(content, utf8(place)), value: keyspace.PRESENT }, newestPathRow(content, place)];
}

export function countAside(outcomes: readonly Outcome[]): number {
  return outcomes.filter((outcome) => outcome.status === 'done' && outcome.trashed !== undefined && isAside(outcome.trashed.path)).length;
}

export interface WithheldOptions {
  readonly root: string;
  readonly replica: Replica;
  readonly gate: Gate;
  readonly access: DiskAccess;
  readonly writeThread: JobCaller;
  readonly timers: Timers;
  readonly standing: Standing;
  /** Commits these as new, where no entry has come meanwhile. */
  readonly takeIn: (items: readonly FoundOutcome[]) => Promise<void>;
}

interface WithheldRow {
  readonly path: string;
  readonly row: Uint8Array;
  readonly placed: Placed;
}

export class Withheld {
  readonly #options: WithheldOptions;

  constructor(options: WithheldOptions) {
    this.#options = options;
  }

  /**
   * Nothing is withheld from now on. May be called again, where it failed or what came after it did.
   *
   * @param alone there are no peers that could know better
   */
  async end(unknown: 'keep' | 'set-aside', alone: boolean): Promise<void> {
    const { standing } = this.#options;
    const name = standing.quarantine;
    if (name === undefined) return;
    const release = (): Promise<void> => (unknown === 'keep' ? this.#takeIn(name, alone) : this.#setAside(name));
    await release();
    standing.quarantine = undefined;
    try {
      // What was found meanwhile.
      await release();
    } catch (error) {
      standing.quarantine = name;
      throw error;
    }
  }

  /**
   * All of it becomes new files, but for conflict copies. They show versions of other entries, and only those can say which
   * of them were decided against. The peers that were heard may have lost such an entry, and others still have it: taken in
   * as a new file, a version that was edited or deleted there would rise again.
   */
  async #takeIn(name: string, alone: boolean): Promise<void> {
    const { replica, takeIn } = this.#options;
    const isUnsure = (path: string): boolean => (alone ? isDroppedCopy(path, replica) : parseCopyName(path) !== undefined);
    for await (const rows of this.#rows((_, path) => isUnsure(path))) await this.#move(name, rows);
    for await (const rows of this.#rows((_, path) => !isUnsure(path))) await takeIn(rows.map(outcomeOf));
  }

  /** All of it is moved to `.sameroot/quarantine/<name>`; what was changed just now stays, and is taken in as any other change. */
  async #setAside(name: string): Promise<void> {
    for await (const rows of this.#rows(({ kind }) => kind !== 'directory')) await this.#move(name, rows);
    // Then they are empty, but for what others know of; from below, so that each is empty in its turn.
    const folders: WithheldRow[] = [];
    for await (const rows of this.#rows(() => true)) folders.push(...rows);
    await this.#move(
      name,
      folders.sort((a, b) => comparePaths(b.path, a.path)),
    );
  }

  async *#rows(wanted: (placed: Placed, path: string) => boolean): AsyncGenerator<WithheldRow[]> {
    const { replica, timers } = this.#options;
    let found: WithheldRow[] = [];
    for await (const rows of replica.store.iterate(keyspace.prefixRange(keyspace.PREFIX.placed))) {
      for (const [key, row] of rows) {
        const path = asBuffer(keyspace.keyBody(key)).toString('utf8');
        const placed = decodePlaced(path, row);
        const unknown = placed.dots.length === 0 && placed.owner === path && replica.entry(fileKey(path)) === undefined;
        if (unknown && wanted(placed, path)) found.push({ path, row: Uint8Array.from(row), placed });
      }
      await nextTurn(timers);
      if (found.length < ROWS_PER_COMMIT) continue;
      yield found;
      found = [];
    }
    if (found.length > 0) yield found;
  }

  #move(name: string, rows: readonly WithheldRow[]): Promise<void> {
    const { root, gate, access, writeThread, replica, standing } = this.#options;
    return gate.run(async () => {
      const still = rows.filter(({ path }) => replica.entry(fileKey(path)) === undefined);
      const removals = still.map(({ path, placed: { kind, stat } }): Removal => {
        return { path, was: { kind, stat }, keepAs: undefined, setAside: true, mayBeGone: true };
      });
      const tmp = `${root}/${OWN_FOLDER}/tmp`;
      const batch = { name: '', root, tmp, day: name, quarantine: name, removals, placements: [], touches: [], checks: [], copies: [] };
      const result = await writeThread.call('applyBatch', batch);
      await access.makeDurable(root, [], result.touched);
      const operations: Operation[] = [];
      for (const [at, outcome] of result.removals.entries()) {
        const { path, placed } = still[at]!;
        if (outcome.status !== 'done') continue;
        operations.push(...unplaceRows(path, placed));
        if (outcome.trashed !== undefined && placed.content !== undefined)
          operations.push(...asideRows(placed.content, outcome.trashed.path));
      }
      if (operations.length > 0) await replica.store.write(operations, { durable: true });
      standing.setAside += countAside(result.removals);
    });
  }
}

/**
 * A conflict copy by its name, of a version that the entry it names has had and has no more: it was edited elsewhere into a
 * file of its own, deleted or decided against.
 */
function isDroppedCopy(path: string, replica: Replica): boolean {
  const name = parseCopyName(path);
  if (name === undefined) return false;
  const { owner, author, sequence } = name;
  const context = replica.entry(fileKey(owner))?.context ?? [];
  return [...context].some(([id, highest]) => id.startsWith(author) && sequence <= highest);
}

/** As if it were found now: the row says what it held. */
function outcomeOf({ path, row, placed }: WithheldRow): FoundOutcome {
  const { kind, stat } = placed;
  const finding = { path, row, placed, found: { kind, stat, birthMs: 0 } };
  return { state: 'found', finding, stat, value: valueOf(placed), rows: [] };
}

function valueOf({ kind, stat, content, target }: Placed): FoundValue {
  if (kind === 'file') return fileValue(stat, content!);
  return kind === 'symlink' ? { kind, target: target! } : { kind, mode: stat.mode };
}
