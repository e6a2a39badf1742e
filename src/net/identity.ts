/**
 * Who this node is: an Ed25519 key pair, and the self-signed certificate that carries it into TLS.
 *
 * Invariant: `nodeId` is the SHA-256 of the public key (SPKI, DER) and nothing else; name, dates and signature of the
 * certificate mean nothing to anybody. The private key is written once, readable by its owner only, and never half.
 *
 * Why SHA-256 and not the BLAKE3 of everything else: `openssl` can show it (docs/PROTOCOL.md has the line).
 */
import { createHash, createPrivateKey, createPublicKey, KeyObject, sign, verify, webcrypto, X509Certificate } from 'node:crypto';
import { mkdir, open, rename, rm, type FileHandle } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type * as X509 from '@peculiar/x509';
import { toHex } from '../base/bytes.ts';
import { SamerootError, systemCode, messageOf } from '../base/errors.ts';

export interface Identity {
  /** 64 hex digits: the fingerprint of the public key. */
  readonly nodeId: string;
  /** SPKI, DER. */
  readonly publicKey: Uint8Array;
  sign(bytes: Uint8Array): Uint8Array;
}

/** With what TLS needs to prove it. */
export interface TlsIdentity extends Identity {
  readonly keyPem: string;
  readonly certificatePem: string;
}

const FILE_NAME = 'identity.pem';
const FILE_BYTES_MAX = 16_384;
const OTHERS_MODE = 0o077;

/** Hex SHA-256 of a public key (SPKI, DER). */
export function fingerprintOf(publicKey: Uint8Array): string {
  return createHash('sha256').update(publicKey).digest('hex');
}

/** Ed25519. `false` also where `publicKey` is not an Ed25519 key at all: both come from peers. */
export function verifySignature(publicKey: Uint8Array, bytes: Uint8Array, signature: Uint8Array): boolean {
  try {
    const key = publicKeyOf(publicKey);
    return key.asymmetricKeyType === 'ed25519' && verify(null, bytes, key, signature);
  } catch {
    return false;
  }
}

const KEYS_MAX = 512;
const keys = new Map<string, KeyObject>();

/** Reading a key takes as long as verifying with it, and there are few keys. @throws whatever Node.js makes of bad bytes */
function publicKeyOf(bytes: Uint8Array): KeyObject {
  const id = toHex(bytes);
  const known = keys.get(id);
  if (known !== undefined) return known;
  const key = createPublicKey({ key: Buffer.from(bytes), format: 'der', type: 'spki' });
  if (keys.size >= KEYS_MAX) keys.clear();
  keys.set(id, key);
  return key;
}

/** The fingerprint of the key in a peer's certificate, or `undefined` where there is none or it is not Ed25519. */
export function certificateFingerprint(certificate: X509Certificate | undefined): string | undefined {
  const key = certificate?.publicKey;
  return key?.asymmetricKeyType === 'ed25519' ? fingerprintOf(spkiOf(key)) : undefined;
}

/**
 * The identity kept in `dataDir`; made on first use. One process at a time may use a data folder.
 * @throws {SamerootError} `IDENTITY_DAMAGED`, `IDENTITY_EXPOSED` (others may read it), `IO_ERROR`, `DISK_FULL`
 */
export async function loadIdentity(dataDir: string): Promise<TlsIdentity> {
  const path = join(dataDir, FILE_NAME);
  try {
    const text = await readPrivate(path);
    if (text !== undefined) return parse(text, path);
    const made = await makePem();
    await writePrivate(dataDir, path, made);
    return parse(made, path);
  } catch (error) {
    if (error instanceof SamerootError) throw error;
    const code = systemCode(error) === 'ENOSPC' ? 'DISK_FULL' : 'IO_ERROR';
    throw new SamerootError(code, `the identity could not be read or written: ${messageOf(error)}`, { cause: error, path });
  }
}

function spkiOf(key: KeyObject): Uint8Array {
  return key.export({ type: 'spki', format: 'der' });
}

function parse(text: string, path: string): TlsIdentity {
  const keyPem = pemBlock(text, 'PRIVATE KEY');
  const certificatePem = pemBlock(text, 'CERTIFICATE');
  if (keyPem === undefined || certificatePem === undefined) throw damaged(path, 'it does not hold a key and a certificate');
  try {
    const key = createPrivateKey(keyPem);
    const certificate = new X509Certificate(certificatePem);
    if (key.asymmetricKeyType !== 'ed25519') throw damaged(path, 'its key is not an Ed25519 key');
    if (!certificate.checkPrivateKey(key) || !certificate.verify(certificate.publicKey)) {
      throw damaged(path, 'its certificate is not that of its key');
    }
    const publicKey = spkiOf(certificate.publicKey);
    return { nodeId: fingerprintOf(publicKey), keyPem, certificatePem, publicKey, sign: (bytes) => sign(null, bytes, key) };
  } catch (error) {
    throw error instanceof SamerootError ? error : damaged(path, messageOf(error), error);
  }
}

function pemBlock(text: string, label: string): string | undefined {
  return new RegExp(`-----BEGIN ${label}-----\\n[A-Za-z0-9+/=\\n]+-----END ${label}-----\\n`).exec(text)?.[0];
}

function damaged(path: string, what: string, cause?: unknown): SamerootError {
  return new SamerootError('IDENTITY_DAMAGED', `the identity file ${path} is damaged: ${what}`, { cause, path });
}

async function makePem(): Promise<string> {
  // Loaded here because it takes 0.1 s and only the first start of a node needs it; by `require` because `import` takes twice that.
  await import('reflect-metadata');
  const { X509CertificateGenerator } = createRequire(import.meta.url)('@peculiar/x509') as typeof X509;
  const keys = (await webcrypto.subtle.generateKey('Ed25519', true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
  const certificate = await X509CertificateGenerator.createSelfSigned({
    keys,
    signingAlgorithm: { name: 'Ed25519' },
    name: 'CN=sameroot',
    serialNumber: toHex(Uint8Array.of(1)),
    // Pinned keys do not expire, and a host whose clock is wrong must still be let in: RFC 5280, 4.1.2.5.
    notBefore: new Date(0),
    notAfter: new Date('9999-12-31T23:59:59Z'),
  });
  const key = KeyObject.from(keys.privateKey).export({ type: 'pkcs8', format: 'pem' });
  return `${key.toString().trim()}\n${certificate.toString('pem').trim()}\n`;
}

async function readPrivate(path: string): Promise<string | undefined> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const stat = await file.stat();
    if (!stat.isFile()) throw damaged(path, 'it is not a file');
    if ((stat.mode & OTHERS_MODE) !== 0) {
      throw new SamerootError('IDENTITY_EXPOSED', `the mode of ${path}, which holds the private key, lets others in`, { path });
    }
    if (stat.size > FILE_BYTES_MAX) throw damaged(path, 'it is too long');
    return await file.readFile('latin1');
  } finally {
    await file.close();
  }
}

/** Under a temporary name first: after a crash there is a whole identity or none, and the next start removes the rest. */
async function writePrivate(dataDir: string, path: string, text: string): Promise<void> {
  const temporary = `${path}.new`;
  await mkdir(dataDir, { recursive: true });
  await rm(temporary, { force: true });
  const file = await open(temporary, 'wx', 0o600);
  try {
    // The umask may have taken the owner's bits.
    await file.chmod(0o600);
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  const directory = await open(dataDir, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
