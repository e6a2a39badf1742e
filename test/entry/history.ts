/**
 * Histories of one key: some replicas write, retire conflict copies and exchange. Beside the real entries runs a model
 * that keeps every event as itself: a plain set of all writes with exactly the dots that each had seen, and of all
 * retirements with exactly the dots that they retired. A version is alive where no event known there names its dot.
 *
 * The histories are honest: dots grow, stamps come from a clock that has observed all that its replica was sent, births
 * lie in the past, and only what a replica showed as a conflict copy is retired there.
 */
import * as fc from 'fast-check';
import { toHex, utf8 } from '../../src/base/bytes.ts';
import { EMPTY_CONTENT } from '../../src/content/content-list.ts';
import { compareStamps, HybridClock, type Stamp } from '../../src/entry/clock.ts';
import {
  birth,
  compareDots,
  merge,
  retire,
  write,
  type Dot,
  type Entry,
  type FoundValue,
  type ReplicaId,
  type Value,
  type Version,
} from '../../src/entry/entry.ts';
import { view } from '../../src/entry/view.ts';

/** The key of every history. */
export const HISTORY_KEY: Uint8Array = utf8('f/history');

const REPLICAS: readonly ReplicaId[] = ['00000000000000aa', '00000000000000bb', 'ffffffffffffff00', '0123456789abcdef'];
const LATEST_MS = 2 ** 48 - 1;

export const anyValue: fc.Arbitrary<Value> = fc.oneof(
  fc.record({
    kind: fc.constant('file' as const),
    content: fc.tuple(fc.nat(8), fc.uint8Array({ minLength: 32, maxLength: 32 })).map(([level, hash]) => Uint8Array.from([level, ...hash])),
    bytes: fc.oneof(fc.nat(5000), fc.constant(2 ** 48 - 1)),
    mode: fc.constantFrom(0, 0o644, 0o755, 0o7777),
    mtimeMs: fc.oneof(fc.integer({ min: -5, max: 5 }), fc.constantFrom(1_700_000_000_123, 2 ** 52 - 1, -(2 ** 52) + 1)),
  }),
  fc.record({
    kind: fc.constant('symlink' as const),
    target: fc.array(fc.integer({ min: 1, max: 255 }), { minLength: 1, maxLength: 20 }).map((bytes) => Uint8Array.from(bytes)),
  }),
  fc.record({ kind: fc.constant('directory' as const), mode: fc.constantFrom(0o700, 0o755) }),
  fc.record({ kind: fc.constant('record' as const), data: fc.uint8Array({ maxLength: 200 }) }),
  fc.record({
    kind: fc.constant('blob' as const),
    content: fc.uint8Array({ minLength: 33, maxLength: 33 }).map((id) => id.fill(3, 0, 1)),
    bytes: fc.integer({ min: 4097, max: 2 ** 30 }),
  }),
  fc.constant({ kind: 'deleted' as const }),
);

/** Few values, so that concurrent writes of equal ones happen. */
export const fewValues: fc.Arbitrary<Value> = fc.constantFrom<Value>(
  { kind: 'deleted' },
  { kind: 'record', data: Uint8Array.of(1) },
  { kind: 'record', data: Uint8Array.of(2) },
  { kind: 'directory', mode: 0o755 },
);

/** What hosts find before they ever met, often the same. Older than all writes. */
const foundValues: fc.Arbitrary<FoundValue> = fc.oneof(
  fc.record({
    kind: fc.constant('file' as const),
    content: fc.constant(EMPTY_CONTENT),
    bytes: fc.constant(0),
    mode: fc.constantFrom(0o644, 0o755),
    mtimeMs: fc.integer({ min: -1, max: 2 }),
  }),
  fc.constant({ kind: 'directory' as const, mode: 0o755 }),
);

/** What the author of a write had in view. */
export type Seen = 'winner' | 'old winner' | 'everything' | 'one version' | 'elsewhere' | 'nothing';

export type Step =
  | {
      readonly type: 'write';
      readonly at: number;
      readonly seen: Seen;
      readonly pick: number;
      /** Writes of this replica at other keys meanwhile. */
      readonly gap: number;
      readonly value: Value;
      readonly wallMs: number;
    }
  | { readonly type: 'find'; readonly at: number; readonly value: FoundValue; readonly wallMs: number }
  | { readonly type: 'retire'; readonly at: number; readonly pick: number; readonly old: boolean }
  | { readonly type: 'exchange'; readonly from: number; readonly to: number };

