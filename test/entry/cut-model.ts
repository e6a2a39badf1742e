/**
 * A model of how cuts are found, told and used (docs/decisions/0009-stable-cut.md), small enough to be tried in many
 * thousand histories: hosts with real entries, joined by queues that keep their order. What is on its way stays there for
 * as long as a history likes, and so does an entry that has arrived and whose contents are still being fetched.
 *
 * Beside it runs the truth: every write with exactly the versions that it had seen. At rest those and only those versions
 * may be alive that no write had seen. Each rule can be switched off: the test shows that a history goes wrong without it.
 */
import { toHex, utf8 } from '../../src/base/bytes.ts';
import { EMPTY_CONTENT } from '../../src/content/content-list.ts';
import { encodeEntry } from '../../src/entry/entry-codec.ts';
import { birth, write, type Dot, type Entry, type FoundValue, type Value } from '../../src/entry/entry.ts';
import { absorb, EMPTY_CUT, includesCut, isSettled, isTombstone, joinCuts, raiseTo, type StableCut } from '../../src/entry/stable-cut.ts';
import { isLive } from '../../src/entry/view.ts';

export interface Rules {
  /** A cut is taken only from a root that all members had at one moment. */
  readonly agree: boolean;
  /** Nothing is dropped before those that agreed have said on the same connection that they go by the cut too. */
  readonly awaitPeers: boolean;
  /** A key with an entry on its way to the disk is not dropped. */
  readonly spareArrivals: boolean;
  /** Who goes by a cut gives no birth dots any more. */
  readonly endBirths: boolean;
}

export const ALL_RULES: Rules = { agree: true, awaitPeers: true, spareArrivals: true, endBirths: true };

type Message = { readonly items: readonly [string, Entry][]; readonly root: string } | { readonly cut: StableCut };

interface Arrival {
  readonly key: string;
  readonly entry: Entry;
}

/** What a host knows of a peer on one connection. */
class Link {
  readonly inbox: Message[] = [];
  /** The last root of the peer that was named. */
  named: string | undefined;
  /** The peer goes by this cut. */
  adopted: StableCut = EMPTY_CUT;
}

const MEMBER = 'm/';

export class ModelHost {
  readonly id: string;
  readonly world: ModelWorld;
  readonly entries = new Map<string, Entry>();
  readonly links = new Map<string, Link>();
  arrivals: Arrival[] = [];
  cut: StableCut | undefined;
  #sequence = 0;

  constructor(world: ModelWorld, id: string) {
    this.world = world;
    this.id = id;
  }

  get root(): string {
    return [...this.entries]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, entry]) => `${key}=${toHex(encodeEntry(entry))}`)
      .join();
  }

  get members(): string[] {
    return [...this.entries.keys()].filter((key) => key.startsWith(MEMBER)).map((key) => key.slice(MEMBER.length));
  }

  write(key: string, value: Value): void {
    const current = this.entries.get(key);
    const seen = (current?.versions ?? []).map(({ dot }) => dot);
    const dot = { replica: this.id, sequence: ++this.#sequence };
    this.world.wrote(key, dot, seen, value);
    this.entries.set(key, write(current, seen, dot, { wallMs: 1_000 + this.world.tick++, counter: 0 }, value));
  }

  /** A file is there where nothing was shown. */
  find(key: string, value: FoundValue): void {
    const current = this.entries.get(key);
    const mayBear = current === undefined && (this.cut === undefined || !this.world.rules.endBirths);
    if (!mayBear) {
      if (current === undefined || isTombstone(current)) this.write(key, value);
      return;
    }
    const entry = birth(utf8(key), value);
    this.world.born(key, entry.versions[0]!.dot, this.cut === undefined);
    this.entries.set(key, entry);
  }

  remove(key: string): void {
    const current = this.entries.get(key);
    if (current !== undefined && !isTombstone(current)) this.write(key, { kind: 'deleted' });
  }

  // --- exchange --------------------------------------------------------------------------------------------------

  send(peer: string): void {
    this.world.hosts
      .get(peer)!
      .links.get(this.id)
      ?.inbox.push({ items: [...this.entries], root: this.root });
  }

  tellCut(peer: string): void {
    if (this.cut === undefined) return;
    this.world.hosts.get(peer)!.links.get(this.id)?.inbox.push({ cut: this.cut });
  }

  receive(peer: string): void {
    const link = this.links.get(peer);
    const message = link?.inbox.shift();
    if (link === undefined || message === undefined) return;
    if ('cut' in message) {
      link.adopted = joinCuts(link.adopted, message.cut);
      this.#adopt(message.cut);
      return;
    }
    link.named = message.root;
    for (const [key, entry] of message.items) {
      const current = this.entries.get(key);
      if (absorb(current, entry, this.cut ?? EMPTY_CUT) !== current) this.arrivals.push({ key, entry });
    }
  }

  /** The contents of an entry are there now. */
  land(at: number): void {
    const [arrival] = this.arrivals.splice(at, 1);
    if (arrival === undefined) return;
    const { key, entry } = arrival;
    const merged = absorb(this.entries.get(key), entry, this.cut ?? EMPTY_CUT);
    if (merged !== undefined) this.entries.set(key, merged);
  }

  // --- cuts ------------------------------------------------------------------------------------------------------

  /** Takes a cut from the root that all members have now; false if they do not agree. */
  decide(): boolean {
    const { root, members } = this;
    const others = members.filter((member) => member !== this.id);
    if (!members.includes(this.id)) return false;
    if (this.world.rules.agree && others.some((member) => this.links.get(member)?.named !== root)) return false;
    const sequences = new Map<string, number>();
    for (const entry of this.entries.values()) raiseTo(sequences, entry);
    if (sequences.size > 0) this.#adopt({ sequences, replicas: new Set(members) });
    return true;
  }

  #adopt(cut: StableCut): void {
    const before = this.cut ?? EMPTY_CUT;
    if (this.cut !== undefined && includesCut(before, cut)) return;
    this.cut = joinCuts(before, cut);
    for (const peer of this.links.keys()) this.tellCut(peer);
  }

  purge(): void {
    const { cut, world } = this;
    if (cut === undefined) return;
    if (world.rules.awaitPeers && [...this.links].some(([peer, { adopted }]) => cut.replicas.has(peer) && !includesCut(adopted, cut)))
      return;
    for (const [key, entry] of this.entries) {
      if (!isSettled(entry, cut) || (world.rules.spareArrivals && this.arrivals.some((arrival) => arrival.key === key))) continue;
      this.entries.delete(key);
      world.purged++;
    }
  }
}

