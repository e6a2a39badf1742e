/** Which keys have concurrent versions. Counted once in the background, then kept by following the commits. */
import { byteKey } from '../base/bytes.ts';
import { decodeEntry } from '../entry/entry-codec.ts';
import { view } from '../entry/view.ts';
import type { Replica } from '../replica/replica.ts';
import { walk } from '../tree/walk.ts';
import { isMemberKey } from './members.ts';

const SLICE = 2_000;

export class Conflicts {
  readonly #replica: Replica;
  readonly #keys = new Set<string>();
  readonly #stop: () => void;
  #stopped = false;

  constructor(replica: Replica) {
    this.#replica = replica;
    this.#stop = replica.onCommit((commit) => {
      for (const { key } of commit.keys) this.#look(key, replica.entry(key));
    });
    void this.#count();
  }

  get size(): number {
    return this.#keys.size;
  }

  close(): void {
    this.#stopped = true;
    this.#stop();
  }

  async #count(): Promise<void> {
    let inSlice = 0;
    for (const { key, value } of walk(this.#replica.reader, this.#replica.head.tree)) {
      this.#look(key, decodeEntry(value));
      if (++inSlice < SLICE) continue;
      inSlice = 0;
      await new Promise((resolve) => setImmediate(resolve));
      if (this.#stopped) return;
    }
  }

  #look(key: Uint8Array, entry: ReturnType<Replica['entry']>): void {
    const id = byteKey(key);
    if (!isMemberKey(key) && view(entry).others.length > 0) this.#keys.add(id);
    else this.#keys.delete(id);
  }
}
