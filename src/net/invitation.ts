/**
 * Invitations: what one host prints and another is given, and the proof that the second holds it.
 *
 * Invariant: the secret itself never goes over the wire. The joiner shows `invitationId`, by which the inviter finds
 * the invitation, and a MAC over this very TLS channel and both keys: it is worth nothing on another channel, from
 * another joiner, or for another inviter.
 *
 * Why a checksum in the token: tokens are copied by hand, and a cut-off one should say so instead of `NOT_INVITED`.
 */
import { timingSafeEqual } from 'node:crypto';
import { ByteReader, ByteWriter, asBuffer, equalBytes, fromHex, toHex, utf8 } from '../base/bytes.ts';
import { SamerootError } from '../base/errors.ts';
import type { Random } from '../base/world.ts';
import { hash, mac } from '../content/hash.ts';

export type Role = 'writer' | 'read-only';

export interface Invitation {
  /** 16 bytes. */
  readonly shareId: Uint8Array;
  /** First 16 bytes of the hash of the share's parameters. */
  readonly parametersPrefix: Uint8Array;
  /** Node id (fingerprint, 64 hex digits) of the host that invites: the only one the joiner will talk to. */
  readonly inviterId: string;
  readonly role: Role;
  /** Milliseconds since 1970-01-01 UTC. */
  readonly expiresMs: number;
  /** 32 bytes. Whoever has it may join. */
  readonly secret: Uint8Array;
}

export interface InvitationOffer {
  readonly shareId: Uint8Array;
  /** 32 bytes. */
  readonly parametersHash: Uint8Array;
  readonly inviterId: string;
  readonly role: Role;
  readonly expiresMs: number;
}

const PREFIX = 'sr1';
const TOKEN_VERSION = 1;
const SHARE_ID_BYTES = 16;
const PARAMETERS_PREFIX_BYTES = 16;
const FINGERPRINT_BYTES = 32;
const SECRET_BYTES = 32;
const EXPORTER_BYTES = 32;
const CHECKSUM_BYTES = 4;
const BODY_BYTES = 1 + SHARE_ID_BYTES + PARAMETERS_PREFIX_BYTES + FINGERPRINT_BYTES + 1 + 6 + SECRET_BYTES;
/** 108 bytes: a multiple of three, so that every token has one base64url text only. */
const TOKEN_LENGTH = PREFIX.length + ((BODY_BYTES + CHECKSUM_BYTES) / 3) * 4;
const EXPIRES_MS_MAX = 2 ** 48 - 1;
/** The index in this list is the byte in the token. */
const ROLES: readonly Role[] = ['writer', 'read-only'];

/** @throws {RangeError} if a field has the wrong length or `expiresMs` is not a whole number of 48 bits */
export function makeInvitation(offer: InvitationOffer, random: Random): Invitation {
  const { shareId, parametersHash, inviterId, role, expiresMs } = offer;
  requireLength('shareId', shareId, SHARE_ID_BYTES);
  requireLength('parametersHash', parametersHash, 32);
  fingerprintBytes('inviterId', inviterId);
  if (!Number.isInteger(expiresMs) || expiresMs < 0 || expiresMs > EXPIRES_MS_MAX) throw new RangeError(`expiresMs: ${expiresMs}`);
  return {
    shareId,
    parametersPrefix: parametersHash.slice(0, PARAMETERS_PREFIX_BYTES),
    inviterId,
    role,
    expiresMs,
    secret: random.bytes(SECRET_BYTES),
  };
}

export function encodeToken(invitation: Invitation): string {
  const writer = new ByteWriter(BODY_BYTES + CHECKSUM_BYTES)
    .u8(TOKEN_VERSION)
    .raw(invitation.shareId)
    .raw(invitation.parametersPrefix)
    .raw(fingerprintBytes('inviterId', invitation.inviterId))
    .u8(ROLES.indexOf(invitation.role))
    .u48(invitation.expiresMs)
    .raw(invitation.secret);
  const checksum = checksumOf(writer.finish());
  return PREFIX + asBuffer(writer.raw(checksum).finish()).toString('base64url');
}

