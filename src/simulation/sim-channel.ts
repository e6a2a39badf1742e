/**
 * One end of a simulated connection: the `Channel` that a node holds, with the timing and the order of events of the real one
 * (net/ws-channel.ts), and what it can know of a peer that is silent.
 *
 * Invariants: `onMessage` and `onClose` run after the turn that set them, in order; no message follows the close; nothing at all is
 * called once the host is dead. The two ends learn of a break each by itself, so a connection may be half-open.
 *
 * The real channel pings all the time. Here an end begins to look after its peer only when something happened that a ping
 * would find (`suspect`): a quiet connection costs no events.
 */
import { assert } from '../base/assert.ts';
import { EMPTY_BYTES, equalBytes } from '../base/bytes.ts';
import { CLOSE_MS_MAX, MESSAGE_BYTES_MAX, PEER_SILENCE_MS_MAX, PING_EVERY_MS } from '../base/limits.ts';
import type { ErrorCode } from '../base/errors.ts';
import type { Channel, CloseReason } from '../net/transport.ts';
import { Pipe, type NetworkFaults, type Parcel } from './sim-pipe.ts';
import type { SeededRandom } from './random.ts';
import { runFor, type VirtualTime } from './virtual-time.ts';

/** One incarnation of a host on the network. */
export interface Party {
  readonly nodeId: string;
  readonly host: string;
  readonly alive: () => boolean;
  /** Asked before each effect on the network; the host may die there. */
  readonly effect?: (kind: 'send' | 'dial' | 'close') => void;
}

/** Asks the hook of a host about an effect. @returns whether the host lives on to have it */
export function livesTo(party: Party, kind: 'send' | 'dial' | 'close'): boolean {
  runFor(party.alive, () => party.effect?.(kind));
  return party.alive();
}

/** What the ends of a connection ask of the network between them. */
export interface ChannelGround {
  readonly time: VirtualTime;
  readonly random: SeededRandom;
  /** Compare what was sent with what the sender holds when it arrives. */
  readonly checkSenders: boolean;
  faults(): NetworkFaults;
  /** Does a packet from `source` get to `target` now? */
  reaches(source: string, target: string): boolean;
  /** Has the host an operating system that answers for its processes? */
  isUp(host: string): boolean;
  bytesPerMs(source: string, target: string): number;
  messageSent(source: Party, target: Party, bytes: number): void;
  closed(channel: SimChannel, reason: CloseReason): void;
}

export interface ChannelOptions {
  readonly ground: ChannelGround;
  readonly party: Party;
  readonly remote: Party;
  readonly remoteAddress: string;
  readonly dialed: boolean;
  readonly exporter: Uint8Array;
}

const CLOSED_NORMALLY = 1000;
const BROKEN = 1006;
/** About what a WebSocket frame in a TLS record adds to a message, and TLS with both certificates to a connection. */
const FRAME_OVERHEAD_BYTES = 30;
const HANDSHAKE_BYTES = 1_500;

export class SimChannel implements Channel {
  readonly party: Party;
  readonly remote: Party;
  readonly remoteAddress: string;
  readonly dialed: boolean;
  onDrain: (() => void) | undefined = undefined;
  sentBytes = 0;
  receivedBytes = 0;
  wireSentBytes: number = HANDSHAKE_BYTES;
  wireReceivedBytes: number = HANDSHAKE_BYTES;
  readonly #ground: ChannelGround;
  readonly #exporter: Uint8Array;
  readonly #outgoing: Pipe;
  #peer: SimChannel | undefined;
  #onMessage: ((message: Uint8Array) => void) | undefined = undefined;
  #onClose: ((reason: CloseReason) => void) | undefined = undefined;
  /** What arrived and was not read. */
  #arrived: Parcel[] = [];
  #state: 'open' | 'closing' | 'closed' = 'open';
  #reason: CloseReason | undefined = undefined;
  #told = false;
  #flushing = false;
  #suspicious = false;
  #silentTicks = 0;

