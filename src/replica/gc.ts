/**
 * Garbage collection: pages and roots that nothing needs any more leave the store.
 *
 * Kept: the head, the last `ROOT_HISTORY_COUNT` roots, and the trees that sessions hold. Mark and sweep, in slices, while
 * commits go on. Invariant: no page of a head made since the mark began is swept. Such a page was either put by its
 * commit, and then noted as fresh before the batch was written, or was left as it was by the edit, and then it is a page
 * of the head before, which is marked or fresh itself. The mark begins and history rows go in a turn between commits
 * (`Replica.alone`): no commit is half known then, and no root comes back while it is being forgotten. Deletes of pages
 * need no turn: writes take effect in the order of their calls.
 */
import { assert } from '../base/assert.ts';
import { byteKey } from '../base/bytes.ts';
import { messageOf } from '../base/errors.ts';
import { ROOT_HISTORY_COUNT } from '../base/limits.ts';
import { nextTurn, type World } from '../base/world.ts';
import * as keyspace from '../store/keyspace.ts';
import type { Operation } from '../store/store.ts';
import type { Tree } from '../tree/page.ts';
import { decodeTree } from './head.ts';
import type { Replica } from './replica.ts';

/** A collection is due when this many pages were written, or as many as half of the live ones. */
const FRESH_PAGES_MIN = 4_000;
const SLICE_PAGES = 500;
const MEAN_PAGE_ITEMS = 24;

export class Collector {
  readonly #replica: Replica;
  readonly #world: Pick<World, 'timers' | 'log'>;
  readonly #heldTrees: () => readonly Tree[];
  #running: Promise<void> | undefined;
  #collecting = false;
  #closed = false;

  constructor(replica: Replica, world: Pick<World, 'timers' | 'log'>, heldTrees: () => readonly Tree[]) {
    this.#replica = replica;
    this.#world = world;
    this.#heldTrees = heldTrees;
  }

  /** Starts a collection if enough was written since the last one. */
  afterCommit(): void {
    const due = Math.max(FRESH_PAGES_MIN, this.#replica.head.tree.count / MEAN_PAGE_ITEMS / 2);
    if (this.#replica.pagesWritten < due || this.#running !== undefined || this.#closed) return;
    this.#running = this.collect()
      .then(
        (swept) => this.#world.log.debug('pages collected', { swept }),
        (error: unknown) => this.#world.log.warn('collecting pages failed', { error: messageOf(error) }),
      )
      .finally(() => (this.#running = undefined));
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
  }

  /** Gives the number of pages that were dropped. */
  async collect(): Promise<number> {
    assert(!this.#collecting, 'one collection at a time');
    this.#collecting = true;
    try {
      const { fresh, oldRoots } = await this.#replica.alone(async () => ({
        fresh: this.#replica.noteFreshPages(),
        oldRoots: await this.#expireRoots(),
      }));
      const marked = new Set<string>();
      for (const tree of [...oldRoots, ...this.#heldTrees(), this.#replica.head.tree]) await this.#mark(tree, marked);
      return await this.#sweep(marked, fresh);
    } finally {
      this.#replica.forgetFreshPages();
      this.#collecting = false;
    }
  }

  /** Drops the history rows beyond the window; gives the trees of those within. In its own turn: a root may come back. */
  async #expireRoots(): Promise<Tree[]> {
    const { store, head } = this.#replica;
    const trees: Tree[] = [];
    const kept = new Set<string>();
    const expired: { commitKey: Uint8Array; root: Uint8Array }[] = [];
    for await (const rows of store.iterate({ ...keyspace.prefixRange(keyspace.PREFIX.commit), reverse: true })) {
      for (const [key, root] of rows) {
        if (keyspace.numberOfKey(key) > head.commit - ROOT_HISTORY_COUNT) {
          kept.add(byteKey(root));
          const row = store.get(keyspace.rootKey(root));
          if (row !== undefined) trees.push(decodeTree(row));
        } else expired.push({ commitKey: Uint8Array.from(key), root: Uint8Array.from(root) });
      }
    }
    const operations: Operation[] = [];
    for (const { commitKey, root } of expired) {
      operations.push({ type: 'del', key: commitKey });
      if (!kept.has(byteKey(root))) operations.push({ type: 'del', key: keyspace.rootKey(root) });
    }
    if (operations.length > 0) await store.write(operations, { durable: false });
    return trees;
  }

  /** Level by level; pages that are marked were marked with all below them. */
  async #mark(tree: Tree, marked: Set<string>): Promise<void> {
    const { reader } = this.#replica;
    if (tree.page === undefined) return;
    const open: { hash: Uint8Array; level: number }[] = [{ hash: tree.page, level: tree.level }];
    let inSlice = 0;
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      const id = byteKey(next.hash);
      if (marked.has(id)) continue;
      marked.add(id);
      if (next.level === 0) continue;
      const page = reader.read(next.hash);
      for (let item = 0; item < page.size; item++) open.push({ hash: page.hash(item), level: next.level - 1 });
      if (++inSlice >= SLICE_PAGES) {
        inSlice = 0;
        await nextTurn(this.#world.timers);
        // Half a mark is no harm: nothing is swept any more.
        if (this.#closed) return;
      }
    }
  }

  async #sweep(marked: ReadonlySet<string>, fresh: ReadonlySet<string>): Promise<number> {
    const { store } = this.#replica;
    let swept = 0;
    for await (const rows of store.iterate(keyspace.prefixRange(keyspace.PREFIX.page))) {
      if (this.#closed) break;
      const unwanted = rows.map(([key]) => Uint8Array.from(key)).filter((key) => !isIn(marked, key) && !isIn(fresh, key));
      const operations = unwanted.map((key): Operation => ({ type: 'del', key }));
      // No await between the look at `fresh` and the call: a commit that puts such a page again is called later, and wins.
      if (operations.length > 0) await store.write(operations, { durable: false });
      swept += operations.length;
    }
    return swept;
  }
}

function isIn(pages: ReadonlySet<string>, key: Uint8Array): boolean {
  return pages.has(byteKey(keyspace.keyBody(key)));
}