export function steps(values: fc.Arbitrary<Value>, maxLength: number = 30): fc.Arbitrary<Step[]> {
  const at = fc.nat(REPLICAS.length - 1);
  const wallMs = fc.integer({ min: 3, max: 6 });
  return fc.array(
    fc.oneof(
      {
        weight: 4,
        arbitrary: fc.record({
          type: fc.constant('write' as const),
          at,
          seen: fc.constantFrom<Seen>('winner', 'winner', 'old winner', 'everything', 'one version', 'elsewhere', 'nothing', 'nothing'),
          pick: fc.nat(),
          gap: fc.oneof({ weight: 9, arbitrary: fc.nat(2) }, { weight: 1, arbitrary: fc.constant(2 ** 40) }),
          value: values,
          wallMs,
        }),
      },
      { weight: 1, arbitrary: fc.record({ type: fc.constant('find' as const), at, value: foundValues, wallMs }) },
      { weight: 2, arbitrary: fc.record({ type: fc.constant('retire' as const), at, pick: fc.nat(), old: fc.boolean() }) },
      { weight: 4, arbitrary: fc.record({ type: fc.constant('exchange' as const), from: at, to: at }) },
    ),
    // Long histories are where conflicts are; fast-check would make nearly all of them short.
    { maxLength, size: 'max' },
  );
}

/** A write (with its version) or a retirement (without), and the dots that it put an end to. */
interface ModelEvent {
  readonly version: Version | undefined;
  readonly ended: ReadonlySet<string>;
}

/** What happened in a history, for tests that must not pass because nothing did. */
export interface HistoryCounts {
  births: number;
  retired: number;
  /** Of those: shown as conflict copies earlier, but winners by the time they were retired. */
  retiredAsWinner: number;
}

export function nameOf(dot: Dot): string {
  return `${dot.replica}:${dot.sequence}`;
}

export class History {
  readonly entries: (Entry | undefined)[] = REPLICAS.map(() => undefined);
  /** Every state that a replica was ever in. */
  readonly states: Entry[] = [];
  readonly counts: HistoryCounts = { births: 0, retired: 0, retiredAsWinner: 0 };
  readonly #startMs: number;
  #wallMs: number;
  readonly #clocks = REPLICAS.map(() => new HybridClock(() => this.#wallMs));
  readonly #sequences = REPLICAS.map(() => 0);
  /** The states of each replica, which its disk may still show. */
  readonly #shown: Entry[][] = REPLICAS.map(() => []);
  readonly #known: Set<ModelEvent>[] = REPLICAS.map(() => new Set());
  /** A birth is one write, whoever makes it. */
  readonly #births = new Map<string, ModelEvent>();

  constructor(plan: readonly Step[], afterStep: (history: History, replica: number) => void = () => {}, startMs: number = 0) {
    this.#startMs = startMs;
    this.#wallMs = startMs;
    for (const step of plan) {
      if (step.type === 'write') this.#write(step);
      else if (step.type === 'find') this.#find(step);
      else if (step.type === 'retire') this.#retire(step);
      else this.exchange(step.from, step.to);
      afterStep(this, step.type === 'exchange' ? step.to : step.at);
    }
  }

