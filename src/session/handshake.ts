/**
 * The first messages on a connection, as a synchronous state machine: who are you, may you, do we speak the same
 * protocol and mean the same share. The dialer speaks first; a stranger is told nothing but a refusal.
 *
 *   member:  dialer hello  -> listener hello
 *   joiner:  dialer join   -> listener hello (proof accepted, key pinned) -> dialer hello
 *   member that the listener has not heard of, once it was refused:
 *            dialer introductions -> listener hello (they lead to a member) -> dialer hello
 * `hold` may come before a hello any number of times: the sender is still reading its folder.
 */
import { equalBytes } from '../base/bytes.ts';
import { SamerootError, type ErrorCode } from '../base/errors.ts';
import { SHARE_FIELDS_BYTES } from '../replica/share.ts';
import { PROTOCOL_VERSION, type EntryItem, type Message, type MessageOf } from '../wire/messages.ts';

export type Hello = MessageOf<'hello'>;

/** What somebody is told who may not take part. */
export interface Refusal {
  readonly code: ErrorCode;
  /** Of an eviction: since when, milliseconds since 1970. */
  readonly sinceMs?: number;
}

/** What a dialer begins with whom the listener does not know. */
export type Opening = MessageOf<'join'> | MessageOf<'introductions'>;

export interface HandshakeOptions {
  readonly dialed: boolean;
  /** Fingerprint from the channel; undefined on plain-text channels, where the hello's own claim counts. */
  readonly remoteId: string | undefined;
  /** Why this key may not take part; undefined for a member, and for a key that is trusted already. */
  readonly refusalOf: (nodeId: string) => Refusal | undefined;
  /** Checks an invitation's proof; gives a refusal or undefined when accepted. */
  readonly admit: (join: MessageOf<'join'>) => Refusal | undefined;
  /** Checks the records that a host shows which is no member here; gives a refusal or undefined when they make it one. */
  readonly judge: (nodeId: string, shown: readonly EntryItem[]) => Refusal | undefined;
  /** Set by a dialer that has to use its invitation, or to show how it became a member. */
  readonly opening: Opening | undefined;
}

export type HandshakeEffect =
  | { readonly type: 'send'; readonly message: Message }
  /** Call `ready` as soon as our hello can be made; `peer` is theirs if they said it already. */
  | { readonly type: 'make-hello'; readonly peer: Hello | undefined }
  | { readonly type: 'joined'; readonly join: MessageOf<'join'> }
  /** What was shown is to be taken in; the greeting goes on. */
  | { readonly type: 'introduced'; readonly shown: readonly EntryItem[] }
  | { readonly type: 'done'; readonly hello: Hello; readonly ours: Hello }
  /** The peer is to be told, then the connection ends. */
  | { readonly type: 'fail'; readonly error: SamerootError; readonly refusal: Refusal }
  /** The peer will not talk to this host. */
  | { readonly type: 'refused'; readonly error: SamerootError; readonly sinceMs: number | undefined };

export class Handshake {
  readonly #options: HandshakeOptions;
  #theirs: Hello | undefined;
  #ours: Hello | undefined;
  #admitted: boolean;
  /** Who was admitted by an invitation: the hello has to name the same. */
  #joined: string | undefined;
  #asked = false;

  constructor(options: HandshakeOptions) {
    this.#options = options;
    this.#admitted = options.dialed;
  }

  /** May the other side be told that we are busy? */
  get admitted(): boolean {
    return this.#admitted;
  }

  start(): HandshakeEffect[] {
    const { dialed, opening } = this.#options;
    if (!dialed) return [];
    return opening === undefined ? this.#ask() : [{ type: 'send', message: opening }];
  }

  /** Our hello is ready. */
  ready(hello: Hello): HandshakeEffect[] {
    this.#ours = hello;
    return [{ type: 'send', message: hello }, ...this.#finish()];
  }

  step(message: Message): HandshakeEffect[] {
    switch (message.type) {
      case 'hold':
        // A stranger could keep the connection for ever with it.
        return this.#hold();
      case 'refuse':
        return [{ type: 'refused', error: refusedError(message.code), sinceMs: message.sinceMs }];
      case 'join':
        return this.#join(message);
      case 'introductions':
        return this.#introductions(message);
      case 'hello':
        return this.#hello(message);
      default:
        return [fail('BAD_MESSAGE', `the peer began with a ${message.type} message`)];
    }
  }

  #hold(): HandshakeEffect[] {
    const { remoteId, refusalOf } = this.#options;
    const refusal = this.#admitted || remoteId === undefined ? undefined : refusalOf(remoteId);
    return refusal === undefined ? [] : [refuse(refusal)];
  }

