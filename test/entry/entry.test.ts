import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { utf8 } from '../../src/base/bytes.ts';
import { CONTEXT_REPLICAS_MAX, LINK_TARGET_BYTES_MAX, MTIME_MS_MAX, RECORD_INLINE_BYTES_MAX, VERSIONS_MAX } from '../../src/base/limits.ts';
import { EMPTY_CONTENT } from '../../src/content/content-list.ts';
import {
  birth,
  contains,
  equalEntries,
  merge,
  retire,
  write,
  type Dot,
  type Entry,
  type FoundValue,
  type ReplicaId,
  type Value,
} from '../../src/entry/entry.ts';
import { decodeEntry, encodeEntry } from '../../src/entry/entry-codec.ts';
import { view } from '../../src/entry/view.ts';
import { codeOf } from '../content/code-of.ts';
import { anyValue, fewValues, History, nameOf, plainEntry, steps } from './history.ts';

const A = '00000000000000aa';
const B = '00000000000000bb';

function record(text: string): Value {
  return { kind: 'record', data: utf8(text) };
}

function put(entry: Entry | undefined, seen: readonly Dot[], replica: ReplicaId, sequence: number, text: string): Entry {
  return write(entry, seen, { replica, sequence }, { wallMs: sequence, counter: 0 }, record(text));
}

function dotsOf(entry: Entry): Dot[] {
  return entry.versions.map(({ dot }) => dot);
}

/** The versions of these texts. */
function dotsAt(entry: Entry, ...wanted: readonly string[]): Dot[] {
  return entry.versions
    .filter(({ value }) => value.kind === 'record' && wanted.includes(Buffer.from(value.data).toString()))
    .map(({ dot }) => dot);
}

function texts(entry: Entry): string[] {
  return entry.versions.map(({ value }) => (value.kind === 'record' ? Buffer.from(value.data).toString() : value.kind));
}

/** Three states out of one history: any of them may know more than, less than or other things than the rest. */
const threeStates: fc.Arbitrary<[Entry, Entry, Entry]> = fc
  .tuple(steps(fewValues, 40), fc.nat(), fc.nat(), fc.nat())
  .filter(([plan]) => plan.some(({ type }) => type === 'write' || type === 'find'))
  .map(([plan, ...picks]) => {
    const { states } = new History(plan);
    const [a, b, c] = picks.map((pick) => states[pick % states.length]!);
    return [a!, b!, c!];
  });

