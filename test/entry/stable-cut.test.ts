import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { birth, merge, write, type Entry, type Value } from '../../src/entry/entry.ts';
import {
  absorb,
  decodeCut,
  EMPTY_CUT,
  encodeCut,
  includesCut,
  isSettled,
  isTombstone,
  joinCuts,
  raiseTo,
  type StableCut,
} from '../../src/entry/stable-cut.ts';
import { isLive } from '../../src/entry/view.ts';
import { ALL_RULES, file, ModelWorld, type ModelHost, type Rules } from './cut-model.ts';
import { HISTORY_KEY } from './history.ts';

const A = 'aa'.repeat(8);
const B = 'bb'.repeat(8);
const C = 'cc'.repeat(8);
const DELETED: Value = { kind: 'deleted' };

function cutOf(sequences: Readonly<Record<string, number>>, replicas: readonly string[] = [A, B]): StableCut {
  return { sequences: new Map(Object.entries(sequences)), replicas: new Set(replicas) };
}

/** One write on top of all that is there. */
function over(entry: Entry | undefined, replica: string, sequence: number, value: Value): Entry {
  const seen = (entry?.versions ?? []).map(({ dot }) => dot);
  return write(entry, seen, { replica, sequence }, { wallMs: 10 * sequence, counter: 0 }, value);
}

const cuts: fc.Arbitrary<StableCut> = fc
  .tuple(fc.dictionary(fc.constantFrom(A, B, C), fc.integer({ min: 1, max: 6 })), fc.subarray([A, B, C]))
  .map(([sequences, replicas]) => cutOf(sequences, replicas));

/** Entries of three replicas that write in turns, as any two of them may have them. */
const entries: fc.Arbitrary<Entry> = fc
  .array(fc.record({ replica: fc.constantFrom(A, B, C), value: fc.constantFrom<Value>(DELETED, file(1), file(2)), blind: fc.boolean() }), {
    minLength: 1,
    maxLength: 5,
  })
  .map((writes) => {
    let entry: Entry | undefined;
    for (const [at, { replica, value, blind }] of writes.entries()) {
      const seen = blind ? [] : (entry?.versions ?? []).map(({ dot }) => dot);
      entry = write(entry, seen, { replica, sequence: at + 1 }, { wallMs: at + 1, counter: 0 }, value);
    }
    return entry!;
  });

describe('a cut', () => {
  it('settles an entry of tombstones that it covers, all of them, and nothing else', () => {
    const tombstone = over(over(undefined, A, 1, file(1)), B, 4, DELETED);
    expect([3, 4, 5].map((sequence) => isSettled(tombstone, cutOf({ [B]: sequence })))).toEqual([false, true, true]);
    expect(isSettled(tombstone, cutOf({ [A]: 9, [C]: 9 }))).toBe(false);
    const two = merge(tombstone, over(over(undefined, A, 1, file(1)), C, 2, DELETED));
    expect(two.versions).toHaveLength(2);
    expect(isSettled(two, cutOf({ [B]: 4 }))).toBe(false);
    expect(isSettled(two, cutOf({ [B]: 4, [C]: 2 }))).toBe(true);
    const hidden = merge(tombstone, over(undefined, C, 2, file(2)));
    expect(isSettled(hidden, cutOf({ [A]: 9, [B]: 9, [C]: 9 }))).toBe(false);
  });

  it('is raised by tombstones only: no live version and no birth dot gets into it', () => {
    fc.assert(
      fc.property(fc.array(entries, { maxLength: 6 }), (list) => {
        const sequences = new Map<string, number>();
        for (const entry of [...list, birth(HISTORY_KEY, file(1))]) raiseTo(sequences, entry);
        const cut = { sequences, replicas: new Set<string>() };
        for (const entry of list) expect(isSettled(entry, cut)).toBe(isTombstone(entry));
        const dots = list.filter(isTombstone).flatMap(({ versions }) => versions.map(({ dot }) => dot));
        for (const [replica, sequence] of sequences) expect(dots).toContainEqual({ replica, sequence });
      }),
    );
  });

  it('joins as a maximum', () => {
    fc.assert(
      fc.property(cuts, cuts, cuts, (a, b, c) => {
        const joined = joinCuts(a, b);
        expect(joinCuts(b, a).sequences).toEqual(joined.sequences);
        expect(joinCuts(joinCuts(a, b), c).sequences).toEqual(joinCuts(a, joinCuts(b, c)).sequences);
        expect(joinCuts(a, a)).toBe(a);
        expect([includesCut(joined, a), includesCut(joined, b)]).toEqual([true, true]);
        // Nothing that neither of the two settles.
        for (const replica of [A, B, C]) {
          expect(joined.sequences.get(replica) ?? 0).toBe(Math.max(a.sequences.get(replica) ?? 0, b.sequences.get(replica) ?? 0));
        }
        // Whoever agreed to either is waited for, unless one of them is the later.
        const both = !includesCut(a, b) && !includesCut(b, a);
        if (both) for (const replica of [...a.replicas, ...b.replicas]) expect(joined.replicas.has(replica)).toBe(true);
      }),
    );
  });

  it('has one encoding', () => {
    fc.assert(
      fc.property(cuts, (cut) => {
        const bytes = encodeCut(cut);
        expect(decodeCut(bytes)).toEqual(cut);
        expect(toHex(encodeCut(decodeCut(bytes)))).toBe(toHex(bytes));
      }),
    );
    const bytes = encodeCut(cutOf({ [A]: 3, [B]: 1 }, [C]));
    const swapped = Uint8Array.from([2, ...bytes.subarray(10, 19), ...bytes.subarray(1, 10), ...bytes.subarray(19)]);
    const zero = Uint8Array.from(bytes);
    zero[9] = 0;
    const twice = Uint8Array.from([0, 2, ...bytes.subarray(-8), ...bytes.subarray(-8)]);
    for (const bad of [swapped, zero, twice, bytes.subarray(0, -1), Uint8Array.of(...bytes, 0), Uint8Array.of(0)]) {
      expect(() => decodeCut(bad)).toThrow(expect.objectContaining({ code: 'BAD_ENCODING' }));
    }
  });
});

