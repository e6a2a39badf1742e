/**
 * A replica: one node's copy of a share's tree in its store, and the only place where it changes.
 *
 * Invariants. All pages of the head are in the store: pages and head go into one atomic batch. Mutations are
 * functions of the current entry and run one after the other at commit, so no concurrent caller can lose another's
 * write. A commit has been flushed when its promise resolves. A mutation that throws fails its own commit, never those
 * that happen to share its group.
 *
 * Group commit without a timer: a commit starts at once when none is under way, and everything that arrives
 * meanwhile goes into the next one. An idle node commits with no delay, a busy one in large groups.
 */
import { byteKey, compareBytes, toHex } from '../base/bytes.ts';
import { SamerootError } from '../base/errors.ts';
import { REPLICA_ID_BYTES } from '../base/limits.ts';
import type { Clock, Random } from '../base/world.ts';
import { HybridClock, type Stamp } from '../entry/clock.ts';
import { decodeEntry, encodeEntry, weighEntry } from '../entry/entry-codec.ts';
import { write, type Dot, type Entry, type ReplicaId, type Value } from '../entry/entry.ts';
import { decodeCut, EMPTY_CUT, encodeCut, joinCuts, type StableCut } from '../entry/stable-cut.ts';
import * as keyspace from '../store/keyspace.ts';
import type { Operation, Store } from '../store/store.ts';
import { edit, type Change } from '../tree/edit.ts';
import { EMPTY_TREE, PageReader, rootHash, type Tree } from '../tree/page.ts';
import { Ranker } from '../tree/rank.ts';
import { lookup } from '../tree/walk.ts';
import { decodeHead, decodeTree, encodeHead, encodeTree, type Head } from './head.ts';
import { decodeShare, encodeShare, parametersHash, type Share } from './share.ts';

/** What a write needs from its author: fresh dots and stamps. */
export interface Author {
  dot(): Dot;
  stamp(): Stamp;
  observe(stamp: Stamp): void;
  /**
   * May a value that is found where no entry is get a birth dot? Only while nothing was ever purged here: afterwards the
   * key may have had an entry, and the same dot would name two writes.
   */
  readonly births: boolean;
}

export interface Mutation {
  readonly key: Uint8Array;
  /** The node id of the peer it came from; undefined = a write of this host. */
  readonly origin?: string;
  /** The new entry; returning `current` itself changes nothing. Synchronous; may run again if a commit fails. */
  next(current: Entry | undefined, author: Author): Entry | undefined;
  /** An entry that `next` may return, and its bytes: they need not be made again then. */
  readonly encoded?: { readonly entry: Entry; readonly bytes: Uint8Array } | undefined;
  /** Further rows for the same atomic batch, asked after `next`. */
  rows?(entry: Entry | undefined, changed: boolean): readonly Operation[];
}

export interface CommittedKey {
  readonly key: Uint8Array;
  readonly entry: Entry | undefined;
  readonly origin: string | undefined;
}

export interface Commit {
  readonly previous: Head;
  readonly head: Head;
  /** The keys whose entry changed, in key order. */
  readonly keys: readonly CommittedKey[];
}

interface Waiting {
  readonly mutations: readonly Mutation[];
  resolve(commit: Commit): void;
  reject(error: unknown): void;
}

/** Work that wants to be alone: runs in its turn, between two groups. */
type Turn = () => Promise<void>;

/** A group that is ready to be written. */
interface Prepared {
  readonly commit: Commit;
  readonly operations: readonly Operation[];
}

const COMMIT_MUTATIONS_MAX = 50_000;
const META_SHARE = 'share';
const META_REPLICA = 'replica';
const META_STABLE = 'stable';

