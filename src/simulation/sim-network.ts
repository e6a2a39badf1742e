/**
 * The network of a simulation: hosts by address, who listens where, which ways are cut, and the faults.
 *
 * Invariants: it keeps the contract of net/transport.ts whatever is switched on; both ends of a channel are who `remoteId` says;
 * a dead incarnation hears nothing more and is heard of only through what it had sent. Everything is drawn from the seed.
 *
 * Ways are cut in one direction each, since real networks fail so, too. A cut stalls what is under way, as TCP does: healed in
 * time nothing is lost, else each end breaks by itself when it has heard nothing for PEER_SILENCE_MS_MAX.
 */
import { assert } from '../base/assert.ts';
import { SamerootError } from '../base/errors.ts';
import { PING_EVERY_MS } from '../base/limits.ts';
import { EXPORTER_BYTES, formatAddress } from '../net/link.ts';
import type { Address, Channel, CloseReason, Listener, ListenOptions, Transport } from '../net/transport.ts';
import type { SeededRandom } from './random.ts';
import { livesTo, SimChannel, type ChannelGround, type Party } from './sim-channel.ts';
import type { NetworkFaults } from './sim-pipe.ts';
import { runFor, type VirtualTime } from './virtual-time.ts';

export const CALM_NETWORK: NetworkFaults = {
  delayMsMin: 0.1,
  delayMsMax: 1,
  togetherChance: 0.3,
  dropChance: 0,
  refuseChance: 0,
  hangChance: 0,
};

/** What happened on the network, for traces and counts. Hosts by address. */
export type NetworkEvent =
  | { readonly type: 'opened' | 'refused' | 'hung' | 'severed'; readonly source: string; readonly target: string }
  | { readonly type: 'message'; readonly source: string; readonly target: string; readonly bytes: number }
  | { readonly type: 'closed'; readonly source: string; readonly target: string; readonly reason: CloseReason };

export interface SimNetworkOptions {
  readonly time: VirtualTime;
  readonly random: SeededRandom;
  /** Costs a comparison of each message: that no sender changes what it sent. */
  readonly checkSenders?: boolean;
  readonly hook?: (event: NetworkEvent) => void;
}

/** The transport of one incarnation of a host. */
export interface SimTransport extends Transport {
  /**
   * The incarnation has died; `alive` says so already. `process`: its operating system goes on, sends what it had taken and
   * refuses dials. `power`: what it sent is lost, and there is silence until a new incarnation starts.
   */
  crash(kind: 'process' | 'power'): void;
}

const FIRST_EPHEMERAL_PORT = 49_152;
const PORT_MAX = 65_535;
const GOING_AWAY = 1001;
const ANY_ADDRESS: ReadonlySet<string> = new Set(['0.0.0.0', '::']);
const LOOPBACK: ReadonlySet<string> = new Set(['127.0.0.1', '::1', 'localhost']);

export class SimNetwork {
  readonly #time: VirtualTime;
  readonly #random: SeededRandom;
  readonly #hook: (event: NetworkEvent) => void;
  readonly #ground: ChannelGround;
  /** The dialing end of each connection that has an end that is not closed. */
  readonly #connections = new Set<SimChannel>();
  readonly #doors = new Map<string, Door>();
  readonly #doorOf = new WeakMap<SimChannel, Door>();
  readonly #hosts = new Map<string, 'up' | 'dark'>();
  readonly #cuts = new Set<string>();
  readonly #bytesPerMs = new Map<string, number>();
  #nextPort = FIRST_EPHEMERAL_PORT;
  /** May be replaced at any time. */
  faults: NetworkFaults = CALM_NETWORK;

  constructor({ time, random, checkSenders = false, hook = () => undefined }: SimNetworkOptions) {
    this.#time = time;
    this.#random = random;
    this.#hook = hook;
    this.#ground = {
      time,
      random,
      checkSenders,
      faults: () => this.faults,
      reaches: (source, target) => !this.#cuts.has(way(source, target)),
      isUp: (host) => this.#hosts.get(host) === 'up',
      bytesPerMs: (source, target) => Math.min(this.#bytesPerMs.get(source) ?? Infinity, this.#bytesPerMs.get(target) ?? Infinity),
      messageSent: (source, target, bytes) => this.#sent(source, target, bytes),
      closed: (channel, reason) => this.#closed(channel, reason),
    };
  }

  /** The transport of a new incarnation of `host`, an address that others dial. The one before must have crashed. */
  transportFor(party: Party): SimTransport {
    this.#hosts.set(party.host, 'up');
    return {
      listen: (options, onChannel) => this.#listen(party, options, onChannel),
      dial: (address, expect, timeoutMs) => this.#dial(party, address, expect, timeoutMs),
      crash: (kind) => this.#crash(party, kind),
    };
  }

