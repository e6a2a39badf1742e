/**
 * Which hosts to be connected with, and staying connected: dials the addresses given with `--join` and those of all
 * members, again and again with growing, jittered pauses; keeps one connection per peer.
 *
 * Two hosts may dial each other at the same moment. Both keep the connection that the lower node id dialed, so they
 * never close both.
 */
import { SamerootError } from '../base/errors.ts';
import type { Timer, World } from '../base/world.ts';
import type { Address, Channel, Transport } from '../net/transport.ts';
import type { Opening } from '../session/handshake.ts';
import { PeerLink, type LinkHost } from './peer-link.ts';

const DIAL_MS_MAX = 10_000;
const RETRY_MS_FIRST = 300;
const RETRY_MS_MAX = 30_000;

/** Somebody to be connected with. Known by address first, by node id once it has spoken. */
interface Target {
  readonly address: Address;
  nodeId: string | undefined;
  attempts: number;
  dialing: boolean;
  timer: Timer | undefined;
  nextRetryMs: number | undefined;
  error: SamerootError | undefined;
}

/** Application bytes. */
export interface Traffic {
  readonly sentBytes: number;
  readonly receivedBytes: number;
}

const NO_TRAFFIC: Traffic = { sentBytes: 0, receivedBytes: 0 };

export interface PeersOptions {
  readonly transport: Transport;
  readonly host: Omit<LinkHost, 'opened' | 'closed'>;
  readonly world: World;
  readonly nodeId: string;
  /** The first message to a peer that does not know this node. */
  readonly opening: (channel: Channel) => Opening | undefined;
  /** May the key at the other end be talked to at all? */
  readonly expect: (remoteId: string) => boolean;
  readonly onOpen: (link: PeerLink) => void;
  readonly onClose: (link: PeerLink) => void;
}

export class Peers {
  readonly #options: PeersOptions;
  readonly #host: LinkHost;
  readonly #targets = new Map<string, Target>();
  readonly #links = new Map<string, PeerLink>();
  /** What ended connections have moved, by node id. */
  readonly #moved = new Map<string, Traffic>();
  /** Connections that are still greeting. */
  readonly #greeting = new Set<PeerLink>();
  /** Has left the share: nobody is dialed, and the greeting refuses all who come. */
  #left = false;
  #closed = false;

  constructor(options: PeersOptions) {
    this.#options = options;
    this.#host = { ...options.host, opened: (link) => this.#opened(link), closed: (link, error) => this.#ended(link, error) };
  }

  /** Open connections by node id. */
  get links(): ReadonlyMap<string, PeerLink> {
    return this.#links;
  }

  /** Over all connections with a peer since the start. */
  traffic(nodeId: string): Traffic {
    const ended = this.#moved.get(nodeId) ?? NO_TRAFFIC;
    const { sentBytes, receivedBytes } = this.#links.get(nodeId)?.channel ?? NO_TRAFFIC;
    return { sentBytes: ended.sentBytes + sentBytes, receivedBytes: ended.receivedBytes + receivedBytes };
  }

