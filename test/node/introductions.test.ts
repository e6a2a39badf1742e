import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/base/bytes.ts';
import { decodeEntry, encodeEntry } from '../../src/entry/entry-codec.ts';
import type { Identity } from '../../src/net/identity.ts';
import { decodeMember, memberKey } from '../../src/node/member-record.ts';
import { Members } from '../../src/node/members.ts';
import { Replica } from '../../src/replica/replica.ts';
import { MemoryStore } from '../../src/store/memory-store.ts';
import type { EntryItem } from '../../src/wire/messages.ts';
import { codeOf } from '../content/code-of.ts';
import { seededRandom, smallShare, TestClock } from '../replica/world.ts';
import { memberRecord, type RecordParts } from './member-records.ts';
import { makeIdentity } from './parts.ts';

const [founder, alice, bob, carol, mallory] = [makeIdentity(), makeIdentity(), makeIdentity(), makeIdentity(), makeIdentity()] as const;

/** A host of its own, with these records in its tree. */
class Host {
  readonly replica: Replica;
  readonly members: Members;

  private constructor(replica: Replica, identity: Identity) {
    this.replica = replica;
    this.members = new Members(replica, identity, []);
  }

  static async with(identity: Identity, ...records: readonly RecordParts[]): Promise<Host> {
    const random = seededRandom(identity.publicKey.at(-1)!);
    const host = new Host(await Replica.create(new MemoryStore(), smallShare(founder.nodeId), new TestClock(), random), identity);
    for (const record of records) await host.put(record);
    return host;
  }

  async put(record: RecordParts): Promise<void> {
    await this.replica.write(memberKey(record.who.nodeId), { kind: 'record', data: memberRecord(record) });
  }

  async takeIn(items: readonly EntryItem[]): Promise<void> {
    await this.replica.commit(items.map(({ key, entry }) => ({ key, next: () => decodeEntry(entry) })));
  }
}

const FOUNDER: RecordParts = { who: founder, introducer: founder };
const ALICE: RecordParts = { who: alice, introducer: founder };
const BOB: RecordParts = { who: bob, introducer: alice };
const CAROL: RecordParts = { who: carol, introducer: bob };

function evictionBy(signer: Identity, sinceMs = 100): NonNullable<RecordParts['standing']> {
  return { evicted: true, sinceMs, signer };
}

function owners(items: readonly EntryItem[]): string[] {
  return items
    .map(({ entry }) => decodeEntry(entry).versions[0]!.value)
    .flatMap((value) => (value.kind === 'record' ? [decodeMember(value.data).nodeId] : []));
}

describe('a member that the listener has not heard of', () => {
  it('shows the records that lead to it, and is a member once those are taken in that were unknown', async () => {
    const guest = await Host.with(carol, FOUNDER, ALICE, BOB, CAROL, { who: mallory, introducer: founder });
    const shown = guest.members.introductions;
    expect(owners(shown)).toEqual([carol.nodeId, bob.nodeId, alice.nodeId, founder.nodeId]);
    const host = await Host.with(alice, FOUNDER, ALICE);
    const taken = host.members.judge(carol.nodeId, shown) as readonly EntryItem[];
    expect(owners(taken)).toEqual([carol.nodeId, bob.nodeId]);
    expect(host.members.trusts(carol.nodeId)).toBe(false);
    await host.takeIn(taken);
    expect([carol, bob].map(({ nodeId }) => host.members.trusts(nodeId))).toEqual([true, true]);
    expect(host.members.judge(carol.nodeId, shown)).toEqual([]);
  });

  it('is none where its records lead to nobody', async () => {
    const guest = await Host.with(carol, FOUNDER, ALICE, BOB, CAROL);
    const host = await Host.with(alice, FOUNDER, ALICE);
    const [own, bobs] = guest.members.introductions;
    expect(host.members.judge(carol.nodeId, [own!])).toBe('NOT_INVITED');
    expect(host.members.judge(carol.nodeId, [bobs!])).toBe('NOT_INVITED');
    expect(host.members.judge(mallory.nodeId, guest.members.introductions)).toBe('NOT_INVITED');
    // Where not even the founder is known, nobody is: this host may have forgotten who was evicted.
    expect((await Host.with(alice)).members.judge(carol.nodeId, guest.members.introductions)).toBe('NOT_INVITED');
    const circle = await Host.with(carol, { who: carol, introducer: bob }, { who: bob, introducer: carol });
    const records = [bob, carol].map(({ nodeId }) => ({ key: memberKey(nodeId), entry: own!.entry }));
    expect(circle.members.introductions).toEqual([]);
    expect(circle.members.judge(carol.nodeId, [])).toBe('NOT_INVITED');
    expect(codeOf(() => host.members.judge(carol.nodeId, records))).toBe('BAD_MESSAGE');
  });

  it('is none on the word of one who was evicted here, whenever that was given', async () => {
    const guest = await Host.with(carol, FOUNDER, ALICE, BOB, { ...CAROL, joinedMs: 1 });
    const shown = guest.members.introductions;
    const evicted = await Host.with(alice, FOUNDER, ALICE, { ...BOB, standing: evictionBy(founder) });
    expect(evicted.members.judge(carol.nodeId, shown)).toBe('INVITER_EVICTED');
    // Nor does it help to show the record of the evicted one as it was before.
    expect(owners(shown)).toContain(bob.nodeId);
    const above = await Host.with(bob, FOUNDER, { ...ALICE, standing: evictionBy(founder) });
    expect(above.members.judge(carol.nodeId, shown)).toBe('INVITER_EVICTED');
    // In the tree it counts, for a member has brought it.
    await evicted.takeIn(shown.slice(0, 1));
    expect(evicted.members.trusts(carol.nodeId)).toBe(true);
  });

  it('is none where what it shows says that it, or one of those between, was evicted', async () => {
    const host = await Host.with(alice, FOUNDER, ALICE);
    const evicted = await Host.with(carol, FOUNDER, ALICE, BOB, { ...CAROL, standing: evictionBy(founder) });
    const between = await Host.with(carol, FOUNDER, ALICE, { ...BOB, standing: evictionBy(founder) }, CAROL);
    for (const { members } of [evicted, between]) {
      expect(members.introductions.length).toBe(4);
      expect(host.members.judge(carol.nodeId, members.introductions)).toBe('NOT_INVITED');
    }
  });

  it('is none by introductions that nobody has signed, by other records, or by none', async () => {
    const host = await Host.with(alice, FOUNDER, ALICE);
    const forged = await Host.with(mallory, FOUNDER, { who: mallory, introducer: mallory, claimed: alice });
    const item: EntryItem = { key: memberKey(mallory.nodeId), entry: encodeEntry(forged.replica.entry(memberKey(mallory.nodeId))!) };
    expect(codeOf(() => host.members.judge(mallory.nodeId, [item]))).toBe('BAD_MESSAGE');
    expect(codeOf(() => host.members.judge(mallory.nodeId, [{ ...item, key: utf8('f/x') }]))).toBe('BAD_MESSAGE');
    expect(codeOf(() => host.members.judge(mallory.nodeId, [{ ...item, entry: Uint8Array.of(1, 2) }]))).toBe('BAD_ENCODING');
    expect(host.members.judge(mallory.nodeId, [])).toBe('NOT_INVITED');
  });
});
