/**
 * A running node: one folder, one replica, its peers. This file puts the parts together and decides their order:
 *
 *   start   (folder fit -> database -> identity: whoever makes the grounds)
 *           -> listening -> share known (own, or learnt from the peer joined)
 *           -> replica -> folder read once -> greet peers
 *   change  disk -> replica -> sessions; sessions -> intake -> replica -> disk -> sessions
 *   stop    peers, folder, database: the reverse
 *
 * Peers are greeted only after the first reading of the folder: what is on disk already must be known before anything
 * is asked of others, or it would be fetched again.
 */
import { ByteReader, ByteWriter, equalBytes, fromHex, toHex } from '../base/bytes.ts';
import { SamerootError } from '../base/errors.ts';
import { HASH_BYTES, REPLICA_ID_BYTES } from '../base/limits.ts';
import type { Log, Timer, World } from '../base/world.ts';
import type { DiskAccess } from '../folder/disk.ts';
import { closeDiskThreads, type DiskThreads } from '../folder/disk-threads.ts';
import { Standing } from '../folder/standing.ts';
import { isTombstone, type StableCut } from '../entry/stable-cut.ts';
import type { Identity } from '../net/identity.ts';
import type { Listener, Transport } from '../net/transport.ts';
import type { Commit } from '../replica/replica.ts';
import { createShare, decodeShare, encodeShare, type Share } from '../replica/share.ts';
import type { Hello } from '../session/handshake.ts';
import * as keyspace from '../store/keyspace.ts';
import type { Store } from '../store/store.ts';
import { PROTOCOL_VERSION, type EntryItem, type InlineChunk } from '../wire/messages.ts';
import type { ConflictsResult, ResolveResult, RestoreRequest, RestoreResult, TrashResult, WhyResult } from './answers.ts';
import { selectPeers, waitForPeers } from './barrier.ts';
import { closeBody, makeBody, type Body } from './body.ts';
import type { ReadChunks } from './contents.ts';
import { Confirmations } from './confirmations.ts';
import { evictedError, markEvicted, wasEvicted } from './eviction.ts';
import { createInvite } from './invites.ts';
import { isMemberKey } from './member-record.ts';
import { Membership } from './membership.ts';
import { isLearning, LEARNING_CAPABILITY, Newcomer, NEWCOMER_ROWS } from './newcomer.ts';
import type {
  DiffResult,
  Invite,
  ListResult,
  NodeApi,
  NodeEvent,
  NodeOptions,
  NodeStatus,
  PurgeResult,
  RecordValue,
  WaitRequest,
  WaitResult,
} from './node-api.ts';
import { forgetRestored, markRolledBack, openReplica, rolledBack, type Incarnation } from './incarnation.ts';
import type { LinkHost, PeerLink, SessionGround } from './peer-link.ts';
import { parseAddress, Peers } from './peers.ts';
import { IntakeProblems } from './problems.ts';
import { Questions } from './questions.ts';
import { diffReport, listEntries } from './reports.ts';
import { writeRecovery } from './recovery.ts';
import { findOrigin, Returning, type Origin, type ReturnPlan } from './returning.ts';
import { PeerServer } from './server.ts';
import { isInSync, nodeState, nodeStatus, type StatusParts } from './status.ts';

const NEXT_PORTS = 50;

/** What a node stands on: real on a host, simulated in the simulator. The folder is there and fit to be shared. */
export interface Grounds {
  readonly world: World;
  /** Closed with the node. */
  readonly store: Store;
  readonly identity: Identity;
  readonly transport: Transport;
  readonly access: DiskAccess;
  /** Closed with the node. */
  readonly threads: DiskThreads;
  readonly hostName: string;
  /** Where others may reach this host; the best guess first, none where it is on no network. */
  readonly networkAddresses: () => readonly string[];
}

/**
 * Resolves when the node listens and its share is known or being asked for; the folder may still be being read.
 * The grounds are the node's from this call on: they are closed, too, where it fails.
 * @throws {SamerootError} what is wrong with the folder, database, address or invitation
 */
export async function startNode(options: NodeOptions, grounds: Grounds): Promise<NodeApi> {
  let node: RunningNode | undefined;
  try {
    node = new RunningNode(options, grounds);
    await node.start();
    return node;
  } catch (error) {
    await (node === undefined ? closeGrounds(grounds) : node[Symbol.asyncDispose]());
    throw error;
  }
}

async function closeGrounds({ threads, store }: Grounds): Promise<void> {
  await closeDiskThreads(threads);
  await store.close();
}

