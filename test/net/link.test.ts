/** Who gets through to a peer port, and what the others hear: nothing. */
import { createServer as createTcpServer, type AddressInfo } from 'node:net';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { HELLO_MS_MAX, HTTP_HEADER_BYTES_MAX, SOCKETS_MAX } from '../../src/base/limits.ts';
import { plainLinks } from '../../src/net/link.ts';
import type { Channel } from '../../src/net/transport.ts';
import { createPlainTransport, createTlsTransport } from '../../src/net/ws-transport.ts';
import { closing, connectPair, ellipticCurvePem, HOST, makeIdentity, rawTcp, rawTls, upgradeRequest, type RawPeer } from './peers.ts';

const [server, client, stranger] = await Promise.all([makeIdentity(), makeIdentity(), makeIdentity()]);
const curve = await ellipticCurvePem();
const clientPem = { key: client.keyPem, cert: client.certificatePem };

async function listening() {
  const channels: Channel[] = [];
  const listener = await createTlsTransport(server).listen({ host: HOST, port: 0 }, (channel) => channels.push(channel));
  return { listener, channels, [Symbol.asyncDispose]: () => listener[Symbol.asyncDispose]() };
}

/** A TLS server that is no node, and how many bytes it was told inside TLS. */
async function otherServer(options: TlsOptions) {
  let told = 0;
  let handshakes = 0;
  const other = createTlsServer(options, (socket) => {
    handshakes++;
    socket.on('error', () => {});
    socket.on('data', (data) => (told += data.length));
  });
  await new Promise<void>((resolve) => other.listen(0, HOST, resolve));
  return {
    port: (other.address() as AddressInfo).port,
    told: () => ({ handshakes, told }),
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => other.close(() => resolve())),
  };
}

describe('the dialer checks the key', () => {
  test('the right key gets through, and both know whom they talk to', async () => {
    const asked: string[] = [];
    await using pair = await connectPair(createTlsTransport(server), createTlsTransport(client));
    expect(pair.dialer.remoteId).toBe(server.nodeId);
    expect(pair.accepted.remoteId).toBe(client.nodeId);
    expect([pair.dialer.dialed, pair.accepted.dialed]).toEqual([true, false]);
    expect(pair.dialer.remoteAddress).toBe(`${HOST}:${pair.listener.port}`);
    const again = await createTlsTransport(client).dial(pair.listener, (id) => asked.push(id) > 0, 5_000);
    expect(asked).toEqual([server.nodeId]);
    again.close();
  });

  test('a wrong key: WRONG_PEER, and not a byte of HTTP is said', async () => {
    await using other = await otherServer({
      key: stranger.keyPem,
      cert: stranger.certificatePem,
      requestCert: true,
      rejectUnauthorized: false,
    });
    const dialed = createTlsTransport(client).dial({ host: HOST, port: other.port }, (id) => id === server.nodeId, 5_000);
    await expect(dialed).rejects.toMatchObject({ code: 'WRONG_PEER', message: expect.stringContaining(stranger.nodeId) });
    await other[Symbol.asyncDispose]();
    expect(other.told().told).toBe(0);
  });

  test('a node whose key was replaced is not the node it was', async () => {
    const first = await connectPair(createTlsTransport(server), createTlsTransport(client));
    const { port } = first.listener;
    await first[Symbol.asyncDispose]();
    const channels: Channel[] = [];
    await using _second = await createTlsTransport(stranger).listen({ host: HOST, port }, (channel) => channels.push(channel));
    const dialed = createTlsTransport(client).dial({ host: HOST, port }, (id) => id === server.nodeId, 5_000);
    await expect(dialed).rejects.toMatchObject({ code: 'WRONG_PEER' });
    expect(channels).toEqual([]);
  });

  test('a key that is not Ed25519: WRONG_PEER without being asked', async () => {
    await using other = await otherServer({ ...curve, requestCert: true, rejectUnauthorized: false });
    let asked = 0;
    const dialed = createTlsTransport(client).dial({ host: HOST, port: other.port }, () => ++asked > 0, 5_000);
    await expect(dialed).rejects.toMatchObject({ code: 'WRONG_PEER' });
    await other[Symbol.asyncDispose]();
    expect({ asked, ...other.told() }).toMatchObject({ asked: 0, told: 0 });
  });

  test('a server without TLS 1.3, or without TLS', async () => {
    await using other = await otherServer({ key: server.keyPem, cert: server.certificatePem, maxVersion: 'TLSv1.2' });
    await expect(createTlsTransport(client).dial({ host: HOST, port: other.port }, () => true, 5_000)).rejects.toMatchObject({
      code: 'PEER_UNREACHABLE',
    });
    await using plain = await createPlainTransport().listen({ host: HOST, port: 0 }, () => {});
    await expect(createTlsTransport(client).dial(plain, () => true, 5_000)).rejects.toMatchObject({ code: 'PEER_UNREACHABLE' });
  });
});

