/**
 * Where two lists of pages disagree: what a walk has to look at next.
 *
 * Invariant: whatever differs between the two trees within the range of the lists lies in one of the segments or runs.
 *
 * Inner pages are listed with their first keys. A key that both sides list is a border in both trees and at every level
 * below, so segments end there, and their pages can be listed on. Leaf pages are listed without: their equal digests say
 * where the two lists meet again, and below them are entries, whose list may begin and end at any key.
 */
import { byteKey, compareBytes, equalBytes } from '../base/bytes.ts';
import type { Item } from '../tree/walk.ts';
import type { WalkItem } from '../wire/messages.ts';
import { sameDigest } from '../wire/walk-digest.ts';

/** The runs between common borders in which the two lists disagree. */
export function segments(
  range: { readonly from: Uint8Array | undefined; readonly to: Uint8Array | undefined },
  own: readonly Item[],
  theirs: readonly WalkItem[],
): { from: Uint8Array | undefined; to: Uint8Array | undefined; own: Item[] }[] {
  const result: { from: Uint8Array | undefined; to: Uint8Array | undefined; own: Item[] }[] = [];
  let from = range.from;
  let mine: Item[] = [];
  let other: WalkItem[] = [];
  const close = (to: Uint8Array | undefined): void => {
    let start = from;
    const equal =
      mine.length > 0 && other.length > 0 && equalBytes(mine[0]!.key, other[0]!.key) && sameDigest(mine[0]!.hash, other[0]!.digest);
    if (equal) {
      // The same page on both sides: what follows on either side starts at its next page.
      mine = mine.slice(1);
      other = other.slice(1);
      const next = [mine[0]?.key, other[0]?.key].filter((key) => key !== undefined).sort(compareBytes);
      start = next[0];
    }
    if (mine.length > 0 || other.length > 0) result.push({ from: start, to, own: mine });
    from = to;
    mine = [];
    other = [];
  };
  let i = 0;
  let j = 0;
  while (i < own.length || j < theirs.length) {
    const order = i >= own.length ? 1 : j >= theirs.length ? -1 : compareBytes(own[i]!.key, theirs[j]!.key);
    if (order === 0 && (mine.length > 0 || other.length > 0)) close(own[i]!.key);
    if (order <= 0) mine.push(own[i++]!);
    if (order >= 0) other.push(theirs[j++]!);
  }
  close(range.to);
  return result;
}

/** Pages [first, end) of our list, between two that are the same on both sides, or an end of the lists. */
export interface LeafRun {
  readonly first: number;
  readonly end: number;
}

/**
 * The runs of leaf pages of which one side or both have other ones; a run may be empty here and not there. `theirs` are
 * digests of `bytes` bytes, in the order of the keys: one that is out of order counts for none of ours.
 */
export function unlikeLeaves(own: readonly Item[], theirs: readonly Uint8Array[], bytes: number): LeafRun[] {
  const places = new Map(own.map(({ hash }, at) => [byteKey(hash.subarray(0, bytes)), at]));
  const runs: LeafRun[] = [];
  let first = 0;
  let foreign = 0;
  const endRun = (end: number): void => {
    if (end > first || foreign > 0) runs.push({ first, end });
    foreign = 0;
  };
  for (const digest of theirs) {
    const at = places.get(byteKey(digest)) ?? -1;
    if (at < first) {
      foreign++;
      continue;
    }
    endRun(at);
    first = at + 1;
  }
  endRun(own.length);
  return runs;
}
