import { describe, expect, it } from 'vitest';
import { decodeToken, invitationId, joinProof } from '../../src/net/invitation.ts';
import type { Identity } from '../../src/net/identity.ts';
import { checkJoin, createInvite } from '../../src/node/invites.ts';
import type { Invite } from '../../src/node/node-api.ts';
import { Replica } from '../../src/replica/replica.ts';
import * as keyspace from '../../src/store/keyspace.ts';
import { MemoryStore } from '../../src/store/memory-store.ts';
import type { MessageOf } from '../../src/wire/messages.ts';
import { bodiesOf, seededRandom, smallShare, TestClock } from '../replica/world.ts';
import { FakeChannel, makeIdentity } from './parts.ts';

const [inviter, joiner, stranger] = [makeIdentity(), makeIdentity(), makeIdentity()];
const NOW = 1_700_000_000_000;
const EXPORTER = new Uint8Array(32).fill(7);

async function world(): Promise<{ store: MemoryStore; replica: Replica; invite(expiresMs?: number, nowMs?: number): Promise<Invite> }> {
  const store = new MemoryStore();
  const replica = await Replica.create(store, smallShare(), new TestClock(), seededRandom(2));
  const random = seededRandom(9);
  return {
    store,
    replica,
    invite: (expiresMs = 1000, nowMs = NOW) =>
      createInvite(store, replica, { nodeId: inviter.nodeId, address: 'host:7' }, { nowMs, madeMs: nowMs, expiresMs }, random),
  };
}

function joinWith(token: string, who: Identity = joiner, exporter: Uint8Array = EXPORTER, to: string = inviter.nodeId): MessageOf<'join'> {
  const { secret } = decodeToken(token);
  const proof = joinProof(secret, exporter, who.nodeId, to);
  return { type: 'join', invitation: invitationId(secret), proof, nodeId: who.nodeId, publicKey: who.publicKey, name: 'n', listenPort: 1 };
}

const channel = new FakeChannel(joiner.nodeId, EXPORTER);

describe('an invitation', () => {
  it('names share, parameters, inviter and end, and prints a line to join with', async () => {
    const { replica, invite } = await world();
    const { token, joinLine, expires } = await invite(60_000);
    expect(decodeToken(token)).toMatchObject({ inviterId: inviter.nodeId, role: 'writer', expiresMs: NOW + 60_000 });
    expect(Buffer.from(decodeToken(token).shareId).equals(replica.share.id)).toBe(true);
    expect(joinLine).toBe(`sameroot start FOLDER --join host:7 --token ${token}`);
    expect(expires).toBe(new Date(NOW + 60_000).toISOString());
  });

  it('lets its holder in, as often as it likes, until it ends', async () => {
    const { store, invite } = await world();
    const { token } = await invite(1000);
    for (const nowMs of [NOW, NOW, NOW + 1000]) expect(checkJoin(store, joinWith(token), channel, inviter.nodeId, nowMs)).toBeUndefined();
    expect(checkJoin(store, joinWith(token), channel, inviter.nodeId, NOW + 1001)).toBe('TOKEN_EXPIRED');
  });

  it('is worth nothing on another channel, for another key, to another inviter, or without its secret', async () => {
    const { store, invite } = await world();
    const { token } = await invite();
    const good = joinWith(token);
    const otherChannel = new FakeChannel(joiner.nodeId, new Uint8Array(32).fill(8));
    const cases: [MessageOf<'join'>, FakeChannel][] = [
      [good, otherChannel],
      // A proof that was overheard, shown by another key.
      [good, new FakeChannel(stranger.nodeId, EXPORTER)],
      [{ ...good, nodeId: stranger.nodeId, publicKey: stranger.publicKey }, new FakeChannel(stranger.nodeId, EXPORTER)],
      // A key that is not that of the node id.
      [{ ...good, publicKey: stranger.publicKey }, channel],
      [joinWith(token, joiner, EXPORTER, stranger.nodeId), channel],
      [{ ...good, proof: new Uint8Array(32) }, channel],
      [{ ...good, proof: good.proof.subarray(1) }, channel],
      [{ ...good, invitation: '00'.repeat(8) }, channel],
      // Over plain text nobody is proven.
      [good, new FakeChannel(undefined, EXPORTER)],
    ];
    expect(cases.map(([join, at]) => checkJoin(store, join, at, inviter.nodeId, NOW))).toEqual(cases.map(() => 'NOT_INVITED'));
    expect(checkJoin(store, good, channel, inviter.nodeId, NOW)).toBeUndefined();
  });

  it('that ended says so to its holder only', async () => {
    const { store, invite } = await world();
    const { token } = await invite(10);
    const bad = { ...joinWith(token), proof: new Uint8Array(32) };
    expect(checkJoin(store, bad, channel, inviter.nodeId, NOW + 11)).toBe('NOT_INVITED');
  });

  it('survives in the store, and leaves it after its end when the next one is made', async () => {
    const { store, invite } = await world();
    const [first, second] = [await invite(1000), await invite(5000)];
    const stored = async (): Promise<number> => (await bodiesOf(store, keyspace.metaKey('invitation/'))).size;
    expect(await stored()).toBe(2);
    const third = await invite(1000, NOW + 1001);
    expect(await stored()).toBe(2);
    const answers = [first, second, third].map(({ token }) => checkJoin(store, joinWith(token), channel, inviter.nodeId, NOW + 1500));
    expect(answers).toEqual(['NOT_INVITED', undefined, undefined]);
  });

  it('has a secret of its own each time', async () => {
    const { invite } = await world();
    expect((await invite()).token).not.toBe((await invite()).token);
  });
});
