import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/base/bytes.ts';
import {
  ENTRIES_MESSAGE_BYTES_GOAL,
  ENTRIES_PER_MESSAGE_MAX,
  ENTRIES_WINDOW_BYTES,
  ENTRY_BYTES_MAX,
  MESSAGE_BYTES_MAX,
  MIB,
} from '../../src/base/limits.ts';
import { hash } from '../../src/content/hash.ts';
import { entriesBytes, IncomingStreams, KnownThere, OutgoingStream, ReceiveWindow, SendWindow } from '../../src/session/streams.ts';
import { encodeMessage } from '../../src/wire/codec.ts';
import type { EntryItem, InlineChunk, MessageOf } from '../../src/wire/messages.ts';

const rootOf = (name: string): Uint8Array => hash('root', utf8(name));

function itemOf(at: number, bytes: number): EntryItem {
  return { key: utf8(`f/${at}`), entry: new Uint8Array(bytes) };
}

function streamOf(items: readonly EntryItem[], inline: (item: EntryItem) => InlineChunk | undefined = () => undefined): OutgoingStream {
  return new OutgoingStream({ items: items[Symbol.iterator](), base: rootOf('base'), root: rootOf('root'), walk: 7, trees: [], inline });
}

function partsOf(stream: OutgoingStream): MessageOf<'entries'>[] {
  const parts: MessageOf<'entries'>[] = [];
  while (!stream.done) parts.push(stream.next());
  return parts;
}

describe('a stream on its way out', () => {
  const sizes = fc.array(fc.oneof(fc.nat({ max: 100 }), fc.constantFrom(1_000, 50_000, ENTRIES_MESSAGE_BYTES_GOAL, ENTRY_BYTES_MAX)), {
    maxLength: 40,
  });

  it('carries all entries in order, base in the first part, root in the last, no part over a message', () => {
    fc.assert(
      fc.property(sizes, fc.boolean(), (list, chunks) => {
        const items = list.map((bytes, at) => itemOf(at, bytes));
        const parts = partsOf(
          streamOf(items, (item) => (chunks ? { hash: rootOf('chunk'), bytes: item.entry.subarray(0, 200_000) } : undefined)),
        );
        expect(parts.flatMap((part) => part.items)).toEqual(items);
        expect(parts.length).toBeGreaterThan(0);
        for (const [at, part] of parts.entries()) {
          expect(part.base).toEqual(at === 0 ? rootOf('base') : undefined);
          expect(part.root).toEqual(at === parts.length - 1 ? rootOf('root') : undefined);
          expect(part.walk).toBe(7);
          expect(part.inline.length).toBe(chunks ? part.items.length : 0);
          expect(encodeMessage(part).length).toBeLessThan(MESSAGE_BYTES_MAX);
          // Only the last may be empty.
          if (part.items.length === 0) expect(at).toBe(parts.length - 1);
          // Without the last entry it was below its goal.
          const last = part.items.at(-1);
          if (last !== undefined)
            expect(entriesBytes({ ...part, items: part.items.slice(0, -1), inline: part.inline.slice(0, -1) })).toBeLessThan(
              ENTRIES_MESSAGE_BYTES_GOAL + 100,
            );
        }
      }),
      { numRuns: 60 },
    );
  });

  it('puts no more than so many entries into a part', () => {
    const parts = partsOf(
      streamOf(
        Array.from({ length: ENTRIES_PER_MESSAGE_MAX + 1 }, (_, at) => ({ key: utf8(`${at}`.slice(-1)), entry: new Uint8Array(1) })),
      ),
    );
    expect(parts.map((part) => part.items.length)).toEqual([ENTRIES_PER_MESSAGE_MAX, 1]);
  });
});

describe('the windows', () => {
  it('let a sender go on exactly while less than the window is not granted', () => {
    const window = new SendWindow();
    expect(window.empty).toBe(true);
    window.sent(ENTRIES_WINDOW_BYTES - 1);
    expect(window.open).toBe(true);
    const mark = window.mark;
    window.sent(1);
    expect([window.open, window.empty, window.grantedUpTo(mark)]).toEqual([false, false, false]);
    window.granted(ENTRIES_WINDOW_BYTES - 1);
    expect([window.open, window.empty, window.grantedUpTo(mark)]).toEqual([true, false, true]);
    expect(() => window.granted(2)).toThrow(expect.objectContaining({ code: 'BAD_MESSAGE' }));
    window.granted(1);
    expect(window.empty).toBe(true);
  });

  it('close a connection whose sender does not wait, of empty parts too', () => {
    for (const message of [partsOf(streamOf([itemOf(1, MIB)]))[0]!, { ...partsOf(streamOf([]))[0]! }]) {
      const window = new ReceiveWindow();
      const bytes = entriesBytes(message);
      const most = Math.ceil((ENTRIES_WINDOW_BYTES + MESSAGE_BYTES_MAX) / bytes);
      expect(bytes).toBeGreaterThan(0);
      expect(() => {
        for (let offer = 0; offer <= most; offer++) window.taken(offer, bytes);
      }).toThrow(expect.objectContaining({ code: 'LIMIT_EXCEEDED' }));
    }
  });

  it('grant for each offer what it took, once', () => {
    const window = new ReceiveWindow();
    for (let round = 0; round < 100; round++) {
      window.taken(round, ENTRIES_WINDOW_BYTES);
      expect(window.settled(round)).toBe(ENTRIES_WINDOW_BYTES);
      expect(window.settled(round)).toBe(0);
    }
  });
});

