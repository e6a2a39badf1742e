/**
 * Serves contents and list pages to one peer, in order, reading ahead no further than the socket takes: a slow peer
 * holds at most `UNSENT_BYTES_MAX` of our memory.
 */
import { equalBytes } from '../base/bytes.ts';
import { SamerootError } from '../base/errors.ts';
import { CHUNK_FRAME_BYTES_MAX, MIB, SERVE_QUEUE_MAX } from '../base/limits.ts';
import { contentLevel, listLeaves, type ContentId, type ListLeaf, type ListSource } from '../content/content-list.ts';
import { encodeChunks, encodeMessage } from '../wire/codec.ts';
import type { FetchItem, MessageOf } from '../wire/messages.ts';
import type { Channel } from '../net/transport.ts';
import type { ContentOrigin, ReadChunks } from './contents.ts';

const UNSENT_BYTES_MAX: number = 4 * MIB;
/** Contents of one request that are read at the same time. */
const READS_AHEAD = 16;
/** Internal error: RFC 6455, section 7.4.1. */
const CLOSE_INTERNAL = 1_011;

interface Located {
  readonly item: number;
  readonly firstChunk: number;
  readonly ranges: readonly { readonly offsetBytes: number; readonly bytes: number }[];
}

export class PeerServer {
  readonly #channel: Channel;
  readonly #origin: ContentOrigin;
  readonly #listPage: ListSource;
  readonly #queue: MessageOf<'fetch'>[] = [];
  #lastLeaf: { readonly content: ContentId; readonly leaf: ListLeaf } | undefined;
  #running = false;
  #closed = false;
  #drained: (() => void) | undefined;

  constructor(channel: Channel, origin: ContentOrigin, listPage: ListSource) {
    this.#channel = channel;
    this.#origin = origin;
    this.#listPage = listPage;
    channel.onDrain = () => this.#drained?.();
  }

  close(): void {
    this.#closed = true;
    this.#drained?.();
  }

