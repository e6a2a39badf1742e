import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  addressOf,
  Cluster,
  codeOf,
  connections,
  converged,
  contentsOf,
  expectSame,
  sameAddress,
  until,
  type TestNode,
} from './cluster.ts';

const HOUR_MS = 3_600_000;

function codes({ api }: TestNode): string[] {
  return api.status().errors.map(({ code }) => code);
}

/** The host knows that it was evicted, and talks to nobody. */
async function evicted(node: TestNode): Promise<void> {
  await until(
    'the host knows that it was evicted',
    () => node.api.status().state === 'degraded' && codes(node).includes('EVICTED') && connections(node.api.status()) === 0,
    () => node.api.status(),
  );
}

async function three(cluster: Cluster): Promise<[TestNode, TestNode, TestNode]> {
  const a = await cluster.start('a');
  cluster.write('a', 'shared', 'old');
  cluster.write('a', 'gone', 'soon');
  const [b, c] = await Promise.all([cluster.join('b', a), cluster.join('c', a)]);
  await expectSame(a, b, c);
  return [a, b, c];
}

describe('an evicted host', () => {
  it('is talked to by nobody and waited for by nobody, and keeps its folder; also after a restart', async () => {
    await using cluster = new Cluster();
    const [a, b, c] = await three(cluster);
    expect(await b.api.evict(c.id.slice(0, 12))).toMatchObject({ nodeId: c.id });
    await evicted(c);
    rmSync(cluster.path('a', 'gone'));
    cluster.write('b', 'shared', 'new');
    await expectSame(a, b);
    for (const { api } of [a, b]) {
      expect(api.status().peers.map(({ nodeId }) => nodeId)).not.toContain(c.id);
      expect((await api.wait({ timeoutMs: 30_000 })).done).toBe(true);
    }
    await until('the tombstone is dropped', async () => (await a.api.purge()).left === 0);
    expect([readFileSync(cluster.path('c', 'shared'), 'utf8'), existsSync(cluster.path('c', 'gone'))]).toEqual(['old', true]);
    const address = sameAddress(c);
    await cluster.stop(c);
    const again = await cluster.start('c', address);
    await evicted(again);
    expect(Object.keys(contentsOf(cluster.path('c'))).sort()).toEqual(['gone', 'shared']);
  }, 120_000);

  it('that was away learns it when it comes', async () => {
    await using cluster = new Cluster();
    const [a, b, c] = await three(cluster);
    const address = sameAddress(c);
    await cluster.stop(c);
    await a.api.evict(c.id);
    await converged(a, b);
    cluster.write('c', 'mine', 'x');
    const again = await cluster.start('c', address);
    await evicted(again);
    await converged(a, b);
    expect(existsSync(cluster.path('a', 'mine'))).toBe(false);
  }, 120_000);

  it('comes back with a new invitation: takes what is there, and what only it has is set aside', async () => {
    await using cluster = new Cluster();
    const [a, b, c] = await three(cluster);
    await a.api.evict(c.id);
    await evicted(c);
    await cluster.stop(c);
    rmSync(cluster.path('a', 'gone'));
    cluster.write('b', 'shared', 'new');
    cluster.write('c', 'shared', 'edited while away');
    cluster.write('c', 'mine', 'x');
    await expectSame(a, b);
    await until('the tombstone is dropped', async () => (await a.api.purge()).left === 0);
    const back = await cluster.join('c', b);
    expect(back.id).toBe(c.id);
    await until(
      'it is back',
      () => back.api.status().returning?.done === true,
      () => back.api.status(),
    );
    expect(Object.keys(await expectSame(a, b, back))).toEqual(['shared']);
    expect(readFileSync(cluster.path('c', 'shared'), 'utf8')).toBe('new');
    const quarantine = cluster.path('c', back.api.status().returning!.quarantine);
    expect(readdirSync(quarantine).sort()).toEqual(['gone', 'mine', 'shared']);
    expect(readFileSync(`${quarantine}/shared`, 'utf8')).toBe('edited while away');
    expect(readdirSync(cluster.path('c', '.sameroot')).filter((name) => name.startsWith('db.evicted-'))).toHaveLength(1);
    // It is a member like any other, with and without its invitation.
    cluster.write('c', 'from-c', '1');
    await expectSame(a, b, back);
    const address = sameAddress(back);
    await cluster.stop(back);
    const restarted = await cluster.start('c', address);
    await expectSame(a, b, restarted);
    expect(restarted.api.status().returning).toBeUndefined();
  }, 120_000);

  it('that is back does not believe a host that has heard of its eviction only, but the next eviction', async () => {
    await using cluster = new Cluster();
    const [a, b, c] = await three(cluster);
    await a.api.evict(c.id);
    await evicted(c);
    await expectSame(a, b);
    await cluster.stop(c);
    const addressOfB = sameAddress(b);
    await cluster.stop(b);
    const back = await cluster.join('c', a);
    await until('it is back', () => back.api.status().returning?.done === true);
    await expectSame(a, back);
    const addressOfA = sameAddress(a);
    await cluster.stop(a);
    const stale = await cluster.start('b', addressOfB);
    await until('it is refused', () => back.api.status().peers.some(({ nodeId, error }) => nodeId === b.id && error?.code === 'EVICTED'));
    expect(codes(back)).not.toContain('EVICTED');
    const inviter = await cluster.start('a', addressOfA);
    cluster.write('c', 'from-c', '1');
    await expectSame(inviter, stale, back);
    await inviter.api.evict(back.id);
    await evicted(back);
  }, 120_000);

  it('stays away with an invitation from before, and with one that does not hold', async () => {
    await using cluster = new Cluster();
    const [a, , c] = await three(cluster);
    const early = await a.api.invite({ expiresMs: HOUR_MS });
    await a.api.evict(c.id);
    await evicted(c);
    await cluster.stop(c);
    expect(await codeOf(cluster.start('c', { token: 'sr1nonsense' }))).toBe('BAD_TOKEN');
    const { token } = await a.api.invite({ expiresMs: -HOUR_MS });
    expect(await codeOf(cluster.start('c', { token }))).toBe('TOKEN_EXPIRED');
    const again = await cluster.start('c');
    await evicted(again);
    expect(readdirSync(cluster.path('c', '.sameroot')).filter((name) => name.startsWith('db.'))).toEqual([]);
    await cluster.stop(again);
    const late = await cluster.start('c', { token: early.token, join: [addressOf(a)] });
    await evicted(late);
    expect(a.api.status().peers.map(({ nodeId }) => nodeId)).not.toContain(c.id);
  }, 120_000);
});

