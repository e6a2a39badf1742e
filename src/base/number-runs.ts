/**
 * A set of whole numbers, as runs: what is here of a content that is still on its way, be it chunks or bytes.
 *
 * Invariant: the runs are in order and not empty, and neither overlap nor touch. So the set is as long as it has gaps, however
 * many pieces it was put together from.
 */
export interface NumberRun {
  readonly first: number;
  readonly count: number;
}

export class NumberRuns {
  /** Where runs begin and where they end (exclusive), in turn. */
  readonly #borders: number[] = [];

  /** How many runs. */
  get size(): number {
    return this.#borders.length / 2;
  }

  get runs(): NumberRun[] {
    const runs: NumberRun[] = [];
    for (let at = 0; at < this.#borders.length; at += 2)
      runs.push({ first: this.#borders[at]!, count: this.#borders[at + 1]! - this.#borders[at]! });
    return runs;
  }

  add({ first, count }: NumberRun): void {
    if (count === 0) return;
    // A border that is met exactly belongs to a run that touches: it goes, and the two are one.
    const from = this.#bordersBelow(first);
    const to = this.#bordersBelow(first + count + 1);
    const borders = [...(isInside(from) ? [] : [first]), ...(isInside(to) ? [] : [first + count])];
    this.#borders.splice(from, to - from, ...borders);
  }

  /** All of them. */
  has({ first, count }: NumberRun): boolean {
    const after = this.#bordersBelow(first + 1);
    return count === 0 || (isInside(after) && first + count <= this.#borders[after]!);
  }

  /** How many borders are less than `number`. */
  #bordersBelow(number: number): number {
    let low = 0;
    let high = this.#borders.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#borders[middle]! < number) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Behind an odd number of borders one is in a run. */
function isInside(bordersBefore: number): boolean {
  return bordersBefore % 2 === 1;
}
