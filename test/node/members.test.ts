import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { toHex, utf8 } from '../../src/base/bytes.ts';
import { SamerootError } from '../../src/base/errors.ts';
import { merge, write, type Value } from '../../src/entry/entry.ts';
import type { Identity } from '../../src/net/identity.ts';
import { decodeMember, encodeMember, isMemberKey, memberKey } from '../../src/node/member-record.ts';
import { Members } from '../../src/node/members.ts';
import { Replica } from '../../src/replica/replica.ts';
import { MemoryStore } from '../../src/store/memory-store.ts';
import { codeOf } from '../content/code-of.ts';
import { recordKey, seededRandom, smallShare, TestClock } from '../replica/world.ts';
import { memberRecord, type RecordParts } from './member-records.ts';
import { makeIdentity } from './parts.ts';

const [founder, alice, bob, carol, mallory] = [makeIdentity(), makeIdentity(), makeIdentity(), makeIdentity(), makeIdentity()] as const;
const ABOUT = { name: 'host', address: 'host:1', role: 0, joinedMs: 5 };

async function world(identity: Identity = founder, pins: string[] = []): Promise<{ replica: Replica; members: Members }> {
  const replica = await Replica.create(new MemoryStore(), smallShare(founder.nodeId), new TestClock(), seededRandom(2));
  return { replica, members: new Members(replica, identity, pins) };
}

function put(replica: Replica, key: Uint8Array, data: Uint8Array): Promise<unknown> {
  return replica.write(key, { kind: 'record', data });
}

async function found(replica: Replica): Promise<void> {
  await put(replica, memberKey(founder.nodeId), memberRecord({ who: founder, introducer: founder }));
}

function ids(members: Members): string[] {
  return members
    .list()
    .map(({ nodeId }) => nodeId)
    .sort();
}

function sorted(...list: Identity[]): string[] {
  return list.map(({ nodeId }) => nodeId).sort();
}

describe('the chain of introductions', () => {
  it('makes members of those, and only those, whom it reaches from the founder, in whatever order the records come', async () => {
    const people = [founder, alice, bob, carol, mallory];
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(4), { minLength: 5, maxLength: 5 }), fc.uniqueArray(fc.nat(4)), async (introducers, order) => {
        const { replica, members } = await world();
        for (const index of order) {
          const who = people[index]!;
          await put(replica, memberKey(who.nodeId), memberRecord({ who, introducer: people[introducers[index]!]! }));
        }
        const valid = new Set<number>();
        for (let round = 0; round < 5; round++) {
          for (const index of order) if (valid.has(introducers[index]!) || (index === 0 && introducers[0] === 0)) valid.add(index);
        }
        const expected = [...valid].map((index) => people[index]!.nodeId).sort();
        expect(ids(members)).toEqual(expected);
        expect(ids(new Members(replica, founder, []))).toEqual(expected);
        for (const { nodeId } of people) expect(members.trusts(nodeId)).toBe(expected.includes(nodeId));
      }),
      { numRuns: 40 },
    );
  });

  it('follows each commit by what it tells: the database may not be readable just then', async () => {
    const { replica } = await world();
    const entry = vi.spyOn(replica, 'entry');
    // Before the list hears of the commit.
    replica.onCommit(() => {
      entry.mockImplementation(() => {
        throw new SamerootError('IO_ERROR', 'the database cannot be read');
      });
    });
    const members = new Members(replica, founder, []);
    await found(replica);
    expect(ids(members)).toEqual([founder.nodeId]);
  });

  it('begins with the founder of the share and nobody else', async () => {
    const { replica, members } = await world();
    await put(replica, memberKey(mallory.nodeId), memberRecord({ who: mallory, introducer: mallory }));
    expect(members.list()).toEqual([]);
    await found(replica);
    expect(ids(members)).toEqual(sorted(founder));
    expect(members.trusts(mallory.nodeId)).toBe(false);
  });

  it('is not carried by an introduction that its signer did not sign', async () => {
    const { replica, members } = await world();
    await found(replica);
    await put(replica, memberKey(mallory.nodeId), memberRecord({ who: mallory, introducer: mallory, claimed: founder }));
    expect(members.trusts(mallory.nodeId)).toBe(false);
  });

  it('is not carried by a true introduction of somebody else, or with one bit changed', async () => {
    const { replica, members } = await world();
    await found(replica);
    const true_ = memberRecord({ who: alice, introducer: founder });
    for (let at = 0; at < true_.length; at += 7) {
      const changed = Uint8Array.from(true_);
      changed[at]! ^= 1;
      await put(replica, memberKey(alice.nodeId), changed);
      const member = members.get(alice.nodeId);
      // A change of the description makes it count for nothing; anything else undoes the introduction.
      if (member !== undefined) expect([member.name, member.joinedMs]).toEqual(['', 5]);
    }
    await put(replica, memberKey(alice.nodeId), true_);
    expect(members.get(alice.nodeId)).toMatchObject({ name: 'host', address: 'host:1', joinedMs: 5, evicted: false });
  });

  it('is followed as it grows, a link in the middle last', async () => {
    const { replica, members } = await world();
    await put(replica, memberKey(bob.nodeId), memberRecord({ who: bob, introducer: alice }));
    await found(replica);
    expect(ids(members)).toEqual(sorted(founder));
    await put(replica, memberKey(alice.nodeId), memberRecord({ who: alice, introducer: founder }));
    expect(ids(members)).toEqual(sorted(founder, alice, bob));
  });
});