describe('a member that was away', () => {
  /** `b` was away when `c` joined through `a`, and is back; `a` is gone. */
  async function missed(
    cluster: Cluster,
    beforeBack: (b: TestNode) => Promise<unknown> = () => Promise.resolve(),
  ): Promise<[b: TestNode, c: TestNode]> {
    cluster.write('a', 'shared', 'old');
    const a = await cluster.start('a');
    const b = await cluster.join('b', a);
    await expectSame(a, b);
    const address = sameAddress(b);
    await cluster.stop(b);
    const c = await cluster.join('c', a);
    await expectSame(a, c);
    await cluster.stop(a);
    const back = await cluster.start('b', address);
    await beforeBack(back);
    return [back, c];
  }

  it('lets in those who joined meanwhile, on the word of a member', async () => {
    await using cluster = new Cluster();
    const [b, c] = await missed(cluster);
    cluster.write('c', 'from-c', '1');
    expect(Object.keys(await expectSame(b, c)).sort()).toEqual(['from-c', 'shared']);
    expect(b.api.status().peers.map(({ nodeId }) => nodeId)).toContain(c.id);
  }, 120_000);

  it('does not on the word of one that it has evicted since, but on an invitation; they keep what they have', async () => {
    await using cluster = new Cluster();
    const [b, c] = await missed(cluster, async (back) => back.api.evict(back.api.status().peers[0]!.nodeId));
    const refusal = (): string | undefined => c.api.status().peers.find(({ nodeId }) => nodeId === b.id)?.error?.code;
    await until(
      'it is told why',
      () => refusal() === 'INVITER_EVICTED',
      () => c.api.status(),
    );
    expect(b.api.status().peers).toEqual([]);
    const address = sameAddress(c);
    await cluster.stop(c);
    cluster.write('c', 'from-c', '1');
    const again = await cluster.join('c', b, address);
    expect(Object.keys(await expectSame(b, again)).sort()).toEqual(['from-c', 'shared']);
    expect(again.api.status().returning).toBeUndefined();
  }, 120_000);
});

describe('an invitation', () => {
  it('of a host that was evicted is refused with the reason', async () => {
    await using cluster = new Cluster();
    const [a, b, c] = await three(cluster);
    const { token } = await c.api.invite({ expiresMs: HOUR_MS });
    await a.api.evict(c.id);
    await evicted(c);
    const d = await cluster.start('d', { token, join: [addressOf(c)] });
    await until(
      'it is told why',
      () => codes(d).includes('INVITER_EVICTED'),
      () => d.api.status(),
    );
    expect(connections(c.api.status())).toBe(0);
    await cluster.stop(d);
    const joined = await cluster.join('d', b);
    await expectSame(a, b, joined);
  }, 120_000);
});

describe('evict', () => {
  it('names one other member', async () => {
    await using cluster = new Cluster();
    const [a, b] = await cluster.pair();
    await converged(a, b);
    expect(await codeOf(a.api.evict('nobody'))).toBe('NOT_FOUND');
    expect(await codeOf(a.api.evict(a.id))).toBe('CONFIG_INVALID');
    // Both have the name of this host.
    const [peer] = a.api.status().peers;
    expect(await codeOf(a.api.evict(peer!.name))).toBe('CONFIG_INVALID');
    await converged(a, b);
  }, 60_000);

  it('may be of the founder', async () => {
    await using cluster = new Cluster();
    const [a, b, c] = await three(cluster);
    await b.api.evict(a.id);
    await evicted(a);
    cluster.write('c', 'later', '1');
    expect(Object.keys(await expectSame(b, c))).toContain('later');
    const d = await cluster.join('d', c);
    await expectSame(b, c, d);
    expect(existsSync(cluster.path('a', 'later'))).toBe(false);
  }, 120_000);
});
