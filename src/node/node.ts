/**
 * A running node: one folder, one replica, its peers. This file puts the parts together and decides their order:
 *
 *   start   folder fit -> database -> identity -> listening -> share known (own, or learnt from the peer joined)
 *           -> replica -> folder read once -> greet peers
 *   change  disk -> replica -> sessions; sessions -> intake -> replica -> disk -> sessions
 *   stop    peers, folder, database: the reverse
 *
 * Peers are greeted only after the first reading of the folder: what is on disk already must be known before anything
 * is asked of others, or it would be fetched again.
 */
import { randomBytes } from 'node:crypto';
import { hostname, networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { ByteReader, ByteWriter, equalBytes, fromHex, toHex } from '../base/bytes.ts';
import { SamerootError } from '../base/errors.ts';
import { HASH_BYTES, NAME_TEXT_BYTES_MAX, REPLICA_ID_BYTES } from '../base/limits.ts';
import type { Clock, Log, Random } from '../base/world.ts';
import { Folder } from '../folder/folder.ts';
import { prepareFolder } from '../folder/prepare.ts';
import { loadIdentity, type Identity } from '../net/identity.ts';
import { decodeToken, invitationId, invitesTo, joinProof, requireUnexpired, type Invitation } from '../net/invitation.ts';
import type { Channel, Listener, Transport } from '../net/transport.ts';
import { createPlainTransport, createTlsTransport } from '../net/ws-transport.ts';
import { Collector } from '../replica/gc.ts';
import { Replica } from '../replica/replica.ts';
import { createShare, decodeShare, encodeShare, parametersHash, type Share } from '../replica/share.ts';
import type { Hello } from '../session/handshake.ts';
import { ChunkStore } from '../store/chunk-store.ts';
import * as keyspace from '../store/keyspace.ts';
import { openLevelStore } from '../store/level-store.ts';
import type { Store } from '../store/store.ts';
import { PROTOCOL_VERSION, type MessageOf } from '../wire/messages.ts';
import { BlobTarget } from './blob-target.ts';
import { Confirmations } from './confirmations.ts';
import { Conflicts } from './conflicts.ts';
import { Fetcher } from './fetcher.ts';
import { Intake, type Landing } from './intake.ts';
import { checkJoin, createInvite } from './invites.ts';
import { makeLanding } from './landing.ts';
import { isMemberKey, Members } from './members.ts';
import type {
  DiffResult,
  Invite,
  ListResult,
  NodeApi,
  NodeEvent,
  NodeOptions,
  NodeStatus,
  RecordValue,
  WaitRequest,
  WaitResult,
} from './node-api.ts';
import type { LinkHost, PeerLink, SessionGround } from './peer-link.ts';
import { formatAddress, parseAddress, Peers } from './peers.ts';
import { Records } from './records.ts';
import { diffReport, listEntries } from './reports.ts';
import { PeerServer } from './server.ts';
import { IntakeProblems, nodeState, nodeStatus, type StatusParts } from './status.ts';

const NEXT_PORTS = 50;

const realClock: Clock = { wallMs: () => Date.now(), monotonicMs: () => performance.now() };
const realRandom: Random = { bytes: (count) => new Uint8Array(randomBytes(count)), fraction: () => Math.random() };

/** The parts that exist once the share is known. */
export interface Body {
  readonly replica: Replica;
  readonly folder: Folder;
  readonly members: Members;
  readonly records: Records;
  readonly fetcher: Fetcher;
  readonly intake: Intake;
  readonly landing: Landing;
  readonly conflicts: Conflicts;
  readonly collector: Collector;
}

/**
 * Resolves when the node listens and its share is known or being asked for; the folder may still be being read.
 * @throws {SamerootError} what is wrong with the folder, database, address or invitation
 */
export async function startNode(options: NodeOptions, world: { readonly log: Log }): Promise<NodeApi> {
  await prepareFolder(options.folder);
  const store = await openLevelStore(join(options.dataDir, 'db'));
  try {
    const identity = await loadIdentity(options.dataDir);
    const node = new RunningNode(options, world.log, store, identity);
    await node.start();
    return node;
  } catch (error) {
    await store.close();
    throw error;
  }
}

class RunningNode implements NodeApi {
  readonly #options: NodeOptions;
  readonly #log: Log;
  readonly #store: Store;
  readonly #identity: Identity;
  readonly #name: string;
  readonly #transport: Transport;
  readonly #invitation: Invitation | undefined;
  readonly #confirmations = new Confirmations(realClock);
  readonly #problems = new IntakeProblems(realClock);
  readonly #listeners = new Set<(event: NodeEvent) => void>();
  readonly #peers: Peers;
  #listener: Listener | undefined;
  #body: Body | undefined;
  #birth: Promise<Body> | undefined;
  /** The first reading of the folder is committed. */
  #read: Promise<void> | undefined;
  #announced: Uint8Array | undefined;
  #localChange = false;
  #closing: Promise<void> | undefined;
  #pull: NodeJS.Timeout | undefined;
  #lastState = '';

  constructor(options: NodeOptions, log: Log, store: Store, identity: Identity) {
    this.#options = options;
    this.#log = log;
    this.#store = store;
    this.#identity = identity;
    this.#name = hostname().slice(0, NAME_TEXT_BYTES_MAX / 4);
    this.#transport = options.insecure ? createPlainTransport() : createTlsTransport(identity);
    this.#invitation = options.token === undefined ? undefined : decodeToken(options.token);
    this.#peers = new Peers({
      transport: this.#transport,
      host: this.#linkHost(),
      clock: realClock,
      random: realRandom,
      log,
      nodeId: identity.nodeId,
      join: (channel) => this.#joinMessage(channel),
      expect: (remoteId) => this.#trusts(remoteId) || this.#invitation?.inviterId === remoteId,
      onOpen: (link) => this.#linkOpened(link),
      onClose: (link) => this.#linkClosed(link),
    });
  }

  async start(): Promise<void> {
    const { listen, listenAnyPort, join: joins, insecure } = this.#options;
    const stored = Replica.storedShare(this.#store);
    if (stored === undefined && joins.length > 0 && this.#invitation === undefined && !insecure) {
      throw new SamerootError('NOT_INVITED', 'this folder is not part of a share yet, and there is no --token to join with');
    }
    if (stored === undefined && this.#invitation !== undefined) requireUnexpired(this.#invitation, realClock.wallMs());
    if (stored !== undefined && this.#invitation !== undefined && !invitesTo(this.#invitation, stored.id, parametersHash(stored))) {
      throw new SamerootError('SHARE_MISMATCH', 'this folder is part of a share already, and the invitation is for another');
    }
    // Who comes while our own members are not loaded yet must not be taken for a stranger.
    let open!: () => void;
    const opened = new Promise<void>((resolve) => (open = resolve));
    const ports = listenAnyPort ? { tryNextPorts: NEXT_PORTS } : {};
    this.#listener = await this.#transport.listen(
      { ...listen, ...ports },
      (channel) => void opened.then(() => this.#peers.accept(channel)),
    );
    try {
      if (stored !== undefined) await this.#live(() => Promise.resolve(Replica.open(this.#store, realClock)));
      else if (joins.length === 0)
        await this.#live(() => this.#create(createShare(this.#options.shareName, this.#identity.nodeId, realRandom)));
    } catch (error) {
      await this[Symbol.asyncDispose]();
      throw error;
    }
    open();
    for (const address of joins)
      this.#peers.keep(address, this.#invitation !== undefined && stored === undefined ? this.#invitation.inviterId : undefined);
    this.#pull = setInterval(() => this.#tick(), this.#options.pullEveryMs);
    this.#pull.unref();
  }

  // --- birth -----------------------------------------------------------------------------------------------------

  #create(share: Share): Promise<Replica> {
    return Replica.create(this.#store, share, realClock, realRandom);
  }

  /** Makes the body once; later callers get the same. */
  #live(open: () => Promise<Replica>): Promise<Body> {
    this.#birth ??= this.#makeBody(open).catch((error: unknown) => {
      // The next hello tries again: the disk may have room by then.
      this.#birth = undefined;
      throw error;
    });
    return this.#birth;
  }

  async #makeBody(open: () => Promise<Replica>): Promise<Body> {
    const replica = await open();
    const chunks = await ChunkStore.open(this.#store);
    const { folder: root, settleMs, rescanMs, minFreeBytes } = this.#options;
    const folder = await Folder.open({
      root,
      replica,
      store: this.#store,
      clock: realClock,
      log: this.#log,
      settleMs,
      rescanMs,
      minFreeBytes,
    });
    const members = new Members(replica, this.#identity, await this.#pins());
    const records = new Records(replica, chunks);
    const fetcher = new Fetcher(this.#store, this.#log);
    const landing = makeLanding({
      replica,
      folder,
      records,
      members,
      blobs: new BlobTarget(this.#store, chunks),
      fetch: (content, bytes) => fetcher.fetch(content, bytes, folder.target, this.#peers.links.keys()),
      log: this.#log,
    });
    const intake = new Intake({
      replica,
      fetcher,
      landing,
      clock: realClock,
      log: this.#log,
      onProblem: (code, key, message) => this.#problems.add(code, key, message),
      onLanded: () => this.#announce(),
    });
    const conflicts = new Conflicts(replica);
    const collector = new Collector(replica, this.#log, () =>
      [...this.#peers.links.values()].flatMap((link) => link.session?.sent?.tree ?? []),
    );
    this.#body = { replica, folder, members, records, fetcher, intake, landing, conflicts, collector };
    this.#confirmations.committed(replica.head.root, replica.head.commit);
    replica.onCommit((commit) => {
      this.#confirmations.committed(commit.head.root, commit.head.commit);
      if (commit.keys.some(({ origin }) => origin === undefined)) this.#localChange = true;
      // A local write can change what else is to be shown: a deleted winner uncovers its conflict copy.
      const uncovered = commit.keys.filter(({ origin, entry }) => origin === undefined && entry !== undefined && entry.versions.length > 1);
      if (uncovered.length > 0)
        void landing
          .project(uncovered.map(({ key }) => key))
          .catch((error: unknown) => this.#log.warn('paths can not be shown', { error: String(error) }));
      if (!intake.landing) this.#announce();
      if (commit.keys.some(({ key }) => isMemberKey(key))) this.#meetMembers();
    });
    if (replica.share.founder === this.#identity.nodeId) await this.#introduceSelf(members);
    this.#read = folder.start();
    this.#read.then(
      () => this.#announce(),
      (error: unknown) => {
        if (this.#closing === undefined) this.#log.error('the folder can not be read', { error: String(error) });
      },
    );
    this.#meetMembers();
    return this.#body;
  }

  async #introduceSelf(members: Members): Promise<void> {
    const about = { name: this.#name, address: this.#ownAddress(), role: 0, joinedMs: realClock.wallMs() };
    await members.introduce(this.#identity.publicKey, about);
  }

  /** Stays connected with all members, and tells them our own address once we are one. */
  #meetMembers(): void {
    const members = this.#body?.members;
    if (members === undefined) return;
    for (const member of members.list()) {
      const address = member.nodeId === this.#identity.nodeId ? undefined : parseAddress(member.address);
      if (address === undefined) continue;
      this.#peers.moved(member.nodeId, member.address);
      this.#peers.keep(address, member.nodeId);
    }
    const own = members.get(this.#identity.nodeId);
    // Where we listen on all addresses, the one that the introducer saw is the better guess.
    const address =
      this.#options.advertise && isWildcard(this.#listener!.host) && own?.address
        ? withPort(own.address, this.#listener!.port)
        : this.#ownAddress();
    void members
      .describeSelf(this.#name, address)
      .catch((error: unknown) => this.#log.warn('the own member record could not be written', { error: String(error) }));
  }

  /** What the others should dial; empty where they should not. */
  #ownAddress(): string {
    return this.#options.advertise ? this.#reachableAddress() : '';
  }

  #reachableAddress(): string {
    if (this.#listener === undefined) return '';
    const { host, port } = this.#listener;
    return formatAddress({ host: isWildcard(host) ? outwardHost() : host, port });
  }

  async #pins(): Promise<string[]> {
    const pins = this.#invitation === undefined ? [] : [this.#invitation.inviterId];
    for await (const rows of this.#store.iterate(keyspace.prefixRange(keyspace.metaKey('pin/')))) {
      for (const [key] of rows) pins.push(keyspace.nameOfMetaKey(key).slice('pin/'.length));
    }
    return pins;
  }

  async #pin(nodeId: string): Promise<void> {
    this.#body?.members.pin(nodeId);
    await this.#store.write([{ type: 'put', key: keyspace.pinKey(nodeId), value: keyspace.PRESENT }], { durable: true });
  }

  #trusts(nodeId: string): boolean {
    return this.#body?.members.trusts(nodeId) ?? false;
  }

  // --- greeting --------------------------------------------------------------------------------------------------

  /** A dialer that is no member yet shows its invitation. */
  #joinMessage(channel: Channel): MessageOf<'join'> | undefined {
    const { nodeId, publicKey } = this.#identity;
    const about = {
      type: 'join',
      nodeId,
      publicKey,
      name: this.#name,
      listenPort: this.#options.advertise ? this.#listener!.port : 0,
    } as const;
    if (this.#options.insecure)
      return this.#body === undefined ? { ...about, invitation: '00'.repeat(8), proof: new Uint8Array(HASH_BYTES) } : undefined;
    const invitation = this.#invitation;
    if (invitation === undefined || channel.remoteId !== invitation.inviterId || this.#body?.members.get(nodeId) !== undefined)
      return undefined;
    const proof = joinProof(invitation.secret, channel.exporter(), nodeId, invitation.inviterId);
    return { ...about, invitation: invitationId(invitation.secret), proof };
  }

  async #makeHello(nodeId: string | undefined, peer: Hello | undefined): Promise<Hello> {
    if (this.#birth === undefined) {
      if (peer === undefined) throw new SamerootError('NOT_INVITED', 'this host has not joined a share yet');
      const share = decodeShare(peer.share);
      if (this.#invitation !== undefined && !invitesTo(this.#invitation, share.id, parametersHash(share))) {
        throw new SamerootError('SHARE_MISMATCH', 'the invitation is for another share than the peer serves');
      }
      await this.#live(() => this.#create(share));
      await this.#pin(peer.nodeId);
    }
    const { replica, folder } = await this.#birth!;
    await this.#read;
    const seen = nodeId === undefined ? undefined : this.#cursor(nodeId);
    return {
      type: 'hello',
      versionMin: PROTOCOL_VERSION,
      versionMax: PROTOCOL_VERSION,
      capabilities: [],
      nodeId: this.#identity.nodeId,
      name: this.#name,
      listenPort: this.#listener!.port,
      replica: replica.id,
      share: encodeShare(replica.share),
      root: replica.head.root,
      containsReplica: seen?.replica,
      contains: folder.problem === undefined ? seen?.root : undefined,
    };
  }

  #cursor(nodeId: string): { replica: string; root: Uint8Array } | undefined {
    const row = this.#store.get(keyspace.cursorKey(nodeId));
    if (row === undefined) return undefined;
    const reader = new ByteReader(row);
    return { replica: toHex(reader.raw(REPLICA_ID_BYTES)), root: Uint8Array.from(reader.raw(HASH_BYTES)) };
  }

  #linkHost(): Omit<LinkHost, 'opened' | 'closed'> {
    return {
      clock: realClock,
      log: this.#log,
      handshake: { isMember: (nodeId) => this.#options.insecure || this.#trusts(nodeId) },
      admit: (message, channel) =>
        this.#options.insecure
          ? undefined
          : this.#body === undefined
            ? 'NOT_INVITED'
            : checkJoin(this.#store, message, channel, this.#identity.nodeId, realClock.wallMs()),
      joined: (message, channel) => this.#admitted(message, channel),
      makeHello: (nodeId, peer) => this.#makeHello(nodeId, peer),
      ground: (hello, ours) => this.#ground(hello, ours),
      offer: (link, items, inline) => this.#body!.intake.offer(link.nodeId!, items, inline),
      contains: (link, root) => this.#contains(link, root),
      confirmed: (link, root) => this.#confirmed(link, root),
      walked: (link, messages) => this.#log.debug('walk complete', { peer: link.nodeId?.slice(0, 8), messages }),
      makeServer: (link) =>
        new PeerServer(link.channel, { read: (content, wanted) => this.#readContent(content, wanted) }, this.#body!.fetcher.listPage),
      rootMoved: (link) => this.#rootMoved(link),
      chunks: (link, frame) => this.#body!.fetcher.onChunks(link.nodeId!, frame),
      reply: (link, message) => {
        if (message.type === 'fetched') this.#body!.fetcher.onFetched(link.nodeId!, message);
        else this.#body!.fetcher.onListPages(link.nodeId!, message);
      },
    };
  }

  async #admitted(message: MessageOf<'join'>, channel: Channel): Promise<void> {
    const { members } = await this.#birth!;
    await this.#pin(message.nodeId);
    const host = parseAddress(channel.remoteAddress)?.host;
    const address = host === undefined || message.listenPort === 0 ? '' : formatAddress({ host, port: message.listenPort });
    await members.introduce(message.publicKey, { name: message.name, address, role: 0, joinedMs: realClock.wallMs() });
    this.#log.info('a host joined', { name: message.name, nodeId: message.nodeId.slice(0, 8), address });
  }

  #ground(hello: Hello, ours: Hello): SessionGround {
    const { replica, folder } = this.#body!;
    const seen = this.#cursor(hello.nodeId);
    const tree = replica.treeOf(ours.root);
    return {
      replica: {
        reader: replica.reader,
        rankBits: replica.share.rankBits,
        treeOf: (root) => replica.treeOf(root),
        inline: (item) => folder.inline(item),
      },
      head: tree === undefined ? replica.head : { root: ours.root, tree },
      replicaId: replica.id,
      contains: seen?.replica === hello.replica ? seen.root : undefined,
      initiator: this.#identity.nodeId < hello.nodeId,
    };
  }

  async #readContent(
    content: Uint8Array,
    wanted: readonly { offsetBytes: number; bytes: number }[],
  ): Promise<readonly Uint8Array[] | undefined> {
    const { folder, records } = this.#body!;
    return (await folder.read(content, wanted)) ?? records.read(content, wanted);
  }

  // --- sessions --------------------------------------------------------------------------------------------------

  #linkOpened(link: PeerLink): void {
    const hello = link.hello!;
    this.#body!.fetcher.attach(hello.nodeId, (message) => link.send(message));
    this.#log.info('connected', { peer: hello.name, nodeId: hello.nodeId.slice(0, 8), address: link.channel.remoteAddress });
    this.#emit({ type: 'peer', nodeId: hello.nodeId, name: hello.name, connected: true });
    this.#emit({ type: 'transfer', phase: 'initialise', peer: hello.nodeId, detail: { root: toHex(hello.root) } });
    // The session is made after this; what happened since our hello is told then.
    setImmediate(() => this.#tell(link, false));
  }

  #linkClosed(link: PeerLink): void {
    const hello = link.hello!;
    this.#body?.fetcher.detach(hello.nodeId);
    this.#log.info('disconnected', { peer: hello.name, nodeId: hello.nodeId.slice(0, 8) });
    this.#emit({ type: 'peer', nodeId: hello.nodeId, name: hello.name, connected: false });
    this.#confirmations.poke();
    this.#stateMayHaveChanged();
  }

  /** Our head is fully on disk: tell everyone. */
  #announce(): void {
    const replica = this.#body?.replica;
    if (replica === undefined) return;
    const local = this.#localChange;
    this.#localChange = false;
    const { root } = replica.head;
    if (this.#announced !== undefined && equalBytes(root, this.#announced)) return;
    this.#announced = root;
    for (const link of this.#peers.links.values()) this.#tell(link, local);
    this.#emit({ type: 'root', root: toHex(root) });
    this.#body!.collector.afterCommit();
    this.#stateMayHaveChanged();
  }

  #tell(link: PeerLink, local: boolean): void {
    const { root, tree } = this.#body!.replica.head;
    link.step({ type: 'head', head: { root, tree }, local });
  }

  #contains(link: PeerLink, root: Uint8Array): void {
    const hello = link.hello!;
    const value = new ByteWriter(REPLICA_ID_BYTES + HASH_BYTES).raw(fromHex(hello.replica)).raw(root).finish();
    // Losing this row costs a walk, no more: it need not be flushed.
    this.#store
      .write([{ type: 'put', key: keyspace.cursorKey(hello.nodeId), value }], { durable: false })
      .catch((error: unknown) => this.#log.warn('a cursor was not kept', { error: String(error) }));
    this.#stateMayHaveChanged();
  }

  /** Peers with one root have the same contents: what is being fetched from one may come from the other too. */
  #rootMoved(link: PeerLink): void {
    const root = link.session?.peerRoot;
    if (root === undefined) return;
    for (const other of this.#peers.links.values()) {
      if (other === link || other.session === undefined || !equalBytes(other.session.peerRoot, root)) continue;
      this.#body!.fetcher.sameContents(link.nodeId!, other.nodeId!);
    }
  }

  #confirmed(link: PeerLink, root: Uint8Array): void {
    link.lastAckMs = realClock.monotonicMs();
    this.#confirmations.confirmed(link.nodeId!, root);
    this.#stateMayHaveChanged();
  }

  /** Looks after what no event tells: roots that stay unlike although nothing moves. */
  #tick(): void {
    for (const link of this.#peers.links.values()) link.step({ type: 'tick' });
  }

  #emit(event: NodeEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  #stateMayHaveChanged(): void {
    if (this.#closing !== undefined) return;
    const state = nodeState(this.#statusParts());
    if (state === 'in-sync') this.#problems.clear();
    if (state === this.#lastState) return;
    this.#lastState = state;
    this.#emit({ type: 'state', state });
  }

  // --- what others call ------------------------------------------------------------------------------------------

  #require(): Body {
    if (this.#body === undefined) throw new SamerootError('PEER_UNREACHABLE', 'the share is not known yet: no host to join has answered');
    return this.#body;
  }

  status(): NodeStatus {
    return nodeStatus(this.#statusParts());
  }

  #statusParts(): StatusParts {
    return {
      body: this.#body,
      options: this.#options,
      identity: this.#identity,
      address: this.#reachableAddress(),
      peers: this.#peers,
      confirmations: this.#confirmations,
      problems: this.#problems,
      clock: realClock,
    };
  }

  async scan(): Promise<void> {
    const { folder, replica } = this.#require();
    await this.#read;
    await folder.scanNow();
    await replica.idle();
  }

  async wait(request: WaitRequest): Promise<WaitResult> {
    const deadline = realClock.monotonicMs() + request.timeoutMs;
    const left = (): number => (request.signal?.aborted === true ? 0 : Math.max(0, deadline - realClock.monotonicMs()));
    const { replica, members } = this.#require();
    const scanned = await Promise.race([
      this.scan().then(() => true),
      new Promise<boolean>((resolve) => setTimeout(() => resolve(false), left()).unref()),
    ]);
    let { root } = replica.head;
    let { commit } = replica.head;
    let reached = scanned;
    if (scanned && request.root !== undefined) {
      root = fromHex(request.root);
      reached = await this.#confirmations.until(() => this.#containsRoot(root), left());
      commit = this.#confirmations.commitOf(root) ?? replica.head.commit;
      root = replica.head.root;
    }
    const selected = this.#selectPeers(members, request.peers);
    const confirmed = (nodeId: string): boolean => this.#confirmations.hasConfirmed(nodeId, commit);
    const over = (): boolean => request.signal?.aborted === true || selected.every(({ nodeId }) => confirmed(nodeId));
    const done = reached && (await this.#confirmations.until(over, left())) && request.signal?.aborted !== true;
    return { root: toHex(root), peers: selected.map(({ nodeId, name }) => ({ nodeId, name, confirmed: confirmed(nodeId) })), done };
  }

  /** Do we hold everything of this root, ours or a peer's? */
  #containsRoot(root: Uint8Array): boolean {
    const { replica } = this.#body!;
    if (replica.treeOf(root) !== undefined) return true;
    return [...this.#peers.links.keys()].some((nodeId) => {
      const cursor = this.#cursor(nodeId);
      return cursor !== undefined && equalBytes(cursor.root, root);
    });
  }

  #selectPeers(members: Members, wanted: readonly string[] | undefined): { nodeId: string; name: string }[] {
    const known = new Map(members.list().map(({ nodeId, name }) => [nodeId, { nodeId, name }]));
    for (const [nodeId, link] of this.#peers.links) known.set(nodeId, { nodeId, name: link.hello?.name ?? '' });
    known.delete(this.#identity.nodeId);
    if (wanted === undefined) return [...known.values()];
    return wanted.flatMap((text) => {
      const found = [...known.values()].filter(({ nodeId, name }) => nodeId.startsWith(text) || name === text);
      if (found.length === 0) throw new SamerootError('NOT_FOUND', `no peer is called ${text}`);
      return found;
    });
  }

  async diff(peer: string | undefined, limit: number): Promise<DiffResult> {
    const { replica, members } = this.#require();
    await this.#read;
    const links = [...this.#peers.links.values()];
    const chosen =
      peer === undefined ? links : links.filter((link) => this.#selectPeers(members, [peer]).some(({ nodeId }) => nodeId === link.nodeId));
    const link = chosen[0];
    if (link === undefined)
      throw new SamerootError('PEER_UNREACHABLE', peer === undefined ? 'no peer is connected' : `${peer} is not connected`);
    const listing = await link.list();
    return diffReport(link.hello!.name, replica, listing, limit);
  }

  list(options: { readonly prefix: string; readonly after: string | undefined; readonly limit: number }): ListResult {
    return listEntries(this.#require().replica, options);
  }

  getRecord(key: string): Promise<RecordValue | undefined> {
    return Promise.resolve(this.#require().records.get(key));
  }

  async putRecord(key: string, value: Uint8Array, ifMatch: string | undefined): Promise<{ readonly etag: string }> {
    return { etag: await this.#require().records.put(key, value, ifMatch) };
  }

  deleteRecord(key: string, ifMatch: string | undefined): Promise<boolean> {
    return this.#require().records.remove(key, ifMatch);
  }

  async invite({ expiresMs }: { readonly expiresMs: number }): Promise<Invite> {
    const { replica } = this.#require();
    const inviter = { nodeId: this.#identity.nodeId, address: this.#reachableAddress() };
    return createInvite(this.#store, replica, inviter, { nowMs: realClock.wallMs(), expiresMs }, realRandom);
  }

  async answerDeletes(answer: 'accept' | 'restore'): Promise<{ readonly paths: number }> {
    const { folder } = this.#require();
    return { paths: await (answer === 'accept' ? folder.acceptDeletes() : folder.restoreDeletes()) };
  }

  onChange(listener: (event: NodeEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    clearInterval(this.#pull);
    this.#peers.close();
    await this.#listener?.[Symbol.asyncDispose]();
    const body = this.#body;
    body?.landing.close();
    body?.conflicts.close();
    await body?.collector.close();
    await body?.folder[Symbol.asyncDispose]();
    await body?.replica.idle();
    await this.#store.close();
  }
}

/** An address of this host that others may reach, where it listens on all of them. */
function outwardHost(): string {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return addresses.find(({ internal, family }) => !internal && family === 'IPv4')?.address ?? hostname();
}

function withPort(address: string, port: number): string {
  const host = parseAddress(address)?.host;
  return host === undefined ? '' : formatAddress({ host, port });
}

function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::' || host === '';
}
