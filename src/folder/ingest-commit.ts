/**
 * Takes what was found on the disk into the replica: entry, placed row and indexes of a path in one atomic batch.
 *
 * Invariants. Bytes and names are durable before a root covers them. A path is taken in only if, with the gate held,
 * file and placed row are still what they were when it was examined; otherwise it is to be looked at again. A version
 * leaves an entry only if the placed row says that this disk showed it.
 */
import { equalBytes, utf8 } from '../base/bytes.ts';
import { SamerootError } from '../base/errors.ts';
import { compareStamps } from '../entry/clock.ts';
import { birth, write, retire, type Dot, type Entry, type FoundValue, type Value } from '../entry/entry.ts';
import { sameValue, view, type Shown } from '../entry/view.ts';
import type { Author, Mutation, Replica } from '../replica/replica.ts';
import * as keyspace from '../store/keyspace.ts';
import type { Operation } from '../store/store.ts';
import { newestPathRow } from './content-index.ts';
import { copyAt, parseCopyName } from './copy-names.ts';
import { wholeMs } from './disk-stat.ts';
import type { DiskAccess } from './disk.ts';
import type { FoundOutcome } from './file-hasher.ts';
import { WALK_KINDS, type PathProblem } from './folder-walk.ts';
import { fileKey, parentPath } from './paths.ts';
import { isWithheld, placeRows, sameStat, unplaceRows, type Placed } from './placed.ts';
import type { ReadThread } from './disk-jobs.ts';
import type { Finding } from './scan.ts';
import type { Standing } from './standing.ts';
import { StatColumns } from './stat-columns.ts';
import { todoRow } from './todo.ts';

/** What `PathGate` is to us. */
export interface Gate {
  run<T>(step: () => Promise<T>): Promise<T>;
}

/** A path to take in: a value found there, or its absence. `renamed`: its bytes were taken in before, at another path. */
export type Settled = (FoundOutcome & { readonly renamed?: boolean }) | { readonly state: 'gone'; readonly finding: Finding };

export interface IngestCommitterOptions {
  readonly root: string;
  readonly replica: Replica;
  readonly access: DiskAccess;
  readonly thread: ReadThread;
  readonly gate: Gate;
  readonly onProblem: (problem: PathProblem) => void;
  readonly standing: Standing;
  /** Shows these keys on the disk again: what is there differs from their entries in mode or time. */
  readonly touchUp: (keys: readonly Uint8Array[]) => void;
}

export class IngestCommitter {
  readonly #options: IngestCommitterOptions;

  constructor(options: IngestCommitterOptions) {
    this.#options = options;
  }

  /** Takes the paths in, in one commit; resolves to those that are to be looked at again. */
  async commit(items: readonly Settled[]): Promise<string[]> {
    await this.#makeDurable(items);
    const touchUp: Uint8Array[] = [];
    const left = await this.#options.gate.run(async () => {
      const current = await this.#unmoved(items);
      const refreshed: Operation[] = [];
      const mutations: Mutation[] = [];
      for (const item of current) {
        if (item.state === 'found' && showsTheSame(item, this.#isWithholding)) refreshed.push(...refreshRows(item));
        else if (item.state === 'found' && this.#options.standing.restored && showsSameBytes(item)) {
          const key = fileKey(item.finding.placed!.owner);
          refreshed.push(...refreshRows(item), todoRow(key));
          touchUp.push(key);
        } else if (item.state === 'found') mutations.push(...this.#foundMutations(item));
        else mutations.push(this.#goneMutation(item.finding));
      }
      if (refreshed.length > 0) await this.#options.replica.store.write(refreshed, { durable: false });
      if (mutations.length > 0) await this.#options.replica.commit(mutations);
      const taken = new Set(current);
      return items.filter((item) => !taken.has(item)).map(({ finding }) => finding.path);
    });
    if (touchUp.length > 0) this.#options.touchUp(touchUp);
    return left;
  }

  /**
   * Takes in what was withheld, as its placed rows say, where there is no entry by now. Resolves to the paths that are to be
   * looked at again, because the file is not as its row says.
   */
  async takeInWithheld(items: readonly FoundOutcome[]): Promise<string[]> {
    await this.#makeDurable(items, true);
    return this.#options.gate.run(async () => {
      const current = new Set(await this.#unmoved(items));
      const fresh = items.filter((item) => current.has(item) && this.#options.replica.entry(fileKey(item.finding.path)) === undefined);
      if (fresh.length > 0) await this.#options.replica.commit(fresh.flatMap((item) => this.#foundMutations(item, true)));
      return items.filter((item) => !current.has(item)).map(({ finding }) => finding.path);
    });
  }

  /** Those that are gone and have their row still, when nothing is just being shown: `Materialiser` removes first and commits then. */
  async stillGone(findings: readonly Finding[]): Promise<Finding[]> {
    const items = findings.map((finding): Settled => ({ state: 'gone', finding }));
    return (await this.#options.gate.run(() => this.#unmoved(items))).map(({ finding }) => finding);
  }

  /**
   * Drops the rows of paths that are gone, so that they count as not yet shown, and names the keys to show again.
   * `todoRows`: what makes the work go on after a crash.
   */
  async forget(findings: readonly Finding[], todoRows: (key: Uint8Array) => readonly Operation[]): Promise<Uint8Array[]> {
    return this.#options.gate.run(async () => {
      const gone = await this.#unmoved(findings.map((finding) => ({ state: 'gone', finding })));
      const keys = new Map<string, Uint8Array>();
      const operations: Operation[] = [];
      for (const { finding } of gone) {
        if (finding.placed === undefined) continue;
        operations.push(...unplaceRows(finding.path, finding.placed));
        keys.set(finding.placed.owner, fileKey(finding.placed.owner));
      }
      for (const key of keys.values()) operations.push(...todoRows(key));
      if (operations.length > 0) await this.#options.replica.store.write(operations, { durable: true });
      return [...keys.values()];
    });
  }

  get #isWithholding(): boolean {
    return this.#options.standing.quarantine !== undefined;
  }

