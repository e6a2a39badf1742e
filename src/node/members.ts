/**
 * Who belongs to the share. The list is replicated state like everything else: one entry under `m/<node id>` for each
 * member, in signed parts: the introduction (this key may take part), signed by the member that invited it; the
 * description (name, address), signed by the member itself once it has spoken; and, once it was evicted or admitted
 * again, its standing, signed by who did that. The first introduction is the founder's own, and the founder is a parameter
 * of the share: every chain of introductions ends there, so nobody who is not a member can add anyone.
 *
 * Invariant: an introduction that counts is never replaced. Those whom a member introduced stay members when it is evicted, by one of
 * them even; what it signed from its eviction on does not count.
 */
import { SamerootError, type ErrorCode } from '../base/errors.ts';
import { PEERS_MAX } from '../base/limits.ts';
import type { Entry } from '../entry/entry.ts';
import { fingerprintOf, verifySignature, type Identity } from '../net/identity.ts';
import type { Replica } from '../replica/replica.ts';
import { walk } from '../tree/walk.ts';
import { decodeEntry } from '../entry/entry-codec.ts';
import type { EntryItem } from '../wire/messages.ts';
import { introductionsOf, judgeIntroductions } from './introductions.ts';
import {
  decodeMember,
  descriptionBytes,
  encodeMember,
  introductionBytes,
  isMemberKey,
  MEMBER_KEYS,
  memberKey,
  nodeIdOfKey,
  recordVersions,
  standingBytes,
  type Introduction,
  type MemberRecord,
  type Standing,
} from './member-record.ts';

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

/** In the order of time; of two at one moment the eviction last. */
function compareStandings(a: Standing, b: Standing): number {
  return a.sinceMs - b.sinceMs || Number(a.evicted) - Number(b.evicted);
}

function isOut(standing: Standing | undefined, atMs: number): boolean {
  return standing?.evicted === true && atMs >= standing.sinceMs;
}

/** Three signatures a member, and what they change into. */
const VERIFIED_MAX: number = 16 * PEERS_MAX;

/** The members as this replica knows them; follows the tree. */
export class Members {
  readonly #replica: Replica;
  readonly #identity: Identity;
  /** All versions of each record that can be read, the one that wins the view first. */
  readonly #versions = new Map<string, readonly MemberRecord[]>();
  /** Keys, bytes and signatures that were found to belong together. */
  readonly #verified = new Set<string>();
  /** All that are told of a member, by versions of its record that were written at the same time; in the order of time. */
  readonly #standings = new Map<string, readonly Standing[]>();
  #valid = new Map<string, Member>();
  /** Of the valid members: what made each one. */
  #introductions: ReadonlyMap<string, Introduction> = new Map();
  /** Keys trusted before their record arrives: the inviter's, and hosts that proved an invitation to us. */
  readonly #pins: Set<string>;

