/**
 * Records: values under `r/` keys, beside the files and under the same root. Small values live in the entry; larger
 * ones are chunked into the chunk store, in the same atomic batch as the entry that names them.
 *
 * The ETag is the causal context that a reader has seen: the dots of all versions at the key. A write that carries it
 * replaces exactly those; a concurrent write stays beside it as a sibling.
 */
import { concatBytes, fromUtf8, toHex, utf8 } from '../base/bytes.ts';
import { SamerootError } from '../base/errors.ts';
import { KIB, RECORD_BYTES_MAX, RECORD_INLINE_BYTES_MAX, RECORD_KEY_BYTES_MAX } from '../base/limits.ts';
import { makeGear, nextCut, type Gear } from '../content/chunker.ts';
import {
  contentHash,
  contentLevel,
  ContentListBuilder,
  EMPTY_CONTENT,
  listLeaves,
  type ContentId,
  type ListSource,
} from '../content/content-list.ts';
import { hash } from '../content/hash.ts';
import { write, type Dot, type Entry, type Value } from '../entry/entry.ts';
import { view } from '../entry/view.ts';
import type { Mutation, Replica } from '../replica/replica.ts';
import type { ChunkStore } from '../store/chunk-store.ts';
import * as keyspace from '../store/keyspace.ts';
import type { Operation } from '../store/store.ts';
import type { RecordValue } from './node-api.ts';
import { dotText } from './versions.ts';

const PREFIX = utf8('r/');
const WRITE_AHEAD_BYTES: number = 4 * KIB * KIB;

/** @throws {SamerootError} `KEY_INVALID` */
export function recordKey(name: string): Uint8Array {
  const bytes = utf8(name);
  if (bytes.length === 0 || bytes.length > RECORD_KEY_BYTES_MAX || name.includes('\0')) {
    throw new SamerootError('KEY_INVALID', `the key has ${bytes.length} bytes or a NUL`);
  }
  return concatBytes(PREFIX, bytes);
}

export function isRecordKey(key: Uint8Array): boolean {
  const name = key.subarray(PREFIX.length);
  if (key[0] !== PREFIX[0] || key[1] !== PREFIX[1] || name.length === 0 || name.length > RECORD_KEY_BYTES_MAX) return false;
  return !name.includes(0) && fromUtf8(name) !== undefined;
}

export class Records {
  readonly #replica: Replica;
  readonly #chunks: ChunkStore;
  readonly #gear: Gear;
  readonly #listPage: ListSource;

  constructor(replica: Replica, chunks: ChunkStore) {
    this.#replica = replica;
    this.#chunks = chunks;
    this.#gear = makeGear(replica.share.id);
    this.#listPage = (pageHash) => replica.store.get(keyspace.listPageKey(pageHash));
  }

