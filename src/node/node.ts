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
import { join } from 'node:path';
import { ByteReader, ByteWriter, equalBytes, fromHex, toHex } from '../base/bytes.ts';
import { SamerootError } from '../base/errors.ts';
import { HASH_BYTES, REPLICA_ID_BYTES } from '../base/limits.ts';
import type { Log } from '../base/world.ts';
import { closeDiskThreads, startDiskThreads, type DiskThreads } from '../folder/folder.ts';
import { prepareFolder } from '../folder/prepare.ts';
import { loadIdentity, type Identity } from '../net/identity.ts';
import type { Listener, Transport } from '../net/transport.ts';
import { createPlainTransport, createTlsTransport } from '../net/ws-transport.ts';
import { Replica, type Commit } from '../replica/replica.ts';
import { createShare, decodeShare, encodeShare, type Share } from '../replica/share.ts';
import type { Hello } from '../session/handshake.ts';
import * as keyspace from '../store/keyspace.ts';
import { openLevelStore } from '../store/level-store.ts';
import type { Store } from '../store/store.ts';
import { PROTOCOL_VERSION, type EntryItem, type InlineChunk } from '../wire/messages.ts';
import { selectPeers, waitForPeers } from './barrier.ts';
import { closeBody, makeBody, type Body } from './body.ts';
import { Confirmations } from './confirmations.ts';
import { createInvite } from './invites.ts';
import { isMemberKey } from './members.ts';
import { Membership } from './membership.ts';
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
import { parseAddress, Peers } from './peers.ts';
import { IntakeProblems } from './problems.ts';
import { diffReport, listEntries } from './reports.ts';
import { PeerServer } from './server.ts';
import { nodeState, nodeStatus, type StatusParts } from './status.ts';
import { realClock, realRandom } from './world.ts';

const NEXT_PORTS = 50;

/**
 * Resolves when the node listens and its share is known or being asked for; the folder may still be being read.
 * @throws {SamerootError} what is wrong with the folder, database, address or invitation
 */
export async function startNode(options: NodeOptions, world: { readonly log: Log }): Promise<NodeApi> {
  await prepareFolder(options.folder);
  const threads = startDiskThreads();
  let store: Store | undefined;
  try {
    store = await openLevelStore(join(options.dataDir, 'db'));
    const identity = await loadIdentity(options.dataDir);
    const node = new RunningNode(options, { log: world.log, store, identity, threads });
    await node.start();
    return node;
  } catch (error) {
    await closeDiskThreads(threads);
    await store?.close();
    throw error;
  }
}

interface Grounds {
  readonly log: Log;
  readonly store: Store;
  readonly identity: Identity;
  readonly threads: DiskThreads;
}

class RunningNode implements NodeApi {
  readonly #options: NodeOptions;
  readonly #log: Log;
  readonly #store: Store;
  readonly #identity: Identity;
  readonly #threads: DiskThreads;
  readonly #transport: Transport;
  readonly #membership: Membership;
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
  #announcing = false;

