/**
 * A node dies just when it has put the winners of conflicts on the disk and has not yet recorded it; then the user edits
 * and deletes what he sees. The node comes back with rows that say something else than what he saw: the losers of the
 * conflicts, which he never saw beside the winners, must all be there afterwards.
 */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { someBytes } from '../node/cluster.ts';
import { expectIdentical, startPair } from './checks.ts';
import { Site, until, write, type Host } from './hosts.ts';
import { expectSound } from './load.ts';
import { Model, shownOf, sumOf } from './model.ts';

const FILES = 60;
/** Fewer than are held back as a mistake. */
const DELETED = 20;
const ROUNDS = 3;
const TIMEOUT_MS = 300_000;

const fileName = (index: number): string => `f${index}.bin`;

function sumAt(host: Host, index: number): string {
  return sumOf(readFileSync(join(host.folder, fileName(index))));
}

test('what was not seen beside the winner is not replaced by an edit of the winner', { timeout: TIMEOUT_MS }, async () => {
  await using site = new Site();
  const [a, b] = await startPair(site);
  const model = new Model();
  const indexes = Array.from({ length: FILES }, (_, index) => index);
  let next = 1;
  /** Writes a new version everywhere on a host; returns the sums. */
  const writeAll = (host: Host, by: string, over: readonly (string | undefined)[]): string[] =>
    indexes.map((index) => {
      const bytes = someBytes(2_000, next++);
      model.wrote(by, fileName(index), sumOf(bytes), over[index]);
      write(host, fileName(index), bytes);
      return sumOf(bytes);
    });
  const first = writeAll(a, 'a', []);
  await expectIdentical(a, b);
  let seen = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const before = round === 0 ? first : indexes.map((index) => sumAt(a, index));
    await a.kill();
    writeAll(b, 'b', before);
    await b.call('POST', '/v1/scan');
    // These are newer, so they win.
    const winners = writeAll(a, 'a', before);
    a.spawn();
    await until('a winner is shown', () => indexes.some((index) => sumAt(b, index) === winners[index]), undefined, 0);
    await b.kill();
    for (const index of indexes) {
      if (sumAt(b, index) !== winners[index]) continue;
      seen++;
      if (index < DELETED) {
        model.removed('b', fileName(index), winners[index]!);
        rmSync(join(b.folder, fileName(index)));
        continue;
      }
      const bytes = someBytes(2_000, next++);
      model.wrote('b', fileName(index), sumOf(bytes), winners[index]);
      write(b, fileName(index), bytes);
    }
    await b.start();
    const contents = await expectIdentical(a, b);
    const sums = new Map(Object.entries(contents).map(([path, what]) => [path, what.split(' ').at(-1)!]));
    expectSound(model.judge(shownOf(sums)));
  }
  expect(seen).toBeGreaterThan(0);
});
