/**
 * Differences between two trees in the same store of pages.
 *
 * Two cursors go through both trees in order of keys. Where they stand at the same key and level, equal hashes skip
 * all that is below, and unequal ones take both a level down. Where one key is first, nothing in the other tree can
 * match it, so only that cursor moves. Borders depend on keys alone, so after a difference the cursors meet again at
 * the next border they share.
 *
 * Invariant: only pages that differ are read (and, where heights differ, those above the lower tree). Memory is one
 * page a level and side.
 */
import { asBuffer } from '../base/bytes.ts';
import type { PageReader, Tree } from './page.ts';
import { Cursor } from './walk.ts';

/** A key with different values in `a` and `b`; `undefined` where a tree does not have it. */
export interface Difference {
  readonly key: Uint8Array;
  readonly a: Uint8Array | undefined;
  readonly b: Uint8Array | undefined;
}

/** All keys at which the trees differ, in order. */
export function* diff(reader: PageReader, a: Tree, b: Tree): Generator<Difference> {
  if (a.page !== undefined && b.page !== undefined && asBuffer(a.page).equals(b.page)) return;
  const left = new Cursor(reader, a);
  const right = new Cursor(reader, b);
  while (!left.done || !right.done) {
    const difference = step(left, right);
    if (difference !== undefined) yield difference;
  }
}

/** Moves one cursor, or both; at least one is not done. */
function step(left: Cursor, right: Cursor): Difference | undefined {
  const order = left.done ? 1 : right.done ? -1 : left.page.compareWith(left.item, right.page, right.item);
  // Who is first, or higher at the same key, moves; both do if they stand at the same key and level.
  const down = order === 0 ? left.level - right.level : 0;
  const moveLeft = order < 0 || (order === 0 && down >= 0);
  const moveRight = order > 0 || (order === 0 && down <= 0);
  const same = moveLeft && moveRight && left.page.sameBody(left.item, right.page, right.item);
  let difference: Difference | undefined;
  if (!same && (moveLeft ? left : right).level === 0) {
    difference = {
      key: (moveLeft ? left : right).key,
      a: moveLeft ? left.page.value(left.item) : undefined,
      b: moveRight ? right.page.value(right.item) : undefined,
    };
  }
  if (moveLeft) move(left, same);
  if (moveRight) move(right, same);
  return difference;
}

function move(cursor: Cursor, skip: boolean): void {
  if (skip || cursor.level === 0) cursor.next();
  else cursor.enter();
}
