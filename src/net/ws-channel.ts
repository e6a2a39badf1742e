/**
 * A channel over a WebSocket: order of events, liveness, accounting. It sees the WebSocket through `FrameSocket` only.
 *
 * Invariants: `onMessage` and `onClose` run after the turn that set them, in order, and no message follows the close.
 * A message above SHARED_BUFFER_BYTES_MAX owns its ArrayBuffer, so it can be transferred to a worker.
 * A peer that sends nothing at all, not even pongs, for PEER_SILENCE_MS_MAX is gone.
 */
import { systemCode, type ErrorCode } from '../base/errors.ts';
import {
  MESSAGE_BYTES_MAX,
  PEER_SILENCE_MS_MAX,
  PING_EVERY_MS,
  SEND_HIGH_WATER_BYTES,
  SEND_LOW_WATER_BYTES,
  SHARED_BUFFER_BYTES_MAX,
} from '../base/limits.ts';
import { noteDeadBuffers } from './dead-buffers.ts';
import { addressOf, type Link } from './link.ts';
import type { Channel, CloseReason } from './transport.ts';

/** What a channel uses of a WebSocket. */
export interface FrameSocket {
  readonly bufferedAmount: number;
  on(event: 'message', listener: (data: Buffer, isBinary: boolean) => void): unknown;
  on(event: 'close', listener: (code: number, text: Buffer) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  send(message: Uint8Array, options: { readonly binary: boolean; readonly compress: boolean }, done: (error?: Error) => void): void;
  ping(): void;
  pause(): void;
  resume(): void;
  close(code: number, text: string): void;
  terminate(): void;
}

const SEND_OPTIONS = { binary: true, compress: false };
/** Status codes of RFC 6455, section 7.4.1. */
const CLOSED_NORMALLY = 1000;
const PROTOCOL_ERROR = 1002;
const NOT_BINARY = 1003;
const BROKEN = 1006;
const POLICY = 1008;
const TOO_LARGE = 1009;

export class WsChannel implements Channel {
  readonly remoteId: string | undefined;
  readonly remoteAddress: string;
  readonly dialed: boolean;
  onDrain: (() => void) | undefined = undefined;
  sentBytes = 0;
  receivedBytes = 0;
  readonly #link: Link;
  readonly #socket: FrameSocket;
  readonly #pinger: NodeJS.Timeout;
  #onMessage: ((message: Uint8Array) => void) | undefined = undefined;
  #onClose: ((reason: CloseReason) => void) | undefined = undefined;
  /** Messages of one socket read that came after `onMessage` was taken away. */
  #waiting: Uint8Array[] = [];
  /** Why it ends, once known here; what the peer says afterwards does not count. */
  #reason: CloseReason | undefined = undefined;
  #closed = false;
  /** `onClose` was called. */
  #told = false;
  #flushing = false;
  #aboveHighWater = false;
  #heardBytes = 0;
  #silentTicks = 0;

