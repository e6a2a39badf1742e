/**
 * Is this database the one that ran here last, or an older copy of it? A replica id must never be used again after its
 * database was rolled back: its next sequences would name two writes each, and the contexts of its entries would cover
 * writes of its own that it does not know any more, and so delete them everywhere.
 *
 * A file beside the database holds a nonce; a row in the database holds the same nonce with the file's inode and change
 * time, which no copying program can set. Both are written anew at each start and each clean stop, the file first; before
 * it, a row that says which nonce comes next, so that a crash between the two is not taken for a copy.
 *
 * Invariant: where row and file do not belong together, the replica gets a new id before it writes anything. An older
 * database names an older nonce, an older file holds one, and a file that was copied, with its database or alone, has another
 * inode or change time. A crash between the file and the row costs a new id, too: never the other way round, for the row of a
 * nonce is only written when its file is there.
 *
 * What this does not see: an image of a whole file system that is put back (`REPLICA_ROLLED_BACK`, see `provesRollback`).
 */
import { join } from 'node:path';
import { ByteReader, ByteWriter, toHex, utf8 } from '../base/bytes.ts';
import { SamerootError } from '../base/errors.ts';
import type { Random, World } from '../base/world.ts';
import type { Entry } from '../entry/entry.ts';
import type { Disk, FileStats } from '../folder/disk.ts';
import { lstatOrNothing } from '../folder/disk-stat.ts';
import { readText, replaceFile } from '../folder/file-io.ts';
import { disownNotes, keepNotes } from '../folder/interrupted.ts';
import { asIoError } from '../folder/io-error.ts';
import { Replica } from '../replica/replica.ts';
import type { Share } from '../replica/share.ts';
import * as keyspace from '../store/keyspace.ts';
import type { Operation, Store } from '../store/store.ts';

const FILE = 'incarnation';
const NONCE_BYTES = 16;
const ROW_BYTES: number = NONCE_BYTES + 16;
const INCARNATION_ROW: Uint8Array = keyspace.metaKey('incarnation');
const NEXT_ROW: Uint8Array = keyspace.metaKey('incarnation-next');
const RESTORED_ROW: Uint8Array = keyspace.metaKey('restored');
const ROLLED_BACK_ROW: Uint8Array = keyspace.metaKey('rolled-back');

export interface IncarnationParts {
  readonly disk: Disk;
  /** Absolute path of the folder that the database is in. */
  readonly dataDir: string;
  readonly store: Store;
  readonly random: Random;
}

/**
 * `same`: database and file are as the last run left them. `interrupted`: it died while it wrote them anew; nothing tells any
 * more whether the file is its own or a copy, but nothing says that the database is old. `copy`: they do not belong together.
 */
export type IncarnationState = 'same' | 'interrupted' | 'copy';

export class Incarnation {
  readonly #parts: IncarnationParts;

  constructor(parts: IncarnationParts) {
    this.#parts = parts;
  }

  get state(): IncarnationState {
    const { disk, dataDir, store } = this.#parts;
    const row = store.get(INCARNATION_ROW);
    const next = store.get(NEXT_ROW);
    const path = join(dataDir, FILE);
    const stats = lstatOrNothing(disk, path);
    if (stats?.isFile() !== true) return row === undefined && stats === undefined ? 'interrupted' : 'copy';
    const nonce = readText(disk, path).trim();
    if (row?.length === ROW_BYTES && nonce === toHex(row.subarray(0, NONCE_BYTES))) {
      const reader = new ByteReader(row.subarray(NONCE_BYTES));
      // Inodes may be beyond 2^53 and are only compared: as Node.js rounds them, each time alike.
      return reader.f64() === stats.ino && reader.f64() === stats.ctimeMs ? 'same' : 'copy';
    }
    return next !== undefined && nonce === toHex(next) ? 'interrupted' : 'copy';
  }

  /** From now on every older copy of the file or of the database is known as such. */
  async renew(): Promise<void> {
    const { disk, dataDir, store, random } = this.#parts;
    const nonce = random.bytes(NONCE_BYTES);
    await store.write([{ type: 'put', key: NEXT_ROW, value: nonce }], { durable: true });
    await store.write(rowsOf(nonce, writeNonce(disk, dataDir, nonce)), { durable: true });
  }

