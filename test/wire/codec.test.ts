import * as fc from 'fast-check';
import { Packr } from 'msgpackr';
import { describe, expect, it } from 'vitest';
import { ByteWriter, sharedPrefixLength, toHex, utf8 } from '../../src/base/bytes.ts';
import { SamerootError } from '../../src/base/errors.ts';
import {
  CHUNK_BYTES_MAX,
  CHUNK_FRAME_BYTES_MAX,
  KEY_BYTES_MAX,
  MESSAGE_BYTES_MAX,
  MIB,
  WALK_LIST_BYTES_MAX,
} from '../../src/base/limits.ts';
import { decodeMessage, encodeChunks, encodeMessage, frameHeadBytes } from '../../src/wire/codec.ts';
import type { ChunkFrame, Message, MessageType } from '../../src/wire/messages.ts';
import { mutated, mutations } from '../base/mutated.ts';
import { expectVectors } from '../vectors/vector-file.ts';
import { bytesOf, MESSAGE_ARBITRARIES, MESSAGE_TYPES, messages, plain, SAMPLES, sortedKeys } from './messages.ts';

const packr = new Packr({ useRecords: false });

/** A control message from a msgpack body that need not be one of ours. */
function control(body: unknown): Buffer {
  return Buffer.concat([Uint8Array.of(1), packr.pack(body)]);
}

function raw(...parts: (Uint8Array | readonly number[])[]): Buffer {
  return Buffer.concat([Uint8Array.of(1), ...parts.map((part) => Uint8Array.from(part))]);
}

function fieldsOf(message: Message): unknown[] {
  return packr.unpack(encodeMessage(message).subarray(1)) as unknown[];
}

/** `BAD_MESSAGE`, or what came out instead. */
function refusal(bytes: Uint8Array): unknown {
  try {
    return decodeMessage(bytes) ?? 'skipped';
  } catch (error) {
    return error instanceof SamerootError ? error.code : error;
  }
}

describe('control messages', () => {
  it.each(MESSAGE_TYPES)('%s comes back as it was', (type) => {
    fc.assert(
      fc.property(MESSAGE_ARBITRARIES[type] as fc.Arbitrary<Message>, (message) => {
        expect(plain(decodeMessage(encodeMessage(message)))).toEqual(plain(message));
      }),
    );
  });

  it('are read from a view into a larger buffer', () => {
    for (const message of SAMPLES) {
      const around = Buffer.concat([Buffer.from('before'), encodeMessage(message), Buffer.from('after')]);
      expect(plain(decodeMessage(new Uint8Array(around.buffer, around.byteOffset + 6, around.length - 11)))).toEqual(plain(message));
    }
  });

  it('agree with the golden vectors', () => {
    const samples = SAMPLES.map((message) => ({ message: plain(message), encoded: toHex(encodeMessage(message)) }));
    const chunks = [
      { item: 0, chunk: 0, bytes: utf8('first') },
      { item: 300, chunk: 70_000, bytes: new Uint8Array(0) },
      { item: 300, chunk: 70_001, bytes: utf8('third chunk') },
    ];
    const frame = { id: 0xfeed, chunks: plain(chunks), encoded: toHex(encodeChunks(0xfeed, chunks)) };
    expect(new Set(SAMPLES.map((message) => message.type))).toEqual(new Set(MESSAGE_TYPES));
    expectVectors('wire', { messages: samples, frame });
  });

  it('larger than a receiver takes are our own mistake', () => {
    const items = Array.from({ length: 8 }, () => ({ key: utf8('k'), entry: new Uint8Array(MIB) }));
    expect(() => encodeMessage({ type: 'listing', id: 1, items, last: true })).toThrow(/limit that its receiver keeps/);
  });
});

type Kind =
  | 'content'
  | 'hash'
  | 'hash?'
  | 'bytes8'
  | 'bytes8?'
  | 'flag'
  | 'port'
  | 'id'
  | 'id32'
  | 'ms?'
  | 'walkId'
  | 'list'
  | 'packed'
  | `text${number}`
  | `upTo${number}`;

