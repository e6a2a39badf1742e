import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { equalBytes, utf8 } from '../../src/base/bytes.ts';
import { SamerootError } from '../../src/base/errors.ts';
import { KIB, RECORD_BYTES_MAX, RECORD_INLINE_BYTES_MAX, RECORD_KEY_BYTES_MAX } from '../../src/base/limits.ts';
import { contentLevel, listLeaves, type ContentId } from '../../src/content/content-list.ts';
import { merge, write, type Entry, type Value } from '../../src/entry/entry.ts';
import { isRecordKey, recordKey, Records } from '../../src/node/records.ts';
import { Replica } from '../../src/replica/replica.ts';
import { ChunkStore } from '../../src/store/chunk-store.ts';
import * as keyspace from '../../src/store/keyspace.ts';
import { codeOf } from '../content/code-of.ts';
import { bodiesOf, FaultyStore, seededRandom, smallShare, TestClock } from '../replica/world.ts';

interface World {
  readonly store: FaultyStore;
  readonly replica: Replica;
  readonly records: Records;
}

async function world(): Promise<World> {
  const store = new FaultyStore();
  const replica = await Replica.create(store, smallShare(), new TestClock(), seededRandom(2));
  return { store, replica, records: new Records(replica, await ChunkStore.open(store)) };
}

async function rejection(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return 'none';
  } catch (error) {
    if (!(error instanceof SamerootError)) throw error;
    return error.code;
  }
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString();
}

/** A write on another replica that had not seen ours. */
function elsewhere({ replica }: World, name: string, value: Value, sequence: number = 1): Promise<unknown> {
  const theirs: Entry = write(undefined, [], { replica: 'bb'.repeat(8), sequence }, { wallMs: 5, counter: 0 }, value);
  return replica.commit([{ key: recordKey(name), next: (current) => merge(current, theirs) }]);
}

function blobOf({ replica }: World, name: string): { content: ContentId; bytes: number } {
  const value = replica.entry(recordKey(name))!.versions[0]!.value;
  if (value.kind !== 'blob') throw new Error(`a ${value.kind}`);
  return value;
}

describe('a value', () => {
  it('comes back as it was put, of whatever size', async () => {
    const { records } = await world();
    const random = seededRandom(5);
    const sizes = [0, 1, RECORD_INLINE_BYTES_MAX, RECORD_INLINE_BYTES_MAX + 1, 40 * KIB, 700 * KIB];
    for (const [index, size] of sizes.entries()) {
      const bytes = random.bytes(size);
      await records.put(`key ${index}`, bytes, undefined);
      const found = records.get(`key ${index}`)!;
      expect([equalBytes(found.value, bytes), found.siblings]).toEqual([true, []]);
    }
    expect(records.get('nothing')).toBeUndefined();
  });

  it('lives in the entry while it is small, in the chunk store above that', async () => {
    const at = await world();
    await at.records.put('small', new Uint8Array(RECORD_INLINE_BYTES_MAX), undefined);
    expect((await bodiesOf(at.store, keyspace.PREFIX.chunkBytes)).size).toBe(0);
    await at.records.put('large', new Uint8Array(RECORD_INLINE_BYTES_MAX + 1), undefined);
    expect((await bodiesOf(at.store, keyspace.PREFIX.chunkBytes)).size).toBe(1);
    expect(blobOf(at, 'large').bytes).toBe(RECORD_INLINE_BYTES_MAX + 1);
  });

  it('goes into one durable batch with the entry that names it', async () => {
    const at = await world();
    at.store.writes.length = 0;
    await at.records.put('large', seededRandom(1).bytes(300 * KIB), undefined);
    expect(at.store.writes.map(({ durable }) => durable)).toEqual([true]);
  });

  it('of many megabytes is written ahead, and never named before all of it is there', async () => {
    const at = await world();
    at.store.writes.length = 0;
    const bytes = Buffer.alloc(10 * KIB * KIB);
    for (let offset = 0; offset < bytes.length; offset += 4) bytes.writeUInt32BE(Math.imul(offset, 2_654_435_761) >>> 0, offset);
    at.store.fails = (number) => number === 2;
    expect(await rejection(at.records.put('huge', bytes, undefined))).toBe('IO_ERROR');
    expect(at.records.get('huge')).toBeUndefined();
    at.store.fails = () => false;
    await at.records.put('huge', bytes, undefined);
    expect(equalBytes(at.records.get('huge')!.value, bytes)).toBe(true);
    expect(at.store.writes.length).toBeGreaterThanOrEqual(5);
  });

  it('of equal chunks stores them once; put again, nothing more', async () => {
    const at = await world();
    const bytes = new Uint8Array(2048 * KIB);
    await at.records.put('zeros', bytes, undefined);
    await at.records.put('more zeros', bytes, undefined);
    expect((await bodiesOf(at.store, keyspace.PREFIX.chunkBytes)).size).toBe(1);
    expect(equalBytes(at.records.get('more zeros')!.value, bytes)).toBe(true);
  });

  it('that is too large is refused', async () => {
    const { records, replica } = await world();
    const large = { length: RECORD_BYTES_MAX + 1 } as unknown as Uint8Array;
    expect(await rejection(records.put('k', large, undefined))).toBe('RECORD_TOO_LARGE');
    expect(replica.head.commit).toBe(0);
  });
});

