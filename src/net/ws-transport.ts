/**
 * The transport over real sockets: WebSocket messages (package ws) over links (link.ts).
 *
 * Invariant: a stranger gets nothing. Before the upgrade the peer port answers an HTTP request with a bare status line,
 * and anything that is no HTTP, no TLS or has no key with silence; time, header bytes and sockets are bounded.
 *
 * Zero mask: RFC 6455 makes a client XOR its payload with 4 random bytes, to keep a script in a browser from choosing
 * the bytes that an old proxy on the way sees. No script chooses ours, and no proxy sees them: they are inside TLS, or
 * on loopback. So the mask is zero, which ws passes through without touching the payload on either side:
 * docs/PROTOCOL.md has the figures.
 */
import { Server as HttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import { Socket, type Server } from 'node:net';
import { once } from 'node:events';
import type * as Ws from 'ws';
import { SamerootError, messageOf, systemCode } from '../base/errors.ts';
import {
  CLOSE_MS_MAX,
  FRAGMENTS_MAX,
  HELLO_MS_MAX,
  HTTP_HEADER_BYTES_MAX,
  MESSAGE_BYTES_MAX,
  READS_PER_MESSAGE_MAX,
  SOCKETS_MAX,
} from '../base/limits.ts';
import type { TlsIdentity } from './identity.ts';
import { formatAddress, ignoreError, plainLinks, tlsLinks, type Link, type LinkMaker } from './link.ts';
import type { Address, Channel, Listener, ListenOptions, Transport } from './transport.ts';
import { WsChannel } from './ws-channel.ts';

/** For an `import` Node.js looks through a CommonJS package for the names that it exports: two thirds of the time that loading took. */
const { WebSocket, WebSocketServer } = createRequire(import.meta.url)('ws') as typeof Ws;

/** The number is the version of everything in docs/PROTOCOL.md. */
const PATH = '/sameroot/1';
const PORT_MAX = 65_535;
const GOING_AWAY = 1001;

/** Each option of ws that bounds or shapes something, none left to its default. */
const SHARED_OPTIONS: Ws.ClientOptions & Ws.ServerOptions & { closeTimeout: number; maxPendingAutoPongs: number } = {
  allowSynchronousEvents: true,
  autoPong: true,
  closeTimeout: CLOSE_MS_MAX,
  maxBufferedChunks: READS_PER_MESSAGE_MAX,
  maxFragments: FRAGMENTS_MAX,
  maxPayload: MESSAGE_BYTES_MAX,
  maxPendingAutoPongs: 4,
  perMessageDeflate: false,
  // A text message closes the channel whatever it holds.
  skipUTF8Validation: true,
};

/** TLS 1.3, both sides proven by their keys. */
export function createTlsTransport(identity: TlsIdentity): Transport {
  return new WsTransport(tlsLinks(identity));
}

/** Plain text between addresses of this host: nobody is proven, `remoteId` is `undefined`. */
export function createPlainTransport(): Transport {
  return new WsTransport(plainLinks());
}

class WsTransport implements Transport {
  readonly #links: LinkMaker;

  constructor(links: LinkMaker) {
    this.#links = links;
  }

  async listen(options: ListenOptions, onChannel: (channel: Channel) => void): Promise<Listener> {
    requirePort(options.port, 0);
    const host = await this.#links.resolve(options.host);
    const door = new Door(this.#links, onChannel);
    const lastPort = options.port === 0 ? 0 : Math.min(options.port + (options.tryNextPorts ?? 0), PORT_MAX);
    for (let port = options.port; ; port++) {
      try {
        await door.open(host, port);
        return door;
      } catch (error) {
        if (systemCode(error) === 'EADDRINUSE' && port < lastPort) continue;
        throw listenError(error, formatAddress(options.host, port));
      }
    }
  }

  async dial(address: Address, expect: (remoteId: string) => boolean, timeoutMs: number): Promise<Channel> {
    requirePort(address.port, 1);
    const name = formatAddress(address.host, address.port);
    const wire = new Socket();
    wire.on('error', ignoreError);
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new SamerootError('PEER_TIMEOUT', `${name} did not answer within ${timeoutMs} ms`)), timeoutMs);
    });
    try {
      return await Promise.race([this.#connect(wire, address, expect), timeout]);
    } catch (error) {
      wire.destroy();
      if (error instanceof SamerootError) throw error;
      throw new SamerootError('PEER_UNREACHABLE', `${name} could not be reached: ${messageOf(error)}`, { cause: error });
    } finally {
      clearTimeout(timer);
    }
  }

  async #connect(wire: Socket, address: Address, expect: (remoteId: string) => boolean): Promise<Channel> {
    const host = await this.#links.resolve(address.host);
    // `dial` may have given up meanwhile, and connecting would bring the socket back to life.
    if (wire.destroyed) throw new Error('given up');
    wire.connect({ host, port: address.port, noDelay: true });
    await once(wire, 'connect');
    const link = await this.#links.secure(wire, expect);
    return await upgrade(link);
  }
}