/** The fields of each type in order, by the description of the protocol. */
const FIELDS: { readonly [T in MessageType]: readonly Kind[] } = {
  hello: ['port', 'port', 'list', 'hash', 'text255', 'port', 'bytes8', 'upTo1024', 'hash', 'bytes8?', 'hash?'],
  join: ['bytes8', 'hash', 'hash', 'upTo256', 'text255', 'port'],
  hold: [],
  refuse: ['text64', 'ms?'],
  root: ['hash'],
  ack: ['hash'],
  entries: ['hash?', 'hash?', 'id', 'list', 'list'],
  grant: ['id'],
  'walk-request': [],
  walk: ['walkId', 'flag', 'hash', 'packed', 'packed', 'flag', 'flag'],
  listing: ['id', 'list', 'flag'],
  'list-pages': ['id', 'list'],
  'list-pages-reply': ['id', 'list'],
  fetch: ['id32', 'list'],
  fetched: ['id32', 'list'],
  stable: ['upTo131072'],
  introductions: ['list'],
  have: ['content', 'list'],
};

const NOT_NUMBERS = [null, true, '1', Buffer.of(1), [], {}, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, 2 ** 64];

function wrongValues(kind: Kind): unknown[] {
  if (kind === 'flag') return [null, 0, 1, 'true', [], Buffer.of(1)];
  if (kind === 'list') return [null, true, 3, 'list', Buffer.alloc(3), {}, [[]], [{}]];
  if (kind === 'packed')
    return [null, true, 0, '', [], Buffer.alloc(0), Buffer.of(1), Buffer.of(0, 0), Buffer.alloc(WALK_LIST_BYTES_MAX + 1)];
  if (kind === 'port') return [...NOT_NUMBERS, 65_536];
  if (kind === 'id32') return [...NOT_NUMBERS, 2 ** 32];
  if (kind === 'walkId') return [...NOT_NUMBERS, 0];
  if (kind === 'id') return NOT_NUMBERS;
  if (kind === 'ms?') return [...NOT_NUMBERS.slice(1), 2 ** 48];
  if (kind.startsWith('text'))
    return [null, 0, Buffer.from('text'), [], 'x'.repeat(Number(kind.slice(4)) + 1), 'ä'.repeat(Number(kind.slice(4)) / 2 + 1)];
  if (kind.startsWith('upTo')) return [null, 0, 'text', [], Buffer.alloc(Number(kind.slice(4)) + 1)];
  const length = kind === 'content' ? 33 : kind.startsWith('hash') ? 32 : 8;
  const wrong = [
    0,
    'x'.repeat(length),
    Array.from({ length }, () => 1),
    Buffer.alloc(0),
    Buffer.alloc(length - 1),
    Buffer.alloc(length + 1),
  ];
  return kind.endsWith('?') ? wrong : [null, ...wrong];
}

