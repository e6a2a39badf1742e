/**
 * The canonical bytes of an entry: what tree pages hold, what is hashed, what travels.
 *
 * Invariant: one entry has one encoding, and `encodeEntry(decodeEntry(bytes))` equals `bytes`; anything else is
 * refused. What decodes keeps every limit of an entry and covers its live dots, so the rest of the code need not ask.
 *
 * Two forms, told apart by the first byte. Nearly every entry has one version and nothing else in its context: that one
 * is written without counts, 60 bytes for a file of 4 KB. docs/FORMAT.md has the layout byte by byte.
 */
import { assert } from '../base/assert.ts';
import { badEncoding, ByteReader, ByteWriter, fromHex, toHex, utf8 } from '../base/bytes.ts';
import {
  CONTENT_BYTES_MAX,
  CONTENT_ID_BYTES,
  CONTEXT_REPLICAS_MAX,
  ENTRY_BYTES_MAX,
  LINK_TARGET_BYTES_MAX,
  LIST_LEVEL_MAX,
  RECORD_INLINE_BYTES_MAX,
  REPLICA_ID_BYTES,
  VERSIONS_MAX,
} from '../base/limits.ts';
import type { ContentId } from '../content/content-list.ts';
import type { Stamp } from './clock.ts';
import { compareDots, type Dot, type Entry, type ReplicaId, type Value, type Version } from './entry.ts';
import { COUNTER_MAX, FOLDED_TIME_MAX, foldTime, KIND_CODES, MODE_MAX, SEQUENCE_MAX, unfoldTime } from './fields.ts';
import { view } from './view.ts';

/** First byte of the general form. Smaller ones are the kind of the only version. */
const GENERAL_FORM = 0x10;

/** Keys of the members' own records: they are no content of the share. */
const MEMBER_KEY_START: Uint8Array = utf8('m/');

/** Whether the context is the dot of the only version, which the short form leaves out. */
function isSimple(entry: Entry): boolean {
  const [version] = entry.versions;
  return entry.versions.length === 1 && entry.context.size === 1 && entry.context.get(version!.dot.replica) === version!.dot.sequence;
}

export function encodeEntry(entry: Entry): Uint8Array {
  const writer = new ByteWriter(96);
  if (isSimple(entry)) {
    const { dot, stamp, value } = entry.versions[0]!;
    writer.u8(KIND_CODES[value.kind]).raw(fromHex(dot.replica)).varint(dot.sequence);
    writeStamp(writer, stamp);
    writeValue(writer, value);
    return writer.finish();
  }
  const context = [...entry.context].sort(([a], [b]) => (a < b ? -1 : 1));
  const indexOf = new Map(context.map(([replica], index) => [replica, index]));
  writer.u8(GENERAL_FORM).varint(context.length);
  for (const [replica, sequence] of context) writer.raw(fromHex(replica)).varint(sequence);
  writer.varint(entry.versions.length);
  for (const { dot, stamp, value } of entry.versions) {
    const index = indexOf.get(dot.replica);
    assert(index !== undefined, 'the context of an entry covers its dots');
    writer.varint(index).varint(dot.sequence).u8(KIND_CODES[value.kind]);
    writeStamp(writer, stamp);
    writeValue(writer, value);
  }
  return writer.finish();
}

/**
 * Views, not copies: contents, targets and data live as long as `bytes` do.
 * @throws {SamerootError} `BAD_ENCODING` unless these are the one encoding of an entry within its limits
 */
export function decodeEntry(bytes: Uint8Array): Entry {
  if (bytes.length > ENTRY_BYTES_MAX) throw badEncoding(`an entry of more than ${ENTRY_BYTES_MAX} bytes`);
  const reader = new ByteReader(bytes);
  const form = reader.u8();
  const entry = form === GENERAL_FORM ? readGeneral(reader) : readSimple(reader, form);
  reader.end();
  return entry;
}

function readSimple(reader: ByteReader, kindCode: number): Entry {
  const replica = toHex(reader.raw(REPLICA_ID_BYTES));
  const dot = { replica, sequence: readSequence(reader) };
  const stamp = readStamp(reader);
  return { versions: [{ dot, stamp, value: readValue(reader, kindCode) }], context: new Map([[replica, dot.sequence]]) };
}

function readGeneral(reader: ByteReader): Entry {
  const context = new Map<ReplicaId, number>();
  const replicas: ReplicaId[] = [];
  for (let left = readCount(reader, CONTEXT_REPLICAS_MAX); left > 0; left--) {
    const replica = toHex(reader.raw(REPLICA_ID_BYTES));
    const before = replicas.at(-1);
    if (before !== undefined && replica <= before) throw badEncoding('the replicas of a context are not in order');
    replicas.push(replica);
    context.set(replica, readSequence(reader));
  }
  const versions: Version[] = [];
  for (let left = readCount(reader, VERSIONS_MAX); left > 0; left--) {
    const dot = readDot(reader, replicas, context);
    const before = versions.at(-1);
    if (before !== undefined && compareDots(before.dot, dot) >= 0) throw badEncoding('the versions of an entry are not in order');
    const kindCode = reader.u8();
    const stamp = readStamp(reader);
    versions.push({ dot, stamp, value: readValue(reader, kindCode) });
  }
  const entry = { versions, context };
  if (isSimple(entry)) throw badEncoding('an entry in the longer of two forms');
  return entry;
}

