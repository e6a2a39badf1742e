/**
 * The transport port: messages between two nodes, and who is at the other end. Types only, so that what is above can
 * run over real sockets, or over a simulated network.
 *
 * Invariant: a message arrives whole, once, in order, or the channel closes; none is lost between the birth of a
 * channel and the moment `onMessage` is set.
 */

export interface CloseReason {
  /** A WebSocket status code (RFC 6455, section 7.4); 1006 where the connection broke. */
  readonly code: number;
  /** What the peer gave, or the error code of what went wrong here. Untrusted: at most 123 bytes, never shown as ours. */
  readonly text: string;
}

/** One ordered message connection to the holder of one key. */
export interface Channel {
  /** Fingerprint of the peer's public key, proven by the TLS handshake; `undefined` only over insecure plain text. */
  readonly remoteId: string | undefined;
  /** `host:port` as seen here. */
  readonly remoteAddress: string;
  /** We opened it. */
  readonly dialed: boolean;
  /** 32 bytes that only the two ends of this very channel know; zeros over insecure plain text. */
  exporter(): Uint8Array;
  /**
   * Queues one message of at most `MESSAGE_BYTES_MAX` bytes. They are not copied: they must not change afterwards, or not
   * before `taken`, which is called when the operating system has them all, and never where the channel closes before.
   * Nothing happens once closed.
   */
  send(message: Uint8Array, taken?: () => void): void;
  /** Bytes queued and not yet taken by the operating system. */
  readonly bufferedBytes: number;
  /** Nothing is read from the socket while this is `undefined`: taking it away is back-pressure on the peer. */
  onMessage: ((message: Uint8Array) => void) | undefined;
  /** Called once, also when set after the channel closed. No message follows it. */
  onClose: ((reason: CloseReason) => void) | undefined;
  /** `bufferedBytes` fell to the low-water mark after it was above the high-water mark. */
  onDrain: (() => void) | undefined;
  /** Sends what is queued, says goodbye and closes; no message is delivered any more. `text`: at most 123 bytes. */
  close(code?: number, text?: string): void;
  /** Bytes of messages. */
  readonly sentBytes: number;
  readonly receivedBytes: number;
  /** Bytes on the socket, framing and TLS included. */
  readonly wireSentBytes: number;
  readonly wireReceivedBytes: number;
}

export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface ListenOptions extends Address {
  /** How many further ports to try where `port` is taken; none by default. */
  readonly tryNextPorts?: number;
}

/** Disposing it closes the channels it accepted, too. */
export interface Listener extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
}

export interface Transport {
  /** @throws {SamerootError} `PORT_IN_USE`, `CONFIG_INVALID` (not an address of this host, no permission), `INSECURE_ADDRESS` */
  listen(options: ListenOptions, onChannel: (channel: Channel) => void): Promise<Listener>;
  /**
   * `expect` sees the fingerprint of the key at the other end before anything is said to it. Over insecure plain text
   * there is none, and `expect` is not asked.
   * @throws {SamerootError} `WRONG_PEER`, `PEER_UNREACHABLE`, `PEER_TIMEOUT`, `VERSION_MISMATCH` (it is a peer, and does
   * not serve this version's path), `INSECURE_ADDRESS`
   */
  dial(address: Address, expect: (remoteId: string) => boolean, timeoutMs: number): Promise<Channel>;
}