/** One listening port, the strangers in front of it and the channels that came through it. */
class Door implements Listener {
  host = '';
  port = 0;
  readonly #server: Server;
  readonly #http: HttpServer;
  readonly #frames = new WebSocketServer({ ...SHARED_OPTIONS, noServer: true, clientTracking: false });
  readonly #onChannel: (channel: Channel) => void;
  readonly #links = new WeakMap<object, Link>();
  /** Sockets that are no channels yet, each with the timer that ends it. */
  readonly #strangers = new Map<Socket, NodeJS.Timeout>();
  readonly #channels = new Set<WsChannel>();

  constructor(links: LinkMaker, onChannel: (channel: Channel) => void) {
    this.#onChannel = onChannel;
    // Never listens: it parses the requests of links handed to it, so none reaches it unproven.
    this.#http = new HttpServer({ maxHeaderSize: HTTP_HEADER_BYTES_MAX, insecureHTTPParser: false });
    this.#http.on('request', refuse);
    this.#http.on('checkContinue', refuse);
    this.#http.on('checkExpectation', refuse);
    this.#http.on('clientError', (_error, stream) => stream.destroy());
    this.#http.on('upgrade', (request, stream: Socket, head) => this.#upgrade(request, stream, head));
    this.#frames.on('wsClientError', (_error, stream) => refuseUpgrade(stream as Socket, 426));
    this.#server = links.createServer((link) => {
      this.#links.set(link.stream, link);
      this.#http.emit('connection', link.stream);
    });
    this.#server.maxConnections = SOCKETS_MAX;
    this.#server.prependListener('connection', (wire: Socket) => this.#met(wire));
  }

  async open(host: string, port: number): Promise<void> {
    this.#server.listen({ host, port });
    await once(this.#server, 'listening');
    // What goes wrong from now on is one connection's matter (EMFILE while accepting): the door stays open.
    this.#server.on('error', ignoreError);
    const bound = this.#server.address();
    if (bound === null || typeof bound === 'string') throw new TypeError('host: not an internet address');
    this.host = bound.address;
    this.port = bound.port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const wire of this.#strangers.keys()) wire.destroy();
    for (const channel of this.#channels) channel.close(GOING_AWAY);
    await closed;
  }

  #met(wire: Socket): void {
    wire.setNoDelay(true);
    wire.on('error', ignoreError);
    const timer = setTimeout(() => wire.destroy(), HELLO_MS_MAX);
    this.#strangers.set(wire, timer);
    wire.once('close', () => this.#forget(wire));
  }

  #forget(wire: Socket): void {
    clearTimeout(this.#strangers.get(wire));
    this.#strangers.delete(wire);
  }

  #upgrade(request: IncomingMessage, stream: Socket, head: Buffer): void {
    const link = this.#links.get(stream);
    // A page in a browser can reach a plain listener on loopback; it cannot help saying where it comes from.
    if (link === undefined || request.url !== PATH || request.headers.origin !== undefined) {
      refuseUpgrade(stream, 404);
      return;
    }
    this.#frames.handleUpgrade(request, stream, head, (socket) => {
      this.#forget(link.wire);
      const channel = new WsChannel(link, socket, false);
      this.#channels.add(channel);
      link.wire.once('close', () => this.#channels.delete(channel));
      this.#onChannel(channel);
    });
  }
}

function upgrade(link: Link): Promise<Channel> {
  return new Promise((resolve, reject) => {
    // The name in the URL goes into the Host header only: the connection is there already.
    const socket = new WebSocket(`ws://peer${PATH}`, {
      ...SHARED_OPTIONS,
      createConnection: () => link.stream,
      followRedirects: false,
      generateMask: (mask) => mask.fill(0),
      maxHeaderSize: HTTP_HEADER_BYTES_MAX,
    });
    socket.on('error', reject);
    socket.once('open', () => resolve(new WsChannel(link, socket, true)));
    socket.once('unexpected-response', (_request, response) => {
      reject(new SamerootError('VERSION_MISMATCH', `the host answered HTTP ${response.statusCode} at ${PATH}`));
    });
  });
}

/** A status and what HTTP demands with it: no text, no date, no name of ours. */
function refuse(request: IncomingMessage, response: ServerResponse): void {
  response.sendDate = false;
  const right = request.url === PATH;
  response.writeHead(right ? 426 : 404, { Connection: 'close', 'Content-Length': 0, ...(right ? { Upgrade: 'websocket' } : {}) });
  response.end();
}

function refuseUpgrade(stream: Socket, status: 404 | 426): void {
  const line = status === 404 ? '404 Not Found' : '426 Upgrade Required\r\nUpgrade: websocket';
  stream.end(`HTTP/1.1 ${line}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () => stream.destroy());
}

function requirePort(port: number, min: number): void {
  if (!Number.isInteger(port) || port < min || port > PORT_MAX) throw new RangeError(`port: ${port} is not from ${min} to ${PORT_MAX}`);
}

function listenError(error: unknown, address: string): unknown {
  const code = systemCode(error);
  if (code === 'EADDRINUSE') return new SamerootError('PORT_IN_USE', `${address} is taken`, { cause: error });
  const known = code === 'EACCES' || code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND' || code === 'EINVAL';
  return known ? new SamerootError('CONFIG_INVALID', `cannot listen on ${address}: ${messageOf(error)}`, { cause: error }) : error;
}
