/**
 * A history: what users do on the hosts and what goes wrong there, as a plain list that can be stored, cut shorter and run
 * again. A seed makes a history; the same seed also decides everything that the history leaves open (delays, what a power
 * cut keeps), so seed + steps is the whole run.
 *
 * Invariant: a step names what it acts on by numbers and names that mean something (or nothing: then it is skipped) in any
 * run, so that every sub-list of a history is a history. That is what makes shrinking simple.
 */
import { SamerootError } from '../base/errors.ts';
import { REPLICAS_MAX, REPLICAS_MIN, SIMULATION_VERSION, STEPS_MAX } from './limits.ts';
import type { SeededRandom } from './random.ts';

const HISTORY_BYTES_MAX = 64 * 1024 * 1024;

export type Action =
  | { readonly type: 'write'; readonly path: string; readonly bytes: number; readonly inPlace: boolean }
  /** Changes a part of a file, `at`: where, as a share of its length. */
  | { readonly type: 'edit'; readonly path: string; readonly at: number; readonly inPlace: boolean }
  | { readonly type: 'link'; readonly path: string }
  | { readonly type: 'mode'; readonly path: string; readonly mode: number }
  | { readonly type: 'delete'; readonly path: string }
  | { readonly type: 'rename'; readonly path: string; readonly to: string }
  /** What people do with the nth conflict copy on their disk. */
  | { readonly type: 'copy'; readonly nth: number; readonly how: 'edit' | 'delete' | 'rename' }
  /** Keeps the winner or the nth copy of the nth conflict. */
  | { readonly type: 'resolve'; readonly nth: number; readonly keep: number }
  | { readonly type: 'put'; readonly path: string; readonly bytes: number }
  | { readonly type: 'remove'; readonly path: string }
  /** Waits until all who are reachable have confirmed, then looks whether their disks really hold it. */
  | { readonly type: 'barrier' }
  | { readonly type: 'stop'; readonly downMs: number }
  /** Dies before its `effects`-th next effect on disk, database or network. */
  | { readonly type: 'kill'; readonly downMs: number; readonly effects: number }
  | { readonly type: 'power-loss'; readonly downMs: number; readonly effects: number }
  | { readonly type: 'partition'; readonly with: readonly number[]; readonly forMs: number }
  | { readonly type: 'cut'; readonly peer: number }
  | { readonly type: 'slow'; readonly forMs: number }
  | { readonly type: 'disk-error'; readonly code: string; readonly chance: number; readonly forMs: number }
  | { readonly type: 'store-error'; readonly code: string; readonly forMs: number }
  | { readonly type: 'full'; readonly forMs: number }
  | { readonly type: 'flip'; readonly path: string }
  | { readonly type: 'clock'; readonly jumpMs: number }
  | { readonly type: 'backup' }
  /** The last backup takes the place of folder and database. */
  | { readonly type: 'restore'; readonly downMs: number }
  /** The database is lost; the host comes back as after `sameroot repair`. */
  | { readonly type: 'lose-database'; readonly downMs: number }
  /** A peer is evicted; after a while it is invited again, and comes back. */
  | { readonly type: 'evict'; readonly peer: number; readonly awayMs: number }
  | { readonly type: 'join' };

export interface Step {
  /** After the step before. */
  readonly afterMs: number;
  readonly host: number;
  readonly action: Action;
}

export interface History {
  readonly version: number;
  readonly seed: number;
  readonly replicas: number;
  readonly steps: readonly Step[];
}

const PATHS = ['a', 'b.txt', 'c', 'd/x', 'd/y.bin', 'e/f/z'] as const;
const RECORDS = ['k', 'l/m'] as const;

type Maker = (random: SeededRandom, replicas: number) => Action;

const path = (random: SeededRandom): string => random.pick(PATHS);
/** Renames go to names of their own more often than over another file. */
const newPath = (random: SeededRandom): string => (random.chance(0.7) ? `n${random.below(1_000)}` : path(random));
const largeSize = (random: SeededRandom): number => 40_000 + random.below(random.chance(0.5) ? 900_000 : 200_000);
const size = (random: SeededRandom): number => (random.chance(0.1) ? largeSize(random) : 16 + random.below(2_000));
const downMs = (random: SeededRandom): number => random.below(4_000);
const forMs = (random: SeededRandom): number => 200 + random.below(5_000);
/** Often in the middle of what is going on, sometimes at once. */
const effects = (random: SeededRandom): number => (random.chance(0.3) ? 0 : random.below(60));

