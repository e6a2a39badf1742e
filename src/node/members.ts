/**
 * Who belongs to the share. The list is replicated state like everything else: one entry under `m/<node id>` for each
 * member, in two signed parts: the introduction (this key may take part), signed by the member that invited it, and the
 * description (name, address), signed by the member itself once it has spoken. The first introduction is the founder's
 * own, and the founder is a parameter of the share: every chain of introductions ends there, so nobody who is not a
 * member can add anyone.
 */
import { badEncoding, ByteReader, ByteWriter, concatBytes, fromHex, fromUtf8, toHex, utf8 } from '../base/bytes.ts';
import { SamerootError } from '../base/errors.ts';
import { HASH_BYTES, NAME_TEXT_BYTES_MAX } from '../base/limits.ts';
import { view } from '../entry/view.ts';
import type { Entry } from '../entry/entry.ts';
import { fingerprintOf, verifySignature, type Identity } from '../net/identity.ts';
import type { Replica } from '../replica/replica.ts';
import { walk } from '../tree/walk.ts';
import { decodeEntry } from '../entry/entry-codec.ts';

export interface Member {
  readonly nodeId: string;
  readonly publicKey: Uint8Array;
  readonly name: string;
  /** `host:port` to dial; empty when it can not be dialed. */
  readonly address: string;
  /** 0 writer, 1 read-only. */
  readonly role: number;
  readonly joinedMs: number;
  readonly evicted: boolean;
}

const FORMAT = 1;
const PREFIX = utf8('m/');
const PREFIX_END = utf8('m0');
const KEY_BYTES_LIMIT = 256;
const SIGNATURE_BYTES = 64;
const PART_BYTES_MAX = 1024;

export function memberKey(nodeId: string): Uint8Array {
  return concatBytes(PREFIX, fromHex(nodeId));
}

export function isMemberKey(key: Uint8Array): boolean {
  return key[0] === PREFIX[0] && key[1] === PREFIX[1];
}

interface Introduction {
  readonly publicKey: Uint8Array;
  readonly role: number;
  readonly joinedMs: number;
  readonly evicted: boolean;
  readonly signer: string;
  readonly signature: Uint8Array;
}

interface Description {
  readonly name: string;
  readonly address: string;
  readonly signer: string;
  readonly signature: Uint8Array;
}

interface MemberRecord {
  readonly nodeId: string;
  readonly introduction: Introduction;
  readonly description: Description;
}

function introductionBytes(fields: Omit<Introduction, 'signature'>): Uint8Array {
  const writer = new ByteWriter(128).u8(FORMAT).sized(fields.publicKey).varint(fields.role).u48(fields.joinedMs);
  return writer
    .varint(fields.evicted ? 1 : 0)
    .raw(fromHex(fields.signer))
    .finish();
}

/** Bound to the key it describes, so that it can not be moved to another member. */
function descriptionBytes(nodeId: string, fields: Omit<Description, 'signature'>): Uint8Array {
  return new ByteWriter(128).raw(fromHex(nodeId)).sized(utf8(fields.name)).sized(utf8(fields.address)).raw(fromHex(fields.signer)).finish();
}

export function encodeMember({ nodeId, introduction, description }: MemberRecord): Uint8Array {
  const first = introductionBytes(introduction);
  const second = descriptionBytes(nodeId, description);
  return new ByteWriter(512).sized(first).raw(introduction.signature).sized(second).raw(description.signature).finish();
}

