/** What the tests of the node's parts share: identities, contents, and fakes of the small ports. */
import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { byteKey, equalBytes, toHex } from '../../src/base/bytes.ts';
import { SHARE_CHUNK_BYTES_MIN } from '../../src/base/limits.ts';
import { ContentListBuilder, listLeaves, singleChunk, contentHash, contentLevel, type ContentId } from '../../src/content/content-list.ts';
import { hash } from '../../src/content/hash.ts';
import type { Identity } from '../../src/net/identity.ts';
import type { Channel, CloseReason } from '../../src/net/transport.ts';
import type { ChunkInFrame, ContentTarget, LocalCopy } from '../../src/node/contents.ts';

export function makeIdentity(): Identity {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const spki = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }));
  const nodeId = createHash('sha256').update(spki).digest('hex');
  return { nodeId, publicKey: spki, sign: (bytes) => new Uint8Array(sign(null, bytes, privateKey)) };
}

export interface TestContent {
  readonly id: ContentId;
  readonly bytes: number;
  readonly chunks: readonly Uint8Array[];
  /** List pages by `byteKey` of their hash. */
  readonly pages: ReadonlyMap<string, Uint8Array>;
}

export function contentOf(chunks: readonly Uint8Array[]): TestContent {
  const pages = new Map<string, Uint8Array>();
  const builder = new ContentListBuilder((pageHash, page) => pages.set(byteKey(pageHash), page));
  for (const chunk of chunks) builder.add({ hash: hash('chunk', chunk), bytes: chunk.length });
  const { id, bytes } = builder.finish();
  return { id, bytes, chunks, pages };
}

/** `count` different chunks of `bytes` bytes, by default as few as a share may have; other seeds give other chunks. */
export function makeContent(seed: number, count: number, bytes: number = SHARE_CHUNK_BYTES_MIN): TestContent {
  return contentOf(
    Array.from({ length: count }, (_, index) => {
      const chunk = Buffer.alloc(bytes, seed);
      chunk.writeUInt32BE(index, 0);
      chunk.writeUInt32BE(seed, 4);
      return chunk;
    }),
  );
}

/** Keeps chunks in memory, verified like a disk would. */
export class FakeTarget implements ContentTarget {
  readonly servesParts = true;
  /** Content (hex) -> offset -> chunk. */
  readonly parts = new Map<string, Map<number, Uint8Array>>();
  readonly log: string[] = [];
  /** Chunk (hex) -> where this host seems to have it. */
  readonly local = new Map<string, Uint8Array>();
  /** Local copies whose bytes turn out to be others. */
  readonly staleLocal = new Set<string>();
  looked = 0;
  bytesWritten = 0;
  /** Of all frames that were given to it. */
  bytesGiven = 0;
  /** Waited for before each write. */
  gate: () => Promise<void> = () => Promise.resolve();

  part(content: ContentId): Map<number, Uint8Array> {
    const id = toHex(content);
    const part = this.parts.get(id) ?? new Map<number, Uint8Array>();
    this.parts.set(id, part);
    return part;
  }

  /** Every byte of the content is here, in its place. */
  isWhole(content: TestContent): boolean {
    const part = this.parts.get(toHex(content.id)) ?? new Map<number, Uint8Array>();
    let offset = 0;
    return content.chunks.every((chunk) => {
      const here = part.get(offset);
      offset += chunk.length;
      return here !== undefined && equalBytes(here, chunk);
    });
  }

  begin(content: ContentId): Promise<boolean> {
    this.log.push('begin');
    return Promise.resolve(this.parts.has(toHex(content)));
  }

  present(content: ContentId, chunks: readonly { readonly fileOffset: number }[]): Promise<readonly boolean[]> {
    return Promise.resolve(chunks.map(({ fileOffset }) => this.part(content).has(fileOffset)));
  }

  async write(content: ContentId, frame: Uint8Array, chunks: readonly ChunkInFrame[]): Promise<readonly boolean[]> {
    await this.gate();
    this.bytesGiven += frame.length;
    this.log.push(`write ${chunks.length}`);
    return chunks.map((chunk) => this.#take(content, frame, chunk));
  }

  async writeWhole(frame: Uint8Array, chunks: readonly ChunkInFrame[]): Promise<readonly boolean[]> {
    await this.gate();
    this.log.push(`whole ${chunks.length}`);
    return chunks.map((chunk) => this.#take(singleChunk(chunk.hash), frame, chunk));
  }

  #take(content: ContentId, frame: Uint8Array, { hash: wanted, offset, bytes, fileOffset }: ChunkInFrame): boolean {
    const chunk = Uint8Array.from(frame.subarray(offset, offset + bytes));
    if (!equalBytes(hash('chunk', chunk), wanted)) return false;
    this.part(content).set(fileOffset, chunk);
    this.bytesWritten += bytes;
    return true;
  }

  copy(content: ContentId, copies: readonly LocalCopy[]): Promise<readonly boolean[]> {
    this.log.push(`copy ${copies.length}`);
    return Promise.resolve(
      copies.map((copy) => {
        const id = toHex(copy.hash);
        if (this.staleLocal.has(id)) return false;
        this.part(content).set(copy.fileOffset, this.local.get(id)!);
        return true;
      }),
    );
  }

  localChunks(hashes: readonly Uint8Array[]): ({ readonly path: string; readonly offsetBytes: number } | undefined)[] {
    this.looked += hashes.length;
    return hashes.map((chunkHash) => (this.local.has(toHex(chunkHash)) ? { path: 'here', offsetBytes: 0 } : undefined));
  }
}

/** Every chunk hash that a content names. */
export function chunkHashes(content: TestContent): Uint8Array[] {
  if (contentLevel(content.id) === 0) return [contentHash(content.id)];
  return [...listLeaves((pageHash) => content.pages.get(byteKey(pageHash)), content.id)].flatMap(({ refs }) =>
    refs.map(({ hash }) => hash),
  );
}

/** A channel that only remembers. */
export class FakeChannel implements Channel {
  readonly remoteId: string | undefined;
  readonly remoteAddress = '127.0.0.1:1';
  readonly dialed: boolean = false;
  readonly sent: Uint8Array[] = [];
  /** To be called when the operating system has taken a message; nothing here does so. */
  readonly taken: (() => void)[] = [];
  readonly closed: { code: number | undefined; text: string | undefined }[] = [];
  readonly #exporter: Uint8Array;
  bufferedBytes = 0;
  onMessage: ((message: Uint8Array) => void) | undefined;
  onClose: ((reason: CloseReason) => void) | undefined;
  onDrain: (() => void) | undefined;
  readonly sentBytes = 0;
  readonly receivedBytes = 0;
  readonly wireSentBytes = 0;
  readonly wireReceivedBytes = 0;

  constructor(remoteId?: string, exporter: Uint8Array = new Uint8Array(32)) {
    this.remoteId = remoteId;
    this.#exporter = exporter;
  }

  exporter(): Uint8Array {
    return this.#exporter;
  }

  send(message: Uint8Array, taken?: () => void): void {
    this.sent.push(message);
    if (taken !== undefined) this.taken.push(taken);
  }

  close(code?: number, text?: string): void {
    this.closed.push({ code, text });
  }
}

/** A promise and its ends. */
export class Deferred<T = void> {
  readonly promise: Promise<T>;
  resolve!: (value: T) => void;
  reject!: (error: unknown) => void;

  constructor() {
    this.promise = new Promise<T>((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }
}

/** Waits until it holds; a test whose condition never does runs into its time limit. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}
