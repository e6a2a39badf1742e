/** kill -9 in the middle of thousands of small files, and of a renamed folder: what is half done is finished after it. */
import { readdirSync, renameSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { someBytes } from '../node/cluster.ts';
import { converged, expectSame, receivedBytes, startPair } from './checks.ts';
import { seededFractions } from './choices.ts';
import { Site, sleep, until, write, type Host } from './hosts.ts';

const FILES = 3_000;
const FOLDERS = 30;
const TIMEOUT_MS = 900_000;

function fileBytes(index: number): Buffer {
  return someBytes(500 + (index % 50) * 100, index);
}

const ALL_BYTES = Array.from({ length: FILES }, (_, index) => fileBytes(index).length).reduce((sum, bytes) => sum + bytes, 0);

/** Old files, as most are: only what was just written is sent along with its entry, unasked. */
function writeFiles(host: Host, folder: string): void {
  for (let i = 0; i < FILES; i++) {
    const path = `${folder}/${i % FOLDERS}/${i}.bin`;
    write(host, path, fileBytes(i));
    utimesSync(join(host.folder, path), 1_700_000_000 + i, 1_700_000_000 + i);
  }
}

/** Files below the host's folder; half-done ones have other names or lie elsewhere. */
function countFiles(host: Host, folder: string): number {
  try {
    return readdirSync(join(host.folder, folder), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.bin')).length;
  } catch {
    return 0;
  }
}

describe('3,000 small files', () => {
  test('either side is killed while they are on their way', { timeout: TIMEOUT_MS }, async () => {
    await using site = new Site();
    const fractions = seededFractions('kill during small files', 5);
    const [a, b] = await startPair(site);
    writeFiles(a, 'many');
    // At any moment, by the clock: while they are read here, on the wire, being shown there.
    for (const [index, fraction] of fractions.slice(0, 4).entries()) {
      const victim = index % 2 === 0 ? b : a;
      await sleep(fraction * 700);
      await victim.kill();
      if (index === 1) {
        // It dies again before it is ready.
        victim.spawn();
        await sleep(fractions[4]! * 400);
        await victim.kill();
      }
      await victim.start();
    }
    expect(await expectSame(a, b)).toHaveLength(1 + FOLDERS + FILES);
  });

  test('the receiver is killed as soon as some are shown', { timeout: TIMEOUT_MS }, async () => {
    await using site = new Site();
    const fractions = seededFractions('kill while files are shown', 2);
    const [a, b] = await startPair(site);
    writeFiles(a, 'many');
    for (const [index, fraction] of fractions.entries()) {
      const wanted = ((index + fraction) / 2) * FILES;
      await until(
        'some are shown',
        () => countFiles(b, 'many') >= wanted,
        () => b.status(),
        2,
      );
      await b.kill();
      await b.start();
    }
    expect(await expectSame(a, b)).toHaveLength(1 + FOLDERS + FILES);
  });
});

test('a folder of 3,000 files is renamed, and either side is killed meanwhile', { timeout: TIMEOUT_MS }, async () => {
  await using site = new Site();
  const [first, second, third, fourth, fifth] = seededFractions('kill during a rename', 5) as [number, number, number, number, number];
  const [a, b] = await startPair(site);
  writeFiles(a, 'at-0');
  await converged(a, b);
  const rounds: readonly { readonly victim: Host; readonly moment: (now: string) => Promise<void> }[] = [
    { victim: b, moment: () => sleep(first * 500) },
    {
      victim: b,
      moment: (now) =>
        until(
          'some are renamed',
          () => countFiles(b, now) > second * FILES * 0.9,
          () => b.status(),
          2,
        ),
    },
    { victim: a, moment: () => sleep(third * 500) },
    { victim: a, moment: () => sleep(100 + fourth * 300) },
  ];
  for (const [round, { victim, moment }] of rounds.entries()) {
    const now = `at-${round + 1}`;
    renameSync(join(a.folder, `at-${round}`), join(a.folder, now));
    await moment(now);
    const receivedBefore = victim === a ? receivedBytes((await b.status())!) : 0;
    await victim.kill();
    if (round % 2 === 1) {
      // It dies again when it has just begun to mend what is half done.
      victim.spawn();
      await sleep(fifth * 600);
      await victim.kill();
    }
    await victim.start();
    const paths = await expectSame(a, b);
    expect(paths).toHaveLength(1 + FOLDERS + FILES);
    expect(paths.every((path) => path.startsWith(now))).toBe(true);
    // Entries go over the wire, contents do not. But what the receiver had
    // moved to its trash, and not recorded there when it died, comes a second time, and so may what a sender that was killed
    // sends along with its entries; never a third.
    const received = receivedBytes((await b.status())!) - receivedBefore;
    console.log(
      `rename, the ${victim === a ? 'sender' : 'receiver'} killed: ${received} bytes received since, the files have ${ALL_BYTES}`,
    );
    expect(received).toBeLessThan(ALL_BYTES * 1.1);
  }
});