  async #makeDurable(items: readonly Settled[], all: boolean = false): Promise<void> {
    const inodes = new Set<string>();
    for (const item of items) {
      if (!all && item.state === 'found' && showsTheSame(item, this.#isWithholding)) continue;
      inodes.add(parentPath(item.finding.path) ?? '');
      // Bytes, and the mode too: one that a power cut takes back would pass for an edit, and undo what peers have by then.
      if (item.state === 'found' && item.value.kind !== 'symlink' && item.renamed !== true) inodes.add(item.finding.path);
    }
    await this.#options.access.makeDurable(this.#options.root, [], [...inodes]);
  }

  async #unmoved(items: readonly Settled[]): Promise<Settled[]> {
    const { root, thread, replica } = this.#options;
    const { kinds, stats } = await thread.call('look', { root, paths: items.map(({ finding }) => finding.path) });
    const columns = new StatColumns(stats);
    return items.filter((item, index) => {
      const { path, row } = item.finding;
      const rowNow = replica.store.get(keyspace.placedKey(utf8(path)));
      if (row === undefined || rowNow === undefined ? row !== rowNow : !equalBytes(row, rowNow)) return false;
      const kind = WALK_KINDS[kinds[index]!];
      if (item.state === 'gone') return kind === undefined;
      if (kind !== item.value.kind) return false;
      const stat = columns.get(index);
      return kind === 'directory' ? stat.mode === item.stat.mode : sameStat(stat, item.stat);
    });
  }

  /** `onlyNew`: an entry that came meanwhile is left as it is. */
  #foundMutations(found: FoundOutcome, onlyNew: boolean = false): Mutation[] {
    const { finding, value } = found;
    const { path, placed } = finding;
    const key = fileKey(path);
    const shown = placed?.owner === path ? placed : undefined;
    const copy = this.#copy(found, shown === undefined ? (placed?.owner ?? parseCopyName(path)?.owner) : undefined);
    let dots: readonly Dot[] | undefined;
    const main: Mutation = {
      key,
      next: (current, author) => {
        dots = undefined;
        if (copy.isShown()) return current;
        if (onlyNew && current !== undefined) return current;
        if (!onlyNew && current === undefined && this.#options.standing.quarantine !== undefined) {
          dots = [];
          return undefined;
        }
        return this.#guarded(path, current, () => {
          const adopted = shown === undefined ? shownDots(current, value) : undefined;
          const next = adopted === undefined ? written(key, current, shown, author, value) : { entry: current, dots: adopted };
          dots = next.dots;
          return next.entry;
        });
      },
      rows: (entry) => {
        if (dots === undefined) return [];
        const copies = shown?.copies === true || (entry?.versions.length ?? 0) > 1;
        return foundRows(found, { owner: path, dots, copies });
      },
    };
    if (shown !== undefined) return [main];
    // The version leaves the entry that it was a copy of only if it has become a file of its own.
    const retired = placed === undefined ? [] : [this.#retireMutation(path, placed, () => dots !== undefined)];
    return [...copy.mutations, main, ...retired];
  }

  /**
   * What lies there is the conflict copy that is to be shown there, and its row does not say so: a run has died that had shown it.
   * It gets its row; nobody has written anything.
   */
  #copy(found: FoundOutcome, owner: string | undefined): { readonly mutations: readonly Mutation[]; readonly isShown: () => boolean } {
    const { replica } = this.#options;
    const { path } = found.finding;
    if (owner === undefined) return { mutations: [], isShown: () => false };
    let copy: Shown | undefined;
    const mutation: Mutation = {
      key: fileKey(owner),
      next: (current) => {
        // An entry of this path's own counts for more.
        copy = view(replica.entry(fileKey(path))).winner === undefined ? copyAt(path, owner, current, found.value) : undefined;
        return current;
      },
      rows: () => (copy === undefined ? [] : foundRows(found, { owner, dots: copy.dots, copies: false })),
    };
    return { mutations: [mutation], isShown: () => copy !== undefined };
  }

  #goneMutation({ path, placed }: Finding): Mutation {
    // What a conflict copy showed is the winner now: the node shows it at this path, and does so after a crash as well.
    const rows = (entry: Entry | undefined): Operation[] => [
      ...(placed === undefined ? [] : unplaceRows(path, placed)),
      ...(view(entry).winner === undefined ? [] : [todoRow(fileKey(path))]),
    ];
    if (placed === undefined || placed.owner !== path) return { ...this.#retireMutation(path, placed, () => true), rows };
    return {
      key: fileKey(path),
      next: (current, author) =>
        this.#guarded(path, current, () => {
          // What was shown here has been replaced since by writes that had seen it: there is nothing left to delete.
          if (current === undefined || !current.versions.some(({ dot }) => isOneOf(placed.dots, dot))) return current;
          return write(current, placed.dots, author.dot(), author.stamp(), { kind: 'deleted' });
        }),
      rows,
    };
  }

  /** A conflict copy was edited or deleted: its versions leave the entry that it is a copy of. */
  #retireMutation(path: string, placed: Placed | undefined, applies: () => boolean): Mutation {
    return {
      key: fileKey(placed?.owner ?? path),
      next: (current) => (current === undefined || placed === undefined || !applies() ? current : retire(current, placed.dots)),
    };
  }

  /** An entry that can take no more versions stays as it is, and its path is reported: others in the commit go on. */
  #guarded(path: string, current: Entry | undefined, change: () => Entry | undefined): Entry | undefined {
    try {
      return change();
    } catch (error) {
      if (!(error instanceof SamerootError)) throw error;
      this.#options.onProblem({ path, code: error.code, message: error.message });
      return current;
    }
  }
}

