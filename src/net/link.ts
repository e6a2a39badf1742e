/**
 * A link: from a TCP connection to a byte stream whose other end has proven which key it holds. The one place that
 * knows TLS.
 *
 * Invariant: no link exists whose peer has not proven an Ed25519 key in a full TLS 1.3 handshake of this very
 * connection, and a dialer writes nothing to a peer before that key was accepted. Certificates are envelopes: chain,
 * name and dates are not looked at (`rejectUnauthorized: false`), the TLS handshake itself proves the key.
 *
 * The plain kind is for tests and measurements on one host: loopback addresses only, checked after name resolution.
 */
import { lookup } from 'node:dns/promises';
import { BlockList, createServer as createTcpServer, isIP, type Server, type Socket } from 'node:net';
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { EMPTY_BYTES, asBuffer } from '../base/bytes.ts';
import { SamerootError } from '../base/errors.ts';
import { HELLO_MS_MAX } from '../base/limits.ts';
import { certificateFingerprint, type TlsIdentity } from './identity.ts';

export interface Link {
  /** What is said goes in and out here. */
  readonly stream: Socket;
  /** The TCP socket below; the stream itself where there is no TLS. */
  readonly wire: Socket;
  readonly remoteId: string | undefined;
  readonly exporter: Uint8Array;
}

/** A way to make links; there are two. */
export interface LinkMaker {
  /** The address to use for `host`. @throws {SamerootError} `INSECURE_ADDRESS` */
  resolve(host: string): Promise<string>;
  /** A TCP server, not yet listening, that reports each connection that has become a link and destroys those that cannot. */
  createServer(onLink: (link: Link) => void): Server;
  /** Makes a link of a TCP connection that we opened. @throws {SamerootError} `WRONG_PEER` */
  secure(wire: Socket, expect: (remoteId: string) => boolean): Promise<Link>;
}

const EXPORTER_LABEL = 'EXPORTER-sameroot-join';
export const EXPORTER_BYTES = 32;

/** The close that follows says all there is to say. */
export function ignoreError(): void {}

export function tlsLinks(identity: TlsIdentity): LinkMaker {
  const options = {
    key: identity.keyPem,
    cert: identity.certificatePem,
    minVersion: 'TLSv1.3',
    maxVersion: 'TLSv1.3',
    requestCert: true,
    rejectUnauthorized: false,
  } as const;

  function createServer(onLink: (link: Link) => void): Server {
    // A TLS socket does not tell which TCP socket it runs over; their addresses do.
    const wires = new Map<string, Socket>();
    const server = createTlsServer({ ...options, handshakeTimeout: HELLO_MS_MAX }, (stream) => {
      stream.on('error', ignoreError);
      const wire = wires.get(addressOf(stream));
      const remoteId = provenId(stream);
      if (wire === undefined || remoteId === undefined) stream.destroy();
      else onLink({ stream, wire, remoteId, exporter: exporterOf(stream) });
    });
    server.on('connection', (wire: Socket) => {
      const address = addressOf(wire);
      wires.set(address, wire);
      wire.once('close', () => {
        if (wires.get(address) === wire) wires.delete(address);
      });
    });
    server.on('tlsClientError', (_error, stream) => stream.destroy());
    return server;
  }

  function secure(wire: Socket, expect: (remoteId: string) => boolean): Promise<Link> {
    return new Promise((resolve, reject) => {
      const stream = connectTls({ ...options, socket: wire });
      stream.on('error', reject);
      stream.once('close', () => reject(new Error('it closed the connection during the TLS handshake')));
      stream.once('secureConnect', () => {
        const remoteId = provenId(stream);
        if (remoteId !== undefined && expect(remoteId)) {
          resolve({ stream, wire, remoteId, exporter: exporterOf(stream) });
          return;
        }
        stream.destroy();
        const what = remoteId === undefined ? 'no Ed25519 key' : `the key ${remoteId}`;
        reject(new SamerootError('WRONG_PEER', `the host at ${addressOf(wire)} has ${what}`));
      });
    });
  }

  return { resolve: (host) => Promise.resolve(host), createServer, secure };
}

export function plainLinks(): LinkMaker {
  function link(wire: Socket): Link {
    wire.on('error', ignoreError);
    return { stream: wire, wire, remoteId: undefined, exporter: new Uint8Array(EXPORTER_BYTES) };
  }
  return {
    resolve: resolveLoopback,
    createServer: (onLink) => createTcpServer((wire) => onLink(link(wire))),
    secure: (wire) => Promise.resolve(link(wire)),
  };
}

/** Only keys from a handshake of this connection count, so a resumed session is nobody. Neither side offers one. */
function provenId(stream: TLSSocket): string | undefined {
  return stream.isSessionReused() ? undefined : certificateFingerprint(stream.getPeerX509Certificate());
}

function exporterOf(stream: TLSSocket): Uint8Array {
  return stream.exportKeyingMaterial(EXPORTER_BYTES, EXPORTER_LABEL, asBuffer(EMPTY_BYTES));
}

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

async function resolveLoopback(host: string): Promise<string> {
  // The address is used from here on, not the name: it cannot mean something else the second time.
  const address = isIP(host) === 0 ? (await lookup(host)).address : host;
  if (loopback.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')) return address;
  throw new SamerootError('INSECURE_ADDRESS', `plain text to ${host} (${address}) would leave this host`);
}

/** `host:port` of the other end. */
export function addressOf(socket: Socket): string {
  return formatAddress(socket.remoteAddress ?? '', socket.remotePort ?? 0);
}

export function formatAddress(host: string, port: number): string {
  const plain = host.startsWith('::ffff:') ? host.slice(7) : host;
  return plain.includes(':') ? `[${plain}]:${port}` : `${plain}:${port}`;
}
