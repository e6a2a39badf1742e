/**
 * The batch in which an earlier run died: what it has shown gets the rows that it could not write any more, from the notes
 * in staging (place-notes.ts), before anything else is done with the folder.
 *
 * Invariant: batches of a replica are numbered, and the number of the last one is in the same commit as its rows. So notes
 * that were recorded are told from those that were not; and after a restore or a repair, which have another replica id or
 * say so, notes count for nothing.
 */
import { ByteReader, ByteWriter } from '../base/bytes.ts';
import { SamerootError } from '../base/errors.ts';
import type { Replica } from '../replica/replica.ts';
import * as keyspace from '../store/keyspace.ts';
import type { Operation, Store } from '../store/store.ts';
import type { JobCaller } from './disk-jobs.ts';
import type { DiskAccess } from './disk.ts';
import { WALK_KINDS } from './folder-walk.ts';
import { parentPath, pathProblem } from './paths.ts';
import type { PlaceNote, PlaceNotes } from './place-notes.ts';
import { decodePlaced, getPlaced, placeRows, type DiskStat, type Placed } from './placed.ts';
import { StatColumns } from './stat-columns.ts';

const LAST_BATCH: Uint8Array = keyspace.metaKey('batch');

export interface BatchId {
  readonly name: string;
  /** Says that this batch is recorded. */
  readonly row: Operation;
}

/** Of the batch after the last one that was recorded. */
export function nextBatch(replica: Replica): BatchId {
  const number = lastBatch(replica.store) + 1;
  return {
    name: `${replica.id} ${number}`,
    row: { type: 'put', key: LAST_BATCH, value: new ByteWriter(9).varint(number).finish() },
  };
}

function lastBatch(store: Store): number {
  const row = store.get(LAST_BATCH);
  return row === undefined ? 0 : new ByteReader(row).varint();
}

export interface InterruptedOptions {
  readonly root: string;
  readonly replica: Replica;
  readonly access: DiskAccess;
  readonly writeThread: JobCaller;
}

/** @throws {SamerootError} `IO_ERROR`, ...: to be tried again */
export async function recordInterrupted(options: InterruptedOptions, found: PlaceNotes | undefined): Promise<void> {
  const { root, replica, access, writeThread } = options;
  const { name, row: recorded } = nextBatch(replica);
  if (found?.batch !== name) return;
  const shown = found.notes.flatMap((note) => toPlaced(note) ?? []);
  const paths = shown.map(({ path }) => path);
  const { kinds, stats } = await writeThread.call('look', { root, paths });
  const columns = new StatColumns(stats);
  const rows = shown.flatMap(({ path, placed }, at) => {
    const stat = columns.get(at);
    const isStill = WALK_KINDS[kinds[at]!] === placed.kind && isSameFile(stat, placed.stat);
    return placeRows(path, isStill ? { ...placed, stat } : placed, getPlaced(replica.store, path));
  });
  await access.makeDurable(root, [], [...new Set(paths.map((path) => parentPath(path) ?? ''))]);
  await replica.store.write([...rows, recorded], { durable: true });
}

/** A row that keeps the noted stat is like no file: the rename has set a time of change. */
function isSameFile(now: DiskStat, noted: DiskStat): boolean {
  return now.inode === noted.inode && now.bytes === noted.bytes && now.mtimeMs === noted.mtimeMs && now.mode === noted.mode;
}

/** `undefined` where it is none of ours. */
function toPlaced({ path, row, stat }: PlaceNote): { readonly path: string; readonly placed: Placed } | undefined {
  try {
    return pathProblem(path) === undefined ? { path, placed: { ...decodePlaced(path, row), stat } } : undefined;
  } catch (error) {
    if (error instanceof SamerootError) return undefined;
    throw error;
  }
}