  /** Why and until when a peer or an address is not connected. */
  trouble(nodeId: string, address: string): { error: SamerootError | undefined; nextRetryMs: number | undefined } {
    const target = [...this.#targets.values()].find((other) => other.nodeId === nodeId) ?? this.#targets.get(address);
    return { error: target?.error, nextRetryMs: target?.nextRetryMs };
  }

  /** Addresses that are not connected for a reason. The node id is known of those that were reached once. */
  unreached(): { address: string; nodeId: string | undefined; error: SamerootError; nextRetryMs: number | undefined }[] {
    return [...this.#targets.values()]
      .filter(({ nodeId }) => nodeId === undefined || !this.#links.has(nodeId))
      .flatMap(({ address, nodeId, error, nextRetryMs }) =>
        error === undefined ? [] : [{ address: formatAddress(address), nodeId, error, nextRetryMs }],
      );
  }

  /** Accepts what a listener brings. */
  accept(channel: Channel): void {
    if (this.#closed) channel.close(1_001, '');
    else this.#greeting.add(new PeerLink(channel, this.#host, undefined));
  }

  /** Stays connected with this address from now on. */
  keep(address: Address, nodeId: string | undefined): void {
    const key = formatAddress(address);
    const known = this.#targets.get(key);
    if (known !== undefined) {
      known.nodeId ??= nodeId;
      return;
    }
    const target: Target = {
      address,
      nodeId,
      attempts: 0,
      dialing: false,
      timer: undefined,
      nextRetryMs: undefined,
      error: undefined,
    };
    this.#targets.set(key, target);
    void this.#dial(target);
  }

  /** Drops every target of a node except `address`: it has moved. */
  moved(nodeId: string, address: string): void {
    for (const [key, target] of this.#targets) {
      if (target.nodeId !== nodeId || key === address) continue;
      target.timer?.cancel();
      this.#targets.delete(key);
    }
  }

  /** Talks to this node no more, until it is kept again. */
  drop(nodeId: string, error: SamerootError): void {
    for (const [key, target] of this.#targets) {
      if (target.nodeId !== nodeId) continue;
      target.timer?.cancel();
      this.#targets.delete(key);
    }
    for (const link of [...this.#greeting, ...this.#links.values()]) if (link.nodeId === nodeId) link.fail(error);
  }

  close(): void {
    this.#closed = true;
    this.leave();
  }

  leave(): void {
    this.#left = true;
    for (const target of this.#targets.values()) target.timer?.cancel();
    for (const link of [...this.#links.values(), ...this.#greeting]) link.close();
  }

  async #dial(target: Target): Promise<void> {
    if (this.#left || target.dialing || this.#isTalkingTo(target.nodeId)) return;
    target.dialing = true;
    target.nextRetryMs = undefined;
    try {
      const channel = await this.#options.transport.dial(target.address, (remoteId) => this.#expects(target, remoteId), DIAL_MS_MAX);
      if (this.#left) channel.close(1_001, '');
      else {
        if (channel.remoteId !== undefined) target.nodeId = channel.remoteId;
        this.#greeting.add(new PeerLink(channel, this.#host, this.#options.opening(channel)));
      }
    } catch (error) {
      target.error =
        error instanceof SamerootError ? error : new SamerootError('PEER_UNREACHABLE', 'the connection failed', { cause: error });
      this.#retry(target);
    } finally {
      target.dialing = false;
    }
  }

  /** Connected, or greeting: its own connection to us must not be crossed by one of ours. */
  #isTalkingTo(nodeId: string | undefined): boolean {
    return nodeId !== undefined && (this.#links.has(nodeId) || [...this.#greeting].some((link) => link.nodeId === nodeId));
  }

  #expects(target: Target, remoteId: string): boolean {
    return (target.nodeId === undefined || target.nodeId === remoteId) && this.#options.expect(remoteId);
  }

  #retry(target: Target): void {
    if (this.#left || target.timer !== undefined) return;
    const { clock, timers, random, log } = this.#options.world;
    const pauseMs = Math.min(RETRY_MS_MAX, RETRY_MS_FIRST * 2 ** Math.min(target.attempts, 10)) * (0.5 + random.fraction());
    target.attempts++;
    target.nextRetryMs = clock.monotonicMs() + pauseMs;
    if (target.attempts === 5) log.warn('a peer can not be reached', { address: formatAddress(target.address), code: target.error?.code });
    target.timer = timers.after(pauseMs, () => {
      target.timer = undefined;
      void this.#dial(target);
    });
  }

  #opened(link: PeerLink): boolean {
    this.#greeting.delete(link);
    const nodeId = link.nodeId!;
    if (nodeId === this.#options.nodeId) {
      // One of the addresses is our own.
      for (const [key, target] of this.#targets) if (target.nodeId === nodeId) this.#targets.delete(key);
      return false;
    }
    const other = this.#links.get(nodeId);
    if (other !== undefined && other.channel.dialed !== link.channel.dialed && !this.#preferred(link, nodeId)) return false;
    // The old one first, to its very end: what was asked over it must be given back before anything is asked over the new.
    other?.close();
    this.#links.set(nodeId, link);
    for (const target of this.#targets.values()) {
      // In plain text only the greeting tells whom an address led to.
      if (link.channel.dialed && formatAddress(target.address) === link.channel.remoteAddress) target.nodeId ??= nodeId;
      if (target.nodeId !== nodeId) continue;
      target.attempts = 0;
      target.error = undefined;
    }
    this.#options.onOpen(link);
    return true;
  }

  #preferred(link: PeerLink, nodeId: string): boolean {
    const dialer = link.channel.dialed ? this.#options.nodeId : nodeId;
    return dialer < (dialer === nodeId ? this.#options.nodeId : nodeId);
  }

  #ended(link: PeerLink, error: SamerootError | undefined): void {
    this.#greeting.delete(link);
    const { nodeId } = link;
    const current = nodeId !== undefined && this.#links.get(nodeId) === link;
    if (current) {
      this.#moved.set(nodeId, this.traffic(nodeId));
      this.#links.delete(nodeId);
      this.#options.onClose(link);
    }
    // What this host tells others after it has left is no trouble of its own.
    if (this.#left || (nodeId !== undefined && this.#links.has(nodeId))) return;
    for (const target of this.#targets.values()) {
      const same = nodeId === undefined ? formatAddress(target.address) === link.channel.remoteAddress : target.nodeId === nodeId;
      if (!same) continue;
      target.error = error;
      this.#retry(target);
    }
  }
}

export function formatAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** `host:port` or `[v6]:port`; undefined if it is neither. */
export function parseAddress(text: string): Address | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:\s]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host === undefined || !(port <= 65_535) ? undefined : { host, port };
}
