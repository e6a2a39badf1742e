/**
 * Messages to bytes and back. Control messages are msgpack arrays `[type number, fields...]`; chunk frames are our own
 * binary form, since they carry nearly all bytes and are never copied.
 *
 * Invariant: whatever `decodeMessage` returns has every field of the right type and within its limit, so nothing above
 * has to check again. An unknown type number >= 64 is an optional message of a later version: it is skipped.
 */
import { Packr } from 'msgpackr';
import { assert } from '../base/assert.ts';
import { asBuffer, ByteReader, ByteWriter, compareBytes, EMPTY_BYTES, fromHex, sharedPrefixLength, toHex } from '../base/bytes.ts';
import { messageOf, SamerootError } from '../base/errors.ts';
import { WALL_MS_MAX } from '../entry/fields.ts';
import {
  CHUNK_BYTES_MAX,
  CHUNK_FRAME_BYTES_MAX,
  CONTENT_BYTES_MAX,
  CONTENT_CHUNKS_MAX,
  CONTENT_ID_BYTES,
  CUT_BYTES_MAX,
  ENTRIES_PER_MESSAGE_MAX,
  ENTRY_BYTES_MAX,
  FETCH_ITEMS_MAX,
  HASH_BYTES,
  HAVE_RUNS_MAX,
  KEY_BYTES_MAX,
  LIST_LEVEL_MAX,
  LIST_PAGES_PER_REQUEST_MAX,
  MESSAGE_BYTES_MAX,
  NAME_TEXT_BYTES_MAX,
  PEERS_MAX,
  REPLICA_ID_BYTES,
  TREE_LEVEL_MAX,
  WALK_LIST_BYTES_MAX,
  WALK_LIST_KEY_BYTES_MAX,
  WALK_RANGES_MAX,
} from '../base/limits.ts';
import {
  LEAF_LEVEL,
  type ChunkFrame,
  type EntryItem,
  type FetchItem,
  type FramedChunk,
  type InlineChunk,
  type Message,
  type MessageOf,
  type MessageType,
  type WalkItem,
  type WalkRange,
} from './messages.ts';
import { Shape } from './shape.ts';
import { digestBytes } from './walk-digest.ts';

const CONTROL = 1;
const CHUNKS = 2;
const OPTIONAL_TYPES_FROM = 64;
const CAPABILITIES_MAX = 64;
/** Contents may be as small as a byte. */
const CHUNKS_PER_FRAME_MAX: number = FETCH_ITEMS_MAX * 4;

/** Flags of a packed walk range. */
const HAS_FROM = 1;
const HAS_TO = 2;

const packr = new Packr({ useRecords: false, moreTypes: false, int64AsType: 'number', variableMapSize: false });

type Fields = readonly unknown[];

interface Form<T extends MessageType> {
  readonly code: number;
  pack(message: MessageOf<T>): Fields;
  unpack(fields: Take): MessageOf<T>;
}

