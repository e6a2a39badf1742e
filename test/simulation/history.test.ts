/** Histories: made by a seed, written to a file and read again; what is no history is refused with a code. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SamerootError } from '../../src/base/errors.ts';
import { decodeHistory, encodeHistory, makeHistory, type History } from '../../src/simulation/history.ts';
import { REPLICAS_MAX, REPLICAS_MIN, SIMULATION_VERSION, STEPS_MAX } from '../../src/simulation/limits.ts';
import { SeededRandom } from '../../src/simulation/random.ts';
import { shrink } from '../../src/simulation/shrink.ts';

function history(seed: number, steps = 40, replicas = 3): History {
  return makeHistory(seed, { replicas, steps }, new SeededRandom(`history ${seed}`));
}

function codeOf(action: () => unknown): string | undefined {
  try {
    action();
    return undefined;
  } catch (error) {
    return error instanceof SamerootError ? error.code : String(error);
  }
}

describe('a history', () => {
  test('is the same for the same seed, and another for another', () => {
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        expect(history(seed)).toEqual(history(seed));
        expect(history(seed)).not.toEqual(history(seed + 1));
      }),
      { numRuns: 50 },
    );
  });

  test('survives its file', () => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: REPLICAS_MIN, max: REPLICAS_MAX }), (seed, replicas) => {
        const made = history(seed, 30, replicas);
        expect(decodeHistory(encodeHistory(made))).toEqual(made);
      }),
      { numRuns: 100 },
    );
  });

  test('uses every kind of step that there is', () => {
    const kinds = new Set<string>();
    for (let seed = 0; seed < 60; seed++) for (const { action } of history(seed, 100).steps) kinds.add(action.type);
    const text = encodeHistory({ ...history(1, 0), steps: [] });
    expect(text).toContain('"steps"');
    for (const kind of [
      'write',
      'edit',
      'delete',
      'rename',
      'copy',
      'put',
      'barrier',
      'kill',
      'power-loss',
      'partition',
      'disk-error',
      'flip',
      'clock',
      'join',
    ])
      expect(kinds).toContain(kind);
  });

  test.each([
    ['replicas', { replicas: REPLICAS_MIN - 1, steps: 1 }],
    ['replicas', { replicas: REPLICAS_MAX + 1, steps: 1 }],
    ['replicas', { replicas: 2.5, steps: 1 }],
    ['steps', { replicas: 3, steps: -1 }],
    ['steps', { replicas: 3, steps: STEPS_MAX + 1 }],
  ])('with %s out of range is refused by name', (name, size) => {
    expect(() => makeHistory(1, size, new SeededRandom('x'))).toThrow(new RegExp(`^${name}: `));
  });
});

describe('a file that is no history', () => {
  const whole = encodeHistory(history(5, 6));

  test.each([
    ['empty', ''],
    ['no JSON', 'histories are fun'],
    ['another document', '{"seed": 5}'],
    ['null', 'null'],
    ['cut off', whole.slice(0, -20)],
    ['a step with an unknown action', whole.replace(/"type":"[a-z-]+"/, '"type":"explode"')],
    ['a step with a negative pause', whole.replace(/"afterMs":\d+/, '"afterMs":-1')],
    ['a host that there can not be', whole.replace(/"host":\d+/, '"host":99')],
    ['too many replicas', whole.replace('"replicas": 3', '"replicas": 300')],
    ['a seed that is none', whole.replace('"seed": 5', '"seed": "five"')],
    ['a path out of the folder', whole.replace(/"path":"[^"]+"/, '"path":"../../etc/passwd"')],
  ])('%s', (_what, text) => {
    expect(text).not.toBe(whole);
    expect(codeOf(() => decodeHistory(text))).toBe('HISTORY_DAMAGED');
  });

  test('of another version of the simulation', () => {
    const other = whole.replace(`"version": ${SIMULATION_VERSION}`, `"version": ${SIMULATION_VERSION + 1}`);
    expect(codeOf(() => decodeHistory(other))).toBe('SIMULATION_VERSION');
  });
});

describe('shrink', () => {
  test('finds the two steps that matter among many, and keeps their times', async () => {
    const made = history(9, 64);
    const needed = [made.steps[11]!, made.steps[50]!];
    const atMs = (steps: History['steps'], step: History['steps'][number]): number =>
      steps.slice(0, steps.findIndex(({ action }) => action === step.action) + 1).reduce((sum, { afterMs }) => sum + afterMs, 0);
    const fails = async ({ steps }: History): Promise<boolean> =>
      needed.every((step) => steps.some(({ action }) => action === step.action));
    const { history: shrunk, runs } = await shrink(made, fails, 400);
    expect(shrunk.steps.map(({ action }) => action)).toEqual(needed.map(({ action }) => action));
    for (const step of needed) expect(atMs(shrunk.steps, step)).toBe(atMs(made.steps, step));
    expect(runs).toBeLessThan(200);
  });

  test('gives up after as many runs as it may take', async () => {
    let asked = 0;
    const { runs } = await shrink(
      history(3, 64),
      async () => {
        asked++;
        return false;
      },
      10,
    );
    expect(runs).toBe(10);
    expect(asked).toBe(10);
  });
});
