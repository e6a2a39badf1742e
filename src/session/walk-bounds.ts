/**
 * What keeps a walk bounded, whatever the other side sends: which ranges it may still name, and how much one message
 * may hold.
 *
 * Invariant of `AskedRanges`: a range is named at most once per level and at ever deeper levels, so a whole walk costs
 * each side no more than one listing of its own tree per level.
 */
import { compareBytes, EMPTY_BYTES, sharedPrefixLength } from '../base/bytes.ts';
import { SamerootError } from '../base/errors.ts';
import { DIGEST_BYTES, TREE_LEVEL_MAX, WALK_LIST_KEY_BYTES_MAX, WALK_MESSAGE_BYTES_GOAL } from '../base/limits.ts';

export interface OpenRange {
  readonly from: Uint8Array | undefined;
  /** Exclusive. */
  readonly to: Uint8Array | undefined;
  readonly level: number;
}

export const ENTRY_LEVEL = -1;
/** Counts and lengths of a packed item or bound, at most. */
const LENGTHS_BYTES = 4;
const KEY_BYTES_GOAL: number = WALK_LIST_KEY_BYTES_MAX / 2;

/** By where they start. */
export function compareFrom(a: { readonly from: Uint8Array | undefined }, b: { readonly from: Uint8Array | undefined }): number {
  return compareBytes(a.from ?? EMPTY_BYTES, b.from ?? EMPTY_BYTES);
}

/** Negative if the end `a` is before the end `b`; undefined is the end of all. */
function compareTo(a: Uint8Array | undefined, b: Uint8Array | undefined): number {
  if (a === undefined || b === undefined) return (a === undefined ? 1 : 0) - (b === undefined ? 1 : 0);
  return compareBytes(a, b);
}

/** Ranges that were listed to the other side and that it has not answered, in order, disjoint. */
export class AskedRanges {
  #ranges: OpenRange[];

  /** `everything`: it may begin anywhere. */
  constructor(everything: boolean) {
    this.#ranges = everything ? [{ from: undefined, to: undefined, level: TREE_LEVEL_MAX + 1 }] : [];
  }

  add(ranges: readonly OpenRange[]): void {
    const pages = ranges.filter(({ level }) => level > ENTRY_LEVEL);
    this.#ranges = [...this.#ranges, ...pages].sort(compareFrom);
  }

  /**
   * The other side names these ranges, in order, and with `more` may come back to what is left of the asked ones.
   * @throws {SamerootError} `BAD_MESSAGE` if one does not lie within an asked range, or not at a deeper level
   */
  answered(named: readonly OpenRange[], more: boolean): void {
    const left: OpenRange[] = [];
    let at = 0;
    let asked = this.#ranges[at];
    for (const range of named) {
      while (asked !== undefined && compareTo(asked.to, range.to) < 0) {
        left.push(asked);
        asked = this.#ranges[++at];
      }
      if (asked === undefined || compareFrom(range, asked) < 0 || range.level >= asked.level) {
        throw new SamerootError('BAD_MESSAGE', 'the peer names a range of a walk out of turn');
      }
      // Answers come in order: what lies before this one is settled.
      asked = range.to === undefined || asked.to === range.to ? undefined : { ...asked, from: range.to };
      if (asked === undefined || compareTo(asked.from, asked.to) === 0) asked = this.#ranges[++at];
    }
    if (asked !== undefined) left.push(asked, ...this.#ranges.slice(at + 1));
    this.#ranges = more ? left : [];
  }
}

/** What one message has room for. Front coding is counted, so the figure is that of the codec, or a little above. */
export class MessageRoom {
  #bytes = 0;
  #keyBytes = 0;
  #previous: Uint8Array = EMPTY_BYTES;

  clear(): void {
    this.#bytes = 0;
    this.#keyBytes = 0;
    this.#previous = EMPTY_BYTES;
  }

  get full(): boolean {
    return this.#bytes >= WALK_MESSAGE_BYTES_GOAL || this.#keyBytes >= KEY_BYTES_GOAL;
  }

  bound(key: Uint8Array | undefined): void {
    this.#bytes += LENGTHS_BYTES;
    if (key !== undefined) this.#add(key);
  }

  item(key: Uint8Array): void {
    this.#bytes += DIGEST_BYTES;
    this.#add(key);
  }

  #add(key: Uint8Array): void {
    this.#bytes += LENGTHS_BYTES + key.length - sharedPrefixLength(this.#previous, key);
    this.#keyBytes += key.length;
    this.#previous = key;
  }
}
