/**
 * Where on this disk a content or a chunk is: the `k/` rows (content -> paths) and `x/` rows (chunk -> a content that
 * holds it, and where).
 *
 * The row of a content with an empty path names the path that was placed last. It makes the lookup two reads instead of
 * an iterator, and synchronous. It is a hint: whether that path still holds the content is what its own row says.
 * Rows of chunks are hints too: whoever copies a chunk verifies it.
 */
import { asBuffer, byteKey, ByteReader, ByteWriter, EMPTY_BYTES, utf8 } from '../base/bytes.ts';
import { CONTENT_ID_BYTES } from '../base/limits.ts';
import { contentLevel, listLeaves, singleChunk, type ContentId, type ListSource } from '../content/content-list.ts';
import * as keyspace from '../store/keyspace.ts';
import type { Operation, Store } from '../store/store.ts';

/** Paths of one content that are looked at; files of zeros may have thousands. */
const PATHS_MAX = 16;

export interface ChunkPlace {
  readonly path: string;
  readonly offsetBytes: number;
}

/** The row that names `path` as the newest of its content. */
export function newestPathRow(content: ContentId, path: string): Operation {
  return { type: 'put', key: keyspace.contentPathKey(content, EMPTY_BYTES), value: utf8(path) };
}

/** The rows of all chunks of a content; none for a single chunk, whose own id finds it. */
export function* chunkPlaceRows(source: ListSource, content: ContentId): Generator<Operation> {
  if (contentLevel(content) === 0) return;
  for (const leaf of listLeaves(source, content)) {
    let offset = leaf.offsetBytes;
    for (const { hash, bytes } of leaf.refs) {
      yield {
        type: 'put',
        key: keyspace.chunkPlaceKey(hash),
        value: new ByteWriter(CONTENT_ID_BYTES + 8).raw(content).varint(offset).finish(),
      };
      offset += bytes;
    }
  }
}

export class ContentIndex {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  /** A file of the folder, or of its trash, holds this content. May miss one that `paths` finds. */
  holds(content: ContentId): boolean {
    return this.path(content) !== undefined;
  }

  /** A path that holds this content. */
  path(content: ContentId): string | undefined {
    const newest = this.#store.get(keyspace.contentPathKey(content, EMPTY_BYTES));
    if (newest === undefined || newest.length === 0) return undefined;
    return this.#store.get(keyspace.contentPathKey(content, newest)) === undefined ? undefined : asBuffer(newest).toString('utf8');
  }

  /** The paths that hold this content, as far as is known. What is found makes `path` right again. */
  async paths(content: ContentId): Promise<string[]> {
    const found: string[] = [];
    for await (const rows of this.#store.iterate({ ...keyspace.contentPathRange(content), limit: PATHS_MAX + 1 })) {
      for (const [key] of rows) {
        const path = keyspace.pathOfContentPathKey(key);
        if (path.length > 0) found.push(asBuffer(path).toString('utf8'));
      }
    }
    if (found[0] !== undefined && this.path(content) === undefined) {
      await this.#store.write([newestPathRow(content, found[0])], { durable: false });
    }
    return found;
  }

  /** Where chunks may be found on this disk; the reader verifies them. Neighbours are mostly in one content: its path is looked up once. */
  localChunks(hashes: readonly Uint8Array[]): (ChunkPlace | undefined)[] {
    const paths = new Map<string, string | undefined>();
    return hashes.map((hash) => {
      const row = this.#store.get(keyspace.chunkPlaceKey(hash));
      return (row && this.#within(row, paths)) ?? this.#whole(hash);
    });
  }

  #within(row: Uint8Array, paths: Map<string, string | undefined>): ChunkPlace | undefined {
    const reader = new ByteReader(row);
    const content = reader.raw(CONTENT_ID_BYTES);
    const id = byteKey(content);
    if (!paths.has(id)) paths.set(id, this.path(content));
    const path = paths.get(id);
    return path === undefined ? undefined : { path, offsetBytes: reader.varint() };
  }

  #whole(hash: Uint8Array): ChunkPlace | undefined {
    const path = this.path(singleChunk(hash));
    return path === undefined ? undefined : { path, offsetBytes: 0 };
  }
}
