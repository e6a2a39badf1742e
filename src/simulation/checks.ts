/**
 * What must hold, and where it is looked at: after every death what the disk and the database are left with, after every
 * barrier what the peers have, and in the end everything.
 *
 * The names of the invariants are those of docs/ARCHITECTURE.md.
 */
import { toHex, fromUtf8 } from '../base/bytes.ts';
import { messageOf } from '../base/errors.ts';
import { decodeEntry, weighEntry } from '../entry/entry-codec.ts';
import { contains, type Entry } from '../entry/entry.ts';
import { isLive } from '../entry/view.ts';
import { Replica } from '../replica/replica.ts';
import type { SortedRows } from '../store/sorted-rows.ts';
import type { Store } from '../store/store.ts';
import { build } from '../tree/build.ts';
import { rootHash, type Tree } from '../tree/page.ts';
import { Ranker } from '../tree/rank.ts';
import { walk } from '../tree/walk.ts';
import type { Model } from './model.ts';
import { SHARED_FOLDER, type Death, type SimHost } from './sim-host.ts';
import type { Trace } from './trace.ts';
import type { SharedItem, Users } from './users.ts';

export interface Violation {
  readonly invariant: string;
  readonly message: string;
  /** Virtual. */
  readonly atMs: number;
}

const MESSAGE_LENGTH_MAX = 2_000;
const VIOLATIONS_MAX = 20;

export class Checks {
  readonly violations: Violation[] = [];
  readonly #model: Model;
  readonly #users: Users;
  readonly #trace: Trace;

  constructor(model: Model, users: Users, trace: Trace) {
    this.#model = model;
    this.#users = users;
    this.#trace = trace;
  }

