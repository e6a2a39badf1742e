/**
 * Which bytes of a part were verified in their place since the part was made, as far as this process has seen.
 *
 * Invariant: a range is noted in the part that the bytes went into. So whoever verifies bytes takes this object before he
 * begins: a part that is dropped goes with its object, and what is heard of it afterwards says nothing of a later part of the
 * same name, which begins as one hole. For the same reason nothing here survives the process: a part that an earlier run
 * left is asked what it holds.
 *
 * Which chunk belongs where, the list of the content says, and whoever verified it has looked there.
 */
import { assert } from '../base/assert.ts';
import { NumberRuns } from '../base/number-runs.ts';

export class PartRanges {
  readonly #bytes: number;
  readonly #verified = new NumberRuns();

  /** `bytes`: of the whole content. */
  constructor(bytes: number) {
    assert(bytes > 0, 'a part that is whole from the start would be trusted unseen');
    this.#bytes = bytes;
  }

  /** Of these chunks, those that are `good` are in the part. Neighbours are noted as one range: a frame is mostly one. */
  note(chunks: readonly { readonly fileOffset: number; readonly bytes: number }[], good: readonly boolean[]): void {
    let first = 0;
    let end = 0;
    for (const [index, { fileOffset, bytes }] of chunks.entries()) {
      if (good[index] !== true) continue;
      if (fileOffset !== end) {
        this.#verified.add({ first, count: end - first });
        first = fileOffset;
      }
      end = fileOffset + bytes;
    }
    this.#verified.add({ first, count: end - first });
  }

  /** Every byte of the content was verified. */
  get isWhole(): boolean {
    return this.#verified.has({ first: 0, count: this.#bytes });
  }
}
