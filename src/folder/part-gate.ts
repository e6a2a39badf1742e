/**
 * Who is at a part. Chunks are copied into it by any thread, several at once; the write thread makes it a file with a
 * whole name, which may be moved into the folder at once, or drops it.
 *
 * Invariant: while a part is finished or dropped, nobody else has it open. A copy that was late would write into a file
 * that is its user's by then.
 */
interface Part {
  /** Everybody who is in one of the methods. */
  visitors: number;
  /** Of these, those that use it, and those that end it or wait to. */
  users: number;
  enders: number;
  /** One of them is at it: the kernel tells of a lost write once, so a second flush beside a failed one would know nothing. */
  ending: boolean;
  waiting: (() => void)[];
}

export class PartGate {
  readonly #parts = new Map<string, Part>();

  /** Together with other users; after those that end it. */
  async use<T>(name: string, run: () => Promise<T>): Promise<T> {
    const part = this.#enter(name);
    try {
      while (part.enders > 0) await changeOf(part);
      part.users++;
      try {
        return await run();
      } finally {
        part.users--;
      }
    } finally {
      this.#leave(name, part);
    }
  }

  /** When those that use one of these are through; who comes later waits. */
  async end<T>(names: readonly string[], run: () => Promise<T>): Promise<T> {
    const parts = names.map((name) => [name, this.#enter(name)] as const);
    for (const [, part] of parts) part.enders++;
    try {
      // All at once: two that end the same ones would wait for each other.
      for (let busy = busyOne(parts); busy !== undefined; busy = busyOne(parts)) await changeOf(busy);
      for (const [, part] of parts) part.ending = true;
      try {
        return await run();
      } finally {
        for (const [, part] of parts) part.ending = false;
      }
    } finally {
      for (const [name, part] of parts) {
        part.enders--;
        this.#leave(name, part);
      }
    }
  }

  #enter(name: string): Part {
    const part = this.#parts.get(name) ?? { visitors: 0, users: 0, enders: 0, ending: false, waiting: [] };
    part.visitors++;
    this.#parts.set(name, part);
    return part;
  }

  #leave(name: string, part: Part): void {
    if (--part.visitors === 0) this.#parts.delete(name);
    for (const wake of part.waiting.splice(0)) wake();
  }
}

function busyOne(parts: readonly (readonly [name: string, part: Part])[]): Part | undefined {
  return parts.find(([, { users, ending }]) => users > 0 || ending)?.[1];
}

function changeOf(part: Part): Promise<void> {
  return new Promise((resolve) => part.waiting.push(resolve));
}
