/** Records beside the files: put, get, remove on one host, seen on the other. */
import { describe, expect, test } from 'vitest';
import { Cluster, codeOf, converged, sameAddress, someBytes } from './cluster.ts';

const text = (value: Uint8Array | undefined): string | undefined => (value === undefined ? undefined : Buffer.from(value).toString());

describe('records', () => {
  test('small, empty and large ones arrive, are replaced and removed', async () => {
    await using cluster = new Cluster();
    const [a, b] = await cluster.pair();
    const large = someBytes(3_000_001, 1);
    const limit = someBytes(4_096, 2);
    const above = someBytes(4_097, 3);
    await a.api.putRecord('greeting', Buffer.from('hello'), undefined);
    await a.api.putRecord('nothing', new Uint8Array(0), undefined);
    await a.api.putRecord('models/large', large, undefined);
    await b.api.putRecord('4096', limit, undefined);
    await b.api.putRecord('4097', above, undefined);
    await converged(a, b);
    for (const { api } of [a, b]) {
      expect(text((await api.getRecord('greeting'))?.value)).toBe('hello');
      expect((await api.getRecord('nothing'))?.value).toHaveLength(0);
      expect(Buffer.compare((await api.getRecord('models/large'))!.value, large)).toBe(0);
      expect(Buffer.compare((await api.getRecord('4096'))!.value, limit)).toBe(0);
      expect(Buffer.compare((await api.getRecord('4097'))!.value, above)).toBe(0);
      expect(await api.getRecord('no such key')).toBeUndefined();
    }
    const changed = Buffer.from(large);
    changed[1_500_000]! ^= 1;
    const before = b.api.status().peers[0]!.receivedBytes;
    await a.api.putRecord('models/large', changed, undefined);
    expect(await b.api.deleteRecord('greeting', undefined)).toBe(true);
    expect(await b.api.deleteRecord('greeting', undefined)).toBe(false);
    await converged(a, b);
    expect(Buffer.compare((await b.api.getRecord('models/large'))!.value, changed)).toBe(0);
    expect(b.api.status().peers[0]!.receivedBytes - before).toBeLessThan(400_000);
    expect(await a.api.getRecord('greeting')).toBeUndefined();
    expect(a.api.list({ prefix: 'r/', after: undefined, limit: 10 }).items.map(({ key }) => key)).toEqual([
      'r/4096',
      'r/4097',
      'r/models/large',
      'r/nothing',
    ]);
  });

  test('they are still there after a restart of both', async () => {
    await using cluster = new Cluster();
    const [a, b] = await cluster.pair();
    const large = someBytes(1_000_000, 4);
    await a.api.putRecord('x', large, undefined);
    await converged(a, b);
    const address = sameAddress(a);
    await cluster.stop(a, b);
    const again = [await cluster.start('a', address), await cluster.start('b')];
    await converged(...again);
    for (const { api } of again) expect(Buffer.compare((await api.getRecord('x'))!.value, large)).toBe(0);
  });

  test('two writes that did not see each other are siblings on both hosts, until one has seen both', async () => {
    await using cluster = new Cluster();
    const [a, b] = await cluster.pair();
    await a.api.putRecord('key', Buffer.from('base'), undefined);
    await converged(a, b);
    const address = sameAddress(a);
    await cluster.stop(b);
    await a.api.putRecord('key', Buffer.from('by a'), undefined);
    await cluster.stop(a);
    // `b` is told of no address: it stays alone until `a` is back.
    const [b2] = [await cluster.start('b')];
    await b2.api.putRecord('key', Buffer.from('by b'), undefined);
    const a2 = await cluster.start('a', address);
    await converged(a2, b2);
    const [onA, onB] = [await a2.api.getRecord('key'), await b2.api.getRecord('key')];
    expect(onA).toEqual(onB);
    expect([onA!.value, ...onA!.siblings].map(text).sort()).toEqual(['by a', 'by b']);
    expect(a2.api.status().conflicts).toBe(1);
    await b2.api.putRecord('key', Buffer.from('merged'), onB!.etag);
    await converged(a2, b2);
    expect(text((await a2.api.getRecord('key'))!.value)).toBe('merged');
    expect((await a2.api.getRecord('key'))!.siblings).toEqual([]);
    expect(a2.api.status().conflicts).toBe(0);
  });

  test('If-Match: a stale tag changes nothing', async () => {
    await using cluster = new Cluster();
    const [a, b] = await cluster.pair();
    expect(await codeOf(a.api.putRecord('k', Buffer.from('x'), '*'))).toBe('STALE_WRITE');
    const { etag } = await a.api.putRecord('k', Buffer.from('one'), undefined);
    await converged(a, b);
    expect((await b.api.getRecord('k'))!.etag).toBe(etag);
    const next = await b.api.putRecord('k', Buffer.from('two'), etag);
    await converged(a, b);
    expect(await codeOf(a.api.putRecord('k', Buffer.from('three'), etag))).toBe('STALE_WRITE');
    expect(await codeOf(a.api.deleteRecord('k', etag))).toBe('STALE_WRITE');
    expect(await codeOf(a.api.putRecord('k', Buffer.from('three'), '"no such tag"'))).toBe('STALE_WRITE');
    expect(text((await a.api.getRecord('k'))!.value)).toBe('two');
    await a.api.putRecord('k', Buffer.from('three'), next.etag);
    await a.api.putRecord('k', Buffer.from('four'), '*');
    expect(text((await a.api.getRecord('k'))!.value)).toBe('four');
  });

  test('keys that can not be are refused, and any other text is a key', async () => {
    await using cluster = new Cluster();
    const [a, b] = await cluster.pair();
    expect(await codeOf(a.api.putRecord('', Buffer.from('x'), undefined))).toBe('KEY_INVALID');
    expect(await codeOf(a.api.putRecord('a\0b', Buffer.from('x'), undefined))).toBe('KEY_INVALID');
    expect(await codeOf(a.api.putRecord('x'.repeat(1_025), Buffer.from('x'), undefined))).toBe('KEY_INVALID');
    const keys = ['x'.repeat(1_024), '../../etc/passwd', 'line\nbreak', 'ключ', '/', '.'];
    for (const key of keys) await a.api.putRecord(key, Buffer.from(key), undefined);
    await converged(a, b);
    for (const key of keys) expect(text((await b.api.getRecord(key))?.value)).toBe(key);
  });
});
