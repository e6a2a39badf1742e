/**
 * Histories of one key: some replicas write and exchange, each write having seen this or that. Beside the real entries
 * runs a model that keeps every write as itself: which writes a replica knows, and what each of them had seen.
 */
import * as fc from 'fast-check';
import { toHex } from '../../src/base/bytes.ts';
import {
  covers,
  EMPTY_CONTEXT,
  merge,
  write,
  type Context,
  type Dot,
  type Entry,
  type ReplicaId,
  type Value,
} from '../../src/entry/entry.ts';

const REPLICAS: readonly ReplicaId[] = ['00000000000000aa', '00000000000000bb', 'ffffffffffffff00', '0123456789abcdef'];

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

export type Seen = 'own' | 'old' | 'other' | 'one version' | 'nothing';

export type Step =
  | {
      readonly type: 'write';
      readonly at: number;
      readonly seen: Seen;
      readonly pick: number;
      readonly value: Value;
      readonly wallMs: number;
    }
  | { readonly type: 'exchange'; readonly from: number; readonly to: number };

export function steps(values: fc.Arbitrary<Value>, maxLength: number = 30): fc.Arbitrary<Step[]> {
  const replica = fc.nat(REPLICAS.length - 1);
  return fc.array(
    fc.oneof(
      fc.record({
        type: fc.constant('write' as const),
        at: replica,
        seen: fc.constantFrom<Seen>('own', 'old', 'other', 'one version', 'nothing'),
        pick: fc.nat(),
        value: values,
        wallMs: fc.oneof(fc.nat(3), fc.constant(2 ** 48 - 1)),
      }),
      fc.record({ type: fc.constant('exchange' as const), from: replica, to: replica }),
    ),
    { maxLength },
  );
}

interface ModelWrite {
  readonly dot: Dot;
  readonly seen: Context;
  readonly value: Value;
}

const nameOf = (dot: Dot): string => `${dot.replica}:${dot.sequence}`;

export class History {
  readonly entries: (Entry | undefined)[] = REPLICAS.map(() => undefined);
  /** Every state that a replica was ever in. */
  readonly states: Entry[] = [];
  readonly #known: Set<string>[] = REPLICAS.map(() => new Set());
  readonly #writes = new Map<string, ModelWrite>();

  constructor(plan: readonly Step[], afterStep: (history: History, replica: number) => void = () => {}) {
    for (const step of plan) {
      if (step.type === 'write') this.#write(step);
      else this.exchange(step.from, step.to);
      afterStep(this, step.type === 'write' ? step.at : step.to);
    }
  }

  #set(replica: number, entry: Entry): void {
    this.entries[replica] = entry;
    this.states.push(entry);
  }

  #seen({ at, seen, pick }: Step & { type: 'write' }): Context {
    const from = (entries: readonly (Entry | undefined)[]): Context =>
      entries[pick % Math.max(entries.length, 1)]?.context ?? EMPTY_CONTEXT;
    switch (seen) {
      case 'own':
        return from([this.entries[at]]);
      case 'old':
        return from(
          this.states.filter((state) =>
            [...state.context].every(([replica, sequence]) => covers(from([this.entries[at]]), { replica, sequence })),
          ),
        );
      case 'other':
        return from(this.entries);
      case 'one version': {
        const versions = this.entries[at]?.versions ?? [];
        const version = versions[pick % Math.max(versions.length, 1)];
        return version === undefined ? EMPTY_CONTEXT : new Map([[version.dot.replica, version.dot.sequence]]);
      }
      case 'nothing':
        break;
    }
    return EMPTY_CONTEXT;
  }

  #write(step: Step & { type: 'write' }): void {
    const entry = this.entries[step.at];
    const replica = REPLICAS[step.at]!;
    const seen = this.#seen(step);
    const dot = { replica, sequence: (entry?.context.get(replica) ?? 0) + 1 };
    const known = this.#known[step.at]!;
    for (const [name, write] of this.#writes) if (covers(seen, write.dot)) known.add(name);
    known.add(nameOf(dot));
    this.#writes.set(nameOf(dot), { dot, seen, value: step.value });
    // Sequences of one replica in one stamp: the stamp of a replica grows with each write, as its clock does.
    this.#set(step.at, write(entry, seen, dot, { wallMs: step.wallMs, counter: dot.sequence }, step.value));
  }

  exchange(from: number, to: number): void {
    const entry = this.entries[from];
    if (entry === undefined) return;
    for (const name of this.#known[from]!) this.#known[to]!.add(name);
    this.#set(to, merge(this.entries[to], entry));
  }

  /** Everybody learns everything, beginning with this replica. */
  exchangeAll(first: number): void {
    for (let round = 0; round < 2; round++) {
      for (let step = 0; step < REPLICAS.length - 1; step++) {
        const from = (first + step) % REPLICAS.length;
        this.exchange(from, (from + 1) % REPLICAS.length);
        if (round === 1) for (let to = 0; to < REPLICAS.length; to++) this.exchange(from, to);
      }
    }
    for (let to = 0; to < REPLICAS.length; to++) this.exchange((first + REPLICAS.length - 1) % REPLICAS.length, to);
  }

  /** The writes that a replica knows and that no write it knows had seen. */
  liveInModel(replica: number): ModelWrite[] {
    const known = [...this.#known[replica]!].map((name) => this.#writes.get(name)!);
    return known.filter(({ dot }) => !known.some((other) => covers(other.seen, dot)));
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

export const anyEntry: fc.Arbitrary<Entry> = steps(anyValue, 20)
  .filter((plan) => plan.some((step) => step.type === 'write'))
  .map((plan) => {
    const { states } = new History(plan);
    return states.at(-1)!;
  });
