/** Restarts and interruptions without crash: what was known stays known, and only what is missing moves. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Log } from '../../src/base/world.ts';
import {
  Cluster,
  connections,
  contentsOf,
  converged,
  expectSame,
  receivedBytes,
  sameAddress,
  sentBytes,
  someBytes,
  until,
} from './cluster.ts';

/** Remembers the messages of a log. */
function listening(): Log & { readonly messages: string[] } {
  const messages: string[] = [];
  const note = (message: string): void => void messages.push(message);
  return { messages, debug: note, info: note, warn: note, error: note };
}

describe('restart', () => {
  test('the receiver goes on from where it was: no walk, few bytes', async () => {
    await using cluster = new Cluster();
    for (let i = 0; i < 1_000; i++) cluster.write('a', `f/${i % 20}/${i}`, someBytes(500, i));
    const [a, b] = await cluster.pair();
    await converged(a, b);
    const address = sameAddress(a);
    await cluster.stop(b);
    const log = listening();
    const b2 = await cluster.start('b', {}, log);
    await converged(a, b2);
    expect(receivedBytes(b2) + sentBytes(b2)).toBeLessThan(4_000);
    expect(log.messages.filter((message) => message.includes('walk'))).toEqual([]);
    // Changes made while it was away come as changes, too.
    await cluster.stop(b2);
    for (let i = 0; i < 10; i++) cluster.write('a', `f/${i}/new`, `new ${i}`);
    await a.api.scan();
    const log3 = listening();
    const b3 = await cluster.start('b', {}, log3);
    await expectSame(a, b3);
    expect(receivedBytes(b3) + sentBytes(b3)).toBeLessThan(20_000);
    expect(log3.messages.filter((message) => message.includes('walk'))).toEqual([]);
    // And so after a restart of both.
    await cluster.stop(a, b3);
    const log4 = listening();
    const a4 = await cluster.start('a', address);
    const b4 = await cluster.start('b', {}, log4);
    await converged(a4, b4);
    expect(receivedBytes(b4) + sentBytes(b4)).toBeLessThan(4_000);
    expect(log4.messages.filter((message) => message.includes('walk'))).toEqual([]);
  });

  test('what was sent before a connection ended still counts after it', async () => {
    await using cluster = new Cluster();
    cluster.write('a', 'file', someBytes(100_000, 1));
    const [a, b] = await cluster.pair();
    await converged(a, b);
    const sent = sentBytes(a);
    expect(sent).toBeGreaterThan(100_000);
    await cluster.stop(b);
    await until('b is gone', () => connections(a.api.status()) === 0);
    expect(sentBytes(a)).toBeGreaterThanOrEqual(sent);
    const b2 = await cluster.start('b');
    await converged(a, b2);
    expect(sentBytes(a)).toBeGreaterThan(sent);
    expect(sentBytes(b2)).toBeLessThan(100_000);
  });

  test('both changed while apart', async () => {
    await using cluster = new Cluster();
    for (let i = 0; i < 300; i++) cluster.write('a', `f/${i}`, `file ${i}`);
    const [a, b] = await cluster.pair();
    await converged(a, b);
    const address = sameAddress(a);
    await cluster.stop(a, b);
    cluster.write('a', 'only-a', 'a');
    cluster.write('b', 'only-b', 'b');
    rmSync(cluster.path('a', 'f/1'));
    rmSync(cluster.path('b', 'f/2'));
    writeFileSync(cluster.path('a', 'f/3'), 'changed by a');
    writeFileSync(cluster.path('b', 'f/4'), 'changed by b');
    const [a2, b2] = [await cluster.start('a', address), await cluster.start('b')];
    const files = await expectSame(a2, b2);
    expect(Object.keys(files)).toHaveLength(301);
    expect(readFileSync(cluster.path('b', 'f/3'), 'utf8')).toBe('changed by a');
    expect(a2.api.status().conflicts).toBe(0);
  });

  test('a transfer that is cut off by a clean stop goes on where it was', async () => {
    await using cluster = new Cluster();
    const total = 96_000_000;
    cluster.write('a', 'large.bin', someBytes(total, 7));
    const a = await cluster.start('a');
    await a.api.scan();
    const b = await cluster.join('b', a);
    await until(
      'a third is there',
      () => b.api.status().progress.fetch.bytesDone > total / 3,
      () => b.api.status(),
    );
    const first = b.api.status().progress.fetch.bytesDone;
    await cluster.stop(b);
    const b2 = await cluster.start('b');
    await expectSame(a, b2);
    // Requests under way are lost, nothing that was written is.
    if (first < total) expect(receivedBytes(b2)).toBeLessThan(total - first * 0.95 + 2_000_000);
  });
});

describe('a database that was lost', () => {
  test('comes back from the folder and the peer, without conflicts and without moving contents', async () => {
    await using cluster = new Cluster();
    for (let i = 0; i < 100; i++) cluster.write('a', `f/${i}`, someBytes(20_000, i));
    cluster.write('a', 'edited', 'first');
    cluster.write('a', 'deleted', 'soon');
    const [a, b] = await cluster.pair();
    await converged(a, b);
    await cluster.stop(b);
    cluster.write('a', 'edited', 'second');
    rmSync(cluster.path('a', 'deleted'));
    await a.api.scan();
    rmSync(cluster.path('b', '.sameroot'), { recursive: true });
    const b2 = await cluster.join('b', a);
    // The key of the lost node is a member still, and is not connected.
    await until('one root', () => a.api.status().root === b2.api.status().root && connections(b2.api.status()) === 1);
    const files = Object.keys(contentsOf(b2.folder));
    expect(files).toHaveLength(102);
    expect(readFileSync(cluster.path('b', 'edited'), 'utf8')).toBe('second');
    expect(files).not.toContain('deleted');
    expect(files.filter((name) => name.includes('conflict'))).toEqual([]);
    expect(receivedBytes(b2)).toBeLessThan(200_000);
  });
});