  get(name: string): RecordValue | undefined {
    const entry = this.#replica.entry(recordKey(name));
    const { winner, others } = view(entry);
    if (entry === undefined || winner === undefined) return undefined;
    return {
      etag: etagOf(entry),
      value: this.#bytesOf(winner.version.value),
      siblings: others.map(({ version }) => this.#bytesOf(version.value)),
    };
  }

  /** @throws {SamerootError} `RECORD_TOO_LARGE`, `STALE_WRITE`, `KEY_INVALID` */
  async put(name: string, bytes: Uint8Array, ifMatch: string | undefined): Promise<string> {
    if (bytes.length > RECORD_BYTES_MAX)
      throw new SamerootError('RECORD_TOO_LARGE', `the value has ${bytes.length} bytes, the limit is ${RECORD_BYTES_MAX}`);
    const key = recordKey(name);
    const { value, rows } = await this.#store(bytes);
    return etagOf(await this.#write(key, value, rows, ifMatch));
  }

  /** False: there was nothing. */
  async remove(name: string, ifMatch: string | undefined): Promise<boolean> {
    const key = recordKey(name);
    if (view(this.#replica.entry(key)).winner === undefined) return false;
    await this.#write(key, { kind: 'deleted' }, [], ifMatch);
    return true;
  }

  /** The bytes of a content in the chunk store, if all of it is there. */
  read(content: ContentId, wanted: readonly { readonly offsetBytes: number; readonly bytes: number }[]): Uint8Array[] | undefined {
    if (contentLevel(content) === 0) {
      const chunk = this.#chunks.get(contentHash(content));
      return chunk === undefined ? undefined : wanted.map(() => chunk);
    }
    const result: Uint8Array[] = [];
    const offsets = new Map(wanted.map(({ offsetBytes }, index) => [offsetBytes, index]));
    let left = wanted.length;
    for (const leaf of listLeaves(this.#listPage, content)) {
      let offset = leaf.offsetBytes;
      for (const ref of leaf.refs) {
        const index = offsets.get(offset);
        offset += ref.bytes;
        if (index === undefined) continue;
        const chunk = this.#chunks.get(ref.hash);
        if (chunk === undefined) return undefined;
        result[index] = chunk;
        left--;
      }
      if (left === 0) return result;
    }
    return undefined;
  }

  /** Are all chunks of the content in the chunk store? */
  holds(content: ContentId): boolean {
    if (contentLevel(content) === 0) return this.#chunks.has(contentHash(content));
    try {
      for (const leaf of listLeaves(this.#listPage, content)) if (!leaf.refs.every((ref) => this.#chunks.has(ref.hash))) return false;
      return true;
    } catch {
      return false;
    }
  }

  /** The entry as this write left it. Another write in the same commit may have replaced it since: its author has not seen that. */
  async #write(key: Uint8Array, value: Value, rows: readonly Operation[], ifMatch: string | undefined): Promise<Entry> {
    let written: Entry | undefined;
    const mutation: Mutation = {
      key,
      next: (current, author) => {
        written = matches(current, ifMatch) ? write(current, dotsOf(current), author.dot(), author.stamp(), value) : undefined;
        return written ?? current;
      },
      rows: () => (written === undefined ? [] : rows),
    };
    await this.#replica.commit([mutation]);
    if (written === undefined) throw new SamerootError('STALE_WRITE', 'the record was changed since it was read');
    return written;
  }

  /** The value for the entry, and the rows that hold its bytes if they are too many for the entry. */
  async #store(bytes: Uint8Array): Promise<{ value: Value; rows: Operation[] }> {
    if (bytes.length <= RECORD_INLINE_BYTES_MAX) return { value: { kind: 'record', data: Uint8Array.from(bytes) }, rows: [] };
    let rows: Operation[] = [];
    let ahead = 0;
    const builder = new ContentListBuilder((pageHash, page) =>
      rows.push({ type: 'put', key: keyspace.listPageKey(pageHash), value: page }),
    );
    for (let start = 0; start < bytes.length;) {
      const end = nextCut(this.#gear, this.#replica.share.chunker, bytes, start, bytes.length, true)!;
      const chunk = bytes.subarray(start, end);
      const chunkHash = hash('chunk', chunk);
      builder.add({ hash: chunkHash, bytes: chunk.length });
      if (!this.#chunks.has(chunkHash)) rows.push(...this.#chunks.operations(chunkHash, chunk));
      ahead += chunk.length;
      start = end;
      if (ahead < WRITE_AHEAD_BYTES) continue;
      await this.#replica.store.write(rows, { durable: true });
      rows = [];
      ahead = 0;
    }
    return { value: { kind: 'blob', content: builder.finish().id, bytes: bytes.length }, rows };
  }

  #bytesOf(value: Value): Uint8Array {
    if (value.kind === 'record') return value.data;
    if (value.kind !== 'blob') return new Uint8Array(0);
    if (Buffer.compare(value.content, EMPTY_CONTENT) === 0) return new Uint8Array(0);
    if (contentLevel(value.content) === 0) return this.#chunk(contentHash(value.content));
    const parts: Uint8Array[] = [];
    for (const leaf of listLeaves(this.#listPage, value.content)) for (const ref of leaf.refs) parts.push(this.#chunk(ref.hash));
    return concatBytes(...parts);
  }

  #chunk(chunkHash: Uint8Array): Uint8Array {
    const chunk = this.#chunks.get(chunkHash);
    if (chunk === undefined)
      throw new SamerootError('CONTENT_MISSING', `chunk ${toHex(chunkHash).slice(0, 16)} of a record is not in the store`);
    return chunk;
  }
}

export function dotsOf(entry: Entry | undefined): Dot[] {
  return (entry?.versions ?? []).map(({ dot }) => dot);
}

export function etagOf(entry: Entry): string {
  return dotsOf(entry).map(dotText).join('.');
}

/** A tag that names every version alive is current; one that misses any is stale. */
export function matches(entry: Entry | undefined, ifMatch: string | undefined): boolean {
  if (ifMatch === undefined) return true;
  if (ifMatch === '*') return view(entry).winner !== undefined;
  const seen = new Set(ifMatch.split('.'));
  return entry !== undefined && dotsOf(entry).every((dot) => seen.has(dotText(dot)));
}
