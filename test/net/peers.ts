/** Real sockets on 127.0.0.1 for the tests of src/net: identities, a raw TLS peer that speaks literal bytes, waiting for events. */
// oxlint-disable-next-line import/no-unassigned-import -- it patches the global Reflect, and @peculiar/x509 wants it there first
import 'reflect-metadata';
import { X509CertificateGenerator } from '@peculiar/x509';
import { KeyObject, webcrypto } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect as connectTcp, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { loadIdentity, type TlsIdentity } from '../../src/net/identity.ts';
import type { Channel, CloseReason, Listener, Transport } from '../../src/net/transport.ts';

export const HOST = '127.0.0.1';

export async function temporaryDirectory(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'sameroot-net-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

export async function makeIdentity(): Promise<TlsIdentity> {
  await using directory = await temporaryDirectory();
  return await loadIdentity(directory.path);
}

/** A key that TLS would take and we do not. */
export async function ellipticCurvePem(): Promise<{ key: string; cert: string }> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await X509CertificateGenerator.createSelfSigned({ keys, signingAlgorithm: algorithm, name: 'CN=other' });
  const key = KeyObject.from(keys.privateKey).export({ type: 'pkcs8', format: 'pem' }).toString();
  return { key, cert: certificate.toString('pem') };
}

export interface Pair extends AsyncDisposable {
  readonly dialer: Channel;
  readonly accepted: Channel;
  readonly listener: Listener;
}

/** One connection between two transports. */
export async function connectPair(server: Transport, client: Transport = server): Promise<Pair> {
  const channels: Channel[] = [];
  const listener = await server.listen({ host: HOST, port: 0 }, (channel) => channels.push(channel));
  const dialer = await client.dial(listener, () => true, 5_000);
  await until(() => channels.length === 1);
  const accepted = channels[0]!;
  return {
    dialer,
    accepted,
    listener,
    async [Symbol.asyncDispose]() {
      dialer.close();
      await listener[Symbol.asyncDispose]();
    },
  };
}

export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}

export function closing(channel: Channel): Promise<CloseReason> {
  return new Promise((resolve) => {
    channel.onClose = resolve;
  });
}

/** The next `count` messages. */
export function receive(channel: Channel, count: number): Promise<Uint8Array[]> {
  return new Promise((resolve) => {
    const messages: Uint8Array[] = [];
    channel.onMessage = (message) => {
      messages.push(message);
      if (messages.length === count) resolve(messages);
    };
  });
}

/** What a raw socket was told until it was closed; errors count as a close. */
export class RawPeer {
  readonly socket: Socket;
  heard: Buffer = Buffer.alloc(0);
  /** TLS went through, as far as this side knows. */
  secured = false;
  readonly closed: Promise<void>;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (data) => {
      this.heard = Buffer.concat([this.heard, data]);
    });
    socket.on('secureConnect', () => {
      this.secured = true;
    });
    socket.on('error', () => {});
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
  }

  get text(): string {
    return this.heard.toString('latin1');
  }

  async hears(text: string): Promise<void> {
    await until(() => this.text.includes(text) || this.socket.destroyed);
  }
}

export function rawTcp(listener: Listener): RawPeer {
  return new RawPeer(connectTcp(listener.port, listener.host));
}

export function rawTls(listener: Listener, options: ConnectionOptions): RawPeer {
  const socket: TLSSocket = connectTls({ host: listener.host, port: listener.port, rejectUnauthorized: false, ...options });
  return new RawPeer(socket);
}

export function upgradeRequest(path: string = '/sameroot/1', more: string = ''): string {
  const key = 'dGhlIHNhbXBsZSBub25jZQ==';
  const upgrade = `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n`;
  return `GET ${path} HTTP/1.1\r\nHost: peer\r\n${upgrade}${more}\r\n`;
}

/** A WebSocket frame as a client sends it, with the given mask. */
export function frame(opcode: number, payload: Uint8Array, mask: readonly number[] = [1, 2, 3, 4], final: boolean = true): Buffer {
  const length = payload.length;
  const head = Buffer.alloc(length < 126 ? 2 : length < 65_536 ? 4 : 10);
  head[0] = opcode | (final ? 0x80 : 0);
  head[1] = 0x80 | (length < 126 ? length : length < 65_536 ? 126 : 127);
  if (head.length === 4) head.writeUInt16BE(length, 2);
  if (head.length === 10) head.writeUIntBE(length, 4, 6);
  return Buffer.concat([head, Buffer.from(mask), Buffer.from(payload).map((byte, index) => byte ^ mask[index % 4]!)]);
}
