/**
 * Entries: the state at one key, a dotted multi-value register (after Almeida et al., "Dotted version vectors", 2012).
 *
 * An entry is the set of live versions and a causal context: for each replica, the highest sequence number of its
 * writes at this key that is known here. A dot (replica, sequence) names a write. Per entry a dot is unseen (not
 * covered by the context), live (its version is in the set), or dead (covered, but not in the set), and moves in that
 * order only.
 *
 * Invariant: `merge` is the maximum of the state of every dot, so it is commutative, associative and idempotent: a
 * join. A version leaves the set only because a write replaced it that had seen it, or because it was retired where a
 * newer one was shown. The context covers every live dot.
 *
 * Why a birth dot: hosts that were filled with the same files before they ever met derive the same dot from what they
 * find, so their entries and their roots are equal without a word said. See `birth`.
 */
import { assert } from '../base/assert.ts';
import { compareBytes, ByteWriter, toHex } from '../base/bytes.ts';
import { SamerootError } from '../base/errors.ts';
import {
  CONTENT_BYTES_MAX,
  CONTENT_ID_BYTES,
  CONTEXT_REPLICAS_MAX,
  LINK_TARGET_BYTES_MAX,
  MTIME_MS_MAX,
  RECORD_INLINE_BYTES_MAX,
  REPLICA_ID_BYTES,
  VERSIONS_MAX,
} from '../base/limits.ts';
import type { ContentId } from '../content/content-list.ts';
import { hash } from '../content/hash.ts';
import { compareStamps, type Stamp } from './clock.ts';
import { foldTime, KIND_CODES, MODE_MAX, WALL_MS_MAX } from './fields.ts';

/** 16 lower-case hexadecimal digits: one database incarnation of one node. */
export type ReplicaId = string;

/** Names one write. */
export interface Dot {
  readonly replica: ReplicaId;
  /** From 1, greater than that of every earlier write of the replica at this key. */
  readonly sequence: number;
}

export type Value =
  | { readonly kind: 'file'; readonly content: ContentId; readonly bytes: number; readonly mode: number; readonly mtimeMs: number }
  | { readonly kind: 'symlink'; readonly target: Uint8Array }
  | { readonly kind: 'directory'; readonly mode: number }
  | { readonly kind: 'record'; readonly data: Uint8Array }
  | { readonly kind: 'blob'; readonly content: ContentId; readonly bytes: number }
  | { readonly kind: 'deleted' };

export interface Version {
  readonly dot: Dot;
  readonly stamp: Stamp;
  readonly value: Value;
}

/** For each replica the highest sequence seen: covers a dot if it is not above it. */
export type Context = ReadonlyMap<ReplicaId, number>;

export interface Entry {
  /** Sorted by dot: at least one. */
  readonly versions: readonly Version[];
  readonly context: Context;
}

export const EMPTY_CONTEXT: Context = new Map();

/** By replica, then by sequence. */
export function compareDots(a: Dot, b: Dot): number {
  if (a.replica !== b.replica) return a.replica < b.replica ? -1 : 1;
  return a.sequence - b.sequence;
}

export function covers(context: Context, dot: Dot): boolean {
  return dot.sequence <= (context.get(dot.replica) ?? 0);
}

/** The pointwise maximum; `a` itself where `b` adds nothing. */
export function mergeContexts(a: Context, b: Context): Context {
  let merged: Map<ReplicaId, number> | undefined;
  for (const [replica, sequence] of b) {
    if (sequence > (a.get(replica) ?? 0)) (merged ??= new Map(a)).set(replica, sequence);
  }
  return merged ?? a;
}

/**
 * The entry after a write by `dot.replica`, made by someone who saw the versions `seen` at this key: exactly those are
 * replaced, all others stay beside the new one. (A context would not do: where a conflict copy of the same replica is
 * older than the version that was seen, it would be taken for seen too, and lost.) A delete is a write of `deleted`.
 * Dots that are not known here change nothing: to cover them would cover older writes too that nobody here has seen.
 * `stamp` is greater than those of `seen`: `retire` relies on it.
 * @throws {RangeError} if the value cannot be encoded
 * @throws {SamerootError} `LIMIT_EXCEEDED` if the key would have more versions or replicas than an entry may hold
 */
