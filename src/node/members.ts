/**
 * Who belongs to the share. The list is replicated state like everything else: one entry under `m/<node id>` for each
 * member, in signed parts: the introduction (this key may take part), signed by the member that invited it; the
 * description (name, address), signed by the member itself once it has spoken; and, once it was evicted or admitted
 * again, its standing, signed by who did that. The first introduction is the founder's own, and the founder is a parameter
 * of the share: every chain of introductions ends there, so nobody who is not a member can add anyone.
 *
 * Invariant: an introduction is never replaced. Those whom a member introduced stay members when it is evicted, by one of
 * them even; what it signed from its eviction on does not count.
 */
import { badEncoding, ByteReader, ByteWriter, concatBytes, fromHex, fromUtf8, toHex, utf8 } from '../base/bytes.ts';
import { SamerootError } from '../base/errors.ts';
import { PEERS_MAX, HASH_BYTES, NAME_TEXT_BYTES_MAX } from '../base/limits.ts';
import { view } from '../entry/view.ts';
import type { Entry, Value } from '../entry/entry.ts';
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
  /** Since when it is evicted, or admitted again; undefined: it was never evicted. Milliseconds since 1970. */
  readonly standingMs: number | undefined;
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
  readonly signer: string;
  readonly signature: Uint8Array;
}

interface Description {
  readonly name: string;
  readonly address: string;
  readonly signer: string;
  readonly signature: Uint8Array;
}

interface Standing {
  readonly evicted: boolean;
  readonly sinceMs: number;
  readonly signer: string;
  readonly signature: Uint8Array;
}

interface MemberRecord {
  readonly nodeId: string;
  readonly introduction: Introduction;
  readonly description: Description;
  /** Undefined: never evicted. */
  readonly standing: Standing | undefined;
}

function introductionBytes(fields: Omit<Introduction, 'signature'>): Uint8Array {
  const writer = new ByteWriter(128).u8(FORMAT).sized(fields.publicKey).varint(fields.role).u48(fields.joinedMs);
  return writer.raw(fromHex(fields.signer)).finish();
}

/** Bound to the key it describes, so that it can not be moved to another member. */
function descriptionBytes(nodeId: string, fields: Omit<Description, 'signature'>): Uint8Array {
  return new ByteWriter(128).raw(fromHex(nodeId)).sized(utf8(fields.name)).sized(utf8(fields.address)).raw(fromHex(fields.signer)).finish();
}

