/**
 * The versions of an entry as people are told of them: who wrote each, when, and under which name it is shown.
 *
 * A version is named by what people see: the path of the file that shows it, of a record its key or the number of the
 * sibling. Its `id` (the dot) names it on every host and for ever.
 */
import { fromUtf8, toHex } from '../base/bytes.ts';
import { birth, type Dot, type Entry, type FoundValue, type Value, type Version } from '../entry/entry.ts';
import { conflictNames, view, type Shown, type View } from '../entry/view.ts';
import { pathOfKey } from '../folder/paths.ts';
import { getPlaced } from '../folder/placed.ts';
import type { TrashedFile } from '../folder/trash-restore.ts';
import type { Store } from '../store/store.ts';
import type { AuthorStatus, TrashItem, VersionStatus } from './answers.ts';
import { isMemberKey } from './member-record.ts';

/** What is needed to tell of versions. */
export interface Telling {
  /** Of this host: knows what is on disk. Undefined where versions are told of that are not this host's. */
  readonly store: Store | undefined;
  readonly author: (replicaId: string) => AuthorStatus;
}

/** Versions that are to be chosen between. Folders that differ in their mode alone are none: whoever sees one has seen all. */
export function rivals({ winner, others }: View): readonly Shown[] {
  return winner?.version.value.kind === 'directory' ? others.filter(({ version }) => version.value.kind !== 'directory') : others;
}

/** `f/path`, `r/name`; members, which have no name to read, in hex. */
export function keyText(key: Uint8Array): string {
  return isMemberKey(key) ? `m/${toHex(key.subarray(2))}` : (fromUtf8(key) ?? toHex(key));
}

export function dotText({ replica, sequence }: Dot): string {
  return `${replica}-${sequence}`;
}

/** The live versions, the winner first. */
export function liveVersions(key: Uint8Array, entry: Entry | undefined, telling: Telling): VersionStatus[] {
  const shown = view(entry);
  if (shown.winner === undefined) return [];
  const path = pathOfKey(key);
  const others = rivals(shown);
  // The names depend on all versions, so they are made before any is left out.
  const names = new Map(path === undefined ? [] : conflictNames(path, shown.others).map((name, at) => [shown.others[at]!, name]));
  const winner = versionStatus(key, shown.winner.version, path ?? keyText(key), telling);
  return [
    winner,
    ...others.map((other, at) => versionStatus(key, other.version, copyNameOf(other.version, names.get(other)) ?? String(at), telling)),
  ];
}

/** Deletes that stand: newest last. */
export function deletions(key: Uint8Array, entry: Entry | undefined, telling: Telling): VersionStatus[] {
  const dead = (entry?.versions ?? []).filter(({ value }) => value.kind === 'deleted');
  return dead.map((version) => versionStatus(key, version, dotText(version.dot), telling));
}

/** A folder has no copy beside it. */
function copyNameOf(version: Version, name: string | undefined): string | undefined {
  return name !== undefined && version.value.kind === 'directory' ? dotText(version.dot) : name;
}

export function versionStatus(key: Uint8Array, version: Version, name: string, telling: Telling): VersionStatus {
  const { dot, stamp, value } = version;
  const isFile = value.kind === 'file';
  return {
    id: dotText(dot),
    author: telling.author(dot.replica),
    found: isBirth(key, version),
    written: new Date(stamp.wallMs).toISOString(),
    kind: value.kind,
    bytes: bytesOf(value),
    mode: isFile || value.kind === 'directory' ? value.mode.toString(8) : undefined,
    modified: isFile ? new Date(value.mtimeMs).toISOString() : undefined,
    content: isFile || value.kind === 'blob' ? toHex(value.content) : undefined,
    name,
    shown: isShown(key, version, name, telling.store),
  };
}

export function bytesOf(value: Value): number {
  if (value.kind === 'file' || value.kind === 'blob') return value.bytes;
  return value.kind === 'record' ? value.data.length : 0;
}

function isShown(key: Uint8Array, { dot, value }: Version, name: string, store: Store | undefined): boolean {
  const owner = pathOfKey(key);
  if (value.kind === 'deleted' || store === undefined) return false;
  if (owner === undefined) return true;
  const row = getPlaced(store, name);
  return row?.owner === owner && row.dots.some((other) => dotText(other) === dotText(dot));
}

/** An earlier version that this host still has. */
export function trashItem({ path, place, day, stat }: TrashedFile): TrashItem {
  return { path, place, day, bytes: stat.bytes, modified: new Date(stat.mtimeMs).toISOString() };
}

/** Its dot follows from what it is: see `birth`. */
function isBirth(key: Uint8Array, { dot, value }: Version): boolean {
  if (dot.sequence !== 1 || !isFound(value)) return false;
  return birth(key, value).versions[0]!.dot.replica === dot.replica;
}

function isFound(value: Value): value is FoundValue {
  return value.kind === 'file' || value.kind === 'symlink' || value.kind === 'directory';
}