  constructor(options: ChannelOptions) {
    const { ground, party, remote } = options;
    this.party = party;
    this.remote = remote;
    this.remoteAddress = options.remoteAddress;
    this.dialed = options.dialed;
    this.#ground = ground;
    this.#exporter = options.exporter;
    this.#outgoing = new Pipe({
      time: ground.time,
      random: ground.random,
      faults: () => ground.faults(),
      reaches: () => ground.reaches(party.host, remote.host),
      bytesPerMs: () => ground.bytesPerMs(party.host, remote.host),
      arrive: (parcel) => this.#other.#arrive(parcel),
      drained: () => this.#call(() => this.onDrain?.()),
    });
  }

  /** Makes two ends one connection. */
  static join(dialer: SimChannel, acceptor: SimChannel): void {
    dialer.#peer = acceptor;
    acceptor.#peer = dialer;
  }

  get remoteId(): string {
    return this.remote.nodeId;
  }

  get isClosed(): boolean {
    return this.#state === 'closed';
  }

  get peer(): SimChannel {
    return this.#other;
  }

  get onMessage(): ((message: Uint8Array) => void) | undefined {
    return this.#onMessage;
  }

  set onMessage(handler: ((message: Uint8Array) => void) | undefined) {
    this.#onMessage = handler;
    if (handler !== undefined) this.#flushSoon();
  }

  get onClose(): ((reason: CloseReason) => void) | undefined {
    return this.#onClose;
  }

  set onClose(handler: ((reason: CloseReason) => void) | undefined) {
    this.#onClose = handler;
    this.#flushSoon();
  }

  get bufferedBytes(): number {
    return this.isClosed ? 0 : this.#outgoing.bufferedBytes;
  }

  exporter(): Uint8Array {
    return this.#exporter;
  }

  send(message: Uint8Array, taken?: () => void): void {
    if (message.length > MESSAGE_BYTES_MAX) throw new RangeError(`message: ${message.length} bytes are over ${MESSAGE_BYTES_MAX}`);
    if (this.#state !== 'open' || !livesTo(this.party, 'send')) return;
    this.sentBytes += message.length;
    this.wireSentBytes += message.length + FRAME_OVERHEAD_BYTES;
    // A copy, as the other host has it: it owns its buffer, and may give it away.
    const bytes = new Uint8Array(message);
    const given = taken === undefined ? undefined : (): void => void (this.party.alive() && taken());
    this.#outgoing.send({ bytes, reason: undefined, original: this.#ground.checkSenders ? message : undefined, taken: given });
    this.#ground.messageSent(this.party, this.remote, message.length);
  }

  close(code: number = CLOSED_NORMALLY, text: string = ''): void {
    if (this.#state !== 'open' || !livesTo(this.party, 'close')) return;
    this.#state = 'closing';
    this.#reason = { code, text };
    this.#readNothingMore();
    this.#outgoing.send({ bytes: EMPTY_BYTES, reason: this.#reason, original: undefined });
    this.#ground.time.schedule(CLOSE_MS_MAX, () => this.break(''));
  }

  /** This end finds that the connection is no more. The other finds out by itself, sooner or later. */
  break(text: string): void {
    if (this.isClosed) return;
    this.#outgoing.lose();
    this.#finish({ code: BROKEN, text });
    this.#other.suspect();
  }

  /** Whatever is under way either way is lost, from now on and for ever; neither end knows yet. */
  sever(): void {
    this.#outgoing.lose();
    this.#other.#outgoing.lose();
  }

  /** The host of this end has died. `abruptly`: what the operating system had taken does not arrive any more, either. */
  die(abruptly: boolean): void {
    if (this.isClosed) return;
    this.#outgoing.forgetWaiting();
    if (abruptly) this.#outgoing.lose();
    else this.#outgoing.send({ bytes: EMPTY_BYTES, reason: { code: BROKEN, text: '' }, original: undefined });
    this.#finish({ code: BROKEN, text: '' });
    this.#other.suspect();
  }

  /** Something may be wrong with the peer or the way to it: look at each ping from now on. */
  suspect(): void {
    if (this.#suspicious || this.isClosed) return;
    this.#suspicious = true;
    this.#silentTicks = 0;
    this.#ground.time.schedule(this.#ground.random.between(0, PING_EVERY_MS), () => this.#ping());
  }

  /** The network may have changed: what stalled on its way goes on. */
  retry(): void {
    this.#outgoing.retry();
  }

  get #other(): SimChannel {
    assert(this.#peer !== undefined, 'a channel has two ends');
    return this.#peer;
  }

  /** Silence counts only while this end listens: who does not listen blames nobody. */
  #ping(): void {
    if (this.isClosed) return;
    const { host } = this.party;
    const peerHost = this.remote.host;
    const hears = this.#ground.isUp(peerHost) && this.#ground.reaches(peerHost, host);
    if (hears && this.#other.isClosed) {
      this.break('ECONNRESET');
      return;
    }
    if (hears && this.#ground.reaches(host, peerHost)) {
      this.#suspicious = false;
      return;
    }
    if (hears) this.#silentTicks = 0;
    else if (this.#onMessage !== undefined) this.#silentTicks++;
    if (this.#silentTicks * PING_EVERY_MS >= PEER_SILENCE_MS_MAX) this.break('PEER_TIMEOUT' satisfies ErrorCode);
    else this.#ground.time.schedule(PING_EVERY_MS, () => this.#ping());
  }

  #arrive(parcel: Parcel): void {
    if (parcel.original !== undefined) {
      assert(equalBytes(parcel.original, parcel.bytes), 'a message does not change after it was sent');
    }
    parcel.taken?.();
    if (this.isClosed) return;
    this.#arrived.push(parcel);
    this.#flush();
  }

  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    this.#ground.time.schedule(0, () => {
      this.#flushing = false;
      this.#flush();
    });
  }

  /** Delivers what arrived. A handler may close the channel or take `onMessage` away in the middle. */
  #flush(): void {
    for (let parcel = this.#arrived[0]; parcel !== undefined; parcel = this.#arrived[0]) {
      if (this.#state === 'open' && this.#onMessage === undefined) break;
      this.#arrived.shift();
      if (parcel.reason !== undefined) this.#parted(parcel.reason);
      else this.#deliver(parcel.bytes);
    }
    if (!this.isClosed || this.#told || this.#onClose === undefined) return;
    this.#told = true;
    this.#call(() => this.#onClose?.(this.#reason!));
  }

  #deliver(bytes: Uint8Array): void {
    this.#other.#outgoing.read(bytes.length);
    this.wireReceivedBytes += bytes.length + FRAME_OVERHEAD_BYTES;
    if (this.#state !== 'open') return;
    this.receivedBytes += bytes.length;
    this.#call(() => this.#onMessage?.(bytes));
  }

  /** The peer said goodbye: it is answered, or it is the answer to ours. */
  #parted(reason: CloseReason): void {
    if (this.#state === 'open') this.#outgoing.forgetWaiting();
    if (this.#state === 'open') this.#outgoing.send({ bytes: EMPTY_BYTES, reason, original: undefined });
    this.#finish(reason);
  }

  #readNothingMore(): void {
    for (const { bytes } of this.#arrived) this.#other.#outgoing.read(bytes.length);
    // Its goodbye may be among them.
    this.#arrived = this.#arrived.filter(({ reason }) => reason !== undefined);
    this.#flushSoon();
  }

  #finish(reason: CloseReason): void {
    this.#state = 'closed';
    this.#reason ??= reason;
    this.#arrived = [];
    this.#ground.closed(this, this.#reason);
    this.#flushSoon();
  }

  #call(callback: () => void): void {
    runFor(this.party.alive, callback);
  }
}
