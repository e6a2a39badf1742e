/**
 * Three hosts in network name spaces of their own, whose users write all the time, while cables are pulled, are bad, or
 * two hosts do not reach each other: when all is healed nothing is lost, nothing has come back, and all are identical.
 *
 * Needs root and `ip`; where they are not there, the name of the test says so, and it does not run. Without `tc netem`
 * cables are pulled only, and the test says so.
 */
import { describe, expect, test } from 'vitest';
import { converged } from './checks.ts';
import { Choices, printSeed } from './choices.ts';
import { Site, sleep, type Host } from './hosts.ts';
import { Load } from './load.ts';
import { Networks } from './networks.ts';

/** In the long run troubles last until nodes give their connections up. */
const LONG = process.env['SAMEROOT_LONG'] === '1';
const ROUNDS = LONG ? 10 : 2;
const TROUBLES_PER_ROUND = 4;
const TROUBLE_MS_MAX = LONG ? 60_000 : 2_000;
const PAUSE_MS = 30;
const TIMEOUT_MS = 180_000 + (LONG ? 3_600_000 : 0);
const BAD_CABLE = ['netem', 'delay', '40ms', '20ms', 'loss', '2%', 'rate', '20mbit'];

const missing = Networks.obstacle();

type Trouble = 'cable pulled' | 'two apart' | 'bad cable';

/** Begins a trouble; the function given ends it. */
function begin(kind: Trouble, networks: Networks, host: number, other: number): () => void {
  switch (kind) {
    case 'cable pulled':
      networks.cable(host, 'down');
      return () => networks.cable(host, 'up');
    case 'two apart':
      networks.part(host, other);
      return () => networks.join(host, other);
    case 'bad cable':
      networks.shape(host, ...BAD_CABLE);
      return () => networks.unshape(host);
  }
}

describe(`three hosts in network name spaces${missing === undefined ? '' : ` (${missing})`}`, () => {
  test.skipIf(missing !== undefined)('write while the network fails and heals', { timeout: TIMEOUT_MS }, async () => {
    using networks = new Networks(3);
    await using site = new Site();
    const seed = printSeed('three networks');
    const choices = new Choices(seed, 'troubles');
    const hosts = ['a', 'b', 'c'].map((name, index) => site.host(name, networks.within(index), networks.address(index)));
    const [a, ...others] = hosts as [Host, ...Host[]];
    await a.start();
    for (const host of others) await host.start(...(await a.joinArguments()));
    await converged(...hosts);
    const canBeBad = networks.shape(0, ...BAD_CABLE);
    networks.unshape(0);
    if (!canBeBad) console.log('no `tc netem` here: cables are pulled, but none is bad');
    const kinds: readonly Trouble[] = canBeBad ? ['cable pulled', 'two apart', 'bad cable'] : ['cable pulled', 'two apart'];
    const load = await Load.on(site, hosts, seed, PAUSE_MS);
    const seen: Trouble[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      await load.during(async () => {
        for (let count = 0; count < TROUBLES_PER_ROUND; count++) {
          const host = choices.below(hosts.length);
          const kind = kinds[(round * TROUBLES_PER_ROUND + count) % kinds.length]!;
          const heal = begin(kind, networks, host, (host + 1) % hosts.length);
          seen.push(kind);
          await sleep((0.2 + 0.8 * choices.fraction()) * TROUBLE_MS_MAX);
          heal();
          await sleep(choices.fraction() * 700);
        }
      });
      await load.expectNothingLost();
    }
    const { writes, bytes } = load.tally;
    console.log(`${seen.join(', ')}; ${writes} writes, ${bytes} bytes`);
    expect(new Set(seen)).toEqual(new Set(kinds));
    expect(writes).toBeGreaterThan(seen.length);
  });
});