/** @throws {SamerootError} `BAD_ENCODING` */
export function decodeMember(bytes: Uint8Array): MemberRecord {
  const reader = new ByteReader(bytes);
  const first = new ByteReader(reader.sized(PART_BYTES_MAX));
  const introductionSignature = Uint8Array.from(reader.raw(SIGNATURE_BYTES));
  const second = new ByteReader(reader.sized(PART_BYTES_MAX));
  const descriptionSignature = Uint8Array.from(reader.raw(SIGNATURE_BYTES));
  reader.end();
  if (first.u8() !== FORMAT) throw badEncoding('a member record has an unknown format');
  const introduction = {
    publicKey: Uint8Array.from(first.sized(KEY_BYTES_LIMIT)),
    role: first.varint(1),
    joinedMs: first.u48(),
    evicted: first.varint(1) === 1,
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
  return { nodeId, introduction, description: { name, address, signer, signature: descriptionSignature } };
}

/** The members as this replica knows them; follows the tree. */
export class Members {
  readonly #replica: Replica;
  readonly #identity: Identity;
  readonly #records = new Map<string, MemberRecord>();
  #valid = new Map<string, Member>();
  /** Keys trusted before their record arrives: the inviter's, and hosts that proved an invitation to us. */
  readonly #pins: Set<string>;

  constructor(replica: Replica, identity: Identity, pins: Iterable<string>) {
    this.#replica = replica;
    this.#identity = identity;
    this.#pins = new Set(pins);
    for (const { key, value } of walk(replica.reader, replica.head.tree, { from: PREFIX, to: PREFIX_END }))
      this.#take(key, decodeEntry(value));
    this.#refresh();
    replica.onCommit((commit) => {
      const changed = commit.keys.filter(({ key }) => isMemberKey(key));
      for (const { key } of changed) this.#take(key, replica.entry(key));
      if (changed.length > 0) this.#refresh();
    });
  }

  /** Members that are not evicted, this node included. */
  list(): Member[] {
    return [...this.#valid.values()].filter((member) => !member.evicted);
  }

  get(nodeId: string): Member | undefined {
    return this.#valid.get(nodeId);
  }

  /** May this key take part? */
  trusts(nodeId: string): boolean {
    const member = this.#valid.get(nodeId);
    return member === undefined ? this.#pins.has(nodeId) : !member.evicted;
  }

  pin(nodeId: string): void {
    this.#pins.add(nodeId);
  }

  /** Makes a key a member, on this node's word. Says nothing where it is one already. */
  async introduce(publicKey: Uint8Array, about: { name: string; address: string; role: number; joinedMs: number }): Promise<void> {
    const nodeId = fingerprintOf(publicKey);
    if (this.#valid.get(nodeId)?.evicted === false) return;
    const signer = this.#identity.nodeId;
    const introduction = { publicKey, role: about.role, joinedMs: about.joinedMs, evicted: false, signer };
    const description = { name: about.name, address: about.address, signer };
    await this.#put({
      nodeId,
      introduction: { ...introduction, signature: this.#identity.sign(introductionBytes(introduction)) },
      description: { ...description, signature: this.#identity.sign(descriptionBytes(nodeId, description)) },
    });
  }

  /** This node's own name and address, once it has been introduced. */
  async describeSelf(name: string, address: string): Promise<void> {
    const { nodeId } = this.#identity;
    const record = this.#records.get(nodeId);
    if (record === undefined || !this.#valid.has(nodeId)) return;
    if (record.description.name === name && record.description.address === address) return;
    const description = { name, address, signer: nodeId };
    await this.#put({ ...record, description: { ...description, signature: this.#identity.sign(descriptionBytes(nodeId, description)) } });
  }

  /** A record that a peer sent must at least be of the right kind, well formed and filed under its own key. */
  check(key: Uint8Array, entry: Entry): void {
    for (const { value } of entry.versions) {
      if (value.kind !== 'record') throw new SamerootError('BAD_MESSAGE', 'the peer sent a member record of the wrong kind');
      if (toHex(key.subarray(PREFIX.length)) !== decodeMember(value.data).nodeId) {
        throw new SamerootError('BAD_MESSAGE', 'the peer sent a member record under another key');
      }
    }
  }

  async #put(record: MemberRecord): Promise<void> {
    await this.#replica.write(memberKey(record.nodeId), { kind: 'record', data: encodeMember(record) });
  }

  #take(key: Uint8Array, entry: Entry | undefined): void {
    const value = view(entry).winner?.version.value;
    if (value?.kind !== 'record') return;
    try {
      const record = decodeMember(value.data);
      if (record.nodeId === toHex(key.subarray(PREFIX.length))) this.#records.set(record.nodeId, record);
    } catch {
      // Not a record of this version's format: it stays in the tree and counts for nothing here.
    }
  }

  /** Valid = introduced by a member that is valid itself, starting from the founder. */
  #refresh(): void {
    const founder = this.#replica.share.founder;
    const valid = new Map<string, Member>();
    for (let grown = true; grown;) {
      grown = false;
      for (const [nodeId, { introduction, description }] of this.#records) {
        const { signer, signature } = introduction;
        if (valid.has(nodeId) || !(valid.has(signer) || (nodeId === founder && signer === founder))) continue;
        const key = this.#records.get(signer)?.introduction.publicKey;
        if (key === undefined || !verifySignature(key, introductionBytes(introduction), signature)) continue;
        valid.set(nodeId, { nodeId, ...introduction, ...this.#describe(nodeId, introduction, description) });
        grown = true;
      }
    }
    this.#valid = valid;
  }

  /** A description counts if the member itself or its introducer signed it. */
  #describe(nodeId: string, introduction: Introduction, description: Description): { name: string; address: string } {
    const { name, address, signer, signature } = description;
    const key = signer === nodeId ? introduction.publicKey : this.#records.get(signer)?.introduction.publicKey;
    const sound =
      (signer === nodeId || signer === introduction.signer) &&
      key !== undefined &&
      verifySignature(key, descriptionBytes(nodeId, description), signature);
    return sound ? { name, address } : { name: '', address: '' };
  }
}