const FORMS: { readonly [T in MessageType]: Form<T> } = {
  hello: {
    code: 1,
    pack: (m) => [
      m.versionMin,
      m.versionMax,
      m.capabilities,
      fromHex(m.nodeId),
      m.name,
      m.listenPort,
      fromHex(m.replica),
      m.share,
      m.root,
      m.containsReplica === undefined ? null : fromHex(m.containsReplica),
      m.contains ?? null,
    ],
    unpack: (f) => ({
      type: 'hello',
      versionMin: f.whole(65_535),
      versionMax: f.whole(65_535),
      capabilities: f.list(CAPABILITIES_MAX, (item) => item.text(64)),
      nodeId: toHex(f.fixed(HASH_BYTES)),
      name: f.text(NAME_TEXT_BYTES_MAX),
      listenPort: f.whole(65_535),
      replica: toHex(f.fixed(REPLICA_ID_BYTES)),
      share: f.bytes(1024),
      root: f.fixed(HASH_BYTES),
      containsReplica: f.optional((g) => toHex(g.fixed(REPLICA_ID_BYTES))),
      contains: f.optional((g) => g.fixed(HASH_BYTES)),
    }),
  },
  join: {
    code: 2,
    pack: (m) => [fromHex(m.invitation), m.proof, fromHex(m.nodeId), m.publicKey, m.name, m.listenPort],
    unpack: (f) => ({
      type: 'join',
      invitation: toHex(f.fixed(8)),
      proof: f.fixed(HASH_BYTES),
      nodeId: toHex(f.fixed(HASH_BYTES)),
      publicKey: f.bytes(256),
      name: f.text(NAME_TEXT_BYTES_MAX),
      listenPort: f.whole(65_535),
    }),
  },
  hold: { code: 3, pack: () => [], unpack: () => ({ type: 'hold' }) },
  refuse: {
    code: 4,
    pack: (m) => [m.code, m.sinceMs ?? null],
    unpack: (f) => ({ type: 'refuse', code: f.text(64), sinceMs: f.optional((g) => g.whole(WALL_MS_MAX)) }),
  },
  root: { code: 5, pack: (m) => [m.root], unpack: (f) => ({ type: 'root', root: f.fixed(HASH_BYTES) }) },
  ack: { code: 6, pack: (m) => [m.root], unpack: (f) => ({ type: 'ack', root: f.fixed(HASH_BYTES) }) },
  entries: {
    code: 7,
    pack: (m) => [m.base ?? null, m.root ?? null, m.walk, packItems(m.items), m.inline.flatMap((chunk) => [chunk.hash, chunk.bytes])],
    unpack: (f) => ({
      type: 'entries',
      base: f.optional((g) => g.fixed(HASH_BYTES)),
      root: f.optional((g) => g.fixed(HASH_BYTES)),
      walk: f.whole(Number.MAX_SAFE_INTEGER),
      items: unpackItems(f),
      inline: f.groups(ENTRIES_PER_MESSAGE_MAX, 2, (g): InlineChunk => ({ hash: g.fixed(HASH_BYTES), bytes: g.bytes(CHUNK_BYTES_MAX) })),
    }),
  },
  grant: { code: 8, pack: (m) => [m.bytes], unpack: (f) => ({ type: 'grant', bytes: f.whole(Number.MAX_SAFE_INTEGER) }) },
  'walk-request': { code: 9, pack: () => [], unpack: () => ({ type: 'walk-request' }) },
  walk: {
    code: 10,
    pack: (m) => [m.id, m.merge, m.root, packRanges(m.ranges), packKeys(m.wants), m.more, m.answers],
    unpack: (f) => {
      // 0 stands for "no walk" in a stream.
      const id = f.whole(Number.MAX_SAFE_INTEGER, 1);
      return {
        type: 'walk',
        id,
        merge: f.flag(),
        root: f.fixed(HASH_BYTES),
        ranges: unpackRanges(f.bytes(WALK_LIST_BYTES_MAX), digestBytes(id)),
        wants: unpackKeys(f.bytes(WALK_LIST_BYTES_MAX)),
        more: f.flag(),
        answers: f.flag(),
      };
    },
  },
  listing: {
    code: 11,
    pack: (m) => [m.id, packItems(m.items), m.last],
    unpack: (f) => ({ type: 'listing', id: f.whole(Number.MAX_SAFE_INTEGER), items: unpackItems(f), last: f.flag() }),
  },
  'list-pages': {
    code: 12,
    pack: (m) => [m.id, m.hashes],
    unpack: (f) => ({
      type: 'list-pages',
      id: f.whole(Number.MAX_SAFE_INTEGER),
      hashes: f.list(LIST_PAGES_PER_REQUEST_MAX, (g) => g.fixed(HASH_BYTES)),
    }),
  },
  'list-pages-reply': {
    code: 13,
    pack: (m) => [m.id, m.pages.map((page) => page ?? null)],
    unpack: (f) => ({
      type: 'list-pages-reply',
      id: f.whole(Number.MAX_SAFE_INTEGER),
      pages: f.list(LIST_PAGES_PER_REQUEST_MAX, (g) => g.optional((h) => h.bytes(MESSAGE_BYTES_MAX))),
    }),
  },
  fetch: {
    code: 14,
    pack: (m) => [m.id, m.items.flatMap((item) => [item.content, item.bytes, item.firstChunk, item.chunks])],
    unpack: (f) => ({
      type: 'fetch',
      id: f.whole(0xffff_ffff),
      items: f.groups(FETCH_ITEMS_MAX, 4, (g): FetchItem => ({
        content: g.content(),
        bytes: g.whole(CONTENT_BYTES_MAX),
        firstChunk: g.whole(CONTENT_CHUNKS_MAX),
        chunks: g.whole(0xffff),
      })),
    }),
  },
  fetched: {
    code: 15,
    pack: (m) => [m.id, m.gone],
    unpack: (f) => ({ type: 'fetched', id: f.whole(0xffff_ffff), gone: f.list(FETCH_ITEMS_MAX, (g) => g.whole(FETCH_ITEMS_MAX)) }),
  },
  have: {
    code: 64,
    pack: (m) => [m.content, m.runs.flatMap(({ first, count }) => [first, count])],
    unpack: (f) => ({
      type: 'have',
      content: f.content(),
      runs: f.groups(HAVE_RUNS_MAX, 2, (g) => ({ first: g.whole(CONTENT_CHUNKS_MAX), count: g.whole(CONTENT_CHUNKS_MAX) })),
    }),
  },
  stable: {
    code: 16,
    pack: (m) => [m.cut],
    unpack: (f) => ({ type: 'stable', cut: f.bytes(CUT_BYTES_MAX) }),
  },
  introductions: {
    code: 17,
    pack: (m) => [packItems(m.items)],
    unpack: (f) => ({ type: 'introductions', items: unpackItems(f, PEERS_MAX) }),
  },
};

