import { createPublicKey } from 'node:crypto';
import { expect, it } from 'vitest';
import { utf8 } from '../../src/base/bytes.ts';
import { fingerprintOf, verifySignature } from '../../src/net/identity.ts';
import { simulatedIdentity } from '../../src/simulation/sim-identity.ts';

it('makes the key of RFC 8032, test 1, from its seed', () => {
  const seed = Buffer.from('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60', 'hex');
  const identity = simulatedIdentity(seed);
  const key = createPublicKey({ key: Buffer.from(identity.publicKey), format: 'der', type: 'spki' }).export({ format: 'jwk' });
  expect(Buffer.from(key.x!, 'base64url').toString('hex')).toBe('d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a');
  expect(Buffer.from(identity.sign(new Uint8Array(0))).toString('hex')).toMatch(/^e5564300c360ac729086e2cc806e828a84877f1eb8e5d974/);
});

it('signs what others can verify, under the id that they compute', () => {
  const identity = simulatedIdentity(new Uint8Array(32).fill(1));
  expect(identity.nodeId).toBe(fingerprintOf(identity.publicKey));
  expect(verifySignature(identity.publicKey, utf8('a'), identity.sign(utf8('a')))).toBe(true);
  expect(verifySignature(identity.publicKey, utf8('b'), identity.sign(utf8('a')))).toBe(false);
});

it('is the same for a seed, another for another, and refuses what is no seed', () => {
  expect(simulatedIdentity(new Uint8Array(32))).toBe(simulatedIdentity(new Uint8Array(32)));
  expect(simulatedIdentity(new Uint8Array(32).fill(2)).nodeId).not.toBe(simulatedIdentity(new Uint8Array(32)).nodeId);
  expect(() => simulatedIdentity(new Uint8Array(31))).toThrow(RangeError);
});
