/**
 * What is written and sent while this host is measured: bytes that do not compress, cut into chunks as a share cuts its
 * files.
 *
 * A large content is one random block again and again. Nothing on the way looks for repetition that far apart, and making
 * a gigabyte of chance would take longer than to measure with it.
 */
import { CHUNK_FRAME_BYTES_MAX, KIB, MIB } from '../../base/limits.ts';
import type { Random } from '../../base/world.ts';
import { makeGear, nextCut, type ChunkerParameters, type Gear } from '../../content/chunker.ts';
import { ContentListBuilder, singleChunk, type ContentId } from '../../content/content-list.ts';
import { hash } from '../../content/hash.ts';
import type { Share } from '../../replica/share.ts';

const BLOCK_BYTES: number = 16 * MIB;
export const SMALL_FILE_BYTES: number = 4 * KIB;

interface Chunk {
  readonly hash: Uint8Array;
  readonly start: number;
  readonly bytes: number;
}

/** Chunks in one message, as a peer would send them. */
export interface Frame {
  readonly bytes: Uint8Array;
  readonly items: readonly { readonly hash: Uint8Array; readonly offset: number; readonly bytes: number; readonly fileOffset: number }[];
}

export interface LargeContent {
  readonly id: ContentId;
  readonly bytes: number;
  readonly listPages: readonly { readonly hash: Uint8Array; readonly page: Uint8Array }[];
}

export interface SmallContents {
  readonly ids: readonly ContentId[];
  readonly frames: readonly Frame[];
}

export class Payload {
  readonly block: Buffer;
  readonly gear: Gear;
  readonly chunker: ChunkerParameters;
  readonly #chunks: readonly Chunk[];
  #serial = 0;

  constructor(share: Share, random: Random) {
    this.block = Buffer.from(random.bytes(BLOCK_BYTES));
    this.gear = makeGear(share.id);
    this.chunker = share.chunker;
    this.#chunks = [...this.#cut()];
  }

  *#cut(): Generator<Chunk> {
    const { block } = this;
    for (let start = 0; start < block.length;) {
      const end = nextCut(this.gear, this.chunker, block, start, block.length, true)!;
      yield { hash: hash('chunk', block.subarray(start, end)), start, bytes: end - start };
      start = end;
    }
  }

  /** The chunks of a content of at least `bytes`: it ends with a whole chunk. */
  *#chunksOf(bytes: number): Generator<Chunk> {
    for (let done = 0, at = 0; done < bytes; at++) {
      const chunk = this.#chunks[at % this.#chunks.length]!;
      yield chunk;
      done += chunk.bytes;
    }
  }

  large(bytes: number): LargeContent {
    const listPages: { hash: Uint8Array; page: Uint8Array }[] = [];
    const builder = new ContentListBuilder((pageHash, page) =>
      listPages.push({ hash: Uint8Array.from(pageHash), page: Uint8Array.from(page) }),
    );
    for (const chunk of this.#chunksOf(bytes)) builder.add(chunk);
    const made = builder.finish();
    return { id: made.id, bytes: made.bytes, listPages };
  }

  /** Each in memory of its own, which may be moved to a thread. */
  *largeFrames(bytes: number): Generator<Frame> {
    let group: Chunk[] = [];
    let groupBytes = 0;
    let fileOffset = 0;
    for (const chunk of this.#chunksOf(bytes)) {
      if (groupBytes + chunk.bytes > CHUNK_FRAME_BYTES_MAX) {
        yield this.#frame(group, fileOffset);
        fileOffset += groupBytes;
        group = [];
        groupBytes = 0;
      }
      group.push(chunk);
      groupBytes += chunk.bytes;
    }
    if (group.length > 0) yield this.#frame(group, fileOffset);
  }

  #frame(chunks: readonly Chunk[], fileOffset: number): Frame {
    const bytes = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.bytes, 0));
    let offset = 0;
    const items = chunks.map((chunk) => {
      bytes.set(this.block.subarray(chunk.start, chunk.start + chunk.bytes), offset);
      const item = { hash: chunk.hash, offset, bytes: chunk.bytes, fileOffset: fileOffset + offset };
      offset += chunk.bytes;
      return item;
    });
    return { bytes, items };
  }

  /** Files of SMALL_FILE_BYTES, no two of them alike, in frames. */
  small(files: number): SmallContents {
    const ids: ContentId[] = [];
    const frames: Frame[] = [];
    const filesPerFrame = CHUNK_FRAME_BYTES_MAX / SMALL_FILE_BYTES;
    for (let left = files; left > 0; left -= filesPerFrame) {
      const bytes = new Uint8Array(Math.min(left, filesPerFrame) * SMALL_FILE_BYTES);
      bytes.set(this.block.subarray(0, bytes.length));
      const items: { hash: Uint8Array; offset: number; bytes: number; fileOffset: number }[] = [];
      for (let offset = 0; offset < bytes.length; offset += SMALL_FILE_BYTES) {
        const file = bytes.subarray(offset, offset + SMALL_FILE_BYTES);
        new DataView(bytes.buffer).setUint32(offset, ++this.#serial);
        const fileHash = hash('chunk', file);
        ids.push(singleChunk(fileHash));
        items.push({ hash: fileHash, offset, bytes: file.length, fileOffset: 0 });
      }
      frames.push({ bytes, items });
    }
    return { ids, frames };
  }
}
