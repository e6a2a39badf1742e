/**
 * The record of a member, `m/<node id>`, and its bytes: the introduction (this key may take part), the description (name,
 * address) and the standing (evicted, or admitted again), each signed by itself. What of it counts is for `members.ts` to say.
 *
 * Invariant: a part names the key that it is about, so it can not be moved to another member.
 */
import { badEncoding, ByteReader, ByteWriter, concatBytes, fromHex, fromUtf8, toHex, utf8 } from '../base/bytes.ts';
import { HASH_BYTES, NAME_TEXT_BYTES_MAX } from '../base/limits.ts';
import type { Entry, Value } from '../entry/entry.ts';
import { view } from '../entry/view.ts';
import { fingerprintOf } from '../net/identity.ts';

const FORMAT = 1;
const PREFIX: Uint8Array = utf8('m/');
/** All member records. */
export const MEMBER_KEYS: { readonly from: Uint8Array; readonly to: Uint8Array } = { from: PREFIX, to: utf8('m0') };
const KEY_BYTES_LIMIT = 256;
const SIGNATURE_BYTES = 64;
const PART_BYTES_MAX = 1024;

export function memberKey(nodeId: string): Uint8Array {
  return concatBytes(PREFIX, fromHex(nodeId));
}

/** The member that a record belongs to, by the key that it is filed under. */
export function nodeIdOfKey(key: Uint8Array): string {
  return toHex(key.subarray(PREFIX.length));
}

export function isMemberKey(key: Uint8Array): boolean {
  return key[0] === PREFIX[0] && key[1] === PREFIX[1];
}

export interface Introduction {
  readonly publicKey: Uint8Array;
  readonly role: number;
  readonly joinedMs: number;
  readonly signer: string;
  readonly signature: Uint8Array;
}

export interface Description {
  readonly name: string;
  readonly address: string;
  readonly signer: string;
  readonly signature: Uint8Array;
}

export interface Standing {
  readonly evicted: boolean;
  readonly sinceMs: number;
  readonly signer: string;
  readonly signature: Uint8Array;
}

export interface MemberRecord {
  readonly nodeId: string;
  readonly introduction: Introduction;
  readonly description: Description;
  /** Undefined: never evicted. */
  readonly standing: Standing | undefined;
}

export function introductionBytes(fields: Omit<Introduction, 'signature'>): Uint8Array {
  const writer = new ByteWriter(128).u8(FORMAT).sized(fields.publicKey).varint(fields.role).u48(fields.joinedMs);
  return writer.raw(fromHex(fields.signer)).finish();
}

/** Bound to the key it describes, so that it can not be moved to another member. */
export function descriptionBytes(nodeId: string, fields: Omit<Description, 'signature'>): Uint8Array {
  return new ByteWriter(128).raw(fromHex(nodeId)).sized(utf8(fields.name)).sized(utf8(fields.address)).raw(fromHex(fields.signer)).finish();
}

export function standingBytes(nodeId: string, { evicted, sinceMs, signer }: Omit<Standing, 'signature'>): Uint8Array {
  const writer = new ByteWriter(128).u8(FORMAT).raw(fromHex(nodeId));
  return writer
    .u8(evicted ? 1 : 0)
    .u48(sinceMs)
    .raw(fromHex(signer))
    .finish();
}

export function encodeMember({ nodeId, introduction, description, standing }: MemberRecord): Uint8Array {
  const first = introductionBytes(introduction);
  const second = descriptionBytes(nodeId, description);
  const writer = new ByteWriter(512).sized(first).raw(introduction.signature).sized(second).raw(description.signature);
  if (standing !== undefined) writer.sized(standingBytes(nodeId, standing)).raw(standing.signature);
  return writer.finish();
}

/** @throws {SamerootError} `BAD_ENCODING` */
export function decodeMember(bytes: Uint8Array): MemberRecord {
  const reader = new ByteReader(bytes);
  const first = new ByteReader(reader.sized(PART_BYTES_MAX));
  const introductionSignature = Uint8Array.from(reader.raw(SIGNATURE_BYTES));
  const second = new ByteReader(reader.sized(PART_BYTES_MAX));
  const descriptionSignature = Uint8Array.from(reader.raw(SIGNATURE_BYTES));
  const standing = reader.remaining === 0 ? undefined : readStanding(reader);
  if (first.u8() !== FORMAT) throw badEncoding('a member record has an unknown format');
  const introduction = {
    publicKey: Uint8Array.from(first.sized(KEY_BYTES_LIMIT)),
    role: first.varint(1),
    joinedMs: first.u48(),
    signer: toHex(first.raw(HASH_BYTES)),
    signature: introductionSignature,
  };
  first.end();
  const nodeId = toHex(second.raw(HASH_BYTES));
  const name = fromUtf8(second.sized(NAME_TEXT_BYTES_MAX));
  const address = fromUtf8(second.sized(NAME_TEXT_BYTES_MAX));
  const signer = toHex(second.raw(HASH_BYTES));
  second.end();
  if (name === undefined || address === undefined) throw badEncoding('a member record has a name that is not UTF-8');
  if (nodeId !== fingerprintOf(introduction.publicKey)) throw badEncoding('a member record describes another key');
  if (standing !== undefined && standing.nodeId !== nodeId) throw badEncoding('a member record has the standing of another key');
  return { nodeId, introduction, description: { name, address, signer, signature: descriptionSignature }, standing };
}

function readStanding(reader: ByteReader): Standing & { readonly nodeId: string } {
  const part = new ByteReader(reader.sized(PART_BYTES_MAX));
  const signature = Uint8Array.from(reader.raw(SIGNATURE_BYTES));
  reader.end();
  if (part.u8() !== FORMAT) throw badEncoding('a standing has an unknown format');
  const nodeId = toHex(part.raw(HASH_BYTES));
  const evicted = part.varint(1) === 1;
  const sinceMs = part.u48();
  const signer = toHex(part.raw(HASH_BYTES));
  part.end();
  return { nodeId, evicted, sinceMs, signer, signature };
}

/** All versions of a member's record that can be read, the one that wins the view first. */
export function recordVersions(key: Uint8Array, entry: Entry | undefined): MemberRecord[] {
  const { winner, others } = view(entry);
  return winner === undefined ? [] : [winner, ...others].flatMap(({ version }) => readRecord(key, version.value) ?? []);
}

/** Undefined where it is not one of this version's format: it stays in the tree and counts for nothing here. */
function readRecord(key: Uint8Array, value: Value): MemberRecord | undefined {
  if (value.kind !== 'record') return undefined;
  try {
    const record = decodeMember(value.data);
    return record.nodeId === nodeIdOfKey(key) ? record : undefined;
  } catch {
    return undefined;
  }
}
