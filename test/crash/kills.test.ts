/**
 * Three hosts whose users write all the time, and `kill -9` of any of them at any moment, also while it starts: at rest
 * nothing is lost, nothing has come back, nothing is torn, and all are identical.
 *
 *   SAMEROOT_KILLS=200 SAMEROOT_SEED=7 npx vitest run --config test/vitest.config.ts test/crash/kills.test.ts
 */
import { expect, test } from 'vitest';
import { converged } from './checks.ts';
import { Choices, printSeed } from './choices.ts';
import { Site, sleep, type Host } from './hosts.ts';
import { Load } from './load.ts';

const KILLS = Number(process.env['SAMEROOT_KILLS'] ?? 20);
/** Between two rests. */
const KILLS_PER_ROUND = 5;
const PAUSE_MS = 25;
const TIMEOUT_MS = 120_000 + KILLS * 20_000;

/** Kills and starts hosts; resolves when all are running again. */
async function killSome(hosts: readonly Host[], kills: number, choices: Choices): Promise<void> {
  for (let killed = 0; killed < kills;) {
    await sleep(choices.fraction() * 1_200);
    const victim = choices.pick(hosts);
    await victim.kill();
    killed++;
    await sleep(choices.fraction() * 400);
    victim.spawn();
    if (killed === kills || !choices.chance(0.4)) continue;
    // In the middle of its start, where it mends what the last death left half done.
    await sleep(choices.fraction() * 900);
    await victim.kill();
    killed++;
    victim.spawn();
  }
  await Promise.all(hosts.map((host) => host.ready()));
}

test(`${KILLS} kills of three hosts under load: no version is lost`, { timeout: TIMEOUT_MS }, async () => {
  await using site = new Site();
  const seed = printSeed('kills');
  const startMs = performance.now();
  const hosts = ['a', 'b', 'c'].map((name) => site.host(name));
  const [a, ...others] = hosts as [Host, ...Host[]];
  await a.start();
  for (const host of others) await host.start(...(await a.joinArguments()));
  await converged(...hosts);
  const load = await Load.on(site, hosts, seed, PAUSE_MS);
  const killer = new Choices(seed, 'killer');
  let kept = 0;
  let last: { readonly alive: number } | undefined;
  for (let left = KILLS; left > 0; left -= KILLS_PER_ROUND) {
    await load.during(() => killSome(hosts, Math.min(left, KILLS_PER_ROUND), killer));
    const verdict = await load.expectNothingLost();
    kept += verdict.keptInDoubt;
    last = verdict;
  }
  const { writes, bytes, kinds } = load.tally;
  const seconds = ((performance.now() - startMs) / 1_000).toFixed(1);
  console.log(
    `${KILLS} kills, ${writes} writes, ${bytes} bytes, ${seconds} s; ${last!.alive} versions alive, ${kept} kept in doubt, deletes held ${load.heldDeletes} times`,
    kinds,
  );
  expect(writes).toBeGreaterThan(KILLS);
});
