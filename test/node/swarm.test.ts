/**
 * Hosts that want the same content at the same time: fetchers that serve each other what they have, as their servers would do.
 */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { byteKey, toHex } from '../../src/base/bytes.ts';
import { KIB, MIB, SWARM_WINDOW_BYTES } from '../../src/base/limits.ts';
import { silentLog, type Timer, type Timers } from '../../src/base/world.ts';
import { makeOrder, makeRequest } from '../../src/node/fetch-order.ts';
import { Fetcher } from '../../src/node/fetcher.ts';
import { Mates } from '../../src/node/mates.ts';
import { contentKey, FetchPlan } from '../../src/session/fetch-plan.ts';
import { SeededRandom } from '../../src/simulation/random.ts';
import { MemoryStore } from '../../src/store/memory-store.ts';
import { decodeMessage, encodeChunks, encodeMessage } from '../../src/wire/codec.ts';
import type { ChunkFrame, Message, MessageOf } from '../../src/wire/messages.ts';
import { turns } from '../replica/world.ts';
import { Cluster, converged } from './cluster.ts';
import { FakeTarget, makeContent, type TestContent } from './parts.ts';

const CHUNK_BYTES = 64 * KIB;

const TURN_MS = 10;

/** Time that passes with the turns. */
class TurnTime implements Timers {
  #nowMs = 0;
  readonly #due: { atMs: number; callback: () => void }[] = [];