  /** From now on nothing from any of `sources` gets to any of `targets`. */
  cut(sources: readonly string[], targets: readonly string[]): void {
    for (const source of sources) for (const target of targets) if (source !== target) this.#cuts.add(way(source, target));
    for (const end of this.#ends()) if (this.#isCut(end.party.host, end.remote.host)) end.suspect();
  }

  /** Opens them again. */
  mend(sources: readonly string[], targets: readonly string[]): void {
    for (const source of sources) for (const target of targets) this.#cuts.delete(way(source, target));
    for (const end of this.#ends()) end.retry();
  }

  /** Cuts all ways between the hosts of different groups. */
  partition(groups: readonly (readonly string[])[]): void {
    for (const group of groups) for (const other of groups) if (group !== other) this.cut(group, other);
  }

  /** Opens all ways. */
  heal(): void {
    this.#cuts.clear();
    for (const end of this.#ends()) end.retry();
  }

  /** Makes everything from and to `host` slow; `undefined` ends it. */
  setBandwidth(host: string, bytesPerMs: number | undefined): void {
    if (bytesPerMs === undefined) this.#bytesPerMs.delete(host);
    else this.#bytesPerMs.set(host, bytesPerMs);
  }

  /** Breaks a connection at random. @returns whether there was one */
  dropOne(): boolean {
    if (this.#connections.size === 0) return false;
    this.#sever(this.#random.pick([...this.#connections]));
    return true;
  }

  *#ends(): Generator<SimChannel> {
    for (const dialer of this.#connections) yield* [dialer, dialer.peer];
  }

  #isCut(a: string, b: string): boolean {
    return this.#cuts.has(way(a, b)) || this.#cuts.has(way(b, a));
  }

  #sent(source: Party, target: Party, bytes: number): void {
    this.#hook({ type: 'message', source: source.host, target: target.host, bytes });
    if (!this.#random.chance(this.faults.dropChance)) return;
    const hit = [...this.#connections].filter((end) => isBetween(end, source, target));
    if (hit.length > 0) this.#sever(this.#random.pick(hit));
  }

  /** Each end learns of it by itself: at once, or with one of its next pings. */
  #sever(dialer: SimChannel): void {
    this.#hook({ type: 'severed', source: dialer.party.host, target: dialer.remote.host });
    dialer.sever();
    for (const end of [dialer, dialer.peer]) {
      const noticeMs = this.#random.between(0, this.#random.chance(0.5) ? this.faults.delayMsMax : 3 * PING_EVERY_MS);
      this.#time.schedule(noticeMs, () => end.break('ECONNRESET'));
    }
  }

  #closed(channel: SimChannel, reason: CloseReason): void {
    this.#hook({ type: 'closed', source: channel.party.host, target: channel.remote.host, reason });
    this.#doorOf.get(channel)?.closed(channel);
    if (channel.peer.isClosed) this.#connections.delete(channel.dialed ? channel : channel.peer);
  }

  #crash(party: Party, kind: 'process' | 'power'): void {
    assert(!party.alive(), 'who crashed is not alive');
    if (kind === 'power') this.#hosts.set(party.host, 'dark');
    for (const [address, door] of this.#doors) if (door.party === party) this.#doors.delete(address);
    for (const end of this.#ends()) {
      if (end.party === party) end.die(kind === 'power' || this.#random.chance(0.5));
    }
  }

  async #listen(party: Party, options: ListenOptions, onChannel: (channel: Channel) => void): Promise<Listener> {
    requirePort(options.port, 0);
    if (!ANY_ADDRESS.has(options.host) && !LOOPBACK.has(options.host) && options.host !== party.host) {
      throw new SamerootError(
        'CONFIG_INVALID',
        `cannot listen on ${formatAddress(options.host, options.port)}: not an address of this host`,
      );
    }
    const lastPort = Math.min(options.port + (options.tryNextPorts ?? 0), PORT_MAX);
    let port = options.port === 0 ? this.#nextPort++ : options.port;
    while (this.#doors.has(formatAddress(party.host, port))) {
      if (port >= lastPort) throw new SamerootError('PORT_IN_USE', `${formatAddress(options.host, options.port)} is taken`);
      port++;
    }
    const address = formatAddress(party.host, port);
    const door: Door = new Door(party, options.host, port, onChannel, () => {
      if (this.#doors.get(address) === door) this.#doors.delete(address);
    });
    this.#doors.set(address, door);
    return door;
  }

  /** Rejects with what the real transport does, at the time when it would know. */
  #dial(party: Party, address: Address, expect: (remoteId: string) => boolean, timeoutMs: number): Promise<Channel> {
    requirePort(address.port, 1);
    const name = formatAddress(address.host, address.port);
    return new Promise((resolve, reject) => {
      const attempt = new Attempt(party, (outcome) => {
        timer.cancel();
        if (outcome instanceof SimChannel) resolve(outcome);
        else reject(outcome);
      });
      const timer = this.#time.schedule(timeoutMs, () =>
        attempt.end(new SamerootError('PEER_TIMEOUT', `${name} did not answer within ${timeoutMs} ms`)),
      );
      if (!livesTo(party, 'dial')) return;
      if (this.#random.chance(this.faults.hangChance)) this.#hook({ type: 'hung', source: party.host, target: address.host });
      else this.#time.schedule(this.#roundTripMs(), () => this.#meet(attempt, address, expect));
    });
  }

  #roundTripMs(): number {
    return this.#random.between(2 * this.faults.delayMsMin, 2 * this.faults.delayMsMax);
  }

  /** The first answer, and the key at the other end. */
  #meet(attempt: Attempt, address: Address, expect: (remoteId: string) => boolean): void {
    const source = attempt.party.host;
    const target = LOOPBACK.has(address.host) ? source : address.host;
    const name = formatAddress(target, address.port);
    const state = this.#hosts.get(target);
    if (state === undefined) return attempt.end(unreachable(name, 'ENOTFOUND'));
    if (state === 'dark' || this.#isCut(source, target) || !attempt.party.alive()) return;
    const door = this.#doors.get(name);
    if (door === undefined || this.#random.chance(this.faults.refuseChance)) {
      this.#hook({ type: 'refused', source, target });
      return attempt.end(unreachable(name, 'ECONNREFUSED'));
    }
    runFor(attempt.party.alive, () => {
      if (expect(door.party.nodeId)) this.#time.schedule(this.#roundTripMs(), () => this.#accept(attempt, name, door));
      else attempt.end(new SamerootError('WRONG_PEER', `the host at ${name} has the key ${door.party.nodeId}`));
    });
  }

  /** The listener has its channel some time before the dialer has, as the last word of the upgrade is its. */
  #accept(attempt: Attempt, name: string, door: Door): void {
    if (attempt.isOver) return;
    const { party } = attempt;
    if (this.#isCut(party.host, door.party.host)) return;
    if (this.#doors.get(name) !== door) return attempt.end(unreachable(name, 'ECONNRESET'));
    const ground = this.#ground;
    const exporter = this.#random.bytes(EXPORTER_BYTES);
    const dialer = new SimChannel({ ground, party, remote: door.party, remoteAddress: name, dialed: true, exporter });
    const remoteAddress = formatAddress(party.host, this.#nextPort++);
    const acceptor = new SimChannel({ ground, party: door.party, remote: party, remoteAddress, dialed: false, exporter });
    SimChannel.join(dialer, acceptor);
    this.#connections.add(dialer);
    this.#hook({ type: 'opened', source: party.host, target: door.party.host });
    this.#doorOf.set(acceptor, door);
    door.accepted(acceptor);
    this.#time.schedule(this.#random.between(this.faults.delayMsMin, this.faults.delayMsMax), () => {
      if (attempt.isOver || this.#isCut(party.host, door.party.host)) dialer.break('');
      else attempt.end(dialer);
    });
  }
}

/** A dial under way; it ends once, and for a dead dialer never. */
class Attempt {
  readonly party: Party;
  readonly #tell: (outcome: SimChannel | SamerootError) => void;
  #over = false;

  constructor(party: Party, tell: (outcome: SimChannel | SamerootError) => void) {
    this.party = party;
    this.#tell = tell;
  }

  get isOver(): boolean {
    return this.#over || !this.party.alive();
  }

  end(outcome: SimChannel | SamerootError): void {
    if (this.isOver) return;
    this.#over = true;
    this.#tell(outcome);
  }
}

/** One listening port and the channels that came through it. */
class Door implements Listener {
  readonly party: Party;
  readonly host: string;
  readonly port: number;
  readonly #onChannel: (channel: Channel) => void;
  readonly #remove: () => void;
  readonly #channels = new Set<SimChannel>();
  #allClosed: (() => void) | undefined;

  constructor(party: Party, host: string, port: number, onChannel: (channel: Channel) => void, remove: () => void) {
    this.party = party;
    this.host = host;
    this.port = port;
    this.#onChannel = onChannel;
    this.#remove = remove;
  }

  accepted(channel: SimChannel): void {
    this.#channels.add(channel);
    runFor(this.party.alive, () => this.#onChannel(channel));
  }

  closed(channel: SimChannel): void {
    if (this.#channels.delete(channel) && this.#channels.size === 0) this.#allClosed?.();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#remove();
    if (this.#channels.size === 0) return;
    const closed = new Promise<void>((resolve) => (this.#allClosed = resolve));
    for (const channel of this.#channels) channel.close(GOING_AWAY);
    await closed;
  }
}

function way(source: string, target: string): string {
  return `${source}>${target}`;
}

function isBetween(end: SimChannel, a: Party, b: Party): boolean {
  return (end.party === a && end.remote === b) || (end.party === b && end.remote === a);
}

function unreachable(name: string, code: string): SamerootError {
  return new SamerootError('PEER_UNREACHABLE', `${name} could not be reached: ${code}`);
}

function requirePort(port: number, min: number): void {
  if (!Number.isInteger(port) || port < min || port > PORT_MAX) throw new RangeError(`port: ${port} is not from ${min} to ${PORT_MAX}`);
}
