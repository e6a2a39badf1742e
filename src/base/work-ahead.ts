/**
 * Work on the items of a sequence, several at once, with the results in the order of the items.
 *
 * Invariants: what is under way is bounded, by weight, whatever the length of the sequence. When the caller has the end
 * of it, by an error or because it stops early, nothing is under way any more.
 */
export interface WorkAhead<T, R> {
  readonly weigh: (item: T) => number;
  /** No further item is begun while those under way weigh as much. */
  readonly weightMax: number;
  /** A result that is there at once is given out before the next item is looked at: then nothing is begun ahead. */
  readonly work: (item: T) => R | Promise<R>;
  /** Called when it is over, before what is still under way is waited for: it need not go on. */
  readonly abandon?: () => void;
}

export async function* workAhead<T, R>(items: Iterable<T>, { weigh, weightMax, work, abandon }: WorkAhead<T, R>): AsyncGenerator<R> {
  const source = items[Symbol.iterator]();
  const underWay: { readonly result: R | Promise<R>; readonly weight: number }[] = [];
  let weight = 0;
  let ended = false;
  const isFull = (): boolean => underWay[0] !== undefined && (weight >= weightMax || !(underWay[0].result instanceof Promise));
  try {
    for (;;) {
      while (!ended && !isFull()) {
        const next = source.next();
        ended = next.done === true;
        if (next.done === true) break;
        const begun = { result: work(next.value), weight: weigh(next.value) };
        // What fails is told when its turn comes.
        if (begun.result instanceof Promise) begun.result.catch(() => undefined);
        underWay.push(begun);
        weight += begun.weight;
      }
      const first = underWay[0];
      if (first === undefined) return;
      const result = await first.result;
      underWay.shift();
      weight -= first.weight;
      yield result;
    }
  } finally {
    abandon?.();
    await Promise.allSettled(underWay.map(({ result }) => result));
    if (!ended) source.return?.();
  }
}