  after(afterMs: number, callback: () => void): Timer {
    const timer = { atMs: this.#nowMs + afterMs, callback };
    this.#due.push(timer);
    return { cancel: () => (timer.callback = () => {}) };
  }

  every(): Timer {
    throw new Error('not needed here');
  }

  soon(callback: () => void): void {
    this.after(0, callback);
  }

  pass(): void {
    this.#nowMs += TURN_MS;
    for (const timer of this.#due.splice(0)) {
      if (timer.atMs <= this.#nowMs) timer.callback();
      else this.#due.push(timer);
    }
  }
}

/** A host of the swarm, or its source, which has everything from the start. */
class Host {
  readonly name: string;
  readonly content: TestContent;
  readonly target = new FakeTarget();
  readonly fetcher: Fetcher;
  readonly isSource: boolean;
  readonly time = new TurnTime();
  /** Answers no request any more. */
  isSilent = false;
  /** Sends wrong bytes. */
  isEvil = false;
  servedBytes = 0;
  readonly #queues = new Map<Host, Message[]>();
  #requests: { readonly from: Host; readonly message: MessageOf<'fetch'> }[] = [];

  constructor(name: string, content: TestContent, isSource: boolean) {
    this.name = name;
    this.content = content;
    this.isSource = isSource;
    this.fetcher = new Fetcher(new MemoryStore(), { log: silentLog, random: new SeededRandom(name), timers: this.time });
  }

  /** Connects both ways. */
  meet(other: Host): void {
    this.#attach(other);
    other.#attach(this);
  }

  part(other: Host): void {
    for (const [one, two] of [
      [this, other],
      [other, this],
    ] as const) {
      one.#queues.delete(two);
      one.#requests = one.#requests.filter(({ from }) => from !== two);
    }
    this.fetcher.detach(other.name);
    other.fetcher.detach(this.name);
  }

  #attach(other: Host): void {
    this.#queues.set(other, []);
    this.fetcher.attach(other.name, (message) => this.#queues.get(other)?.push(decodeMessage(encodeMessage(message)) as Message));
  }

  /** All messages go through, but each host answers one request a turn: that is what it can send. */
  async turn(): Promise<void> {
    for (const [other, queue] of this.#queues) for (const message of queue.splice(0)) await other.#take(this, message);
    this.time.pass();
    const request = this.isSilent ? undefined : this.#requests.shift();
    if (request !== undefined) await this.#serve(request.from, request.message);
  }

  async #take(from: Host, message: Message): Promise<void> {
    if (message.type === 'have') this.fetcher.mates.heard(from.name, message);
    else if (message.type === 'list-pages') {
      const pages = message.hashes.map((hash) => this.content.pages.get(byteKey(hash)));
      from.fetcher.onListPages(this.name, { type: 'list-pages-reply', id: message.id, pages });
    } else if (message.type === 'fetch') this.#requests.push({ from, message });
  }

  async #serve(to: Host, { id, items }: MessageOf<'fetch'>): Promise<void> {
    const gone: number[] = [];
    for (const [item, { content, firstChunk, chunks: count }] of items.entries()) {
      expect(toHex(content)).toBe(toHex(this.content.id));
      if (!this.isSource && !this.fetcher.mates.holds(content, { first: firstChunk, count })) {
        gone.push(item);
        continue;
      }
      const own = this.content.chunks.slice(firstChunk, firstChunk + count);
      const chunks = own.map((bytes, at) => ({ item, chunk: firstChunk + at, bytes: this.isEvil ? Buffer.alloc(bytes.length, 1) : bytes }));
      this.servedBytes += chunks.reduce((sum, { bytes }) => sum + bytes.length, 0);
      await to.fetcher.onChunks(this.name, decodeMessage(encodeChunks(id, chunks)) as ChunkFrame);
    }
    to.fetcher.onFetched(this.name, { type: 'fetched', id, gone });
  }

  want(source: Host): Promise<void> {
    return this.fetcher.fetch(this.content.id, this.content.bytes, this.target, [source.name]);
  }
}

function makeHosts(count: number, chunks: number = 512): { source: Host; hosts: Host[]; content: TestContent } {
  const content = makeContent(3, chunks, CHUNK_BYTES);
  const source = new Host('source', content, true);
  const hosts = Array.from({ length: count }, (_, index) => new Host(`host${index}`, content, false));
  for (const [index, host] of hosts.entries()) {
    host.meet(source);
    for (const other of hosts.slice(0, index)) host.meet(other);
  }
  return { source, hosts, content };
}

/** Until all have it. `each` is called after every turn. */
async function run(all: readonly Host[], wanted: readonly Promise<void>[], each: (turn: number) => void = () => {}): Promise<void> {
  let over = false;
  const done = Promise.all(wanted).finally(() => (over = true));
  for (let turn = 0; !over; turn++) {
    expect(turn).toBeLessThan(20_000);
    for (const host of all) await host.turn();
    await turns();
    each(turn);
  }
  await done;
}

describe('hosts that fetch the same content', () => {
  it('have it from the source about once, and from each other', async () => {
    const { source, hosts, content } = makeHosts(6);
    await run(
      [source, ...hosts],
      hosts.map((host) => host.want(source)),
    );
    for (const host of hosts) {
      expect(host.target.isWhole(content)).toBe(true);
      // Nothing came twice.
      expect(host.target.bytesWritten).toBe(content.bytes);
    }
    // Six times without mates; what is under way at the same moment may be asked for by several.
    expect(source.servedBytes).toBeLessThan(content.bytes * 3);
    for (const host of hosts) expect(host.servedBytes).toBeGreaterThan(content.bytes / 4);
  });

  it('are served by one that begins later, and serve it', async () => {
    const { source, hosts, content } = makeHosts(2);
    const [early, late] = hosts as [Host, Host];
    let lateFetch: Promise<void> | undefined;
    await run([source, ...hosts], [early.want(source)], () => {
      if (early.target.bytesWritten > content.bytes / 2) lateFetch ??= late.want(source);
    });
    await run([source, ...hosts], [lateFetch!]);
    expect(late.target.isWhole(content)).toBe(true);
    expect(early.servedBytes).toBeGreaterThan(content.bytes / 4);
  });

  it('give up one that tells what it has, and answers nothing', async () => {
    const { source, hosts, content } = makeHosts(3, 1_024);
    const [silent, other, last] = hosts as [Host, Host, Host];
    // More than it could be asked for before all its requests wait.
    await run([source, silent], [silent.want(source)]);
    silent.isSilent = true;
    // It is still fetching, as far as it tells.
    const wanted = [other.want(source), last.want(source)];
    for (const host of [other, last])
      host.fetcher.mates.heard(silent.name, { type: 'have', content: content.id, runs: [{ first: 0, count: content.chunks.length }] });
    await run([source, ...hosts], wanted);
    for (const host of [other, last]) expect(host.target.isWhole(content)).toBe(true);
    expect(silent.servedBytes).toBe(0);
  });

  it('ask one that sends wrong bytes for nothing more', async () => {
    const { source, hosts, content } = makeHosts(2);
    const [evil, other] = hosts as [Host, Host];
    evil.isEvil = true;
    await run([source, evil], [evil.want(source)]);
    const wanted = other.want(source);
    other.fetcher.mates.heard(evil.name, { type: 'have', content: content.id, runs: [{ first: 0, count: content.chunks.length }] });
    await run([source, ...hosts], [wanted]);
    expect(other.target.isWhole(content)).toBe(true);
    // What was on its way when the first of them came.
    expect(evil.servedBytes).toBeGreaterThan(0);
    expect(evil.servedBytes).toBeLessThanOrEqual(SWARM_WINDOW_BYTES);
  });

  it('have it whole although one sends wrong bytes, one leaves in the middle, and one comes back', async () => {
    const { source, hosts, content } = makeHosts(5);
    const [evil, leaving, returning, ...rest] = hosts as [Host, Host, Host, ...Host[]];
    evil.isEvil = true;
    const all = [source, ...hosts];
    const others = [returning, ...rest];
    // A host that is cut off from everybody cannot go on.
    const abandoned = leaving.want(source).catch(() => 'gone');
    await run(
      all,
      [...others, evil].map((host) => host.want(source)),
      (turn) => {
        if (turn === 20) for (const host of all) if (host !== leaving) leaving.part(host);
        if (turn === 30) for (const host of rest) returning.part(host);
        if (turn === 40) for (const host of rest) returning.meet(host);
      },
    );
    for (const host of others) expect(host.target.isWhole(content)).toBe(true);
    expect(await abandoned).toBe('gone');
    for (const host of others) expect(host.fetcher.pending).toBe(0);
  });
});

it.each([1, 4])('a mate has two seconds a megabyte to answer a request of %i MiB', (mib) => {
  const time = new TurnTime();
  const content = makeContent(3, 64, CHUNK_BYTES);
  const order = makeOrder(content.id, content.bytes, new FakeTarget(), []);
  const piece = { content: content.id, contentBytes: content.bytes, firstChunk: 0, chunks: [], bytes: mib * MIB };
  const slow = { send: () => undefined, requests: new Map([[1, makeRequest([piece])]]), pages: new Map<number, never>() };
  const mates = new Mates({
    plan: new FetchPlan(new SeededRandom('slow')),
    orders: new Map([[contentKey(content.id), order]]),
    peers: new Map([['slow', slow]]),
    timers: time,
    pump: () => undefined,
  });
  const tell = (): void => mates.heard('slow', { type: 'have', content: content.id, runs: [{ first: 0, count: 64 }] });
  const pass = (seconds: number): void => {
    for (let ms = 0; ms < seconds * 1000; ms += TURN_MS) time.pass();
  };
  tell();
  // The first look sees what is waited for.
  pass(2 * mib);
  expect(order.swarm!.mates).toEqual(['slow']);
  pass(0.5);
  tell();
  expect(order.swarm!.mates).toEqual([]);
  slow.requests.clear();
  pass(0.5);
  tell();
  expect(order.swarm!.mates).toEqual(['slow']);
  mates.close();
});

it('real hosts in a mesh take a new file from each other while it is still under way', async () => {
  await using cluster = new Cluster();
  const a = await cluster.start('a');
  const others = await Promise.all(['b', 'c', 'd'].map((name) => cluster.join(name, a)));
  await converged(a, ...others);
  const bytes = 48 * MIB;
  writeFileSync(cluster.path('a', 'large.bin'), randomBytes(bytes));
  await converged(a, ...others);
  const sentBytes = (peers: readonly { readonly sentBytes: number }[]): number => peers.reduce((sum, peer) => sum + peer.sentBytes, 0);
  // Three times without mates.
  expect(sentBytes(a.api.status().peers)).toBeLessThan(bytes * 2.3);
  for (const { api } of others) {
    const received = api.status().peers.reduce((sum, peer) => sum + peer.receivedBytes, 0);
    expect(received).toBeLessThan(bytes * 1.05);
  }
});
