/**
 * Hosts with model replicas, joined by production sessions over queues of encoded messages. One seeded scheduler decides
 * which queue moves, which offer is dealt with and when time passes, so a run is replayed by its seed.
 *
 * At every claim (`contains`, `confirmed`) the model is asked: the claim names a root, the world remembers which entries
 * that root covered, and the one who is said to contain it must hold all of them, merged.
 */
import { byteKey, compareBytes, fromByteKey, utf8 } from '../../src/base/bytes.ts';
import { RECORD_INLINE_BYTES_MAX } from '../../src/base/limits.ts';
import { hash } from '../../src/content/hash.ts';
import { decodeEntry, encodeEntry } from '../../src/entry/entry-codec.ts';
import { contains, merge, write, type Dot, type Entry, type Value } from '../../src/entry/entry.ts';
import { absorb, EMPTY_CUT, includesCut, isSettled, joinCuts, raiseTo, type StableCut } from '../../src/entry/stable-cut.ts';
import { isLive } from '../../src/entry/view.ts';
import { Session, type SessionEffect, type SessionEvent, type SessionHead } from '../../src/session/session.ts';
import { edit } from '../../src/tree/edit.ts';
import { EMPTY_TREE, PageReader, rootHash, type Tree } from '../../src/tree/page.ts';
import { decodeMessage, encodeMessage } from '../../src/wire/codec.ts';
import type { EntryItem, InlineChunk, Message } from '../../src/wire/messages.ts';
import { makeRanker, MemoryPages } from '../tree/support.ts';
import { SKIP_NO_LEVEL } from './walks.ts';

const RANK_BITS = 2;
const PARAMETERS = hash('params', utf8('test'));

