/**
 * Which keys have concurrent versions. Counted once in the background, then kept by following the commits. Each slice of
 * the count reads the head of its moment: what was committed meanwhile is never overwritten with what was before, and no
 * old tree has to be kept from the garbage collection.
 */
import { byteKey, EMPTY_BYTES } from '../base/bytes.ts';
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
    let from: Uint8Array | undefined = EMPTY_BYTES;
    while (from !== undefined && !this.#stopped) {
      from = this.#countSlice(from);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** The last key of a full slice, where the next one begins; undefined at the end. */
  #countSlice(from: Uint8Array): Uint8Array | undefined {
    let inSlice = 0;
    for (const { key, value } of walk(this.#replica.reader, this.#replica.head.tree, { from })) {
      this.#look(key, decodeEntry(value));
      if (++inSlice >= SLICE) return key;
    }
    return undefined;
  }

  #look(key: Uint8Array, entry: ReturnType<Replica['entry']>): void {
    const id = byteKey(key);
    if (!isMemberKey(key) && view(entry).others.length > 0) this.#keys.add(id);
    else this.#keys.delete(id);
  }
}
