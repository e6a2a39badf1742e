import { describe, expect, it } from 'vitest';
import { byteKey, utf8 } from '../../src/base/bytes.ts';
import { ENTRIES_MESSAGE_BYTES_GOAL, MESSAGE_BYTES_MAX, MIB } from '../../src/base/limits.ts';
import { Listings, type Listed } from '../../src/session/listing.ts';
import { encodeMessage } from '../../src/wire/codec.ts';
import type { Message, MessageOf } from '../../src/wire/messages.ts';
import type { Model } from '../tree/support.ts';
import { listed, missing, Side } from './walks.ts';

function modelOf(count: number, bytes: number, flavour: number): Model {
  return new Map(
    Array.from({ length: count }, (_, at) => [byteKey(utf8(`f/${String(at).padStart(6, '0')}`)), new Uint8Array(bytes).fill(flavour)]),
  );
}

function listingsOf(side: Side): Listings {
  return new Listings((id, begins) => side.walk(begins, id));
}

/** `a` asks `b`; gives what it gets, and the messages of `b`'s part. */
function run(a: Side, b: Side): { result: Listed | undefined; parts: MessageOf<'listing'>[] } {
  const [asking, asked] = [listingsOf(a), listingsOf(b)];
  const toAsked: Message[] = [asking.start(1, new Uint8Array(32))];
  const parts: MessageOf<'listing'>[] = [];
  let result: Listed | undefined;
  for (let message = toAsked.shift(); message !== undefined; message = toAsked.shift()) {
    for (const reply of asked.step(message as MessageOf<'walk'>)) {
      expect(encodeMessage(reply).length).toBeLessThan(MESSAGE_BYTES_MAX);
      if (reply.type === 'walk') toAsked.push(...asking.step(reply));
      else if (reply.type === 'listing') {
        parts.push(reply);
        result = asking.listed(reply);
      }
    }
  }
  expect(asking.busy).toBe(false);
  return { result, parts };
}

describe('a listing', () => {
  it('comes in parts that fit into messages, and is whole while it is not too long', () => {
    const [a, b] = [new Side(modelOf(3_000, 3_000, 1), 5), new Side(modelOf(3_000, 3_000, 2), 5)];
    const { result, parts } = run(a, b);
    expect(listed(result!.here)).toEqual(listed(missing(a.model, b.model)));
    expect(listed(result!.there)).toEqual(listed(missing(b.model, a.model)));
    expect(result!.truncated).toBe(false);
    expect(parts.map(({ last }) => last)).toEqual(parts.map((_, at) => at === parts.length - 1));
    for (const part of parts) expect(encodeMessage(part).length).toBeLessThan(ENTRIES_MESSAGE_BYTES_GOAL + 4_096);
  });

  it('is cut off by bytes, and says so', () => {
    const [a, b] = [new Side(modelOf(300, 100_000, 1), 5), new Side(new Map(), 5)];
    for (const [one, other] of [
      [a, b],
      [b, a],
    ] as const) {
      const { result } = run(one, other);
      expect(result!.truncated).toBe(true);
      const long = one === a ? result!.here : result!.there;
      expect(long.length).toBe(Math.ceil((16 * MIB) / 100_008));
      expect((one === a ? result!.there : result!.here).length).toBe(0);
    }
  });

  it('is refused when it comes before the walk is over, or is longer than it may be', () => {
    const asking = listingsOf(new Side(modelOf(100, 10, 1), 5));
    const part = (items: number, bytes: number): MessageOf<'listing'> => ({
      type: 'listing',
      id: 1,
      items: Array.from({ length: items }, () => ({ key: utf8('k'), entry: new Uint8Array(bytes) })),
      last: false,
    });
    expect(asking.listed(part(1, 1))).toBeUndefined();
    asking.start(1, new Uint8Array(32));
    expect(() => asking.listed(part(1, 1))).toThrow(expect.objectContaining({ code: 'BAD_MESSAGE' }));
    asking.step({ type: 'walk', id: 1, merge: false, root: new Uint8Array(32), ranges: [], wants: [], more: false, answers: true });
    expect(asking.listed({ ...part(1, 1), id: 3 })).toBeUndefined();
    expect(() => {
      for (let at = 0; at < 20; at++) asking.listed(part(1, 2 * MIB));
    }).toThrow(expect.objectContaining({ code: 'LIMIT_EXCEEDED' }));
    const many = listingsOf(new Side(new Map(), 5));
    many.start(1, new Uint8Array(32));
    many.step({ type: 'walk', id: 1, merge: false, root: new Uint8Array(32), ranges: [], wants: [], more: false, answers: true });
    expect(() => {
      for (let at = 0; at < 100; at++) many.listed(part(2_000, 1));
    }).toThrow(expect.objectContaining({ code: 'LIMIT_EXCEEDED' }));
  });
});