const FORM_OF_CODE: ReadonlyMap<number, Form<MessageType>> = new Map(
  Object.values(FORMS).map((form) => [form.code, form as unknown as Form<MessageType>]),
);

export function encodeMessage(message: Message): Uint8Array {
  const form = FORMS[message.type] as Form<MessageType>;
  const body = packr.pack([form.code, ...form.pack(message)]);
  assert(body.length < MESSAGE_BYTES_MAX, 'a message is within the limit that its receiver keeps');
  const bytes = Buffer.allocUnsafe(1 + body.length);
  bytes[0] = CONTROL;
  bytes.set(body, 1);
  return bytes;
}

/** How many bytes a frame's head needs for `chunks` chunks, at most. */
export function frameHeadBytes(chunks: number): number {
  return 8 + chunks * 16;
}

/**
 * A chunk frame from the chunks' bytes. `roomBytes`: how many bytes right before the first chunk nobody uses. Chunks that lie
 * one after the other behind enough room stay where they are and the head is written before them; others are copied once.
 */
export function encodeChunks(
  id: number,
  chunks: readonly { readonly item: number; readonly chunk: number; readonly bytes: Uint8Array }[],
  roomBytes: number = 0,
): Uint8Array {
  const writer = new ByteWriter(frameHeadBytes(chunks.length)).u8(CHUNKS).u32(id).varint(chunks.length);
  for (const { item, chunk, bytes } of chunks) writer.varint(item).varint(chunk).varint(bytes.length);
  const head = writer.finish();
  const total = chunks.reduce((sum, chunk) => sum + chunk.bytes.length, 0);
  const first = chunks[0]?.bytes;
  if (first !== undefined && head.length <= roomBytes && areNeighbours(chunks)) {
    const frame = new Uint8Array(first.buffer, first.byteOffset - head.length, head.length + total);
    frame.set(head);
    return frame;
  }
  const copy = new ByteWriter(head.length + total).raw(head);
  for (const { bytes } of chunks) copy.raw(bytes);
  return copy.finish();
}

function areNeighbours(chunks: readonly { readonly bytes: Uint8Array }[]): boolean {
  return chunks.every(({ bytes }, index) => {
    const before = chunks[index - 1]?.bytes;
    return before === undefined || (before.buffer === bytes.buffer && before.byteOffset + before.length === bytes.byteOffset);
  });
}

/**
 * @returns undefined for an optional message of a later version
 * @throws {SamerootError} `BAD_MESSAGE` for anything that is not exactly a message
 */
export function decodeMessage(bytes: Uint8Array): Message | ChunkFrame | undefined {
  if (bytes.length > MESSAGE_BYTES_MAX) throw badMessage(`a message of ${bytes.length} bytes`);
  try {
    if (bytes[0] === CHUNKS) return decodeChunks(bytes);
    if (bytes[0] !== CONTROL) throw badMessage('an unknown kind of frame');
    const code = new Shape(asBuffer(bytes), 1).code();
    if (code === undefined) throw badMessage('no message');
    const form = FORM_OF_CODE.get(code);
    if (form === undefined) {
      if (code >= OPTIONAL_TYPES_FROM) return undefined;
      throw badMessage(`an unknown message type ${code}`);
    }
    new Shape(asBuffer(bytes), 1).check();
    const body = packr.unpack(bytes.subarray(1)) as Fields;
    // Fields beyond ours are a later version's: not read.
    return form.unpack(new Take(body, 1));
  } catch (error) {
    if (error instanceof SamerootError && error.code === 'BAD_MESSAGE') throw error;
    throw new SamerootError('BAD_MESSAGE', `a message can not be read: ${messageOf(error)}`, { cause: error });
  }
}