  listPages(message: MessageOf<'list-pages'>): void {
    const pages = message.hashes.map((hash) => this.#listPage(hash));
    this.#channel.send(encodeMessage({ type: 'list-pages-reply', id: message.id, pages }));
  }

  /** @throws {SamerootError} `LIMIT_EXCEEDED` when a peer asks for more at once than it may */
  fetch(message: MessageOf<'fetch'>): void {
    if (this.#queue.length >= SERVE_QUEUE_MAX) throw new SamerootError('LIMIT_EXCEEDED', 'the peer has too many requests under way');
    this.#queue.push(message);
    if (!this.#running) this.#run().catch(() => this.#channel.close(CLOSE_INTERNAL, 'INTERNAL'));
  }

  async #run(): Promise<void> {
    this.#running = true;
    try {
      for (let message = this.#queue.shift(); message !== undefined && !this.#closed; message = this.#queue.shift())
        await this.#serve(message);
    } finally {
      this.#running = false;
    }
  }

  async #serve(message: MessageOf<'fetch'>): Promise<void> {
    const gone: number[] = [];
    const frame = new FrameBuilder(this.#channel, message.id);
    const reads: { located: Located; read: Promise<ReadChunks | undefined> }[] = [];
    const sendOldest = async (): Promise<void> => {
      const { located, read } = reads.shift()!;
      const { item, firstChunk, ranges } = located;
      const found = await read;
      if (found === undefined || found.chunks.some((bytes, index) => bytes.length !== ranges[index]!.bytes)) gone.push(item);
      else frame.add(item, firstChunk, found);
      while (this.#channel.bufferedBytes > UNSENT_BYTES_MAX && !this.#closed)
        await new Promise<void>((resolve) => (this.#drained = resolve));
    };
    for (const [item, wanted] of message.items.entries()) {
      if (this.#closed) return;
      const located = this.#locate(item, wanted);
      if (located === undefined) gone.push(item);
      else reads.push({ located, read: this.#read(wanted, located) });
      while (reads.length >= READS_AHEAD) await sendOldest();
    }
    while (reads.length > 0) await sendOldest();
    frame.flush();
    this.#channel.send(encodeMessage({ type: 'fetched', id: message.id, gone }));
  }

  #read(wanted: FetchItem, located: Located): Promise<ReadChunks | undefined> {
    return this.#origin.read(wanted.content, located.firstChunk, located.ranges).catch(() => undefined);
  }

  /** Where the chunks lie in the content; undefined if its list is not here or has no such chunks. */
  #locate(item: number, wanted: FetchItem): Located | undefined {
    const { content, firstChunk, chunks, bytes } = wanted;
    if (contentLevel(content) === 0) {
      return firstChunk === 0 && chunks === 1 && bytes <= CHUNK_FRAME_BYTES_MAX
        ? { item, firstChunk, ranges: [{ offsetBytes: 0, bytes }] }
        : undefined;
    }
    const ranges: { offsetBytes: number; bytes: number }[] = [];
    try {
      for (const leaf of this.#leaves(content, firstChunk, chunks)) {
        let offsetBytes = leaf.offsetBytes;
        for (const [index, ref] of leaf.refs.entries()) {
          if (leaf.firstChunk + index >= firstChunk && ranges.length < chunks) ranges.push({ offsetBytes, bytes: ref.bytes });
          offsetBytes += ref.bytes;
        }
        if (ranges.length >= chunks) break;
      }
    } catch {
      return undefined;
    }
    const total = ranges.reduce((sum, range) => sum + range.bytes, 0);
    return ranges.length === chunks && total <= CHUNK_FRAME_BYTES_MAX ? { item, firstChunk, ranges } : undefined;
  }

  /** From the leaf that lists `firstChunk` on. Pieces come in runs: most are in the leaf of the one before. */
  *#leaves(content: ContentId, firstChunk: number, chunks: number): Generator<ListLeaf> {
    const last = this.#lastLeaf;
    if (last !== undefined && equalBytes(last.content, content)) {
      const { leaf } = last;
      if (firstChunk >= leaf.firstChunk && firstChunk + chunks <= leaf.firstChunk + leaf.refs.length) {
        yield leaf;
        return;
      }
    }
    for (const leaf of listLeaves(this.#listPage, content, firstChunk)) {
      // A copy: what was asked for is a view of the whole message.
      this.#lastLeaf = { content: Uint8Array.from(content), leaf };
      yield leaf;
    }
  }
}

/**
 * Packs what was read into frames of up to a megabyte; what was read in one go stays in one frame, and what has a buffer of its
 * own goes alone: together with others it would have to be copied.
 */
class FrameBuilder {
  readonly #channel: Channel;
  readonly #id: number;
  #chunks: { item: number; chunk: number; bytes: Uint8Array }[] = [];
  #bytes = 0;
  /** Before the first chunk. */
  #roomBytes = 0;
  /** Of a frame that has one read. */
  #release: (() => void) | undefined;

  constructor(channel: Channel, id: number) {
    this.#channel = channel;
    this.#id = id;
  }

  add(item: number, firstChunk: number, { chunks, roomBytes, release }: ReadChunks): void {
    const total = chunks.reduce((sum, bytes) => sum + bytes.length, 0);
    if (release !== undefined || this.#bytes + total > CHUNK_FRAME_BYTES_MAX) this.flush();
    if (this.#chunks.length === 0) this.#roomBytes = roomBytes;
    for (const [index, bytes] of chunks.entries()) this.#chunks.push({ item, chunk: firstChunk + index, bytes });
    this.#bytes += total;
    if (release === undefined) return;
    this.#release = release;
    this.flush();
  }

  flush(): void {
    if (this.#chunks.length === 0) return;
    this.#channel.send(encodeChunks(this.#id, this.#chunks, this.#roomBytes), this.#release);
    this.#release = undefined;
    this.#chunks = [];
    this.#bytes = 0;
  }
}
