/**
 * One connection to one peer: bytes to messages, greeting, then the session. It owns what the state machines may not
 * have (timers, promises, the socket) and carries out their effects in order.
 */
import { messageOf, SamerootError } from '../base/errors.ts';
import { HELLO_MS_MAX } from '../base/limits.ts';
import type { Timer, World } from '../base/world.ts';
import type { StableCut } from '../entry/stable-cut.ts';
import type { Channel } from '../net/transport.ts';
import { Handshake, type HandshakeEffect, type HandshakeOptions, type Hello, type Opening } from '../session/handshake.ts';
import { Session, type SessionEffect, type SessionEvent, type SessionHead, type SessionReplica } from '../session/session.ts';
import { decodeMessage, encodeMessage } from '../wire/codec.ts';
import type { ChunkFrame, EntryItem, InlineChunk, Message, MessageOf } from '../wire/messages.ts';
import type { PeerServer } from './server.ts';

const HOLD_MS = 3_000;
const CLOSE_PROTOCOL = 4_000;

/** What the session's start needs to know of this host. */
export interface SessionGround {
  readonly replica: SessionReplica;
  readonly head: SessionHead;
  /** The root in our hello. */
  readonly told: Uint8Array;
  readonly replicaId: string;
  /** The root of the peer's replica that we contain, if the replica id is still the same. */
  readonly contains: Uint8Array | undefined;
  readonly initiator: boolean;
}

export interface LinkHost {
  readonly world: World;
  readonly handshake: Pick<HandshakeOptions, 'refusalOf' | 'judge'>;
  admit(join: MessageOf<'join'>, channel: Channel): ReturnType<HandshakeOptions['admit']>;
  joined(join: MessageOf<'join'>, channel: Channel): Promise<void>;
  /** Makes the peer a member here by what it has shown. */
  introduced(shown: readonly EntryItem[], channel: Channel): Promise<void>;
  /** Waits until this host can speak: share known, folder read. */
  makeHello(nodeId: string | undefined, peer: Hello | undefined): Promise<Hello>;
  ground(hello: Hello, ours: Hello): SessionGround;
  /** The greeting is over; false: this connection is one too many. */
  opened(link: PeerLink): boolean;
  closed(link: PeerLink, error: SamerootError | undefined): void;
  offer(link: PeerLink, items: readonly EntryItem[], inline: readonly InlineChunk[]): Promise<boolean>;
  contains(link: PeerLink, root: Uint8Array): void;
  confirmed(link: PeerLink, root: Uint8Array): void;
  /** The peer goes by this stable cut. */
  stable(link: PeerLink, cut: StableCut): void;
  /** The peer will not talk to this host; `sinceMs`: since when it is evicted, as the peer knows it. */
  refused(link: PeerLink, error: SamerootError, sinceMs: number | undefined): void;
  walked(link: PeerLink, messages: number): void;
  makeServer(link: PeerLink): PeerServer;
  /** The peer told another root than before. */
  rootMoved(link: PeerLink): void;
  chunks(link: PeerLink, frame: ChunkFrame): Promise<void>;
  /** What a peer says to whoever fetches here. */
  toFetcher(link: PeerLink, message: MessageOf<'list-pages-reply'> | MessageOf<'fetched'> | MessageOf<'have'>): void;
}

export interface Listing {
  readonly here: readonly EntryItem[];
  readonly there: readonly EntryItem[];
  readonly peerRoot: Uint8Array;
  readonly truncated: boolean;
}

export class PeerLink {
  readonly channel: Channel;
  readonly #host: LinkHost;
  readonly #handshake: Handshake;
  #greeting: Timer | undefined;
  #holding: Timer | undefined;
  #hello: Hello | undefined;
  #session: Session | undefined;
  #server: PeerServer | undefined;
  #wake: Timer | undefined;
  #wakeAtMs = Number.POSITIVE_INFINITY;
  #closed = false;
  #admission: Promise<void> = Promise.resolve();
  readonly #listings: { readonly resolve: (listing: Listing) => void; readonly reject: (error: unknown) => void }[] = [];
  /** Newest commit of ours that the peer confirmed; kept by the host. */
  confirmedCommit = -1;
  lastAckMs: number | undefined;

