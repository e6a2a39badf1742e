/**
 * How this node becomes and stays a member: the invitation that it holds, the keys that it trusts, the invitations of
 * others that it checks, and the address that it tells.
 */
import { SamerootError, type ErrorCode } from '../base/errors.ts';
import { HASH_BYTES, NAME_TEXT_BYTES_MAX } from '../base/limits.ts';
import type { World } from '../base/world.ts';
import type { Identity } from '../net/identity.ts';
import { decodeToken, invitationId, invitesTo, joinProof, requireUnexpired, type Invitation } from '../net/invitation.ts';
import type { Address, Channel } from '../net/transport.ts';
import { parametersHash, type Share } from '../replica/share.ts';
import * as keyspace from '../store/keyspace.ts';
import type { Store } from '../store/store.ts';
import type { Opening, Refusal } from '../session/handshake.ts';
import type { EntryItem, MessageOf } from '../wire/messages.ts';
import { checkJoin, inviteMadeMs } from './invites.ts';
import type { Member, Members } from './members.ts';
import type { NodeOptions } from './node-api.ts';
import { formatAddress, parseAddress } from './peers.ts';

export interface MembershipOptions {
  readonly options: NodeOptions;
  readonly identity: Identity;
  readonly store: Store;
  readonly world: World;
  readonly hostName: string;
  /** Where others may reach this host; the best guess first, none where it is on no network. */
  readonly networkAddresses: () => readonly string[];
}

export class Membership {
  readonly name: string;
  readonly #options: NodeOptions;
  readonly #identity: Identity;
  readonly #store: Store;
  readonly #world: World;
  readonly #hostName: string;
  readonly #networkAddresses: () => readonly string[];
  readonly #invitation: Invitation | undefined;
  #members: Members | undefined;
  #listening: Address | undefined;
  /** Members that have not heard of this one, with what they said last and how often; until they greet it. */
  readonly #refusals = new Map<string, { readonly code: ErrorCode; readonly times: number }>();
  #left = false;

  /** @throws {SamerootError} `BAD_TOKEN` */
  constructor({ options, identity, store, world, hostName, networkAddresses }: MembershipOptions) {
    this.name = hostName.slice(0, NAME_TEXT_BYTES_MAX / 4);
    this.#options = options;
    this.#identity = identity;
    this.#store = store;
    this.#world = world;
    this.#hostName = hostName;
    this.#networkAddresses = networkAddresses;
    this.#invitation = options.token === undefined ? undefined : decodeToken(options.token);
  }

  /** The only host that this one may talk to before it is a member. */
  get inviterId(): string | undefined {
    return this.#members === undefined ? this.#invitation?.inviterId : undefined;
  }

  /** Known once the share is. */
  set members(members: Members) {
    this.#members = members;
  }

  set listening(address: Address) {
    this.#listening = address;
  }

  /**
   * Can this node take part at all, with what it was started with?
   * @throws {SamerootError} `NOT_INVITED`, `TOKEN_EXPIRED`, `SHARE_MISMATCH`
   */
  checkStart(stored: Share | undefined): void {
    const { join, insecure } = this.#options;
    if (stored !== undefined) {
      this.#checkShare(stored, 'this folder is part of a share already, and the invitation is for another');
    } else if (this.#invitation !== undefined) {
      requireUnexpired(this.#invitation, this.#world.clock.wallMs());
    } else if (join.length > 0 && !insecure) {
      throw new SamerootError('NOT_INVITED', 'this folder is not part of a share yet, and there is no --token to join with');
    }
  }

  /** @throws {SamerootError} `SHARE_MISMATCH` */
  checkOffered(share: Share): void {
    this.#checkShare(share, 'the invitation is for another share than the peer serves');
  }

  #checkShare(share: Share, message: string): void {
    if (this.#invitation !== undefined && !invitesTo(this.#invitation, share.id, parametersHash(share))) {
      throw new SamerootError('SHARE_MISMATCH', message);
    }
  }

  /** Keys that were trusted before their member records came. */
  async pins(): Promise<string[]> {
    const pins = this.#invitation === undefined ? [] : [this.#invitation.inviterId];
    for await (const rows of this.#store.iterate(keyspace.prefixRange(keyspace.metaKey('pin/')))) {
      for (const [key] of rows) pins.push(keyspace.nameOfMetaKey(key).slice('pin/'.length));
    }
    return pins;
  }

