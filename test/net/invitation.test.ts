import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { SamerootError } from '../../src/base/errors.ts';
import type { Random } from '../../src/base/world.ts';
import {
  checkJoinProof,
  decodeToken,
  encodeToken,
  invitationId,
  invitesTo,
  joinProof,
  makeInvitation,
  requireUnexpired,
  type Invitation,
} from '../../src/net/invitation.ts';

const bytes = (length: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: length, maxLength: length });

const offers = fc.record({
  shareId: bytes(16),
  parametersHash: bytes(32),
  inviterId: bytes(32).map(toHex),
  role: fc.constantFrom('writer' as const, 'read-only' as const),
  expiresMs: fc.integer({ min: 0, max: 2 ** 48 - 1 }),
});
const invitations: fc.Arbitrary<Invitation> = fc.tuple(offers, bytes(32)).map(([offer, secret]) => makeInvitation(offer, randomOf(secret)));

function randomOf(secret: Uint8Array): Random {
  return { bytes: (count) => secret.slice(0, count), fraction: () => 0 };
}

function fixed(): Invitation {
  const offer = {
    shareId: new Uint8Array(16).fill(1),
    parametersHash: new Uint8Array(32).fill(2),
    inviterId: '03'.repeat(32),
    role: 'read-only' as const,
    expiresMs: 1_795_000_000_000,
  };
  return makeInvitation(offer, randomOf(new Uint8Array(32).fill(4)));
}

function badToken(token: string): string {
  try {
    decodeToken(token);
  } catch (error) {
    if (error instanceof SamerootError && error.code === 'BAD_TOKEN') return error.message;
    throw error;
  }
  throw new Error(`taken for a token: ${token}`);
}

describe('token', () => {
  test('round trip', () => {
    fc.assert(
      fc.property(invitations, (invitation) => {
        const token = encodeToken(invitation);
        expect(token).toMatch(/^sr1[A-Za-z0-9_-]{144}$/);
        const decoded = decodeToken(` ${token}\n`);
        expect({ ...decoded, shareId: toHex(decoded.shareId) }).toMatchObject({
          shareId: toHex(invitation.shareId),
          inviterId: invitation.inviterId,
          role: invitation.role,
          expiresMs: invitation.expiresMs,
        });
        expect(toHex(decoded.parametersPrefix)).toBe(toHex(invitation.parametersPrefix));
        expect(toHex(decoded.secret)).toBe(toHex(invitation.secret));
        expect(encodeToken(decoded)).toBe(token);
      }),
    );
  });

  test('a cut-off token says that it is cut off', () => {
    fc.assert(
      fc.property(invitations, fc.nat(), (invitation, at) => {
        const token = encodeToken(invitation);
        expect(badToken(token.slice(0, 3 + (at % (token.length - 3))))).toContain('cut off');
      }),
    );
  });

  test('any wrong character is found', () => {
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'.split('');
    fc.assert(
      fc.property(invitations, fc.nat(), fc.constantFrom(...alphabet), (invitation, position, character) => {
        const token = encodeToken(invitation);
        const at = 3 + (position % (token.length - 3));
        fc.pre(token[at] !== character);
        expect(badToken(token.slice(0, at) + character + token.slice(at + 1))).toContain('a character is wrong');
      }),
    );
  });

  test('other text is told apart', () => {
    const token = encodeToken(fixed());
    expect(badToken('')).toContain('starts with sr1');
    expect(badToken(`sr2${token.slice(3)}`)).toContain('starts with sr1');
    expect(badToken(`${token}A`)).toContain('too long');
    expect(badToken(`${token.slice(0, 40)}=${token.slice(41)}`)).toContain('no token has');
    expect(badToken(`${token.slice(0, 40)} ${token.slice(40)}`)).toContain('no token has');
  });

  test('an unknown role or version with a right checksum is refused', () => {
    expect(badToken(encodeToken({ ...fixed(), role: 'owner' as 'writer' }))).toContain('role');
  });

  test('bad arguments are named', () => {
    const good = {
      shareId: new Uint8Array(16),
      parametersHash: new Uint8Array(32),
      inviterId: '03'.repeat(32),
      role: 'writer' as const,
      expiresMs: 0,
    };
    const random = randomOf(new Uint8Array(32));
    expect(() => makeInvitation({ ...good, shareId: new Uint8Array(15) }, random)).toThrow(/^shareId/);
    expect(() => makeInvitation({ ...good, parametersHash: new Uint8Array(16) }, random)).toThrow(/^parametersHash/);
    expect(() => makeInvitation({ ...good, inviterId: '03' }, random)).toThrow(/^inviterId/);
    expect(() => makeInvitation({ ...good, expiresMs: 2 ** 48 }, random)).toThrow(/^expiresMs/);
    expect(() => makeInvitation({ ...good, expiresMs: 0.5 }, random)).toThrow(/^expiresMs/);
  });

  test('ends when it says, and is for one share with one set of parameters', () => {
    const invitation = fixed();
    requireUnexpired(invitation, invitation.expiresMs - 1);
    expect(() => requireUnexpired(invitation, invitation.expiresMs)).toThrow(expect.objectContaining({ code: 'TOKEN_EXPIRED' }));
    const share = new Uint8Array(16).fill(1);
    const parameters = new Uint8Array(32).fill(2);
    expect(invitesTo(invitation, share, parameters)).toBe(true);
    expect(invitesTo(invitation, share.with(0, 9), parameters)).toBe(false);
    expect(invitesTo(invitation, share, parameters.with(15, 9))).toBe(false);
  });
});

