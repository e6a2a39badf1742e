import { describe, expect, it } from 'vitest';
import { SamerootError } from '../../src/base/errors.ts';
import { silentLog, type Timers } from '../../src/base/world.ts';
import type { DiskAccess } from '../../src/folder/disk.ts';
import type { WorkCaller } from '../../src/folder/work-threads.ts';
import type { Listener, ListenOptions, Transport } from '../../src/net/transport.ts';
import type { NodeOptions } from '../../src/node/node-api.ts';
import { startNode, type Grounds } from '../../src/node/node.ts';
import { MemoryStore } from '../../src/store/memory-store.ts';
import { TestClock, turns } from '../replica/world.ts';
import { codeOf } from './cluster.ts';
import { makeIdentity } from './parts.ts';

const OPTIONS: NodeOptions = {
  folder: '/share',
  dataDir: '/share/.sameroot',
  shareName: 'test',
  listen: { host: '0.0.0.0', port: 7 },
  listenAnyPort: false,
  advertise: true,
  join: [{ host: 'other', port: 8 }],
  token: undefined,
  insecure: true,
  settleMs: 50,
  rescanMs: 1_000_000,
  pullEveryMs: 30_000,
  minFreeBytes: 0,
};

/** Moves on when it is told to. */
class TestTimers implements Timers {
  readonly clock: TestClock;
  readonly #open = new Set<{ atMs: number; everyMs: number | undefined; callback: () => void }>();

  constructor(clock: TestClock) {
    this.clock = clock;
  }

  get pending(): number {
    return this.#open.size;
  }

  after(afterMs: number, callback: () => void): { cancel(): void } {
    return this.#add(afterMs, undefined, callback);
  }

  every(everyMs: number, callback: () => void): { cancel(): void } {
    return this.#add(everyMs, everyMs, callback);
  }

  soon(callback: () => void): void {
    this.#add(0, undefined, callback);
  }

  #add(afterMs: number, everyMs: number | undefined, callback: () => void): { cancel(): void } {
    const timer = { atMs: this.clock.wall + afterMs, everyMs, callback };
    this.#open.add(timer);
    return { cancel: () => void this.#open.delete(timer) };
  }

  async advance(byMs: number): Promise<void> {
    this.clock.wall += byMs;
    for (const timer of this.#open) {
      if (timer.atMs > this.clock.wall) continue;
      if (timer.everyMs === undefined) this.#open.delete(timer);
      else timer.atMs += timer.everyMs;
      timer.callback();
    }
    await turns();
  }
}

/** A network that nobody else is on. */
class LonelyTransport implements Transport {
  readonly dialedAtMs: number[] = [];
  listening = 0;
  readonly #clock: TestClock;
  readonly #portTaken: boolean;

  constructor(clock: TestClock, portTaken: boolean) {
    this.#clock = clock;
    this.#portTaken = portTaken;
  }

  listen({ host, port }: ListenOptions): Promise<Listener> {
    if (this.#portTaken) return Promise.reject(new SamerootError('PORT_IN_USE', 'the port is taken'));
    this.listening++;
    const dispose = (): Promise<void> => {
      this.listening--;
      return Promise.resolve();
    };
    return Promise.resolve({ host, port, [Symbol.asyncDispose]: dispose });
  }

  dial(): Promise<never> {
    this.dialedAtMs.push(this.#clock.wall);
    return Promise.reject(new SamerootError('PEER_UNREACHABLE', 'nobody is there'));
  }
}

interface TestGrounds extends Grounds {
  readonly timers: TestTimers;
  readonly transport: LonelyTransport;
  readonly closed: string[];
}

/** Grounds with nothing on the disk: a node that has not joined yet looks whether its folder was shared before, no more. */
function makeGrounds({ portTaken = false, addresses = ['10.1.2.3', '10.1.2.4'] } = {}): TestGrounds {
  const clock = new TestClock();
  const timers = new TestTimers(clock);
  const closed: string[] = [];
  const close = (name: string) => (): Promise<void> => {
    closed.push(name);
    return Promise.resolve();
  };
  const thread = (name: string): WorkCaller => ({
    width: 1,
    busy: 0,
    call: () => Promise.reject(new Error('there is no disk')),
    [Symbol.asyncDispose]: close(name),
  });
  const store = new MemoryStore();
  store.close = close('store');
  const random = { bytes: (count: number) => new Uint8Array(count), fraction: () => 0.5 };
  return {
    world: { clock, timers, random, log: silentLog },
    timers,
    store,
    identity: makeIdentity(),
    transport: new LonelyTransport(clock, portTaken),
    access: { disk: { lstat: () => undefined } } as unknown as DiskAccess,
    threads: { read: thread('read'), write: thread('write'), work: thread('work') },
    hostName: 'here',
    networkAddresses: () => addresses,
    closed,
  };
}

describe('the grounds of a node', () => {
  it('are closed with it, after everything that may use them', async () => {
    const grounds = makeGrounds();
    const node = await startNode(OPTIONS, grounds);
    expect([grounds.closed, grounds.transport.listening]).toEqual([[], 1]);
    await node[Symbol.asyncDispose]();
    await node[Symbol.asyncDispose]();
    expect([grounds.closed, grounds.transport.listening]).toEqual([['read', 'write', 'work', 'store'], 0]);
    expect(grounds.timers.pending).toBe(0);
  });

  it('are closed where it does not come to be', async () => {
    for (const [code, options, portTaken] of [
      ['BAD_TOKEN', { token: 'sr1nonsense' }, false],
      ['NOT_INVITED', { insecure: false }, false],
      ['PORT_IN_USE', {}, true],
    ] as const) {
      const grounds = makeGrounds({ portTaken });
      expect(await codeOf(startNode({ ...OPTIONS, ...options }, grounds))).toBe(code);
      expect([grounds.closed, grounds.transport.listening, grounds.timers.pending], code).toEqual([
        ['read', 'write', 'work', 'store'],
        0,
        0,
      ]);
    }
  });

  it('say where it can be reached, the first guess first', async () => {
    const addressWith = async (addresses: string[], host: string): Promise<string> => {
      await using node = await startNode({ ...OPTIONS, listen: { host, port: 7 } }, makeGrounds({ addresses }));
      return node.status().addresses.peer;
    };
    expect(await addressWith(['10.1.2.3', '10.1.2.4'], '0.0.0.0')).toBe('10.1.2.3:7');
    expect(await addressWith([], '::')).toBe('here:7');
    expect(await addressWith(['10.1.2.3'], '127.0.0.1')).toBe('127.0.0.1:7');
  });

  it('give it all its time and chance: it dials again after pauses that they alone decide', async () => {
    const grounds = makeGrounds();
    const { timers, transport } = grounds;
    const startMs = timers.clock.wall;
    await using node = await startNode(OPTIONS, grounds);
    await turns();
    while (timers.clock.wall < startMs + 100_000) await timers.advance(100);
    const secondsFromStart = transport.dialedAtMs.map((atMs) => (atMs - startMs) / 1_000);
    expect(secondsFromStart).toEqual([0, 0.3, 0.9, 2.1, 4.5, 9.3, 18.9, 38.1, 68.1, 98.1]);
    expect(node.status().errors.map(({ code, nextRetry }) => [code, nextRetry])).toEqual([
      ['PEER_UNREACHABLE', new Date(startMs + 128_100).toISOString()],
    ]);
  });
});