describe('absorb', () => {
  it('is merge, but for settled entries where there is none', () => {
    fc.assert(
      fc.property(fc.option(entries, { nil: undefined }), entries, cuts, (current, incoming, cut) => {
        let merged: Entry | undefined;
        try {
          merged = merge(current, incoming);
        } catch {
          // Two unrelated histories that exclude each other.
          return;
        }
        const absorbed = absorb(current, incoming, cut);
        if (current === undefined && isSettled(incoming, cut)) expect(absorbed).toBeUndefined();
        else expect(absorbed).toEqual(merged);
        // No version that is alive is dropped for a cut, whatever it says.
        const alive = (entry: Entry | undefined): unknown[] => (entry?.versions ?? []).filter(({ value }) => isLive(value));
        expect(alive(absorbed)).toEqual(alive(merged));
      }),
    );
  });

  it('ignores, after a purge, only what says nothing new: whatever the order, the outcome is the same', () => {
    fc.assert(
      fc.property(entries, entries, cuts, (first, second, cut) => {
        // Two states of one key that both know of the deletes that are settled.
        const settled = over(first, A, 20, DELETED);
        const all = joinCuts(cut, cutOf({ [A]: 20 }));
        const purged = absorb(undefined, settled, all);
        expect(purged).toBeUndefined();
        const later = over(settled, B, 21, file(2));
        expect(absorb(purged, later, all)).toEqual(later);
        expect(absorb(absorb(purged, later, all), settled, all)).toEqual(later);
        expect(absorb(absorb(purged, settled, all), later, all)).toEqual(later);
        expect(absorb(undefined, second, EMPTY_CUT)).toEqual(second);
      }),
    );
  });
});

type Step =
  | { readonly type: 'find' | 'write'; readonly host: number; readonly key: number; readonly mode: number }
  | { readonly type: 'remove'; readonly host: number; readonly key: number }
  | { readonly type: 'send' | 'receive' | 'cut' | 'connect' | 'join'; readonly host: number; readonly peer: number }
  | { readonly type: 'land'; readonly host: number; readonly at: number }
  | { readonly type: 'decide' | 'purge'; readonly host: number }
  | { readonly type: 'rest' };

const HOSTS = 4;
const MEMBERS = 3;
const host = fc.nat(HOSTS - 1);
const key = fc.nat(1);
const mode = fc.integer({ min: 1, max: 2 });
const of = <T extends Step['type']>(...types: T[]): fc.Arbitrary<T> => fc.constantFrom(...types);
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: fc.record({ type: of('find', 'write'), host, key, mode }) },
    { weight: 3, arbitrary: fc.record({ type: of('remove'), host, key }) },
    { weight: 8, arbitrary: fc.record({ type: of('send', 'receive', 'receive'), host, peer: host }) },
    { weight: 1, arbitrary: fc.record({ type: of('cut', 'connect', 'join'), host, peer: host }) },
    { weight: 4, arbitrary: fc.record({ type: of('land'), host, at: fc.nat(3) }) },
    { weight: 4, arbitrary: fc.record({ type: of('decide', 'purge', 'purge'), host }) },
    { weight: 1, arbitrary: fc.record({ type: of('rest') }) },
  ) as fc.Arbitrary<Step>,
  { maxLength: 60, size: 'max' },
);

/** All that is under way gets there, and nothing more happens: what a quiet minute is to a share. */
function quiet(hosts: readonly ModelHost[]): void {
  for (let round = 0; round < 4; round++) {
    if (round < 3) for (const one of hosts) for (const peer of one.links.keys()) one.send(peer);
    for (const one of hosts) {
      for (const [peer, { inbox }] of one.links) while (inbox.length > 0) one.receive(peer);
      while (one.arrivals.length > 0) one.land(0);
    }
  }
}