describe('the peer port', () => {
  test('without a certificate: closed, and not a word of HTTP', async () => {
    await using door = await listening();
    const peer = rawTls(door.listener, {});
    peer.socket.write(upgradeRequest());
    await peer.closed;
    expect(peer.secured).toBe(true);
    expect(peer.text).toBe('');
    expect(door.channels).toEqual([]);
  });

  test('a certificate of another kind of key: the same', async () => {
    await using door = await listening();
    const peer = rawTls(door.listener, curve);
    peer.socket.write(upgradeRequest());
    await peer.closed;
    expect(peer.text).toBe('');
    expect(door.channels).toEqual([]);
  });

  test('TLS 1.2 with a good key: no handshake', async () => {
    await using door = await listening();
    const peer = rawTls(door.listener, { ...clientPem, maxVersion: 'TLSv1.2' });
    peer.socket.write(upgradeRequest());
    await peer.closed;
    expect(peer.secured).toBe(false);
    expect(door.channels).toEqual([]);
  });

  test('plain HTTP and garbage: no HTTP in answer', async () => {
    await using door = await listening();
    for (const text of [upgradeRequest(), 'GET / HTTP/1.1\r\n\r\n', '\x00'.repeat(1000), '\x16\x03\x01\x00\x05hello']) {
      const peer = rawTcp(door.listener);
      peer.socket.write(text, 'latin1');
      await peer.closed;
      // At most a TLS alert record (21) of two bytes.
      expect(peer.heard.length).toBeLessThanOrEqual(7);
      expect(peer.heard.length === 0 || peer.heard[0] === 21).toBe(true);
    }
    expect(door.channels).toEqual([]);
  });

  test('a session is never resumed', async () => {
    await using door = await listening();
    let session: Buffer | undefined;
    const first = rawTls(door.listener, clientPem);
    first.socket.on('session', (ticket: Buffer) => (session = ticket));
    first.socket.write(upgradeRequest('/'));
    await first.closed;
    expect(session).toBeDefined();
    const second = rawTls(door.listener, { ...clientPem, session: session! });
    second.socket.write(upgradeRequest());
    await second.closed;
    expect(second.text).toBe('');
    expect(door.channels).toEqual([]);
  });

  test('a known way of asking for anything but the upgrade gets a bare status', async () => {
    await using door = await listening();
    const status404 = 'HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n';
    const status426 = 'HTTP/1.1 426 Upgrade Required\r\nConnection: close\r\nContent-Length: 0\r\nUpgrade: websocket\r\n\r\n';
    const upgrade426 = 'HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: close\r\nContent-Length: 0\r\n\r\n';
    const asked: [string, string][] = [
      ['GET / HTTP/1.1\r\nHost: x\r\n\r\n', status404],
      ['GET /sameroot/1 HTTP/1.1\r\nHost: x\r\n\r\n', status426],
      ['POST /sameroot/1 HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n', status426],
      [upgradeRequest('/sameroot/2'), status404],
      [upgradeRequest('/sameroot/1?x'), status404],
      [upgradeRequest('/sameroot/1', 'Origin: http://evil.example\r\n'), status404],
      [upgradeRequest('/sameroot/1').replace('Version: 13', 'Version: 99'), upgrade426],
      [upgradeRequest('/sameroot/1').replace('Upgrade: websocket', 'Upgrade: h2c'), upgrade426],
      ['CONNECT / HTTP/1.1\r\nHost: x\r\n\r\n', ''],
      ['no http at all\r\n\r\n', ''],
      [upgradeRequest('/sameroot/1', `X: ${'x'.repeat(HTTP_HEADER_BYTES_MAX)}\r\n`), ''],
    ];
    for (const [request, answer] of asked) {
      const peer = rawTls(door.listener, clientPem);
      peer.socket.write(request);
      await peer.closed;
      expect(peer.text, request).toBe(answer);
    }
    expect(door.channels).toEqual([]);
    const peer = rawTls(door.listener, clientPem);
    peer.socket.write(upgradeRequest());
    await peer.hears('\r\n\r\n');
    expect(peer.text).toMatch(/^HTTP\/1.1 101 /);
    expect(door.channels.map((channel) => channel.remoteId)).toEqual([client.nodeId]);
    peer.socket.destroy();
  });
});

