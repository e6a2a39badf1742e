import { readFileSync, rmSync, utimesSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { realTimers } from '../../src/app/real-world.ts';
import { silentLog, type Timers } from '../../src/base/world.ts';
import { EMPTY_CUT, type StableCut } from '../../src/entry/stable-cut.ts';
import { Purge, type PurgeLink } from '../../src/node/purge.ts';
import { Replica } from '../../src/replica/replica.ts';
import { FaultyStore, record, recordKey, seededRandom, smallShare, TestClock, turns } from '../replica/world.ts';
import { Cluster, converged, expectSame, sameAddress, until, type TestNode } from './cluster.ts';

const [PEER, STRANGER] = ['bb'.repeat(8), 'cc'.repeat(8)] as const;

interface FakeLink extends PurgeLink {
  readonly session: { peerRoot: Uint8Array; peerStable: StableCut };
  readonly told: StableCut[];
}

function fakeLink(replica: string, peerRoot: Uint8Array): FakeLink {
  const told: StableCut[] = [];
  return {
    hello: { replica, name: `host ${replica.slice(0, 2)}` },
    session: { peerRoot, peerStable: EMPTY_CUT },
    told,
    step: (event) => {
      if (event.type === 'stable') told.push(event.cut);
    },
  };
}

/** Timers that fire when the test says so. */
class TestTimers implements Timers {
  tick: () => void = () => undefined;
  late: () => void = () => undefined;

  after(_afterMs: number, callback: () => void): { cancel(): void } {
    this.late = callback;
    return { cancel: () => undefined };
  }

  every(_everyMs: number, callback: () => void): { cancel(): void } {
    this.tick = callback;
    return { cancel: () => undefined };
  }

  soon(callback: () => void): void {
    realTimers.soon(callback);
  }
}

async function world(): Promise<{
  store: FaultyStore;
  replica: Replica;
  timers: TestTimers;
  links: Map<string, FakeLink>;
  members: { nodeId: string; name: string }[];
  arriving: Set<string>;
  adopted: () => number;
  learn: (learning: boolean) => void;
  purge: Purge;
}> {
  const store = new FaultyStore();
  const replica = await Replica.create(store, smallShare(), new TestClock(), seededRandom(2));
  for (const at of [1, 2, 3]) await replica.write(recordKey(at), record(`${at}`));
  await replica.write(recordKey(2), { kind: 'deleted' });
  const timers = new TestTimers();
  const links = new Map<string, FakeLink>();
  const members: { nodeId: string; name: string }[] = [];
  const arriving = new Set<string>();
  let adopted = 0;
  let isLearning = false;
  const purge = new Purge({
    replica,
    world: { timers, log: silentLog },
    everyMs: 1_000,
    isLearning: () => isLearning,
    members: () => members,
    memberEntries: () => 0,
    links: () => links,
    isArriving: (key) => arriving.has(Buffer.from(key).toString()),
    onAdopted: () => adopted++,
  });
  return { store, replica, timers, links, members, arriving, adopted: () => adopted, learn: (learning) => (isLearning = learning), purge };
}

describe('purging', () => {
  it('needs nobody where a host is alone', async () => {
    const { replica, timers, purge } = await world();
    expect(purge.tombstones).toBe(1);
    timers.tick();
    await turns(5);
    expect([purge.tombstones, replica.entry(recordKey(2)), replica.head.tree.count]).toEqual([0, undefined, 2]);
  });

  it('waits where a host does not know the members yet: it would take itself for all there are', async () => {
    const { replica, timers, learn, purge } = await world();
    learn(true);
    timers.tick();
    await turns(5);
    expect([purge.tombstones, replica.stable]).toEqual([1, EMPTY_CUT]);
    expect(await purge.now()).toEqual({ purged: 0, left: 1, waitingFor: ['the first host that knows the share'] });
    learn(false);
    purge.poke();
    await turns(5);
    expect(purge.tombstones).toBe(0);
  });

  it('takes no cut while a member is away or elsewhere, nor while another peer is; then from the root that all have', async () => {
    const { replica, timers, links, members, adopted, purge } = await world();
    members.push({ nodeId: 'b', name: 'bob' });
    const { root } = replica.head;
    timers.tick();
    await turns(5);
    expect([adopted(), (await purge.now()).waitingFor]).toEqual([0, ['bob']]);
    links.set('b', fakeLink(PEER, new Uint8Array(32)));
    expect(await purge.now()).toEqual({ purged: 0, left: 1, waitingFor: ['bob'] });
    links.get('b')!.session.peerRoot = root;
    links.set('c', fakeLink(STRANGER, new Uint8Array(32)));
    expect((await purge.now()).waitingFor).toEqual(['host cc']);
    links.get('c')!.session.peerRoot = root;
    purge.poke();
    await turns(5);
    expect(adopted()).toBe(1);
    expect(replica.stable).toEqual({ sequences: new Map([[replica.id, 4]]), replicas: new Set([replica.id, PEER, STRANGER]) });
  });

  it('tells the cut after the head, and drops nothing before all that agreed go by it', async () => {
    const { replica, timers, links, members, purge } = await world();
    members.push({ nodeId: 'b', name: 'bob' });
    const bob = fakeLink(PEER, replica.head.root);
    links.set('b', bob);
    timers.tick();
    await turns(5);
    expect([bob.told, purge.tombstones]).toEqual([[], 1]);
    purge.headTold();
    purge.headTold();
    expect(bob.told).toEqual([replica.stable]);
    purge.poke();
    await turns(5);
    expect(purge.tombstones).toBe(1);
    // Who came after the cut was taken has nothing older, and is not waited for; but is told.
    const late = fakeLink(STRANGER, new Uint8Array(32));
    links.set('c', late);
    purge.greet(late);
    expect(late.told).toEqual([replica.stable]);
    bob.session.peerStable = replica.stable;
    purge.heard(replica.stable);
    await turns(5);
    expect(purge.tombstones).toBe(0);
  });

  it('does not wait for one that went away after it agreed', async () => {
    const { replica, timers, links, members, purge } = await world();
    members.push({ nodeId: 'b', name: 'bob' });
    links.set('b', fakeLink(PEER, replica.head.root));
    timers.tick();
    await turns(5);
    expect([purge.tombstones, replica.stable.replicas.has(PEER)]).toEqual([1, true]);
    links.delete('b');
    purge.poke();
    await turns(5);
    expect(purge.tombstones).toBe(0);
  });

  it('goes by what it hears, drops it too, and passes it on', async () => {
    const { replica, links, adopted, purge } = await world();
    const bob = fakeLink(PEER, new Uint8Array(32));
    links.set('b', bob);
    const cut = { sequences: new Map([[replica.id, 4]]), replicas: new Set([PEER, STRANGER]) };
    bob.session.peerStable = cut;
    purge.heard(cut);
    await turns(5);
    expect([replica.stable, adopted(), purge.tombstones]).toEqual([cut, 1, 0]);
    purge.headTold();
    expect(bob.told).toEqual([cut]);
  });

  it('keeps what it heard as soon as the database takes it: a peer tells its cut once', async () => {
    const { store, replica, timers, adopted, purge } = await world();
    const cuts = [4, 3].map((sequence) => ({ sequences: new Map([[replica.id, sequence]]), replicas: new Set([PEER]) }));
    store.fails = () => true;
    for (const cut of cuts) purge.heard(cut);
    await turns(5);
    timers.late();
    await turns(5);
    expect([replica.stable, adopted(), purge.tombstones]).toEqual([EMPTY_CUT, 0, 1]);
    store.fails = () => false;
    timers.late();
    await turns(5);
    expect([replica.stable, adopted(), purge.tombstones]).toEqual([cuts[0], 1, 0]);
  });

  it('comes back at the next turn of the timer to what it had to spare', async () => {
    const { replica, timers, arriving, purge } = await world();
    arriving.add(Buffer.from(recordKey(2)).toString());
    expect(await purge.now()).toEqual({ purged: 0, left: 1, waitingFor: [] });
    arriving.clear();
    purge.poke();
    await turns(5);
    expect(purge.tombstones).toBe(1);
    timers.tick();
    await turns(5);
    expect([purge.tombstones, replica.stable.sequences.size]).toEqual([0, 1]);
  });

  it('that is asked for waits for the peers to answer, but not for ever', async () => {
    const { replica, timers, links, members, purge } = await world();
    members.push({ nodeId: 'b', name: 'bob' });
    const bob = fakeLink(PEER, replica.head.root);
    links.set('b', bob);
    const late = purge.now();
    await turns(5);
    timers.late();
    expect(await late).toEqual({ purged: 0, left: 1, waitingFor: ['host bb'] });
    const answered = purge.now();
    await turns(5);
    bob.session.peerStable = replica.stable;
    purge.poke();
    expect(await answered).toEqual({ purged: 1, left: 0, waitingFor: [] });
  });

  it('keeps its tree from the collection while it reads, and ends when closed', async () => {
    const { replica, timers, purge } = await world();
    const { tree } = replica.head;
    timers.tick();
    expect(purge.trees).toEqual([tree]);
    await purge.close();
    expect(purge.trees).toEqual([]);
    await replica.write(recordKey(1), { kind: 'deleted' });
    purge.poke();
    await turns(5);
    expect(replica.entry(recordKey(1))).toBeDefined();
    expect(await purge.now()).toMatchObject({ purged: 0 });
  });
});

/** All have dropped everything. */
async function purged(...nodes: readonly TestNode[]): Promise<void> {
  await converged(...nodes);
  await until('all tombstones are dropped', async () => {
    const results = await Promise.all(nodes.map(({ api }) => api.purge()));
    return results.every(({ left }) => left === 0);
  });
  await converged(...nodes);
}

describe('hosts', () => {
  it('drop what was deleted on all, keep one root, and a file may come back as if it were new', async () => {
    await using cluster = new Cluster();
    const a = await cluster.start('a');
    for (let at = 0; at < 20; at++) cluster.write('a', `folder/file-${at}`, `bytes ${at}`);
    const b = await cluster.join('b', a);
    const c = await cluster.join('c', a);
    await expectSame(a, b, c);
    const live = a.api.status().entries;
    for (let at = 0; at < 10; at++) rmSync(cluster.path('b', `folder/file-${at}`));
    await c.api.putRecord('note', Buffer.from('x'), undefined);
    await c.api.deleteRecord('note', undefined);
    await expectSame(a, b, c);
    await purged(a, b, c);
    expect(a.api.status().entries).toBe(live - 10);
    // The very same file: bytes, mode and time.
    const time = new Date(1_700_000_000_000);
    for (const folder of ['a', 'c']) {
      cluster.write(folder, 'folder/file-3', 'bytes 3');
      utimesSync(cluster.path(folder, 'folder/file-3'), time, time);
    }
    expect(Object.keys(await expectSame(a, b, c))).toContain('folder/file-3');
    rmSync(cluster.path('a', 'folder/file-3'));
    await expectSame(a, b, c);
    await purged(a, b, c);
    expect(a.api.status().conflicts).toBe(0);
  }, 120_000);

  it('wait for a member that is away, and go on by themselves when it is back', async () => {
    await using cluster = new Cluster();
    const often = { purgeEveryMs: 100 };
    const a = await cluster.start('a', often);
    cluster.write('a', 'x', '1');
    const b = await cluster.join('b', a, often);
    await expectSame(a, b);
    const address = sameAddress(b);
    await cluster.stop(b);
    rmSync(cluster.path('a', 'x'));
    await a.api.scan();
    const alone = await a.api.purge();
    expect(alone).toMatchObject({ purged: 0, left: 1 });
    expect(alone.waitingFor).toHaveLength(1);
    const again = await cluster.start('b', { ...often, ...address });
    await expectSame(a, again);
    await until('both have dropped it', async () => {
      const results = await Promise.all([a, again].map(({ api }) => api.purge()));
      return results.every(({ left }) => left === 0);
    });
    // The cut is known after a restart, too, and to one who joins later.
    await cluster.stop(again);
    const third = await cluster.start('b', address);
    const c = await cluster.join('c', a);
    cluster.write('c', 'x', 'new');
    await expectSame(a, third, c);
    expect(readFileSync(cluster.path('b', 'x'), 'utf8')).toBe('new');
  }, 120_000);
});
