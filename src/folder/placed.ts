/**
 * The `placed` table: what this node knows to be on disk, path by path, and which versions it shows there.
 *
 * It is the only evidence for "the user changed this": a path whose stat differs from its row is a local edit of
 * exactly the dots in that row; a path without a row is a new file; a row without a path is a local delete. So a row is
 * written in the same batch as the entry it belongs to (local edits), or after the rename it describes, with a `t/` row
 * to cover the time between (remote edits, see materialise.ts).
 */
import { ByteReader, ByteWriter, equalBytes, fromUtf8, toHex, fromHex, utf8, badEncoding } from '../base/bytes.ts';
import { CONTENT_ID_BYTES, KEY_BYTES_MAX, LINK_TARGET_BYTES_MAX, REPLICA_ID_BYTES, VERSIONS_MAX } from '../base/limits.ts';
import type { ContentId } from '../content/content-list.ts';
import type { Dot, Value } from '../entry/entry.ts';
import * as keyspace from '../store/keyspace.ts';
import type { Operation, Store } from '../store/store.ts';

/** What `lstat` says, as far as it tells one state of a file from another. Times in fractional milliseconds. */
export interface DiskStat {
  readonly inode: number;
  readonly bytes: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  /** Permission bits, 12 of them. */
  readonly mode: number;
}

export type PlacedKind = 'file' | 'symlink' | 'directory';

export interface Placed {
  readonly kind: PlacedKind;
  readonly stat: DiskStat;
  /** Of a file. */
  readonly content: ContentId | undefined;
  /** Of a symlink. */
  readonly target: Uint8Array | undefined;
  /** The path whose entry is shown here: this path itself, or for a conflict copy the path that it is a copy of. */
  readonly owner: string;
  /** The versions shown here: what a write at this path replaces. */
  readonly dots: readonly Dot[];
  /** Conflict copies of this path's entry are on disk too. */
  readonly copies: boolean;
}

const KINDS: readonly PlacedKind[] = ['file', 'symlink', 'directory'];

export function encodePlaced(path: string, placed: Placed): Uint8Array {
  const { stat } = placed;
  const writer = new ByteWriter(160).u8(KINDS.indexOf(placed.kind) | (placed.copies ? 0x80 : 0) | (placed.owner === path ? 0 : 0x40));
  writer.varint(stat.inode).varint(stat.bytes).f64(stat.mtimeMs).f64(stat.ctimeMs).u16(stat.mode);
  if (placed.kind === 'file') writer.raw(placed.content!);
  if (placed.kind === 'symlink') writer.sized(placed.target!);
  if (placed.owner !== path) writer.sized(utf8(placed.owner));
  writer.varint(placed.dots.length);
  for (const dot of placed.dots) writer.raw(fromHex(dot.replica)).varint(dot.sequence);
  return writer.finish();
}

/** @throws {SamerootError} `BAD_ENCODING` */
export function decodePlaced(path: string, bytes: Uint8Array): Placed {
  const reader = new ByteReader(bytes);
  const tag = reader.u8();
  const kind = KINDS[tag & 0x0f];
  if (kind === undefined) throw badEncoding('a placed row has an unknown kind');
  const stat = {
    inode: reader.varint(),
    bytes: reader.varint(),
    mtimeMs: reader.f64(),
    ctimeMs: reader.f64(),
    mode: reader.u16(),
  };
  const content = kind === 'file' ? Uint8Array.from(reader.raw(CONTENT_ID_BYTES)) : undefined;
  const target = kind === 'symlink' ? Uint8Array.from(reader.sized(LINK_TARGET_BYTES_MAX)) : undefined;
  const owner = (tag & 0x40) === 0 ? path : fromUtf8(reader.sized(KEY_BYTES_MAX));
  if (owner === undefined) throw badEncoding('a placed row has an owner that is not UTF-8');
  const dots: Dot[] = [];
  for (let left = reader.varint(VERSIONS_MAX); left > 0; left--) {
    dots.push({ replica: toHex(reader.raw(REPLICA_ID_BYTES)), sequence: reader.varint() });
  }
  reader.end();
  return { kind, stat, content, target, owner, dots, copies: (tag & 0x80) !== 0 };
}

/**
 * Found on the disk by a replica that comes back and does not know yet what its peers have there: the row shows no version,
 * and there is no entry. (Folders are nobody's loss; those that are only parents show no version either.)
 */
export function isWithheld({ kind, dots }: Placed): boolean {
  return dots.length === 0 && kind !== 'directory';
}

/** What lies at a path is what its row says; nothing is there where there is no row. Of folders only the mode counts. */
export function isAsPlaced(kind: PlacedKind | undefined, stat: DiskStat, placed: Placed | undefined): boolean {
  if (kind === undefined || placed === undefined) return kind === placed?.kind;
  return kind === placed.kind && (kind === 'directory' ? stat.mode === placed.stat.mode : sameStat(stat, placed.stat));
}

/** A row of a file, link or folder with this value; its time does not count. */
export function shows({ kind, content, target, stat }: Placed, value: Value): boolean {
  switch (value.kind) {
    case 'file':
      return kind === 'file' && equalBytes(content!, value.content) && stat.mode === value.mode;
    case 'symlink':
      return kind === 'symlink' && equalBytes(target!, value.target);
    case 'directory':
      return kind === 'directory' && stat.mode === value.mode;
    default:
      return false;
  }
}

/** Equal in everything that a change of the file would change. */
export function sameStat(a: DiskStat, b: DiskStat): boolean {
  return a.inode === b.inode && a.bytes === b.bytes && a.mtimeMs === b.mtimeMs && a.ctimeMs === b.ctimeMs && a.mode === b.mode;
}

export function getPlaced(store: Store, path: string): Placed | undefined {
  const row = store.get(keyspace.placedKey(utf8(path)));
  return row === undefined ? undefined : decodePlaced(path, row);
}

/** The rows that put `placed` at `path` instead of `previous`: the table itself and the index content -> path. */
export function placeRows(path: string, placed: Placed, previous: Placed | undefined): Operation[] {
  const bytes = utf8(path);
  const rows: Operation[] = [{ type: 'put', key: keyspace.placedKey(bytes), value: encodePlaced(path, placed) }];
  const same = previous?.content !== undefined && placed.content !== undefined && Buffer.compare(previous.content, placed.content) === 0;
  if (same) return rows;
  if (previous?.content !== undefined) rows.push({ type: 'del', key: keyspace.contentPathKey(previous.content, bytes) });
  if (placed.content !== undefined)
    rows.push({ type: 'put', key: keyspace.contentPathKey(placed.content, bytes), value: keyspace.PRESENT });
  return rows;
}

/** The rows that take `path` out of the table. */
export function unplaceRows(path: string, previous: Placed): Operation[] {
  const bytes = utf8(path);
  const rows: Operation[] = [{ type: 'del', key: keyspace.placedKey(bytes) }];
  if (previous.content !== undefined) rows.push({ type: 'del', key: keyspace.contentPathKey(previous.content, bytes) });
  return rows;
}