describe('proof', () => {
  const secret = new Uint8Array(32).fill(4);
  const exporter = new Uint8Array(32).fill(5);
  const joiner = '06'.repeat(32);
  const inviter = '07'.repeat(32);

  test('holds for this secret, channel, joiner and inviter only', () => {
    const proof = joinProof(secret, exporter, joiner, inviter);
    expect(proof.length).toBe(32);
    expect(checkJoinProof(secret, exporter, joiner, inviter, proof)).toBe(true);
    expect(checkJoinProof(secret.with(31, 0), exporter, joiner, inviter, proof)).toBe(false);
    expect(checkJoinProof(secret, exporter.with(31, 0), joiner, inviter, proof)).toBe(false);
    expect(checkJoinProof(secret, exporter, inviter, joiner, proof)).toBe(false);
    expect(checkJoinProof(secret, exporter, `${joiner.slice(2)}00`, inviter, proof)).toBe(false);
    expect(checkJoinProof(secret, exporter, joiner, `${inviter.slice(2)}00`, proof)).toBe(false);
    expect(checkJoinProof(secret, exporter, joiner, inviter, proof.subarray(1))).toBe(false);
    expect(checkJoinProof(secret, exporter, joiner, inviter, proof.slice().with(0, proof[0]! ^ 1))).toBe(false);
    expect(() => joinProof(secret, new Uint8Array(0), joiner, inviter)).toThrow(/^exporter/);
  });

  test('the id of an invitation is stable and different for every secret', () => {
    expect(invitationId(secret)).toMatch(/^[0-9a-f]{16}$/);
    expect(invitationId(secret)).toBe(invitationId(secret.slice()));
    expect(invitationId(secret)).not.toBe(invitationId(secret.with(0, 0)));
    expect(toHex(secret)).not.toContain(invitationId(secret));
  });

  // Another implementation can check itself against these; a change here is a new protocol version.
  test('golden values', () => {
    expect({
      token: encodeToken(fixed()),
      id: invitationId(secret),
      proof: toHex(joinProof(secret, exporter, joiner, inviter)),
    }).toMatchInlineSnapshot(`
      {
        "id": "212de7c207631538",
        "proof": "834d408bb06dfebba870172438692f6249ee65f7f92090fe1ebbb5faf152bbfd",
        "token": "sr1AQEBAQEBAQEBAQEBAQEBAQECAgICAgICAgICAgICAgICAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMBAaHuVl4ABAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBASJus1a",
      }
    `);
  });
});
