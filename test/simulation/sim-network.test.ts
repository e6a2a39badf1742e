import { describe, expect, it } from 'vitest';
import { MIB, PEER_SILENCE_MS_MAX, PING_EVERY_MS, SEND_HIGH_WATER_BYTES, SEND_LOW_WATER_BYTES } from '../../src/base/limits.ts';
import type { Channel, CloseReason, Listener } from '../../src/net/transport.ts';
import { SeededRandom } from '../../src/simulation/random.ts';
import {
  CALM_NETWORK,
  SimNetwork,
  type NetworkEvent,
  type SimNetworkOptions,
  type SimTransport,
} from '../../src/simulation/sim-network.ts';
import { makeTime, passUntil } from './ground.ts';

const SEEDS = Array.from({ length: 30 }, (_, index) => String(index));
const PORT = 7000;
const ROUGH = { ...CALM_NETWORK, delayMsMin: 1, delayMsMax: 200, togetherChance: 0.5 };

/** What a channel said, in order: messages as `first byte`, the close as `closed CODE TEXT`. */
class End {
  readonly seen: (number | string)[] = [];
  readonly reasons: CloseReason[] = [];
  readonly channel: Channel;

  constructor(channel: Channel, listening = true) {
    this.channel = channel;
    if (listening) this.listen();
    channel.onClose = (reason) => {
      this.reasons.push(reason);
      this.seen.push(`closed ${reason.code} ${reason.text}`);
    };
  }

  listen(): void {
    this.channel.onMessage = (message) => this.seen.push(message[0]!);
  }

  get isClosed(): boolean {
    return this.reasons.length > 0;
  }
}

class World {
  readonly time;
  readonly network: SimNetwork;
  readonly events: NetworkEvent[] = [];
  readonly #incarnations = new Map<string, { alive: boolean; transport: SimTransport }>();

  constructor(seed: string, options: Partial<SimNetworkOptions> = {}) {
    this.time = makeTime(seed);
    const random = new SeededRandom(`${seed}/network`);
    this.network = new SimNetwork({ time: this.time, random, checkSenders: true, hook: (event) => this.events.push(event), ...options });
  }

  /** Starts a host, its node id is its name in capitals. */
  start(host: string): SimTransport {
    const incarnation = { alive: true } as { alive: boolean; transport: SimTransport };
    incarnation.transport = this.network.transportFor({ nodeId: host.toUpperCase(), host, alive: () => incarnation.alive });
    this.#incarnations.set(host, incarnation);
    return incarnation.transport;
  }

  crash(host: string, kind: 'process' | 'power'): void {
    const incarnation = this.#incarnations.get(host)!;
    incarnation.alive = false;
    incarnation.transport.crash(kind);
  }