  /** To be called in the very turn in which `socket` opened: what it reads before is lost. */
  constructor(link: Link, socket: FrameSocket, dialed: boolean) {
    this.#link = link;
    this.#socket = socket;
    this.remoteId = link.remoteId;
    this.remoteAddress = addressOf(link.wire);
    this.dialed = dialed;
    socket.pause();
    socket.on('message', (data, isBinary) => this.#received(data, isBinary));
    socket.on('error', (error) => this.#failed(error));
    socket.on('close', (code, text) => this.#ended(code, text.toString()));
    link.stream.on('error', (error) => this.#failed(error));
    this.#pinger = setInterval(() => this.#tick(), PING_EVERY_MS);
  }

  get onMessage(): ((message: Uint8Array) => void) | undefined {
    return this.#onMessage;
  }

  set onMessage(handler: ((message: Uint8Array) => void) | undefined) {
    this.#onMessage = handler;
    if (handler === undefined) this.#socket.pause();
    else this.#flushSoon();
  }

  get onClose(): ((reason: CloseReason) => void) | undefined {
    return this.#onClose;
  }

  set onClose(handler: ((reason: CloseReason) => void) | undefined) {
    this.#onClose = handler;
    this.#flushSoon();
  }

  get bufferedBytes(): number {
    return this.#closed ? 0 : this.#socket.bufferedAmount;
  }

  get wireSentBytes(): number {
    return this.#link.wire.bytesWritten;
  }

  get wireReceivedBytes(): number {
    return this.#link.wire.bytesRead;
  }

  exporter(): Uint8Array {
    return this.#link.exporter;
  }

  send(message: Uint8Array, taken?: () => void): void {
    if (message.length > MESSAGE_BYTES_MAX) throw new RangeError(`message: ${message.length} bytes are over ${MESSAGE_BYTES_MAX}`);
    if (this.#reason !== undefined || this.#closed) return;
    this.sentBytes += message.length;
    this.#socket.send(message, SEND_OPTIONS, (error) => {
      if (error === undefined || error === null) taken?.();
      this.#written();
    });
    if (this.#socket.bufferedAmount > SEND_HIGH_WATER_BYTES) this.#aboveHighWater = true;
  }

  close(code: number = CLOSED_NORMALLY, text: string = ''): void {
    if (this.#reason !== undefined || this.#closed) return;
    this.#socket.close(code, text);
    this.#reason = { code, text };
    this.#waiting = [];
    // Paused, it would not see the peer's answer.
    this.#socket.resume();
  }

  #written(): void {
    if (!this.#aboveHighWater || this.#closed || this.#socket.bufferedAmount > SEND_LOW_WATER_BYTES) return;
    this.#aboveHighWater = false;
    this.onDrain?.();
  }

  #received(data: Buffer, isBinary: boolean): void {
    if (this.#reason !== undefined || this.#closed) return;
    if (!isBinary) {
      this.close(NOT_BINARY, 'BAD_MESSAGE' satisfies ErrorCode);
      return;
    }
    this.receivedBytes += data.length;
    noteDeadBuffers(data.length);
    const message = ownBuffer(data);
    if (this.#onMessage === undefined || this.#waiting.length > 0) this.#waiting.push(message);
    else this.#onMessage(message);
  }

  #failed(error: Error): void {
    const code = systemCode(error) ?? '';
    if (code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH') this.#reason ??= { code: TOO_LARGE, text: 'LIMIT_EXCEEDED' satisfies ErrorCode };
    else if (code === 'WS_ERR_TOO_MANY_BUFFERED_PARTS') this.#reason ??= { code: POLICY, text: 'LIMIT_EXCEEDED' satisfies ErrorCode };
    else if (code.startsWith('WS_ERR_')) this.#reason ??= { code: PROTOCOL_ERROR, text: 'BAD_MESSAGE' satisfies ErrorCode };
    else this.#reason ??= { code: BROKEN, text: code };
  }

  #ended(code: number, text: string): void {
    clearInterval(this.#pinger);
    this.#closed = true;
    this.#reason ??= { code, text };
    this.#flushSoon();
  }

  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  /** Delivers what waits. A handler may close the channel or take `onMessage` away in the middle. */
  #flush(): void {
    let delivered = 0;
    while (delivered < this.#waiting.length && this.#onMessage !== undefined) this.#onMessage(this.#waiting[delivered++]!);
    this.#waiting.splice(0, delivered);
    if (!this.#closed) {
      if (this.#onMessage !== undefined) this.#socket.resume();
      return;
    }
    if (this.#onClose === undefined || this.#told) return;
    this.#told = true;
    this.#waiting = [];
    this.#onClose(this.#reason!);
  }

  /**
   * Counts ticks, not time: a stall of our own process is not the peer's silence. Both sides ping, so that bulk data
   * queued before our ping cannot make a living peer look dead. While paused we do not listen, and blame nobody.
   */
  #tick(): void {
    const heardBytes = this.wireReceivedBytes;
    this.#silentTicks = heardBytes === this.#heardBytes && this.#onMessage !== undefined ? this.#silentTicks + 1 : 0;
    this.#heardBytes = heardBytes;
    if (this.#silentTicks * PING_EVERY_MS < PEER_SILENCE_MS_MAX) {
      this.#socket.ping();
      return;
    }
    this.#reason ??= { code: BROKEN, text: 'PEER_TIMEOUT' satisfies ErrorCode };
    this.#socket.terminate();
  }
}

/**
 * ws 8.23 gives a message that came in one socket read as a view of that read, and collects any other into a buffer of
 * its own (`Buffer.allocUnsafe`, unpooled from 4 KiB up). A read is at most 64 KiB, so a larger message is a view only
 * where a dying socket gives up all it holds in one read: that rare one is copied.
 */
function ownBuffer(data: Buffer): Uint8Array {
  if (data.length <= SHARED_BUFFER_BYTES_MAX || data.length === data.buffer.byteLength) return data;
  return new Uint8Array(data);
}
