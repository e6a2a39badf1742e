/** What a batch on the disk means for the database: the outcome of each path, and the rows that say what the disk shows now. */
import { equalBytes } from '../base/bytes.ts';
import type { Operation } from '../store/store.ts';
import { newestPathRow } from './content-index.ts';
import type { BatchResult, Outcome } from './place-batch.ts';
import { encodePlaced, placeRows, unplaceRows, type DiskStat, type Placed } from './placed.ts';
import type { PathPlan, Plan, Planned, Wish } from './plan.ts';
import { asideRows, isAside } from './set-aside.ts';
import type { Trash } from './trash.ts';

const NO_STAT: DiskStat = { inode: 0, bytes: 0, mtimeMs: 0, ctimeMs: 0, mode: 0 };

export function outcomesByPath(plan: Plan, result: BatchResult): Map<string, Outcome> {
  const outcomes = new Map<string, Outcome>();
  const note = (planned: readonly Planned<unknown>[], results: readonly Outcome[]): void => {
    for (const [at, { plan: pathPlan }] of planned.entries()) outcomes.set(pathPlan.path, results[at]!);
  };
  note(plan.removals, result.removals);
  // After a removal of the same path, its placement decides.
  note(plan.placements, result.placements);
  note(plan.touches, result.touches);
  note(plan.refreshes, result.checks);
  return outcomes;
}

/** The rows that say what the disk shows now. */
export function rowsOf(plan: Plan, result: BatchResult, trash: Trash): Operation[] {
  const rows: Operation[] = [];
  const removed = new Set<string>();
  const withCopies = ownersOfCopies(plan, result);
  const shown = (pathPlan: PathPlan, previous: Placed | undefined, stat: DiskStat): Operation[] =>
    shownRows(pathPlan, previous, stat, withCopies.delete(pathPlan.path));
  const keepTrash = (path: string, row: Placed | undefined, outcome: Outcome): void => {
    if (outcome.status === 'done' && outcome.trashed !== undefined && row?.content !== undefined) {
      const aside = isAside(outcome.trashed.path);
      rows.push(...(aside ? asideRows(row.content, outcome.trashed.path) : trash.rows(path, row.content, outcome.trashed)));
    }
  };
  for (const [at, { plan: pathPlan }] of plan.removals.entries()) {
    const outcome = result.removals[at]!;
    const { path, row } = pathPlan;
    if (outcome.status === 'left' && pathPlan.wish === undefined) rows.push(...stayRows(pathPlan));
    if (outcome.status !== 'done') continue;
    removed.add(path);
    rows.push(...unplaceRows(path, row!));
    keepTrash(path, row, outcome);
  }
  for (const [at, { plan: pathPlan }] of plan.placements.entries()) {
    const outcome = result.placements[at]!;
    const previous = removed.has(pathPlan.path) ? undefined : pathPlan.row;
    keepTrash(pathPlan.path, previous, outcome);
    if (outcome.status === 'done') rows.push(...shown(pathPlan, previous, outcome.stat!));
    else rows.push(...renewedRows(pathPlan, outcome));
  }
  for (const [at, { plan: pathPlan }] of plan.touches.entries()) {
    const outcome = result.touches[at]!;
    if (outcome.status === 'done') rows.push(...shown(pathPlan, pathPlan.row, outcome.stat!));
    else rows.push(...renewedRows(pathPlan, outcome));
  }
  for (const [at, { plan: pathPlan }] of plan.refreshes.entries()) {
    if (result.checks[at]!.status === 'left') rows.push(...shown(pathPlan, pathPlan.row, pathPlan.row!.stat));
  }
  for (const pathPlan of plan.left) rows.push(...stayRows(pathPlan));
  for (const owner of withCopies) {
    const row = plan.paths.get(owner)?.row;
    if (row?.copies === false && row.owner === owner && !removed.has(owner)) rows.push(...placeRows(owner, { ...row, copies: true }, row));
  }
  return rows;
}

/**
 * What the row of a file or link is going to say once it is shown, but for its stat; folders need no note. Copies may be left:
 * they are looked for.
 */
export function rowToCome({ path, wish }: PathPlan): Uint8Array | undefined {
  return wish!.value.kind === 'directory' ? undefined : encodePlaced(path, shownAs({ ...wish!, copies: true }, NO_STAT));
}

function shownAs({ value, owner, dots, copies }: Wish, stat: DiskStat): Placed {
  const content = value.kind === 'file' ? value.content : undefined;
  const target = value.kind === 'symlink' ? value.target : undefined;
  return { kind: value.kind, stat, content, target, owner, dots, copies };
}

/** Whose conflict copies lie on the disk after this batch, as far as it has to do with them: their rows must say so, or nobody looks for them. */
function ownersOfCopies(plan: Plan, result: BatchResult): Set<string> {
  const left = plan.removals.filter(({ plan: { path, row } }, at) => row!.owner !== path && result.removals[at]!.status !== 'done');
  const come = plan.placements.filter(({ plan: { path, wish } }, at) => wish!.owner !== path && result.placements[at]!.status === 'done');
  return new Set([...left.map(({ plan: { row } }) => row!.owner), ...come.map(({ plan: { wish } }) => wish!.owner)]);
}

function shownRows({ path, wish }: PathPlan, previous: Placed | undefined, stat: DiskStat, hasLeftCopies: boolean): Operation[] {
  const placed = shownAs(hasLeftCopies ? { ...wish!, copies: true } : wish!, stat);
  const { content } = placed;
  const rows = placeRows(path, placed, previous);
  const isNew = content !== undefined && (previous?.content === undefined || !equalBytes(previous.content, content));
  return isNew ? [...rows, newestPathRow(content, path)] : rows;
}

/** Nothing was shown, but the file has another time of change since, which is ours. A power loss may undo that: then it is read again. */
function renewedRows({ path, row }: PathPlan, outcome: Outcome): Operation[] {
  const stat = outcome.status === 'failed' ? outcome.stat : undefined;
  return stat === undefined ? [] : placeRows(path, { ...row!, stat }, row);
}

/** A folder that outlives its entry, because something is in it: no edit of anybody's, so it must not be ingested as one. */
function stayRows({ path, row, buried }: PathPlan): Operation[] {
  return placeRows(path, { ...row!, owner: path, dots: buried, copies: false }, row);
}
