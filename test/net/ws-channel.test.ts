import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  MESSAGE_BYTES_MAX,
  PEER_SILENCE_MS_MAX,
  PING_EVERY_MS,
  SEND_HIGH_WATER_BYTES,
  SEND_LOW_WATER_BYTES,
} from '../../src/base/limits.ts';
import { WsChannel, type FrameSocket } from '../../src/net/ws-channel.ts';
import type { CloseReason } from '../../src/net/transport.ts';

/** A WebSocket that does what the test says. */
class FakeSocket extends EventEmitter implements FrameSocket {
  bufferedAmount = 0;
  paused = false;
  pings = 0;
  terminated = false;
  closed: CloseReason[] = [];
  readonly done: ((error?: Error) => void)[] = [];

  send(message: Uint8Array, _options: object, done: (error?: Error) => void): void {
    this.bufferedAmount += message.length;
    this.done.push((error) => {
      this.bufferedAmount -= message.length;
      done(error);
    });
  }
  ping(): void {
    this.pings++;
  }
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }
  close(code: number, text: string): void {
    this.closed.push({ code, text });
  }
  terminate(): void {
    this.terminated = true;
    this.emit('close', 1006, Buffer.alloc(0));
  }
}

function setUp() {
  const wire = Object.assign(new EventEmitter(), { remoteAddress: '::ffff:10.0.0.7', remotePort: 7440, bytesRead: 0, bytesWritten: 0 });
  const socket = new FakeSocket();
  const stream = wire as unknown as Socket;
  const channel = new WsChannel({ stream, wire: stream, remoteId: 'ab', exporter: new Uint8Array(32) }, socket, true);
  const seen: string[] = [];
  const listen = () => {
    channel.onMessage = (message) => seen.push(Buffer.from(message).toString());
  };
  const close = () => {
    channel.onClose = ({ code, text }) => seen.push(`closed ${code} ${text}`);
  };
  const hear = (text: string) => socket.emit('message', Buffer.from(text), true);
  return { wire, socket, channel, seen, listen, close, hear };
}

const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe('order', () => {
  test('it reads nothing until somebody listens', async () => {
    const { socket, seen, listen, hear } = setUp();
    expect(socket.paused).toBe(true);
    hear('one');
    hear('two');
    listen();
    expect(seen).toEqual([]);
    hear('three');
    await settled();
    expect(socket.paused).toBe(false);
    expect(seen).toEqual(['one', 'two', 'three']);
  });

  test('taking onMessage away in the middle holds the rest back', async () => {
    const { socket, channel, seen, listen, hear } = setUp();
    channel.onMessage = (message) => {
      seen.push(Buffer.from(message).toString());
      channel.onMessage = undefined;
    };
    await settled();
    for (const text of ['one', 'two', 'three']) hear(text);
    expect(seen).toEqual(['one']);
    expect(socket.paused).toBe(true);
    listen();
    await settled();
    expect(seen).toEqual(['one', 'two', 'three']);
    expect(socket.paused).toBe(false);
  });

  test('the close comes last, once, and to a late listener too', async () => {
    const { socket, channel, seen, listen, close, hear } = setUp();
    hear('one');
    socket.emit('close', 4001, Buffer.from('why'));
    await settled();
    listen();
    close();
    await settled();
    expect(seen).toEqual(['one', 'closed 4001 why']);
    close();
    hear('late');
    await settled();
    expect(seen).toEqual(['one', 'closed 4001 why']);
    expect(channel.bufferedBytes).toBe(0);
  });

  test('after our close no message arrives, and the reason is ours', async () => {
    const { socket, channel, seen, listen, close, hear } = setUp();
    hear('waiting');
    listen();
    close();
    channel.close(4002, 'enough');
    channel.close(4003, 'again');
    hear('late');
    channel.send(Buffer.from('late'));
    expect(socket.paused).toBe(false);
    socket.emit('close', 4009, Buffer.from('theirs'));
    await settled();
    expect(seen).toEqual(['closed 4002 enough']);
    expect(socket.closed).toEqual([{ code: 4002, text: 'enough' }]);
    expect(channel.sentBytes).toBe(0);
  });
});

