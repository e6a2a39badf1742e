/**
 * Where content bytes are kept on this host: files of the shared folder (staged first, then placed), or the chunk store
 * for large record values. The fetcher, the server and the intake see one interface.
 */
import type { ContentId } from '../content/content-list.ts';
import type { EntryItem, InlineChunk } from '../wire/messages.ts';

/** A chunk and where it goes in its content. */
export interface ChunkInPart {
  readonly hash: Uint8Array;
  readonly bytes: number;
  readonly fileOffset: number;
}

export interface ChunkInFrame extends ChunkInPart {
  /** Where its bytes start in the frame. */
  readonly offset: number;
}

export interface LocalCopy extends ChunkInPart {
  readonly path: string;
  readonly sourceOffset: number;
}

/** Takes contents in. Results tell chunk by chunk what was verified and written. */
export interface ContentTarget {
  /** Chunks of a content that is not whole yet can be read. */
  readonly servesParts: boolean;
  /** True: an earlier attempt may have left bytes, `present` tells which. */
  begin(content: ContentId, bytes: number): Promise<boolean>;
  /** Several calls for different chunks at once, as with `copy`. */
  present(content: ContentId, chunks: readonly ChunkInPart[]): Promise<readonly boolean[]>;
  write(content: ContentId, frame: Uint8Array, chunks: readonly ChunkInFrame[]): Promise<readonly boolean[]>;
  /** Whole single-chunk contents, many in one frame. */
  writeWhole(frame: Uint8Array, chunks: readonly ChunkInFrame[]): Promise<readonly boolean[]>;
  copy(content: ContentId, copies: readonly LocalCopy[]): Promise<readonly boolean[]>;
  /** Where this host has the chunks already, as far as the index knows; the copy verifies them. */
  localChunks(hashes: readonly Uint8Array[]): readonly ({ readonly path: string; readonly offsetBytes: number } | undefined)[];
}

/** Chunks that were read, in the order in which they were asked for. */
export interface ReadChunks {
  readonly chunks: readonly Uint8Array[];
  /** Bytes right before the first that nobody uses: room for the head of the frame in which they go out. */
  readonly roomBytes: number;
  /** Gives the memory back for later reads, when nobody needs the chunks any more. Nothing is wrong where it is not called. */
  readonly release?: (() => void) | undefined;
}

/** Gives contents out. */
export interface ContentOrigin {
  /** Chunks from number `firstChunk` on. `undefined`: not held (any more, or yet). */
  read(
    content: ContentId,
    firstChunk: number,
    wanted: readonly { readonly offsetBytes: number; readonly bytes: number }[],
  ): Promise<ReadChunks | undefined>;
}

export type InlineSource = (item: EntryItem) => InlineChunk | undefined;