function decodeChunks(frame: Uint8Array): ChunkFrame {
  const reader = new ByteReader(frame);
  if (frame.length > CHUNK_FRAME_BYTES_MAX + frameHeadBytes(CHUNKS_PER_FRAME_MAX))
    throw badMessage(`a chunk frame of ${frame.length} bytes`);
  reader.u8();
  const id = reader.u32();
  const count = reader.varint(CHUNKS_PER_FRAME_MAX);
  const chunks: FramedChunk[] = [];
  let offset = 0;
  for (let index = 0; index < count; index++) {
    const item = reader.varint(FETCH_ITEMS_MAX);
    const chunk = reader.varint(CONTENT_CHUNKS_MAX);
    const bytes = reader.varint(CHUNK_BYTES_MAX);
    chunks.push({ item, chunk, offset, bytes });
    offset += bytes;
  }
  if (reader.remaining !== offset) throw badMessage('a chunk frame that has another length than its head says');
  const start = reader.position;
  return { type: 'chunks', id, chunks: chunks.map((chunk) => ({ ...chunk, offset: chunk.offset + start })), frame };
}

function packItems(items: readonly EntryItem[]): Fields {
  return items.flatMap((item) => [item.key, item.entry]);
}

function unpackItems(fields: Take, countMax: number = ENTRIES_PER_MESSAGE_MAX): EntryItem[] {
  return fields.groups(countMax, 2, (g) => ({ key: g.bytes(KEY_BYTES_MAX), entry: g.bytes(ENTRY_BYTES_MAX) }));
}

/**
 * Ranges in order, disjoint: all their bounds and items are one ascending list of keys, each written as what it does not
 * share with the one before. Leaf pages, which are most items of a walk, are digests alone.
 */
function packRanges(ranges: readonly WalkRange[]): Uint8Array {
  const keys = new KeyWriter();
  keys.out.varint(ranges.length);
  for (const { from, to, level, items, leaves } of ranges) {
    keys.out.u8(level + 1).u8((from === undefined ? 0 : HAS_FROM) | (to === undefined ? 0 : HAS_TO));
    if (from !== undefined) keys.key(from);
    keys.out.varint(level === LEAF_LEVEL ? leaves.length : items.length);
    for (const { key, digest } of items) keys.key(key).raw(digest);
    for (const digest of leaves) keys.out.raw(digest);
    if (to !== undefined) keys.key(to);
  }
  return keys.out.finish();
}

function unpackRanges(bytes: Uint8Array, digestLength: number): WalkRange[] {
  const reader = new ByteReader(bytes);
  const keys = new KeyReader(reader);
  const count = reader.varint(WALK_RANGES_MAX);
  const ranges: WalkRange[] = [];
  for (let index = 0; index < count; index++) {
    const level = reader.u8() - 1;
    const bounds = reader.u8();
    if (level > TREE_LEVEL_MAX || bounds > (HAS_FROM | HAS_TO)) throw badMessage('a walk range that is none');
    if ((bounds & HAS_FROM) === 0 && index > 0) throw badMessage('walk ranges that overlap');
    const from = (bounds & HAS_FROM) === 0 ? undefined : keys.atLeast();
    const items: WalkItem[] = [];
    const leaves: Uint8Array[] = [];
    for (let left = reader.varint(bytes.length); left > 0; left--) {
      if (level === LEAF_LEVEL) {
        leaves.push(reader.raw(digestLength));
        continue;
      }
      const key = items.length === 0 ? keys.atLeast() : keys.above();
      items.push({ key, digest: reader.raw(digestLength) });
    }
    if ((bounds & HAS_TO) === 0 && index < count - 1) throw badMessage('walk ranges that overlap');
    const to = (bounds & HAS_TO) === 0 ? undefined : keys.above();
    ranges.push({ from, to, level, items, leaves });
  }
  reader.end();
  return ranges;
}

/** Keys in order, each once. */
function packKeys(list: readonly Uint8Array[]): Uint8Array {
  const keys = new KeyWriter();
  keys.out.varint(list.length);
  for (const key of list) keys.key(key);
  return keys.out.finish();
}