  async pin(nodeId: string): Promise<void> {
    this.#members?.pin(nodeId);
    await this.#store.write([{ type: 'put', key: keyspace.pinKey(nodeId), value: keyspace.PRESENT }], { durable: true });
  }

  trusts(nodeId: string): boolean {
    return this.#members?.trusts(nodeId) ?? false;
  }

  /** Why a host that greets may not take part. In plain text on loopback everyone may who was not evicted. */
  refusalOf(nodeId: string): Refusal | undefined {
    const member = this.#members?.get(nodeId);
    if (member?.evicted === true) return evictionOf(member);
    if (this.#left) return { code: this.trusts(nodeId) ? 'INVITER_EVICTED' : 'NOT_INVITED' };
    return this.#options.insecure || this.trusts(nodeId) ? undefined : { code: 'NOT_INVITED' };
  }

  /** Why a host that is no member here is not made one by the records that it shows. */
  judge(nodeId: string, shown: readonly EntryItem[]): Refusal | undefined {
    const refusal = this.refusalOf(nodeId);
    if (refusal?.code !== 'NOT_INVITED' || this.#members === undefined || this.#left) return refusal;
    const judged = this.#members.judge(nodeId, shown);
    return typeof judged === 'string' ? { code: judged } : undefined;
  }

  /** This node was evicted: its word counts no more, and it says so to those who might go by it. */
  leave(): void {
    this.#left = true;
  }

  /**
   * Makes a member one no more: `peer` is its name, or the beginning of its node id.
   * @throws {SamerootError} `NOT_FOUND`, `CONFIG_INVALID`
   */
  async evict(peer: string): Promise<{ readonly nodeId: string; readonly name: string }> {
    const found = this.#members!.list().filter(({ nodeId, name }) => nodeId.startsWith(peer) || name === peer);
    const [member, ...others] = found;
    if (member === undefined) throw new SamerootError('NOT_FOUND', `no member is called ${peer}`);
    if (others.length > 0) {
      const ids = found.map(({ nodeId }) => nodeId.slice(0, 16)).join(', ');
      throw new SamerootError(
        'CONFIG_INVALID',
        `${found.length} hosts are called ${peer}: name one by the beginning of its node id (${ids})`,
      );
    }
    if (member.nodeId === this.#identity.nodeId)
      throw new SamerootError('CONFIG_INVALID', 'a host can not evict itself: do it on another host');
    await this.#members!.evict(member.nodeId, this.#world.clock.wallMs());
    this.#world.log.info('a host was evicted', { name: member.name, nodeId: member.nodeId.slice(0, 8) });
    return { nodeId: member.nodeId, name: member.name };
  }

  /** Was this node evicted, as far as its own tree says? */
  get isEvicted(): boolean {
    return this.#members?.isEvicted(this.#identity.nodeId) === true;
  }

  /**
   * Is a refusal with `EVICTED` to be believed? Only a member's that we dialed; and not where this node was admitted again
   * later than that, or comes with an invitation of another member to be so: then the peer has not heard of it yet.
   */
  believesEviction({ remoteId, dialed }: Channel, sinceMs: number | undefined): boolean {
    const trusted = remoteId === undefined ? this.#options.insecure : this.trusts(remoteId);
    if (!dialed || !trusted) return false;
    const own = this.#members?.get(this.#identity.nodeId);
    if (own === undefined) return this.#invitation === undefined || this.#invitation.inviterId === remoteId;
    return own.standingMs === undefined || sinceMs === undefined || sinceMs >= own.standingMs;
  }

  /** May the host at the other end of a connection of ours be talked to? */
  expects(nodeId: string): boolean {
    return this.trusts(nodeId) || this.#invitation?.inviterId === nodeId;
  }

  /** A member that was dialed would not talk to this host. */
  refused({ remoteId, dialed }: Channel, code: ErrorCode): void {
    if (!dialed || remoteId === undefined || !this.trusts(remoteId)) return;
    this.#refusals.set(remoteId, { code, times: (this.#refusals.get(remoteId)?.times ?? 0) + 1 });
  }

  greeted(nodeId: string): void {
    this.#refusals.delete(nodeId);
  }

  /**
   * What a dialer begins with: one that is no member yet, with its invitation. A member that the peer has not heard of, with how it
   * became one; or with a new invitation, where that does not count there. A peer that says it is not invited may know no
   * member that all of this leads to, or may have forgotten its invitations: both are tried, in turn.
   */
  opening(channel: Channel): Opening | undefined {
    if (this.#members?.get(this.#identity.nodeId) === undefined) return this.#join(channel);
    const refusal = this.#refusals.get(channel.remoteId ?? '');
    if (refusal === undefined) return undefined;
    const join = refusal.code === 'INVITER_EVICTED' || refusal.times % 2 === 0 ? this.#join(channel) : undefined;
    return join ?? { type: 'introductions', items: this.#members.introductions };
  }

  #join(channel: Channel): MessageOf<'join'> | undefined {
    const { nodeId, publicKey } = this.#identity;
    const listenPort = this.#options.advertise ? this.#listening!.port : 0;
    const about = { type: 'join', nodeId, publicKey, name: this.name, listenPort } as const;
    if (this.#options.insecure) {
      return this.#members === undefined ? { ...about, invitation: '00'.repeat(8), proof: new Uint8Array(HASH_BYTES) } : undefined;
    }
    const invitation = this.#invitation;
    if (invitation === undefined || channel.remoteId !== invitation.inviterId) return undefined;
    const proof = joinProof(invitation.secret, channel.exporter(), nodeId, invitation.inviterId);
    return { ...about, invitation: invitationId(invitation.secret), proof };
  }

  /** A refusal, or undefined. */
  admit(join: MessageOf<'join'>, channel: Channel): Refusal | undefined {
    if (this.#options.insecure) return this.#left ? { code: 'INVITER_EVICTED' } : undefined;
    if (this.#members === undefined) return { code: 'NOT_INVITED' };
    const code = checkJoin(this.#store, join, channel, this.#identity.nodeId, this.#world.clock.wallMs());
    if (code !== undefined) return { code };
    if (this.#left) return { code: 'INVITER_EVICTED' };
    const member = this.#members.get(join.nodeId);
    // An eviction ends the invitations that were given out before.
    return member?.evicted === true && member.standingMs! >= this.#invitedMs(join) ? evictionOf(member) : undefined;
  }

  /** Over plain text there are no invitations. */
  #invitedMs({ invitation }: MessageOf<'join'>): number {
    return inviteMadeMs(this.#store, invitation) ?? 0;
  }

  /** Makes a host that proved its invitation a member. */
  async introduce(join: MessageOf<'join'>, channel: Channel): Promise<void> {
    await this.pin(join.nodeId);
    const host = parseAddress(channel.remoteAddress)?.host;
    const address = host === undefined || join.listenPort === 0 ? '' : formatAddress({ host, port: join.listenPort });
    const about = { name: join.name, address, role: 0, joinedMs: this.#world.clock.wallMs() };
    await this.#members!.admit(join.publicKey, about, this.#invitedMs(join));
    this.#world.log.info('a host joined', { name: join.name, nodeId: join.nodeId.slice(0, 8), address });
  }

  async introduceSelf(): Promise<void> {
    const about = { name: this.name, address: this.#advertised(), role: 0, joinedMs: this.#world.clock.wallMs() };
    await this.#members!.introduce(this.#identity.publicKey, about);
  }

  /** Keeps our own record right. */
  describeSelf(): void {
    const own = this.#members!.get(this.#identity.nodeId);
    const { host, port } = this.#listening!;
    // Where we listen on all addresses, the one that our introducer saw is the better guess.
    const seen = this.#options.advertise && isWildcard(host) ? parseAddress(own?.address ?? '')?.host : undefined;
    const address = seen === undefined ? this.#advertised() : formatAddress({ host: seen, port });
    this.#members!.describeSelf(this.name, address).catch((error: unknown) =>
      this.#world.log.warn('the own member record could not be written', { error: String(error) }),
    );
  }

  /** Where others reach this node, as far as it can tell itself. */
  get address(): string {
    if (this.#listening === undefined) return '';
    const { host, port } = this.#listening;
    return formatAddress({ host: isWildcard(host) ? (this.#networkAddresses()[0] ?? this.#hostName) : host, port });
  }

  #advertised(): string {
    return this.#options.advertise ? this.address : '';
  }
}

function evictionOf({ standingMs }: Member): Refusal {
  return { code: 'EVICTED', sinceMs: standingMs! };
}

function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::' || host === '';
}
