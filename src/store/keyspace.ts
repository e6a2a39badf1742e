/**
 * Every kind of row in the database, in one place. Invariant: the first byte tells the kind, so no key of one kind is
 * a key of another, and one kind is one range. docs/FORMAT.md repeats this table.
 *
 * | prefix | key after the prefix                  | value                                     | owner   |
 * |--------|---------------------------------------|-------------------------------------------|---------|
 * | `p/`   | page hash, 32 bytes                   | canonical bytes of a tree page            | replica |
 * | `l/`   | list page hash, 32 bytes              | canonical bytes of a content-list page    | replica |
 * | `h`    | nothing                               | the head                                  | replica |
 * | `y/`   | root hash, 32 bytes                   | the tree of a root in the history         | replica |
 * | `Y/`   | commit number, u64 big endian         | root hash                                 | replica |
 * | `m/`   | name, UTF-8                           | metadata: `share`, `replica`, `stable`,   | replica |
 * |        |                                       | `cursor/<node id>`, `pin/<node id>`,      | node    |
 * |        |                                       | `invitation/<id>`, `evicted`              | node    |
 * | `P/`   | path                                  | what was placed on the disk there         | folder  |
 * | `k/`   | content id, 33 bytes, `/`, path       | `PRESENT`; index content -> paths         | folder  |
 * | `x/`   | chunk hash, its first 16 bytes        | content id, 33 bytes, byte offset         | folder  |
 * | `t/`   | key of the tree                       | committed, not yet projected to the disk  | folder  |
 * | `T/`   | path below the shared folder          | what was moved to the trash there         | folder  |
 * | `d/`   | sequence, u64 big endian              | bytes of a chunk                          | store   |
 * | `c/`   | chunk hash, 32 bytes                  | sequence of its `d/` row, u64 big endian  | store   |
 *
 * Every builder makes one allocation; keys are built for each row read or written.
 */
import { assert } from '../base/assert.ts';
import { asBuffer } from '../base/bytes.ts';
import { SamerootError } from '../base/errors.ts';
import { CONTENT_ID_BYTES, DIGEST_BYTES, HASH_BYTES } from '../base/limits.ts';
import type { Range } from './store.ts';

const SLASH = 0x2f;
const PREFIX_BYTES = 2;
const SEQUENCE_BYTES = 8;
const CONTENT_PATH_AT: number = PREFIX_BYTES + CONTENT_ID_BYTES + 1;

/** kind -> prefix, for `prefixRange`. */
export const PREFIX: {
  readonly page: Uint8Array;
  readonly listPage: Uint8Array;
  readonly head: Uint8Array;
  readonly root: Uint8Array;
  readonly commit: Uint8Array;
  readonly meta: Uint8Array;
  readonly placed: Uint8Array;
  readonly contentPath: Uint8Array;
  readonly chunkPlace: Uint8Array;
  readonly pending: Uint8Array;
  readonly trash: Uint8Array;
  readonly chunkBytes: Uint8Array;
  readonly chunkSequence: Uint8Array;
} = {
  page: prefix('p'),
  listPage: prefix('l'),
  head: Uint8Array.of(0x68),
  root: prefix('y'),
  commit: prefix('Y'),
  meta: prefix('m'),
  placed: prefix('P'),
  contentPath: prefix('k'),
  chunkPlace: prefix('x'),
  pending: prefix('t'),
  trash: prefix('T'),
  chunkBytes: prefix('d'),
  chunkSequence: prefix('c'),
};

/** The value of rows that only exist. Not empty: each empty value costs LevelDB's binding 40 bytes it never frees. */
export const PRESENT: Uint8Array = Uint8Array.of(1);

export function pageKey(hash: Uint8Array): Uint8Array {
  return hashKey(PREFIX.page, hash);
}

export function listPageKey(hash: Uint8Array): Uint8Array {
  return hashKey(PREFIX.listPage, hash);
}

export function headKey(): Uint8Array {
  return PREFIX.head;
}

export function rootKey(root: Uint8Array): Uint8Array {
  return hashKey(PREFIX.root, root);
}

export function commitKey(commit: number): Uint8Array {
  return numberKey(PREFIX.commit, commit);
}

export function metaKey(name: string): Uint8Array {
  const key = Buffer.allocUnsafe(PREFIX_BYTES + Buffer.byteLength(name));
  key.set(PREFIX.meta, 0);
  key.write(name, PREFIX_BYTES);
  return key;
}

export function cursorKey(nodeId: string): Uint8Array {
  return metaKey(`cursor/${nodeId}`);
}

export function pinKey(nodeId: string): Uint8Array {
  return metaKey(`pin/${nodeId}`);
}

export function invitationKey(id: string): Uint8Array {
  return metaKey(`invitation/${id}`);
}

export function placedKey(path: Uint8Array): Uint8Array {
  return bodyKey(PREFIX.placed, path);
}

