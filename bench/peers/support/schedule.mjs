/**
 * The order of the runs: A B C, A B C, ... Whatever else the machine does, and whatever the disk has left to do from the
 * turn before, falls on all contestants alike; five runs of A and then five of B would compare two moments.
 *
 * @template T
 * @param {readonly T[]} contestants
 * @param {number} runs
 * @returns {Generator<{ run: number, contestant: T }>}
 */
export function* interleaved(contestants, runs) {
  for (let run = 0; run < runs; run++) for (const contestant of contestants) yield { run, contestant };
}
