import { describe, expect, it } from 'vitest';
import type { ErrorCode } from '../../src/base/errors.ts';
import { createInvite } from '../../src/node/invites.ts';
import { memberKey } from '../../src/node/member-record.ts';
import { Members } from '../../src/node/members.ts';
import { Membership } from '../../src/node/membership.ts';
import type { NodeOptions } from '../../src/node/node-api.ts';
import { Replica } from '../../src/replica/replica.ts';
import { MemoryStore } from '../../src/store/memory-store.ts';
import { realWorld } from '../../src/app/real-world.ts';
import { seededRandom, smallShare, TestClock } from '../replica/world.ts';
import { memberRecord } from './member-records.ts';
import { FakeChannel, makeIdentity } from './parts.ts';

const [founder, peer, own] = [makeIdentity(), makeIdentity(), makeIdentity()];
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

class DialedChannel extends FakeChannel {
  override readonly dialed = true;
}

/** A member that holds an invitation of `peer`, another member. */
async function member(): Promise<{ begins: () => string | undefined; refused: (code: ErrorCode) => void; membership: Membership }> {
  const store = new MemoryStore();
  const replica = await Replica.create(store, smallShare(founder.nodeId), new TestClock(), seededRandom(1));
  for (const who of [founder, peer, own]) {
    await replica.write(memberKey(who.nodeId), { kind: 'record', data: memberRecord({ who, introducer: founder }) });
  }
  const inviter = { nodeId: peer.nodeId, address: 'host:7' };
  const { token } = await createInvite(store, replica, inviter, { nowMs: 0, madeMs: 0, expiresMs: 1_000 }, seededRandom(2));
  const options = { token, join: [], insecure: false, advertise: true } as unknown as NodeOptions;
  const world = realWorld(silent);
  const membership = new Membership({ options, identity: own, store, world, hostName: 'own', networkAddresses: () => [] });
  membership.members = new Members(replica, own, []);
  membership.listening = { host: '127.0.0.1', port: 1 };
  const channel = new DialedChannel(peer.nodeId);
  return { membership, begins: () => membership.opening(channel)?.type, refused: (code) => membership.refused(channel, code) };
}

describe('what a member begins with', () => {
  it('is nothing, until a peer has not heard of it', async () => {
    const { begins } = await member();
    expect(begins()).toBeUndefined();
  });

  it('is how it became one, and its invitation, in turn: the peer may know nobody that leads to it, or no invitation any more', async () => {
    const { begins, refused, membership } = await member();
    const begun: (string | undefined)[] = [];
    for (let time = 0; time < 4; time++) {
      refused('NOT_INVITED');
      begun.push(begins());
    }
    expect(begun).toEqual(['introductions', 'join', 'introductions', 'join']);
    membership.greeted(peer.nodeId);
    expect(begins()).toBeUndefined();
  });

  it('is its invitation at once where those who lead to it were evicted', async () => {
    const { begins, refused } = await member();
    refused('INVITER_EVICTED');
    expect(begins()).toBe('join');
  });
});