  async listen(host: string, accept: (channel: Channel) => void): Promise<Listener> {
    return passUntil(this.time, this.#incarnations.get(host)!.transport.listen({ host: '0.0.0.0', port: PORT }, accept));
  }

  dial(from: string, to: string, timeoutMs = 10_000): Promise<Channel> {
    return passUntil(
      this.time,
      this.#incarnations.get(from)!.transport.dial({ host: to, port: PORT }, () => true, timeoutMs),
    );
  }

  /** Two ends of a channel between two new hosts. */
  async connect(listening = true): Promise<{ a: End; b: End; listener: Listener }> {
    this.start('a');
    this.start('b');
    let b: End | undefined;
    const listener = await this.listen('b', (channel) => (b = new End(channel, listening)));
    const a = new End(await this.dial('a', 'b'));
    return { a, b: b!, listener };
  }

  async pass(forMs: number): Promise<void> {
    await this.time.run({ deadlineMs: this.time.nowMs + forMs });
  }
}

function message(first: number, bytes = 10): Uint8Array {
  return new Uint8Array(bytes).fill(first);
}

function sendAll(end: End, numbers: readonly number[], bytes = 10): void {
  for (const number of numbers) end.channel.send(message(number, bytes));
}

function coded(code: string): unknown {
  return expect.objectContaining({ name: 'SamerootError', code });
}

const TWENTY = Array.from({ length: 20 }, (_, index) => index);

describe('a simulated channel', () => {
  it('says who is at the other end, the same secret to both, and counts bytes', async () => {
    const world = new World('1');
    const { a, b } = await world.connect();
    expect([a.channel.remoteId, a.channel.remoteAddress, a.channel.dialed]).toEqual(['B', 'b:7000', true]);
    expect([b.channel.remoteId, b.channel.dialed]).toEqual(['A', false]);
    expect(b.channel.remoteAddress).toMatch(/^a:\d+$/);
    expect(a.channel.exporter()).toHaveLength(32);
    expect(a.channel.exporter()).toEqual(b.channel.exporter());
    const other = new End(await world.dial('a', 'b'));
    expect(other.channel.exporter()).not.toEqual(a.channel.exporter());
    sendAll(a, [1, 2, 3], 100);
    await world.pass(100);
    expect([a.channel.sentBytes, b.channel.receivedBytes, a.channel.receivedBytes]).toEqual([300, 300, 0]);
    expect(a.channel.wireSentBytes).toBe(b.channel.wireReceivedBytes);
    expect(a.channel.wireSentBytes).toBeGreaterThan(300);
  });

  it('delivers in order whatever the delays, while other channels overtake', async () => {
    let overtaken = 0;
    for (const seed of SEEDS) {
      const world = new World(seed);
      world.network.faults = ROUGH;
      const { a, b } = await world.connect();
      const accepted: End[] = [];
      world.start('c');
      await world.listen('c', (channel) => accepted.push(new End(channel)));
      const toC = new End(await world.dial('a', 'c'));
      let order = '';
      b.channel.onMessage = (bytes) => {
        b.seen.push(bytes[0]!);
        order += 'b';
      };
      accepted[0]!.channel.onMessage = () => (order += 'c');
      for (const number of TWENTY) {
        a.channel.send(message(number));
        if (number < 3) toC.channel.send(message(number));
      }
      await world.pass(60_000);
      expect(b.seen).toEqual(TWENTY);
      if (order.startsWith('cc')) overtaken++;
    }
    expect(overtaken).toBeGreaterThan(0);
    expect(overtaken).toBeLessThan(SEEDS.length);
  });

  it('loses nothing between its birth and the first onMessage, and calls it only after the turn that set it', async () => {
    const world = new World('1');
    const { a, b } = await world.connect(false);
    sendAll(a, [1, 2, 3]);
    await world.pass(1_000);
    expect([b.seen, b.channel.receivedBytes]).toEqual([[], 0]);
    b.listen();
    expect(b.seen).toEqual([]);
    await world.pass(1);
    expect(b.seen).toEqual([1, 2, 3]);
  });

  it('holds the sender back while the receiver does not listen, and tells when it drained', async () => {
    const world = new World('1');
    const { a, b } = await world.connect(false);
    let drained = 0;
    a.channel.onDrain = () => drained++;
    const count = 8;
    for (let number = 0; number < count; number++) a.channel.send(message(number, MIB));
    expect(a.channel.bufferedBytes).toBe(count * MIB);
    await world.pass(60_000);
    // One message of a megabyte fills the window.
    expect([a.channel.bufferedBytes, drained]).toEqual([(count - 1) * MIB, 0]);
    b.listen();
    await passUntil(world.time, new Promise<void>((resolve) => (a.channel.onDrain = () => resolve(void drained++))));
    expect(a.channel.bufferedBytes).toBeLessThanOrEqual(SEND_LOW_WATER_BYTES);
    expect(a.channel.bufferedBytes).toBeGreaterThan(0);
    await world.pass(1_000);
    expect([b.seen, a.channel.bufferedBytes, drained]).toEqual([TWENTY.slice(0, count), 0, 1]);
    expect(count * MIB).toBeGreaterThan(SEND_HIGH_WATER_BYTES);
  });

  it('stops in the middle of a burst when the handler is taken away', async () => {
    for (const seed of SEEDS) {
      const world = new World(seed);
      world.network.faults = { ...CALM_NETWORK, togetherChance: 1 };
      const { a, b } = await world.connect();
      b.channel.onMessage = (bytes) => {
        b.seen.push(bytes[0]!);
        if (bytes[0] === 2) b.channel.onMessage = undefined;
      };
      sendAll(a, [0, 1, 2, 3, 4]);
      await world.pass(1_000);
      expect(b.seen).toEqual([0, 1, 2]);
      b.listen();
      await world.pass(1_000);
      expect(b.seen).toEqual([0, 1, 2, 3, 4]);
    }
  });

  it('takes its time on a slow link, where what is queued sinks part by part', async () => {
    const world = new World('1');
    const { a, b } = await world.connect();
    world.network.setBandwidth('b', 1_000);
    const startMs = world.time.nowMs;
    a.channel.send(message(1, MIB));
    const levels = new Set<number>();
    await world.time.run({ until: () => (levels.add(a.channel.bufferedBytes), b.seen.length === 1) });
    expect(world.time.nowMs - startMs).toBeGreaterThan(900);
    expect(levels.size).toBeGreaterThan(10);
    world.network.setBandwidth('b', undefined);
    const fastMs = world.time.nowMs;
    a.channel.send(message(2, MIB));
    await world.time.run({ until: () => b.seen.length === 2 });
    expect(world.time.nowMs - fastMs).toBeLessThan(10);
  });

  it('sends what is queued before the goodbye, and delivers nothing after it on either side', async () => {
    for (const seed of SEEDS) {
      const world = new World(seed);
      world.network.faults = ROUGH;
      const { a, b } = await world.connect();
      sendAll(b, [7, 8, 9]);
      sendAll(a, TWENTY, 100_000);
      a.channel.close(4000, 'BYE');
      a.channel.send(message(99));
      expect(a.seen).toEqual([]);
      await world.pass(60_000);
      expect(b.seen).toEqual([...TWENTY, 'closed 4000 BYE']);
      expect(a.seen).toEqual(['closed 4000 BYE']);
      a.channel.close();
      b.channel.send(message(1));
      expect([a.channel.bufferedBytes, b.channel.bufferedBytes]).toEqual([0, 0]);
      await world.pass(60_000);
      expect([a.reasons.length, b.reasons.length]).toEqual([1, 1]);
    }
  });

  it('closes within a few seconds though the peer does not listen, and the peer finds out', async () => {
    const world = new World('1');
    const { a, b } = await world.connect(false);
    sendAll(a, [1]);
    await world.pass(100);
    a.channel.close();
    await world.pass(4_000);
    expect([a.isClosed, b.isClosed]).toEqual([true, false]);
    await world.pass(PING_EVERY_MS);
    expect(b.seen).toEqual(['closed 1006 ECONNRESET']);
  });

  it('closes both ends at once with what each said, though neither listens', async () => {
    const world = new World('1');
    const { a, b } = await world.connect(false);
    a.channel.onMessage = undefined;
    sendAll(b, [1]);
    b.channel.close(4001, 'B');
    await world.pass(100);
    expect(a.seen).toEqual([]);
    a.channel.close(4002, 'A');
    await world.pass(100);
    expect([a.seen, b.seen]).toEqual([['closed 4002 A'], ['closed 4001 B']]);
  });

  it('tells of its close also when onClose is set afterwards', async () => {
    const world = new World('1');
    const { a, b } = await world.connect();
    b.channel.onClose = undefined;
    a.channel.close(1000, 'late');
    await world.pass(1_000);
    const reasons: CloseReason[] = [];
    b.channel.onClose = (reason) => reasons.push(reason);
    expect(reasons).toEqual([]);
    await world.pass(1);
    expect(reasons).toEqual([{ code: 1000, text: 'late' }]);
  });

  it('gives the receiver bytes of its own, and finds a sender that changes what it sent', async () => {
    const world = new World('1');
    const { a, b } = await world.connect();
    const sent = message(1);
    let received: Uint8Array | undefined;
    b.channel.onMessage = (bytes) => (received = bytes);
    a.channel.send(sent);
    await world.pass(100);
    expect(received).toEqual(sent);
    expect(received!.buffer).not.toBe(sent.buffer);
    expect(received!.buffer.byteLength).toBe(received!.length);
    a.channel.send(sent);
    sent[3] = 77;
    await expect(world.pass(100)).rejects.toThrow('a message does not change after it was sent');
  });
});

describe('a simulated network that fails', () => {
  it('loses nothing by a cut that heals in time', async () => {
    for (const seed of SEEDS) {
      const world = new World(seed);
      const { a, b } = await world.connect();
      sendAll(a, [0, 1]);
      world.network.partition([['a'], ['b', 'c']]);
      sendAll(a, [2, 3]);
      sendAll(b, [5]);
      await world.pass(PEER_SILENCE_MS_MAX - PING_EVERY_MS);
      expect([a.seen, b.seen]).toEqual([[], []]);
      world.network.heal();
      sendAll(a, [4]);
      await world.pass(2 * PEER_SILENCE_MS_MAX);
      expect([a.seen, b.seen]).toEqual([[5], [0, 1, 2, 3, 4]]);
    }
  });

  it('breaks cut channels on each side by itself, and delivers nothing of them after the cut heals', async () => {
    const gapsMs: number[] = [];
    for (const seed of SEEDS) {
      const world = new World(seed);
      const { a, b } = await world.connect();
      world.network.partition([['a'], ['b']]);
      sendAll(a, [1, 2]);
      const cutMs = world.time.nowMs;
      await world.time.run({ until: () => a.isClosed || b.isClosed });
      const firstMs = world.time.nowMs;
      expect(firstMs - cutMs).toBeGreaterThan(PEER_SILENCE_MS_MAX - PING_EVERY_MS);
      await world.time.run({ until: () => a.isClosed && b.isClosed });
      gapsMs.push(world.time.nowMs - firstMs);
      world.network.heal();
      await world.pass(60_000);
      expect([a.seen, b.seen]).toEqual([['closed 1006 PEER_TIMEOUT'], ['closed 1006 PEER_TIMEOUT']]);
    }
    expect(Math.max(...gapsMs)).toBeGreaterThan(1_000);
  });

  it('leaves an end that does not listen half-open: it cannot tell silence from its own', async () => {
    const world = new World('1');
    const { a, b } = await world.connect(false);
    world.network.partition([['a'], ['b']]);
    await world.pass(10 * PEER_SILENCE_MS_MAX);
    expect([a.isClosed, b.isClosed]).toEqual([true, false]);
    b.listen();
    await world.pass(PEER_SILENCE_MS_MAX + PING_EVERY_MS);
    expect(b.seen).toEqual(['closed 1006 PEER_TIMEOUT']);
  });

  it('cuts one way: who still hears stays connected until the other has given up', async () => {
    const world = new World('1');
    const { a, b } = await world.connect();
    world.network.cut(['a'], ['b']);
    sendAll(a, [1]);
    sendAll(b, [2]);
    await world.time.run({ until: () => b.isClosed });
    expect([a.seen, b.seen]).toEqual([[2], ['closed 1006 PEER_TIMEOUT']]);
    await world.pass(PING_EVERY_MS);
    expect(a.seen).toEqual([2, 'closed 1006 ECONNRESET']);
    await expect(world.dial('a', 'b', 1_000)).rejects.toEqual(coded('PEER_TIMEOUT'));
    world.network.mend(['a'], ['b']);
    await world.dial('a', 'b');
  });

  it('drops a connection at any moment: each end finds out by itself, what was under way is lost', async () => {
    let delivered = 0;
    for (const seed of SEEDS) {
      const world = new World(seed);
      world.network.faults = ROUGH;
      const { a, b } = await world.connect();
      sendAll(a, TWENTY);
      await world.pass(150);
      expect(world.network.dropOne()).toBe(true);
      const before = [...b.seen];
      sendAll(a, [99]);
      sendAll(b, [99]);
      await world.pass(60_000);
      expect(b.seen).toEqual([...before, 'closed 1006 ECONNRESET']);
      expect(TWENTY.slice(0, before.length)).toEqual(before);
      expect(a.seen).toEqual(['closed 1006 ECONNRESET']);
      delivered += before.length;
      expect(world.network.dropOne()).toBe(false);
    }
    expect(delivered).toBeGreaterThan(0);
    expect(delivered).toBeLessThan(SEEDS.length * TWENTY.length);
  });

  it('drops by chance where a message is sent', async () => {
    const world = new World('1');
    const { a, b } = await world.connect();
    world.network.faults = { ...CALM_NETWORK, dropChance: 0.1 };
    for (let number = 0; number < 200 && !(a.isClosed && b.isClosed); number++) {
      a.channel.send(message(number));
      await world.pass(500);
    }
    expect(world.events.filter(({ type }) => type === 'severed').length).toBeGreaterThan(0);
    expect([a.isClosed, b.isClosed]).toEqual([true, true]);
  });

  it.each(['process', 'power'] as const)('lets the peer notice that a %s died, and the dead say and hear nothing', async (kind) => {
    const noticesMs: number[] = [];
    const delivered = new Set<number>();
    for (const seed of SEEDS) {
      const world = new World(seed);
      world.network.faults = ROUGH;
      const { a, b } = await world.connect();
      sendAll(a, [0, 1, 2]);
      sendAll(b, [7]);
      world.crash('a', kind);
      const crashMs = world.time.nowMs;
      sendAll(a, [3]);
      a.channel.close();
      await world.time.run({ until: () => b.isClosed });
      noticesMs.push(world.time.nowMs - crashMs);
      await world.pass(60_000);
      expect(a.seen).toEqual([]);
      const messages = b.seen.slice(0, -1);
      expect([0, 1, 2].slice(0, messages.length)).toEqual(messages);
      delivered.add(messages.length);
      expect(b.reasons.map(({ code }) => code)).toEqual([1006]);
    }
    expect(delivered).toEqual(new Set(kind === 'process' ? [0, 3] : [0]));
    // An operating system that lives answers pings for the dead process; without it there is silence.
    if (kind === 'process') expect(Math.max(...noticesMs)).toBeLessThanOrEqual(PING_EVERY_MS);
    else expect(Math.min(...noticesMs)).toBeGreaterThan(PEER_SILENCE_MS_MAX - PING_EVERY_MS);
  });

  it('resets old connections of a host that came back', async () => {
    const world = new World('1');
    const { b } = await world.connect();
    world.crash('a', 'power');
    await world.pass(1_000);
    world.start('a');
    const startMs = world.time.nowMs;
    await world.time.run({ until: () => b.isClosed });
    expect(world.time.nowMs - startMs).toBeLessThan(PING_EVERY_MS);
    expect(b.seen).toEqual(['closed 1006 ECONNRESET']);
  });

  it('tells the same story with the same seed', async () => {
    const story = async (seed: string): Promise<string> => {
      const world = new World(seed);
      world.network.faults = { ...ROUGH, dropChance: 0.02, refuseChance: 0.1 };
      world.start('a');
      world.start('b');
      const told: unknown[] = [];
      await world.listen('b', (channel) => (channel.onMessage = (bytes) => told.push([bytes[0], world.time.nowMs])));
      for (let count = 0; count < 5; count++) {
        const end = await world.dial('a', 'b').then(
          (channel) => new End(channel),
          () => undefined,
        );
        if (end !== undefined) sendAll(end, TWENTY);
        await world.pass(10_000);
      }
      return JSON.stringify([told, world.events]);
    };
    expect(await story('1')).toBe(await story('1'));
    expect(await story('1')).not.toBe(await story('2'));
  });
});

describe('dialing in a simulated network', () => {
  it('fails as the real one does', async () => {
    const world = new World('1');
    const transport = world.start('a');
    world.start('b');
    await expect(world.dial('a', 'nowhere')).rejects.toEqual(coded('PEER_UNREACHABLE'));
    await expect(world.dial('a', 'b')).rejects.toEqual(coded('PEER_UNREACHABLE'));
    const accepted: Channel[] = [];
    await world.listen('b', (channel) => accepted.push(channel));
    const asked: string[] = [];
    const wrong = transport.dial({ host: 'b', port: PORT }, (remoteId) => asked.push(remoteId) === 0, 1_000);
    await expect(passUntil(world.time, wrong)).rejects.toEqual(coded('WRONG_PEER'));
    expect(asked).toEqual(['B']);
    world.network.partition([['a'], ['b']]);
    const startMs = world.time.nowMs;
    await expect(world.dial('a', 'b', 5_000)).rejects.toEqual(coded('PEER_TIMEOUT'));
    expect(world.time.nowMs - startMs).toBe(5_000);
    world.network.heal();
    world.network.faults = { ...CALM_NETWORK, refuseChance: 1 };
    await expect(world.dial('a', 'b')).rejects.toEqual(coded('PEER_UNREACHABLE'));
    world.network.faults = { ...CALM_NETWORK, hangChance: 1 };
    await expect(world.dial('a', 'b')).rejects.toEqual(coded('PEER_TIMEOUT'));
    world.network.faults = CALM_NETWORK;
    world.crash('b', 'power');
    await expect(world.dial('a', 'b')).rejects.toEqual(coded('PEER_TIMEOUT'));
    expect(accepted).toEqual([]);
    expect(() => transport.dial({ host: 'b', port: 0 }, () => true, 1_000)).toThrow(RangeError);
  });

  it('that times out in the last moment leaves no connection behind', async () => {
    let halves = 0;
    for (const seed of SEEDS) {
      const world = new World(seed);
      world.network.faults = ROUGH;
      world.start('a');
      world.start('b');
      const accepted: End[] = [];
      await world.listen('b', (channel) => accepted.push(new End(channel)));
      const channel = await world.dial('a', 'b', 500).catch(() => undefined);
      if (channel === undefined) {
        halves += accepted.length;
        await world.pass(60_000);
      }
      expect(accepted.every(({ isClosed }) => isClosed)).toBe(channel === undefined);
    }
    expect(halves).toBeGreaterThan(0);
  });

  it('both ways at once makes two connections', async () => {
    const world = new World('1');
    const accepted: Channel[] = [];
    for (const host of ['a', 'b']) {
      world.start(host);
      await world.listen(host, (channel) => accepted.push(channel));
    }
    const transport = world.start('c');
    await world.listen('c', (channel) => accepted.push(channel));
    const dialed = await passUntil(
      world.time,
      Promise.all(['a', 'b', 'c', 'localhost'].map((host) => transport.dial({ host, port: PORT }, () => true, 1_000))),
    );
    expect(dialed.map(({ remoteId }) => remoteId)).toEqual(['A', 'B', 'C', 'C']);
    expect(accepted.map(({ remoteId }) => remoteId)).toEqual(['C', 'C', 'C', 'C']);
  });

  it('never answers a dialer that died meanwhile', async () => {
    const world = new World('1');
    world.start('a');
    world.start('b');
    const accepted: End[] = [];
    await world.listen('b', (channel) => accepted.push(new End(channel)));
    let outcome = 'none';
    const dialing = world.dial('a', 'b').then(
      () => (outcome = 'resolved'),
      () => (outcome = 'rejected'),
    );
    world.crash('a', 'process');
    await dialing;
    // `passUntil` gave up, not the dial.
    expect([outcome, world.time.eventCount > 0]).toEqual(['rejected', true]);
    expect(accepted).toEqual([]);
  });
});

describe('listening in a simulated network', () => {
  it('takes a free port, the next one, or says that it is taken', async () => {
    const world = new World('1');
    const transport = world.start('a');
    const none = (): void => undefined;
    const first = await transport.listen({ host: '0.0.0.0', port: PORT }, none);
    expect([first.host, first.port]).toEqual(['0.0.0.0', PORT]);
    await expect(transport.listen({ host: 'a', port: PORT }, none)).rejects.toEqual(coded('PORT_IN_USE'));
    const second = await transport.listen({ host: 'a', port: PORT, tryNextPorts: 1 }, none);
    expect(second.port).toBe(PORT + 1);
    await expect(transport.listen({ host: 'a', port: PORT, tryNextPorts: 1 }, none)).rejects.toEqual(coded('PORT_IN_USE'));
    const ports = await Promise.all([0, 0].map(async (port) => (await transport.listen({ host: '127.0.0.1', port }, none)).port));
    expect(new Set([...ports, 0]).size).toBe(3);
    await expect(transport.listen({ host: 'b', port: 1 }, none)).rejects.toEqual(coded('CONFIG_INVALID'));
    await expect(transport.listen({ host: 'a', port: -1 }, none)).rejects.toThrow(RangeError);
    await first[Symbol.asyncDispose]();
    await transport.listen({ host: 'a', port: PORT }, none);
  });

  it('ends with its channels, and then refuses', async () => {
    const world = new World('1');
    const { a, b, listener } = await world.connect();
    await passUntil(world.time, Promise.resolve(listener[Symbol.asyncDispose]()));
    expect(b.isClosed).toBe(true);
    await world.pass(1_000);
    expect(a.seen).toEqual(['closed 1001 ']);
    await expect(world.dial('a', 'b')).rejects.toEqual(coded('PEER_UNREACHABLE'));
  });

  it('is over with the host that did it, and its port is free for the next incarnation', async () => {
    const world = new World('1');
    const { listener } = await world.connect();
    world.crash('b', 'process');
    await expect(world.dial('a', 'b')).rejects.toEqual(coded('PEER_UNREACHABLE'));
    world.start('b');
    await world.listen('b', () => undefined);
    // What is left of the dead one takes nothing away.
    void listener[Symbol.asyncDispose]();
    await world.dial('a', 'b');
  });
});