describe('a field that is not what it should be', () => {
  for (const message of SAMPLES) {
    it(`of ${message.type} is refused`, () => {
      const fields = fieldsOf(message);
      const kinds = FIELDS[message.type];
      expect(fields.length).toBe(kinds.length + 1);
      for (const [at, kind] of kinds.entries()) {
        for (const [number, wrong] of wrongValues(kind).entries()) {
          expect({ field: at, kind, number, result: refusal(control(fields.with(at + 1, wrong))) }).toMatchObject({
            result: 'BAD_MESSAGE',
          });
        }
        expect(refusal(control(fields.slice(0, at + 1)))).toBe('BAD_MESSAGE');
      }
    });
  }

  it('within a list is refused', () => {
    const hash = Buffer.alloc(32);
    const [hello] = SAMPLES.filter(({ type }) => type === 'hello');
    const wrong: unknown[][] = [
      fieldsOf(hello!).with(3, ['x'.repeat(65)]),
      fieldsOf(hello!).with(3, [1]),
      fieldsOf(hello!).with(
        3,
        Array.from({ length: 65 }, () => 'x'),
      ),
      [7, null, hash, 0, [Buffer.of(1)], []],
      [7, null, hash, 0, [Buffer.alloc(KEY_BYTES_MAX + 1), hash], []],
      [7, null, hash, 0, [Buffer.of(1), Buffer.alloc(2 * MIB + 1)], []],
      [7, null, hash, 0, ['key', hash], []],
      [7, null, hash, 0, [], [Buffer.alloc(31), hash]],
      [7, null, hash, 0, [], [hash, Buffer.alloc(CHUNK_BYTES_MAX + 1)]],
      [7, null, hash, 0, Array.from({ length: 2 * 16_385 }, () => Buffer.of(1)), []],
      [12, 1, [Buffer.alloc(31)]],
      [12, 1, Array.from({ length: 513 }, () => hash)],
      [13, 1, [0]],
      [14, 1, [Buffer.alloc(33), 0, 0]],
      [14, 1, [Buffer.alloc(32), 0, 0, 1]],
      [14, 1, [Buffer.alloc(33, 9), 0, 0, 1]],
      [14, 1, [Buffer.alloc(33), 2 ** 48, 0, 1]],
      [14, 1, [Buffer.alloc(33), 0, 2 ** 32, 1]],
      [14, 1, [Buffer.alloc(33), 0, 0, 65_536]],
      [15, 1, [4_097]],
      [15, 1, Array.from({ length: 4_097 }, () => 0)],
    ];
    for (const fields of wrong) expect(refusal(control(fields))).toBe('BAD_MESSAGE');
  });
});