  constructor(options: NodeOptions, { log, store, identity, threads }: Grounds) {
    this.#options = options;
    this.#log = log;
    this.#store = store;
    this.#identity = identity;
    this.#threads = threads;
    this.#transport = options.insecure ? createPlainTransport() : createTlsTransport(identity);
    this.#membership = new Membership({ options, identity, store, log });
    this.#peers = new Peers({
      transport: this.#transport,
      host: this.#linkHost(),
      clock: realClock,
      random: realRandom,
      log,
      nodeId: identity.nodeId,
      join: (channel) => this.#membership.joinMessage(channel),
      expect: (remoteId) => this.#membership.expects(remoteId),
      onOpen: (link) => this.#linkOpened(link),
      onClose: (link) => this.#linkClosed(link),
    });
  }

  async start(): Promise<void> {
    const { listen, listenAnyPort, join: joins } = this.#options;
    const stored = Replica.storedShare(this.#store);
    this.#membership.checkStart(stored);
    // Who comes while our own members are not loaded yet must not be taken for a stranger.
    let open!: () => void;
    const opened = new Promise<void>((resolve) => (open = resolve));
    const ports = listenAnyPort ? { tryNextPorts: NEXT_PORTS } : {};
    this.#listener = await this.#transport.listen(
      { ...listen, ...ports },
      (channel) => void opened.then(() => this.#peers.accept(channel)),
    );
    this.#membership.listening = this.#listener;
    try {
      if (stored !== undefined) await this.#live(stored);
      else if (joins.length === 0) await this.#live(createShare(this.#options.shareName, this.#identity.nodeId, realRandom));
    } catch (error) {
      await this[Symbol.asyncDispose]();
      throw error;
    }
    open();
    for (const address of joins) this.#peers.keep(address, this.#membership.inviterId);
    this.#pull = setInterval(() => this.#tick(), this.#options.pullEveryMs);
    this.#pull.unref();
  }

  // --- birth -----------------------------------------------------------------------------------------------------

  /** Makes the body once; later callers get the same. */
  #live(share: Share): Promise<Body> {
    this.#birth ??= this.#makeBody(share).catch((error: unknown) => {
      // The next hello tries again: the disk may have room by then.
      this.#birth = undefined;
      throw error;
    });
    return this.#birth;
  }

  async #makeBody(share: Share): Promise<Body> {
    const isNew = Replica.storedShare(this.#store) === undefined;
    const replica = isNew ? await Replica.create(this.#store, share, realClock, realRandom) : Replica.open(this.#store, realClock);
    const body = await makeBody({
      options: this.#options,
      log: this.#log,
      store: this.#store,
      identity: this.#identity,
      threads: this.#threads,
      replica,
      pins: await this.#membership.pins(),
      problems: this.#problems,
      connected: () => this.#peers.links.keys(),
      sourcesLike: (peer) => this.#sourcesLike(peer),
      heldTrees: () => [...this.#peers.links.values()].flatMap((link) => link.session?.trees ?? []),
      onLanded: () => this.#announce(),
    });
    this.#body = body;
    this.#membership.members = body.members;
    this.#confirmations.committed(replica.head.root, replica.head.commit);
    replica.onCommit((commit) => this.#committed(body, commit));
    if (share.founder === this.#identity.nodeId) await this.#membership.introduceSelf();
    this.#read = body.folder.start();
    this.#read.then(
      () => this.#announce(),
      (error: unknown) => {
        if (this.#closing === undefined) this.#log.error('the folder can not be read', { error: String(error) });
      },
    );
    this.#meetMembers();
    return body;
  }

  #committed({ intake, landing }: Body, commit: Commit): void {
    this.#confirmations.committed(commit.head.root, commit.head.commit);
    const local = commit.keys.filter(({ origin }) => origin === undefined);
    if (local.length > 0) this.#localChange = true;
    // A local write can change what else is to be shown: a deleted winner uncovers its conflict copy.
    const uncovered = local.filter(({ entry }) => entry !== undefined && entry.versions.length > 1).map(({ key }) => key);
    if (uncovered.length > 0) {
      landing.project(uncovered).catch((error: unknown) => this.#log.warn('paths can not be shown', { error: String(error) }));
    }
    if (!intake.landing) this.#announce();
    if (commit.keys.some(({ key }) => isMemberKey(key))) this.#meetMembers();
  }

  /** Stays connected with all members, and tells them our own address once we are one. */
  #meetMembers(): void {
    for (const member of this.#body?.members.list() ?? []) {
      const address = member.nodeId === this.#identity.nodeId ? undefined : parseAddress(member.address);
      if (address === undefined) continue;
      this.#peers.moved(member.nodeId, member.address);
      this.#peers.keep(address, member.nodeId);
    }
    if (this.#body !== undefined) this.#membership.describeSelf();
  }

  // --- greeting --------------------------------------------------------------------------------------------------

  async #makeHello(nodeId: string | undefined, peer: Hello | undefined): Promise<Hello> {
    if (this.#birth === undefined) {
      if (peer === undefined) throw new SamerootError('NOT_INVITED', 'this host has not joined a share yet');
      const share = decodeShare(peer.share);
      this.#membership.checkOffered(share);
      await this.#live(share);
      await this.#membership.pin(peer.nodeId);
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
      name: this.#membership.name,
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
      handshake: { isMember: (nodeId) => this.#membership.isMember(nodeId) },
      admit: (message, channel) => this.#membership.admit(message, channel),
      joined: (message, channel) => this.#membership.introduce(message, channel),
      makeHello: (nodeId, peer) => this.#makeHello(nodeId, peer),
      ground: (hello, ours) => this.#ground(hello, ours),
      offer: (link, items, inline) => this.#offer(link, items, inline),
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

  #ground(hello: Hello, ours: Hello): SessionGround {
    const { replica, folder } = this.#body!;
    const tree = replica.treeOf(ours.root);
    return {
      replica: {
        reader: replica.reader,
        rankBits: replica.share.rankBits,
        treeOf: (root) => replica.treeOf(root),
        inline: (item, known) => folder.inline(item, known),
      },
      head: tree === undefined ? replica.head : { root: ours.root, tree },
      replicaId: replica.id,
      // What our hello said, not what is true by now: the peer goes by that.
      contains: ours.containsReplica === hello.replica ? ours.contains : undefined,
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
    setImmediate(() => {
      this.#tell(link, false);
      this.#rootMoved(link);
    });
  }

  #linkClosed(link: PeerLink): void {
    const hello = link.hello!;
    this.#body?.fetcher.detach(hello.nodeId);
    this.#log.info('disconnected', { peer: hello.name, nodeId: hello.nodeId.slice(0, 8) });
    this.#emit({ type: 'peer', nodeId: hello.nodeId, name: hello.name, connected: false });
    this.#confirmations.poke();
    this.#stateMayHaveChanged();
  }

  /** True once all entries are committed and what they say is on disk. */
  async #offer(link: PeerLink, items: readonly EntryItem[], inline: readonly InlineChunk[]): Promise<boolean> {
    const { intake, landing } = this.#body!;
    const done = await intake.offer(link.nodeId!, items, inline);
    await landing.shown();
    return done;
  }

  /** Our head is fully on disk: tell everyone. What waits to be shown is waited for, but not for ever. */
  #announce(): void {
    if (this.#body === undefined) return;
    const { replica, landing } = this.#body;
    if (landing.unshown) {
      if (!this.#announcing) void this.#announceWhenShown();
      return;
    }
    const local = this.#localChange;
    this.#localChange = false;
    const { root } = replica.head;
    if (this.#announced !== undefined && equalBytes(root, this.#announced)) return;
    this.#announced = root;
    for (const link of this.#peers.links.values()) this.#tell(link, local);
    this.#emit({ type: 'root', root: toHex(root) });
    this.#body.collector.afterCommit();
    this.#stateMayHaveChanged();
  }

  async #announceWhenShown(): Promise<void> {
    this.#announcing = true;
    await this.#body!.landing.shown();
    this.#announcing = false;
    this.#announce();
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

  /** What is being fetched from one peer may come from another with the same root too. */
  #rootMoved(link: PeerLink): void {
    for (const other of this.#sourcesLike(link.nodeId!)) {
      if (other !== link.nodeId) this.#body!.fetcher.sameContents(link.nodeId!, other);
    }
  }

  /** Peers with one root have the same contents. */
  #sourcesLike(peer: string): string[] {
    const root = this.#peers.links.get(peer)?.session?.peerRoot;
    if (root === undefined) return [peer];
    return [...this.#peers.links]
      .filter(([, { session }]) => session !== undefined && equalBytes(session.peerRoot, root))
      .map(([nodeId]) => nodeId);
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
      address: this.#membership.address,
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

  wait(request: WaitRequest): Promise<WaitResult> {
    const cursor = (nodeId: string): Uint8Array | undefined => this.#cursor(nodeId)?.root;
    const parts = { body: this.#require(), peers: this.#peers, confirmations: this.#confirmations, ownId: this.#identity.nodeId, cursor };
    return waitForPeers({ ...parts, scan: () => this.scan() }, request);
  }

  async diff(peer: string | undefined, limit: number): Promise<DiffResult> {
    const body = this.#require();
    await this.#read;
    const chosen = selectPeers({ body, peers: this.#peers, ownId: this.#identity.nodeId }, peer === undefined ? undefined : [peer]);
    const link = chosen.map(({ nodeId }) => this.#peers.links.get(nodeId)).find((found) => found !== undefined);
    if (link === undefined)
      throw new SamerootError('PEER_UNREACHABLE', peer === undefined ? 'no peer is connected' : `${peer} is not connected`);
    const listing = await link.list();
    return diffReport(link.hello!.name, body.replica, listing, limit);
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
    const inviter = { nodeId: this.#identity.nodeId, address: this.#membership.address };
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
    if (this.#body !== undefined) await closeBody(this.#body);
    await closeDiskThreads(this.#threads);
    await this.#store.close();
  }
}