function unpackKeys(bytes: Uint8Array): Uint8Array[] {
  const reader = new ByteReader(bytes);
  const keys = new KeyReader(reader);
  const list: Uint8Array[] = [];
  for (let left = reader.varint(bytes.length); left > 0; left--) list.push(list.length === 0 ? keys.atLeast() : keys.above());
  reader.end();
  return list;
}

/** Front coding: how many bytes a key shares with the one before, then the rest. */
class KeyWriter {
  readonly out: ByteWriter = new ByteWriter(1024);
  #previous: Uint8Array = EMPTY_BYTES;

  key(key: Uint8Array): ByteWriter {
    const shared = sharedPrefixLength(this.#previous, key);
    this.#previous = key;
    return this.out.varint(shared).sized(key.subarray(shared));
  }
}

class KeyReader {
  readonly #reader: ByteReader;
  #previous: Uint8Array = EMPTY_BYTES;
  #keyBytes = 0;

  constructor(reader: ByteReader) {
    this.#reader = reader;
  }

  /** A key that is not before the last one. */
  atLeast(): Uint8Array {
    return this.#next(0);
  }

  /** A key after the last one. */
  above(): Uint8Array {
    return this.#next(1);
  }

  #next(orderMin: 0 | 1): Uint8Array {
    const shared = this.#reader.varint(this.#previous.length);
    const rest = this.#reader.sized(KEY_BYTES_MAX - shared);
    // It shares all that it can, so one list of keys has one form.
    if (shared < this.#previous.length && rest[0] === this.#previous[shared]) throw badMessage('a key that shares less than it could');
    this.#keyBytes += shared + rest.length;
    if (this.#keyBytes > WALK_LIST_KEY_BYTES_MAX) throw badMessage('too many long keys');
    const key = shared === 0 ? rest : Buffer.concat([this.#previous.subarray(0, shared), rest]);
    if (compareBytes(key, this.#previous) < orderMin) throw badMessage('keys that are not in order');
    this.#previous = key;
    return key;
  }
}

/** Takes the fields of a message one by one, each with its type and limit. */
class Take {
  readonly #fields: Fields;
  #at: number;

  constructor(fields: Fields, at: number) {
    this.#fields = fields;
    this.#at = at;
  }

  #next(): unknown {
    if (this.#at >= this.#fields.length) throw badMessage('too few fields');
    return this.#fields[this.#at++];
  }

  whole(max: number, min = 0): number {
    const value = this.#next();
    // -0 is not 0 to a Map of ids.
    const sound = typeof value === 'number' && Number.isSafeInteger(value) && !Object.is(value, -0);
    if (!sound || value < min || value > max) throw badMessage('a number that is out of range');
    return value;
  }

  flag(): boolean {
    const value = this.#next();
    if (typeof value !== 'boolean') throw badMessage('a flag that is none');
    return value;
  }

  text(maxBytes: number): string {
    const value = this.#next();
    if (typeof value !== 'string' || Buffer.byteLength(value) > maxBytes) throw badMessage('a text that is too long or none');
    return value;
  }

  bytes(max: number): Uint8Array {
    const value = this.#next();
    if (!(value instanceof Uint8Array) || value.length > max) throw badMessage('a byte string that is too long or none');
    return value;
  }

  fixed(length: number): Uint8Array {
    const value = this.bytes(length);
    if (value.length !== length) throw badMessage(`a byte string that has not ${length} bytes`);
    return value;
  }

  content(): Uint8Array {
    const value = this.fixed(CONTENT_ID_BYTES);
    if (value[0]! > LIST_LEVEL_MAX) throw badMessage('a content of too many levels');
    return value;
  }

  optional<T>(take: (fields: Take) => T): T | undefined {
    if (this.#fields[this.#at] === null) {
      this.#at++;
      return undefined;
    }
    return take(this);
  }

  list<T>(max: number, take: (item: Take) => T): T[] {
    return this.groups(max, 1, take);
  }

  /** A flat list of groups of `width` fields each. */
  groups<T>(max: number, width: number, take: (group: Take) => T): T[] {
    const value = this.#next();
    if (!Array.isArray(value) || value.length % width !== 0 || value.length / width > max)
      throw badMessage('a list that is too long or none');
    const inner = new Take(value, 0);
    const result: T[] = [];
    while (inner.#at < value.length) result.push(take(inner));
    return result;
  }
}

function badMessage(what: string): SamerootError {
  return new SamerootError('BAD_MESSAGE', `the peer sent ${what}`);
}
