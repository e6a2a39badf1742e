/** What a batch on the disk means for the database: the outcome of each path, and the rows that say what the disk shows now. */
import { equalBytes } from '../base/bytes.ts';
import type { Operation } from '../store/store.ts';
import { newestPathRow } from './content-index.ts';
import type { BatchResult, Outcome } from './place-job.ts';
import { placeRows, unplaceRows, type Placed } from './placed.ts';
import type { PathPlan, Plan } from './plan.ts';
import { asideRows, isAside } from './set-aside.ts';
import type { Trash } from './trash.ts';

export function outcomesByPath(plan: Plan, result: BatchResult): Map<string, Outcome> {
  const outcomes = new Map<string, Outcome>();
  for (const [
    at,
    {
      plan: { path },
    },
  ] of plan.removals.entries())
    outcomes.set(path, result.removals[at]!);
  // After a removal of the same path, its placement decides.
  for (const [
    at,
    {
      plan: { path },
    },
  ] of plan.placements.entries())
    outcomes.set(path, result.placements[at]!);
  for (const [
    at,
    {
      plan: { path },
    },
  ] of plan.touches.entries())
    outcomes.set(path, result.touches[at]!);
  return outcomes;
}

/** The rows that say what the disk shows now. */
export function rowsOf(plan: Plan, result: BatchResult, trash: Trash): Operation[] {
  const rows: Operation[] = [];
  const removed = new Set<string>();
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
    if (outcome.status === 'done') rows.push(...shownRows(pathPlan, previous, outcome.stat!));
  }
  for (const [at, { plan: pathPlan }] of plan.touches.entries()) {
    const outcome = result.touches[at]!;
    if (outcome.status === 'done') rows.push(...shownRows(pathPlan, pathPlan.row, outcome.stat!));
  }
  for (const pathPlan of plan.refreshes) rows.push(...shownRows(pathPlan, pathPlan.row, pathPlan.row!.stat));
  for (const pathPlan of plan.left) rows.push(...stayRows(pathPlan));
  return rows;
}

function shownRows({ path, wish }: PathPlan, previous: Placed | undefined, stat: Placed['stat']): Operation[] {
  const { value, owner, dots, copies } = wish!;
  const content = value.kind === 'file' ? value.content : undefined;
  const target = value.kind === 'symlink' ? value.target : undefined;
  const placed: Placed = { kind: value.kind, stat, content, target, owner, dots, copies };
  const rows = placeRows(path, placed, previous);
  const isNew = content !== undefined && (previous?.content === undefined || !equalBytes(previous.content, content));
  return isNew ? [...rows, newestPathRow(content, path)] : rows;
}

/** A folder that outlives its entry, because something is in it: no edit of anybody's, so it must not be ingested as one. */
function stayRows({ path, row, buried }: PathPlan): Operation[] {
  return placeRows(path, { ...row!, owner: path, dots: buried, copies: false }, row);
}