describe('the ETag', () => {
  it('lets a write replace what was read, and nothing newer', async () => {
    const { records } = await world();
    const first = await records.put('k', utf8('1'), undefined);
    expect(records.get('k')!.etag).toBe(first);
    const second = await records.put('k', utf8('2'), first);
    expect(await rejection(records.put('k', utf8('3'), first))).toBe('STALE_WRITE');
    expect(await rejection(records.remove('k', first))).toBe('STALE_WRITE');
    const found = records.get('k')!;
    expect([found.etag, text(found.value), found.siblings]).toEqual([second, '2', []]);
    expect(await records.remove('k', second)).toBe(true);
    expect(records.get('k')).toBeUndefined();
    expect(await rejection(records.put('k', utf8('4'), second))).toBe('STALE_WRITE');
  });

  it('* asks for any value; an ETag or * where there is none is stale', async () => {
    const { records } = await world();
    expect(await rejection(records.put('k', utf8('1'), '*'))).toBe('STALE_WRITE');
    expect(await rejection(records.put('k', utf8('1'), '"aaaaaaaaaaaaaaaa-1"'))).toBe('STALE_WRITE');
    expect(await rejection(records.put('k', utf8('1'), ''))).toBe('STALE_WRITE');
    await records.put('k', utf8('1'), undefined);
    await records.put('k', utf8('2'), '*');
    expect(text(records.get('k')!.value)).toBe('2');
    await records.remove('k', undefined);
    expect(await rejection(records.put('k', utf8('3'), '*'))).toBe('STALE_WRITE');
  });

  it('of one sibling does not let a write replace the other', async () => {
    const at = await world();
    const etag = await at.records.put('k', utf8('ours'), undefined);
    await elsewhere(at, 'k', { kind: 'record', data: utf8('theirs') });
    expect(await rejection(at.records.put('k', utf8('new'), etag))).toBe('STALE_WRITE');
    const both = at.records.get('k')!;
    expect([text(both.value), both.siblings.map(text)]).toEqual(['ours', ['theirs']]);
    await at.records.put('k', utf8('resolved'), both.etag);
    expect(at.records.get('k')).toMatchObject({ siblings: [] });
    expect(text(at.records.get('k')!.value)).toBe('resolved');
  });

  it('covers a delete that happened elsewhere: it hides behind the live value', async () => {
    const at = await world();
    const etag = await at.records.put('k', utf8('ours'), undefined);
    await elsewhere(at, 'k', { kind: 'deleted' });
    expect(text(at.records.get('k')!.value)).toBe('ours');
    expect(await rejection(at.records.put('k', utf8('new'), etag))).toBe('STALE_WRITE');
    await at.records.put('k', utf8('new'), at.records.get('k')!.etag);
    expect(at.replica.entry(recordKey('k'))!.versions).toHaveLength(1);
  });

  it('of a put is that of its own write, though others follow in the same commit', async () => {
    const { records, replica } = await world();
    const [first, second] = await Promise.all([records.put('k', utf8('1'), undefined), records.put('k', utf8('2'), undefined)]);
    expect(replica.head.commit).toBe(1);
    expect(text(records.get('k')!.value)).toBe('2');
    // Whoever wrote 1 has not seen 2.
    expect(await rejection(records.put('k', utf8('3'), first))).toBe('STALE_WRITE');
    await records.put('k', utf8('3'), second);
  });

  it('makes compare-and-swap: of concurrent writes with one ETag exactly one goes through', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(6), { minLength: 2, maxLength: 8 }), fc.boolean(), async (delays, large) => {
        const { records } = await world();
        const etag = await records.put('k', utf8('0'), undefined);
        const value = (index: number): Uint8Array => (large ? Buffer.alloc(5000, index + 1) : utf8(`${index}`));
        const results = await Promise.all(
          delays.map(async (delay, index) => {
            for (let turn = 0; turn < delay; turn++) await Promise.resolve();
            return rejection(records.put('k', value(index), etag));
          }),
        );
        expect(results.filter((code) => code === 'none')).toHaveLength(1);
        expect(new Set(results)).toEqual(new Set(['none', 'STALE_WRITE']));
        expect(equalBytes(records.get('k')!.value, value(results.indexOf('none')))).toBe(true);
      }),
      { numRuns: 40 },
    );
  });

  it('loses no increment of many concurrent writers that retry', async () => {
    const { records } = await world();
    await records.put('counter', utf8('0'), undefined);
    const increment = async (): Promise<void> => {
      for (;;) {
        const { value, etag } = records.get('counter')!;
        if ((await rejection(records.put('counter', utf8(`${Number(text(value)) + 1}`), etag))) === 'none') return;
      }
    };
    await Promise.all(Array.from({ length: 20 }, increment));
    expect(text(records.get('counter')!.value)).toBe('20');
  });
});

