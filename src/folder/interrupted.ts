/**
 * The batch in which an earlier run died: what it has shown gets the rows that it could not write any more, from the notes
 * in staging (place-notes.ts), before anything else is done with the folder.
 *
 * Invariants. Nothing in staging goes before the rows are durable: a run that dies while it starts leaves the next one the
 * same evidence. Batches of a replica are numbered, and the number of the last one is in the same commit as its rows. So notes
 * that were recorded are told from those that were not; and after a restore or a repair, which have another replica id or
 * say so, notes count for nothing. (A replica that only died while it started may have another id too: then the row `noted-by`
 * says under which one its batches go on.)
 */
import { join } from 'node:path';
import { ByteReader, ByteWriter, toHex } from '../base/bytes.ts';
import { SamerootError } from '../base/errors.ts';
import { Replica } from '../replica/replica.ts';
import * as keyspace from '../store/keyspace.ts';
import type { Operation, Store } from '../store/store.ts';
import type { JobCaller } from './disk-jobs.ts';
import type { DiskAccess } from './disk.ts';
import { WALK_KINDS } from './folder-walk.ts';
import { OWN_FOLDER, parentPath, pathProblem } from './paths.ts';
import type { PlaceNote } from './place-notes.ts';
import { decodePlaced, getPlaced, placeRows, type DiskStat, type Placed } from './placed.ts';
import { StatColumns } from './stat-columns.ts';

const LAST_BATCH: Uint8Array = keyspace.metaKey('batch');
const NOTED_BY: Uint8Array = keyspace.metaKey('noted-by');
/** A time that is set in place is noted before, and comes out up to 2 us later: see `setModeAndTime`. */
const SET_LATER_MS_MAX = 0.003;

export interface BatchId {
  readonly name: string;
  /** Says that this batch is recorded. */
  readonly row: Operation;
}

/** Of the batch after the last one that was recorded. */
export function nextBatch(replica: Replica): BatchId {
  const { store, id } = replica;
  const notedBy = store.get(NOTED_BY);
  const number = lastBatch(store) + 1;
  return {
    name: `${notedBy === undefined ? id : toHex(notedBy)} ${number}`,
    row: { type: 'put', key: LAST_BATCH, value: new ByteWriter(9).varint(number).finish() },
  };
}

/** Go with a new id: notes that were made under the old one still count. */
export function keepNotes(store: Store): Operation[] {
  const notedBy = store.get(NOTED_BY) ?? Replica.storedId(store);
  return notedBy === undefined ? [] : [{ type: 'put', key: NOTED_BY, value: notedBy }];
}

/** Go with a new id: notes that were made under the old one are those of another. */
export function disownNotes(): Operation[] {
  return [{ type: 'del', key: NOTED_BY }];
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

/**
 * Before staging is opened, which removes what nobody needs any more.
 * @throws {SamerootError} `IO_ERROR`, ...
 */
export async function recordInterrupted({ root, replica, access, writeThread }: InterruptedOptions): Promise<void> {
  const { name, row: recorded } = nextBatch(replica);
  const found = await writeThread.call('readNotes', { tmp: join(root, OWN_FOLDER, 'tmp') });
  if (found?.batch !== name) return;
  const shown = found.notes.flatMap((note) => toShown(note) ?? []);
  const paths = shown.map(({ path }) => path);
  const { kinds, stats } = await writeThread.call('look', { root, paths });
  const columns = new StatColumns(stats);
  const rows = shown.flatMap(({ path, placed }, at) => {
    const stat = columns.get(at);
    const isStill = WALK_KINDS[kinds[at]!] === placed.kind && isSameFile(stat, placed.stat);
    return placeRows(path, isStill ? { ...placed, stat } : placed, getPlaced(replica.store, path));
  });
  const inodes = shown.flatMap(({ path, inPlace }) => [parentPath(path) ?? '', ...(inPlace ? [path] : [])]);
  await access.makeDurable(root, [], [...new Set(inodes)]);
  await replica.store.write([...rows, recorded], { durable: true });
}

/** A row that keeps the noted stat is like no file: the rename has set a time of change. */
function isSameFile(now: DiskStat, noted: DiskStat): boolean {
  const laterMs = now.mtimeMs - noted.mtimeMs;
  return now.inode === noted.inode && now.bytes === noted.bytes && laterMs >= 0 && laterMs < SET_LATER_MS_MAX && now.mode === noted.mode;
}

interface Shown {
  readonly path: string;
  readonly placed: Placed;
  /** It has got another mode or time, no other name. */
  readonly inPlace: boolean;
}

/** `undefined` where it is none of ours. */
function toShown({ path, row, stat, modeBefore }: PlaceNote): Shown | undefined {
  try {
    if (pathProblem(path) !== undefined) return undefined;
    return { path, placed: { ...decodePlaced(path, row), stat }, inPlace: modeBefore !== undefined };
  } catch (error) {
    if (error instanceof SamerootError) return undefined;
    throw error;
  }
}