  constructor(channel: Channel, host: LinkHost, opening: Opening | undefined) {
    this.channel = channel;
    this.#host = host;
    this.#handshake = new Handshake({
      dialed: channel.dialed,
      remoteId: channel.remoteId,
      opening,
      ...host.handshake,
      admit: (message) => host.admit(message, channel),
    });
    this.#limitGreeting();
    channel.onClose = (reason) =>
      this.#end(
        reason.text === '' ? undefined : new SamerootError('PEER_UNREACHABLE', `the connection closed: ${reason.text.slice(0, 120)}`),
      );
    channel.onMessage = (bytes) => this.#receive(bytes);
    this.#carryOutGreeting(this.#handshake.start());
  }

  get nodeId(): string | undefined {
    return this.#hello?.nodeId ?? this.channel.remoteId;
  }

  get hello(): Hello | undefined {
    return this.#hello;
  }

  get session(): Session | undefined {
    return this.#session;
  }

  send(message: Message): void {
    if (!this.#closed) this.channel.send(encodeMessage(message));
  }

  /** Runs the session with an event. */
  step(event: SessionEvent): void {
    if (this.#session === undefined || this.#closed) return;
    try {
      for (const effect of this.#session.step(event, this.#host.world.clock.monotonicMs())) this.#carryOut(effect);
    } catch (error) {
      this.fail(error);
    }
  }

  /** What differs between the two replicas. */
  list(): Promise<Listing> {
    return new Promise((resolve, reject) => {
      this.#listings.push({ resolve, reject });
      this.step({ type: 'list' });
    });
  }

  /** The peer or we did something wrong: say the code, close. */
  fail(error: unknown): void {
    if (this.#closed) return;
    const known = error instanceof SamerootError ? error : new SamerootError('IO_ERROR', messageOf(error), { cause: error });
    this.#host.world.log.warn('closing a connection', { peer: this.nodeId?.slice(0, 8), code: known.code, reason: known.message });
    this.channel.close(CLOSE_PROTOCOL, known.code);
    this.#end(known);
  }

  close(): void {
    if (this.#closed) return;
    this.channel.close(1_000, '');
    this.#end(undefined);
  }

  #end(error: SamerootError | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#greeting?.cancel();
    this.#holding?.cancel();
    this.#wake?.cancel();
    this.#server?.close();
    for (const { reject } of this.#listings) reject(new SamerootError('PEER_UNREACHABLE', 'the connection closed'));
    this.#host.closed(this, error);
  }

  #receive(bytes: Uint8Array): void {
    try {
      const message = decodeMessage(bytes);
      if (message === undefined) return;
      if (this.#session === undefined) this.#greet(message);
      else this.#dispatch(message);
    } catch (error) {
      this.fail(error);
    }
  }

  /** From now on, whatever was left of the time before. */
  #limitGreeting(): void {
    this.#greeting?.cancel();
    const tooLate = (): void => this.fail(new SamerootError('PEER_TIMEOUT', 'the peer did not greet in time'));
    this.#greeting = this.#host.world.timers.after(HELLO_MS_MAX, tooLate);
  }

  #greet(message: Message | ChunkFrame): void {
    if (message.type === 'chunks') throw new SamerootError('BAD_MESSAGE', 'the peer began with chunks');
    if (message.type === 'hold') this.#limitGreeting();
    this.#carryOutGreeting(this.#handshake.step(message));
  }

  #carryOutGreeting(effects: readonly HandshakeEffect[]): void {
    for (const effect of effects) {
      switch (effect.type) {
        case 'send':
          this.send(effect.message);
          break;
        case 'make-hello':
          void this.#makeHello(effect.peer);
          break;
        case 'joined':
          this.#admission = this.#host.joined(effect.join, this.channel);
          break;
        case 'introduced':
          this.#admission = this.#host.introduced(effect.shown, this.channel);
          break;
        case 'fail':
          this.send({ type: 'refuse', code: effect.refusal.code, sinceMs: effect.refusal.sinceMs });
          this.fail(effect.error);
          break;
        case 'refused':
          this.#host.refused(this, effect.error, effect.sinceMs);
          this.fail(effect.error);
          break;
        case 'done':
          this.#open(effect.hello, effect.ours);
          break;
      }
    }
  }

  async #makeHello(peer: Hello | undefined): Promise<void> {
    // What takes long here is reading a large folder for the first time.
    this.#holding = this.#host.world.timers.every(HOLD_MS, () => {
      this.#limitGreeting();
      // Nothing is said to a stranger, not even this.
      if (this.#handshake.admitted) this.send({ type: 'hold' });
    });
    try {
      await this.#admission;
      const hello = await this.#host.makeHello(this.nodeId ?? peer?.nodeId, peer);
      this.#holding.cancel();
      if (!this.#closed) this.#carryOutGreeting(this.#handshake.ready(hello));
    } catch (error) {
      this.fail(error);
    }
  }

  #open(hello: Hello, ours: Hello): void {
    this.#greeting?.cancel();
    this.#holding?.cancel();
    this.#hello = hello;
    if (!this.#host.opened(this)) {
      this.close();
      return;
    }
    const ground = this.#host.ground(hello, ours);
    this.#server = this.#host.makeServer(this);
    this.#session = new Session({
      ...ground,
      nowMs: this.#host.world.clock.monotonicMs(),
      peerRoot: hello.root,
      peerContains: hello.containsReplica === ground.replicaId ? hello.contains : undefined,
    });
    this.step({ type: 'start' });
  }

  #dispatch(message: Message | ChunkFrame): void {
    switch (message.type) {
      case 'chunks':
        this.#host.chunks(this, message).catch((error: unknown) => this.fail(error));
        return;
      case 'fetch':
        this.#server?.fetch(message);
        return;
      case 'list-pages':
        this.#server?.listPages(message);
        return;
      case 'list-pages-reply':
      case 'fetched':
      case 'have':
        this.#host.toFetcher(this, message);
        return;
      case 'hold':
        return;
      default:
        this.step({ type: 'message', message });
        if (message.type === 'root' || (message.type === 'entries' && message.root !== undefined)) this.#host.rootMoved(this);
    }
  }

  #carryOut(effect: SessionEffect): void {
    switch (effect.type) {
      case 'send':
        this.send(effect.message);
        return;
      case 'offer':
        this.#host.offer(this, effect.items, effect.inline).then(
          (done) => this.step({ type: 'applied', offer: effect.offer, failed: !done }),
          (error: unknown) => this.fail(error),
        );
        return;
      case 'contains':
        this.#host.contains(this, effect.root);
        return;
      case 'confirmed':
        this.#host.confirmed(this, effect.root);
        return;
      case 'stable':
        this.#host.stable(this, effect.cut);
        return;
      case 'walked':
        this.#host.walked(this, effect.messages);
        return;
      case 'listed':
        for (const { resolve } of this.#listings.splice(0)) resolve(effect);
        return;
      case 'wake':
        this.#wakeIn(effect.afterMs);
        return;
    }
  }

  /** One timer, set to the earliest wish. */
  #wakeIn(afterMs: number): void {
    const { clock, timers } = this.#host.world;
    const atMs = clock.monotonicMs() + afterMs;
    if (atMs >= this.#wakeAtMs) return;
    this.#wake?.cancel();
    this.#wakeAtMs = atMs;
    this.#wake = timers.after(afterMs, () => {
      this.#wakeAtMs = Number.POSITIVE_INFINITY;
      this.step({ type: 'tick' });
    });
  }
}
