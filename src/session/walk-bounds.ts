/**
 * What keeps a walk bounded, whatever the other side sends: which ranges it may still name, how many messages may wait for
 * an answer, and how much one message may hold.
 *
 * Invariant of `AskedRanges`: a range is named at most once per level and at ever deeper levels, so a whole walk costs
 * each side no more than one listing of its own tree per level.
 */
import { compareBytes, EMPTY_BYTES, sharedPrefixLength } from '../base/bytes.ts';
import { SamerootError } from '../base/errors.ts';
import { TREE_LEVEL_MAX, WALK_LIST_KEY_BYTES_MAX, WALK_MESSAGE_BYTES_GOAL, WALK_WINDOW_MESSAGES } from '../base/limits.ts';
import type { MessageOf, WalkRange } from '../wire/messages.ts';

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

interface AskedRange extends OpenRange {
  /** The number of our message that listed it. */
  readonly message: number;
}

/** Ranges that were listed to the other side and that it has not answered, in order, disjoint. */
export class AskedRanges {
  #ranges: AskedRange[];

  /** `everything`: it may begin anywhere. */
  constructor(everything: boolean) {
    this.#ranges = everything ? [{ from: undefined, to: undefined, level: TREE_LEVEL_MAX + 1, message: 0 }] : [];
  }

  add(ranges: readonly OpenRange[], message: number): void {
    const pages = ranges.filter(({ level }) => level > ENTRY_LEVEL);
    if (pages.length === 0) return;
    this.#ranges = [...this.#ranges, ...pages.map(({ from, to, level }) => ({ from, to, level, message }))].sort(compareFrom);
  }

  /**
   * The other side names these ranges, in order. Without `more` it does not come back to what is left of the ranges in our
   * messages up to `answered`, the last one that it has answered.
   * @throws {SamerootError} `BAD_MESSAGE` if one does not lie within an asked range, or not at a deeper level
   */
  answered(named: readonly OpenRange[], more: boolean, answered: number): void {
    const left: AskedRange[] = [];
    let at = 0;
    let asked = this.#ranges[at];
    for (const range of named) {
      while (asked !== undefined && compareTo(asked.to, range.to) < 0) {
        left.push(asked);
        asked = this.#ranges[++at];
      }
      if (asked === undefined || compareFrom(range, asked) < 0 || range.level >= asked.level) {
        throw badWalk('names a range of a walk out of turn');
      }
      // Answers come in order: what lies before this one is settled.
      asked = range.to === undefined || asked.to === range.to ? undefined : { ...asked, from: range.to };
      if (asked === undefined || compareTo(asked.from, asked.to) === 0) asked = this.#ranges[++at];
    }
    if (asked !== undefined) left.push(asked, ...this.#ranges.slice(at + 1));
    this.#ranges = more ? left : left.filter(({ message }) => message > answered);
  }
}

/**
 * Which messages wait for an answer, on both sides. Each message that lists ranges gets exactly one, in order; what is
 * wanted of a message stands in its answer. While the window is full a side answers, but lists nothing.
 */
export class WalkWindow {
  /** Of ours that wait: how many entries they listed, and how many answers the other side had when it got them. */
  readonly #waiting: { readonly entries: number; readonly answersBefore: number }[] = [];
  #sent = 0;
  #answersSent = 0;
  #received = 0;

  get open(): boolean {
    return this.#waiting.length < WALK_WINDOW_MESSAGES;
  }

  /** Nothing of ours waits. */
  get settled(): boolean {
    return this.#waiting.length === 0;
  }

  /** The number of the last message of ours that was answered; they are counted from 1. */
  get answered(): number {
    return this.#sent - this.#waiting.length;
  }

  /** A message of ours; gives its number. One without ranges has none of its own: it is not answered. */
  sent(ranges: readonly WalkRange[], answers: boolean): number {
    if (answers) this.#answersSent++;
    if (ranges.length === 0) return this.#sent;
    const entries = ranges.reduce((sum, { level, items }) => sum + (level === ENTRY_LEVEL ? items.length : 0), 0);
    this.#waiting.push({ entries, answersBefore: this.#answersSent });
    return ++this.#sent;
  }

  /** @throws {SamerootError} `BAD_MESSAGE` if the message answers what was not asked, or holds back what it could list */
  received({ ranges, wants, more, answers }: MessageOf<'walk'>): void {
    const own = answers ? this.#waiting.shift() : undefined;
    if (answers && own === undefined) throw badWalk('answers a walk message that was not sent');
    if (own === undefined && ranges.length === 0) throw badWalk('sends a walk message of nothing');
    if (wants.length > (own?.entries ?? 0)) throw badWalk('wants entries that were not listed');
    if (ranges.length > 0) this.#received++;
    else if (more && this.#received - own!.answersBefore < WALK_WINDOW_MESSAGES) throw badWalk('holds back a walk');
  }
}

function badWalk(what: string): SamerootError {
  return new SamerootError('BAD_MESSAGE', `the peer ${what}`);
}

/** What one message has room for. Front coding is counted, so the figure is that of the codec, or a little above. */
export class MessageRoom {
  readonly #digestBytes: number;
  #bytes = 0;
  #keyBytes = 0;
  #previous: Uint8Array = EMPTY_BYTES;

  constructor(digestBytes: number) {
    this.#digestBytes = digestBytes;
  }

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
    this.#bytes += this.#digestBytes;
    this.#add(key);
  }

  /** A leaf page, which is listed without its key. */
  leaf(): void {
    this.#bytes += this.#digestBytes;
  }

  #add(key: Uint8Array): void {
    this.#bytes += LENGTHS_BYTES + key.length - sharedPrefixLength(this.#previous, key);
    this.#keyBytes += key.length;
    this.#previous = key;
  }
}