/** With an empty path: the prefix of all paths of `content`. */
export function contentPathKey(content: Uint8Array, path: Uint8Array): Uint8Array {
  assert(content.length === CONTENT_ID_BYTES, 'a content id has 33 bytes');
  const key = Buffer.allocUnsafe(CONTENT_PATH_AT + path.length);
  key.set(PREFIX.contentPath, 0);
  key.set(content, PREFIX_BYTES);
  key[CONTENT_PATH_AT - 1] = SLASH;
  key.set(path, CONTENT_PATH_AT);
  return key;
}

export function chunkPlaceKey(hash: Uint8Array): Uint8Array {
  assert(hash.length === HASH_BYTES, 'a hash has 32 bytes');
  const key = Buffer.allocUnsafe(PREFIX_BYTES + DIGEST_BYTES);
  key.set(PREFIX.chunkPlace, 0);
  key.set(asBuffer(hash).subarray(0, DIGEST_BYTES), PREFIX_BYTES);
  return key;
}

export function pendingKey(treeKey: Uint8Array): Uint8Array {
  return bodyKey(PREFIX.pending, treeKey);
}

export function trashKey(path: Uint8Array): Uint8Array {
  return bodyKey(PREFIX.trash, path);
}

export function chunkBytesKey(sequence: number): Uint8Array {
  return numberKey(PREFIX.chunkBytes, sequence);
}

export function chunkSequenceKey(hash: Uint8Array): Uint8Array {
  return hashKey(PREFIX.chunkSequence, hash);
}

/** What follows the two bytes of a prefix: a hash, a path, a tree key. A view. */
export function keyBody(key: Uint8Array): Uint8Array {
  return key.subarray(PREFIX_BYTES);
}

/** The name in a metadata key. */
export function nameOfMetaKey(key: Uint8Array): string {
  return asBuffer(keyBody(key)).toString('utf8');
}

/** The path in a `k/` key. A view. */
export function pathOfContentPathKey(key: Uint8Array): Uint8Array {
  return key.subarray(CONTENT_PATH_AT);
}

/** The content id in a `k/` key. A view. */
export function contentOfContentPathKey(key: Uint8Array): Uint8Array {
  return key.subarray(PREFIX_BYTES, PREFIX_BYTES + CONTENT_ID_BYTES);
}

/**
 * The number in a `d/` or `Y/` key.
 * @throws {SamerootError} `DATABASE_DAMAGED` if the key does not end with one
 */
export function numberOfKey(key: Uint8Array): number {
  return decodeNumber(keyBody(key));
}

/** A whole number from 0 to 2^53 - 1 as 8 bytes whose order is its own. */
export function encodeNumber(value: number): Uint8Array {
  return writeNumber(Buffer.allocUnsafe(SEQUENCE_BYTES), 0, value);
}

/** @throws {SamerootError} `DATABASE_DAMAGED` if the bytes are not such a number */
export function decodeNumber(bytes: Uint8Array): number {
  const buffer = asBuffer(bytes);
  const value = buffer.length === SEQUENCE_BYTES ? buffer.readUInt32BE(0) * 2 ** 32 + buffer.readUInt32BE(4) : NaN;
  if (!Number.isSafeInteger(value)) throw new SamerootError('DATABASE_DAMAGED', 'a row of the database holds no number where one belongs');
  return value;
}

/** All keys that start with `prefix`. */
export function prefixRange(prefix: Uint8Array): Range {
  const lt = Buffer.from(prefix);
  const last = lt.length - 1;
  assert(last >= 0 && lt[last]! < 0xff, 'a prefix ends with a byte below 0xff');
  lt[last] = lt[last]! + 1;
  return { gte: prefix, lt };
}

/** All paths that are known to hold `content`. */
export function contentPathRange(content: Uint8Array): Range {
  return prefixRange(contentPathKey(content, Buffer.alloc(0)));
}

function prefix(letter: string): Uint8Array {
  return Uint8Array.of(letter.charCodeAt(0), SLASH);
}

function bodyKey(prefix: Uint8Array, body: Uint8Array): Uint8Array {
  const key = Buffer.allocUnsafe(PREFIX_BYTES + body.length);
  key.set(prefix, 0);
  key.set(body, PREFIX_BYTES);
  return key;
}

function hashKey(prefix: Uint8Array, hash: Uint8Array): Uint8Array {
  assert(hash.length === HASH_BYTES, 'a hash has 32 bytes');
  return bodyKey(prefix, hash);
}

function numberKey(prefix: Uint8Array, value: number): Uint8Array {
  const key = Buffer.allocUnsafe(PREFIX_BYTES + SEQUENCE_BYTES);
  key.set(prefix, 0);
  return writeNumber(key, PREFIX_BYTES, value);
}

function writeNumber(target: Buffer, at: number, value: number): Buffer {
  assert(Number.isSafeInteger(value) && value >= 0, 'a number in a key is whole and not negative');
  target.writeUInt32BE(Math.floor(value / 2 ** 32), at);
  target.writeUInt32BE(value % 2 ** 32, at + 4);
  return target;
}
