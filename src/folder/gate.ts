/**
 * One at a time: looking at a path and recording what was seen there is one step for whoever does it.
 *
 * Ingest (disk -> replica) holds the gate from its last stat of a path to the end of the commit that records it;
 * materialise (replica -> disk) holds it from reading the placed rows to the end of the commit that rewrites them. So
 * neither ever acts on a row or a file that the other is just changing. Long work (hashing, copying, fetching) is done
 * outside.
 */
export class PathGate {
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /** Steps that run or wait. */
  get busy(): number {
    return this.#waiting;
  }

  /** Runs `step` after all steps that were given before; its result or error is the caller's. Not reentrant. */
  run<T>(step: () => Promise<T>): Promise<T> {
    this.#waiting++;
    const result = this.#last.then(step).finally(() => this.#waiting--);
    this.#last = result.catch(() => undefined);
    return result;
  }
}