function standingBytes(nodeId: string, { evicted, sinceMs, signer }: Omit<Standing, 'signature'>): Uint8Array {
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

/** In the order of time; of two at one moment the eviction last. */
function compareStandings(a: Standing, b: Standing): number {
  return a.sinceMs - b.sinceMs || Number(a.evicted) - Number(b.evicted);
}

function isOut(standing: Standing | undefined, atMs: number): boolean {
  return standing?.evicted === true && atMs >= standing.sinceMs;
}

/** Undefined where it is not one of this version's format: it stays in the tree and counts for nothing here. */
function readRecord(key: Uint8Array, value: Value): MemberRecord | undefined {
  if (value.kind !== 'record') return undefined;
  try {
    const record = decodeMember(value.data);
    return record.nodeId === toHex(key.subarray(PREFIX.length)) ? record : undefined;
  } catch {
    return undefined;
  }
}

/** Three signatures a member, and what they change into. */
const VERIFIED_MAX: number = 16 * PEERS_MAX;

/** The members as this replica knows them; follows the tree. */
export class Members {
  readonly #replica: Replica;
  readonly #identity: Identity;
  readonly #records = new Map<string, MemberRecord>();
  /** Keys, bytes and signatures that were found to belong together. */
  readonly #verified = new Set<string>();
  /** All that are told of a member, by versions of its record that were written at the same time; in the order of time. */
  readonly #standings = new Map<string, readonly Standing[]>();
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

  /** Evicted ones too. */
  get(nodeId: string): Member | undefined {
    return this.#valid.get(nodeId);
  }

  isEvicted(nodeId: string): boolean {
    return this.#valid.get(nodeId)?.evicted === true;
  }

  /** Records in the tree that can be read. */
  get records(): number {
    return this.#records.size;
  }

  /** May this key take part? */
  trusts(nodeId: string): boolean {
    const member = this.#valid.get(nodeId);
    return member === undefined ? this.#pins.has(nodeId) : !member.evicted;
  }

  pin(nodeId: string): void {
    this.#pins.add(nodeId);
  }

  /** Later than every standing that is known here, whatever the clocks say. */
  laterMs(nowMs: number): number {
    return Math.max(nowMs, ...[...this.#standings.values()].flat().map(({ sinceMs }) => sinceMs + 1));
  }

  /**
   * Lets in the holder of an invitation that was made at `invitedMs`. One that is a member already comes without its tree: it
   * may have been evicted, and this node not have heard of it yet. So that it is admitted again is written in any case, once
   * for an invitation; which of the two holds is then for their times to say.
   */
  async admit(publicKey: Uint8Array, about: Parameters<Members['introduce']>[1], invitedMs: number): Promise<void> {
    const known = this.#valid.get(fingerprintOf(publicKey));
    if (known === undefined) await this.introduce(publicKey, { ...about, joinedMs: Math.max(about.joinedMs, invitedMs) });
    else if (known.evicted || (known.standingMs ?? known.joinedMs) < invitedMs) {
      await this.#stand(known.nodeId, false, Math.max(about.joinedMs, invitedMs));
    }
  }

  /** Makes a key a member, on this node's word. Says nothing where it is one already, or was. */
  async introduce(publicKey: Uint8Array, about: { name: string; address: string; role: number; joinedMs: number }): Promise<void> {
    const nodeId = fingerprintOf(publicKey);
    if (this.#valid.has(nodeId)) return;
    const signer = this.#identity.nodeId;
    const introduction = { publicKey, role: about.role, joinedMs: about.joinedMs, signer };
    const description = { name: about.name, address: about.address, signer };
    await this.#put({
      nodeId,
      introduction: { ...introduction, signature: this.#identity.sign(introductionBytes(introduction)) },
      description: { ...description, signature: this.#identity.sign(descriptionBytes(nodeId, description)) },
      standing: undefined,
    });
  }

  /** A member takes part no more, on this node's word. */
  async evict(nodeId: string, nowMs: number): Promise<void> {
    if (this.#valid.get(nodeId)?.evicted === false) await this.#stand(nodeId, true, Math.max(nowMs, this.#signedMs(nodeId) + 1));
  }

  /** When the newest was signed that this member is known to have signed, by its own clock: it was none that was evicted. */
  #signedMs(nodeId: string): number {
    const introduced = [...this.#records.values()].flatMap(({ introduction }) => ({ ...introduction, sinceMs: introduction.joinedMs }));
    const signed = [...introduced, ...[...this.#standings.values()].flat()].filter(({ signer }) => signer === nodeId);
    return Math.max(0, ...signed.map(({ sinceMs }) => sinceMs));
  }

  async #stand(nodeId: string, evicted: boolean, nowMs: number): Promise<void> {
    const record = this.#records.get(nodeId)!;
    // Later than the one before, whatever the clocks say.
    const sinceMs = Math.max(nowMs, (this.#standings.get(nodeId)!.at(-1)?.sinceMs ?? 0) + 1);
    const standing = { evicted, sinceMs, signer: this.#identity.nodeId };
    await this.#put({ ...record, standing: { ...standing, signature: this.#identity.sign(standingBytes(nodeId, standing)) } });
  }

  /** This node's own name and address, once it has been introduced. */
  async describeSelf(name: string, address: string): Promise<void> {
    const { nodeId } = this.#identity;
    const record = this.#records.get(nodeId);
    if (record === undefined || this.#valid.get(nodeId)?.evicted !== false) return;
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

  /** The newest version counts, but of all of them the standings: a member that describes itself meanwhile does not undo its eviction. */
  #take(key: Uint8Array, entry: Entry | undefined): void {
    const { winner, others } = view(entry);
    if (winner === undefined) return;
    const records = [winner, ...others].flatMap(({ version }) => readRecord(key, version.value) ?? []);
    const [record] = records;
    if (record === undefined) return;
    const standings = records.flatMap(({ standing }) => standing ?? []).sort(compareStandings);
    // What is written next takes the place of all versions, and has room for one standing: the last, or it would be lost.
    this.#records.set(record.nodeId, { ...record, standing: standings.at(-1) });
    this.#standings.set(record.nodeId, standings);
  }

  /**
   * Who was evicted depends on whose word counts, and that on who was evicted. Looked at twice: what is left open then are
   * knots that only members make who evict each other through keys they introduced after their own eviction.
   */
  #refresh(): void {
    let introduced = this.#introduced(new Map());
    let standings = this.#sound(introduced);
    introduced = this.#introduced(standings);
    standings = this.#sound(introduced);
    introduced = this.#introduced(standings);
    this.#valid = new Map(
      [...introduced].map((nodeId) => {
        const { introduction, description } = this.#records.get(nodeId)!;
        const { publicKey, role, joinedMs } = introduction;
        const { evicted = false, sinceMs: standingMs } = standings.get(nodeId) ?? {};
        return [nodeId, { nodeId, publicKey, role, joinedMs, evicted, standingMs, ...this.#describe(nodeId, introduction, description) }];
      }),
    );
  }

  /** Each signature is verified once: a share with n members is looked at anew with each change of one of them. */
  #signed(publicKey: Uint8Array, bytes: Uint8Array, signature: Uint8Array): boolean {
    const id = Buffer.concat([publicKey, signature, bytes]).toString('latin1');
    if (this.#verified.has(id)) return true;
    if (!verifySignature(publicKey, bytes, signature)) return false;
    if (this.#verified.size >= VERIFIED_MAX) this.#verified.clear();
    this.#verified.add(id);
    return true;
  }

  /** Those who were introduced by one who was, starting from the founder; not by one who was evicted by then. */
  #introduced(standings: ReadonlyMap<string, Standing>): Set<string> {
    const founder = this.#replica.share.founder;
    const introduced = new Set<string>();
    for (let grown = true; grown;) {
      grown = false;
      for (const [nodeId, { introduction }] of this.#records) {
        const { signer, joinedMs, signature } = introduction;
        if (introduced.has(nodeId)) continue;
        const first = nodeId === founder && signer === founder;
        if (!first && (!introduced.has(signer) || isOut(standings.get(signer), joinedMs))) continue;
        const key = this.#records.get(signer)?.introduction.publicKey;
        if (key === undefined || !this.#signed(key, introductionBytes(introduction), signature)) continue;
        introduced.add(nodeId);
        grown = true;
      }
    }
    return introduced;
  }

  /** The last standing of each that was signed by one who could. In the order of time: of two that evict each other the first one does. */
  #sound(introduced: ReadonlySet<string>): Map<string, Standing> {
    const standings = [...introduced].flatMap((nodeId) => this.#standings.get(nodeId)!.map((standing) => ({ nodeId, ...standing })));
    standings.sort((a, b) => compareStandings(a, b) || (a.nodeId < b.nodeId ? -1 : 1));
    const last = new Map<string, Standing>();
    for (const standing of standings) {
      const { nodeId, sinceMs, signer, signature } = standing;
      const key = introduced.has(signer) ? this.#records.get(signer)?.introduction.publicKey : undefined;
      if (key === undefined || signer === nodeId || isOut(last.get(signer), sinceMs)) continue;
      if (!this.#signed(key, standingBytes(nodeId, standing), signature)) continue;
      last.set(nodeId, standing);
    }
    return last;
  }

  /** A description counts if the member itself or its introducer signed it. */
  #describe(nodeId: string, introduction: Introduction, description: Description): { name: string; address: string } {
    const { name, address, signer, signature } = description;
    const key = signer === nodeId ? introduction.publicKey : this.#records.get(signer)?.introduction.publicKey;
    const sound =
      (signer === nodeId || signer === introduction.signer) &&
      key !== undefined &&
      this.#signed(key, descriptionBytes(nodeId, description), signature);
    return sound ? { name, address } : { name: '', address: '' };
  }
}