describe('a stale write', () => {
  it('leaves no rows of its value behind', async () => {
    const at = await world();
    const etag = await at.records.put('k', utf8('1'), undefined);
    await at.records.put('k', utf8('2'), undefined);
    expect(await rejection(at.records.put('k', seededRandom(1).bytes(50 * KIB), etag))).toBe('STALE_WRITE');
    expect((await bodiesOf(at.store, keyspace.PREFIX.chunkBytes)).size).toBe(0);
    expect(at.replica.head.commit).toBe(2);
  });
});

describe('removing', () => {
  it('tells whether there was something', async () => {
    const { records } = await world();
    expect(await records.remove('k', undefined)).toBe(false);
    await records.put('k', utf8('1'), undefined);
    expect(await records.remove('k', undefined)).toBe(true);
    expect(await records.remove('k', '"x"')).toBe(false);
  });
});

describe('serving', () => {
  it('gives the chunks of a value by their place, or nothing if one is not there', async () => {
    const at = await world();
    const bytes = seededRandom(3).bytes(600 * KIB);
    await at.records.put('k', bytes, undefined);
    const { content } = blobOf(at, 'k');
    expect(contentLevel(content)).toBeGreaterThan(0);
    const leaves = [...listLeaves((hash) => at.store.get(keyspace.listPageKey(hash)), content)];
    const wanted: { offsetBytes: number; bytes: number }[] = [];
    for (const { offsetBytes, refs } of leaves) {
      let offset = offsetBytes;
      for (const ref of refs) {
        wanted.push({ offsetBytes: offset, bytes: ref.bytes });
        offset += ref.bytes;
      }
    }
    const order = wanted.toReversed();
    const read = at.records.read(content, order)!;
    expect(
      read.every((chunk, index) =>
        equalBytes(chunk, bytes.subarray(order[index]!.offsetBytes, order[index]!.offsetBytes + order[index]!.bytes)),
      ),
    ).toBe(true);
    expect(at.records.holds(content)).toBe(true);
    expect(at.records.read(content, [{ offsetBytes: 1, bytes: 5 }])).toBeUndefined();
    const chunkRows = await bodiesOf(at.store, keyspace.PREFIX.chunkSequence);
    await at.store.write([{ type: 'del', key: keyspace.chunkSequenceKey(Buffer.from([...chunkRows][0]!, 'latin1')) }], { durable: true });
    expect([at.records.holds(content), at.records.read(content, order)]).toEqual([false, undefined]);
  });

  it('of a value of one chunk, too', async () => {
    const at = await world();
    const bytes = seededRandom(3).bytes(5000);
    await at.records.put('k', bytes, undefined);
    const { content } = blobOf(at, 'k');
    expect(contentLevel(content)).toBe(0);
    expect(equalBytes(at.records.read(content, [{ offsetBytes: 0, bytes: 5000 }])![0]!, bytes)).toBe(true);
    const other = Uint8Array.from(content).fill(9, 5);
    expect([at.records.holds(content), at.records.holds(other), at.records.read(other, [{ offsetBytes: 0, bytes: 1 }])]).toEqual([
      true,
      false,
      undefined,
    ]);
  });

  it('says of a value whose bytes are not here that they are missing', async () => {
    const at = await world();
    const content = new Uint8Array(33).fill(4, 1);
    await elsewhere(at, 'k', { kind: 'blob', content, bytes: 9000 });
    expect(codeOf(() => at.records.get('k'))).toBe('CONTENT_MISSING');
  });
});

describe('keys', () => {
  it('have 1 to 1024 bytes without NUL; what can not be put is not taken from a peer either', () => {
    const good = ['a', 'ä/ö', 'x'.repeat(RECORD_KEY_BYTES_MAX), ' ', 'é'.repeat(RECORD_KEY_BYTES_MAX / 2)];
    const bad = ['', 'a\0b', 'x'.repeat(RECORD_KEY_BYTES_MAX + 1), 'é'.repeat(RECORD_KEY_BYTES_MAX / 2 + 1)];
    for (const name of good) expect(isRecordKey(recordKey(name))).toBe(true);
    for (const name of bad) {
      expect(codeOf(() => recordKey(name))).toBe('KEY_INVALID');
      expect(isRecordKey(Buffer.concat([utf8('r/'), utf8(name)]))).toBe(false);
    }
    expect(isRecordKey(Uint8Array.of(0x72, 0x2f, 0xff))).toBe(false);
    expect([utf8('f/a'), utf8('r'), utf8('ra')].some(isRecordKey)).toBe(false);
  });
});