describe('descriptions', () => {
  it('count when the member or its introducer signed them, and nobody else', async () => {
    const { replica, members } = await world();
    await found(replica);
    const named = async (parts: Partial<RecordParts>): Promise<string | undefined> => {
      await put(replica, memberKey(alice.nodeId), memberRecord({ who: alice, introducer: founder, name: 'alice', ...parts }));
      return members.get(alice.nodeId)?.name;
    };
    await put(replica, memberKey(bob.nodeId), memberRecord({ who: bob, introducer: founder }));
    expect(await named({ describer: founder })).toBe('alice');
    expect(await named({ describer: alice })).toBe('alice');
    expect(await named({ describer: bob })).toBe('');
    expect(await named({ describer: mallory, describerClaimed: alice })).toBe('');
    expect(await named({ describer: mallory, describerClaimed: founder })).toBe('');
    expect(members.trusts(alice.nodeId)).toBe(true);
  });

  it('can not be moved to another member', async () => {
    const { replica, members } = await world();
    await found(replica);
    const [ofAlice, ofBob] = [alice, bob].map((who) =>
      decodeMember(memberRecord({ who, introducer: founder, describer: who, name: who.nodeId.slice(0, 4) })),
    );
    // Under the name of bob, alice's signed words do not fit.
    const moved = encodeMember({ ...ofBob!, description: ofAlice!.description });
    await put(replica, memberKey(bob.nodeId), moved);
    expect(members.get(bob.nodeId)).toMatchObject({ name: '', address: '' });
    // And with her whole description it is not a record at all.
    expect(codeOf(() => decodeMember(encodeMember({ ...ofAlice!, introduction: ofBob!.introduction })))).toBe('BAD_ENCODING');
  });

  it('of this node follow its name and address, with one write for a change and none for the same', async () => {
    const { replica, members } = await world();
    await members.describeSelf('early', 'x:1');
    expect(replica.head.commit).toBe(0);
    await members.introduce(founder.publicKey, ABOUT);
    expect(members.get(founder.nodeId)).toMatchObject({ ...ABOUT, evicted: false });
    await members.describeSelf('host', 'host:2');
    expect(members.get(founder.nodeId)).toMatchObject({ name: 'host', address: 'host:2', joinedMs: 5 });
    const { commit } = replica.head;
    await members.describeSelf('host', 'host:2');
    expect(replica.head.commit).toBe(commit);
  });

  it('of a member that moved are its own from then on', async () => {
    const { replica, members } = await world();
    await members.introduce(founder.publicKey, ABOUT);
    await members.introduce(alice.publicKey, { ...ABOUT, name: 'as seen by the founder' });
    const hers = new Members(replica, alice, []);
    await hers.describeSelf('alice', '10.0.0.7:9');
    expect(members.get(alice.nodeId)).toMatchObject({ name: 'alice', address: '10.0.0.7:9' });
    expect(members.trusts(alice.nodeId)).toBe(true);
  });
});

