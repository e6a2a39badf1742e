/**
 * A database that is damaged or gone, of hosts as processes: `start` says what to do, `repair` does it. Same root again, no
 * conflict copies, nothing risen that was deleted meanwhile, nothing lost that was only here.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PROGRAM, program } from '../app/program.ts';
import { contentsOf, someBytes } from '../node/cluster.ts';
import { converged, expectSame, startPair } from './checks.ts';
import { Site, until, write, type Host } from './hosts.ts';

const TIMEOUT_MS = 300_000;
const FILES = 40;
const LARGE_BYTES = 8_000_000;

interface Repaired {
  readonly root: string;
  readonly entries: number;
  readonly bytes: number;
  readonly fetchedBytes: number;
  readonly setAside: number;
  readonly quarantine: string;
  readonly oldDatabase: string | null;
}

async function repair(host: Host, ...args: readonly string[]): Promise<Repaired> {
  const { code, out, err } = await program(['repair', host.folder, '--json', '--listen', '127.0.0.1:0', '--min-free', '0', ...args]);
  if (code !== 0) throw new Error(`repair ended with ${code}: ${err}`);
  return JSON.parse(out) as Repaired;
}

async function startFails(host: Host): Promise<string> {
  const { code, err } = await program(['start', host.folder, '--json', '--listen', '127.0.0.1:0', '--http', '127.0.0.1:0']);
  expect(code).toBe(1);
  return err;
}

/** Files in the folder `d` of two hosts are edited again and again, so that none has its first version any more; then `b` is stopped. */
async function edited(a: Host, b: Host, d: string): Promise<void> {
  for (let i = 0; i < FILES; i++) write(a, `${d}/${i}`, `file ${i}, 0`);
  await converged(a, b);
  for (let round = 1; round < 4; round++) {
    for (let i = 0; i < FILES; i++) write(round % 2 === 0 ? a : b, `${d}/${i}`, `file ${i}, ${round}`);
    await converged(a, b);
  }
  await b.stop();
}

async function lived(site: Site): Promise<readonly [a: Host, b: Host]> {
  const [a, b] = await startPair(site);
  write(a, 'large', someBytes(LARGE_BYTES, 5));
  await edited(a, b, 'd');
  return [a, b];
}

/** What others do meanwhile, and what was not told to them before. */
function live(a: Host, b: Host, d: string = 'd'): void {
  for (let i = 0; i < 10; i++) write(a, `${d}/${i}`, `edited meanwhile ${i}`);
  for (let i = 10; i < 20; i++) rmSync(join(a.folder, `${d}/${i}`));
  write(b, `${d}/new`, 'only here');
  write(b, `${d}/30`, 'an edit that nobody heard of');
}

function databaseFiles(host: Host, pattern: RegExp): string[] {
  const folder = join(host.folder, '.sameroot/db');
  return readdirSync(folder)
    .filter((name) => pattern.test(name) && statSync(join(folder, name)).size > 0)
    .map((name) => join(folder, name));
}

function flip(path: string): void {
  const bytes = readFileSync(path);
  for (let at = 0; at < bytes.length; at += 7) bytes[at]! ^= 0x5a;
  writeFileSync(path, bytes);
}

function first(paths: readonly string[]): string {
  expect(paths).not.toEqual([]);
  return paths[0]!;
}

const DAMAGES: readonly (readonly [what: string, damage: (host: Host) => void, code: string])[] = [
  ['all of it deleted', (host) => rmSync(join(host.folder, '.sameroot/db'), { recursive: true }), 'DATABASE_MISSING'],
  ['CURRENT deleted', (host) => rmSync(join(host.folder, '.sameroot/db/CURRENT')), 'DATABASE_DAMAGED'],
  ['CURRENT garbled', (host) => flip(join(host.folder, '.sameroot/db/CURRENT')), 'DATABASE_DAMAGED'],
  ['MANIFEST garbled', (host) => flip(first(databaseFiles(host, /^MANIFEST/))), 'DATABASE_DAMAGED'],
  ['tables deleted', (host) => databaseFiles(host, /\.ldb$/).forEach((path) => rmSync(path)), 'DATABASE_DAMAGED'],
  ['tables cut short', (host) => databaseFiles(host, /\.ldb$/).forEach((path) => truncateSync(path, 100)), 'DATABASE_DAMAGED'],
];