export class Replica {
  readonly store: Store;
  readonly share: Share;
  readonly id: ReplicaId;
  readonly ranker: Ranker;
  readonly reader: PageReader;
  readonly parametersHash: Uint8Array;
  #pagesWritten = 0;
  #fresh: Set<string> | undefined;
  readonly #clock: HybridClock;
  readonly #listeners = new Set<(commit: Commit) => void>();
  #head: Head;
  #queue: (Waiting | Turn)[] = [];
  #running: Promise<void> | undefined;
  #failure: unknown;
  #stopped: SamerootError | undefined;
  #stable: StableCut;

  private constructor(store: Store, share: Share, id: ReplicaId, head: Head | undefined, clock: Clock) {
    this.store = store;
    this.share = share;
    this.id = id;
    this.parametersHash = parametersHash(share);
    this.ranker = new Ranker({ salt: share.id, rankBits: share.rankBits, weigh: weighEntry });
    this.reader = new PageReader({ get: (hash) => store.get(keyspace.pageKey(hash)) });
    this.#clock = new HybridClock(() => clock.wallMs(), head?.stamp);
    const cut = store.get(keyspace.metaKey(META_STABLE));
    this.#stable = cut === undefined ? EMPTY_CUT : decodeCut(cut);
    this.#head = head ?? {
      tree: EMPTY_TREE,
      root: rootHash(EMPTY_TREE, this.parametersHash),
      commit: 0,
      sequence: 0,
      stamp: this.#clock.high,
    };
  }

  /** The share that the store holds, if any. */
  static storedShare(store: Store): Share | undefined {
    const bytes = store.get(keyspace.metaKey(META_SHARE));
    return bytes === undefined ? undefined : decodeShare(bytes);
  }

  /** Makes an empty store a replica of `share`, with a replica id that no other database has had. */
  static async create(store: Store, share: Share, clock: Clock, random: Random, rows: readonly Operation[] = []): Promise<Replica> {
    if (Replica.storedShare(store) !== undefined) throw new RangeError('store: it already holds a share');
    const id = random.bytes(REPLICA_ID_BYTES);
    await store.write(
      [
        { type: 'put', key: keyspace.metaKey(META_SHARE), value: encodeShare(share) },
        { type: 'put', key: keyspace.metaKey(META_REPLICA), value: id },
        ...rows,
      ],
      { durable: true },
    );
    return new Replica(store, share, toHex(id), undefined, clock);
  }

  /** Another id, that no other database has had, for a store that is an older copy. `rows` go into the same batch. */
  static async changeId(store: Store, random: Random, rows: readonly Operation[] = []): Promise<void> {
    const id = random.bytes(REPLICA_ID_BYTES);
    await store.write([{ type: 'put', key: keyspace.metaKey(META_REPLICA), value: id }, ...rows], { durable: true });
  }

  static storedId(store: Store): Uint8Array | undefined {
    return store.get(keyspace.metaKey(META_REPLICA));
  }

  /** @throws {SamerootError} `DATABASE_DAMAGED` if the store is not a complete replica */
  static open(store: Store, clock: Clock): Replica {
    const share = Replica.storedShare(store);
    const id = Replica.storedId(store);
    if (share === undefined || id?.length !== REPLICA_ID_BYTES) throw new SamerootError('DATABASE_DAMAGED', 'the database names no share');
    const row = store.get(keyspace.headKey());
    return new Replica(store, share, toHex(id), row === undefined ? undefined : decodeHead(row), clock);
  }

  get head(): Head {
    return this.#head;
  }

  /** The entry at `key` in the committed head. */
  entry(key: Uint8Array, tree: Tree = this.#head.tree): Entry | undefined {
    const bytes = lookup(this.reader, tree, key);
    return bytes === undefined ? undefined : decodeEntry(bytes);
  }

  /** The tree of a root that is the head or in the history. */
  treeOf(root: Uint8Array): Tree | undefined {
    if (compareBytes(root, this.#head.root) === 0) return this.#head.tree;
    const row = this.store.get(keyspace.rootKey(root));
    return row === undefined ? undefined : decodeTree(row);
  }

  /** Called after every commit that changed the root, in order. */
  onCommit(listener: (commit: Commit) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Resolves when the mutations are in the tree and flushed. */
  commit(mutations: readonly Mutation[]): Promise<Commit> {
    return new Promise((resolve, reject) => this.#enqueue({ mutations, resolve, reject }));
  }

  /** Runs `work` while no commit is under way; those that are asked for meanwhile wait. `work` must not commit. */
  alone<T>(work: () => Promise<T> | T): Promise<T> {
    return new Promise((resolve, reject) =>
      this.#enqueue(async () => {
        try {
          resolve(await work());
        } catch (error) {
          reject(error);
        }
      }),
    );
  }

  /**
   * Writes rows that are true of this head only, in the turn of a commit; false, and nothing is written, if the head has moved.
   * For many keys whose entries were read and need no new ones: a mutation for each would look all of them up again.
   */
  record(head: Head, rows: readonly Operation[]): Promise<boolean> {
    return this.alone(async () => {
      if (this.#stopped !== undefined) throw this.#stopped;
      if (head !== this.#head) return false;
      try {
        await this.store.write(rows, { durable: true });
      } catch (error) {
        this.#failure = error;
        throw error;
      }
      this.#failure = undefined;
      return true;
    });
  }

  /** A write of this host that has seen everything that is there now. */
  async write(key: Uint8Array, value: Value): Promise<Commit> {
    const next = (current: Entry | undefined, author: Author): Entry =>
      write(
        current,
        (current?.versions ?? []).map(({ dot }) => dot),
        author.dot(),
        author.stamp(),
        value,
      );
    return this.commit([{ key, next }]);
  }

  /** The cut that this replica goes by: all that it covers is known here. Kept beside the tree that it is true of. */
  get stable(): StableCut {
    return this.#stable;
  }

  /** Goes by `cut` too from now on, also after a restart; false if that changes nothing. */
  adopt(cut: StableCut): Promise<boolean> {
    return this.alone(async () => {
      const joined = joinCuts(this.#stable, cut);
      if (joined === this.#stable) return false;
      await this.store.write([{ type: 'put', key: keyspace.metaKey(META_STABLE), value: encodeCut(joined) }], { durable: true });
      this.#stable = joined;
      return true;
    });
  }

  /** Resolves when nothing is being committed. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  /** Pages written since the last garbage collection began. */
  get pagesWritten(): number {
    return this.#pagesWritten;
  }

  /**
   * From now on every page that is put is noted in the set returned. To be called `alone`: the pages of a commit that
   * is being written already would be missing from it.
   */
  noteFreshPages(): ReadonlySet<string> {
    this.#pagesWritten = 0;
    this.#fresh = new Set();
    return this.#fresh;
  }

  forgetFreshPages(): void {
    this.#fresh = undefined;
  }

  /** The error of the last commit, if it failed. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Nothing is committed any more: every commit from now on fails with this. */
  stop(error: SamerootError): void {
    this.#stopped = error;
    this.#failure = error;
  }

  #enqueue(item: Waiting | Turn): void {
    this.#queue.push(item);
    this.#running ??= this.#drain();
  }

  async #drain(): Promise<void> {
    // The queue may be filled in the same tick by many callers: let them all in before the first group is cut.
    await Promise.resolve();
    for (let next = this.#queue[0]; next !== undefined; next = this.#queue[0]) {
      if (typeof next === 'function') {
        this.#queue.shift();
        await next();
      } else await this.#commitGroup(this.#takeGroup());
    }
    // In the same tick as the last look at the queue: what comes a tick later starts anew and is not left lying.
    this.#running = undefined;
  }

  #takeGroup(): Waiting[] {
    const group: Waiting[] = [];
    for (let count = 0; count < COMMIT_MUTATIONS_MAX;) {
      const next = this.#queue[0];
      if (next === undefined || typeof next === 'function') break;
      this.#queue.shift();
      count += next.mutations.length;
      group.push(next);
    }
    return group;
  }

  async #commitGroup(group: readonly Waiting[]): Promise<void> {
    if (this.#stopped !== undefined) {
      this.#refuse(group, this.#stopped);
      return;
    }
    let prepared: Prepared;
    try {
      prepared = this.#prepare(group);
    } catch (error) {
      if (group.length === 1) this.#refuse(group, error);
      else {
        // One of them can not be done: halves are tried until it stands alone. The others are still one write or few.
        const middle = group.length >>> 1;
        await this.#commitGroup(group.slice(0, middle));
        await this.#commitGroup(group.slice(middle));
      }
      return;
    }
    const { commit, operations } = prepared;
    try {
      if (operations.length > 0) await this.store.write(operations, { durable: true });
    } catch (error) {
      this.#refuse(group, error);
      return;
    }
    this.#failure = undefined;
    this.#head = commit.head;
    for (const waiting of group) waiting.resolve(commit);
    if (commit.keys.length > 0) this.#tell(commit);
  }

  /** The commit stands, whatever a listener makes of it; the others are told in any case. */
  #tell(commit: Commit): void {
    for (const listener of this.#listeners) {
      try {
        listener(commit);
      } catch (error) {
        this.#failure = error;
      }
    }
  }

  #refuse(group: readonly Waiting[], error: unknown): void {
    this.#failure = error;
    for (const waiting of group) waiting.reject(error);
  }

  #prepare(group: readonly Waiting[]): Prepared {
    const previous = this.#head;
    let sequence = previous.sequence;
    const author: Author = {
      dot: () => ({ replica: this.id, sequence: ++sequence }),
      stamp: () => this.#clock.now(),
      observe: (stamp) => this.#clock.observe(stamp),
      births: this.#stable.sequences.size === 0,
    };
    const changed = new Map<string, CommittedKey & { readonly encoded: Mutation['encoded'] }>();
    const operations: Operation[] = [];
    for (const { mutations } of group) {
      for (const mutation of mutations) {
        const id = byteKey(mutation.key);
        const earlier = changed.get(id);
        const current = earlier === undefined ? this.entry(mutation.key, previous.tree) : earlier.entry;
        const next = mutation.next(current, author);
        if (next !== current) changed.set(id, { key: mutation.key, entry: next, origin: mutation.origin, encoded: mutation.encoded });
        if (mutation.rows !== undefined) for (const operation of mutation.rows(next, next !== current)) operations.push(operation);
      }
    }
    const sorted = [...changed.values()].sort((a, b) => compareBytes(a.key, b.key));
    const changes: Change[] = sorted.map(({ key, entry, encoded }) => {
      if (entry === undefined) return { key, value: undefined };
      return { key, value: encoded?.entry === entry ? encoded.bytes : encodeEntry(entry) };
    });
    const sink = {
      put: (hash: Uint8Array, page: Uint8Array): void => {
        this.#pagesWritten++;
        this.#fresh?.add(byteKey(hash));
        operations.push({ type: 'put', key: keyspace.pageKey(hash), value: page });
      },
    };
    const tree = edit(this.reader, previous.tree, changes, this.ranker, sink);
    if (tree === previous.tree) return { commit: { previous, head: previous, keys: [] }, operations };
    const head = { tree, root: rootHash(tree, this.parametersHash), commit: previous.commit + 1, sequence, stamp: this.#clock.high };
    operations.push({ type: 'put', key: keyspace.headKey(), value: encodeHead(head) });
    operations.push(...this.#historyRows(head));
    return { commit: { previous, head, keys: sorted }, operations };
  }

  /** The new root becomes findable by its hash; the one that falls out of the window does not go here but in `gc`. */
  #historyRows(head: Head): Operation[] {
    return [
      { type: 'put', key: keyspace.rootKey(head.root), value: encodeTree(head.tree) },
      { type: 'put', key: keyspace.commitKey(head.commit), value: head.root },
    ];
  }
}
