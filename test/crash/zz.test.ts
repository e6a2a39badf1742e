/** kill -9 in the middle of thousands of small files, and of a renamed folder: what is half done is finished after it. */
import { readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { someBytes } from '../node/cluster.ts';
import { converged, expectSame, receivedBytes, seededFractions, Site, sleep, until, write, type Host } from './hosts.ts';

const FILES = 3_000; const T0 = performance.now(); const T = (x: string) => process.stderr.write(`${x} ${Math.round(performance.now()-T0)}\n`);
const FOLDERS = 30;
const TIMEOUT_MS = 900_000;

function fileBytes(index: number): Buffer {
  return someBytes(500 + (index % 50) * 100, index);
}

const ALL_BYTES = Array.from({ length: FILES }, (_, index) => fileBytes(index).length).reduce((sum, bytes) => sum + bytes, 0);

function writeFiles(host: Host, folder: string): void {
  for (let i = 0; i < FILES; i++) write(host, `${folder}/${i % FOLDERS}/${i}.bin`, fileBytes(i));
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
    const [a, b] = await site.pair();
    writeFiles(a, 'many');
    // At any moment, by the clock: while they are read here, on the wire, being shown there.
    for (const [index, fraction] of fractions.slice(0, 4).entries()) {
      const victim = index % 2 === 0 ? b : a;
      await sleep(fraction * 700);
      T('kill'); await victim.kill();
      if (index === 1) {
        // It dies again before it is ready.
        victim.spawn();
        await sleep(fractions[4]! * 400);
        T('kill'); await victim.kill();
      }
      await victim.start();
    }
    expect((T('x'), await expectSame(a, b))).toHaveLength(1 + FOLDERS + FILES);
  });

  test('the receiver is killed as soon as some are shown', { timeout: TIMEOUT_MS }, async () => {
    await using site = new Site();
    const fractions = seededFractions('kill while files are shown', 2);
    const [a, b] = await site.pair();
    writeFiles(a, 'many');
    for (const [index, fraction] of fractions.entries()) {
      const wanted = ((index + fraction) / 2) * FILES;
      await until(
        'some are shown',
        () => countFiles(b, 'many') >= wanted,
        () => b.status(),
        0,
      );
      await b.kill();
      await b.start();
    }
    expect((T('x'), await expectSame(a, b))).toHaveLength(1 + FOLDERS + FILES);
  });
});

describe('a folder of 3,000 files is renamed', () => {
  test.each(['receiver', 'sender'] as const)('the %s is killed meanwhile', { timeout: TIMEOUT_MS }, async (side) => {
    await using site = new Site();
    const fractions = seededFractions(`kill the ${side} during a rename`, 4);
    const [a, b] = await site.pair();
    writeFiles(a, 'before');
    await converged(a, b); T('conv');
    const [victim, other] = side === 'receiver' ? [b, a] : [a, b];
    const names = ['before', 'between', 'after'];
    for (let round = 0; round < 2; round++) {
      renameSync(join(a.folder, names[round]!), join(a.folder, names[round + 1]!));
      // One kill at a moment by the clock, one when the new name is there in part.
      if (round === 0) await sleep(fractions[0]! * 500);
      else if (side === 'sender') await sleep(50 + fractions[1]! * 300);
      else
        await until(
          'some are renamed',
          () => countFiles(b, 'after') > fractions[1]! * FILES * 0.9,
          () => b.status(),
          0,
        );
      T('kill'); await victim.kill();
      if (round === 1) {
        victim.spawn();
        await sleep(fractions[2]! * 500);
        T('kill'); await victim.kill();
      }
      await victim.start();
      T('restarted'); await converged(victim, other); T('converged');
    }
    const paths = (T('x'), await expectSame(a, b));
    expect(paths).toHaveLength(1 + FOLDERS + FILES);
    expect(paths.every((path) => path.startsWith('after'))).toBe(true);
    // Not again over the wire: entries go, contents do not. (The count is that of the last connection.)
    const received = receivedBytes((await b.status())!);
    console.log(`rename with the ${side} killed: ${received} bytes received after the last kill, the files have ${ALL_BYTES}`);
    expect(received).toBeLessThan(ALL_BYTES / 2);
  });
});
