/**
 * Stable cuts: which tombstones every member has seen, so that they can go.
 *
 * A cut is a context over the whole share: for each replica that ever deleted something, a sequence number. It is taken
 * from a root that was the head of every member at some moment, and is the maximum of the dots of the tombstones there.
 * Sequences are given once and in order to one database, so a tombstone that the cut covers was in that root, or its
 * replica is gone and nobody has it. Two cuts join by the pointwise maximum.
 *
 * Invariant: an entry of nothing but covered tombstones means the same as no entry. So it may be dropped ("purged"), and
 * where no entry is, an incoming one of this kind adds nothing. Only tombstones are ever dropped for a cut: however wrong
 * one is, it costs no version that is alive. What keeps a purged key from coming back is that nobody who takes part
 * holds its old versions any more, and none is on its way: see docs/decisions/0009-stable-cut.md for when to purge.
 *
 * Why not the maximum of all dots: a birth dot names a value, not a replica, and so has no order that a cut could use.
 * Tombstones are never births.
 */
import { badEncoding, ByteReader, ByteWriter, fromHex, toHex } from '../base/bytes.ts';
import { CONTEXT_REPLICAS_MAX, REPLICA_ID_BYTES } from '../base/limits.ts';
import { covers, EMPTY_CONTEXT, merge, mergeContexts, type Context, type Entry, type ReplicaId } from './entry.ts';
import { SEQUENCE_MAX } from './fields.ts';
import { isLive } from './view.ts';

export interface StableCut {
  /** For each replica the highest sequence that is covered. */
  readonly sequences: Context;
  /** Replicas whose head was the root that the cut was taken from. */
  readonly replicas: ReadonlySet<ReplicaId>;
}

export const EMPTY_CUT: StableCut = { sequences: EMPTY_CONTEXT, replicas: new Set() };

/** Nothing is alive there, not even hidden. */
export function isTombstone(entry: Entry): boolean {
  return entry.versions.every(({ value }) => !isLive(value));
}

/** `sequences`, raised to cover `entry` if that is nothing but tombstones. No more replicas than a cut may have: the rest waits. */
export function raiseTo(sequences: Map<ReplicaId, number>, entry: Entry): void {
  if (!isTombstone(entry)) return;
  for (const { dot } of entry.versions) {
    const known = sequences.get(dot.replica);
    if (known === undefined && sequences.size >= CONTEXT_REPLICAS_MAX) continue;
    if (dot.sequence > (known ?? 0)) sequences.set(dot.replica, dot.sequence);
  }
}

/** The entry means the same as none. */
export function isSettled(entry: Entry, cut: StableCut): boolean {
  return isTombstone(entry) && entry.versions.every(({ dot }) => covers(cut.sequences, dot));
}

/**
 * What is at a key once `incoming` is merged there: `current` itself where that adds nothing.
 * An entry of tombstones that takes the place of a live one stays even if the cut covers it: the disk has to follow first.
 * @throws {SamerootError} as `merge`
 */
export function absorb(current: Entry | undefined, incoming: Entry, cut: StableCut): Entry | undefined {
  return current === undefined && isSettled(incoming, cut) ? undefined : merge(current, incoming);
}

/** `a` covers all that `b` covers. */
export function includesCut(a: StableCut, b: StableCut): boolean {
  return mergeContexts(a.sequences, b.sequences) === a.sequences;
}

/** The pointwise maximum. Where one includes the other it is that one: the replicas of a newer cut take the place of older ones. */
export function joinCuts(a: StableCut, b: StableCut): StableCut {
  if (includesCut(a, b)) return a;
  if (includesCut(b, a)) return b;
  return { sequences: mergeContexts(a.sequences, b.sequences), replicas: new Set([...a.replicas, ...b.replicas]) };
}

export function encodeCut({ sequences, replicas }: StableCut): Uint8Array {
  const writer = new ByteWriter(256).varint(sequences.size);
  for (const [replica, sequence] of [...sequences].sort(([a], [b]) => (a < b ? -1 : 1))) writer.raw(fromHex(replica)).varint(sequence);
  writer.varint(replicas.size);
  for (const replica of [...replicas].sort()) writer.raw(fromHex(replica));
  return writer.finish();
}

/** @throws {SamerootError} `BAD_ENCODING` unless these are the one encoding of a cut within its limits */
export function decodeCut(bytes: Uint8Array): StableCut {
  const reader = new ByteReader(bytes);
  const sequences = new Map<ReplicaId, number>();
  readReplicas(reader, (replica) => {
    const sequence = reader.varint(SEQUENCE_MAX);
    if (sequence === 0) throw badEncoding('sequences begin at 1');
    sequences.set(replica, sequence);
  });
  const replicas = new Set<ReplicaId>();
  readReplicas(reader, (replica) => replicas.add(replica));
  reader.end();
  return { sequences, replicas };
}

function readReplicas(reader: ByteReader, take: (replica: ReplicaId) => void): void {
  let before = '';
  for (let left = reader.varint(CONTEXT_REPLICAS_MAX); left > 0; left--) {
    const replica = toHex(reader.raw(REPLICA_ID_BYTES));
    if (replica <= before) throw badEncoding('the replicas of a cut are not in order');
    before = replica;
    take(replica);
  }
}