describe('the packed lists of a walk', () => {
  const walk = (ranges: Uint8Array, wants: Uint8Array = Uint8Array.of(0), id = 1): unknown =>
    refusal(control([10, id, true, Buffer.alloc(32), ranges, wants, false, false]));
  const key = (writer: ByteWriter, shared: number, rest: string): ByteWriter => writer.varint(shared).sized(utf8(rest));
  const digest = Buffer.alloc(8);
  /** Flags: 1 from, 2 to. */
  const range = (writer: ByteWriter, flags: number, level = 1): ByteWriter => writer.u8(level + 1).u8(flags);

  it('are taken when in order', () => {
    const writer = range(new ByteWriter().varint(2), 2).varint(1);
    key(key(writer, 0, 'b').raw(digest), 0, 'c');
    key(range(writer, 1), 1, '').varint(1);
    key(writer, 1, '').raw(digest);
    expect(plain(walk(writer.finish()))).toMatchObject({
      ranges: [
        { from: undefined, to: 'hex:63', items: [{ key: 'hex:62' }] },
        { from: 'hex:63', to: undefined, items: [{ key: 'hex:63' }] },
      ],
    });
  });

  it('hold leaf pages as digests alone: 8 bytes of each in the first walk of a side, 16 in the second, then 32', () => {
    for (const [id, bytes] of [
      [1, 8],
      [2, 8],
      [3, 16],
      [4, 16],
      [5, 32],
      [6, 32],
    ] as const) {
      const list = (count: number, length: number): Uint8Array =>
        range(new ByteWriter().varint(1), 0, 0).varint(count).raw(new Uint8Array(length)).finish();
      const leaves = [0, 1].map(() => plain(new Uint8Array(bytes)));
      expect(plain(walk(list(2, 2 * bytes), undefined, id))).toMatchObject({ ranges: [{ level: 0, items: [], leaves }] });
      for (const length of [2 * bytes - 1, 2 * bytes + 1]) expect(walk(list(2, length), undefined, id)).toBe('BAD_MESSAGE');
    }
  });

  it('are refused when ranges overlap or keys are not in order', () => {
    const one = (): ByteWriter => new ByteWriter().varint(1);
    const two = (): ByteWriter => new ByteWriter().varint(2);
    const wrong: ByteWriter[] = [
      // Two ranges without a bound between them.
      range(range(two(), 0).varint(0), 0).varint(0),
      range(key(range(two(), 2).varint(0), 0, 'b'), 2).varint(0),
      // The second begins before the first ends.
      key(range(key(range(two(), 2).varint(0), 0, 'b'), 1), 0, 'a').varint(0),
      // An item before its range, one after it, the same twice.
      key(key(range(one(), 1), 0, 'b').varint(1), 0, 'a').raw(digest),
      key(key(range(one(), 2).varint(1), 0, 'b').raw(digest), 0, 'b'),
      key(key(range(one(), 0).varint(2), 0, 'b').raw(digest), 1, '').raw(digest),
      // Empty ranges.
      key(key(range(one(), 3), 0, 'b').varint(0), 1, ''),
      // Flags and levels that there are not; counts above what follows; a shared part longer than the key before.
      range(one(), 4).varint(0),
      range(one(), 0, 14).varint(0),
      range(one(), 0).varint(1),
      two(),
      key(range(one(), 1), 1, 'b').varint(0),
      new ByteWriter().varint(65_537),
    ];
    for (const writer of wrong) expect([toHex(writer.finish()), walk(writer.finish())]).toEqual([toHex(writer.finish()), 'BAD_MESSAGE']);
  });

  it('are refused where a key shares less with the one before than it could', () => {
    let shorter = 0;
    fc.assert(
      fc.property(sortedKeys, fc.nat(), fc.nat(), (list, pick, less) => {
        const most = list.map((listed, at) => (at === 0 ? 0 : sharedPrefixLength(list[at - 1]!, listed)));
        const wantsOf = (shared: readonly number[]): Uint8Array => {
          const wants = new ByteWriter().varint(list.length);
          for (const [at, listed] of list.entries()) wants.varint(shared[at]!).sized(listed.subarray(shared[at]));
          return wants.finish();
        };
        expect(plain(walk(Uint8Array.of(0), wantsOf(most)))).toMatchObject({ wants: list.map(plain) });
        const sharing = [...most.keys()].filter((at) => most[at]! > 0);
        if (sharing.length === 0) return;
        const at = sharing[pick % sharing.length]!;
        expect(walk(Uint8Array.of(0), wantsOf(most.with(at, less % most[at]!)))).toBe('BAD_MESSAGE');
        shorter++;
      }),
      { numRuns: 300 },
    );
    expect(shorter).toBeGreaterThan(50);
  });

  it('are refused when they spell out more keys than they may', () => {
    const writer = new ByteWriter().varint(3_000);
    writer.varint(0).sized(new Uint8Array(KEY_BYTES_MAX));
    for (let at = 1; at < 3_000; at++) writer.varint(KEY_BYTES_MAX - 2).sized(Uint8Array.of(at >> 8, at & 0xff));
    const wants = writer.finish();
    expect(wants.length).toBeLessThan(20_000);
    expect(walk(Uint8Array.of(0), wants)).toBe('BAD_MESSAGE');
  });
});

/**
 * What was accepted is one message, which goes out again as it came. Our own forms have one encoding: frames, and the packed
 * lists in a walk. For the fields of a control message msgpack has several, which are all taken; and there may be more fields.
 */
function expectSameSaid(bytes: Uint8Array, result: Message | ChunkFrame): void {
  if (result.type === 'chunks') {
    const chunks = result.chunks.map(({ item, chunk, offset, bytes: length }) => ({
      item,
      chunk,
      bytes: result.frame.subarray(offset, offset + length),
    }));
    expect(toHex(encodeChunks(result.id, chunks))).toBe(toHex(bytes));
    return;
  }
  const fields = fieldsOf(result);
  expect(plain((packr.unpack(bytes.subarray(1)) as unknown[]).slice(0, fields.length))).toEqual(plain(fields));
  expect(plain(decodeMessage(encodeMessage(result)))).toEqual(plain(result));
}

const frames = fc
  .array(fc.record({ item: fc.nat({ max: 999 }), chunk: fc.nat({ max: 99_999 }), bytes: fc.uint8Array({ maxLength: 20 }) }), {
    maxLength: 4,
  })
  .map((chunks) => encodeChunks(7, chunks));