/** What users do, with weights. */
const USER: readonly (readonly [number, Maker])[] = [
  [28, (random) => ({ type: 'write', path: path(random), bytes: size(random), inPlace: random.chance(0.4) })],
  [14, (random) => ({ type: 'edit', path: path(random), at: random.fraction(), inPlace: random.chance(0.5) })],
  [12, (random) => ({ type: 'delete', path: path(random) })],
  [8, (random) => ({ type: 'rename', path: path(random), to: newPath(random) })],
  [3, (random) => ({ type: 'mode', path: path(random), mode: random.pick([0o600, 0o755]) })],
  [3, (random) => ({ type: 'link', path: path(random) })],
  [6, (random) => ({ type: 'copy', nth: random.below(3), how: random.pick(['edit', 'delete', 'rename'] as const) })],
  [
    8,
    (random) => ({
      type: 'put',
      path: random.pick(RECORDS),
      bytes: random.chance(0.2) ? 5_000 + random.below(90_000) : 8 + random.below(200),
    }),
  ],
  [3, (random) => ({ type: 'remove', path: random.pick(RECORDS) })],
  [4, (random) => ({ type: 'resolve', nth: random.below(2), keep: random.below(3) })],
  [3, () => ({ type: 'barrier' })],
];

/** What goes wrong. */
const FAULTS: readonly (readonly [number, Maker])[] = [
  [8, (random) => ({ type: 'kill', downMs: downMs(random), effects: effects(random) })],
  [6, (random) => ({ type: 'power-loss', downMs: downMs(random), effects: effects(random) })],
  [2, (random) => ({ type: 'stop', downMs: downMs(random) })],
  [6, (random, replicas) => ({ type: 'partition', with: someHosts(random, replicas), forMs: forMs(random) })],
  [5, (random, replicas) => ({ type: 'cut', peer: random.below(replicas) })],
  [3, (random) => ({ type: 'slow', forMs: forMs(random) })],
  [
    3,
    (random) => ({
      type: 'disk-error',
      code: random.pick(['EIO', 'ENOSPC', 'EMFILE', 'EROFS']),
      chance: random.pick([0.05, 0.3, 1]),
      forMs: forMs(random),
    }),
  ],
  [2, (random) => ({ type: 'store-error', code: random.pick(['IO_ERROR', 'DISK_FULL']), forMs: forMs(random) })],
  [1, (random) => ({ type: 'full', forMs: forMs(random) })],
  [1, (random) => ({ type: 'flip', path: path(random) })],
  [3, (random) => ({ type: 'clock', jumpMs: random.pick([-3_000_000, -5_000, 5_000, 3_000_000]) })],
  [1, () => ({ type: 'join' })],
  [2, () => ({ type: 'backup' })],
  [2, (random) => ({ type: 'restore', downMs: downMs(random) })],
  [1, (random) => ({ type: 'lose-database', downMs: downMs(random) })],
  [1, (random, replicas) => ({ type: 'evict', peer: random.below(replicas), awayMs: forMs(random) })],
];

function someHosts(random: SeededRandom, replicas: number): number[] {
  return Array.from({ length: replicas }, (_, host) => host).filter(() => random.chance(0.5));
}

/** @throws {RangeError} naming the option that is out of range */
export function makeHistory(seed: number, options: { readonly replicas: number; readonly steps: number }, random: SeededRandom): History {
  const { replicas, steps } = options;
  requireWithin('replicas', replicas, REPLICAS_MIN, REPLICAS_MAX);
  requireWithin('steps', steps, 0, STEPS_MAX);
  requireWithin('seed', seed, 0, Number.MAX_SAFE_INTEGER);
  // Some histories have no faults at all, some have many: both find what the other does not.
  const faultShare = random.pick([0, 0.1, 0.25, 0.4]);
  const busy = random.pick([20, 200, 800]);
  const list: Step[] = [];
  for (let step = 0; step < steps; step++) {
    const makers = random.chance(faultShare) ? FAULTS : USER;
    list.push({
      afterMs: random.chance(0.3) ? 0 : random.below(busy),
      host: random.below(replicas),
      action: draw(makers, random)(random, replicas),
    });
  }
  return { version: SIMULATION_VERSION, seed, replicas, steps: list };
}

function draw(makers: readonly (readonly [number, Maker])[], random: SeededRandom): Maker {
  let left = random.below(makers.reduce((sum, [weight]) => sum + weight, 0));
  for (const [weight, maker] of makers) {
    left -= weight;
    if (left < 0) return maker;
  }
  return makers[0]![1];
}

function requireWithin(name: string, value: number, min: number, max: number): void {
  if (!Number.isSafeInteger(value) || value < min || value > max)
    throw new RangeError(`${name}: ${value} is not a whole number from ${min} to ${max}`);
}

