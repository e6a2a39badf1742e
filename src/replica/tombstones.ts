/**
 * Tombstones that every member has seen leave the tree. This file finds them, takes a cut from them, and drops them;
 * when that may be done is for `node/purge.ts` to say, and docs/decisions/0009-stable-cut.md says why.
 *
 * Invariant of `purge`: a key goes only if, in the very commit, its entry is nothing but tombstones that the cut covers,
 * the disk shows that already (no todo row: a file would stay there without an entry), and no entry for it is on its way
 * into the tree (its versions may be older than the tombstone, and nothing would stop them any more).
 *
 * Pages say how many entries below them are live, so a scan reads only where tombstones are: its cost follows their
 * number, not that of the entries. It reads one tree for several turns of the event loop: the caller keeps that from the
 * garbage collection.
 */
import { nextTurn, type Timers } from '../base/world.ts';
import { decodeEntry, weighEntry } from '../entry/entry-codec.ts';
import type { Entry, ReplicaId } from '../entry/entry.ts';
import { isSettled, isTombstone, raiseTo, type StableCut } from '../entry/stable-cut.ts';
import * as keyspace from '../store/keyspace.ts';
import type { PageReader, Tree } from '../tree/page.ts';
import { Cursor } from '../tree/walk.ts';
import type { Mutation, Replica } from './replica.ts';

const SLICE_ENTRIES = 2_000;

export interface Tombstone {
  readonly key: Uint8Array;
  readonly entry: Entry;
}

/** In key order. */
export function* tombstones(reader: PageReader, tree: Tree): Generator<Tombstone> {
  const cursor = new Cursor(reader, tree);
  while (!cursor.done) {
    const { page, item } = cursor;
    if (cursor.level > 0) {
      const { count, live } = page.totals(item);
      if (count > live) cursor.enter();
      else cursor.next();
      continue;
    }
    const key = page.key(item);
    const value = page.value(item);
    const entry = weighEntry(key, value).live === 0 ? decodeEntry(value) : undefined;
    if (entry !== undefined && isTombstone(entry)) yield { key, entry };
    cursor.next();
  }
}

async function* slices(replica: Replica, tree: Tree, timers: Timers): AsyncGenerator<Tombstone[]> {
  let slice: Tombstone[] = [];
  for (const tombstone of tombstones(replica.reader, tree)) {
    slice.push(tombstone);
    if (slice.length < SLICE_ENTRIES) continue;
    yield slice;
    slice = [];
    await nextTurn(timers);
  }
  if (slice.length > 0) yield slice;
}

/** The cut of a tree that was the head of all `replicas`. */
export async function takeCut(replica: Replica, tree: Tree, replicas: Iterable<ReplicaId>, timers: Timers): Promise<StableCut> {
  const sequences = new Map<ReplicaId, number>();
  for await (const slice of slices(replica, tree, timers)) for (const { entry } of slice) raiseTo(sequences, entry);
  return { sequences, replicas: new Set(replicas) };
}

export interface Purged {
  readonly purged: number;
  /** Covered by the cut, but not to be dropped yet. */
  readonly spared: number;
  /** Not covered. */
  readonly left: number;
}

/**
 * Drops what the cut that the replica goes by covers. `tree`: where to look for it.
 * `isArriving`: is an entry for this key on its way into the tree?
 */
export async function purge(replica: Replica, tree: Tree, isArriving: (key: Uint8Array) => boolean, timers: Timers): Promise<Purged> {
  const cut = replica.stable;
  let purged = 0;
  let spared = 0;
  let left = 0;
  for await (const slice of slices(replica, tree, timers)) {
    const settled = slice.filter(({ entry }) => isSettled(entry, cut));
    left += slice.length - settled.length;
    const gone = new Set<Uint8Array>();
    const mutations = settled.map(({ key }): Mutation => ({
      key,
      next: (current) => {
        gone.delete(key);
        if (current === undefined || !isSettled(current, cut)) return current;
        if (isArriving(key) || replica.store.get(keyspace.pendingKey(key)) !== undefined) return current;
        gone.add(key);
        return undefined;
      },
    }));
    if (mutations.length > 0) await replica.commit(mutations);
    purged += gone.size;
    spared += settled.length - gone.size;
  }
  return { purged, spared, left };
}