describe('nothing but BAD_MESSAGE escapes', () => {
  let accepted = 0;
  const sound = (bytes: Uint8Array): void => {
    const result = refusal(bytes);
    if (result === 'BAD_MESSAGE' || result === 'skipped') return;
    expect(result).toHaveProperty('type');
    expectSameSaid(bytes, result as Message | ChunkFrame);
    accepted++;
  };

  it('from random bytes', () => {
    fc.assert(
      fc.property(fc.constantFrom(0, 1, 2, 255), fc.uint8Array({ maxLength: 60 }), (kind, bytes) =>
        sound(Uint8Array.from([kind, ...bytes])),
      ),
      { numRuns: 3_000 },
    );
    expect(refusal(new Uint8Array(0))).toBe('BAD_MESSAGE');
  });

  it('from mutated messages', () => {
    const edits = fc.array(
      fc.record({ at: fc.nat(), byte: fc.constantFrom(0x80, 0x90, 0xc1, 0xc7, 0xd4, 0xdd, 0xdf, 0xff), insert: fc.boolean() }),
      { maxLength: 2 },
    );
    accepted = 0;
    fc.assert(
      fc.property(fc.oneof(messages.map(encodeMessage), frames), edits, mutations, (encoded, list, changes) => {
        let bytes = Buffer.from(mutated(encoded, changes));
        for (const { at, byte, insert } of list) {
          const place = at % (bytes.length + 1);
          bytes = Buffer.concat([bytes.subarray(0, place), Uint8Array.of(byte), bytes.subarray(place + (insert ? 0 : 1))]);
        }
        sound(bytes);
      }),
      { numRuns: 2_000 },
    );
    expect(accepted).toBeGreaterThan(100);
  });

  it.each(MESSAGE_TYPES)('from %s with a byte changed', (type) => {
    fc.assert(
      fc.property(MESSAGE_ARBITRARIES[type] as fc.Arbitrary<Message>, fc.nat(), fc.integer({ min: 1, max: 255 }), (message, at, flip) => {
        sound(mutated(encodeMessage(message), [{ type: 'change', at, flip }]));
      }),
      { numRuns: 300 },
    );
  });

  it('from frames with a few bytes changed', () => {
    accepted = 0;
    fc.assert(
      fc.property(frames, mutations, (frame, changes) => sound(mutated(frame, changes))),
      { numRuns: 1_000 },
    );
    expect(accepted).toBeGreaterThan(50);
  });

  it('from structures that a msgpack library reads and no message has', () => {
    const one = [0x91];
    const bad: Buffer[] = [
      // Lists, texts, byte strings and extensions that claim 2^32 - 1 values or bytes.
      raw([0xdd, 0xff, 0xff, 0xff, 0xff], [5]),
      raw([0xdf, 0xff, 0xff, 0xff, 0xff]),
      raw([0x92, 5, 0xc6, 0xff, 0xff, 0xff, 0xff]),
      raw([0x92, 4, 0xdb, 0xff, 0xff, 0xff, 0xff]),
      raw([0x92, 4, 0xc9, 0xff, 0xff, 0xff, 0xff, 1]),
      raw([0x93, 12, 1, 0xdd, 0xff, 0xff, 0xff, 0xff]),
      // A typed array in place of bytes, a record that would be compiled, bundled texts, a set, a date, a big number.
      raw([0x92, 5, 0xc7, 33, 0x74, 1], Buffer.alloc(32)),
      raw([0x92, 4, 0xd4, 0x72, 0x40, 0x91, 0xa1, 0x61, 0xa1, 0x62]),
      raw([0x92, 4, 0xd6, 0x62, 0, 0, 0, 0]),
      raw([0x92, 4, 0xd4, 0x73, 0, 0x90]),
      raw([0x92, 8, 0xd6, 0xff, 0, 0, 0, 0]),
      raw([0x92, 8, 0xc7, 1, 0x42, 7]),
      // A map, a float of 32 bits, a negative number, minus zero, the code that is never used.
      raw([0x92, 8, 0x81, 1, 1]),
      raw([0x92, 8, 0xca, 0, 0, 0, 0]),
      raw([0x92, 8, 0xff]),
      raw([0x92, 8, 0xcb, 0x80, 0, 0, 0, 0, 0, 0, 0]),
      raw([0x92, 8, 0xc1]),
      raw([0xa1, 0x61]),
      raw([0x90]),
      raw([0x91, 0xc0]),
      // Bytes after the message; a list in a list in a list.
      raw(one, [3], [0]),
      raw([0x93, 12, 1, 0x91, 0x90]),
    ];
    for (const bytes of bad) expect([toHex(bytes), refusal(bytes)]).toEqual([toHex(bytes), 'BAD_MESSAGE']);
  });

  it('and a full message of nested or empty structures costs no memory', () => {
    const before = process.memoryUsage().heapUsed;
    for (const filler of [0x91, 0x9f, 0x90, 0x80, 0x8f, 0xc0]) {
      const bytes = Buffer.alloc(MESSAGE_BYTES_MAX, filler);
      for (const head of [
        [1, 0x92, 12],
        [1, 0x93, 12, 1, 0xdd, 0, 0x7f, 0xff, 0xf0],
        [1, 0xdd, 0, 0x7f, 0xff, 0xfa, 12],
      ]) {
        bytes.set(head);
        expect(refusal(bytes)).toBe('BAD_MESSAGE');
        // Some hundred MiB where it is read first and judged after.
        expect(process.memoryUsage().heapUsed - before).toBeLessThan(64 * MIB);
      }
    }
    expect(refusal(Buffer.alloc(MESSAGE_BYTES_MAX + 1, 1))).toBe('BAD_MESSAGE');
  });
});

