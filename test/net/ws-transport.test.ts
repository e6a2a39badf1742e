/** Messages, closes, ports and limits over real sockets. */
import { pbkdf2 } from 'node:crypto';
import { lookup } from 'node:dns';
import { createServer as createTcpServer, type AddressInfo, type Socket } from 'node:net';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { MESSAGE_BYTES_MAX, SEND_HIGH_WATER_BYTES, SEND_LOW_WATER_BYTES } from '../../src/base/limits.ts';
import { checkJoinProof, joinProof } from '../../src/net/invitation.ts';
import type { Channel, Transport } from '../../src/net/transport.ts';
import { createPlainTransport, createTlsTransport } from '../../src/net/ws-transport.ts';
import { closing, connectPair, frame, HOST, makeIdentity, rawTls, receive, until, upgradeRequest } from './peers.ts';

const [server, client] = await Promise.all([makeIdentity(), makeIdentity()]);
const kinds: [string, () => Transport, () => Transport][] = [
  ['TLS', () => createTlsTransport(server), () => createTlsTransport(client)],
  ['plain', createPlainTransport, createPlainTransport],
];
const TEXT = 1;
const BINARY = 2;
const CLOSE = 8;
const PING = 9;

/** Bytes that differ at every place a frame could be cut or masked. */
function pattern(length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let at = 0; at < length; at++) bytes[at] = (at * 31 + (at >> 8)) & 0xff;
  return bytes;
}

/** A raw peer whose upgrade was answered, and the channel that came of it. */
async function upgraded() {
  const channels: Channel[] = [];
  const listener = await createTlsTransport(server).listen({ host: HOST, port: 0 }, (channel) => channels.push(channel));
  const peer = rawTls(listener, { key: client.keyPem, cert: client.certificatePem });
  peer.socket.setNoDelay(true);
  peer.socket.write(upgradeRequest());
  await peer.hears('\r\n\r\n');
  return {
    peer,
    channel: channels[0]!,
    [Symbol.asyncDispose]: () => {
      // It would not answer the close.
      peer.socket.destroy();
      return listener[Symbol.asyncDispose]();
    },
  };
}

describe.each(kinds)('messages (%s)', (_name, makeServer, makeClient) => {
  test('arrive whole and in order, both ways, at every size at which the framing changes', async () => {
    await using pair = await connectPair(makeServer(), makeClient());
    const sizes = [0, 1, 125, 126, 127, 65_535, 65_536, 65_537, 1_048_576, MESSAGE_BYTES_MAX, 0];
    for (const [from, to] of [
      [pair.dialer, pair.accepted],
      [pair.accepted, pair.dialer],
    ] as const) {
      const received = receive(to, sizes.length);
      for (const size of sizes) from.send(pattern(size));
      const messages = await received;
      expect(messages.map((message) => message.length)).toEqual(sizes);
      for (const message of messages) expect(Buffer.compare(message, pattern(message.length))).toBe(0);
      const total = sizes.reduce((sum, size) => sum + size, 0);
      expect([from.sentBytes, to.receivedBytes]).toEqual([total, total]);
      expect(to.wireReceivedBytes).toBeGreaterThan(total);
      expect(to.wireReceivedBytes).toBe(from.wireSentBytes);
    }
  });

  test('a message over 64 KiB can be transferred, and takes no other bytes with it', async () => {
    await using pair = await connectPair(makeServer(), makeClient());
    const received = receive(pair.accepted, 40);
    for (let index = 0; index < 40; index++) pair.dialer.send(pattern(65_537 + index * 1_000));
    for (const message of await received) {
      expect(message.buffer.byteLength).toBe(message.length);
      const moved = structuredClone(message, { transfer: [message.buffer as ArrayBuffer] });
      expect(message.length).toBe(0);
      expect(Buffer.compare(moved, pattern(moved.length))).toBe(0);
    }
  });

  test('none is lost before somebody listens', async () => {
    await using pair = await connectPair(makeServer(), makeClient());
    for (let index = 0; index < 100; index++) {
      pair.dialer.send(Uint8Array.of(index));
      pair.accepted.send(Uint8Array.of(index));
    }
    await until(() => pair.dialer.bufferedBytes + pair.accepted.bufferedBytes === 0);
    await new Promise((resolve) => setTimeout(resolve, 20));
    const all = Array.from({ length: 100 }, (_value, index) => index);
    expect((await receive(pair.accepted, 100)).map((message) => message[0])).toEqual(all);
    expect((await receive(pair.dialer, 100)).map((message) => message[0])).toEqual(all);
  });

  test('a message sent in the very turn of the accept arrives', async () => {
    await using listener = await makeServer().listen({ host: HOST, port: 0 }, (channel) => channel.send(Uint8Array.of(7)));
    const dialer = await makeClient().dial(listener, () => true, 5_000);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect((await receive(dialer, 1))[0]).toEqual(Buffer.of(7));
  });

  test('a reader who stops stops the sender, and onDrain tells when it goes on', async () => {
    await using pair = await connectPair(makeServer(), makeClient());
    const message = pattern(1_048_576);
    let sent = 0;
    let drains = 0;
    pair.dialer.onDrain = () => {
      drains++;
      expect(pair.dialer.bufferedBytes).toBeLessThanOrEqual(SEND_LOW_WATER_BYTES);
    };
    // More than any socket buffer of the operating system holds.
    for (; sent < 32; sent++) pair.dialer.send(message);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(pair.dialer.bufferedBytes).toBeGreaterThan(SEND_HIGH_WATER_BYTES);
    expect(drains).toBe(0);
    await receive(pair.accepted, sent);
    await until(() => pair.dialer.bufferedBytes === 0);
    expect(drains).toBe(1);
  });
});