class RunningNode implements NodeApi {
  readonly #options: NodeOptions;
  readonly #grounds: Grounds;
  readonly #world: World;
  readonly #log: Log;
  readonly #store: Store;
  readonly #identity: Identity;
  readonly #membership: Membership;
  readonly #confirmations: Confirmations;
  readonly #problems: IntakeProblems;
  readonly #listeners = new Set<(event: NodeEvent) => void>();
  readonly #peers: Peers;
  readonly #questions: Questions;
  #listener: Listener | undefined;
  #body: Body | undefined;
  #birth: Promise<Body> | undefined;
  #announced: Uint8Array | undefined;
  #localChange = false;
  #closing: Promise<void> | undefined;
  #pull: Timer | undefined;
  #lastState = '';
  #announcing = false;
  #origin: Origin = { share: undefined, returning: undefined, known: [] };
  #incarnation: Incarnation | undefined;
  #restored = false;
  #returning: Returning | undefined;
  #newcomer: Newcomer | undefined;
  /** Why this node takes part no more. */
  #stopped: SamerootError | undefined;

  constructor(options: NodeOptions, grounds: Grounds) {
    const { world, store, identity, transport, hostName, networkAddresses } = grounds;
    this.#options = options;
    this.#grounds = grounds;
    this.#world = world;
    this.#log = world.log;
    this.#store = store;
    this.#identity = identity;
    this.#confirmations = new Confirmations(world.clock, world.timers);
    this.#problems = new IntakeProblems(world.clock);
    this.#membership = new Membership({ options, identity, store, world, hostName, networkAddresses });
    this.#peers = new Peers({
      transport,
      host: this.#linkHost(),
      world,
      nodeId: identity.nodeId,
      opening: (channel) => this.#membership.opening(channel),
      expect: (remoteId) => this.#membership.expects(remoteId),
      onOpen: (link) => this.#linkOpened(link),
      onClose: (link) => this.#linkClosed(link),
    });
    this.#questions = new Questions({
      world,
      peers: this.#peers,
      own: { nodeId: identity.nodeId, name: this.#membership.name },
      body: () => this.#require(),
      cursor: (nodeId) => this.#cursor(nodeId),
      problems: () => this.status().errors,
    });
  }

  async start(): Promise<void> {
    const { listen, listenAnyPort, join: joins, shareName, chunker } = this.#options;
    this.#origin = await findOrigin(this.#store, this.#grounds.access.disk, this.#world, this.#options);
    const { share, known } = this.#origin;
    if (wasEvicted(this.#store)) await this.#evicted();
    this.#membership.checkStart(share);
    // Who comes while our own members are not loaded yet must not be taken for a stranger.
    let open!: () => void;
    const opened = new Promise<void>((resolve) => (open = resolve));
    const ports = listenAnyPort ? { tryNextPorts: NEXT_PORTS } : {};
    this.#listener = await this.#grounds.transport.listen(
      { ...listen, ...ports },
      (channel) => void opened.then(() => this.#peers.accept(channel)),
    );
    this.#membership.listening = this.#listener;
    if (share !== undefined) await this.#live(share);
    else if (joins.length === 0) await this.#live(createShare(shareName, this.#identity.nodeId, this.#world.random, chunker));
    open();
    for (const address of joins) this.#peers.keep(address, this.#membership.inviterId);
    for (const { nodeId, address } of known) this.#keepHost(nodeId, address);
    this.#pull = this.#world.timers.every(this.#options.pullEveryMs, () => this.#tick());
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
    const { world, access, threads } = this.#grounds;
    const { returning, known } = this.#origin;
    const learnt = share.founder !== this.#identity.nodeId && returning === undefined;
    const ground = { store: this.#store, disk: access.disk, dataDir: this.#options.dataDir, world };
    const opened = await openReplica(ground, share, learnt ? NEWCOMER_ROWS : []);
    const { replica } = opened;
    this.#incarnation = opened.incarnation;
    this.#restored = opened.restored;
    const standing = new Standing();
    standing.restored = opened.restored;
    standing.quarantine = returning?.quarantine;
    const body = await makeBody({
      options: this.#options,
      world,
      store: this.#store,
      identity: this.#identity,
      access,
      threads,
      standing,
      replica,
      pins: [...(await this.#membership.pins()), ...known.map(({ nodeId }) => nodeId)],
      problems: this.#problems,
      links: () => this.#peers.links,
      sourcesLike: (peer) => this.#sourcesLike(peer),
      isLearning: () => this.#isLearning,
      heldTrees: () => [...this.#peers.links.values()].flatMap((link) => link.session?.trees ?? []),
      onLanded: () => this.#announce(),
      onAdopted: () => this.#announce(),
    });
    this.#body = body;
    if (returning !== undefined) this.#returning = this.#makeReturning(returning, body, standing);
    this.#newcomer = this.#makeNewcomer(body);
    this.#membership.members = body.members;
    this.#confirmations.committed(replica.head.root, replica.head.commit);
    replica.onCommit((commit) => this.#committed(body, commit));
    await this.#introduceFounder();
    body.folder.start().then(
      () => this.#firstRead(),
      () => undefined, // We are closing: nothing follows from it.
    );
    this.#meetMembers();
    return body;
  }

  #makeReturning(plan: ReturnPlan, { folder, members }: Body, standing: Standing): Returning {
    return new Returning({
      plan,
      store: this.#store,
      world: this.#world,
      links: () => this.#peers.links.values(),
      otherMembers: () => members.list().flatMap(({ nodeId }) => (nodeId === this.#identity.nodeId ? [] : [nodeId])),
      endWithholding: () => folder.endWithholding(plan.unknown, plan.alone),
      setAside: () => standing.setAside,
      onDone: () => void this.#returned(),
    });
  }

  #makeNewcomer({ members }: Body): Newcomer {
    return new Newcomer({
      nodeId: this.#identity.nodeId,
      store: this.#store,
      log: this.#log,
      members,
      links: () => this.#peers.links,
      onDone: () => this.#canBeGoneBy(),
    });
  }

  /** From now on this replica is one like any other. */
  async #returned(): Promise<void> {
    try {
      await this.#introduceFounder();
    } catch (error) {
      this.#log.warn('the own member record could not be written', { error: String(error) });
    }
    this.#meetMembers();
    this.#canBeGoneBy();
    this.#announce();
    this.#stateMayHaveChanged();
  }

  /** Hosts that do not know the share yet, either, are to hear that this one does by now. */
  #canBeGoneBy(): void {
    for (const link of this.#peers.links.values()) if (isLearning(link)) link.close();
  }

  /** The first member introduces itself, but not before it has learnt whether the others know it already. */
  async #introduceFounder(): Promise<void> {
    const { share } = this.#body!.replica;
    if (share.founder === this.#identity.nodeId && this.#returning?.done !== false) await this.#membership.introduceSelf();
  }

  #firstRead(): void {
    if (this.#restored) {
      forgetRestored(this.#store).catch((error: unknown) => this.#log.warn('a row was not removed', { error: String(error) }));
    }
    this.#returning?.read();
    this.#announce();
  }

  #committed({ intake, landing }: Body, commit: Commit): void {
    this.#confirmations.committed(commit.head.root, commit.head.commit);
    this.#problems.committed(commit.keys, (incoming) => intake.isKnown(incoming));
    const local = commit.keys.filter(({ origin }) => origin === undefined);
    if (local.length > 0) this.#localChange = true;
    // A local write can change what else is to be shown: a deleted winner uncovers its conflict copy.
    // And where winner and copy were deleted together, nothing is left to show, but a todo row stands: it goes the same way.
    const uncovered = local
      .filter(({ key, entry }) => entry !== undefined && (entry.versions.length > 1 || (isTombstone(entry) && this.#mayBeTodo(key))))
      .map(({ key }) => key);
    if (uncovered.length > 0) {
      landing.project(uncovered).catch((error: unknown) => this.#log.warn('paths can not be shown', { error: String(error) }));
    }
    if (!intake.landing) this.#announce();
    if (commit.keys.some(({ key }) => isMemberKey(key))) this.#meetMembers();
  }

  /** To show it once more does no harm where the database can not be read just now. */
  #mayBeTodo(key: Uint8Array): boolean {
    try {
      return this.#store.get(keyspace.pendingKey(key)) !== undefined;
    } catch {
      return true;
    }
  }

  /** Stays connected with all members, and tells them our own address once we are one. */
  #meetMembers(): void {
    const members = this.#body?.members.list() ?? [];
    for (const { nodeId, address } of members) this.#keepHost(nodeId, address);
    if (this.#body === undefined) return;
    this.#dropEvicted();
    this.#membership.describeSelf();
    if (this.#returning?.done === false) return;
    try {
      writeRecovery(this.#grounds.access.disk, this.#options.dataDir, { share: this.#body.replica.share, members });
    } catch (error) {
      this.#log.warn('the list of members could not be kept beside the database', { error: String(error) });
    }
  }

  #dropEvicted(): void {
    if (this.#membership.isEvicted) void this.#evicted();
    for (const nodeId of this.#peers.links.keys()) {
      const refusal = this.#membership.refusalOf(nodeId);
      if (refusal !== undefined) this.#peers.drop(nodeId, new SamerootError(refusal.code, 'the peer is no member of the share any more'));
    }
  }

  /** A member that nobody here has heard of has shown the records that make it one. */
  async #introduced(shown: readonly EntryItem[], nodeId: string): Promise<void> {
    const { members, intake } = this.#require();
    const records = members.judge(nodeId, shown);
    if (typeof records !== 'string') await intake.offer(nodeId, records, []);
    if (!members.trusts(nodeId)) throw new SamerootError('NOT_INVITED', 'the introductions of a host could not be taken in');
  }

  /** A peer said that it will not talk to us. */
  #refused(link: PeerLink, error: SamerootError, sinceMs: number | undefined): void {
    this.#membership.refused(link.channel, error.code);
    if (error.code === 'EVICTED' && this.#membership.believesEviction(link.channel, sinceMs)) void this.#evicted();
  }

  /** This host is a member no more: it talks to nobody, and its folder stays as it is. */
  async #evicted(): Promise<void> {
    if (this.#stopped !== undefined) return;
    this.#stopped = evictedError();
    this.#log.error('this host was evicted from the share', { advice: this.#stopped.advice });
    this.#membership.leave();
    this.#peers.leave();
    this.#stateMayHaveChanged();
    try {
      await markEvicted(this.#store);
    } catch (error) {
      this.#log.warn('the eviction was not kept', { error: String(error) });
    }
  }

  #keepHost(nodeId: string, addressText: string): void {
    const address = nodeId === this.#identity.nodeId ? undefined : parseAddress(addressText);
    if (address === undefined) return;
    this.#peers.moved(nodeId, addressText);
    this.#peers.keep(address, nodeId);
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
    await folder.whenRead();
    const seen = nodeId === undefined ? undefined : this.#cursor(nodeId);
    return {
      type: 'hello',
      versionMin: PROTOCOL_VERSION,
      versionMax: PROTOCOL_VERSION,
      capabilities: this.#isLearning ? [LEARNING_CAPABILITY] : [],
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
      world: this.#world,
      handshake: {
        refusalOf: (nodeId) => this.#membership.refusalOf(nodeId),
        judge: (nodeId, shown) => this.#membership.judge(nodeId, shown),
      },
      admit: (message, channel) => this.#membership.admit(message, channel),
      joined: (message, channel) => this.#membership.introduce(message, channel),
      introduced: (shown, channel) => this.#introduced(shown, channel.remoteId!),
      makeHello: (nodeId, peer) => this.#makeHello(nodeId, peer),
      ground: (hello, ours) => this.#ground(hello, ours),
      offer: (link, items, inline) => this.#offer(link, items, inline),
      contains: (link, root) => this.#contains(link, root),
      confirmed: (link, root) => this.#confirmed(link, root),
      stable: (_link, cut) => this.#heardCut(cut),
      refused: (link, error, sinceMs) => this.#refused(link, error, sinceMs),
      walked: (link, messages) => this.#log.debug('walk complete', { peer: link.nodeId?.slice(0, 8), messages }),
      makeServer: (link) =>
        new PeerServer(link.channel, { read: (...wanted) => this.#readContent(...wanted) }, this.#body!.fetcher.listPage),
      rootMoved: (link) => this.#rootMoved(link),
      chunks: (link, frame) => this.#body!.fetcher.onChunks(link.nodeId!, frame),
      toFetcher: (link, message) => {
        const { fetcher } = this.#body!;
        if (message.type === 'fetched') fetcher.onFetched(link.nodeId!, message);
        else if (message.type === 'have') fetcher.mates.heard(link.nodeId!, message);
        else fetcher.onListPages(link.nodeId!, message);
      },
    };
  }

  #ground(hello: Hello, ours: Hello): SessionGround {
    const { replica, folder } = this.#body!;
    const { root, tree } = replica.head;
    // What our hello said, not what is true by now: the peer goes by that.
    const contains = ours.containsReplica === hello.replica ? ours.contains : undefined;
    // The session says what it comes to contain, not what was contained before a restart.
    if (contains !== undefined && equalBytes(contains, hello.root)) this.#learnt({ nodeId: hello.nodeId, hello });
    return {
      replica: {
        reader: replica.reader,
        rankBits: replica.share.rankBits,
        treeOf: (root) => replica.treeOf(root),
        inline: (item, known) => folder.inline(item, known),
      },
      head: { root, tree },
      told: ours.root,
      replicaId: replica.id,
      contains,
      initiator: this.#identity.nodeId < hello.nodeId,
    };
  }

  async #readContent(
    content: Uint8Array,
    firstChunk: number,
    wanted: readonly { offsetBytes: number; bytes: number }[],
  ): Promise<ReadChunks | undefined> {
    const { folder, records, fetcher } = this.#body!;
    const isArriving = fetcher.mates.holds(content, { first: firstChunk, count: wanted.length }) && !folder.holds(content);
    // It may have become a file of the folder since.
    const found = (isArriving ? await folder.readPart(content, wanted) : undefined) ?? (await folder.read(content, wanted));
    if (found !== undefined) return found;
    const chunks = records.read(content, wanted);
    return chunks === undefined ? undefined : { chunks, roomBytes: 0 };
  }

  // --- sessions --------------------------------------------------------------------------------------------------

  #linkOpened(link: PeerLink): void {
    const hello = link.hello!;
    this.#membership.greeted(hello.nodeId);
    this.#body!.fetcher.attach(hello.nodeId, (message) => link.send(message));
    this.#log.info('connected', { peer: hello.name, nodeId: hello.nodeId.slice(0, 8), address: link.channel.remoteAddress });
    this.#emit({ type: 'peer', nodeId: hello.nodeId, name: hello.name, connected: true });
    this.#emit({ type: 'transfer', phase: 'initialise', peer: hello.nodeId, detail: { root: toHex(hello.root) } });
    // The session is made after this; what happened since our hello is told then.
    this.#world.timers.soon(() => {
      try {
        this.#tell(link, false);
        this.#body!.purge.greet(link);
        this.#rootMoved(link);
      } catch (error) {
        // The database can not be read just now: the connection is made again.
        link.fail(error);
      }
    });
  }

  #linkClosed(link: PeerLink): void {
    const hello = link.hello!;
    this.#body?.fetcher.detach(hello.nodeId);
    this.#log.info('disconnected', { peer: hello.name, nodeId: hello.nodeId.slice(0, 8) });
    this.#emit({ type: 'peer', nodeId: hello.nodeId, name: hello.name, connected: false });
    this.#confirmations.poke();
    this.#returning?.check();
    this.#stateMayHaveChanged();
  }

  #heardCut(cut: StableCut): void {
    const { replica, purge } = this.#body!;
    // A delete of ours that we have not made yet: this database is older than what its replica has told.
    if ((cut.sequences.get(replica.id) ?? 0) > replica.head.sequence) void this.#stopTakingPart(rolledBack());
    else purge.heard(cut);
  }

  /** True once all entries are committed and what they say is on disk. */
  async #offer(link: PeerLink, items: readonly EntryItem[], inline: readonly InlineChunk[]): Promise<boolean> {
    const { intake, landing } = this.#body!;
    try {
      const done = await intake.offer(link.nodeId!, items, inline);
      await landing.shown();
      return done;
    } catch (error) {
      if (error instanceof SamerootError && error.code === 'REPLICA_ROLLED_BACK') await this.#stopTakingPart(error);
      throw error;
    } finally {
      // Work for one peer may fail after another has brought the same: no event follows then.
      this.#stateMayHaveChanged();
    }
  }

  /** Writes nothing any more, and talks to nobody. */
  async #stopTakingPart(error: SamerootError): Promise<void> {
    if (this.#stopped !== undefined) return;
    this.#stopped = error;
    this.#log.error('this host takes part no more', { code: error.code, reason: error.message, advice: error.advice });
    this.#body!.replica.stop(error);
    this.#peers.close();
    this.#stateMayHaveChanged();
    try {
      await markRolledBack(this.#store);
    } catch (cause) {
      // The next start takes part until a peer tells it the same again.
      this.#log.warn('that this host was rolled back was not kept', { error: String(cause) });
    }
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
    if (this.#announced === undefined || !equalBytes(root, this.#announced)) this.#announceHead(this.#body, local);
    this.#body.purge.headTold();
  }

  #announceHead({ replica, collector }: Body, local: boolean): void {
    const { root } = replica.head;
    this.#announced = root;
    for (const link of this.#peers.links.values()) this.#tell(link, local);
    this.#emit({ type: 'root', root: toHex(root) });
    collector.afterCommit();
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
    this.#learnt(link);
    this.#stateMayHaveChanged();
  }

  get #isLearning(): boolean {
    return this.#returning?.done === false || this.#newcomer?.done === false;
  }

  /** A whole root of this peer is contained. */
  #learnt(peer: Pick<PeerLink, 'nodeId' | 'hello'>): void {
    this.#returning?.contains(peer);
    this.#newcomer?.contains(peer);
  }

  /** What is being fetched from one peer may come from another with the same root too. */
  #rootMoved(link: PeerLink): void {
    for (const other of this.#sourcesLike(link.nodeId!)) {
      if (other !== link.nodeId) this.#body!.fetcher.sameContents(link.nodeId!, other);
    }
    this.#stateMayHaveChanged();
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
    link.lastAckMs = this.#world.clock.monotonicMs();
    this.#confirmations.confirmed(link.nodeId!, root);
    this.#stateMayHaveChanged();
  }

  /** Looks after what no event tells: roots that stay unlike although nothing moves. */
  #tick(): void {
    for (const link of this.#peers.links.values()) link.step({ type: 'tick' });
    this.#returning?.check();
    this.#newcomer?.check();
    this.#stateMayHaveChanged();
  }

  #emit(event: NodeEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  #stateMayHaveChanged(): void {
    if (this.#closing !== undefined) return;
    this.#body?.purge.poke();
    if (isInSync(this.#statusParts())) this.#problems.clear();
    const state = nodeState(this.#statusParts());
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
      clock: this.#world.clock,
      restored: this.#restored,
      returning: this.#returning,
      stopped: this.#stopped,
    };
  }

  async scan(): Promise<void> {
    const { folder, replica } = this.#require();
    await folder.scanNow();
    await replica.idle();
  }

  wait(request: WaitRequest): Promise<WaitResult> {
    const cursor = (nodeId: string): Uint8Array | undefined => this.#cursor(nodeId)?.root;
    const { clock, timers } = this.#world;
    const parts = { body: this.#require(), peers: this.#peers, confirmations: this.#confirmations, clock, timers };
    return waitForPeers({ ...parts, ownId: this.#identity.nodeId, cursor, scan: () => this.scan() }, request);
  }

  async diff(peer: string | undefined, limit: number): Promise<DiffResult> {
    const body = this.#require();
    await body.folder.whenRead();
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
    const { replica, members } = this.#require();
    const { clock, random } = this.#world;
    const nowMs = clock.wallMs();
    const inviter = { nodeId: this.#identity.nodeId, address: this.#membership.address };
    return createInvite(this.#store, replica, inviter, { nowMs, madeMs: members.laterMs(nowMs), expiresMs }, random);
  }

  async answerDeletes(answer: 'accept' | 'restore'): Promise<{ readonly paths: number }> {
    const { folder } = this.#require();
    return { paths: await (answer === 'accept' ? folder.acceptDeletes() : folder.restoreDeletes()) };
  }

  onChange(listener: (event: NodeEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  conflicts(options: Parameters<NodeApi['conflicts']>[0]): ConflictsResult {
    return this.#questions.conflicts(options);
  }

  resolveConflict(key: string, keep: string, ifMatch: string | undefined): Promise<ResolveResult> {
    return this.#questions.resolveConflict(key, keep, ifMatch);
  }

  async why(key: string): Promise<WhyResult> {
    return this.#questions.why(key);
  }

  trash(options: Parameters<NodeApi['trash']>[0]): Promise<TrashResult> {
    return this.#questions.trash(options);
  }

  async restoreTrash(request: RestoreRequest): Promise<RestoreResult> {
    return this.#questions.restoreTrash(request);
  }

  async emptyTrash(): Promise<{ readonly files: number; readonly bytes: number }> {
    return this.#questions.emptyTrash();
  }

  async evict(peer: string): Promise<{ readonly nodeId: string; readonly name: string }> {
    this.#require();
    return this.#membership.evict(peer);
  }

  purge(): Promise<PurgeResult> {
    return this.#require().purge.now();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#pull?.cancel();
    this.#peers.close();
    await this.#listener?.[Symbol.asyncDispose]();
    await this.#returning?.idle();
    if (this.#body !== undefined) await closeBody(this.#body);
    try {
      await this.#incarnation?.renew();
    } catch (error) {
      // The next start takes the database for a copy, and this host for a new replica: it costs no more than that.
      this.#log.warn('the incarnation was not written', { error: String(error) });
    }
    await closeGrounds(this.#grounds);
  }
}