describe('introducing', () => {
  it('makes a member that the others see; a second time changes nothing', async () => {
    const { replica, members } = await world();
    await members.introduce(founder.publicKey, ABOUT);
    await members.introduce(alice.publicKey, ABOUT);
    expect(ids(members)).toEqual(sorted(founder, alice));
    const { commit } = replica.head;
    await members.introduce(alice.publicKey, { ...ABOUT, name: 'other' });
    expect([replica.head.commit, members.get(alice.nodeId)?.name]).toEqual([commit, 'host']);
  });

  it('by one who is no member makes none', async () => {
    const { members, replica } = await world(mallory);
    await found(replica);
    await members.introduce(mallory.publicKey, ABOUT);
    await members.introduce(alice.publicKey, ABOUT);
    expect(ids(members)).toEqual(sorted(founder));
  });

  it('brings back one that was evicted', async () => {
    const { replica, members } = await world();
    await members.introduce(founder.publicKey, ABOUT);
    await put(replica, memberKey(alice.nodeId), memberRecord({ who: alice, introducer: founder, standing: evictedBy(founder) }));
    expect([ids(members), members.trusts(alice.nodeId), members.get(alice.nodeId)?.evicted]).toEqual([sorted(founder), false, true]);
    await members.admit(alice.publicKey, ABOUT, 101);
    expect([ids(members), members.trusts(alice.nodeId)]).toEqual([sorted(founder, alice), true]);
    expect(members.get(alice.nodeId)).toMatchObject({ evicted: false, standingMs: 101, joinedMs: 5 });
  });
});

function evictedBy(signer: Identity, sinceMs = 100): NonNullable<RecordParts['standing']> {
  return { evicted: true, sinceMs, signer };
}