describe('messages of a later version', () => {
  it('of an unknown type are skipped from 64 on, whatever is in them, and refused below', () => {
    for (const code of [65, 127, 128, 255, 256, 70_000]) {
      expect(decodeMessage(control([code]))).toBeUndefined();
      expect(decodeMessage(control([code, { a: [[[1]]] }, new Date(0)]))).toBeUndefined();
    }
    for (const code of [0, 16, 63]) expect(refusal(control([code]))).toBe('BAD_MESSAGE');
    for (const code of [-1, 64.5, '64', null, 2 ** 40]) expect(refusal(control([code]))).toBe('BAD_MESSAGE');
  });

  it('with further fields at the end are read without them, if they have the shape of fields', () => {
    for (const message of SAMPLES) {
      expect(plain(decodeMessage(control([...fieldsOf(message), 'more', 1, [2]])))).toEqual(plain(message));
      expect(refusal(control([...fieldsOf(message), [[2]]]))).toBe('BAD_MESSAGE');
      const many = Array.from({ length: 40_000 }, () => null);
      expect(refusal(control([...fieldsOf(message), many, many]))).toBe('BAD_MESSAGE');
    }
  });
});

describe('chunk frames', () => {
  const chunkLists = fc.array(
    fc.record({ item: fc.nat({ max: 4_096 }), chunk: fc.nat({ max: 2 ** 31 - 1 }), bytes: fc.uint8Array({ maxLength: 50 }) }),
    { maxLength: 30 },
  );

  it('come back as they were, as places in the frame', () => {
    fc.assert(
      fc.property(fc.nat(), chunkLists, (id, chunks) => {
        const encoded = encodeChunks(id, chunks);
        const frame = decodeMessage(encoded);
        if (frame?.type !== 'chunks') throw new Error('not a frame');
        expect(frame.id).toBe(id);
        expect(frame.frame).toBe(encoded);
        const read = frame.chunks.map(({ item, chunk, offset, bytes }) => ({
          item,
          chunk,
          bytes: encoded.subarray(offset, offset + bytes),
        }));
        expect(plain(read)).toEqual(plain(chunks));
        expect(encoded.length - chunks.reduce((sum, { bytes }) => sum + bytes.length, 0)).toBeLessThanOrEqual(
          frameHeadBytes(chunks.length),
        );
      }),
    );
  });

  it('are made in place where the chunks are neighbours behind enough room, and have the same bytes', () => {
    fc.assert(
      fc.property(chunkLists, fc.nat({ max: 300 }), (lists, roomBytes) => {
        const total = lists.reduce((sum, { bytes }) => sum + bytes.length, 0);
        const block = new Uint8Array(roomBytes + total + 9).fill(0xee);
        let at = roomBytes;
        const chunks = lists.map((chunk) => {
          block.set(chunk.bytes, at);
          const bytes = block.subarray(at, (at += chunk.bytes.length));
          return { ...chunk, bytes };
        });
        const copied = encodeChunks(7, lists);
        const headBytes = copied.length - total;
        const encoded = encodeChunks(7, chunks, roomBytes);
        expect(toHex(encoded)).toBe(toHex(copied));
        const fits = lists.length > 0 && headBytes <= roomBytes;
        expect(encoded.buffer === block.buffer).toBe(fits);
        // Nothing around it is touched.
        expect(block.subarray(0, fits ? roomBytes - headBytes : roomBytes).every((byte) => byte === 0xee)).toBe(true);
        expect(block.subarray(at).every((byte) => byte === 0xee)).toBe(true);
      }),
    );
  });

  it('are copied where the chunks are apart, or in another order', () => {
    const block = new Uint8Array(100).fill(1);
    for (const [one, two] of [
      [block.subarray(50, 60), block.subarray(61, 70)],
      [block.subarray(60, 70), block.subarray(50, 60)],
      [block.subarray(50, 60), new Uint8Array(100).subarray(60, 70)],
    ] as const) {
      const chunks = [
        { item: 0, chunk: 0, bytes: one },
        { item: 0, chunk: 1, bytes: two },
      ];
      const encoded = encodeChunks(7, chunks, 50);
      expect(encoded.buffer).not.toBe(block.buffer);
      expect(toHex(encoded)).toBe(toHex(encodeChunks(7, chunks)));
    }
    expect(block.every((byte) => byte === 1)).toBe(true);
  });

  it('are refused when cut, longer than their head says, or over a limit', () => {
    const encoded = encodeChunks(1, [{ item: 1, chunk: 2, bytes: utf8('some bytes') }]);
    for (let end = 1; end < encoded.length; end++) expect(refusal(encoded.subarray(0, end))).toBe('BAD_MESSAGE');
    expect(refusal(Buffer.concat([encoded, Uint8Array.of(0)]))).toBe('BAD_MESSAGE');
    const oneChunk = (item: number, chunk: number, length: number): Uint8Array =>
      Buffer.concat([new ByteWriter().u8(2).u32(1).varint(1).varint(item).varint(chunk).varint(length).finish(), Buffer.alloc(length)]);
    expect(refusal(oneChunk(0, 0, CHUNK_BYTES_MAX))).toMatchObject({ type: 'chunks' });
    expect(refusal(oneChunk(0, 0, CHUNK_BYTES_MAX + 1))).toBe('BAD_MESSAGE');
    expect(refusal(oneChunk(4_097, 0, 1))).toBe('BAD_MESSAGE');
    expect(refusal(oneChunk(0, 2 ** 32, 1))).toBe('BAD_MESSAGE');
    expect(refusal(new ByteWriter().u8(2).u32(1).varint(1_000_000).finish())).toBe('BAD_MESSAGE');
    const many = Array.from({ length: 6 }, (_, chunk) => ({ item: 0, chunk, bytes: new Uint8Array(CHUNK_BYTES_MAX) }));
    expect(refusal(encodeChunks(1, many.slice(0, CHUNK_FRAME_BYTES_MAX / CHUNK_BYTES_MAX)))).toMatchObject({ type: 'chunks' });
    expect(refusal(encodeChunks(1, many))).toBe('BAD_MESSAGE');
  });

  it('have a fixed head of kind, id and count', () => {
    fc.assert(
      fc.property(bytesOf(4), (id) => {
        const encoded = encodeChunks(Buffer.from(id).readUInt32BE(), []);
        expect(plain(encoded)).toBe(plain(Uint8Array.from([2, ...id, 0])));
      }),
    );
  });
});