  #set(replica: number, entry: Entry): void {
    this.entries[replica] = entry;
    this.#shown[replica]!.push(entry);
    this.states.push(entry);
  }

  #stamp(replica: number, wallMs: number): Stamp {
    this.#wallMs = this.#startMs + wallMs;
    return this.#clocks[replica]!.now();
  }

  #seen({ at, seen, pick }: Step & { type: 'write' }): readonly Dot[] {
    const one = <T>(items: readonly T[]): T | undefined => items[pick % Math.max(items.length, 1)];
    const winnerOrNothing = (entry: Entry | undefined): readonly Dot[] => {
      const { winner, buried } = view(entry);
      return winner?.dots ?? buried;
    };
    switch (seen) {
      case 'winner':
        return winnerOrNothing(this.entries[at]);
      case 'old winner':
        return winnerOrNothing(one(this.#shown[at]!));
      case 'everything':
        return this.entries[at]?.versions.map(({ dot }) => dot) ?? [];
      case 'one version':
        return [one(this.entries[at]?.versions ?? [])].flatMap((version) => (version === undefined ? [] : [version.dot]));
      case 'elsewhere':
        return winnerOrNothing(one(this.entries));
      case 'nothing':
        break;
    }
    return [];
  }

  #write(step: Step & { type: 'write' }): void {
    const { at, gap, value, wallMs } = step;
    this.#sequences[at]! += gap;
    this.#put(at, this.#seen(step), value, wallMs);
  }

  #put(at: number, seen: readonly Dot[], value: Value, wallMs: number): void {
    const dot = { replica: REPLICAS[at]!, sequence: ++this.#sequences[at]! };
    const stamp = this.#stamp(at, wallMs);
    const known = this.#known[at]!;
    const knownNames = new Set([...known].flatMap(({ version }) => (version === undefined ? [] : [nameOf(version.dot)])));
    // Nobody can replace at a replica what that replica has never heard of.
    const ended = new Set(seen.map(nameOf).filter((name) => knownNames.has(name)));
    known.add({ version: { dot, stamp, value }, ended });
    this.#set(at, write(this.entries[at], seen, dot, stamp, value));
  }

  /** As a scan does: a birth where the key never had an entry, else a write that has seen nothing but tombstones. */
  #find({ at, value, wallMs }: Step & { type: 'find' }): void {
    const entry = this.entries[at];
    if (entry !== undefined) {
      const { winner, buried } = view(entry);
      return this.#put(at, winner === undefined ? buried : [], value, wallMs);
    }
    const born = birth(HISTORY_KEY, value);
    const version = born.versions[0]!;
    const event = this.#births.get(nameOf(version.dot)) ?? { version, ended: new Set() };
    this.#births.set(nameOf(version.dot), event);
    this.#known[at]!.add(event);
    this.counts.births++;
    this.#set(at, born);
  }

  /** A conflict copy is edited or deleted that is on this replica's disk: it is one now, or was when it was put there. */
  #retire({ at, pick, old }: Step & { type: 'retire' }): void {
    const entry = this.entries[at];
    if (entry === undefined) return;
    const copies = (old ? this.#shown[at]! : [entry]).flatMap((state) => view(state).others);
    const copy = copies[pick % Math.max(copies.length, 1)];
    if (copy === undefined) return;
    const ended = new Set(copy.dots.map(nameOf));
    if (entry.versions.some(({ dot }) => ended.has(nameOf(dot)))) this.counts.retired++;
    if (view(entry).winner?.dots.some((dot) => ended.has(nameOf(dot))) === true) this.counts.retiredAsWinner++;
    this.#known[at]!.add({ version: undefined, ended });
    this.#set(at, retire(entry, copy.dots));
  }

  exchange(from: number, to: number): void {
    const entry = this.entries[from];
    if (entry === undefined) return;
    for (const event of this.#known[from]!) this.#known[to]!.add(event);
    for (const version of entry.versions) this.#clocks[to]!.observe(version.stamp);
    this.#set(to, merge(this.entries[to], entry));
  }

  /** Everybody learns everything, beginning with this replica. */
  exchangeAll(first: number): void {
    for (let round = 0; round < 2; round++) {
      for (let step = 0; step < REPLICAS.length; step++)
        this.exchange((first + step) % REPLICAS.length, (first + step + 1) % REPLICAS.length);
    }
  }

  /** The writes that a replica knows and that no event it knows put an end to, by dot. */
  liveInModel(replica: number): Version[] {
    const known = [...this.#known[replica]!];
    return known
      .flatMap(({ version }) => (version === undefined || known.some(({ ended }) => ended.has(nameOf(version.dot))) ? [] : [version]))
      .sort((a, b) => compareDots(a.dot, b.dot));
  }

  /** The newest that is no tombstone. */
  winnerInModel(replica: number): Version | undefined {
    return this.liveInModel(replica)
      .filter(({ value }) => value.kind !== 'deleted')
      .sort((a, b) => compareStamps(b.stamp, a.stamp) || compareDots(b.dot, a.dot))[0];
  }

  /** The highest sequence of each author whose writes a replica knows. */
  contextInModel(replica: number): Map<ReplicaId, number> {
    const context = new Map<ReplicaId, number>();
    for (const { version } of this.#known[replica]!) {
      if (version === undefined) continue;
      const { dot } = version;
      context.set(dot.replica, Math.max(dot.sequence, context.get(dot.replica) ?? 0));
    }
    return context;
  }
}

/** An entry as plain data, for comparison and for JSON. */
export function plainEntry(entry: Entry): object {
  const plainValue = (value: Value): object =>
    Object.fromEntries(Object.entries(value).map(([name, field]) => [name, field instanceof Uint8Array ? toHex(field) : field]));
  return {
    versions: entry.versions.map(({ dot, stamp, value }) => ({ ...dot, ...stamp, value: plainValue(value) })),
    context: Object.fromEntries([...entry.context].sort(([a], [b]) => (a < b ? -1 : 1))),
  };
}

/** Any entry that an honest history leads to, at the beginning of time, today, or at its end. */
export const anyEntry: fc.Arbitrary<Entry> = fc
  .tuple(steps(anyValue, 20), fc.constantFrom(0, 1_795_408_495_123, LATEST_MS - 1000))
  .map(([plan, startMs]) => new History(plan, undefined, startMs).states.at(-1))
  .filter((entry) => entry !== undefined);