describe('an eviction', () => {
  /** Founder, alice by the founder, bob by alice: three replicas of members that look at one tree. */
  async function three(): Promise<{ replica: Replica; of: (who: Identity) => Members }> {
    const { replica } = await world();
    await found(replica);
    await put(replica, memberKey(alice.nodeId), memberRecord({ who: alice, introducer: founder }));
    await put(replica, memberKey(bob.nodeId), memberRecord({ who: bob, introducer: alice }));
    return { replica, of: (who) => new Members(replica, who, [alice.nodeId]) };
  }

  it('takes a member out for everyone, pinned or not, and those it had introduced stay', async () => {
    const { replica, of } = await three();
    const members = of(founder);
    await members.evict(alice.nodeId, 100);
    for (const who of [founder, alice, bob]) {
      expect(ids(of(who))).toEqual(sorted(founder, bob));
      expect([of(who).trusts(alice.nodeId), of(who).isEvicted(alice.nodeId), of(who).trusts(bob.nodeId)]).toEqual([false, true, true]);
    }
    // Once is enough.
    const { root } = replica.head;
    await members.evict(alice.nodeId, 200);
    expect(toHex(replica.head.root)).toBe(toHex(root));
  });

  it('may be of the founder, or of the one who introduced the evictor', async () => {
    for (const evicted of [founder, alice]) {
      const { of } = await three();
      await of(bob).evict(evicted.nodeId, 100);
      expect(ids(of(bob))).toEqual(sorted(...[founder, alice, bob].filter((who) => who !== evicted)));
    }
  });

  it('is not undone by what the member writes at the same time, nor by itself', async () => {
    const { replica, of } = await three();
    const record = (data: Uint8Array): Value => ({ kind: 'record', data });
    const key = memberKey(alice.nodeId);
    const before = replica.entry(key)!;
    const evicted = memberRecord({ who: alice, introducer: founder, standing: evictedBy(founder) });
    const described = memberRecord({ who: alice, introducer: founder, describer: alice, name: 'renamed' });
    const own = memberRecord({ who: alice, introducer: founder, standing: { evicted: false, sinceMs: 200, signer: alice } });
    const lie = memberRecord({
      who: alice,
      introducer: founder,
      standing: { evicted: false, sinceMs: 200, signer: alice, claimed: founder },
    });
    for (const later of [described, own, lie]) {
      const seen = before.versions.map(({ dot }) => dot);
      const one = write(before, seen, { replica: 'aa'.repeat(8), sequence: 1 }, { wallMs: 10, counter: 0 }, record(evicted));
      const other = write(before, seen, { replica: 'bb'.repeat(8), sequence: 1 }, { wallMs: 20, counter: 0 }, record(later));
      await replica.commit([{ key, next: () => merge(one, other) }]);
      expect(replica.entry(key)!.versions).toHaveLength(2);
      expect([of(founder).trusts(alice.nodeId), of(founder).isEvicted(alice.nodeId)]).toEqual([false, true]);
    }
  });

  it('makes what the member signs from then on count for nothing', async () => {
    const { replica, of } = await three();
    await of(founder).evict(alice.nodeId, 100);
    await put(replica, memberKey(carol.nodeId), memberRecord({ who: carol, introducer: alice, joinedMs: 100 }));
    await put(replica, memberKey(mallory.nodeId), memberRecord({ who: mallory, introducer: alice, joinedMs: 99 }));
    expect(ids(of(founder))).toEqual(sorted(founder, bob, mallory));
    await put(replica, memberKey(bob.nodeId), memberRecord({ who: bob, introducer: alice, standing: evictedBy(alice, 101) }));
    expect(of(founder).trusts(bob.nodeId)).toBe(true);
    // Nor what those sign who count for nothing.
    await put(replica, memberKey(bob.nodeId), memberRecord({ who: bob, introducer: alice, standing: evictedBy(carol, 200) }));
    expect(of(founder).trusts(bob.nodeId)).toBe(true);
  });

  it('of two members by each other: the earlier one holds', async () => {
    const { replica, of } = await three();
    await put(replica, memberKey(alice.nodeId), memberRecord({ who: alice, introducer: founder, standing: evictedBy(bob, 50) }));
    await put(replica, memberKey(bob.nodeId), memberRecord({ who: bob, introducer: alice, standing: evictedBy(alice, 60) }));
    expect(ids(of(founder))).toEqual(sorted(founder, bob));
  });

  it('can be repeated after a new invitation, whatever the clocks say', async () => {
    const { of } = await three();
    await of(founder).evict(alice.nodeId, 1_000);
    const invitedMs = of(bob).laterMs(9);
    await of(bob).admit(alice.publicKey, { ...ABOUT, joinedMs: 10 }, invitedMs);
    expect(of(founder).get(alice.nodeId)).toMatchObject({ evicted: false, standingMs: 1_001 });
    await of(bob).evict(alice.nodeId, 5);
    expect(of(founder).get(alice.nodeId)).toMatchObject({ evicted: true, standingMs: 1_002 });
  });

  it('that the inviter has not heard of yet does not hold when it comes, if it is older than the invitation', async () => {
    for (const evictedMs of [100, 300]) {
      const { replica, of } = await three();
      const key = memberKey(alice.nodeId);
      const before = replica.entry(key)!;
      await of(bob).admit(alice.publicKey, { ...ABOUT, joinedMs: 210 }, 200);
      expect(of(bob).get(alice.nodeId)).toMatchObject({ evicted: false, standingMs: 210 });
      const { root } = replica.head;
      // Once for an invitation.
      await of(bob).admit(alice.publicKey, { ...ABOUT, joinedMs: 250 }, 200);
      expect(toHex(replica.head.root)).toBe(toHex(root));
      const seen = before.versions.map(({ dot }) => dot);
      const data = memberRecord({ who: alice, introducer: founder, standing: evictedBy(founder, evictedMs) });
      const later = { wallMs: 1e13, counter: 0 };
      const eviction = write(before, seen, { replica: 'bb'.repeat(8), sequence: 1 }, later, { kind: 'record', data });
      await replica.commit([{ key, next: (entry) => merge(entry!, eviction) }]);
      expect(of(founder).isEvicted(alice.nodeId)).toBe(evictedMs === 300);
      if (evictedMs === 300) continue;
      // Nor does it hold again once a version is written that takes the place of both.
      await of(alice).describeSelf('renamed', 'host:2');
      expect(replica.entry(key)!.versions).toHaveLength(1);
      expect(of(founder).get(alice.nodeId)).toMatchObject({ evicted: false, standingMs: 210, name: 'renamed' });
    }
  });

  it('does not undo what another says of a key that the member introduced as well', async () => {
    const { replica, of } = await three();
    const [key, seen] = [memberKey(carol.nodeId), [] as const];
    const record = (introducer: Identity, joinedMs: number): Value => ({
      kind: 'record',
      data: memberRecord({ who: carol, introducer, joinedMs }),
    });
    await of(founder).evict(alice.nodeId, 100);
    for (const latest of [10, 30]) {
      // Which of the two wins the view does not matter.
      const late = write(undefined, seen, { replica: 'aa'.repeat(8), sequence: 1 }, { wallMs: latest, counter: 0 }, record(alice, 200));
      const sound = write(undefined, seen, { replica: 'bb'.repeat(8), sequence: 1 }, { wallMs: 20, counter: 0 }, record(bob, 200));
      await replica.commit([{ key, next: () => late }]);
      expect(of(bob).trusts(carol.nodeId)).toBe(false);
      await replica.commit([{ key, next: () => merge(late, sound) }]);
      expect(replica.entry(key)!.versions).toHaveLength(2);
      expect(of(bob).get(carol.nodeId)).toMatchObject({ evicted: false, name: 'host', joinedMs: 200 });
    }
    // What is written next keeps the one that counts.
    await of(carol).describeSelf('carol', 'host:3');
    expect(replica.entry(key)!.versions).toHaveLength(1);
    expect(of(bob).get(carol.nodeId)).toMatchObject({ evicted: false, name: 'carol' });
  });

  it('leaves alone whom the member had let in before, though the clock of the member was ahead', async () => {
    const { replica, of } = await three();
    await put(replica, memberKey(carol.nodeId), memberRecord({ who: carol, introducer: alice, joinedMs: 5_000 }));
    await of(carol).evict(alice.nodeId, 100);
    expect(ids(of(founder))).toEqual(sorted(founder, bob, carol));
  });

  it('is not undone by the founder that introduces itself at its start', async () => {
    const { replica, of } = await three();
    await of(bob).evict(founder.nodeId, 100);
    const { root } = replica.head;
    await of(founder).introduce(founder.publicKey, ABOUT);
    expect(toHex(replica.head.root)).toBe(toHex(root));
  });

  it('keeps the member from describing itself', async () => {
    const { replica, of } = await three();
    await of(founder).evict(alice.nodeId, 100);
    const { root } = replica.head;
    await of(alice).describeSelf('other', 'other:1');
    expect(toHex(replica.head.root)).toBe(toHex(root));
  });
});