/** The hosts are the same for all, as starting them is most of the work; each damage has files of its own. */
describe('a database of which is', () => {
  let site: Site;
  let a: Host;
  let b: Host;
  beforeAll(async () => {
    site = new Site();
    [a, b] = await startPair(site);
    write(a, 'large', someBytes(LARGE_BYTES, 5));
  });
  afterAll(() => site[Symbol.asyncDispose]());

  test.each(DAMAGES.map((row, index) => [...row, `d${index}`] as const))('%s', { timeout: TIMEOUT_MS }, async (_, damage, code, d) => {
    await edited(a, b, d);
    // What LevelDB keeps in its log becomes a table at the next start.
    await b.start();
    await b.stop();
    live(a, b, d);
    damage(b);
    const before = contentsOf(b.folder);
    expect(await startFails(b)).toContain(`${code}: `);
    expect(await startFails(b)).toContain('sameroot repair');
    expect(contentsOf(b.folder)).toEqual(before);

    const result = await repair(b);
    expect(result.setAside).toBe(21);
    expect(result.fetchedBytes).toBeLessThan(LARGE_BYTES / 10);
    expect(readFileSync(join(result.quarantine, `${d}/30`), 'utf8')).toBe('an edit that nobody heard of');
    if (code !== 'DATABASE_MISSING') expect(existsSync(result.oldDatabase!)).toBe(true);

    await b.start();
    const paths = await expectSame(a, b);
    for (let i = 10; i < 20; i++) expect(paths).not.toContain(`${d}/${i}`);
    expect(readFileSync(join(b.folder, `${d}/3`), 'utf8')).toBe('edited meanwhile 3');
    expect(readFileSync(join(a.folder, `${d}/new`), 'utf8')).toBe('only here');
  });
});

test(
  'is refused while a node runs, and for a folder that was never shared',
  async () => {
    await using site = new Site();
    const [a, b] = [site.host('a'), site.host('b')];
    await a.start();
    const running = await program(['repair', a.folder]);
    expect([running.code, running.err]).toEqual([1, expect.stringContaining('DATABASE_IN_USE')]);
    const never = await program(['repair', b.folder]);
    expect([never.code, never.err]).toEqual([2, expect.stringContaining('CONFIG_INVALID')]);
    expect(existsSync(join(b.folder, '.sameroot'))).toBe(false);
  },
  TIMEOUT_MS,
);

test(
  'that is killed goes on where it was',
  async () => {
    await using site = new Site();
    const [a, b] = await lived(site);
    live(a, b);
    const { peer } = await a.ready();
    await a.stop();
    rmSync(join(b.folder, '.sameroot/db'), { recursive: true });
    // Nobody answers: it waits.
    const incarnation = (): number | undefined => statSync(join(b.folder, '.sameroot/incarnation'), { throwIfNoEntry: false })?.ino;
    const before = incarnation();
    const child = spawn(process.execPath, [PROGRAM, 'repair', b.folder, '--listen', '127.0.0.1:0'], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const said = text(child.stderr);
    await until('it has begun', () => incarnation() !== before);
    child.kill('SIGKILL');
    await once(child, 'exit');
    await said;
    await a.start();
    const result = await repair(b, '--join', peer);
    expect(result).toMatchObject({ setAside: 21 });
    expect(result.oldDatabase).toBeNull();
    await b.start();
    expect(await expectSame(a, b)).not.toContain('d/15');
  },
  TIMEOUT_MS,
);

test(
  'without any peer is what the folder holds',
  async () => {
    await using site = new Site();
    const a = site.host('a');
    write(a, 'd/x', 'x');
    await a.start();
    await a.call('POST', '/v1/scan');
    const shareId = (await a.status())!.shareId;
    await a.stop();
    flip(first(databaseFiles(a, /^MANIFEST/)));
    const result = await repair(a, '--alone');
    expect(result).toMatchObject({ entries: 2, fetchedBytes: 0, setAside: 0 });
    await a.start();
    expect((await a.status())!.shareId).toBe(shareId);
    expect(readFileSync(join(a.folder, 'd/x'), 'utf8')).toBe('x');
  },
  TIMEOUT_MS,
);