/** @throws {SamerootError} `BAD_TOKEN`, saying whether it is cut off, mistyped or something else altogether */
export function decodeToken(token: string): Invitation {
  const text = token.trim();
  if (!text.startsWith(PREFIX)) throw badToken(`a token starts with ${PREFIX}`);
  if (!/^[A-Za-z0-9_-]*$/.test(text)) throw badToken('it holds a character that no token has');
  if (text.length < TOKEN_LENGTH) throw badToken(`it is cut off: ${text.length} of ${TOKEN_LENGTH} characters`);
  if (text.length > TOKEN_LENGTH) throw badToken(`it is too long: ${text.length} characters, a token has ${TOKEN_LENGTH}`);
  const bytes = Buffer.from(text.slice(PREFIX.length), 'base64url');
  if (!equalBytes(checksumOf(bytes.subarray(0, BODY_BYTES)), bytes.subarray(BODY_BYTES))) throw badToken('a character is wrong');
  const reader = new ByteReader(bytes);
  if (reader.u8() !== TOKEN_VERSION) throw badToken('another version of sameroot made it');
  const shareId = reader.raw(SHARE_ID_BYTES);
  const parametersPrefix = reader.raw(PARAMETERS_PREFIX_BYTES);
  const inviterId = toHex(reader.raw(FINGERPRINT_BYTES));
  const role = ROLES[reader.u8()];
  if (role === undefined) throw badToken('it gives a role that this version does not know');
  return { shareId, parametersPrefix, inviterId, role, expiresMs: reader.u48(), secret: reader.raw(SECRET_BYTES) };
}

/** @throws {SamerootError} `TOKEN_EXPIRED` */
export function requireUnexpired(invitation: Invitation, nowMs: number): void {
  if (nowMs < invitation.expiresMs) return;
  throw new SamerootError('TOKEN_EXPIRED', `the invitation ended at ${new Date(invitation.expiresMs).toISOString()}`);
}

/** Is this the share, with these parameters, that the invitation is for? */
export function invitesTo(invitation: Invitation, shareId: Uint8Array, parametersHash: Uint8Array): boolean {
  const prefix = parametersHash.subarray(0, PARAMETERS_PREFIX_BYTES);
  return equalBytes(invitation.shareId, shareId) && equalBytes(invitation.parametersPrefix, prefix);
}

/** 16 hex digits that name an invitation and say nothing about its secret. */
export function invitationId(secret: Uint8Array): string {
  return toHex(mac(secret, utf8('id')).subarray(0, 8));
}

/**
 * @param exporter - of the channel over which the proof is sent (`Channel.exporter`)
 * @param joinerId - node id of the one who proves
 * @param inviterId - node id of the one who made the invitation
 */
export function joinProof(secret: Uint8Array, exporter: Uint8Array, joinerId: string, inviterId: string): Uint8Array {
  requireLength('exporter', exporter, EXPORTER_BYTES);
  const message = new ByteWriter()
    .sized(utf8('sameroot join 1'))
    .raw(exporter)
    .raw(fingerprintBytes('joinerId', joinerId))
    .raw(fingerprintBytes('inviterId', inviterId))
    .finish();
  return mac(secret, message);
}

/** Compares in constant time. */
export function checkJoinProof(secret: Uint8Array, exporter: Uint8Array, joinerId: string, inviterId: string, proof: Uint8Array): boolean {
  const expected = joinProof(secret, exporter, joinerId, inviterId);
  return proof.length === expected.length && timingSafeEqual(proof, expected);
}

function checksumOf(body: Uint8Array): Uint8Array {
  return hash('invite', body).subarray(0, CHECKSUM_BYTES);
}

function fingerprintBytes(name: string, id: string): Uint8Array {
  const bytes = fromHex(id);
  requireLength(name, bytes, FINGERPRINT_BYTES);
  return bytes;
}

function requireLength(name: string, bytes: Uint8Array, length: number): void {
  if (bytes.length !== length) throw new RangeError(`${name}: ${bytes.length} bytes, must be ${length}`);
}

function badToken(what: string): SamerootError {
  return new SamerootError('BAD_TOKEN', `this is not a whole token: ${what}`);
}
