/**
 * One at a time: looking at a path and recording what was seen there is one step for whoever does it.
 *
 * Ingest (disk -> replica) holds the gate from its last stat of a path to the end of the commit that records it;
 * materialise (replica -> disk) holds it from reading the placed rows to the end of the commit that rewrites them. So
 * neither ever acts on a row or a file that the other is just changing. Long work (hashing, copying, fetching) is done
 * outside.
 *
 * A step that has changed the disk and could not record it leaves a debt: whoever comes next would act on rows that are not
 * true. So the next step begins with what is owed, and no other step runs until that has been done.
 */
export class PathGate {
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #debt: (() => Promise<void>) | undefined;

  /** Steps that run or wait. */
  get busy(): number {
    return this.#waiting;
  }

  /** Runs `step` after all steps that were given before; its result or error is the caller's. Not reentrant. */
  run<T>(step: () => Promise<T>): Promise<T> {
    this.#waiting++;
    const settled = async (): Promise<T> => {
      await this.#settle();
      return step();
    };
    const result = this.#last.then(settled).finally(() => this.#waiting--);
    this.#last = result.catch(() => undefined);
    return result;
  }

  /** To be called in a step. `debt` may be run several times, until it succeeds. */
  owe(debt: () => Promise<void>): void {
    this.#debt = debt;
  }

  async #settle(): Promise<void> {
    await this.#debt?.();
    this.#debt = undefined;
  }
}