function play(list: readonly Step[], rules: Rules): ModelWorld {
  const world = new ModelWorld(HOSTS, MEMBERS, rules);
  const hosts = [...world.hosts.values()];
  for (const one of hosts) for (const other of hosts) world.connect(one, other);
  for (const step of list) {
    if (step.type === 'rest') {
      quiet(hosts);
      continue;
    }
    const one = hosts[step.host]!;
    // Who has not joined yet has no say.
    if (!one.members.includes(one.id) && step.type !== 'receive' && step.type !== 'land') continue;
    switch (step.type) {
      case 'find':
        one.find(`f/${step.key}`, file(step.mode));
        break;
      case 'write':
        one.write(`f/${step.key}`, file(step.mode));
        break;
      case 'remove':
        one.remove(`f/${step.key}`);
        break;
      case 'send':
        one.send(hosts[step.peer]!.id);
        break;
      case 'receive':
        one.receive(hosts[step.peer]!.id);
        break;
      case 'cut':
        world.disconnect(one, hosts[step.peer]!);
        break;
      case 'connect':
        world.connect(one, hosts[step.peer]!);
        break;
      case 'join':
        world.join(one, hosts[step.peer]!);
        break;
      case 'land':
        one.land(step.at);
        break;
      case 'decide':
        one.decide();
        break;
      case 'purge':
        one.purge();
        break;
    }
  }
  world.rest();
  return world;
}

describe('hosts that purge by cuts', () => {
  it('lose no version, bring none back, and end with equal roots and no tombstones', () => {
    let purged = 0;
    fc.assert(
      fc.property(steps, (list) => {
        const world = play(list, ALL_RULES);
        expect(world.faults()).toEqual([]);
        purged += world.purged;
      }),
      { numRuns: 1_500 },
    );
    expect(purged).toBeGreaterThan(500);
  });

  const find = (at: number): Step => ({ type: 'find', host: at, key: 0, mode: 1 });
  const edit = (at: number): Step => ({ type: 'write', host: at, key: 0, mode: 2 });
  const remove = (at: number): Step => ({ type: 'remove', host: at, key: 0 });
  const send = (from: number, to: number): Step => ({ type: 'send', host: from, peer: to });
  const receive = (at: number, from: number): Step => ({ type: 'receive', host: at, peer: from });
  const join = (at: number): Step => ({ type: 'join', host: at, peer: 3 });
  const land = (host: number, at = 0): Step => ({ type: 'land', host, at });
  const decide = (at: number): Step => ({ type: 'decide', host: at });
  const purge = (at: number): Step => ({ type: 'purge', host: at });
  const rest: Step = { type: 'rest' };
  /** 2 gets the file of 0, deletes it, and tells the others; their roots are equal, and 2 knows it. */
  const deletedBy2 = (landAt1: number): Step[] =>
    [
      [send(0, 2), receive(2, 0), land(2), remove(2)],
      [send(2, 0), receive(0, 2), land(0), send(0, 2), receive(2, 0)],
      [send(2, 1), receive(1, 2), land(1, landAt1), send(1, 2), receive(2, 1)],
    ].flat();
  const purgeAll = [receive(0, 2), receive(1, 2), purge(0), purge(1), purge(2)];
  const HISTORIES: Readonly<Record<keyof Rules, readonly Step[]>> = {
    // A host joins with 0, which has not heard of the delete yet.
    agree: [find(0), rest, remove(2), join(0), decide(2)],
    // What 0 sent to 1 when the file was there comes after the delete, by way of 2.
    awaitPeers: [rest, find(0), send(0, 1), ...deletedBy2(0), decide(2), ...purgeAll, receive(1, 0), land(1)],
    // It came before the delete, but its contents come after.
    spareArrivals: [
      [rest, find(0), send(0, 1), receive(1, 0), ...deletedBy2(1), decide(2), receive(1, 2), receive(0, 2)],
      [receive(1, 0), receive(2, 0), receive(0, 1), receive(2, 1), ...purgeAll, land(1)],
    ].flat(),
    // What 0 finds again, and means, is not what 2 remembers as deleted.
    endBirths: [find(0), rest, remove(1), rest, decide(2), rest, purge(0), purge(1), find(0), edit(2)],
  };
  for (const rule of Object.keys(HISTORIES) as (keyof Rules)[]) {
    it(`do wrong without the rule "${rule}"`, () => {
      expect(play(HISTORIES[rule], ALL_RULES).faults()).toEqual([]);
      const faults = play(HISTORIES[rule], { ...ALL_RULES, [rule]: false }).faults();
      expect(faults).toContainEqual(expect.stringMatching(rule === 'endBirths' ? /is lost$/ : /came back$/));
    });
  }
});
