/** Invitations that this node gave out: kept until they expire, checked when a stranger shows one. */
import { ByteReader, ByteWriter, fromUtf8 } from '../base/bytes.ts';
import type { ErrorCode } from '../base/errors.ts';
import type { Random } from '../base/world.ts';
import { fingerprintOf } from '../net/identity.ts';
import { checkJoinProof, encodeToken, invitationId, makeInvitation } from '../net/invitation.ts';
import type { Channel } from '../net/transport.ts';
import type { Replica } from '../replica/replica.ts';
import * as keyspace from '../store/keyspace.ts';
import type { Operation, Store } from '../store/store.ts';
import type { MessageOf } from '../wire/messages.ts';
import type { Invite } from './node-api.ts';

const SECRET_BYTES = 32;

export async function createInvite(
  store: Store,
  replica: Replica,
  inviter: { readonly nodeId: string; readonly address: string },
  /** `madeMs`: not by the clock alone, but later than each eviction that is known here. */
  time: { readonly nowMs: number; readonly madeMs: number; readonly expiresMs: number },
  random: Random,
): Promise<Invite> {
  const expiresMs = Math.floor(time.nowMs + time.expiresMs);
  const offer = {
    shareId: replica.share.id,
    parametersHash: replica.parametersHash,
    inviterId: inviter.nodeId,
    role: 'writer' as const,
    expiresMs,
  };
  const invitation = makeInvitation(offer, random);
  const value = new ByteWriter(64).u48(expiresMs).u48(Math.floor(time.madeMs)).raw(invitation.secret).finish();
  const put: Operation = { type: 'put', key: keyspace.invitationKey(invitationId(invitation.secret)), value };
  await store.write([...(await expired(store, time.nowMs)), put], { durable: true });
  const token = encodeToken(invitation);
  const joinLine = `sameroot start FOLDER --join ${inviter.address} --token ${token}`;
  return { token, joinLine, expires: new Date(expiresMs).toISOString() };
}

/** A refusal, or undefined: the joiner holds an invitation of ours, on this very channel. */
export function checkJoin(store: Store, join: MessageOf<'join'>, channel: Channel, ownId: string, nowMs: number): ErrorCode | undefined {
  if (fingerprintOf(join.publicKey) !== join.nodeId || channel.remoteId !== join.nodeId) return 'NOT_INVITED';
  const found = readInvite(store, join.invitation);
  if (found === undefined) return 'NOT_INVITED';
  const { secret, expiresMs } = found;
  if (!checkJoinProof(secret, channel.exporter(), join.nodeId, ownId, join.proof)) return 'NOT_INVITED';
  return nowMs > expiresMs ? 'TOKEN_EXPIRED' : undefined;
}

/** When an invitation of ours was made; undefined where it is none. */
export function inviteMadeMs(store: Store, invitation: string): number | undefined {
  return readInvite(store, invitation)?.madeMs;
}

interface StoredInvite {
  readonly expiresMs: number;
  readonly madeMs: number;
  readonly secret: Uint8Array;
}

function readInvite(store: Store, invitation: string): StoredInvite | undefined {
  const row = store.get(keyspace.invitationKey(invitation));
  if (row === undefined) return undefined;
  const reader = new ByteReader(row);
  return { expiresMs: reader.u48(), madeMs: reader.u48(), secret: reader.raw(SECRET_BYTES) };
}

async function expired(store: Store, nowMs: number): Promise<Operation[]> {
  const operations: Operation[] = [];
  for await (const rows of store.iterate(keyspace.prefixRange(keyspace.metaKey('invitation/')))) {
    for (const [key, value] of rows) {
      if (fromUtf8(key) !== undefined && new ByteReader(value).u48() < nowMs) operations.push({ type: 'del', key: Uint8Array.from(key) });
    }
  }
  return operations;
}