describe('what goes wrong', () => {
  test.each([
    ['WS_ERR_UNSUPPORTED_MESSAGE_LENGTH', 'closed 1009 LIMIT_EXCEEDED'],
    ['WS_ERR_TOO_MANY_BUFFERED_PARTS', 'closed 1008 LIMIT_EXCEEDED'],
    ['WS_ERR_INVALID_OPCODE', 'closed 1002 BAD_MESSAGE'],
    ['ECONNRESET', 'closed 1006 ECONNRESET'],
  ])('%s', async (code, expected) => {
    const { socket, seen, close } = setUp();
    close();
    socket.emit('error', Object.assign(new Error('bad'), { code }));
    socket.emit('close', 1000, Buffer.alloc(0));
    await settled();
    expect(seen).toEqual([expected]);
  });

  test('a text message', async () => {
    const { socket, seen, listen, close } = setUp();
    listen();
    close();
    await settled();
    socket.emit('message', Buffer.from('text'), false);
    expect(socket.closed).toEqual([{ code: 1003, text: 'BAD_MESSAGE' }]);
    socket.emit('close', 1003, Buffer.alloc(0));
    await settled();
    expect(seen).toEqual(['closed 1003 BAD_MESSAGE']);
  });
});

describe('silence', () => {
  const ticks = (count: number) => vi.advanceTimersByTime(count * PING_EVERY_MS);
  const ticksAllowed = Math.ceil(PEER_SILENCE_MS_MAX / PING_EVERY_MS);

  test('a peer from which nothing comes is given up', async () => {
    const { wire, socket, seen, listen, close } = setUp();
    listen();
    close();
    await settled();
    wire.bytesRead = 100;
    ticks(ticksAllowed);
    expect(socket.terminated).toBe(false);
    ticks(1);
    await settled();
    expect(socket.terminated).toBe(true);
    expect(seen).toEqual(['closed 1006 PEER_TIMEOUT']);
    const { pings } = socket;
    ticks(5);
    expect(socket.pings).toBe(pings);
  });

  test('any byte on the wire is a sign of life', async () => {
    const { wire, socket, listen } = setUp();
    listen();
    await settled();
    for (let tick = 0; tick < 50; tick++) {
      wire.bytesRead++;
      ticks(ticksAllowed - 1);
    }
    expect(socket.terminated).toBe(false);
    expect(socket.pings).toBe(50 * (ticksAllowed - 1));
  });

  test('while we do not read, the silence is ours', async () => {
    const { socket } = setUp();
    ticks(50);
    expect(socket.terminated).toBe(false);
    expect(socket.pings).toBe(50);
  });
});

describe('sending', () => {
  test('onDrain: once, at the low-water mark, and only after the high-water mark', () => {
    const { socket, channel } = setUp();
    const drained: number[] = [];
    channel.onDrain = () => drained.push(channel.bufferedBytes);
    const step = SEND_LOW_WATER_BYTES / 2;
    channel.send(new Uint8Array(SEND_HIGH_WATER_BYTES));
    socket.done.shift()!();
    expect(drained).toEqual([]);
    for (let sent = 0; sent <= SEND_HIGH_WATER_BYTES; sent += step) channel.send(new Uint8Array(step));
    while (socket.done.length > 0) socket.done.shift()!();
    expect(drained).toEqual([SEND_LOW_WATER_BYTES]);
  });

  test('a message over the limit is our bug', () => {
    const { channel } = setUp();
    expect(() => channel.send(new Uint8Array(MESSAGE_BYTES_MAX + 1))).toThrow(RangeError);
    channel.send(new Uint8Array(MESSAGE_BYTES_MAX));
    expect(channel.sentBytes).toBe(MESSAGE_BYTES_MAX);
  });
});

test('addresses', () => {
  expect(setUp().channel.remoteAddress).toBe('10.0.0.7:7440');
});

test('a large message that shares its buffer is copied, any other is not', async () => {
  const { socket, channel } = setUp();
  const messages: Uint8Array[] = [];
  channel.onMessage = (message) => messages.push(message);
  await settled();
  const shared = Buffer.from(new ArrayBuffer(100_000), 100, 70_000).fill(3);
  const own = Buffer.from(new ArrayBuffer(70_000)).fill(4);
  const small = Buffer.from(new ArrayBuffer(100_000), 100, 65_536).fill(5);
  for (const data of [shared, own, small]) socket.emit('message', data, true);
  expect(messages.map((message) => message.buffer.byteLength)).toEqual([70_000, 70_000, 100_000]);
  expect(Buffer.compare(messages[0]!, shared)).toBe(0);
  expect(messages[1]!.buffer).toBe(own.buffer);
  expect(messages[2]!.buffer).toBe(small.buffer);
});
