/** Takes the chunks of large record values into the chunk store. */
import { equalBytes } from '../base/bytes.ts';
import type { ContentId } from '../content/content-list.ts';
import { hash } from '../content/hash.ts';
import type { ChunkStore } from '../store/chunk-store.ts';
import type { Store } from '../store/store.ts';
import type { ChunkInFrame, ContentTarget, LocalCopy } from './contents.ts';

export class BlobTarget implements ContentTarget {
  readonly servesParts = false;
  readonly #store: Store;
  readonly #chunks: ChunkStore;

  constructor(store: Store, chunks: ChunkStore) {
    this.#store = store;
    this.#chunks = chunks;
  }

  begin(): Promise<boolean> {
    return Promise.resolve(true);
  }

  present(_content: ContentId, chunks: readonly { readonly hash: Uint8Array }[]): Promise<readonly boolean[]> {
    return Promise.resolve(chunks.map((chunk) => this.#chunks.has(chunk.hash)));
  }

  write(_content: ContentId, frame: Uint8Array, chunks: readonly ChunkInFrame[]): Promise<readonly boolean[]> {
    return this.writeWhole(frame, chunks);
  }

  /** Durable at once: `finish` has nothing left to do for blobs. */
  async writeWhole(frame: Uint8Array, chunks: readonly ChunkInFrame[]): Promise<readonly boolean[]> {
    const sound = chunks.map(({ hash: wanted, offset, bytes }) =>
      equalBytes(hash('chunk', frame.subarray(offset, offset + bytes)), wanted),
    );
    const operations = chunks.flatMap(({ hash: wanted, offset, bytes }, index) =>
      sound[index] === true && !this.#chunks.has(wanted) ? this.#chunks.operations(wanted, frame.subarray(offset, offset + bytes)) : [],
    );
    if (operations.length > 0) await this.#store.write(operations, { durable: true });
    return sound;
  }

  /** Never asked: `localChunks` offers nothing. */
  copy(_content: ContentId, copies: readonly LocalCopy[]): Promise<readonly boolean[]> {
    return Promise.resolve(copies.map(() => false));
  }

  localChunks(hashes: readonly Uint8Array[]): undefined[] {
    return hashes.map(() => undefined);
  }
}