describe('trust before the record is there', () => {
  it('goes to pinned keys until their record says otherwise', async () => {
    const { replica, members } = await world(founder, [alice.nodeId]);
    await found(replica);
    expect([members.trusts(alice.nodeId), members.trusts(bob.nodeId)]).toEqual([true, false]);
    members.pin(bob.nodeId);
    expect(members.trusts(bob.nodeId)).toBe(true);
    for (const who of [alice, bob]) {
      await put(replica, memberKey(who.nodeId), memberRecord({ who, introducer: founder, standing: evictedBy(founder) }));
    }
    expect([members.trusts(alice.nodeId), members.trusts(bob.nodeId)]).toEqual([false, false]);
    expect(ids(members)).toEqual(sorted(founder));
  });
});

describe('a record from a peer', () => {
  const entryOf = (value: Value): ReturnType<typeof write> =>
    write(undefined, [], { replica: 'aa'.repeat(8), sequence: 1 }, { wallMs: 1, counter: 0 }, value);
  const record = (data: Uint8Array): Value => ({ kind: 'record', data });

  it('is refused under another key, of another kind, or malformed', async () => {
    const { members } = await world();
    const data = memberRecord({ who: alice, introducer: founder });
    const check = (key: Uint8Array, value: Value): string | undefined => codeOf(() => members.check(key, entryOf(value)));
    expect(check(memberKey(alice.nodeId), record(data))).toBeUndefined();
    expect(check(memberKey(bob.nodeId), record(data))).toBe('BAD_MESSAGE');
    expect(check(memberKey(alice.nodeId).subarray(0, 20), record(data))).toBe('BAD_MESSAGE');
    expect(check(memberKey(alice.nodeId), { kind: 'deleted' })).toBe('BAD_MESSAGE');
    expect(check(memberKey(alice.nodeId), record(data.subarray(1)))).toBe('BAD_ENCODING');
    expect(check(memberKey(alice.nodeId), record(Buffer.concat([data, Uint8Array.of(0)])))).toBe('BAD_ENCODING');
  });

  it('is looked at in all its versions', async () => {
    const { members } = await world();
    const good = entryOf(record(memberRecord({ who: alice, introducer: founder })));
    const both = write(
      good,
      [],
      { replica: 'bb'.repeat(8), sequence: 1 },
      { wallMs: 2, counter: 0 },
      record(memberRecord({ who: bob, introducer: founder })),
    );
    expect(codeOf(() => members.check(memberKey(alice.nodeId), both))).toBe('BAD_MESSAGE');
  });

  it('that got under another key all the same counts for nothing', async () => {
    const { replica, members } = await world();
    await found(replica);
    await put(replica, memberKey(bob.nodeId), memberRecord({ who: alice, introducer: founder }));
    expect([members.trusts(bob.nodeId), members.trusts(alice.nodeId)]).toEqual([false, false]);
  });

  it('has one encoding: what decodes at all encodes to the same bytes', () => {
    const data = memberRecord({ who: alice, introducer: founder, name: 'ä', standing: evictedBy(founder) });
    const without = memberRecord({ who: alice, introducer: founder, name: 'ä' });
    expect(toHex(data).startsWith(toHex(without))).toBe(true);
    fc.assert(
      fc.property(fc.nat(data.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const bytes = Uint8Array.from(data);
        bytes[at]! ^= change;
        try {
          expect(toHex(encodeMember(decodeMember(bytes)))).toBe(toHex(bytes));
        } catch (error) {
          if (!(error instanceof SamerootError)) throw error;
        }
        // A record without a standing is one too.
        if (at !== without.length) expect(codeOf(() => decodeMember(data.subarray(0, at)))).toBe('BAD_ENCODING');
      }),
      { numRuns: 300 },
    );
    expect(toHex(encodeMember(decodeMember(data)))).toBe(toHex(data));
  });
});

it('knows the keys of members from others', () => {
  expect([memberKey(alice.nodeId), recordKey(1), utf8('f/m'), utf8('mm')].map(isMemberKey)).toEqual([true, false, false, false]);
});