export function write(entry: Entry | undefined, seen: readonly Dot[], dot: Dot, stamp: Stamp, value: Value): Entry {
  checkValue(value);
  const context = entry?.context ?? EMPTY_CONTEXT;
  assert(!covers(context, dot), 'a dot names one write');
  const kept = without(entry?.versions ?? [], seen);
  const versions = [...kept, { dot, stamp, value }].sort((a, b) => compareDots(a.dot, b.dot));
  return limited({ versions, context: mergeContexts(context, new Map([[dot.replica, dot.sequence]])) });
}

/**
 * The entry without the versions `dots`, and nothing in their place: a conflict copy was edited into a file of its own,
 * or deleted. The context goes on covering them, so they stay gone everywhere. `entry` itself where none is alive, or
 * where no version would be left: what is shown is never retired, only written over.
 */
export function retire(entry: Entry, dots: readonly Dot[]): Entry {
  const versions = without(entry.versions, dots);
  return versions.length === entry.versions.length || versions.length === 0 ? entry : { versions, context: entry.context };
}

function without(versions: readonly Version[], dots: readonly Dot[]): Version[] {
  return versions.filter(({ dot }) => !dots.some((other) => compareDots(dot, other) === 0));
}

/** What both replicas know, joined. `a` itself where `b` adds nothing. */
export function merge(a: Entry | undefined, b: Entry): Entry {
  if (a === undefined || a === b) return b;
  const versions: Version[] = [];
  let changed = false;
  let i = 0;
  let j = 0;
  while (i < a.versions.length || j < b.versions.length) {
    const left = a.versions[i];
    const right = b.versions[j];
    const order = left === undefined ? 1 : right === undefined ? -1 : compareDots(left.dot, right.dot);
    if (order < 0) {
      if (covers(b.context, left!.dot)) changed = true;
      else versions.push(left!);
    } else if (order > 0) {
      if (!covers(a.context, right!.dot)) {
        versions.push(right!);
        changed = true;
      }
    } else {
      const winner = compareTwins(left!, right!) >= 0 ? left! : right!;
      versions.push(winner);
      if (winner !== left) changed = true;
    }
    if (order <= 0) i++;
    if (order >= 0) j++;
  }
  const context = mergeContexts(a.context, b.context);
  return !changed && context === a.context ? a : limited({ versions, context });
}

/** `merge(a, b)` would change nothing: all that `b` knows is in `a`. */
export function contains(a: Entry | undefined, b: Entry): boolean {
  return a !== undefined && merge(a, b) === a;
}

export function equalEntries(a: Entry, b: Entry): boolean {
  return (
    a === b ||
    (a.versions.length === b.versions.length &&
      a.context.size === b.context.size &&
      // As many replicas, and no sequence of either is less.
      mergeContexts(a.context, b.context) === a.context &&
      mergeContexts(b.context, a.context) === b.context &&
      a.versions.every((version, at) => {
        const other = b.versions[at]!;
        return compareDots(version.dot, other.dot) === 0 && compareTwins(version, other) === 0;
      }))
  );
}

/** Values that a replica may find without having written them. */
export type FoundValue = Extract<Value, { kind: 'file' | 'symlink' | 'directory' }>;

/**
 * The entry of a value found at a key that never had an entry here. Its dot follows from key and value alone, so every
 * replica that finds the same makes the same entry. Not for a key that has an entry, a tombstone included.
 *
 * Its stamp is the modification time. Where that lies in the future the caller makes an ordinary write instead: the stamp of a
 * later edit could not be greater than that of what it replaces.
 * @throws {RangeError} if the value cannot be encoded
 */
export function birth(key: Uint8Array, value: FoundValue): Entry {
  checkValue(value);
  const dot = birthDot(key, value);
  return { versions: [{ dot, stamp: birthStamp(value), value }], context: new Map([[dot.replica, dot.sequence]]) };
}

