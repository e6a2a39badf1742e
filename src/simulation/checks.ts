/**
 * What must hold, and where it is looked at: after every death what the disk and the database are left with, after every
 * barrier what the peers have, and in the end everything.
 *
 * The names of the invariants are those of docs/ARCHITECTURE.md.
 */
import { asBuffer, utf8, toHex, fromUtf8 } from '../base/bytes.ts';
import { messageOf } from '../base/errors.ts';
import { decodeEntry, weighEntry } from '../entry/entry-codec.ts';
import { compareDots, contains, covers, EMPTY_CONTEXT, type Entry, type Version } from '../entry/entry.ts';
import { isLive } from '../entry/view.ts';
import { getPlaced, sameStat } from '../folder/placed.ts';
import { isNewcomer } from '../node/newcomer.ts';
import { Replica } from '../replica/replica.ts';
import { PREFIX, prefixRange } from '../store/keyspace.ts';
import type { SortedRows } from '../store/sorted-rows.ts';
import type { Store } from '../store/store.ts';
import { build } from '../tree/build.ts';
import { rootHash, type Tree } from '../tree/page.ts';
import { Ranker } from '../tree/rank.ts';
import { walk } from '../tree/walk.ts';
import { ownerOf, type Model } from './model.ts';
import { SHARED_FOLDER, type Death, type SimHost } from './sim-host.ts';
import type { Trace } from './trace.ts';
import type { SimFile } from './user-files.ts';
import { numberOf, type SharedItem, type Users } from './users.ts';

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

  /** What the root of a host does not cover yet may be lost with its power; here it is not, see `UserFiles`. */
  flushUncovered(host: SimHost): void {
    const covered = this.#covered(host);
    host.files.flushPending((path, file) =>
      covered.has(`f/${path.slice(SHARED_FOLDER.length + 1)} ${this.#users.valueOf(host, file).value}`),
    );
  }

  /** All that is in the folder is in the database: a backup of both is of one state. */
  isTakenIn(host: SimHost): boolean {
    // What was just being shown is shown again after a restore: its notes are those of another replica.
    for (const _ of host.database.snapshot().rows.rows(prefixRange(PREFIX.pending))) return false;
    const covered = this.#covered(host);
    return this.#users.items(host).every(({ path, file }) => {
      const { value } = this.#users.valueOf(host, file);
      if (value === undefined) return file.kind === 'directory';
      for (let at: string | undefined = path; at !== undefined; at = ownerOf(at)) if (covered.has(`f/${at} ${value}`)) return true;
      return false;
    });
  }

  /** `key value` of the files in its entries. */
  #covered(host: SimHost): Set<string> {
    const covered = new Set<string>();
    const replica = this.replicaOf(host);
    if (replica !== undefined) {
      for (const [key, entry] of this.#entries(host, replica, replica.head.tree)) {
        for (const { value } of entry.versions) {
          if (value.kind === 'symlink') covered.add(`${fromUtf8(key)} ->${asBuffer(value.target).toString()}`);
          if (value.kind !== 'file') continue;
          covered.add(`${fromUtf8(key)} #${this.#users.numbers.numberOf(toHex(value.content), replica.share)}:${value.mode.toString(8)}`);
        }
      }
    }
    return covered;
  }

  #checkWhole(host: SimHost, path: string, file: SharedItem['file'], when: string): void {
    const { torn } = this.#users.valueOf(host, file);
    if (torn !== undefined) this.report('torn', `host ${host.index}, ${when}: ${path} holds ${torn}`);
  }

  /** Writes all of whose bytes are in some file of the host, `.sameroot` included. */
  #numbersOn(host: SimHost): Set<number> {
    const numbers = new Set<number>();
    for (const [, file] of host.files.below(SHARED_FOLDER)) {
      if (file.kind !== 'file') continue;
      const { value } = this.#users.valueOf(host, file);
      if (value !== undefined) numbers.add(Number(/\d+/.exec(value)![0]));
    }
    return numbers;
  }

  // --- after a barrier -------------------------------------------------------------------------------------------

  /** `peer` has confirmed `root` of `host`: after a power loss it must still contain every entry of it. */
  confirmed(host: SimHost, root: string, peer: SimHost): void {
    const ours = this.replicaOf(host);
    const theirs = this.replicaOf(peer);
    const tree = ours?.treeOf(Buffer.from(root, 'hex'));
    if (ours === undefined || tree === undefined) return;
    // It may have lost its database, or been sent away, since it said so.
    if (peer.returning !== undefined || peer.evicted) return;
    if (theirs === undefined) return this.report('confirmed', `host ${peer.index} confirmed a root and has no database`);
    for (const [key, entry] of this.#entries(host, ours, tree)) {
      const there = theirs.entry(key);
      // Who was sent away does not hear what has replaced an entry, and no tombstone is kept for it.
      const now = host.evicted ? undefined : ours.entry(key);
      if (contains(there, entry) || !isBehind(there, entry, now)) continue;
      this.report('confirmed', `host ${peer.index} confirmed root ${root.slice(0, 12)} of host ${host.index} and lacks ${fromUtf8(key)}`);
      return;
    }
  }

  /** `key value` of all records in the databases of these hosts. */
  recordsIn(hosts: readonly SimHost[]): Set<string> {
    const records = new Set<string>();
    for (const host of hosts) {
      const replica = this.replicaOf(host);
      if (replica === undefined) continue;
      for (const [key, entry] of this.#entries(host, replica, replica.head.tree)) {
        for (const { value } of entry.versions) {
          if (value.kind === 'record') records.add(`${fromUtf8(key)} #${numberOf(value.data)}`);
          else if (value.kind === 'blob')
            records.add(`${fromUtf8(key)} #${this.#users.numbers.numberOf(toHex(value.content), replica.share)}`);
        }
      }
    }
    return records;
  }

  // --- in the end ------------------------------------------------------------------------------------------------

  /** What some disks show and others do not, with the hosts that do. */
  differences(hosts: readonly SimHost[]): string[] {
    const joined = hosts.filter((host) => !host.neverJoined);
    const shownBy = new Map<string, number[]>();
    for (const host of joined) {
      for (const line of this.#shownLines(host)) shownBy.set(line, [...(shownBy.get(line) ?? []), host.index]);
    }
    return [...shownBy].filter(([, indexes]) => indexes.length < joined.length).map(([line, indexes]) => `${line} on ${indexes.join(' ')}`);
  }

  #shownLines(host: SimHost): string[] {
    const lines = this.#users.items(host).map(({ path, file }) => {
      if (file.kind === 'directory') return `${path}/ ${file.mode}`;
      return `${path} ${this.#users.valueOf(host, file).value ?? 'torn'} ${file.kind === 'file' ? Math.floor(file.mtimeMs) : ''}`;
    });
    return lines;
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
    const replica = this.replicaOf(host);
    const shown = new Map<string, Set<string>>();
    for (const { path, file } of this.#users.items(host)) {
      const { value } = this.#users.valueOf(host, file);
      if (value === undefined) continue;
      const version = this.#model.findShown(path, value);
      if (version !== undefined && version.key !== `f/${path}` && replica?.entry(utf8(`f/${path}`)) !== undefined)
        this.report('invented', `host ${host.index}: the conflict copy ${path} has become a file of its own, and nobody touched it`);
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
        if (shown.get(key)?.has(value) !== true)
          this.report('lost', `host ${host.index}: ${value} of ${key} was never replaced by anyone who saw it, and is not shown`);
      }
      for (const value of shown.get(key) ?? []) {
        if (must.get(key)?.has(value) !== true && may.get(key)?.has(value) !== true)
          this.report('resurrected', `host ${host.index}: ${value} of ${key} was replaced by someone who saw it, and is shown`);
      }
    }
  }

  // --- reading a database at rest --------------------------------------------------------------------------------

  /** False of one that has joined and has not heard yet what the share holds. */
  knowsShare(host: SimHost): boolean {
    return !isNewcomer(viewOf(host.database.snapshot().rows));
  }

  /** Its row says of this path what lies there. */
  hasRead(host: SimHost, path: string, { bytes, mtimeMs }: SimFile): boolean {
    const stat = getPlaced(viewOf(host.database.snapshot().rows), path)?.stat;
    return stat?.bytes === bytes.length && stat.mtimeMs === mtimeMs;
  }

  /** Its stat is the one that the node has noted, so that a start does not read it. */
  isAsPlaced(host: SimHost, path: string): boolean {
    const placed = getPlaced(viewOf(host.database.snapshot().rows), path);
    const stat = host.files.statOf(`${SHARED_FOLDER}/${path}`);
    return placed !== undefined && stat !== undefined && sameStat(stat, placed.stat);
  }

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

/**
 * Where tombstones were dropped, contexts are no longer there to be compared. Then an entry lacks what was confirmed if it does not
 * know a version that is alive until now (as far as `now`, of whoever was told, says so), or shows one that was replaced.
 */
function isBehind(there: Entry | undefined, confirmed: Entry, now: Entry | undefined): boolean {
  const has = (entry: Entry | undefined, { dot }: Version): boolean =>
    entry?.versions.some((other) => compareDots(other.dot, dot) === 0) === true;
  const lacks = confirmed.versions.some(
    (version) => isLive(version.value) && has(now, version) && !covers(there?.context ?? EMPTY_CONTEXT, version.dot),
  );
  return lacks || there?.versions.some((version) => covers(confirmed.context, version.dot) && !has(confirmed, version)) === true;
}

/** A database at rest, to be read only. */
function viewOf(rows: SortedRows): Store {
  const refuse = (): never => {
    throw new Error('a database at rest is only read');
  };
  return { get: (key) => rows.get(key), write: refuse, iterate: refuse, close: refuse, [Symbol.asyncDispose]: refuse };
}