function readCount(reader: ByteReader, max: number): number {
  const count = reader.varint(max);
  if (count === 0) throw badEncoding('an entry of nothing');
  return count;
}

function readSequence(reader: ByteReader): number {
  const sequence = reader.varint(SEQUENCE_MAX);
  if (sequence === 0) throw badEncoding('sequences begin at 1');
  return sequence;
}

function readDot(reader: ByteReader, replicas: readonly ReplicaId[], context: ReadonlyMap<ReplicaId, number>): Dot {
  const replica = replicas[reader.varint(CONTEXT_REPLICAS_MAX)];
  const sequence = readSequence(reader);
  if (replica === undefined || sequence > context.get(replica)!) throw badEncoding('a version that its context does not cover');
  return { replica, sequence };
}

function writeStamp(writer: ByteWriter, stamp: Stamp): void {
  writer.u48(stamp.wallMs).varint(stamp.counter);
}

function readStamp(reader: ByteReader): Stamp {
  return { wallMs: reader.u48(), counter: reader.varint(COUNTER_MAX) };
}

function writeValue(writer: ByteWriter, value: Value): void {
  switch (value.kind) {
    case 'file':
      writer.raw(value.content).varint(value.bytes).u16(value.mode).varint(foldTime(value.mtimeMs));
      break;
    case 'symlink':
      writer.sized(value.target);
      break;
    case 'directory':
      writer.u16(value.mode);
      break;
    case 'record':
      writer.sized(value.data);
      break;
    case 'blob':
      writer.raw(value.content).varint(value.bytes);
      break;
    case 'deleted':
      break;
  }
}

function readValue(reader: ByteReader, kindCode: number): Value {
  switch (kindCode) {
    case KIND_CODES.file: {
      const content = readContent(reader);
      const bytes = reader.varint(CONTENT_BYTES_MAX);
      const mode = readMode(reader);
      return { kind: 'file', content, bytes, mode, mtimeMs: unfoldTime(reader.varint(FOLDED_TIME_MAX)) };
    }
    case KIND_CODES.symlink: {
      const target = reader.sized(LINK_TARGET_BYTES_MAX);
      if (target.length === 0 || target.includes(0)) throw badEncoding('a link without a target, or with NUL in it');
      return { kind: 'symlink', target };
    }
    case KIND_CODES.directory:
      return { kind: 'directory', mode: readMode(reader) };
    case KIND_CODES.record:
      return { kind: 'record', data: reader.sized(RECORD_INLINE_BYTES_MAX) };
    case KIND_CODES.blob: {
      const content = readContent(reader);
      return { kind: 'blob', content, bytes: reader.varint(CONTENT_BYTES_MAX) };
    }
    case KIND_CODES.deleted:
      return { kind: 'deleted' };
    default:
      throw badEncoding(`a value of unknown kind ${kindCode}`);
  }
}

function readContent(reader: ByteReader): ContentId {
  const content = reader.raw(CONTENT_ID_BYTES);
  if (content[0]! > LIST_LEVEL_MAX) throw badEncoding('a content with too many levels');
  return content;
}

function readMode(reader: ByteReader): number {
  const mode = reader.u16();
  if (mode > MODE_MAX) throw badEncoding('a mode of more than 12 bits');
  return mode;
}

export interface Weight {
  readonly live: 0 | 1;
  readonly bytes: number;
}

const WEIGHTLESS: Weight = { live: 0, bytes: 0 };

/**
 * What an entry adds to the totals of its tree: 1 if something is shown at its key, and the size of what is shown.
 * Entries under `m/`, the members' own records, weigh nothing. An entry of one version is skimmed, not decoded.
 * @throws {SamerootError} `BAD_ENCODING`
 */
export function weighEntry(key: Uint8Array, bytes: Uint8Array): Weight {
  if (key[0] === MEMBER_KEY_START[0] && key[1] === MEMBER_KEY_START[1]) return WEIGHTLESS;
  const reader = new ByteReader(bytes);
  let kindCode = reader.u8();
  if (kindCode !== GENERAL_FORM) {
    reader.raw(REPLICA_ID_BYTES);
  } else {
    for (let left = reader.varint(CONTEXT_REPLICAS_MAX); left > 0; left--) {
      reader.raw(REPLICA_ID_BYTES);
      reader.varint();
    }
    if (reader.varint() !== 1) {
      const { winner } = view(decodeEntry(bytes));
      return winner === undefined ? WEIGHTLESS : { live: 1, bytes: logicalBytes(winner.version.value) };
    }
    reader.varint(); // which replica
  }
  reader.varint(); // sequence
  if (kindCode === GENERAL_FORM) kindCode = reader.u8();
  readStamp(reader);
  return kindCode === KIND_CODES.deleted ? WEIGHTLESS : { live: 1, bytes: logicalBytes(readValue(reader, kindCode)) };
}

function logicalBytes(value: Value): number {
  switch (value.kind) {
    case 'file':
    case 'blob':
      return value.bytes;
    case 'record':
      return value.data.length;
    case 'symlink':
    case 'directory':
    case 'deleted':
      break;
  }
  return 0;
}