  report(invariant: string, message: string): void {
    this.#trace.tell(undefined, 'VIOLATION', `${invariant}: ${message}`);
    if (this.violations.length < VIOLATIONS_MAX)
      this.violations.push({ invariant, message: message.slice(0, MESSAGE_LENGTH_MAX), atMs: this.#trace.nowMs });
  }

  // --- after a death ---------------------------------------------------------------------------------------------

  /** Whole files only, and a root that covers nothing but what is here. */
  afterDeath(host: SimHost, death: Death): void {
    for (const { path, file } of this.#users.items(host)) this.#checkWhole(host, path, file, death);
    const replica = this.replicaOf(host);
    if (replica === undefined) return;
    const held = this.#numbersOn(host);
    for (const [key, entry] of this.#entries(host, replica, replica.head.tree)) {
      for (const { value } of entry.versions) {
        if (value.kind !== 'file') continue;
        const number = this.#users.numbers.numberOf(toHex(value.content), replica.share);
        // A user may have replaced it a moment ago; an empty content needs no file.
        if (number === undefined || held.has(number) || this.#users.discardedOn(host).has(number)) continue;
        this.report(
          'covered',
          `host ${host.index}: after a ${death} its root covers #${number} at ${fromUtf8(key)}, whose bytes are not on its disk`,
        );
      }
    }
  }

  #checkWhole(host: SimHost, path: string, file: SharedItem['file'], when: string): void {
    const { torn } = this.#users.valueOf(file);
    if (torn !== undefined && !this.#users.isRotten(host, path)) this.report('torn', `host ${host.index}, ${when}: ${path} holds ${torn}`);
  }

  /** Writes all of whose bytes are in some file of the host, `.sameroot` included. */
  #numbersOn(host: SimHost): Set<number> {
    const numbers = new Set<number>();
    for (const [, file] of host.files.below(SHARED_FOLDER)) {
      if (file.kind !== 'file') continue;
      const { value } = this.#users.valueOf(file);
      if (value !== undefined) numbers.add(Number(/\d+/.exec(value)![0]));
    }
    for (const [name, number] of this.#users.rotten) if (name.startsWith(`${host.index} `)) numbers.add(number);
    return numbers;
  }

  // --- after a barrier -------------------------------------------------------------------------------------------

  /** `peer` has confirmed `root` of `host`: after a power loss it must still contain every entry of it. */
  confirmed(host: SimHost, root: string, peer: SimHost): void {
    const ours = this.replicaOf(host);
    const theirs = this.replicaOf(peer);
    const tree = ours?.treeOf(Buffer.from(root, 'hex'));
    if (ours === undefined || tree === undefined) return;
    if (theirs === undefined) return this.report('confirmed', `host ${peer.index} confirmed a root and has no database`);
    for (const [key, entry] of this.#entries(host, ours, tree)) {
      const there = theirs.entry(key);
      if (contains(there, entry) || (there === undefined && entry.versions.every(({ value }) => !isLive(value)))) continue;
      this.report('confirmed', `host ${peer.index} confirmed root ${root.slice(0, 12)} of host ${host.index} and lacks ${fromUtf8(key)}`);
      return;
    }
  }

  // --- in the end ------------------------------------------------------------------------------------------------

  /** Do the disks show different things? */
  shownDiffers(hosts: readonly SimHost[]): boolean {
    const joined = hosts.filter((host) => !host.neverJoined);
    const first = this.#shownText(joined[0]!);
    return joined.some((host) => this.#shownText(host) !== first);
  }

  #shownText(host: SimHost): string {
    const lines = this.#users.items(host).map(({ path, file }) => {
      if (file.kind === 'directory') return `${path}/ ${file.mode}`;
      return `${path} ${this.#users.valueOf(file).value ?? 'torn'} ${file.kind === 'file' ? Math.floor(file.mtimeMs) : ''}`;
    });
    return lines
      .filter((line) => !this.#users.isRottenAnywhere(line.split(' ')[0]!))
      .sort()
      .join('\n');
  }

  atEnd(hosts: readonly SimHost[], converged: boolean): void {
    const joined = hosts.filter((host) => !host.neverJoined);
    for (const host of joined) {
      for (const { path, file } of this.#users.items(host)) this.#checkWhole(host, path, file, 'in the end');
      this.#checkTree(host);
    }
    if (!converged) return;
    for (const host of joined) this.#checkShown(host);
  }

  /** Equal entries make an equal root, whatever the history; all pages are there and are what their names say. */
  #checkTree(host: SimHost): void {
    const replica = this.replicaOf(host);
    if (replica === undefined) return;
    const items: { key: Uint8Array; value: Uint8Array }[] = [];
    try {
      for (const { key, value } of walk(replica.reader, replica.head.tree))
        items.push({ key: Uint8Array.from(key), value: Uint8Array.from(value) });
    } catch (error) {
      this.report('pages', `host ${host.index}: the tree can not be read: ${messageOf(error)}`);
      return;
    }
    const ranker = new Ranker({ salt: replica.share.id, rankBits: replica.share.rankBits, weigh: weighEntry });
    const built = build(items, ranker, { put: () => undefined });
    const root = toHex(rootHash(built, replica.parametersHash));
    if (root !== toHex(replica.head.root)) this.report('root', `host ${host.index}: its root is not that of its entries built anew`);
  }

  /** What the disk shows is what the model has alive, key by key. */
  #checkShown(host: SimHost): void {
    const shown = new Map<string, Set<string>>();
    for (const { path, file } of this.#users.items(host)) {
      const { value } = this.#users.valueOf(file);
      if (value === undefined || this.#users.isRotten(host, path)) continue;
      const version = this.#model.findShown(path, value);
      if (version === undefined) this.report('invented', `host ${host.index}: ${path} shows ${value}, which nobody wrote there`);
      else shown.set(version.key, (shown.get(version.key) ?? new Set()).add(value));
    }
    this.#compare(host, shown, (key) => key.startsWith('f/'));
  }

  /** `recordsOf`: by name, the value and its siblings. */
  checkRecords(hosts: ReadonlyMap<SimHost, ReadonlyMap<string, readonly Uint8Array[]>>): void {
    for (const [host, records] of hosts) {
      const shown = new Map<string, Set<string>>();
      for (const [name, values] of records) {
        for (const bytes of values) {
          const version = this.#users.recordVersion(name, bytes);
          if (version === undefined || !this.#users.isWhole(bytes))
            this.report('torn', `host ${host.index}: record ${name} has bytes that nobody wrote`);
          else shown.set(`r/${name}`, (shown.get(`r/${name}`) ?? new Set()).add(version.value!));
        }
      }
      this.#compare(host, shown, (key) => key.startsWith('r/'));
    }
  }

  #compare(host: SimHost, shown: ReadonlyMap<string, ReadonlySet<string>>, belongs: (key: string) => boolean): void {
    const { must, may } = this.#model.alive((key, value) => shown.get(key)?.has(value) === true);
    for (const key of new Set([...must.keys(), ...shown.keys()])) {
      if (!belongs(key)) continue;
      for (const value of must.get(key) ?? []) {
        if (shown.get(key)?.has(value) !== true && !this.#users.isRottenAnywhere(key.slice(2)))
          this.report('lost', `host ${host.index}: ${value} of ${key} was never replaced by anyone who saw it, and is not shown`);
      }
      for (const value of shown.get(key) ?? []) {
        if (must.get(key)?.has(value) !== true && may.get(key)?.has(value) !== true)
          this.report('resurrected', `host ${host.index}: ${value} of ${key} was replaced by someone who saw it, and is shown`);
      }
    }
  }

  // --- reading a database at rest --------------------------------------------------------------------------------

  replicaOf(host: SimHost): Replica | undefined {
    const store = viewOf(host.database.snapshot().rows);
    try {
      if (Replica.storedShare(store) === undefined) return undefined;
      return Replica.open(store, { wallMs: () => 0, monotonicMs: () => 0 });
    } catch (error) {
      this.report('pages', `host ${host.index}: its database can not be opened: ${messageOf(error)}`);
      return undefined;
    }
  }

  *#entries(host: SimHost, replica: Replica, tree: Tree): Generator<[key: Uint8Array, entry: Entry]> {
    try {
      for (const { key, value } of walk(replica.reader, tree)) yield [key, decodeEntry(value)];
    } catch (error) {
      this.report('pages', `host ${host.index}: the tree can not be read: ${messageOf(error)}`);
    }
  }
}

/** A database at rest, to be read only. */
function viewOf(rows: SortedRows): Store {
  const refuse = (): never => {
    throw new Error('a database at rest is only read');
  };
  return { get: (key) => rows.get(key), write: refuse, iterate: refuse, close: refuse, [Symbol.asyncDispose]: refuse };
}
