/**
 * kill -9 in the middle of the transfer of a large file, of either side, at moments that differ from run to run: it
 * goes on from where it was, and nobody who reads the path ever sees a torn file.
 */
import { renameSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { FETCH_WINDOW_BYTES } from '../../src/base/limits.ts';
import { someBytes } from '../node/cluster.ts';
import { converged, expectSame, receivedBytes, startPair } from './checks.ts';
import { seededFractions } from './choices.ts';
import { MIB, Site, sleep, until, write, type Host } from './hosts.ts';

const BYTES = Number(process.env['SAMEROOT_CRASH_BYTES'] ?? 128 * MIB);
/** What a transfer costs besides its chunks: entries, list pages, frames. */
const OVERHEAD_BYTES = MIB + BYTES / 100;
/** Of what was verified before a kill, so much must be there after it. */
const KEPT_FRACTION = 0.95;
const TIMEOUT_MS = 900_000;

/** How far the receiver is: `verified` bytes of the file are here, and so many came over the connection that it has now. */
interface Progress {
  readonly verified: number;
  readonly received: number;
}

async function progressOf(receiver: Host): Promise<Progress | undefined> {
  const status = await receiver.status();
  return status === undefined ? undefined : { verified: status.progress.fetch.bytesDone, received: receivedBytes(status) };
}

/** Kills `victim` once `fraction` of the file is verified at the receiver. Returns what the receiver said last before. */
async function killAt(victim: Host, receiver: Host, fraction: number): Promise<Progress> {
  let last: Progress = { verified: 0, received: 0 };
  await until(
    `${Math.round(fraction * 100)} % are verified`,
    async () => {
      last = (await progressOf(receiver)) ?? last;
      return last.verified >= fraction * BYTES;
    },
    () => receiver.status(),
    2,
  );
  await victim.kill();
  return last;
}

/** A run that ends with `now` fetched again no more than the rest of what was verified `before` it. */
function expectKept(before: Progress, now: Progress, underWayBytes: number): void {
  const fetchedHere = now.verified - before.verified * KEPT_FRACTION;
  expect(now.received).toBeLessThan(fetchedHere + underWayBytes + OVERHEAD_BYTES);
}

function percent(fractions: readonly number[]): string {
  return fractions.map((fraction) => `${Math.round(fraction * 100)} %`).join(', ');
}

/** The file comes into the folder of `host` in one step, so that nobody reads half of it. */
function place(host: Host, bytes: Uint8Array): void {
  write(host, '.sameroot/incoming', bytes);
  renameSync(join(host.folder, '.sameroot/incoming'), join(host.folder, 'large.bin'));
}

describe('a large file', () => {
  test('the receiver is killed again and again: what was verified is not fetched again', { timeout: TIMEOUT_MS }, async () => {
    await using site = new Site();
    const [early, ...fractions] = seededFractions('kill the receiver', 4);
    const [a, b] = await startPair(site);
    const bytes = someBytes(BYTES, 1);
    const watcher = await site.watch(join(b.folder, 'large.bin'), [bytes], true);
    place(a, bytes);
    // First at any moment, perhaps before it has begun; then ever later, so that each run has something to keep.
    await sleep(early! * 500);
    await b.kill();
    const runs: Progress[] = [{ verified: 0, received: 0 }];
    for (const [index, fraction] of fractions.entries()) {
      await b.start();
      runs.push(await killAt(b, b, (index + fraction * 0.9) / 4));
      if (index > 0) expectKept(runs.at(-2)!, runs.at(-1)!, FETCH_WINDOW_BYTES);
    }
    await b.start();
    expect(await expectSame(a, b)).toEqual(['large.bin']);
    const last = { verified: BYTES, received: (await progressOf(b))!.received };
    const kept = runs.at(-1)!.verified;
    console.log(
      `receiver killed at ${percent(runs.slice(1).map(({ verified }) => verified / BYTES))}; the last run fetched ${percent([last.received / BYTES])}`,
    );
    expectKept(runs.at(-1)!, last, 0);
    // Were nothing kept, this would not hold.
    expect(last.received).toBeLessThan(BYTES - kept / 2 + OVERHEAD_BYTES);
    const seen = await watcher.seen();
    expect(seen.wrong).toEqual([]);
    expect(seen.compared).toBeGreaterThan(0);
    expect(seen.looks).toBeGreaterThan(seen.present);
  });

  test('the sender is killed again and again', { timeout: TIMEOUT_MS }, async () => {
    await using site = new Site();
    const [early, ...fractions] = seededFractions('kill the sender', 3);
    const [a, b] = await startPair(site);
    const bytes = someBytes(BYTES, 2);
    const watcher = await site.watch(join(b.folder, 'large.bin'), [bytes], true);
    place(a, bytes);
    // The first time perhaps while it still reads the file.
    await sleep(early! * 300);
    await a.kill();
    await a.start();
    const runs: Progress[] = [];
    for (const [index, fraction] of fractions.entries()) {
      runs.push(await killAt(a, b, (index + fraction * 0.9) / 2.5));
      await a.start();
    }
    expect(await expectSame(a, b)).toEqual(['large.bin']);
    // What came between the last look and the kill counts, too.
    const last = { verified: BYTES, received: (await progressOf(b))!.received - runs.at(-1)!.received };
    console.log(
      `sender killed at ${percent(runs.map(({ verified }) => verified / BYTES))}; received since the last time ${percent([last.received / BYTES])}`,
    );
    expectKept(runs.at(-1)!, last, FETCH_WINDOW_BYTES);
    const { wrong, compared } = await watcher.seen();
    expect(wrong).toEqual([]);
    expect(compared).toBeGreaterThan(0);
  });

  test('a new version of a file that is there: old or new, never absent, never between', { timeout: TIMEOUT_MS }, async () => {
    await using site = new Site();
    const fractions = seededFractions('kill during an overwrite', 2);
    const [a, b] = await startPair(site);
    const [before, after] = [someBytes(BYTES / 4, 3), someBytes(BYTES, 4)];
    place(a, before);
    await converged(a, b);
    await b.stop();
    await b.start();
    const watcher = await site.watch(join(b.folder, 'large.bin'), [before, after], false);
    place(a, after);
    for (const [index, fraction] of fractions.entries()) {
      await killAt(b, b, (index + fraction) / 2.2);
      await b.start();
    }
    expect(await expectSame(a, b)).toEqual(['large.bin']);
    const { wrong, compared } = await watcher.seen();
    expect(wrong).toEqual([]);
    expect(compared).toBeGreaterThanOrEqual(2);
  });
});