export class ModelWorld {
  readonly rules: Rules;
  readonly hosts: ReadonlyMap<string, ModelHost>;
  readonly #alive = new Map<string, Set<string>>();
  readonly #dead = new Set<string>();
  /** Births of a value that was deleted elsewhere, where nobody had heard of that: both outcomes are right. */
  readonly #open = new Set<string>();
  tick = 0;
  purged = 0;

  constructor(count: number, members: number, rules: Rules) {
    this.rules = rules;
    const ids = Array.from({ length: count }, (_, at) => `0${at + 1}`.repeat(8));
    this.hosts = new Map(ids.map((id) => [id, new ModelHost(this, id)]));
    for (const id of ids.slice(0, members)) this.#introduce(id, ids.slice(0, members));
  }

  #introduce(member: string, at: readonly string[]): void {
    const entry = write(undefined, [], { replica: 'ff'.repeat(8), sequence: 1 }, { wallMs: 1, counter: 0 }, { kind: 'directory', mode: 0 });
    for (const id of at) this.hosts.get(id)!.entries.set(`${MEMBER}${member}`, entry);
  }

  /** `inviter` makes `joiner` a member and connects with it. */
  join(inviter: ModelHost, joiner: ModelHost): void {
    if (!inviter.members.includes(inviter.id) || inviter.members.includes(joiner.id) || joiner.members.length > 0) return;
    this.#introduce(joiner.id, [inviter.id]);
    this.connect(inviter, joiner);
  }

  /** A host talks to those that it knows as members; one that knows nobody yet, to those that know it. */
  connect(a: ModelHost, b: ModelHost): void {
    const knows = (one: ModelHost, other: ModelHost): boolean => one.members.includes(other.id) || one.members.length === 0;
    if (a === b || a.links.has(b.id) || (a.members.length === 0 && b.members.length === 0) || !knows(a, b) || !knows(b, a)) return;
    a.links.set(b.id, new Link());
    b.links.set(a.id, new Link());
    for (const [one, other] of [
      [a, b],
      [b, a],
    ] as const) {
      one.tellCut(other.id);
      one.send(other.id);
    }
  }

  disconnect(a: ModelHost, b: ModelHost): void {
    a.links.delete(b.id);
    b.links.delete(a.id);
  }

  wrote(key: string, dot: Dot, seen: readonly Dot[], value: Value): void {
    for (const other of seen) {
      this.#dead.add(nameOf(key, other));
      this.#aliveAt(key).delete(nameOf(key, other));
    }
    if (isLive(value)) this.#aliveAt(key).add(nameOf(key, dot));
  }

  born(key: string, dot: Dot, first: boolean): void {
    const name = nameOf(key, dot);
    // A host that goes by a cut and bears again what was deleted means it.
    if (this.#dead.has(name) && first) this.#open.add(name);
    else this.#aliveAt(key).add(name);
  }

  #aliveAt(key: string): Set<string> {
    const set = this.#alive.get(key) ?? new Set();
    this.#alive.set(key, set);
    return set;
  }

  /** Lets everything happen that can: nobody writes any more. */
  rest(): void {
    const hosts = [...this.hosts.values()];
    for (let round = 0; round < 12; round++) {
      for (const a of hosts) for (const b of hosts) this.connect(a, b);
      for (const host of hosts) {
        for (const peer of host.links.keys()) host.send(peer);
        for (const [peer, { inbox }] of host.links) while (inbox.length > 0) host.receive(peer);
        while (host.arrivals.length > 0) host.land(0);
        if (round > 2) host.decide();
        host.purge();
      }
    }
  }

  /** What is wrong at rest. */
  faults(): string[] {
    const faults: string[] = [];
    const members = [...this.hosts.values()].filter((host) => host.members.includes(host.id));
    if (new Set(members.map(({ root }) => root)).size > 1) faults.push('the roots are unlike');
    for (const host of members) {
      for (const [key, entry] of host.entries) {
        if (isTombstone(entry)) faults.push(`a tombstone stays at ${key}`);
        if (key.startsWith(MEMBER)) continue;
        for (const { dot, value } of entry.versions) {
          const name = nameOf(key, dot);
          if (isLive(value) && !this.#aliveAt(key).has(name) && !this.#open.has(name)) faults.push(`${name} came back`);
        }
      }
      for (const [key, names] of this.#alive) {
        const there = new Set((host.entries.get(key)?.versions ?? []).map(({ dot }) => nameOf(key, dot)));
        for (const name of names) if (!there.has(name) && !this.#open.has(name)) faults.push(`${name} is lost`);
      }
    }
    return faults;
  }
}

function nameOf(key: string, { replica, sequence }: Dot): string {
  return `${key} ${replica} ${sequence}`;
}

export function file(mode: number): FoundValue {
  return { kind: 'file', content: EMPTY_CONTENT, bytes: 0, mode, mtimeMs: 5 };
}