describe('frames', () => {
  test('delivered in pieces, cut at every byte', async () => {
    await using raw = await upgraded();
    const bytes = Buffer.concat([0, 1, 125, 126, 300].map((size) => frame(BINARY, pattern(size))));
    const received = receive(raw.channel, 5);
    for (const byte of bytes) {
      raw.peer.socket.write(Uint8Array.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect((await received).map((message) => Buffer.from(message))).toEqual([0, 1, 125, 126, 300].map(pattern));
  });

  test('many in one piece; masked or not; in fragments around a ping', async () => {
    await using raw = await upgraded();
    const received = receive(raw.channel, 3);
    const zero = [0, 0, 0, 0];
    raw.peer.socket.write(
      Buffer.concat([
        frame(BINARY, pattern(200), zero),
        frame(BINARY, pattern(200)),
        frame(BINARY, pattern(100), zero, false),
        frame(PING, Buffer.from('hello')),
        frame(0, pattern(200).subarray(100)),
      ]),
    );
    for (const message of await received) expect(Buffer.compare(message, pattern(200))).toBe(0);
    await raw.peer.hears('hello');
    expect(raw.peer.text).toContain('\x8a\x05hello');
  });

  test.each([
    ['a text message', frame(TEXT, Buffer.from('hello')), 1003, 'BAD_MESSAGE'],
    ['a text message that is no text', frame(TEXT, Buffer.of(0xff)), 1003, 'BAD_MESSAGE'],
    ['a message over the limit', frame(BINARY, pattern(MESSAGE_BYTES_MAX + 1)).subarray(0, 100), 1009, 'LIMIT_EXCEEDED'],
    ['an unknown opcode', frame(5, pattern(5)), 1002, 'BAD_MESSAGE'],
    ['no mask', Buffer.of(0x82, 0x01, 0x00), 1002, 'BAD_MESSAGE'],
    ['a compressed message', Buffer.of(0xc2, 0x80, 0, 0, 0, 0), 1002, 'BAD_MESSAGE'],
    [
      'too many fragments',
      Buffer.concat(Array.from({ length: 20 }, (_v, at) => frame(at === 0 ? BINARY : 0, pattern(1), [0, 0, 0, 0], false))),
      1008,
      'LIMIT_EXCEEDED',
    ],
  ])('%s closes the channel', async (_name, bytes, code, text) => {
    await using raw = await upgraded();
    const messages: Uint8Array[] = [];
    raw.channel.onMessage = (message) => messages.push(message);
    const closed = closing(raw.channel);
    raw.peer.socket.write(bytes);
    await until(() => raw.peer.heard.includes(Buffer.of(code >> 8, code & 0xff)));
    raw.peer.socket.end(frame(CLOSE, Buffer.of(code >> 8, code & 0xff)));
    expect(await closed).toEqual({ code, text });
    expect(messages).toEqual([]);
  });

  test('a peer that pings and does not read the answers is dropped', async () => {
    await using raw = await upgraded();
    const closed = closing(raw.channel);
    raw.channel.onMessage = () => {};
    raw.peer.socket.pause();
    const pings = Buffer.concat(Array.from({ length: 20_000 }, () => frame(PING, pattern(125))));
    while (!raw.peer.socket.destroyed) {
      if (raw.peer.socket.writableLength < 1_000_000) raw.peer.socket.write(pings);
      if (await Promise.race([closed.then(() => true), new Promise<false>((resolve) => setTimeout(() => resolve(false), 1))])) break;
    }
    expect((await closed).code).toBe(1006);
    raw.peer.socket.destroy();
  });
});

describe('closing', () => {
  test('both sides learn the code; what was queued arrives first', async () => {
    await using pair = await connectPair(createTlsTransport(server), createTlsTransport(client));
    const received = receive(pair.accepted, 3);
    const [ours, theirs] = [closing(pair.dialer), closing(pair.accepted)];
    for (let index = 0; index < 3; index++) pair.dialer.send(pattern(1_000_000));
    pair.dialer.close(4001, 'CLOSED');
    pair.dialer.send(pattern(1));
    expect((await received).length).toBe(3);
    expect(await ours).toEqual({ code: 4001, text: 'CLOSED' });
    expect(await theirs).toEqual({ code: 4001, text: 'CLOSED' });
    expect(pair.accepted.receivedBytes).toBe(3_000_000);
  });

  test('a bad code or text is a bad argument, and closes nothing', async () => {
    await using pair = await connectPair(createTlsTransport(server), createTlsTransport(client));
    expect(() => pair.dialer.close(999)).toThrow(TypeError);
    expect(() => pair.dialer.close(1000, 'x'.repeat(124))).toThrow(RangeError);
    const received = receive(pair.accepted, 1);
    pair.dialer.send(pattern(1));
    expect((await received).length).toBe(1);
  });

  test('a connection that breaks is told as 1006', async () => {
    await using raw = await upgraded();
    raw.channel.onMessage = () => {};
    const closed = closing(raw.channel);
    raw.peer.socket.destroy();
    expect((await closed).code).toBe(1006);
  });

  test('a listener takes its channels and its strangers with it', async () => {
    const pair = await connectPair(createTlsTransport(server), createTlsTransport(client));
    const stranger = rawTls(pair.listener, { key: client.keyPem, cert: client.certificatePem });
    await until(() => stranger.secured);
    pair.dialer.onMessage = () => {};
    const closed = closing(pair.dialer);
    await pair.listener[Symbol.asyncDispose]();
    expect((await closed).code).toBe(1001);
    await stranger.closed;
    await pair.listener[Symbol.asyncDispose]();
    await expect(createTlsTransport(client).dial(pair.listener, () => true, 5_000)).rejects.toMatchObject({ code: 'PEER_UNREACHABLE' });
  });
});

describe('ports', () => {
  test('a taken port: PORT_IN_USE, or the next free one where that is wanted', async () => {
    const transport = createTlsTransport(server);
    await using first = await transport.listen({ host: HOST, port: 0 }, () => {});
    const { port } = first;
    await expect(transport.listen({ host: HOST, port }, () => {})).rejects.toMatchObject({ code: 'PORT_IN_USE' });
    await using next = await transport.listen({ host: HOST, port, tryNextPorts: 20 }, () => {});
    expect(next.port).toBeGreaterThan(port);
    expect(next.port).toBeLessThanOrEqual(port + 20);
    const dialer = await createTlsTransport(client).dial(next, () => true, 5_000);
    dialer.close();
  });

  test('an address of another host, and no port at all', async () => {
    const transport = createTlsTransport(server);
    await expect(transport.listen({ host: '192.0.2.1', port: 0 }, () => {})).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    await expect(transport.listen({ host: HOST, port: 65_536 }, () => {})).rejects.toThrow(/^port/);
    await expect(transport.dial({ host: HOST, port: 0 }, () => true, 5_000)).rejects.toThrow(/^port/);
  });

  test('nobody there', async () => {
    const listener = await createTlsTransport(server).listen({ host: HOST, port: 0 }, () => {});
    await listener[Symbol.asyncDispose]();
    await expect(createTlsTransport(client).dial(listener, () => true, 5_000)).rejects.toMatchObject({ code: 'PEER_UNREACHABLE' });
  });

  test('somebody there who says nothing: PEER_TIMEOUT, and the socket is closed', async () => {
    const sockets: Socket[] = [];
    const silent = createTcpServer((socket) => {
      sockets.push(socket);
      socket.on('error', () => {}).resume();
    });
    await new Promise<void>((resolve) => silent.listen(0, HOST, resolve));
    const { port } = silent.address() as AddressInfo;
    for (const transport of [createTlsTransport(client), createPlainTransport()]) {
      await expect(transport.dial({ host: HOST, port }, () => true, 50)).rejects.toMatchObject({ code: 'PEER_TIMEOUT' });
    }
    await until(() => sockets.length === 2 && sockets.every((socket) => socket.destroyed || socket.readableEnded));
    await new Promise((resolve) => silent.close(resolve));
  });

  test('a dial that was given up does not connect later', async () => {
    let connections = 0;
    const waiting = createTcpServer((socket) => {
      connections++;
      socket.destroy();
    });
    await new Promise<void>((resolve) => waiting.listen(0, HOST, resolve));
    const { port } = waiting.address() as AddressInfo;
    // Name resolution waits in line behind these.
    const busy = Array.from({ length: 8 }, () => promisify(pbkdf2)('', '', 40_000, 32, 'sha512'));
    await expect(createPlainTransport().dial({ host: 'localhost', port }, () => true, 1)).rejects.toMatchObject({ code: 'PEER_TIMEOUT' });
    await Promise.all(busy);
    await promisify(lookup)('localhost');
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(connections).toBe(0);
    await new Promise((resolve) => waiting.close(resolve));
  });

  test('a node of another protocol version: VERSION_MISMATCH', async () => {
    const other = createTcpServer((socket) =>
      socket
        .on('error', () => {})
        .resume()
        .end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n'),
    );
    await new Promise<void>((resolve) => other.listen(0, HOST, resolve));
    const { port } = other.address() as AddressInfo;
    await expect(createPlainTransport().dial({ host: HOST, port }, () => true, 5_000)).rejects.toMatchObject({ code: 'VERSION_MISMATCH' });
    await new Promise((resolve) => other.close(resolve));
  });
});

test('a join proof made on one channel is worth nothing on another', async () => {
  await using one = await connectPair(createTlsTransport(server), createTlsTransport(client));
  await using two = await connectPair(createTlsTransport(server), createTlsTransport(client));
  const secret = new Uint8Array(32).fill(4);
  const proof = joinProof(secret, one.dialer.exporter(), client.nodeId, server.nodeId);
  expect(checkJoinProof(secret, one.accepted.exporter(), one.accepted.remoteId!, server.nodeId, proof)).toBe(true);
  expect(checkJoinProof(secret, two.accepted.exporter(), two.accepted.remoteId!, server.nodeId, proof)).toBe(false);
});