  constructor(replica: Replica, identity: Identity, pins: Iterable<string>) {
    this.#replica = replica;
    this.#identity = identity;
    this.#pins = new Set(pins);
    for (const { key, value } of walk(replica.reader, replica.head.tree, MEMBER_KEYS)) this.#take(key, decodeEntry(value));
    this.#refresh();
    replica.onCommit((commit) => {
      const changed = commit.keys.filter(({ key }) => isMemberKey(key));
      // As the commit tells it: the database may not be readable just now, and there is no second time.
      for (const { key, entry } of changed) this.#take(key, entry);
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
    return this.#versions.size;
  }

  /** May this key take part? */
  trusts(nodeId: string): boolean {
    const member = this.#valid.get(nodeId);
    return member === undefined ? this.#pins.has(nodeId) : !member.evicted;
  }

  pin(nodeId: string): void {
    this.#pins.add(nodeId);
  }

  /** What this node shows where nobody has heard of it. */
  get introductions(): EntryItem[] {
    return introductionsOf(this.#identity.nodeId, this.#replica, this.#introductions);
  }

  /** What a host shows that is no member here: the records that make it one, or why they do not. */
  judge(nodeId: string, shown: readonly EntryItem[]): readonly EntryItem[] | ErrorCode {
    return judgeIntroductions(nodeId, shown, {
      member: (id) => this.#valid.get(id),
      versions: (id) => this.#versions.get(id),
      isIntroduction: (publicKey, introduction) => this.#isIntroduction(publicKey, introduction),
    });
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
    const records = [...this.#versions.values()].flat();
    const introduced = records.map(({ introduction }) => ({ ...introduction, sinceMs: introduction.joinedMs }));
    const signed = [...introduced, ...[...this.#standings.values()].flat()].filter(({ signer }) => signer === nodeId);
    return Math.max(0, ...signed.map(({ sinceMs }) => sinceMs));
  }

  async #stand(nodeId: string, evicted: boolean, nowMs: number): Promise<void> {
    const record = this.#record(nodeId)!;
    // Later than the one before, whatever the clocks say.
    const sinceMs = Math.max(nowMs, (this.#standings.get(nodeId)!.at(-1)?.sinceMs ?? 0) + 1);
    const standing = { evicted, sinceMs, signer: this.#identity.nodeId };
    await this.#put({ ...record, standing: { ...standing, signature: this.#identity.sign(standingBytes(nodeId, standing)) } });
  }

  /** This node's own name and address, once it has been introduced. */
  async describeSelf(name: string, address: string): Promise<void> {
    const { nodeId } = this.#identity;
    const record = this.#record(nodeId);
    if (record === undefined || this.#valid.get(nodeId)?.evicted !== false) return;
    if (record.description.name === name && record.description.address === address) return;
    const description = { name, address, signer: nodeId };
    await this.#put({ ...record, description: { ...description, signature: this.#identity.sign(descriptionBytes(nodeId, description)) } });
  }

  /** A record that a peer sent must at least be of the right kind, well formed and filed under its own key. */
  check(key: Uint8Array, entry: Entry): void {
    for (const { value } of entry.versions) {
      if (value.kind !== 'record') throw new SamerootError('BAD_MESSAGE', 'the peer sent a member record of the wrong kind');
      if (nodeIdOfKey(key) !== decodeMember(value.data).nodeId) {
        throw new SamerootError('BAD_MESSAGE', 'the peer sent a member record under another key');
      }
    }
  }

  async #put(record: MemberRecord): Promise<void> {
    await this.#replica.write(memberKey(record.nodeId), { kind: 'record', data: encodeMember(record) });
  }

  /**
   * The newest description counts, but the introductions and standings of all versions: a member that describes itself meanwhile
   * does not undo its eviction, nor does the word of an evicted one undo that of another who introduced the same key.
   */
  #take(key: Uint8Array, entry: Entry | undefined): void {
    const versions = recordVersions(key, entry);
    if (versions.length === 0) return;
    const nodeId = nodeIdOfKey(key);
    this.#versions.set(nodeId, versions);
    this.#standings.set(nodeId, versions.flatMap(({ standing }) => standing ?? []).sort(compareStandings));
  }

  /**
   * What the next write of a record begins with. It takes the place of all versions, and has room for one introduction and one
   * standing: one that counts, and the last, or they would be lost.
   */
  #record(nodeId: string): MemberRecord | undefined {
    const [winner] = this.#versions.get(nodeId) ?? [];
    if (winner === undefined) return undefined;
    const introduction = this.#introductions.get(nodeId) ?? winner.introduction;
    return { ...winner, introduction, standing: this.#standings.get(nodeId)!.at(-1) };
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
      [...introduced].map(([nodeId, introduction]) => {
        const { publicKey, role, joinedMs } = introduction;
        const { evicted = false, sinceMs: standingMs } = standings.get(nodeId) ?? {};
        return [nodeId, { nodeId, publicKey, role, joinedMs, evicted, standingMs, ...this.#describe(nodeId) }];
      }),
    );
    this.#introductions = introduced;
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
  #introduced(standings: ReadonlyMap<string, Standing>): Map<string, Introduction> {
    const founder = this.#replica.share.founder;
    const introduced = new Map<string, Introduction>();
    const counts = (nodeId: string, introduction: Introduction): boolean => {
      const { signer, joinedMs } = introduction;
      const first = nodeId === founder && signer === founder;
      const { publicKey } = first ? introduction : (introduced.get(signer) ?? {});
      if (publicKey === undefined || (!first && isOut(standings.get(signer), joinedMs))) return false;
      return this.#isIntroduction(publicKey, introduction);
    };
    for (let grown = true; grown;) {
      grown = false;
      for (const [nodeId, versions] of this.#versions) {
        const found = introduced.has(nodeId) ? undefined : versions.find(({ introduction }) => counts(nodeId, introduction));
        if (found === undefined) continue;
        introduced.set(nodeId, found.introduction);
        grown = true;
      }
    }
    return introduced;
  }

  #isIntroduction(publicKey: Uint8Array, introduction: Introduction): boolean {
    return this.#signed(publicKey, introductionBytes(introduction), introduction.signature);
  }

  /** The last standing of each that was signed by one who could. In the order of time: of two that evict each other the first one does. */
  #sound(introduced: ReadonlyMap<string, Introduction>): Map<string, Standing> {
    const standings = [...introduced.keys()].flatMap((nodeId) => this.#standings.get(nodeId)!.map((standing) => ({ nodeId, ...standing })));
    standings.sort((a, b) => compareStandings(a, b) || (a.nodeId < b.nodeId ? -1 : 1));
    const last = new Map<string, Standing>();
    for (const standing of standings) {
      const { nodeId, sinceMs, signer, signature } = standing;
      const key = introduced.get(signer)?.publicKey;
      if (key === undefined || signer === nodeId || isOut(last.get(signer), sinceMs)) continue;
      if (!this.#signed(key, standingBytes(nodeId, standing), signature)) continue;
      last.set(nodeId, standing);
    }
    return last;
  }

  /** A description counts if the member itself signed it, or who introduced it in the same version. */
  #describe(nodeId: string): { name: string; address: string } {
    const sound = this.#versions.get(nodeId)!.find(({ introduction, description }) => {
      const { signer, signature } = description;
      if (signer !== nodeId && signer !== introduction.signer) return false;
      const key = this.#publicKey(signer);
      return key !== undefined && this.#signed(key, descriptionBytes(nodeId, description), signature);
    });
    return sound?.description ?? { name: '', address: '' };
  }

  /** A node id is the hash of its key: all versions of a record have the same. */
  #publicKey(nodeId: string): Uint8Array | undefined {
    return this.#versions.get(nodeId)?.[0]?.introduction.publicKey;
  }
}
