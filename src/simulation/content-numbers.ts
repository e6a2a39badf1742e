/** Which write has these bytes: from a content id to the number of the write, for a share's way of cutting. */
import { toHex } from '../base/bytes.ts';
import { makeGear, nextCut } from '../content/chunker.ts';
import { ContentListBuilder } from '../content/content-list.ts';
import { hash } from '../content/hash.ts';
import type { Share } from '../replica/share.ts';

export class ContentNumbers {
  /** The bytes of every write, by its number; grows while the simulation runs. */
  readonly #contents: readonly Uint8Array[];
  readonly #numbers = new Map<string, number>();
  #done = 0;

  constructor(contents: readonly Uint8Array[]) {
    this.#contents = contents;
  }

  /** `content`: hex. One simulation has one share. */
  numberOf(content: string, share: Share): number | undefined {
    for (; this.#done < this.#contents.length; this.#done++) this.#numbers.set(contentIdOf(this.#contents[this.#done]!, share), this.#done);
    return this.#numbers.get(content);
  }
}

function contentIdOf(bytes: Uint8Array, share: Share): string {
  const builder = new ContentListBuilder(() => undefined);
  const gear = makeGear(share.id);
  for (let start = 0; start < bytes.length;) {
    const end = nextCut(gear, share.chunker, bytes, start, bytes.length, true)!;
    builder.add({ hash: hash('chunk', bytes.subarray(start, end)), bytes: end - start });
    start = end;
  }
  return toHex(builder.finish().id);
}