/** Seeded numbers (mulberry32). */
export function makeRandom(seed: number): (below: number) => number {
  let state = seed | 0;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

export function versionName(key: string, { replica, sequence }: Dot): string {
  return `${key} ${replica} ${sequence}`;
}

type Entries = ReadonlyMap<string, Entry>;

export class Host {
  readonly name: string;
  readonly replica: string;
  readonly #world: World;
  readonly #reader: PageReader;
  readonly #ranker = makeRanker(RANK_BITS);
  entries: Entries = new Map();
  tree: Tree = EMPTY_TREE;
  #sequence = 0;
  /** All that it ever had, and what was purged. */
  readonly #seen = new Map<string, Entry>();
  /** Roots of this host's own past, and what it told its sessions last. */
  readonly history: Map<string, Tree> = new Map();
  announced: SessionHead;
  readonly ends: Set<End> = new Set();
  /** Tombstones that it covers mean nothing here any more. */
  cut: StableCut = EMPTY_CUT;
  /** By peer: the root of the peer that this host contains. Survives connections. */
  readonly cursors: Map<string, Uint8Array> = new Map();

  constructor(world: World, name: string) {
    this.name = name;
    this.replica = Buffer.from(name.padEnd(8, '.')).toString('hex');
    this.#world = world;
    this.#reader = new PageReader(world.pages);
    this.announced = { root: this.root, tree: this.tree };
    this.#remember();
  }

  get root(): Uint8Array {
    return rootHash(this.tree, PARAMETERS);
  }

  /** A write of this host; at once told to its sessions. */
  write(...names: readonly string[]): void {
    const changes = [...new Set(names)].map((name): [string, Entry] => {
      const key = byteKey(utf8(name));
      const current = this.entries.get(key);
      const sequence = ++this.#sequence;
      const seen = (current?.versions ?? []).map(({ dot }) => dot);
      const value =
        sequence % this.#world.deleteEvery === 0
          ? ({ kind: 'deleted' } as const)
          : ({ kind: 'record', data: utf8(`${this.name} ${sequence}`.padEnd(this.#world.valueBytes)) } as const);
      this.#world.wrote(key, seen, { replica: this.replica, sequence }, value);
      return [key, write(current, seen, { replica: this.replica, sequence }, { wallMs: 1_000 + sequence, counter: 0 }, value)];
    });
    this.#commit(changes);
    this.announce(true);
  }

  /** The same with values as large as an entry may hold. */
  writeLarge(names: readonly string[]): void {
    this.#world.valueBytes = RECORD_INLINE_BYTES_MAX;
    this.write(...names);
    this.#world.valueBytes = 0;
  }

  /** Takes over entries of a peer, without a word to the sessions. */
  merge(items: readonly EntryItem[]): void {
    const changes: [string, Entry][] = [];
    for (const { key, entry } of items) {
      const current = this.entries.get(byteKey(key));
      const incoming = decodeEntry(entry);
      const merged = absorb(current, incoming, this.cut);
      this.#see(byteKey(key), incoming);
      if (merged !== current) changes.push([byteKey(key), merged!]);
    }
    this.#commit(changes);
  }

  announce(local: boolean): void {
    if (compareBytes(this.announced.root, this.root) === 0) return;
    this.announced = { root: this.root, tree: this.tree };
    for (const end of this.ends) end.step({ type: 'head', head: this.announced, local });
  }

  holds(entries: Entries): boolean {
    return [...entries].every(([key, entry]) => contains(this.#seen.get(key), entry));
  }

  /** Takes a cut if all other hosts were last heard of at our root. */
  decide(): boolean {
    const ends = [...this.ends];
    if (ends.length < this.#world.hosts.length - 1 || ends.some(({ session }) => compareBytes(session.peerRoot, this.root) !== 0))
      return false;
    const sequences = new Map<string, number>();
    for (const entry of this.entries.values()) raiseTo(sequences, entry);
    this.adopt({ sequences, replicas: new Set(this.#world.hosts.map(({ replica }) => replica)) });
    return true;
  }

  adopt(cut: StableCut): void {
    if (includesCut(this.cut, cut)) return;
    this.cut = joinCuts(this.cut, cut);
    this.announce(false);
    for (const end of this.ends) end.step({ type: 'stable', cut: this.cut });
  }

  /** Drops what the cut covers, if all hosts that it is connected with go by it. */
  purge(): void {
    if ([...this.ends].some(({ session }) => !includesCut(session.peerStable, this.cut))) return;
    const arriving = new Set(
      this.#world.offers.flatMap(({ end, items }) => (end.host === this ? items.map(({ key }) => byteKey(key)) : [])),
    );
    this.#commit(
      [...this.entries].flatMap(([key, entry]) => (isSettled(entry, this.cut) && !arriving.has(key) ? [[key, undefined] as const] : [])),
    );
    this.announce(true);
  }

  #commit(changes: readonly (readonly [string, Entry | undefined])[]): void {
    if (changes.length === 0) return;
    const sorted = [...new Map(changes)].sort(([a], [b]) => (a < b ? -1 : 1));
    const entries = new Map(this.entries);
    for (const [key, entry] of sorted) {
      if (entry === undefined) entries.delete(key);
      else {
        entries.set(key, entry);
        this.#see(key, entry);
      }
    }
    this.entries = entries;
    this.tree = edit(
      this.#reader,
      this.tree,
      sorted.map(([key, entry]) => ({ key: fromByteKey(key), value: entry === undefined ? undefined : encodeEntry(entry) })),
      this.#ranker,
      this.#world.pages,
    );
    this.#remember();
  }

  #see(key: string, entry: Entry): void {
    this.#seen.set(key, merge(this.#seen.get(key), entry));
  }

  #remember(): void {
    this.history.set(byteKey(this.root), this.tree);
    this.#world.covered.set(byteKey(this.root), this.entries);
  }

  hello(peer: Host): Greeting {
    return { head: this.announced, contains: this.cursors.get(peer.name) };
  }

  newSession(peer: Host, ours: Greeting, theirs: Greeting): Session {
    return new Session({
      replica: {
        reader: this.#reader,
        rankBits: this.#world.guessBits,
        treeOf: (root) => this.history.get(byteKey(root)),
        inline: (item) => this.#world.inline(item),
      },
      head: this.announced,
      told: ours.head.root,
      nowMs: this.#world.nowMs,
      initiator: this.name < peer.name,
      peerRoot: theirs.head.root,
      peerContains: theirs.contains,
      contains: ours.contains,
    });
  }
}

/** What a hello says: time goes by between it and the session. */
export interface Greeting {
  readonly head: SessionHead;
  readonly contains: Uint8Array | undefined;
}

interface Offer {
  readonly end: End;
  readonly offer: number;
  readonly items: readonly EntryItem[];
}

/** One side of a connection: what a node does for its session. */
export class End {
  readonly host: Host;
  readonly session: Session;
  readonly #world: World;
  other!: End;
  open = true;
  /** On their way to the other side, as bytes. */
  readonly out: Uint8Array[] = [];
  wakeAtMs = Number.POSITIVE_INFINITY;
  readonly listed: Extract<SessionEffect, { type: 'listed' }>[] = [];

  constructor(world: World, host: Host, session: Session) {
    this.#world = world;
    this.host = host;
    this.session = session;
    host.ends.add(this);
  }

  step(event: SessionEvent): void {
    if (!this.open) return;
    for (const effect of this.session.step(event, this.#world.nowMs)) this.#carryOut(effect);
  }

  receive(): void {
    const message = decodeMessage(this.other.out.shift()!);
    if (message === undefined || message.type === 'chunks') throw new Error('not a message of a session');
    this.step({ type: 'message', message });
  }

  #carryOut(effect: SessionEffect): void {
    const world = this.#world;
    switch (effect.type) {
      case 'send':
        world.count(this, effect.message);
        this.out.push(encodeMessage(effect.message));
        return;
      case 'offer':
        world.offers.push({ end: this, offer: effect.offer, items: effect.items });
        return;
      case 'contains':
        world.check(this.host, effect.root, `${this.host.name} contains a root of ${this.other.host.name}`);
        this.host.cursors.set(this.other.host.name, effect.root);
        return;
      case 'confirmed':
        world.check(this.other.host, effect.root, `${this.other.host.name} confirms to ${this.host.name}`);
        return;
      case 'listed':
        this.listed.push(effect);
        return;
      case 'stable':
        this.host.adopt(effect.cut);
        return;
      case 'walked':
        return;
      case 'wake':
        // As the node does it: one timer, the earliest wish.
        this.wakeAtMs = Math.min(this.wakeAtMs, world.nowMs + effect.afterMs);
        return;
    }
  }
}

export interface Sent {
  readonly from: string;
  readonly to: string;
  readonly message: Message;
  readonly bytes: number;
}

/** Real timers fire a little before their time. */
const EARLY_MS = 0.5;

export class World {
  readonly pages: MemoryPages = new MemoryPages();
  readonly covered: Map<string, Entries> = new Map();
  readonly hosts: Host[];
  readonly ends: Set<End> = new Set();
  readonly offers: Offer[] = [];
  readonly sent: Sent[] = [];
  /** Every write, but deletes, that no write has seen: as `versionName`. */
  readonly alive: Set<string> = new Set();
  deletes = 0;
  readonly random: (below: number) => number;
  /** Of 100 offers, how many are dealt with only in part. */
  failPercent = 0;
  /** For the sessions' walks, which shall go through every level of these small trees. */
  guessBits = SKIP_NO_LEVEL;
  /** No offer is dealt with: the contents take their time. */
  hold = false;
  /** At least. */
  valueBytes = 0;
  /** Each so many-th write is a delete. */
  deleteEvery = 7;
  nowMs = 0;
  claims = 0;
  inline: (item: EntryItem) => InlineChunk | undefined = () => undefined;

  constructor(names: readonly string[], seed: number) {
    this.random = makeRandom(seed);
    this.hosts = names.map((name) => new Host(this, name));
  }

  /** A write took the place of what its author saw. */
  wrote(key: string, seen: readonly Dot[], dot: Dot, value: Value): void {
    for (const other of seen) this.alive.delete(versionName(key, other));
    if (isLive(value)) this.alive.add(versionName(key, dot));
    else this.deletes++;
  }

  count(end: End, message: Message): void {
    this.sent.push({ from: end.host.name, to: end.other.host.name, message, bytes: encodeMessage(message).length });
  }

  types(): string[] {
    return this.sent.map(({ message }) => message.type);
  }

  /** Entries that went over the wire to be merged, and to whom. */
  entriesSent(): { to: string; key: string }[] {
    return this.sent.flatMap(({ to, message }) =>
      message.type === 'entries' ? message.items.map(({ key }) => ({ to, key: byteKey(key) })) : [],
    );
  }

  check(host: Host, root: Uint8Array, claim: string): void {
    this.claims++;
    const covered = this.covered.get(byteKey(root));
    if (covered === undefined) throw new Error(`${claim}: a root that nobody ever had`);
    if (!host.holds(covered)) throw new Error(`${claim}: it does not hold all that the root covers`);
  }

  /** `between`: what happens after the hellos and before the sessions. */
  connect(a: Host, b: Host, between: () => void = () => undefined): void {
    const hellos = [a.hello(b), b.hello(a)] as const;
    between();
    const one = new End(this, a, a.newSession(b, hellos[0], hellos[1]));
    const other = new End(this, b, b.newSession(a, hellos[1], hellos[0]));
    one.other = other;
    other.other = one;
    this.ends.add(one);
    this.ends.add(other);
    for (const end of [one, other]) {
      end.step({ type: 'start' });
      end.step({ type: 'head', head: end.host.announced, local: false });
      if (end.host.cut !== EMPTY_CUT) end.step({ type: 'stable', cut: end.host.cut });
    }
  }

  connected(a: Host, b: Host): boolean {
    return [...a.ends].some((end) => end.other.host === b);
  }

  /** What is under way is lost; offers that were made are still dealt with, but nobody is told. */
  disconnect(a: Host, b: Host): void {
    for (const end of [...a.ends, ...b.ends]) {
      if (end.other.host !== a && end.other.host !== b) continue;
      end.open = false;
      end.host.ends.delete(end);
      this.ends.delete(end);
    }
  }

  /** One thing that can happen now, at random; false if only time can pass. */
  step(): boolean {
    const ready = [...this.ends].filter((end) => end.other.out.length > 0);
    const stale = this.hosts.filter((host) => compareBytes(host.announced.root, host.root) !== 0);
    const offers = this.hold ? 0 : this.offers.length;
    const choices = ready.length + offers + stale.length;
    if (choices === 0) return false;
    const choice = this.random(choices);
    if (choice < ready.length) ready[choice]!.receive();
    else if (choice < ready.length + offers) this.#deal(this.offers.splice(choice - ready.length, 1)[0]!);
    else stale[choice - ready.length - offers]!.announce(false);
    // A little time goes by.
    if (this.random(4) === 0) this.pass(this.random(20));
    return true;
  }

  #deal({ end, offer, items }: Offer): void {
    const failed = this.random(100) < this.failPercent;
    end.host.merge(failed ? items.filter(() => this.random(2) === 0) : items);
    // Sessions are told of the new head before or after.
    if (this.random(2) === 0) end.host.announce(false);
    end.step({ type: 'applied', offer, failed });
  }

  pass(ms: number): void {
    this.nowMs += ms;
    for (const end of this.ends) {
      if (end.wakeAtMs > this.nowMs + EARLY_MS) continue;
      end.wakeAtMs = Number.POSITIVE_INFINITY;
      end.step({ type: 'tick' });
    }
  }

  /** Until nothing moves and no timer is set. Throws if that does not come. */
  settle(): void {
    for (let steps = 0; steps < 50_000; steps++) {
      if (this.step()) continue;
      const next = Math.min(...[...this.ends].map((end) => end.wakeAtMs));
      if (next === Number.POSITIVE_INFINITY) return;
      this.pass(next - this.nowMs - (next - this.nowMs > 2 * EARLY_MS ? EARLY_MS : 0));
    }
    throw new Error('the hosts do not come to rest');
  }

  /** Moves on for `steps` steps, time included. */
  run(steps: number): void {
    for (let at = 0; at < steps; at++) if (!this.step()) this.pass(1 + this.random(200));
  }

  forget(): void {
    this.sent.length = 0;
  }
}