describe('streams on their way in', () => {
  /** Streams as lists of parts; each part fails or not; the order in which parts are dealt with. */
  const histories = fc.record({
    streams: fc.array(fc.array(fc.boolean(), { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 6 }),
    order: fc.infiniteStream(fc.nat()),
    eager: fc.infiniteStream(fc.boolean()),
  });

  it('are settled in order, when complete and all before them are, and failed only by their own parts', () => {
    fc.assert(
      fc.property(histories, ({ streams, order, eager }) => {
        const incoming = new IncomingStreams();
        const offers = streams.flatMap((parts, stream) =>
          parts.map((failed, part) => ({ stream, part, failed, last: part === parts.length - 1 })),
        );
        const under: number[] = [];
        const settled: number[] = [];
        const applied = new Set<number>();
        const deal = (): void => {
          const [offer] = under.splice(order.next().value % under.length, 1);
          applied.add(offer!);
          for (const stream of incoming.applied(offer!, offers[offer!]!.failed)) {
            const at = settled.length;
            settled.push(stream.walk);
            expect(stream).toMatchObject({
              walk: at,
              base: rootOf(`base ${at}`),
              root: rootOf(`root ${at}`),
              failed: streams[at]!.includes(true),
            });
            expect(stream.arrival).toBe(offers.findLastIndex((other) => other.stream === at));
          }
          // Everything that can be settled is.
          const complete = streams.findIndex((_, at) => offers.some((other, number) => other.stream === at && !applied.has(number)));
          expect(settled.length).toBe(complete === -1 ? streams.length : complete);
          expect(incoming.idle).toBe(
            settled.length === new Set(offers.slice(0, Math.max(...applied, ...under) + 1).map(({ stream }) => stream)).size,
          );
        };
        for (const [number, { stream, part, last }] of offers.entries()) {
          const message: MessageOf<'entries'> = {
            type: 'entries',
            base: part === 0 ? rootOf(`base ${stream}`) : undefined,
            root: last ? rootOf(`root ${stream}`) : undefined,
            walk: stream,
            items: [itemOf(number, 1)],
            inline: [],
          };
          incoming.part(message, number, number);
          under.push(number);
          while (under.length > 0 && eager.next().value) deal();
        }
        while (under.length > 0) deal();
        expect(settled).toEqual([...streams.keys()]);
        expect(incoming.applied(0, false)).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });

  it('refuse a part with nothing in it but the last', () => {
    const empty: MessageOf<'entries'> = { type: 'entries', base: undefined, root: undefined, walk: 0, items: [], inline: [] };
    expect(() => new IncomingStreams().part(empty, 1, 1)).toThrow(expect.objectContaining({ code: 'BAD_MESSAGE' }));
    const incoming = new IncomingStreams();
    incoming.part({ ...empty, root: rootOf('root') }, 1, 1);
    expect(incoming.applied(1, false)).toMatchObject([{ root: rootOf('root'), failed: false }]);
  });
});

describe('what the peer is known to have', () => {
  it('is the entry at its key, not the same bytes elsewhere', () => {
    const known = new KnownThere();
    known.add({ key: utf8('ab'), entry: utf8('c') });
    expect(known.has({ key: utf8('ab'), entry: utf8('c') })).toBe(true);
    for (const [key, entry] of [
      ['a', 'bc'],
      ['ab', 'd'],
      ['abc', ''],
    ])
      expect(known.has({ key: utf8(key!), entry: utf8(entry!) })).toBe(false);
  });

  it('is bounded: what was added last is known', () => {
    const known = new KnownThere();
    const items = Array.from({ length: 100_001 }, (_, at) => itemOf(at, 1));
    for (const item of items) known.add(item);
    expect(known.has(items.at(-1)!)).toBe(true);
    expect(known.has(items[0]!)).toBe(false);
  });
});
