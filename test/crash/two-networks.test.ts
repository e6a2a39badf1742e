/**
 * Two hosts in network name spaces of their own, each with a cable that can be pulled. Needs root and `ip`; where they are
 * not there, the name of the test says so, and it does not run.
 */
import { existsSync, lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadIdentity } from '../../src/net/identity.ts';
import { someBytes } from '../node/cluster.ts';
import { expectSame, receivedBytes } from './checks.ts';
import { seededFractions } from './choices.ts';
import { MIB, Site, sleep, until, write, type Host } from './hosts.ts';
import { Networks } from './networks.ts';

const LONG = process.env['SAMEROOT_LONG'] === '1';
const BYTES = 128 * MIB;
const TIMEOUT_MS = 900_000;
/** So that a transfer takes long enough to pull the cable in the middle of it. */
const SLOW = ['tbf', 'rate', '400mbit', 'burst', '1mb', 'latency', '50ms'];

/** Bytes on the disk of the file that is being received. */
function partBytes(host: Host): number {
  const tmp = join(host.folder, '.sameroot', 'tmp');
  const part = existsSync(tmp) ? readdirSync(tmp).find((name) => name.endsWith('.part')) : undefined;
  return part === undefined ? 0 : (lstatSync(join(tmp, part), { throwIfNoEntry: false })?.blocks ?? 0) * 512;
}

/** Says what a stranger may try to say, with TLS and without, with a key of its own and without; prints what it hears. */
const STRANGER_SCRIPT = `
  import { connect } from 'node:net';
  import { connect as connectTls } from 'node:tls';
  const [host, port, key, cert] = process.argv.slice(1);
  const upgrade = 'GET / HTTP/1.1\\r\\nHost: x\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\nSec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\\r\\n\\r\\n';
  const hear = (socket, ready, said) => new Promise((resolve) => {
    let heard = '';
    socket.on(ready, () => socket.write(said)).on('data', (bytes) => (heard += bytes.toString('latin1')));
    socket.on('error', () => undefined).on('close', () => resolve(heard));
    setTimeout(() => socket.destroy(), 3000).unref();
  });
  const tls = (more) => connectTls({ host, port: Number(port), minVersion: 'TLSv1.3', rejectUnauthorized: false, ...more });
  const heard = await Promise.all([
    hear(connect(Number(port), host), 'connect', upgrade),
    hear(connect(Number(port), host), 'connect', '\\0'.repeat(2000)),
    hear(tls({}), 'secureConnect', upgrade),
    hear(tls({ key, cert }), 'secureConnect', upgrade),
    hear(tls({ key, cert }), 'secureConnect', '\\0'.repeat(2000)),
  ]);
  console.log(JSON.stringify(heard));
`;

const missing = Networks.obstacle();

describe(`two hosts in two network name spaces${missing === undefined ? '' : ` (${missing})`}`, () => {
  test.skipIf(missing !== undefined)('join by token, sync, and go on when the cable was pulled', { timeout: TIMEOUT_MS }, async () => {
    using networks = new Networks(2);
    await using site = new Site();
    const [moment, length] = seededFractions('pull the cable', 2);
    const [a, b] = [site.host('a', networks.within(0), networks.address(0)), site.host('b', networks.within(1), networks.address(1))];
    write(a, 'docs/one.txt', 'from a');
    write(b, 'docs/two.txt', 'from b');
    await a.start();
    await b.start(...(await a.joinArguments()));
    expect((await expectSame(a, b)).sort()).toEqual(['docs', 'docs/one.txt', 'docs/two.txt']);
    // Without `tc` it stays fast, and the cable is pulled when most is over.
    networks.shape(0, ...SLOW);
    const bytes = someBytes(BYTES, 5);
    write(a, 'large.bin', bytes);
    const fraction = 0.2 + moment! * 0.5;
    await until(
      'a part is there',
      () => partBytes(b) >= fraction * BYTES,
      () => b.status(),
      5,
    );
    networks.cable(0, 'down');
    // Also what is done meanwhile on either side arrives.
    write(b, 'while-down.txt', 'from b');
    if (LONG) {
      // Until both have given the connection up; otherwise it outlives the outage.
      const isAlone = async (host: Host): Promise<boolean> => (await host.status())?.peers.every((peer) => !peer.connected) === true;
      await until('both have noticed', async () => (await isAlone(a)) && (await isAlone(b)));
    } else await sleep(500 + length! * 1_500);
    const before = partBytes(b);
    const receivedBefore = receivedBytes((await b.status())!);
    expect(existsSync(join(b.folder, 'large.bin'))).toBe(false);
    networks.cable(0, 'up');
    expect((await expectSame(a, b)).sort()).toEqual(['docs', 'docs/one.txt', 'docs/two.txt', 'large.bin', 'while-down.txt']);
    const received = receivedBytes((await b.status())!) - receivedBefore;
    console.log(`cable pulled at ${Math.round(fraction * 100)} %, ${before} bytes were there; ${received} received since`);
    expect(received).toBeLessThan((LONG ? BYTES - before * 0.95 : BYTES) + BYTES / 10);
  });

  test.skipIf(missing !== undefined)('a stranger gets nothing', { timeout: TIMEOUT_MS }, async () => {
    using networks = new Networks(2);
    await using site = new Site();
    const a = site.host('a', networks.within(0), networks.address(0));
    const stranger = site.host('stranger', networks.within(1), networks.address(1));
    write(a, 'confidential name.txt', 'the secret text');
    await a.start();
    const { peer } = await a.ready();
    const [{ shareId, root }] = [(await a.status())!];
    const identity = await loadIdentity(join(site.base, 'key'));
    const port = peer.split(':')[1]!;
    const heard = JSON.parse(
      await stranger.runWithin(STRANGER_SCRIPT, networks.address(0), port, identity.keyPem, identity.certificatePem),
    ) as string[];
    expect(heard).toHaveLength(5);
    for (const text of heard) {
      expect(text.length).toBeLessThan(300);
      for (const word of ['confidential', 'secret', shareId, root]) expect(text).not.toContain(word);
    }
    // The real program, without an invitation, or with one that is not of this share.
    const other = site.host('other', networks.within(1), networks.address(1));
    await other.start();
    const { token } = await other.ready();
    for (const args of [[], ['--token', token]]) {
      stranger.spawn('--join', peer, ...args);
      await until(
        'it is told no',
        () => /NOT_INVITED|WRONG_PEER/.test(stranger.errors),
        () => stranger.errors,
      );
      await stranger.kill();
    }
    expect(readdirSync(stranger.folder)).toEqual(['.sameroot']);
    expect((await a.status())!.peers).toEqual([]);
  });
});
