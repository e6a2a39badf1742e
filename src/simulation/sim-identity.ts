/**
 * Identities of simulated hosts: real Ed25519 keys whose private half is drawn from the seed, so that node ids, signatures and
 * whatever depends on their order are the same in every run of a history.
 *
 * They have no certificate: it would only carry the key into TLS, and the simulated network proves keys without it.
 * Kept per seed, because making a key takes about a millisecond and 100,000 histories use the same handful.
 */
import { createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { toHex } from '../base/bytes.ts';
import { fingerprintOf, type Identity } from '../net/identity.ts';

const SEED_BYTES = 32;
/** PKCS #8 of an Ed25519 key (RFC 8410, section 7) up to the 32 bytes that are the key. */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');

const known = new Map<string, Identity>();

/** The identity whose private key is `seed`, 32 bytes. */
export function simulatedIdentity(seed: Uint8Array): Identity {
  if (seed.length !== SEED_BYTES) throw new RangeError(`seed: ${seed.length} bytes are not ${SEED_BYTES}`);
  const name = toHex(seed);
  const identity = known.get(name) ?? makeIdentity(seed);
  known.set(name, identity);
  return identity;
}

function makeIdentity(seed: Uint8Array): Identity {
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' });
  const publicKey = new Uint8Array(createPublicKey(key).export({ type: 'spki', format: 'der' }));
  return {
    nodeId: fingerprintOf(publicKey),
    publicKey,
    sign: (bytes) => sign(null, bytes, key),
  };
}
