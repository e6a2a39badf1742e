/**
 * Roots that were passed through, newest last. A replica only ever adds to what it contains, so it contains every root
 * that it once had, and every root of a peer whose entries it once had merged: a set, of which the newest is the cursor.
 * (Tombstones that all have seen may go, and a tree may so become again what it was: that says no less than before.)
 */
import { byteKey } from '../base/bytes.ts';

/** A peer that is further behind than this many roots is found out by a walk. */
const ROOTS_MAX = 1_024;

export class RootLog {
  readonly #orders = new Map<string, number>();

  /** `order`: later roots have higher numbers. */
  add(root: Uint8Array, order: number): void {
    const key = byteKey(root);
    this.#orders.delete(key);
    this.#orders.set(key, order);
    if (this.#orders.size > ROOTS_MAX) this.#orders.delete(this.#orders.keys().next().value!);
  }

  has(root: Uint8Array): boolean {
    return this.#orders.has(byteKey(root));
  }

  orderOf(root: Uint8Array): number | undefined {
    return this.#orders.get(byteKey(root));
  }
}