/** The rows that say what was found, and which versions it shows. */
function foundRows(
  { finding, stat, value, rows }: FoundOutcome,
  { owner, dots, copies }: Pick<Placed, 'owner' | 'dots' | 'copies'>,
): Operation[] {
  const content = value.kind === 'file' ? value.content : undefined;
  const target = value.kind === 'symlink' ? value.target : undefined;
  const placed: Placed = { kind: value.kind, stat, content, target, owner, dots, copies };
  const operations = [...rows, ...placeRows(finding.path, placed, finding.placed)];
  return content === undefined ? operations : [...operations, newestPathRow(content, finding.path)];
}

function written(
  key: Uint8Array,
  current: Entry | undefined,
  shown: Placed | undefined,
  author: Author,
  value: FoundValue,
): { readonly entry: Entry; readonly dots: readonly Dot[] } {
  if (current === undefined && author.births) {
    const entry = birth(key, value);
    // A time in the future can not be a stamp: a later edit would have to be older than what it replaces.
    const past = entry.versions.every(({ stamp }) => compareStamps(stamp, author.stamp()) < 0);
    if (past) return { entry, dots: entry.versions.map(({ dot }) => dot) };
  }
  const dot = author.dot();
  return {
    entry: write(current, shown?.dots ?? (current === undefined ? [] : buriedDots(current)), dot, author.stamp(), value),
    dots: [dot],
  };
}

/** Where nothing was shown, a write has seen that nothing was there: the tombstones, if there is nothing else. */
function buriedDots(entry: Entry): readonly Dot[] {
  const { winner, buried } = view(entry);
  return winner === undefined ? buried : [];
}

/** The versions that this value shows, if it is just what the entry wants here: then nobody wrote anything. */
function shownDots(entry: Entry | undefined, value: FoundValue): readonly Dot[] | undefined {
  const winner = view(entry).winner;
  if (winner === undefined || !sameValue(winner.version.value, value) || mtimeOf(winner.version.value) !== mtimeOf(value)) return undefined;
  return winner.dots;
}

function mtimeOf(value: Value): number {
  return value.kind === 'file' ? value.mtimeMs : 0;
}

/** The stat has changed, but nothing that is replicated. What is withheld stays so: it got another name on its way to the quarantine, say. */
function showsTheSame({ finding: { placed }, value, stat }: FoundOutcome, isWithholding: boolean): boolean {
  if (placed === undefined || placed.kind !== value.kind || (isWithheld(placed) && !isWithholding)) return false;
  switch (value.kind) {
    case 'file':
      return (
        equalBytes(placed.content!, value.content) &&
        placed.stat.mode === value.mode &&
        wholeMs(placed.stat.mtimeMs) === wholeMs(stat.mtimeMs)
      );
    case 'symlink':
      return equalBytes(placed.target!, value.target);
    case 'directory':
      return placed.stat.mode === value.mode;
  }
}

/**
 * The same bytes as the row says, under another mode or time. No edit where a backup was put back: the program that did it may
 * have kept neither, and a file that only has a new time would win over what everybody else wrote since.
 */
function showsSameBytes({ finding: { placed }, value }: FoundOutcome): boolean {
  return placed?.kind === 'file' && value.kind === 'file' && equalBytes(placed.content!, value.content);
}

function refreshRows({ finding: { path, placed }, stat }: FoundOutcome): Operation[] {
  return placed === undefined ? [] : placeRows(path, { ...placed, stat }, placed);
}

function isOneOf(dots: readonly Dot[], dot: Dot): boolean {
  return dots.some(({ replica, sequence }) => replica === dot.replica && sequence === dot.sequence);
}