  /**
   * Where the last start was interrupted: the rows for the file that it left. Without them the next death before `renew` is done
   * would leave a file that neither row speaks of, like a copy.
   */
  adopt(): Operation[] {
    const { disk, dataDir, store } = this.#parts;
    const next = store.get(NEXT_ROW);
    const stats = lstatOrNothing(disk, join(dataDir, FILE));
    return next === undefined || stats === undefined ? [] : rowsOf(Uint8Array.from(next), stats);
  }
}

/** Of a file that holds the nonce. */
function rowsOf(nonce: Uint8Array, { ino, ctimeMs }: FileStats): Operation[] {
  const value = new ByteWriter(ROW_BYTES).raw(nonce).f64(ino).f64(ctimeMs).finish();
  return [
    { type: 'put', key: INCARNATION_ROW, value },
    { type: 'del', key: NEXT_ROW },
  ];
}

export interface OpenedReplica {
  readonly replica: Replica;
  readonly incarnation: Incarnation;
  /** It is an older copy, and the folder was not read since: it has a new id. */
  readonly restored: boolean;
}

/**
 * The replica of a store; made, where the store is empty.
 * @throws {SamerootError} `REPLICA_ROLLED_BACK`, `DATABASE_DAMAGED`; what reading and writing a small file can fail with
 */
export async function openReplica(
  { store, disk, dataDir, world }: Pick<IncarnationParts, 'store' | 'disk' | 'dataDir'> & { readonly world: World },
  share: Share,
  /** For a store that is empty: go into the batch that makes it a replica. */
  rows: readonly Operation[],
): Promise<OpenedReplica> {
  const { clock, random, log } = world;
  const incarnation = new Incarnation({ store, disk, dataDir, random });
  const isNew = Replica.storedShare(store) === undefined;
  if (isNew) await Replica.create(store, share, clock, random, rows);
  else {
    if (store.get(ROLLED_BACK_ROW) !== undefined) throw rolledBack();
    const { state } = incarnation;
    if (state === 'interrupted') await Replica.changeId(store, random, [...incarnation.adopt(), ...keepNotes(store)]);
    else if (state === 'copy') {
      await Replica.changeId(store, random, [{ type: 'put', key: RESTORED_ROW, value: keyspace.PRESENT }, ...disownNotes()]);
      log.warn('the database is not the one that ran here last: this host goes on as a new replica', { folder: dataDir });
    }
  }
  await incarnation.renew();
  return { replica: Replica.open(store, clock), incarnation, restored: store.get(RESTORED_ROW) !== undefined };
}

/** What was restored has been compared with the folder. */
export async function forgetRestored(store: Store): Promise<void> {
  await store.write([{ type: 'del', key: RESTORED_ROW }], { durable: true });
}

/**
 * A write of this very replica that it has not made: its database was rolled back in a way that no file shows (an image
 * of the disk), or somebody forges. `sequence`: the highest that was ever given.
 */
export function provesRollback(entry: Entry, replica: Pick<Replica, 'id' | 'head'>): boolean {
  return (entry.context.get(replica.id) ?? 0) > replica.head.sequence;
}

export function rolledBack(): SamerootError {
  return new SamerootError('REPLICA_ROLLED_BACK', 'a peer holds writes of this host that its database does not know: it was rolled back');
}

/** It must not write on after a restart either: what it writes would be taken for what it has forgotten. */
export async function markRolledBack(store: Store): Promise<void> {
  await store.write([{ type: 'put', key: ROLLED_BACK_ROW, value: keyspace.PRESENT }], { durable: true });
}

/** A new file each time: also what compares sizes and times sees that it is another. Gives what `lstat` says of it under its final name. */
function writeNonce(disk: Disk, dataDir: string, nonce: Uint8Array): FileStats {
  const path = join(dataDir, FILE);
  try {
    replaceFile(disk, path, utf8(`${toHex(nonce)}\n`));
    const stats = disk.lstat(path);
    if (stats === undefined) throw new SamerootError('IO_ERROR', `${path} is gone as soon as it was written`, { path });
    return stats;
  } catch (error) {
    throw asIoError('could not be written', path, error);
  }
}