describe('the exporter', () => {
  test('is equal on both sides and different on every channel', async () => {
    await using one = await connectPair(createTlsTransport(server), createTlsTransport(client));
    await using two = await connectPair(createTlsTransport(server), createTlsTransport(client));
    const hex = (channel: Channel) => Buffer.from(channel.exporter()).toString('hex');
    expect(hex(one.dialer)).toMatch(/^[0-9a-f]{64}$/);
    expect(hex(one.dialer)).toBe(hex(one.accepted));
    expect(hex(two.dialer)).toBe(hex(two.accepted));
    expect(hex(two.dialer)).not.toBe(hex(one.dialer));
    one.accepted.onMessage = () => {};
    one.dialer.close();
    await closing(one.dialer);
    expect(hex(one.dialer)).toBe(hex(one.accepted));
  });

  test('is zero in plain text, where nobody is anybody', async () => {
    await using pair = await connectPair(createPlainTransport());
    expect(pair.dialer.remoteId).toBeUndefined();
    expect(pair.accepted.remoteId).toBeUndefined();
    expect(pair.dialer.exporter()).toEqual(new Uint8Array(32));
  });
});

describe('plain text', () => {
  test('stays on this host', async () => {
    const plain = createPlainTransport();
    for (const host of ['0.0.0.0', '192.0.2.1', '10.0.0.1', '128.0.0.1', '::', '::2', 'fe80::1', '::ffff:192.0.2.1']) {
      await expect(
        plain.listen({ host, port: 0 }, () => {}),
        host,
      ).rejects.toMatchObject({ code: 'INSECURE_ADDRESS' });
      await expect(
        plain.dial({ host, port: 7440 }, () => true, 5_000),
        host,
      ).rejects.toMatchObject({ code: 'INSECURE_ADDRESS' });
    }
  });

  test('a name is judged by what it resolves to', async () => {
    const links = plainLinks();
    expect(['127.0.0.1', '::1']).toContain(await links.resolve('localhost'));
    expect(await links.resolve('127.9.8.7')).toBe('127.9.8.7');
    expect(await links.resolve('::ffff:127.0.0.1')).toBe('::ffff:127.0.0.1');
  });
});

test('a listener that hangs up before TLS', async () => {
  const rude = createTcpServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => rude.listen(0, HOST, resolve));
  const { port } = rude.address() as AddressInfo;
  const dialed = createTlsTransport(client).dial({ host: HOST, port }, () => true, 5_000);
  await expect(dialed).rejects.toMatchObject({ code: 'PEER_UNREACHABLE' });
  await new Promise((resolve) => rude.close(resolve));
});

describe('strangers', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  test('have HELLO_MS_MAX from the first packet to the upgrade, wherever they stop', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    await using door = await listening();
    const peers = [
      rawTcp(door.listener),
      rawTls(door.listener, clientPem),
      rawTls(door.listener, clientPem),
      rawTls(door.listener, clientPem),
    ];
    peers[2]!.socket.write(upgradeRequest().slice(0, 50));
    peers[3]!.socket.write(upgradeRequest());
    await turnsUntil(() => peers.slice(1).every((peer) => peer.secured) && door.channels.length === 1);
    await turns(20);
    vi.advanceTimersByTime(HELLO_MS_MAX - 1);
    await turns(20);
    expect(peers.map((peer) => peer.socket.destroyed)).toEqual([false, false, false, false]);
    vi.advanceTimersByTime(1);
    await Promise.all(peers.slice(0, 3).map((peer) => peer.closed));
    await turns(20);
    expect(peers[3]!.socket.destroyed).toBe(false);
    peers[3]!.socket.destroy();
  });

  test('are SOCKETS_MAX at most', async () => {
    await using door = await listening();
    const peers: RawPeer[] = [];
    for (let count = 0; count < SOCKETS_MAX; count++) peers.push(rawTcp(door.listener));
    await turnsUntil(() => peers.every((peer) => peer.socket.readyState === 'open'));
    const oneMore = rawTls(door.listener, clientPem);
    await oneMore.closed;
    expect(oneMore.secured).toBe(false);
    expect(peers.every((peer) => !peer.socket.destroyed)).toBe(true);
    peers[0]!.socket.destroy();
    await peers[0]!.closed;
    await turns(20);
    const inItsPlace = rawTls(door.listener, clientPem);
    inItsPlace.socket.write(upgradeRequest());
    await inItsPlace.hears('\r\n\r\n');
    expect(inItsPlace.text).toMatch(/^HTTP\/1.1 101 /);
    for (const peer of [...peers, inItsPlace]) peer.socket.destroy();
  });
});

/** Lets real sockets work for some turns of the event loop, with the timers standing still. */
async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}

async function turnsUntil(condition: () => boolean): Promise<void> {
  while (!condition()) await turns(1);
}
