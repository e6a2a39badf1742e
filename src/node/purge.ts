/**
 * Purging: takes stable cuts, tells them, and drops the tombstones that they cover. docs/decisions/0009-stable-cut.md has
 * the reasons; the rules, each of which is needed (test/entry/stable-cut.test.ts shows what goes wrong without):
 *
 *   decide   only when every member, and every connected peer, is at one root with us. So every tombstone in it is known to
 *            all, and no member's delete that the cut covers is unknown to any. Who has just joined, or comes back without
 *            its database, does not know who the members are, and decides nothing.
 *   adopt    at once, whoever tells it, and again until it is kept. From then on no birth dots are given here (`Author.births`).
 *   tell     between streams, after our head: what we send from then on is not older than the cut.
 *   purge    when all connected peers that had agreed say that they go by the cut too: then nothing older is on its way
 *            to us. Not the keys of entries that have come and are still being fetched or flushed.
 *
 * A share that never comes to rest keeps its tombstones until it does; so does one with a member that is away.
 */
import { equalBytes } from '../base/bytes.ts';
import { messageOf } from '../base/errors.ts';
import type { Timer, World } from '../base/world.ts';
import { mergeContexts } from '../entry/entry.ts';
import { includesCut, joinCuts, type StableCut } from '../entry/stable-cut.ts';
import { purge, takeCut } from '../replica/tombstones.ts';
import type { Replica } from '../replica/replica.ts';
import type { SessionEvent } from '../session/session.ts';
import type { Tree } from '../tree/page.ts';
import type { PurgeResult } from './node-api.ts';

const EVERY_MS = 600_000;
/** How long `now` waits for the peers to answer. */
const ANSWER_MS_MAX = 5_000;
const KEEP_AGAIN_MS = 5_000;

/** A connection, as far as it matters here. */
export interface PurgeLink {
  readonly hello: { readonly replica: string; readonly name: string } | undefined;
  readonly session: { readonly peerRoot: Uint8Array; readonly peerStable: StableCut } | undefined;
  step(event: SessionEvent): void;
}

export interface PurgeParts {
  readonly replica: Replica;
  readonly world: Pick<World, 'timers' | 'log'>;
  readonly everyMs: number | undefined;
  /** This replica does not know the share yet: its list of members may lack some. */
  readonly isLearning: () => boolean;
  /** All members but this node, evicted ones not. */
  readonly members: () => readonly { readonly nodeId: string; readonly name: string }[];
  /** Entries of the tree that are no content of the share, and so count as not live. */
  readonly memberEntries: () => number;
  /** Open connections by node id. */
  readonly links: () => ReadonlyMap<string, PurgeLink>;
  readonly isArriving: (key: Uint8Array) => boolean;
  /** A cut was adopted: `headTold` is to be called as soon as the head of this moment has been told to the peers. */
  readonly onAdopted: () => void;
}

export class Purge {
  readonly #parts: PurgeParts;
  readonly #timer: Timer;
  /** A cut is to be taken when all agree. */
  #wanted = false;
  /** The cut covers something that was not dropped yet. */
  #owed: boolean;
  /** What the peers were told last. */
  #told: StableCut | undefined;
  /** What the peers go by and this replica does not yet. A peer tells its cut once, and waits for us: so it must not be lost. */
  #unkept: StableCut | undefined;
  #keepAgain: Timer | undefined;
  #reading: Tree | undefined;
  #running: Promise<void> | undefined;
  #purged = 0;
  readonly #watchers = new Set<() => void>();
  #closed = false;

  constructor(parts: PurgeParts) {
    this.#parts = parts;
    this.#owed = parts.replica.stable.sequences.size > 0;
    this.#timer = parts.world.timers.every(parts.everyMs ?? EVERY_MS, () => this.#due());
  }

  /** The tree that is being read: garbage collection leaves it alone. */
  get trees(): readonly Tree[] {
    return this.#reading === undefined ? [] : [this.#reading];
  }

  /** Tombstones in the tree. */
  get tombstones(): number {
    const { count, live } = this.#parts.replica.head.tree;
    return count - live - this.#parts.memberEntries();
  }