/** Calls `check` with many histories; the values are few, so that equal ones meet. */
function inHistories(check: (history: History, replica: number) => void, values: fc.Arbitrary<Value> = fewValues): History[] {
  const done: History[] = [];
  fc.assert(
    fc.property(steps(values, 40), (plan) => {
      done.push(new History(plan, check));
    }),
    { numRuns: 400 },
  );
  return done;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

describe('an entry in honest histories', () => {
  test('holds just the versions that no write had seen and that nobody retired', () => {
    let concurrent = 0;
    const check = (history: History, replica: number): void => {
      const live = history.liveInModel(replica);
      const entry = history.entries[replica];
      expect(entry?.versions ?? []).toEqual(live);
      expect(entry?.context ?? new Map()).toEqual(history.contextInModel(replica));
      if (live.length > 1) concurrent++;
    };
    const histories = [...inHistories(check), ...inHistories(check, anyValue)];
    expect(concurrent).toBeGreaterThan(1000);
    expect(sum(histories.map(({ counts }) => counts.retired))).toBeGreaterThan(200);
    expect(sum(histories.map(({ counts }) => counts.retiredAsWinner))).toBeGreaterThan(0);
    expect(sum(histories.map(({ counts }) => counts.births))).toBeGreaterThan(200);
  });

  test('shows the newest version that is alive', () => {
    inHistories((history, replica) => {
      expect(view(history.entries[replica]).winner?.version).toEqual(history.winnerInModel(replica));
    });
  });

  test('is never without a version, whichever two states meet', () => {
    let crossed = 0;
    for (const { states } of inHistories(() => {})) {
      for (const a of states) {
        for (const b of states) {
          const both = merge(a, b);
          expect(both.versions.length).toBeGreaterThan(0);
          const lost = [...a.versions, ...b.versions].filter(
            ({ dot }) => !both.versions.some((other) => nameOf(other.dot) === nameOf(dot)),
          );
          if (lost.some((version) => a.versions.includes(version)) && lost.some((version) => b.versions.includes(version))) crossed++;
        }
      }
    }
    expect(crossed).toBeGreaterThan(100);
  });

  test('only grows by what is done to it', () => {
    inHistories((history, replica) => {
      const entry = history.entries[replica];
      if (entry === undefined) return;
      const { winner, others } = view(entry);
      const written = write(
        entry,
        winner?.dots ?? [],
        { replica: 'eeeeeeeeeeeeeeee', sequence: 1 },
        { wallMs: 100, counter: 0 },
        record('new'),
      );
      expect(contains(written, entry)).toBe(true);
      expect(contains(entry, written)).toBe(false);
      for (const { dots } of others) {
        const retired = retire(entry, dots);
        expect(contains(retired, entry)).toBe(true);
        expect(contains(entry, retired)).toBe(false);
        expect(merge(entry, retired)).toEqual(retired);
      }
    });
  });

  test('keeps its conflict copies when the winner is edited', () => {
    let copies = 0;
    inHistories((history, replica) => {
      const entry = history.entries[replica];
      const { winner, others } = view(entry);
      if (entry === undefined || winner === undefined) return;
      const dot = { replica: 'eeeeeeeeeeeeeeee', sequence: 1 };
      const edited = view(write(entry, winner.dots, dot, { wallMs: 100, counter: 0 }, record('edited')));
      expect(edited.winner?.dots).toEqual([dot]);
      expect(edited.others).toEqual(others);
      copies += others.length;
    });
    expect(copies).toBeGreaterThan(500);
  });

  test('loses a conflict copy that is retired, and nothing else', () => {
    let copies = 0;
    inHistories((history, replica) => {
      const entry = history.entries[replica];
      const { winner, others } = view(entry);
      if (entry === undefined) return;
      for (const other of others) {
        expect(view(retire(entry, other.dots))).toEqual({ ...view(entry), winner, others: others.filter((left) => left !== other) });
        copies++;
      }
    });
    expect(copies).toBeGreaterThan(500);
  });
});

describe('merge', () => {
  test('is commutative, associative and idempotent', () => {
    fc.assert(
      fc.property(threeStates, ([a, b, c]) => {
        expect(plainEntry(merge(a, b))).toEqual(plainEntry(merge(b, a)));
        expect(plainEntry(merge(merge(a, b), c))).toEqual(plainEntry(merge(a, merge(b, c))));
        expect(merge(a, a)).toBe(a);
        expect(plainEntry(merge(a, structuredClone(a)))).toEqual(plainEntry(a));
      }),
      { numRuns: 500 },
    );
  });

  test('only grows, and says so by identity', () => {
    fc.assert(
      fc.property(threeStates, ([a, b]) => {
        const both = merge(a, b);
        expect(contains(both, a) && contains(both, b)).toBe(true);
        expect(merge(both, a)).toBe(both);
        expect(merge(both, structuredClone(b))).toBe(both);
        expect(merge(a, b) === a).toBe(equalEntries(both, a));
        expect(contains(a, b)).toBe(JSON.stringify(plainEntry(both)) === JSON.stringify(plainEntry(a)));
      }),
      { numRuns: 500 },
    );
  });

  test('is monotone: who knows more before it knows more after it', () => {
    let more = 0;
    fc.assert(
      fc.property(threeStates, ([a, b, c]) => {
        const both = merge(a, b);
        for (const [small, large] of [
          [a, both],
          [b, both],
          [a, b],
        ] as const) {
          if (!contains(large, small)) continue;
          expect(contains(merge(large, c), merge(small, c))).toBe(true);
          expect(contains(merge(c, large), merge(c, small))).toBe(true);
          if (!contains(small, large)) more++;
        }
      }),
      { numRuns: 500 },
    );
    expect(more).toBeGreaterThan(300);
  });

  test('comes to one entry and one view, in whatever order and however often states arrive', () => {
    let conflicts = 0;
    fc.assert(
      fc.property(steps(fewValues), fc.infiniteStream(fc.nat()), (plan, random) => {
        const history = new History(plan);
        const { states } = history;
        if (states.length === 0) return;
        const pick = (): Entry => states[random.next().value % states.length]!;
        const shuffled = states
          .map((state) => ({ state, order: random.next().value }))
          .sort((x, y) => x.order - y.order)
          .map(({ state }) => state);
        // What is on its way may have been merged on its way, and what arrived arrives again.
        let joined: Entry | undefined;
        for (const state of shuffled) joined = merge(merge(joined, random.next().value % 2 === 0 ? merge(pick(), state) : state), pick());
        history.exchangeAll(0);
        const reference = history.entries[0]!;
        expect(plainEntry(joined!)).toEqual(plainEntry(reference));
        expect(view(joined)).toEqual(view(reference));
        expect(view(decodeEntry(encodeEntry(joined!)))).toEqual(view(decodeEntry(encodeEntry(reference))));
        if (view(joined).others.length > 0) conflicts++;
      }),
      { numRuns: 300 },
    );
    expect(conflicts).toBeGreaterThan(50);
  });

  test('makes all replicas and their views equal once all is exchanged', () => {
    fc.assert(
      fc.property(steps(fewValues), fc.nat(3), (plan, first) => {
        const history = new History(plan);
        history.exchangeAll(first);
        const [reference, ...others] = history.entries;
        if (reference === undefined) return;
        for (const entry of others) {
          expect(equalEntries(reference, entry!)).toBe(true);
          expect(plainEntry(entry!)).toEqual(plainEntry(reference));
          expect(view(entry)).toEqual(view(reference));
        }
      }),
      { numRuns: 300 },
    );
  });

  test('a dot used twice ends the same on both sides', () => {
    fc.assert(
      fc.property(anyValue, anyValue, (one, two) => {
        const of = (value: Value): Entry => write(undefined, [], { replica: A, sequence: 1 }, { wallMs: 1, counter: 0 }, value);
        expect(plainEntry(merge(of(one), of(two)))).toEqual(plainEntry(merge(of(two), of(one))));
        expect(equalEntries(of(one), of(two))).toBe(JSON.stringify(plainEntry(of(one))) === JSON.stringify(plainEntry(of(two))));
      }),
      { numRuns: 300 },
    );
  });

  test('a longer context alone is something new', () => {
    const short = put(undefined, [], A, 1, 'a');
    const long: Entry = { ...short, context: new Map([...short.context, [B, 4]]) };
    expect(equalEntries(short, long) || equalEntries(long, short)).toBe(false);
    const longer: Entry = { ...short, context: new Map([...short.context, [B, 5]]) };
    expect(equalEntries(long, longer) || equalEntries(longer, long)).toBe(false);
    expect(contains(short, long)).toBe(false);
    expect(contains(long, short)).toBe(true);
    expect(merge(short, long).context).toEqual(long.context);
  });

  test('forged contexts that would delete without a trace are refused', () => {
    const context = new Map([
      [A, 1],
      [B, 1],
    ]);
    const a: Entry = { ...put(undefined, [], A, 1, 'a'), context };
    const b: Entry = { ...put(undefined, [], B, 1, 'b'), context };
    expect(codeOf(() => merge(a, b))).toBe('BAD_MESSAGE');
  });

  test('an entry does not outgrow its limits', () => {
    const name = (n: number): ReplicaId => n.toString(16).padStart(16, '0');
    let crowd: Entry | undefined;
    for (let n = 1; n <= VERSIONS_MAX; n++) crowd = put(crowd, [], name(n), 1, String(n));
    expect(crowd!.versions.length).toBe(VERSIONS_MAX);
    const one = put(undefined, [], 'f'.repeat(16), 1, 'one');
    expect(codeOf(() => put(crowd, [], name(9999), 1, 'x'))).toBe('LIMIT_EXCEEDED');
    expect(codeOf(() => merge(crowd, one))).toBe('LIMIT_EXCEEDED');
    const context = new Map(Array.from({ length: CONTEXT_REPLICAS_MAX }, (_, n) => [name(n + 1), 1]));
    const long: Entry = { ...put(undefined, [], name(1), 1, 'one'), context };
    expect(codeOf(() => put(long, [], name(1), 2, 'x'))).toBeUndefined();
    expect(codeOf(() => put(long, [], name(9999), 1, 'x'))).toBe('LIMIT_EXCEEDED');
    expect(codeOf(() => merge(long, one))).toBe('LIMIT_EXCEEDED');
  });
});

describe('write', () => {
  test('replaces what its author had seen, and leaves the rest beside it', () => {
    const first = put(undefined, [], A, 1, 'one');
    const second = put(first, dotsOf(first), A, 2, 'two');
    expect(texts(second)).toEqual(['two']);
    const beside = put(second, dotsOf(first), B, 1, 'beside');
    expect(texts(beside)).toEqual(['two', 'beside']);
    expect(texts(put(beside, dotsOf(beside), B, 2, 'end'))).toEqual(['end']);
    expect(texts(merge(second, first))).toEqual(['two']);
  });

  test('an older conflict copy survives a write that saw only the newer winner of the same replica', () => {
    const mine = put(undefined, [], A, 1, 'mine');
    const both = put(mine, [], B, 2, 'theirs');
    const edited = put(both, dotsAt(both, 'theirs'), A, 3, 'theirs, edited by me');
    expect(texts(edited)).toEqual(['mine', 'theirs, edited by me']);
    // The context that covers A:3 covers A:1 too: only exact dots tell that the author saw A:3 alone.
    const again = put(edited, view(edited).winner!.dots, B, 4, 'edited again');
    expect(texts(again)).toEqual(['mine', 'edited again']);
    for (const older of [mine, both, edited]) {
      expect(texts(merge(again, older))).toEqual(['mine', 'edited again']);
      expect(texts(merge(older, again))).toEqual(['mine', 'edited again']);
    }
    expect(view(again).others.map(({ dots }) => dots)).toEqual([[{ replica: A, sequence: 1 }]]);
  });

  test('having seen what is not known here replaces nothing, here or elsewhere', () => {
    const elsewhere = put(put(undefined, [], A, 1, 'older'), [], A, 2, 'newer');
    const here = put(undefined, dotsAt(elsewhere, 'newer'), B, 3, 'here');
    expect(here.context).toEqual(new Map([[B, 3]]));
    expect(texts(merge(here, elsewhere))).toEqual(['older', 'newer', 'here']);
  });

  test('a dot is used once', () => {
    const first = put(undefined, [], A, 2, 'one');
    expect(() => put(first, [], A, 2, 'again')).toThrow(/a dot names one write/);
    expect(() => put(first, dotsOf(first), A, 2, 'again')).toThrow(/a dot names one write/);
    expect(() => put(first, [], A, 1, 'earlier')).toThrow(/a dot names one write/);
  });

  test('takes no value that cannot be encoded', () => {
    const attempt = (value: Value) => () => write(undefined, [], { replica: A, sequence: 1 }, { wallMs: 1, counter: 0 }, value);
    const file: Value = { kind: 'file', content: EMPTY_CONTENT, bytes: 0, mode: 0o644, mtimeMs: 0 };
    expect(attempt(file)).not.toThrow();
    expect(attempt({ ...file, mtimeMs: 0.5 })).toThrow(/mtimeMs/);
    expect(attempt({ ...file, mtimeMs: MTIME_MS_MAX + 1 })).toThrow(/mtimeMs/);
    expect(attempt({ ...file, mode: 0o10000 })).toThrow(/mode/);
    expect(attempt({ ...file, bytes: -1 })).toThrow(/bytes/);
    expect(attempt({ ...file, content: EMPTY_CONTENT.subarray(1) })).toThrow(/content/);
    expect(attempt({ kind: 'record', data: new Uint8Array(RECORD_INLINE_BYTES_MAX + 1) })).toThrow(/data/);
    expect(attempt({ kind: 'symlink', target: new Uint8Array(0) })).toThrow(/target/);
    expect(attempt({ kind: 'symlink', target: utf8('a\0b') })).toThrow(/target/);
    expect(attempt({ kind: 'symlink', target: new Uint8Array(LINK_TARGET_BYTES_MAX + 1).fill(65) })).toThrow(/target/);
  });
});

describe('retire', () => {
  const loser = put(undefined, [], A, 1, 'loser');
  const both = put(loser, [], B, 2, 'winner');

  test('takes a conflict copy away everywhere, for good', () => {
    const retired = retire(both, dotsAt(both, 'loser'));
    expect(texts(retired)).toEqual(['winner']);
    expect(retired.context).toEqual(both.context);
    for (const older of [loser, both]) {
      expect(plainEntry(merge(older, retired))).toEqual(plainEntry(retired));
      expect(merge(retired, older)).toBe(retired);
    }
  });

  test('leaves what was made of the copy elsewhere', () => {
    const edited = put(both, dotsAt(both, 'loser'), A, 3, 'loser, edited');
    const retired = retire(both, dotsAt(both, 'loser'));
    expect(texts(merge(edited, retired))).toEqual(['loser, edited', 'winner']);
    expect(texts(merge(retired, edited))).toEqual(['loser, edited', 'winner']);
  });

  test('changes nothing where nothing of it is alive, or where nothing would be left', () => {
    expect(retire(both, [])).toBe(both);
    expect(retire(both, [{ replica: A, sequence: 7 }])).toBe(both);
    expect(retire(both, dotsOf(both))).toBe(both);
    expect(retire(loser, dotsOf(loser))).toBe(loser);
    const retired = retire(both, dotsAt(both, 'loser'));
    expect(retire(retired, dotsAt(both, 'loser'))).toBe(retired);
  });

  test('a copy that wins meanwhile, because the winner was deleted, goes as well', () => {
    const deleted = write(both, dotsAt(both, 'winner'), { replica: B, sequence: 3 }, { wallMs: 3, counter: 0 }, { kind: 'deleted' });
    expect(view(deleted).winner?.version.dot).toEqual({ replica: A, sequence: 1 });
    expect(texts(retire(deleted, dotsAt(both, 'loser')))).toEqual(['deleted']);
  });

  test('relies on stamps that are greater than those they replace', () => {
    const dot = { replica: A, sequence: 3 };
    const edit = (wallMs: number): Entry => write(both, dotsAt(both, 'winner'), dot, { wallMs, counter: 0 }, record('edited'));
    const here = retire(both, dotsAt(both, 'loser'));
    expect(texts(merge(here, edit(3)))).toEqual(['edited']);
    // An edit that is older than all there is becomes a conflict copy. Once it is retired, the copy that was retired here
    // is all that is left there: so a clock that has seen less than its replica breaks the entry.
    const backdated = retire(edit(0), [dot]);
    expect(texts(backdated)).toEqual(['loser']);
    expect(codeOf(() => merge(here, backdated))).toBe('BAD_MESSAGE');
  });
});

describe('birth', () => {
  const key = utf8('f/data/a.txt');
  const file: FoundValue = { kind: 'file', content: EMPTY_CONTENT, bytes: 0, mode: 0o644, mtimeMs: 1_700_000_000_000 };
  const link: FoundValue = { kind: 'symlink', target: utf8('../b') };
  const folder: FoundValue = { kind: 'directory', mode: 0o755 };

  test('replicas that find the same make the same entry', () => {
    const copied = { ...file, content: Uint8Array.from(EMPTY_CONTENT) };
    expect(plainEntry(birth(key, copied))).toEqual(plainEntry(birth(Uint8Array.from(key), file)));
    expect(birth(key, file).versions[0]!.stamp).toEqual({ wallMs: file.mtimeMs, counter: 0 });
    expect(birth(key, link).versions[0]!.stamp).toEqual({ wallMs: 0, counter: 0 });
    const [version] = birth(key, file).versions;
    expect(birth(key, file).context).toEqual(new Map([[version!.dot.replica, 1]]));
    expect(version!.dot.replica).toMatch(/^[0-9a-f]{16}$/);
  });

  test('any difference in what is found makes another dot', () => {
    const changed = Uint8Array.from(EMPTY_CONTENT).fill(1, 0, 1);
    const all: readonly (readonly [Uint8Array, FoundValue])[] = [
      [key, file],
      [key, { ...file, mode: 0o755 }],
      [key, { ...file, mtimeMs: file.mtimeMs + 1 }],
      [key, { ...file, mtimeMs: -1 }],
      [key, { ...file, mtimeMs: 1 }],
      [key, { ...file, content: changed }],
      [key, link],
      [key, { kind: 'symlink', target: utf8('../c') }],
      [key, folder],
      [key, { kind: 'directory', mode: 0o700 }],
      [utf8('f/data/b.txt'), file],
    ];
    expect(new Set(all.map(([at, value]) => birth(at, value).versions[0]!.dot.replica)).size).toBe(all.length);
  });

  test('a time before 1970 or past the stamps is brought into their range', () => {
    expect(birth(key, { ...file, mtimeMs: -5 }).versions[0]!.stamp.wallMs).toBe(0);
    expect(birth(key, { ...file, mtimeMs: 2 ** 50 }).versions[0]!.stamp.wallMs).toBe(2 ** 48 - 1);
    expect(() => birth(key, { ...file, mtimeMs: 1.5 })).toThrow(RangeError);
  });

  test('a host that lost its database neither resurrects nor conflicts', () => {
    const found = birth(key, file);
    const edited = put(found, dotsOf(found), A, 1, 'edited');
    const deleted = write(found, dotsOf(found), { replica: A, sequence: 1 }, { wallMs: 5, counter: 0 }, { kind: 'deleted' });
    expect(merge(edited, birth(key, file))).toBe(edited);
    expect(merge(birth(key, file), deleted)).toEqual(deleted);
    const other = birth(key, { ...file, mtimeMs: 7 });
    expect(merge(found, other).versions.length).toBe(2);
    expect(view(merge(found, other)).others).toEqual([]);
  });
});
