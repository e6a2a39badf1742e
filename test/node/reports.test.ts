import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareBytes, toHex, utf8 } from '../../src/base/bytes.ts';
import { EMPTY_CONTENT } from '../../src/content/content-list.ts';
import { encodeEntry } from '../../src/entry/entry-codec.ts';
import { write, type Entry, type Value } from '../../src/entry/entry.ts';
import { diffReport, listEntries } from '../../src/node/reports.ts';
import { Replica } from '../../src/replica/replica.ts';
import { MemoryStore } from '../../src/store/memory-store.ts';
import { record, seededRandom, smallShare, TestClock } from '../replica/world.ts';

async function replicaWith(entries: Record<string, Entry>): Promise<Replica> {
  const replica = await Replica.create(new MemoryStore(), smallShare(), new TestClock(), seededRandom(2));
  await replica.commit(Object.entries(entries).map(([key, entry]) => ({ key: Buffer.from(key, 'latin1'), next: () => entry })));
  return replica;
}

function entryOf(...values: Value[]): Entry {
  let entry: Entry | undefined;
  for (const [index, value] of values.entries())
    entry = write(entry, [], { replica: `${index}`.repeat(16), sequence: 1 }, { wallMs: index, counter: 0 }, value);
  return entry!;
}

const FILE: Value = { kind: 'file', content: EMPTY_CONTENT, bytes: 12, mode: 0o640, mtimeMs: 1_700_000_000_000 };

describe('a listing', () => {
  it('shows what is live, with its winner, in the order of the tree', async () => {
    const replica = await replicaWith({
      'f/a': entryOf(record('x'), FILE),
      'f/b': entryOf({ kind: 'deleted' }),
      'f/dir': entryOf({ kind: 'directory', mode: 0o755 }),
      'f/link': entryOf({ kind: 'symlink', target: utf8('a') }),
      'm/member': entryOf(record('secret')),
      'r/one': entryOf(record('12345')),
      'r/two': entryOf({ kind: 'blob', content: EMPTY_CONTENT, bytes: 9_000 }),
      'r/\xff': entryOf(record('not UTF-8')),
    });
    const { items, next } = listEntries(replica, { prefix: '', after: undefined, limit: 100 });
    const rest = { mode: undefined, modified: undefined, content: undefined };
    expect(items).toEqual([
      {
        key: 'f/a',
        kind: 'file',
        bytes: 12,
        mode: '640',
        modified: '2023-11-14T22:13:20.000Z',
        versions: 2,
        content: toHex(EMPTY_CONTENT),
      },
      { ...rest, key: 'f/dir', kind: 'directory', bytes: 0, mode: '755', versions: 1 },
      { ...rest, key: 'f/link', kind: 'symlink', bytes: 0, versions: 1 },
      { ...rest, key: 'r/one', kind: 'record', bytes: 5, versions: 1 },
      { ...rest, key: 'r/two', kind: 'blob', bytes: 9_000, versions: 1, content: toHex(EMPTY_CONTENT) },
    ]);
    expect(next).toBeUndefined();
  });

  it('read page by page shows the same as at once, for every prefix', async () => {
    const names = fc.array(fc.constantFrom('a', 'b', 'ab', 'é', '/'), { minLength: 1, maxLength: 4 }).map((parts) => `f/${parts.join('')}`);
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(names, { maxLength: 30 }),
        fc.constantFrom('', 'f/', 'f/a', 'f/ab', 'r/'),
        fc.integer({ min: 1, max: 5 }),
        async (keys, prefix, limit) => {
          const entries = keys.map(
            (key, index) => [Buffer.from(key).toString('latin1'), entryOf(index % 4 === 3 ? { kind: 'deleted' } : record('x'))] as const,
          );
          const replica = await replicaWith(Object.fromEntries(entries));
          const expected = keys
            .filter((key, index) => index % 4 !== 3 && key.startsWith(prefix))
            .sort((a, b) => compareBytes(utf8(a), utf8(b)));
          const seen: string[] = [];
          let after: string | undefined;
          do {
            const { items, next } = listEntries(replica, { prefix, after, limit });
            expect(items.length).toBeLessThanOrEqual(limit);
            seen.push(...items.map(({ key }) => key));
            after = next;
          } while (after !== undefined);
          expect(seen).toEqual(expected);
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe('a difference', () => {
  const item = (key: string, entry: Entry): { key: Uint8Array; entry: Uint8Array } => ({ key: utf8(key), entry: encodeEntry(entry) });

  it('tells for each key who has what, and sums it up', async () => {
    const replica = await replicaWith({});
    const large: Value = { kind: 'blob', content: EMPTY_CONTENT, bytes: 5_000 };
    const report = diffReport(
      'other',
      replica,
      {
        here: [item('f/both', entryOf(FILE)), item('f/a-here', entryOf(FILE))],
        there: [
          item('r/there', entryOf(record('abc'), record('d'))),
          item('f/both', entryOf(large)),
          item('f/gone', entryOf({ kind: 'deleted' })),
        ],
        peerRoot: new Uint8Array(32).fill(9),
        truncated: false,
      },
      10,
    );
    expect(report).toEqual({
      peer: 'other',
      here: toHex(replica.head.root),
      there: '09'.repeat(32),
      differences: [
        { key: 'f/a-here', how: 'only-here', here: { kind: 'file', bytes: 12, versions: 1 }, there: undefined, bytes: 12 },
        {
          key: 'f/both',
          how: 'different',
          here: { kind: 'file', bytes: 12, versions: 1 },
          there: { kind: 'blob', bytes: 5_000, versions: 1 },
          bytes: 5_000,
        },
        { key: 'f/gone', how: 'only-there', here: undefined, there: { kind: 'deleted', bytes: 0, versions: 1 }, bytes: 0 },
        { key: 'r/there', how: 'only-there', here: undefined, there: { kind: 'record', bytes: 1, versions: 2 }, bytes: 1 },
      ],
      truncated: false,
      totals: { entries: 4, bytes: 5_013 },
    });
  });

  it('is cut at the limit, its totals are not; keys that are no text are shown in hex', async () => {
    const replica = await replicaWith({});
    const member = Buffer.concat([utf8('m/'), new Uint8Array(4).fill(0xff)]);
    const listing = {
      here: [{ key: member, entry: encodeEntry(entryOf(record('x'))) }, item('r/a', entryOf(record('xx')))],
      there: [{ key: Uint8Array.of(0x72, 0xff), entry: encodeEntry(entryOf(record('y'))) }],
      peerRoot: new Uint8Array(32),
      truncated: false,
    };
    const report = diffReport('other', replica, listing, 2);
    expect([report.differences.map(({ key }) => key), report.truncated, report.totals]).toEqual([
      ['72ff', 'm/ffffffff'],
      true,
      { entries: 3, bytes: 4 },
    ]);
    expect(diffReport('other', replica, listing, 3).truncated).toBe(false);
    expect(diffReport('other', replica, { ...listing, truncated: true }, 3).truncated).toBe(true);
  });
});