  #join(join: MessageOf<'join'>): HandshakeEffect[] {
    const { dialed, remoteId, admit } = this.#options;
    if (dialed || this.#admitted || (remoteId !== undefined && remoteId !== join.nodeId))
      return [fail('BAD_MESSAGE', 'the peer joins out of turn')];
    const refusal = admit(join);
    if (refusal !== undefined) return [refuse(refusal, 'a host tried to join with an invitation that does not hold')];
    this.#admitted = true;
    this.#joined = join.nodeId;
    return [{ type: 'joined', join }, ...this.#ask()];
  }

  #introductions({ items }: MessageOf<'introductions'>): HandshakeEffect[] {
    const { dialed, remoteId, judge } = this.#options;
    if (dialed || this.#admitted || remoteId === undefined) return [fail('BAD_MESSAGE', 'the peer introduces itself out of turn')];
    const refusal = judge(remoteId, items);
    if (refusal !== undefined) return [refuse(refusal)];
    this.#admitted = true;
    return [{ type: 'introduced', shown: items }, ...this.#ask()];
  }

  #hello(hello: Hello): HandshakeEffect[] {
    const { remoteId, refusalOf } = this.#options;
    if (this.#theirs !== undefined) return [fail('BAD_MESSAGE', 'the peer greeted twice')];
    const id = remoteId ?? this.#joined ?? hello.nodeId;
    if (id !== hello.nodeId) return [fail('BAD_MESSAGE', 'the peer claims another node id than its key has')];
    const refusal = this.#admitted ? undefined : refusalOf(id);
    if (refusal !== undefined) return [refuse(refusal)];
    if (hello.versionMin > PROTOCOL_VERSION || hello.versionMax < PROTOCOL_VERSION) {
      return [
        fail('VERSION_MISMATCH', `the peer speaks protocol ${hello.versionMin} to ${hello.versionMax}, this node ${PROTOCOL_VERSION}`),
      ];
    }
    this.#admitted = true;
    this.#theirs = hello;
    return [...this.#ask(), ...this.#finish()];
  }

  #ask(): HandshakeEffect[] {
    if (this.#asked) return [];
    this.#asked = true;
    return [{ type: 'make-hello', peer: this.#theirs }];
  }

  #finish(): HandshakeEffect[] {
    if (this.#theirs === undefined || this.#ours === undefined) return [];
    if (!equalBytes(this.#theirs.share.subarray(0, SHARE_FIELDS_BYTES), this.#ours.share.subarray(0, SHARE_FIELDS_BYTES))) {
      return [fail('SHARE_MISMATCH', 'the peer serves another share')];
    }
    return [{ type: 'done', hello: this.#theirs, ours: this.#ours }];
  }
}

function fail(code: ErrorCode, what: string): HandshakeEffect {
  return refuse({ code }, what);
}

function refuse(refusal: Refusal, what = refusedWhy(refusal)): HandshakeEffect {
  return { type: 'fail', error: new SamerootError(refusal.code, what), refusal };
}

function refusedWhy({ code }: Refusal): string {
  if (code === 'INVITER_EVICTED') return 'a host tried to connect on the word of one that was evicted';
  return `a host that ${code === 'EVICTED' ? 'was evicted' : 'is not a member'} tried to connect`;
}

const REFUSALS: ReadonlySet<string> = new Set([
  'NOT_INVITED',
  'EVICTED',
  'INVITER_EVICTED',
  'TOKEN_EXPIRED',
  'VERSION_MISMATCH',
  'SHARE_MISMATCH',
  'BAD_MESSAGE',
  'LIMIT_EXCEEDED',
]);

function refusedError(code: string): SamerootError {
  return new SamerootError(REFUSALS.has(code) ? (code as ErrorCode) : 'BAD_MESSAGE', 'the peer refused this host');
}