function birthStamp(value: FoundValue): Stamp {
  return { wallMs: value.kind === 'file' ? Math.min(Math.max(value.mtimeMs, 0), WALL_MS_MAX) : 0, counter: 0 };
}

function birthDot(key: Uint8Array, value: FoundValue): Dot {
  const writer = new ByteWriter().sized(key).u8(KIND_CODES[value.kind]);
  switch (value.kind) {
    case 'file':
      writer.raw(value.content).u16(value.mode).varint(foldTime(value.mtimeMs));
      break;
    case 'symlink':
      writer.raw(value.target);
      break;
    case 'directory':
      writer.u16(value.mode);
      break;
  }
  return { replica: toHex(hash('birth', writer.finish()).subarray(0, REPLICA_ID_BYTES)), sequence: 1 };
}

function checkValue(value: Value): void {
  const within = (name: string, number: number, min: number, max: number): void => {
    if (!Number.isInteger(number) || number < min || number > max)
      throw new RangeError(`${name}: ${number} is not a whole number within ${min} and ${max}`);
  };
  if (value.kind === 'file' || value.kind === 'blob') {
    within('content', value.content.length, CONTENT_ID_BYTES, CONTENT_ID_BYTES);
    within('bytes', value.bytes, 0, CONTENT_BYTES_MAX);
  }
  if (value.kind === 'file' || value.kind === 'directory') within('mode', value.mode, 0, MODE_MAX);
  if (value.kind === 'file') within('mtimeMs', value.mtimeMs, -MTIME_MS_MAX, MTIME_MS_MAX);
  if (value.kind === 'record') within('data', value.data.length, 0, RECORD_INLINE_BYTES_MAX);
  if (value.kind === 'symlink') {
    within('target', value.target.length, 1, LINK_TARGET_BYTES_MAX);
    if (value.target.includes(0)) throw new RangeError('target: contains NUL');
  }
}

/**
 * Honest histories do not get past this: each keeps the newest of its writes alive. A peer's forged contexts could
 * cover every version and so delete without a trace; the key then stays as it was and the fault is reported.
 */
function limited(entry: Entry): Entry {
  if (entry.versions.length === 0) throw new SamerootError('BAD_MESSAGE', 'two histories of a key exclude each other');
  if (entry.versions.length > VERSIONS_MAX) {
    throw new SamerootError('LIMIT_EXCEEDED', `a key has more than ${VERSIONS_MAX} concurrent versions`);
  }
  if (entry.context.size > CONTEXT_REPLICAS_MAX) {
    throw new SamerootError('LIMIT_EXCEEDED', `a key was written by more than ${CONTEXT_REPLICAS_MAX} replicas`);
  }
  return entry;
}

/**
 * Orders two versions of one dot. They are equal unless a dot was used twice, by a forger or by a database that was
 * copied; then every replica must keep the same one, or their roots would differ for ever.
 */
function compareTwins(a: Version, b: Version): number {
  return a === b ? 0 : compareStamps(a.stamp, b.stamp) || compareValues(a.value, b.value);
}

/** A total order of values, in all their fields. */
function compareValues(a: Value, b: Value): number {
  switch (a.kind) {
    case 'file':
      if (b.kind !== 'file') break;
      return compareBytes(a.content, b.content) || a.bytes - b.bytes || a.mode - b.mode || a.mtimeMs - b.mtimeMs;
    case 'symlink':
      if (b.kind !== 'symlink') break;
      return compareBytes(a.target, b.target);
    case 'directory':
      if (b.kind !== 'directory') break;
      return a.mode - b.mode;
    case 'record':
      if (b.kind !== 'record') break;
      return compareBytes(a.data, b.data);
    case 'blob':
      if (b.kind !== 'blob') break;
      return compareBytes(a.content, b.content) || a.bytes - b.bytes;
    case 'deleted':
  }
  return KIND_CODES[a.kind] - KIND_CODES[b.kind];
}
