/**
 * The bench that runs the peers beside us: its options, order, arithmetic and drawing, and that nothing is left behind. What it
 * measures is not judged here.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { decades, drawBars, drawCase } from '../../bench/peers/support/figures.mjs';
import { boundBytes, fittedExponent, hashBytes, percentile, ratio, rounded, spread } from '../../bench/peers/support/maths.mjs';
import { measureCase } from '../../bench/peers/support/measure.mjs';
import { readOptions } from '../../bench/peers/support/options.mjs';
import { findProgram } from '../../bench/peers/support/programs.mjs';
import { judge, table } from '../../bench/peers/support/report.mjs';
import { interleaved } from '../../bench/peers/support/schedule.mjs';
import { Service } from '../../bench/peers/support/service.mjs';
import { requireSameFolders } from '../../bench/support/data.mjs';
import { requireFreeBytes, Workspace } from '../../bench/support/workspace.mjs';

const BENCH = fileURLToPath(new URL('../../bench/peers/run.mjs', import.meta.url));
const MISSING = 'a-peer-that-nobody-has';
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sameroot-peers-'));
  process.env['SAMEROOT_BENCH_DIR'] = folder;
});

afterEach(() => {
  delete process.env['SAMEROOT_BENCH_DIR'];
  rmSync(folder, { recursive: true, force: true });
});

function bench(parameters: readonly string[], environment: Record<string, string> = {}): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [BENCH, ...parameters], {
    encoding: 'utf8',
    env: { ...process.env, ...environment },
  });
  return { status, output: `${stdout}${stderr}` };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10));
}

describe('options', () => {
  const known = {
    cases: ['one', 'two'].map((name) => ({ name, about: '' })),
    contestants: ['sameroot', 'rsync', 'other'].map((name) => ({ name, about: '' })),
  };

  it('takes all by default and five runs, one in a quick run', () => {
    const all = readOptions([], known);
    expect(all.cases).toEqual(known.cases);
    expect(all.contestants).toEqual(known.contestants);
    expect(all.runs).toBe(5);
    expect(readOptions(['--quick'], known).runs).toBe(1);
    expect(readOptions(['--quick', '--runs', '3'], known).runs).toBe(3);
  });

  it('always has us beside the peers that are named', () => {
    const { contestants, namedPeers } = readOptions(['--peer', 'rsync', '--case', 'two,one'], known);
    expect(contestants.map(({ name }) => name)).toEqual(['sameroot', 'rsync']);
    expect([...namedPeers]).toEqual(['rsync']);
  });

  it('says what there is when something is unknown', () => {
    expect(() => readOptions(['--case', 'one,three'], known)).toThrow('--case: there is no three; there are one, two');
    expect(() => readOptions(['--peer', MISSING], known)).toThrow(`--peer: there is no ${MISSING}`);
    for (const runs of ['0', '-1', '1.5', 'x']) expect(() => readOptions([`--runs=${runs}`], known)).toThrow('--runs');
  });
});

describe('arithmetic', () => {
  it('gives the middle, the least and the most', () => {
    expect(spread([3, 1, 2])).toEqual({ median: 2, min: 1, max: 3 });
    expect(spread([4, 1, 2, 3])).toEqual({ median: 2.5, min: 1, max: 4 });
    expect(() => spread([])).toThrow(RangeError);
  });

  it('gives percentiles by the nearest rank', () => {
    const values = Array.from({ length: 100 }, (_, index) => 100 - index);
    expect(percentile(values, 0.5)).toBe(50);
    expect(percentile(values, 0.99)).toBe(99);
    expect(percentile(values, 1)).toBe(100);
    expect(percentile([7], 0.5)).toBe(7);
  });

  it('has no ratio to nothing', () => {
    expect(ratio(6, 3)).toBe(2);
    expect(ratio(6, 0)).toBeUndefined();
    expect(ratio(undefined, 3)).toBeUndefined();
    expect(ratio(6, undefined)).toBeUndefined();
  });

  it('fits the exponent of growth', () => {
    const powersOf = (exponent: number): [number, number][] => [10, 100, 1_000].map((x) => [x, 5 * x ** exponent]);
    for (const exponent of [0, 0.5, 1, 2]) expect(fittedExponent(powersOf(exponent))).toBeCloseTo(exponent, 9);
    expect(() => fittedExponent([[10, 1]])).toThrow(RangeError);
    expect(() =>
      fittedExponent([
        [10, 0],
        [20, 1],
      ]),
    ).toThrow(RangeError);
  });

  it('knows the fewest bytes that tell differences', () => {
    // 100 * log2(10,000) + 144 bits.
    expect(boundBytes(100, 1_000_000)).toBeCloseTo((100 * 13.287712 + 144) / 8, 3);
    expect(hashBytes(100)).toBe(3_200);
  });

  it('claims no more digits than a run has', () => {
    expect([1.23456, 1234.56, 12_345_678, 0].map(rounded)).toEqual([1.235, 1_235, 12_345_678, 0]);
  });
});

describe('a case', () => {
  const order: string[] = [];
  const contestant = (name: string, seconds: number): object => ({ name, cases: ['race'], seconds });
  const race = {
    name: 'race',
    about: 'who is first',
    metrics: { seconds: { title: 'time', unit: 's' } },
    figures: ['seconds'],
    goals: [
      { metric: 'seconds', of: 'sameroot', against: 'slow', most: 0.5 },
      { metric: 'seconds', of: 'sameroot', most: 1 },
      { metric: 'seconds', of: 'sameroot', against: 'nobody', most: 1 },
    ],
    parts: () => [{ label: 'once around' }],
    diskBytes: () => 0,
    open: ({ contestant, space }: { contestant: { name: string }; space: { makeFolder(name: string): string } }) => {
      writeFileSync(join(space.makeFolder('source'), 'file'), contestant.name);
      return {};
    },
    turn: (_: object, { contestant, run }: { contestant: { name: string; seconds: number }; run: number }) => {
      order.push(`${contestant.name}${run}`);
      if (contestant.name === 'broken') throw new Error('it broke');
      return { seconds: contestant.seconds + run };
    },
  };
  const options = { quick: false, variants: false, runs: 3, keep: false };
  const run = (contestants: readonly object[]): ReturnType<typeof measureCase> =>
    measureCase(race, { ...options, contestants } as Parameters<typeof measureCase>[1], () => undefined);

  beforeEach(() => {
    order.length = 0;
  });

  it('lets the contestants take turns', async () => {
    expect([...interleaved(['A', 'B'], 2)].map(({ run, contestant }) => `${contestant}${run}`)).toEqual(['A0', 'B0', 'A1', 'B1']);
    await run([contestant('sameroot', 1), contestant('slow', 8)]);
    expect(order).toEqual(['sameroot0', 'slow0', 'sameroot1', 'slow1', 'sameroot2', 'slow2']);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('tells ratios, and whether goals are met or missed', async () => {
    const judged = judge(await run([contestant('sameroot', 1), contestant('slow', 8)]));
    const [part] = judged.parts;
    expect(part.contestants[1].metrics['seconds']).toEqual({ median: 9, min: 8, max: 10, runs: [8, 9, 10], timesOurs: 4.5 });
    expect(part.goals).toEqual([
      { metric: 'seconds', of: 'sameroot', against: 'slow', most: 0.5, value: 0.2222, met: true },
      { metric: 'seconds', of: 'sameroot', most: 1, value: 2, met: false },
    ]);
    const text = table(judged, { metrics: race.metrics, missing: [{ name: MISSING, reason: 'it is not here', remedy: 'get it' }] });
    expect(text).toMatch(/slow +9 +s +4\.5 +8 +10 +3/);
    expect(text).toContain('goal MISSED: seconds of sameroot: 2, at most 1');
    expect(text).toContain(`missing: ${MISSING}: it is not here (get it)`);
  });

  it('names who failed and goes on with the others', async () => {
    const judged = judge(await run([contestant('sameroot', 1), contestant('broken', 1)]));
    expect(order).toEqual(['sameroot0', 'broken0', 'sameroot1', 'sameroot2']);
    expect(judged.parts[0].contestants[1]).toMatchObject({ name: 'broken', failed: 'it broke', metrics: {} });
    expect(table(judged, { metrics: race.metrics, missing: [] })).toContain('FAILED: broken: it broke');
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe('figures', () => {
  const bar = (name: string, median: number): { name: string; median: number; min: number; max: number } => ({
    name,
    median,
    min: median / 2,
    max: median * 2,
  });

  it('has whole powers of ten around what it shows', () => {
    expect(decades([0.02, 3])).toEqual({ low: -2, high: 1 });
    expect(decades([1, 10])).toEqual({ low: 0, high: 1 });
    expect(decades([5])).toEqual({ low: 0, high: 1 });
    expect(decades([1_000])).toEqual({ low: 3, high: 4 });
  });

  it('draws a bar and a whisker for each contestant, longer for more', () => {
    const svg = drawBars({
      title: 'a < b',
      note: '',
      axis: 'time, s',
      groups: [{ label: 'part', bars: [bar('sameroot', 1), bar('rsync', 100)] }],
    });
    const widths = [...svg.matchAll(/<rect class="bar[^"]*" x="[\d.]+" y="\d+" width="([\d.]+)"/g)].map(([, width]) => Number(width));
    expect(widths).toHaveLength(2);
    expect(widths[1]!).toBeGreaterThan(widths[0]!);
    expect(svg.match(/class="whisker"/g)).toHaveLength(2);
    expect(svg.match(/class="bar ours"/g)).toHaveLength(1);
    expect(svg).toContain('a &lt; b');
    expect(svg).toContain('prefers-color-scheme:dark');
  });

  it('leaves out what has no value above zero', () => {
    const metrics = (median: number): object => ({ seconds: { median, min: median, max: median } });
    const result = (values: readonly number[]): object => ({
      case: 'race',
      about: '',
      figures: ['seconds'],
      metrics: { seconds: { title: 'time', unit: 's' } },
      parts: [{ label: 'part', contestants: values.map((value, index) => ({ name: `peer-${index}`, metrics: metrics(value) })) }],
    });
    const [figure] = drawCase(result([2, 0]));
    expect(figure!.name).toBe('race-seconds');
    expect(figure!.svg).toContain('peer-0');
    expect(figure!.svg).not.toContain('peer-1');
    expect(drawCase(result([0]))).toEqual([]);
  });
});

describe('the command', () => {
  it('ends with 2 and says why when it cannot measure what was asked', () => {
    expect(bench(['--case', 'none'])).toMatchObject({ status: 2, output: expect.stringContaining('--case: there is no none') as string });
    expect(bench(['--turbo'])).toMatchObject({ status: 2, output: expect.stringContaining('--turbo') as string });
    const missing = bench(['--case', 'unchanged', '--peer', 'unison'], { PATH: folder });
    expect(missing.status).toBe(2);
    expect(missing.output).toContain('unison: no program unison on PATH; run again with --install as root, or: apt-get install unison');
    expect(readdirSync(folder)).toEqual([]);
  });

  it('says before it starts that a disk is too small', () => {
    expect(() => requireFreeBytes(2 ** 60)).toThrow(/free and this bench needs .* SAMEROOT_BENCH_DIR/);
  });

  it('finds programs on PATH', () => {
    expect(findProgram('node', process.env['PATH'])).toBeDefined();
    expect(findProgram('node', folder)).toBeUndefined();
  });

  it('measures, writes figures and leaves nothing else', () => {
    const figures = join(folder, 'figures');
    const { status, output } = bench(['--quick', '--json', '--case', 'live-change', '--peer', 'sameroot', '--figures', figures]);
    expect(status, output).toBe(0);
    const document = JSON.parse(output.split('\n').find((line) => line.startsWith('{'))!) as Awaited<ReturnType<typeof measureCase>>;
    expect(document.case).toBe('live-change');
    const [{ name, metrics }] = document.parts[0]!.contestants as [{ name: string; metrics: Record<string, { median: number }> }];
    expect(name).toBe('sameroot');
    expect(metrics['p50Ms']!.median).toBeGreaterThan(0);
    expect(readdirSync(figures)).toContain('live-change-p50ms.svg');
    expect(readdirSync(folder)).toEqual(['figures']);
  });
});

describe('the comparison of two folders', () => {
  const write = (name: string, files: Readonly<Record<string, string>>): string => {
    const path = join(folder, name);
    mkdirSync(path);
    for (const [file, text] of Object.entries(files)) writeFileSync(join(path, file), text);
    return path;
  };

  it('fails for a file that is missing, too many, or other by one byte', () => {
    const source = write('source', { a: 'one', b: 'two' });
    expect(() => requireSameFolders(source, write('same', { a: 'one', b: 'two' }))).not.toThrow();
    expect(() => requireSameFolders(source, write('fewer', { a: 'one' }))).toThrow('fewer has 1 files');
    expect(() => requireSameFolders(source, write('more', { a: 'one', b: 'two', c: '' }))).toThrow('more has 3 files');
    expect(() => requireSameFolders(source, write('other', { a: 'one', b: 'twO' }))).toThrow('b differs');
  });
});

describe('an interrupted run', () => {
  const children = (id: number): number[] => readFileSync(`/proc/${id}/task/${id}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  const alive = (id: number): boolean => existsSync(`/proc/${id}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${id}/status`, 'utf8'));

  function exited(child: ChildProcess): Promise<number | null> {
    return new Promise((resolve) => child.once('exit', resolve));
  }

  it.runIf(process.platform === 'linux')('ends what it started and removes its folders', async () => {
    const child = spawn(process.execPath, [BENCH, '--quick', '--runs', '100', '--case', 'first-sync-small', '--peer', 'sameroot'], {
      stdio: 'ignore',
    });
    const done = exited(child);
    await until(() => children(child.pid!).length > 0 && readdirSync(folder).length > 0);
    const started = children(child.pid!);
    child.kill('SIGINT');
    expect(await done).toBe(130);
    await until(() => started.every((id) => !alive(id)));
    expect(readdirSync(folder)).toEqual([]);
  });

  it.runIf(process.platform === 'linux')('ends what a program of others has started, too', async () => {
    const space = new Workspace({ bytes: 0 });
    const service = new Service(space, 'sh', ['-c', 'sleep 1000 & sleep 1000']);
    await until(() => children(service.pid!).length === 2);
    const started = [service.pid!, ...children(service.pid!)];
    await space.close();
    await until(() => started.every((id) => !alive(id)));
    expect(existsSync(space.folder)).toBe(false);
  });
});