  /** Something changed that a decision or a purge may have waited for. Cheap where it has not. */
  poke(): void {
    if (this.#closed || this.#running !== undefined || !(this.#mayDecide() || this.#mayPurge())) return;
    this.#running = this.#run()
      // Asked for again at the next turn of the timer.
      .catch((error: unknown) => this.#parts.world.log.warn('tombstones could not be purged', { error: messageOf(error) }))
      .finally(() => {
        this.#running = undefined;
        for (const look of this.#watchers) look();
      });
  }

  /** A peer goes by this cut. */
  heard(cut: StableCut): void {
    this.#unkept = this.#unkept === undefined ? cut : joinCuts(this.#unkept, cut);
    void this.#keep();
  }

  async #keep(): Promise<void> {
    const cut = this.#unkept;
    if (cut === undefined) return;
    const { log, timers } = this.#parts.world;
    try {
      await this.#adopt(cut);
      if (this.#unkept === cut) this.#unkept = undefined;
      this.poke();
    } catch (error) {
      log.warn('a stable cut was not kept', { error: messageOf(error) });
      this.#keepAgain?.cancel();
      if (!this.#closed) this.#keepAgain = timers.after(KEEP_AGAIN_MS, () => void this.#keep(), { background: true });
    }
  }

  /** Our head was told to all peers: now they may hear the cut as well. */
  headTold(): void {
    const { replica, links } = this.#parts;
    if (replica.stable === this.#told) return;
    this.#told = replica.stable;
    for (const link of links().values()) this.greet(link);
  }

  /** The same for a new connection. */
  greet(link: PurgeLink): void {
    const { stable } = this.#parts.replica;
    if (stable.sequences.size > 0) link.step({ type: 'stable', cut: stable });
  }

  /** Purges what can be purged, and says what could not and who it waits for. */
  async now(): Promise<PurgeResult> {
    const before = this.#purged;
    this.#due();
    await this.#answered();
    return { purged: this.#purged - before, left: this.tombstones, waitingFor: this.#waitingFor() };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer.cancel();
    this.#keepAgain?.cancel();
    for (const look of this.#watchers) look();
    await this.#running;
  }

  /** Resolves when nothing is being done or owed, or no peer answers for too long. */
  #answered(): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        limit.cancel();
        this.#watchers.delete(look);
        resolve();
      };
      const look = (): void => {
        if (this.#closed || (this.#running === undefined && !this.#owed)) end();
      };
      const limit = this.#parts.world.timers.after(ANSWER_MS_MAX, end);
      this.#watchers.add(look);
      look();
    });
  }

  #due(): void {
    this.#wanted = this.tombstones > 0;
    this.#owed ||= this.#wanted && this.#parts.replica.stable.sequences.size > 0;
    this.poke();
  }

  // --- who is meant ----------------------------------------------------------------------------------------------

  /** Members that are away, or not at our root; and other peers that are not. */
  #notAgreeing(): string[] {
    const { replica, isLearning, members, links } = this.#parts;
    if (isLearning()) return ['the first host that knows the share'];
    const open = links();
    const root = replica.head.root;
    const names = new Map(members().map(({ nodeId, name }) => [nodeId, name]));
    for (const [nodeId, { hello }] of open) if (!names.has(nodeId)) names.set(nodeId, hello?.name ?? '');
    const agrees = (nodeId: string): boolean => {
      const session = open.get(nodeId)?.session;
      return session !== undefined && equalBytes(session.peerRoot, root);
    };
    return [...names].filter(([nodeId]) => !agrees(nodeId)).map(([nodeId, name]) => (name === '' ? nodeId : name));
  }

  /** Peers that had agreed, and have not said on this connection that they go by the cut. */
  #notAdopted(): string[] {
    const { replica, links } = this.#parts;
    const { stable } = replica;
    return [...links().values()].flatMap(({ hello, session }) => {
      if (hello === undefined || session === undefined || !stable.replicas.has(hello.replica)) return [];
      return includesCut(session.peerStable, stable) ? [] : [hello.name];
    });
  }

  #mayDecide(): boolean {
    return this.#wanted && this.#notAgreeing().length === 0;
  }

  #mayPurge(): boolean {
    return this.#owed && this.#notAdopted().length === 0;
  }

  #waitingFor(): string[] {
    return [...new Set([...(this.#wanted ? this.#notAgreeing() : []), ...(this.#owed ? this.#notAdopted() : [])])];
  }

  // --- what is done ----------------------------------------------------------------------------------------------

  async #run(): Promise<void> {
    if (this.#mayDecide()) await this.#decide();
    if (this.#mayPurge()) await this.#drop();
  }

  async #decide(): Promise<void> {
    this.#wanted = false;
    const { replica, world, links } = this.#parts;
    const agreeing = [...links().values()].flatMap(({ hello }) => hello?.replica ?? []);
    const taken = await this.#read((tree) => takeCut(replica, tree, [replica.id, ...agreeing], world.timers));
    if (includesCut(replica.stable, taken)) return;
    // So it takes the place of the one before, with its list of replicas: all that agree now are at a root that knew that one.
    await this.#adopt({ sequences: mergeContexts(replica.stable.sequences, taken.sequences), replicas: taken.replicas });
  }

  async #adopt(cut: StableCut): Promise<void> {
    if (!(await this.#parts.replica.adopt(cut))) return;
    this.#owed = true;
    this.#parts.onAdopted();
  }

  async #drop(): Promise<void> {
    this.#owed = false;
    const { replica, world, isArriving } = this.#parts;
    const { purged, spared, left } = await this.#read((tree) => purge(replica, tree, isArriving, world.timers));
    this.#purged += purged;
    if (purged > 0) world.log.info('tombstones purged', { purged, spared, left });
  }

  async #read<T>(work: (tree: Tree) => Promise<T>): Promise<T> {
    const { tree } = this.#parts.replica.head;
    this.#reading = tree;
    try {
      return await work(tree);
    } finally {
      this.#reading = undefined;
    }
  }
}