export function encodeHistory(history: History): string {
  const { version, seed, replicas, steps } = history;
  const lines = steps.map((step) => `    ${JSON.stringify(step)}`);
  return `{\n  "sameroot": "history",\n  "version": ${version},\n  "seed": ${seed},\n  "replicas": ${replicas},\n  "steps": [\n${lines.join(',\n')}\n  ]\n}\n`;
}

/**
 * A history from a file.
 * @throws {SamerootError} `HISTORY_DAMAGED` if it is none, `SIMULATION_VERSION` if another version made it
 */
export function decodeHistory(text: string): History {
  if (text.length > HISTORY_BYTES_MAX) throw damaged(`it is longer than ${HISTORY_BYTES_MAX} bytes`);
  let parsed: Partial<Record<keyof History | 'sameroot', unknown>>;
  try {
    parsed = JSON.parse(text) as typeof parsed;
  } catch (error) {
    throw damaged('it is not JSON', error);
  }
  if (parsed === null || typeof parsed !== 'object' || parsed.sameroot !== 'history') throw damaged('it is not a history');
  requireVersion(parsed.version);
  const { seed, replicas, steps } = parsed;
  try {
    requireWithin('seed', seed as number, 0, Number.MAX_SAFE_INTEGER);
    requireWithin('replicas', replicas as number, REPLICAS_MIN, REPLICAS_MAX);
    if (!Array.isArray(steps)) throw new RangeError('steps: not a list');
    requireWithin('steps', steps.length, 0, STEPS_MAX);
  } catch (error) {
    throw damaged((error as Error).message, error);
  }
  const list = steps as unknown[];
  for (const [at, step] of list.entries()) if (!isStep(step)) throw damaged(`step ${at} is none`);
  return { version: SIMULATION_VERSION, seed: seed as number, replicas: replicas as number, steps: list as Step[] };
}

/** @throws {SamerootError} `SIMULATION_VERSION` */
export function requireVersion(version: unknown): void {
  if (version === SIMULATION_VERSION) return;
  throw new SamerootError(
    'SIMULATION_VERSION',
    `it is of simulation version ${String(version)}, this program has version ${SIMULATION_VERSION}`,
  );
}

function damaged(what: string, cause?: unknown): SamerootError {
  return new SamerootError('HISTORY_DAMAGED', `the history can not be read: ${what}`, { cause });
}

type FieldCheck = (value: unknown) => boolean;

const whole: FieldCheck = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
const number: FieldCheck = (value) => Number.isFinite(value);
const flag: FieldCheck = (value) => typeof value === 'boolean';
const word: FieldCheck = (value) => typeof value === 'string' && /^[A-Z_]{1,30}$/.test(value);
/** Below the folder, and nothing that could mean another place. */
const safePath: FieldCheck = (value) =>
  typeof value === 'string' && /^[\w.-]{1,100}(?:\/[\w.-]{1,100}){0,8}$/.test(value) && !value.includes('..');

const FIELDS: Readonly<Record<Action['type'], Readonly<Record<string, FieldCheck>>>> = {
  write: { path: safePath, bytes: whole, inPlace: flag },
  edit: { path: safePath, at: number, inPlace: flag },
  link: { path: safePath },
  mode: { path: safePath, mode: whole },
  delete: { path: safePath },
  rename: { path: safePath, to: safePath },
  copy: { nth: whole, how: (value) => value === 'edit' || value === 'delete' || value === 'rename' },
  resolve: { nth: whole, keep: whole },
  put: { path: safePath, bytes: whole },
  remove: { path: safePath },
  barrier: {},
  stop: { downMs: whole },
  kill: { downMs: whole, effects: whole },
  'power-loss': { downMs: whole, effects: whole },
  partition: { with: (value) => Array.isArray(value) && value.every(whole), forMs: whole },
  cut: { peer: whole },
  slow: { forMs: whole },
  'disk-error': { code: word, chance: number, forMs: whole },
  'store-error': { code: word, forMs: whole },
  full: { forMs: whole },
  flip: { path: safePath },
  clock: { jumpMs: number },
  backup: {},
  restore: { downMs: whole },
  'lose-database': { downMs: whole },
  evict: { peer: whole, awayMs: whole },
  join: {},
};

function isStep(value: unknown): value is Step {
  const step = value as Partial<Record<keyof Step, unknown>> | null;
  if (step === null || typeof step !== 'object' || !whole(step.afterMs) || !whole(step.host)) return false;
  if ((step.host as number) >= REPLICAS_MAX) return false;
  const action = step.action as Record<string, unknown> | null | undefined;
  if (action === null || typeof action !== 'object') return false;
  const type = action['type'];
  if (typeof type !== 'string' || !Object.hasOwn(FIELDS, type)) return false;
  return Object.entries(FIELDS[type as Action['type']]).every(([name, check]) => check(action[name]));
}
