import { createHash, createPrivateKey, generateKeyPairSync, sign, verify, X509Certificate } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { utf8 } from '../../src/base/bytes.ts';
import { certificateFingerprint, fingerprintOf, loadIdentity, verifySignature } from '../../src/net/identity.ts';
import { ellipticCurvePem, makeIdentity, temporaryDirectory } from './peers.ts';

describe('loadIdentity', () => {
  test('makes a key on first use, readable by its owner only, and finds it again', async () => {
    await using directory = await temporaryDirectory();
    const dataDir = join(directory.path, 'not', 'there', 'yet');
    const made = await loadIdentity(dataDir);
    expect((await stat(join(dataDir, 'identity.pem'))).mode & 0o777).toBe(0o600);
    expect(await readdir(dataDir)).toEqual(['identity.pem']);
    const found = await loadIdentity(dataDir);
    expect(found.nodeId).toBe(made.nodeId);
    expect(found.keyPem).toBe(made.keyPem);
    expect(found.certificatePem).toBe(made.certificatePem);
    expect(made.nodeId).toMatch(/^[0-9a-f]{64}$/);
    expect((await makeIdentity()).nodeId).not.toBe(made.nodeId);
  });

  test('the node id is the SHA-256 of the public key, and the certificate says nothing about the host', async () => {
    const identity = await makeIdentity();
    const certificate = new X509Certificate(identity.certificatePem);
    expect(identity.nodeId).toBe(createHash('sha256').update(identity.publicKey).digest('hex'));
    expect(identity.nodeId).toBe(fingerprintOf(identity.publicKey));
    expect(identity.nodeId).toBe(certificateFingerprint(certificate));
    expect(certificate.subject).toBe('CN=sameroot');
    expect(certificate.validTo).toBe('Dec 31 23:59:59 9999 GMT');
  });

  test('a strict umask does not take the key away from its owner', async () => {
    await using directory = await temporaryDirectory();
    const umask = process.umask(0o777);
    try {
      await loadIdentity(directory.path);
    } finally {
      process.umask(umask);
    }
    expect((await stat(join(directory.path, 'identity.pem'))).mode & 0o777).toBe(0o600);
  });

  test('what a crash left of an earlier try is removed', async () => {
    await using directory = await temporaryDirectory();
    await writeFile(join(directory.path, 'identity.pem.new'), 'half', { mode: 0o644 });
    await loadIdentity(directory.path);
    expect(await readdir(directory.path)).toEqual(['identity.pem']);
    expect((await stat(join(directory.path, 'identity.pem'))).mode & 0o777).toBe(0o600);
  });

  test.each([0o640, 0o604, 0o620, 0o601])('a key that others may touch (mode %o) is refused', async (mode) => {
    await using directory = await temporaryDirectory();
    await loadIdentity(directory.path);
    await chmod(join(directory.path, 'identity.pem'), mode);
    await expect(loadIdentity(directory.path)).rejects.toMatchObject({ code: 'IDENTITY_EXPOSED' });
  });

  test('a damaged file is refused and left as it is', async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'identity.pem');
    const identity = await loadIdentity(directory.path);
    const whole = await readFile(path, 'latin1');
    const other = await makeIdentity();
    const curve = await ellipticCurvePem();
    const half = whole.length >> 1;
    const broken = [
      '',
      'x'.repeat(20_000),
      identity.keyPem,
      identity.certificatePem,
      whole.slice(0, -30),
      identity.keyPem + other.certificatePem,
      `${curve.key.trim()}\n${curve.cert.trim()}\n`,
      `${whole.slice(0, half)}${whole[half] === 'A' ? 'B' : 'A'}${whole.slice(half + 1)}`,
    ];
    for (const text of broken) {
      await writeFile(path, text, { mode: 0o600 });
      await expect(loadIdentity(directory.path), text).rejects.toMatchObject({ code: 'IDENTITY_DAMAGED', path });
      expect(await readFile(path, 'latin1')).toBe(text);
    }
    await writeFile(path, whole);
    expect((await loadIdentity(directory.path)).nodeId).toBe(identity.nodeId);
  });

  test('where it cannot be kept, that is said', async () => {
    await using directory = await temporaryDirectory();
    await mkdir(join(directory.path, 'identity.pem.new'));
    await expect(loadIdentity(directory.path)).rejects.toMatchObject({ code: 'IO_ERROR' });
    await writeFile(join(directory.path, 'file'), '');
    await expect(loadIdentity(join(directory.path, 'file'))).rejects.toMatchObject({ code: 'IO_ERROR' });
  });
});

describe('signatures', () => {
  test('hold for these bytes, this key and an Ed25519 key only', async () => {
    const [identity, other] = await Promise.all([makeIdentity(), makeIdentity()]);
    const bytes = utf8('a member list');
    const signature = identity.sign(bytes);
    expect(signature.length).toBe(64);
    expect(verifySignature(identity.publicKey, bytes, signature)).toBe(true);
    expect(verifySignature(other.publicKey, bytes, signature)).toBe(false);
    expect(verifySignature(identity.publicKey, utf8('a member lisT'), signature)).toBe(false);
    expect(verifySignature(identity.publicKey, bytes, signature.subarray(1))).toBe(false);
    expect(verifySignature(utf8('no key'), bytes, signature)).toBe(false);
    const curve = await ellipticCurvePem();
    const curveKey = new X509Certificate(curve.cert).publicKey.export({ type: 'spki', format: 'der' });
    expect(createPrivateKey(curve.key).asymmetricKeyType).toBe('ec');
    expect(verifySignature(curveKey, bytes, signature)).toBe(false);
    expect(certificateFingerprint(new X509Certificate(curve.cert))).toBeUndefined();
    const other448 = generateKeyPairSync('ed448');
    const signature448 = sign(null, bytes, other448.privateKey);
    expect(verify(null, bytes, other448.publicKey, signature448)).toBe(true);
    expect(verifySignature(other448.publicKey.export({ type: 'spki', format: 'der' }), bytes, signature448)).toBe(false);
  });
});
