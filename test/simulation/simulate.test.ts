/**
 * The simulator as people run it: the CI-sized run of histories, repeatable to the bit, and what it says to bad input.
 *
 * `SAMEROOT_SEEDS` sets how many histories are run, `SAMEROOT_SEED_FROM` the first of them.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { killAll, program } from '../app/program.ts';
import { SIMULATION_VERSION } from '../../src/simulation/limits.ts';

const HISTORIES = Number(process.env['SAMEROOT_SEEDS'] ?? 2_000);
const FROM = Number(process.env['SAMEROOT_SEED_FROM'] ?? 1);
/** Fewer than the default: starting the hosts is the larger part of a history by then. */
const STEPS = '12';
const HISTORIES_MS_MAX = 1_200_000;

interface ManyResult {
  readonly histories: number;
  readonly violations: readonly { readonly seed: string; readonly invariant: string; readonly message: string }[];
  readonly faults: Readonly<Record<string, number>>;
}

interface OneResult {
  readonly traceHash: string;
  readonly root: string;
  readonly violations: readonly unknown[];
}

let work: string;
beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), 'sameroot-simulate-'));
});
afterAll(() => {
  killAll();
  rmSync(work, { recursive: true, force: true });
});

async function simulated<T>(...args: readonly string[]): Promise<T> {
  const { out } = await program(['simulate', '--json', ...args]);
  return JSON.parse(out) as T;
}

describe('simulated histories', () => {
  it(
    `${HISTORIES} of them lose nothing, resurrect nothing and converge`,
    async () => {
      const result = await simulated<ManyResult>('--seeds', String(HISTORIES), '--from', String(FROM), '--steps', STEPS);
      expect(result.violations).toEqual([]);
      expect(result.histories).toBe(HISTORIES);
      // A run in which nothing goes wrong proves little.
      for (const fault of ['kill', 'power-loss', 'partition', 'cut', 'disk-error', 'store-error', 'clock', 'join', 'barrier', 'resolve'])
        expect(result.faults[fault], fault).toBeGreaterThan(HISTORIES / 200);
      // Files of several runs, which only shares with small chunks have here.
      expect(result.faults['next-run']).toBeGreaterThan(HISTORIES / 200);
    },
    HISTORIES_MS_MAX,
  );

  it('are the same to the bit for the same seed', async () => {
    const [first, second, other] = await Promise.all([
      simulated<OneResult>('--seed', '7'),
      simulated<OneResult>('--seed', `${SIMULATION_VERSION}:7`),
      simulated<OneResult>('--seed', '8'),
    ]);
    expect(first.traceHash).toMatch(/^[0-9a-f]{16}$/);
    expect(second).toEqual(first);
    expect(other.traceHash).not.toBe(first.traceHash);
  });

  it('run again from a file, to the same trace', async () => {
    const file = join(work, 'history.json');
    const made = await simulated<OneResult>('--seed', '11', '--replicas', '4', '--steps', '40', '--save', file);
    expect(await simulated<OneResult>('--history', file)).toEqual(made);
    // It is the file that is run, not the seed in it.
    const { steps, ...rest } = JSON.parse(readFileSync(file, 'utf8')) as { readonly steps: readonly unknown[] };
    writeFileSync(file, JSON.stringify({ ...rest, steps: steps.slice(0, 5) }));
    expect((await simulated<OneResult>('--history', file)).traceHash).not.toBe(made.traceHash);
  });

  it('print their trace for people', async () => {
    const { code, out } = await program(['simulate', '--seed', '7']);
    expect(code).toBe(0);
    expect(out).toMatch(/^ +0\.0000 host 0 start\n/);
    expect(out).toMatch(/\ntrace [0-9a-f]{16}\nno violation\n$/);
  });
});

describe('bad input is named', () => {
  it.each([
    [['--replicas', '1'], 2, 'CONFIG_INVALID', '--replicas'],
    [['--replicas', '9'], 2, 'CONFIG_INVALID', '--replicas'],
    [['--steps', '-1'], 2, 'CONFIG_INVALID', '--steps'],
    [['--steps', '100001'], 2, 'CONFIG_INVALID', '--steps'],
    [['--seeds', '0'], 2, 'CONFIG_INVALID', '--seeds'],
    [['--seed', 'lucky'], 2, 'CONFIG_INVALID', '--seed'],
    [['--seed', `${SIMULATION_VERSION + 1}:7`], 1, 'SIMULATION_VERSION', String(SIMULATION_VERSION + 1)],
    [['--history', '/nonexistent/history.json'], 1, 'HISTORY_DAMAGED', '/nonexistent/history.json'],
  ] as [string[], number, string, string][])('%j', async (args, code, name, part) => {
    const result = await program(['simulate', ...args]);
    expect(result.err).toMatch(new RegExp(`^sameroot: ${name}: [^\\n]+; [^\\n]+\\n$`));
    expect(result.err).toContain(part);
    expect([result.code, result.out]).toEqual([code, '']);
  });

  it('a damaged history file', async () => {
    const file = join(work, 'damaged.json');
    writeFileSync(file, '{"sameroot": "history", "version": 1, "seed": 1, "replicas": 3, "steps": [');
    const result = await program(['simulate', '--history', file]);
    expect(result.err).toMatch(/^sameroot: HISTORY_DAMAGED: /);
    expect(result.code).toBe(1);
  });
});
