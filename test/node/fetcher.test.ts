import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { byteKey, equalBytes, fromByteKey, toHex } from '../../src/base/bytes.ts';
import { SamerootError } from '../../src/base/errors.ts';
import { CHUNK_BYTES_MAX, FETCH_WINDOW_BYTES, KIB, MIB } from '../../src/base/limits.ts';
import { realTimers } from '../../src/app/real-world.ts';
import { silentLog } from '../../src/base/world.ts';
import { ContentListBuilder, contentLevel } from '../../src/content/content-list.ts';
import { hash } from '../../src/content/hash.ts';
import { Fetcher } from '../../src/node/fetcher.ts';
import * as keyspace from '../../src/store/keyspace.ts';
import { SeededRandom } from '../../src/simulation/random.ts';
import { MemoryStore } from '../../src/store/memory-store.ts';
import { decodeMessage, encodeChunks } from '../../src/wire/codec.ts';
import type { ChunkFrame, Message, MessageOf } from '../../src/wire/messages.ts';
import { turns } from '../replica/world.ts';
import { chunkHashes, contentOf, Deferred, FakeTarget, makeContent, until, type TestContent } from './parts.ts';

type Fault = 'none' | 'bad-chunk' | 'gone' | 'half' | 'dies' | 'bad-pages' | 'no-pages' | 'unasked';

/** The other end of a fetcher: answers what it is asked for, in turn, well or badly. */
class Peer {
  readonly id: string;
  readonly #fetcher: Fetcher;
  readonly #contents = new Map<string, TestContent>();
  readonly #pages = new Map<string, Uint8Array>();
  readonly asked: MessageOf<'fetch'>[] = [];
  readonly pagesAsked: string[] = [];
  fault: Fault;
  /** Answers stop while it is set. */
  held = false;
  servedChunks = 0;
  #inbox: Message[] = [];
  #busy = false;
  error: unknown;

  constructor(fetcher: Fetcher, id: string, contents: readonly TestContent[], fault: Fault = 'none') {
    this.id = id;
    this.#fetcher = fetcher;
    this.fault = fault;
    for (const content of contents) {
      this.#contents.set(toHex(content.id), content);
      for (const [pageHash, page] of content.pages) this.#pages.set(pageHash, page);
    }
    this.attach();
  }

  attach(): void {
    this.#inbox = [];
    this.#fetcher.attach(this.id, (message) => {
      this.#inbox.push(message);
      if (message.type === 'fetch') this.asked.push(message);
      void this.#run();
    });
  }

  release(): void {
    this.held = false;
    void this.#run();
  }

  async #run(): Promise<void> {
    if (this.#busy || this.held) return;
    this.#busy = true;
    while (this.#inbox.length > 0 && !this.held) {
      await turns();
      const message = this.#inbox.shift();
      if (message?.type === 'list-pages') this.#replyPages(message);
      if (message?.type === 'fetch') await this.#serve(message);
    }
    this.#busy = false;
  }

  #replyPages(message: MessageOf<'list-pages'>): void {
    this.pagesAsked.push(...message.hashes.map(byteKey));
    const pages = message.hashes.map((pageHash) => {
      const page = this.#pages.get(byteKey(pageHash));
      if (this.fault === 'no-pages' || page === undefined) return undefined;
      return this.fault === 'bad-pages' ? Uint8Array.from(page).fill(7, 1, 9) : page;
    });
    this.#fetcher.onListPages(this.id, { type: 'list-pages-reply', id: message.id, pages });
  }

  async #serve({ id, items }: MessageOf<'fetch'>): Promise<void> {
    const gone: number[] = [];
    const chunks: { item: number; chunk: number; bytes: Uint8Array }[] = [];
    for (const [item, { content, firstChunk, chunks: count }] of items.entries()) {
      const known = this.#contents.get(toHex(content));
      if (known === undefined || this.fault === 'gone') gone.push(item);
      else known.chunks.slice(firstChunk, firstChunk + count).forEach((bytes, at) => chunks.push({ item, chunk: firstChunk + at, bytes }));
    }
    const sent = this.fault === 'half' || this.fault === 'dies' ? chunks.slice(0, chunks.length >> 1) : chunks;
    if (this.fault === 'bad-chunk' && sent[0] !== undefined) sent[0] = { ...sent[0], bytes: Buffer.alloc(sent[0].bytes.length, 0xee) };
    if (this.fault === 'unasked' && sent[0] !== undefined) sent[0] = { ...sent[0], chunk: sent[0].chunk + 1_000_000 };
    try {
      while (sent.length > 0) {
        const part = sent.splice(0, sent[0]!.bytes.length > 64 * KIB ? 3 : 5);
        this.servedChunks += part.length;
        await this.#fetcher.onChunks(this.id, frameOf(id, part));
      }
    } catch (error) {
      // As the link does: whoever breaks the rules is gone.
      this.error = error;
      this.#fetcher.detach(this.id);
      return;
    }
    if (this.fault === 'dies') this.#fetcher.detach(this.id);
    else this.#fetcher.onFetched(this.id, { type: 'fetched', id, gone });
  }
}

function frameOf(id: number, chunks: readonly { item: number; chunk: number; bytes: Uint8Array }[]): ChunkFrame {
  return decodeMessage(encodeChunks(id, chunks)) as ChunkFrame;
}

function setup(): { fetcher: Fetcher; store: MemoryStore; target: FakeTarget } {
  const store = new MemoryStore();
  return {
    fetcher: new Fetcher(store, { log: silentLog, random: new SeededRandom('fetcher'), timers: realTimers }),
    store,
    target: new FakeTarget(),
  };
}

async function codeOf(promise: Promise<unknown>): Promise<string | undefined> {
  try {
    await promise;
    return undefined;
  } catch (error) {
    if (!(error instanceof SamerootError)) throw error;
    return error.code;
  }
}

/** Nothing is left of the orders that were, failed ones included: what was ordered was done, and a newcomer is asked for nothing, and one order more goes through. */
async function expectIdle(fetcher: Fetcher, target: FakeTarget): Promise<void> {
  expect(fetcher.pending).toBe(0);
  expect(fetcher.totals.doneBytes).toBe(fetcher.totals.orderedBytes);
  const more = makeContent(77, 1);
  const late = new Peer(fetcher, 'late', [more]);
  await turns(3);
  expect(late.asked).toEqual([]);
  await fetcher.fetch(more.id, more.bytes, target, ['late']);
  expect(late.asked.map(({ items }) => items.length)).toEqual([1]);
  expect(fetcher.pending).toBe(0);
}

const faults = fc.constantFrom<Fault>('none', 'bad-chunk', 'gone', 'half', 'dies', 'bad-pages', 'no-pages', 'unasked');
const plans = fc.array(fc.record({ seed: fc.integer({ min: 1, max: 6 }), count: fc.constantFrom(1, 2, 3, 40, 300) }), {
  minLength: 1,
  maxLength: 5,
});

describe('a fetch', () => {
  it('ends when every chunk is verified and written, whatever the other peers do, if one is honest', async () => {
    await fc.assert(
      fc.asyncProperty(plans, fc.array(faults, { maxLength: 3 }), fc.nat(3), async (plan, others, honestAt) => {
        const { fetcher, target } = setup();
        const contents = plan.map(({ seed, count }) => makeContent(seed, count));
        const list = others.toSpliced(honestAt, 0, 'none');
        const peers = list.map((fault, index) => new Peer(fetcher, `peer${index}`, contents, fault));
        const sources = peers.map(({ id }) => id);
        await Promise.all(
          contents.map(async (content) => {
            await fetcher.fetch(content.id, content.bytes, target, sources);
            expect(target.isWhole(content)).toBe(true);
          }),
        );
        await expectIdle(fetcher, target);
      }),
      { numRuns: 80 },
    );
  });

  it('fails with CONTENT_MISSING where no peer is honest, and leaves nothing behind', async () => {
    await fc.assert(
      fc.asyncProperty(
        plans,
        fc.array(
          faults.filter((fault) => fault !== 'none'),
          { maxLength: 3 },
        ),
        async (plan, list) => {
          const { fetcher, target } = setup();
          const contents = plan.map(({ seed, count }) => makeContent(seed, count));
          const peers = list.map((fault, index) => new Peer(fetcher, `peer${index}`, contents, fault));
          let wholeBytes = 0;
          for (const content of contents) {
            const code = await codeOf(
              fetcher.fetch(
                content.id,
                content.bytes,
                target,
                peers.map(({ id }) => id),
              ),
            );
            // Peers that spoil pages only are good enough for a content without a list, and two halves may make a whole.
            if (code === undefined) expect(target.isWhole(content)).toBe(true);
            else expect(code).toBe('CONTENT_MISSING');
            if (code === undefined) wholeBytes += content.bytes;
          }
          // What failed is ordered again later: it must not count twice in the progress.
          expect(fetcher.totals).toMatchObject({ orderedBytes: wholeBytes, doneBytes: wholeBytes });
          if (peers.length === 0) expect(target.log).toEqual([]);
          await expectIdle(fetcher, target);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('does not end while a chunk is still being written', async () => {
    const { fetcher, target } = setup();
    const content = makeContent(2, 40);
    const peer = new Peer(fetcher, 'a', [content]);
    const last = new Deferred();
    let writes = 0;
    target.gate = () => (++writes === 8 ? last.promise : Promise.resolve());
    let done = false;
    const fetched = fetcher.fetch(content.id, content.bytes, target, ['a']).then(() => (done = true));
    await until(() => writes === 8);
    await turns(3);
    expect([peer.servedChunks, done]).toEqual([40, false]);
    last.resolve();
    await fetched;
    expect(target.isWhole(content)).toBe(true);
  });

  it('takes the list pages into the store, each asked for once and verified', async () => {
    const { fetcher, store, target } = setup();
    const content = makeContent(1, 2000);
    expect(contentLevel(content.id)).toBeGreaterThan(1);
    const peer = new Peer(fetcher, 'a', [content]);
    await fetcher.fetch(content.id, content.bytes, target, ['a']);
    expect(new Set(peer.pagesAsked)).toEqual(new Set(content.pages.keys()));
    expect(peer.pagesAsked).toHaveLength(content.pages.size);
    for (const [pageHash, page] of content.pages)
      expect(equalBytes(store.get(keyspace.listPageKey(fromByteKey(pageHash)))!, page)).toBe(true);
    await fetcher.fetch(content.id, content.bytes, new FakeTarget(), ['a']);
    expect(peer.pagesAsked).toHaveLength(content.pages.size);
  });

  it('keeps no page of a wrong hash, and goes to another peer', async () => {
    const { fetcher, store, target } = setup();
    const content = makeContent(1, 300);
    const bad = new Peer(fetcher, 'bad', [content], 'bad-pages');
    const good = new Peer(fetcher, 'good', [content]);
    await fetcher.fetch(content.id, content.bytes, target, ['bad', 'good']);
    expect([bad.asked.length, good.asked.length > 0, bad.pagesAsked.length > 0]).toEqual([0, true, true]);
    for await (const rows of store.iterate(keyspace.prefixRange(keyspace.PREFIX.listPage)))
      for (const [key, page] of rows) expect(equalBytes(hash('list', page), keyspace.keyBody(key))).toBe(true);
  });

  it('refuses a list whose size is not what the entry says, before it makes room for it', async () => {
    const { fetcher, target } = setup();
    const content = makeContent(1, 300);
    new Peer(fetcher, 'a', [content]);
    expect(await codeOf(fetcher.fetch(content.id, 2 ** 40, target, ['a']))).toBe('BAD_MESSAGE');
    expect(target.log).toEqual([]);
    await expectIdle(fetcher, target);
  });

  it('asks many small contents in one request and writes them in one go', async () => {
    const { fetcher, target } = setup();
    const contents = Array.from({ length: 5 }, (_, index) => makeContent(index + 1, 1));
    const peer = new Peer(fetcher, 'a', contents);
    await Promise.all(contents.map((content) => fetcher.fetch(content.id, content.bytes, target, ['a'])));
    expect(peer.asked.map(({ items }) => items.length)).toEqual([5]);
    expect(target.log).toEqual(['whole 5']);
  });
});

describe('a peer', () => {
  it('that sends a bad chunk is not believed, nor asked again for that content; the next one serves it', async () => {
    const { fetcher, target } = setup();
    const content = makeContent(2, 40);
    const bad = new Peer(fetcher, 'bad', [content], 'bad-chunk');
    const good = new Peer(fetcher, 'good', [content]);
    good.held = true;
    const fetched = fetcher.fetch(content.id, content.bytes, target, ['bad', 'good']);
    await until(() => bad.asked.length > 0 && bad.servedChunks > 0);
    good.release();
    await fetched;
    expect(bad.asked).toHaveLength(1);
    expect(fetcher.totals.badChunks).toBe(1);
    expect(target.isWhole(content)).toBe(true);
  });

  it('that is lost in the middle loses nothing that others have', async () => {
    const { fetcher, target } = setup();
    const content = makeContent(1, 12, CHUNK_BYTES_MAX);
    const [a, b] = [new Peer(fetcher, 'a', [content], 'dies'), new Peer(fetcher, 'b', [content])];
    b.held = true;
    const fetched = fetcher.fetch(content.id, content.bytes, target, ['a', 'b']);
    await until(() => a.servedChunks > 0 && target.bytesWritten > 0);
    b.release();
    await fetched;
    expect(target.isWhole(content)).toBe(true);
  });

  it('that sends a chunk nobody asked for is refused with BAD_MESSAGE', async () => {
    const { fetcher, target } = setup();
    const content = makeContent(1, 3);
    const sent: Message[] = [];
    fetcher.attach('a', (message) => sent.push(message));
    const fetched = codeOf(fetcher.fetch(content.id, content.bytes, target, ['a']));
    const pages = sent[0] as MessageOf<'list-pages'>;
    fetcher.onListPages('a', { type: 'list-pages-reply', id: pages.id, pages: [...content.pages.values()] });
    await until(() => sent.length > 1);
    const { id } = sent[1] as MessageOf<'fetch'>;
    const bytes = content.chunks[0]!;
    const wrong = [
      frameOf(id, [{ item: 1, chunk: 0, bytes }]),
      frameOf(id, [{ item: 0, chunk: 3, bytes }]),
      frameOf(id, [{ item: 0, chunk: 0, bytes: bytes.subarray(1) }]),
      frameOf(id + 1, [{ item: 0, chunk: 0, bytes }]),
      frameOf(id, [
        { item: 0, chunk: 1, bytes: content.chunks[1]! },
        { item: 0, chunk: 1, bytes: content.chunks[1]! },
      ]),
    ];
    for (const frame of wrong) expect(await codeOf(fetcher.onChunks('a', frame))).toBe('BAD_MESSAGE');
    expect(target.bytesWritten).toBe(0);
    // From a peer that is gone already, it means nothing.
    fetcher.detach('a');
    expect(await codeOf(fetcher.onChunks('a', wrong[0]!))).toBeUndefined();
    expect(await fetched).toBe('CONTENT_MISSING');
  });

  it('shares the work with another: both serve stripes of one content', async () => {
    const { fetcher, target } = setup();
    const content = makeContent(1, 160, CHUNK_BYTES_MAX);
    const [a, b] = [new Peer(fetcher, 'a', [content]), new Peer(fetcher, 'b', [content])];
    await fetcher.fetch(content.id, content.bytes, target, ['a', 'b']);
    expect([a.servedChunks > 0, b.servedChunks > 0, a.servedChunks + b.servedChunks]).toEqual([true, true, 160]);
    expect(target.bytesWritten).toBe(content.bytes);
  });

  it('that turns out to have the same contents helps with what is under way', async () => {
    const { fetcher, target } = setup();
    const content = makeContent(1, 200, 256 * KIB);
    const a = new Peer(fetcher, 'a', [content]);
    const b = new Peer(fetcher, 'b', [content]);
    const fetched = fetcher.fetch(content.id, content.bytes, target, ['a']);
    await until(() => a.asked.length > 0);
    a.held = true;
    expect(b.asked).toEqual([]);
    fetcher.sameContents('b', 'a');
    await until(() => b.servedChunks > 0);
    a.release();
    await fetched;
    expect(a.servedChunks + b.servedChunks).toBe(200);
  });

  it('gives each content of a frame its own bytes, and no others', async () => {
    const { fetcher, target } = setup();
    // More than there may be requests: those that wait for one come together.
    const contents = Array.from({ length: 200 }, (_, index) => makeContent(index + 1, 2, 5_000));
    const peer = new Peer(fetcher, 'a', contents);
    await Promise.all(contents.map((content) => fetcher.fetch(content.id, content.bytes, target, ['a'])));
    for (const content of contents) expect(target.isWhole(content)).toBe(true);
    expect(Math.max(...peer.asked.map(({ items }) => items.length))).toBeGreaterThan(10);
    expect(target.bytesGiven).toBeLessThan(1.1 * 200 * 10_000);
  });

  it('has no more under way than its window, and never what was not written counts as room', async () => {
    const { fetcher, target } = setup();
    const content = makeContent(1, 160, 256 * KIB);
    const peer = new Peer(fetcher, 'a', [content]);
    let largest = 0;
    target.gate = async () => {
      await turns();
      const asked = peer.asked.flatMap(({ items }) => items).reduce((sum, { chunks }) => sum + chunks * 256 * KIB, 0);
      largest = Math.max(largest, asked - target.bytesWritten);
    };
    await fetcher.fetch(content.id, content.bytes, target, ['a']);
    expect(largest).toBeGreaterThan(FETCH_WINDOW_BYTES / 2);
    // The last request may go over the window by less than its own size.
    expect(largest).toBeLessThanOrEqual(FETCH_WINDOW_BYTES + 2 * MIB);
  });

  it('that is connected anew is asked anew', async () => {
    const { fetcher, target } = setup();
    const [content, list] = [makeContent(1, 1), makeContent(2, 300)];
    const a = new Peer(fetcher, 'a', [content, list]);
    a.held = true;
    const lost = [content, list].map((each) => codeOf(fetcher.fetch(each.id, each.bytes, target, ['a'])));
    await turns(3);
    a.attach();
    a.release();
    expect(await Promise.all(lost)).toEqual(['CONTENT_MISSING', 'CONTENT_MISSING']);
    await fetcher.fetch(content.id, content.bytes, target, ['a']);
    await fetcher.fetch(list.id, list.bytes, target, ['a']);
    expect(target.isWhole(list)).toBe(true);
  });

  it('that is gone already is no source: an order does not wait for it', async () => {
    const { fetcher, target } = setup();
    const content = makeContent(1, 1);
    const a = new Peer(fetcher, 'a', [content], 'gone');
    a.held = true;
    const first = codeOf(fetcher.fetch(content.id, content.bytes, target, ['a', 'nobody']));
    const second = codeOf(fetcher.fetch(content.id, content.bytes, target, ['nobody']));
    a.release();
    expect(await Promise.all([first, second])).toEqual(['CONTENT_MISSING', 'CONTENT_MISSING']);
    expect(await codeOf(fetcher.fetch(content.id, content.bytes, target, ['nobody']))).toBe('CONTENT_MISSING');
    const list = makeContent(2, 300);
    new Peer(fetcher, 'b', [list]);
    await fetcher.fetch(list.id, list.bytes, target, ['nobody', 'b']);
  });
});

describe('what need not be fetched', () => {
  it('is not: chunks that an earlier attempt left', async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(2, 40, 300), fc.array(fc.nat(299), { maxLength: 200 }), async (count, done) => {
        const { fetcher, target } = setup();
        const content = makeContent(1, count);
        const here = new Set(done.map((index) => index % count));
        for (const index of here) target.part(content.id).set(index * KIB, content.chunks[index]!);
        const peer = new Peer(fetcher, 'a', [content]);
        await fetcher.fetch(content.id, content.bytes, target, ['a']);
        expect(peer.servedChunks).toBe(count - here.size);
        expect(target.isWhole(content)).toBe(true);
        expect(fetcher.totals.doneBytes).toBe(content.bytes);
      }),
      { numRuns: 40 },
    );
  });

  it('is not: chunks that other files here have; a copy that fails is fetched', async () => {
    const { fetcher, target } = setup();
    const content = makeContent(1, 60);
    const hashes = chunkHashes(content).map(toHex);
    for (let index = 10; index < 50; index++) target.local.set(hashes[index]!, content.chunks[index]!);
    for (let index = 20; index < 25; index++) target.staleLocal.add(hashes[index]!);
    const peer = new Peer(fetcher, 'a', [content]);
    await fetcher.fetch(content.id, content.bytes, target, ['a']);
    expect(peer.servedChunks).toBe(25);
    expect(fetcher.totals.reusedChunks).toBe(35);
    expect(fetcher.totals.doneBytes).toBe(content.bytes);
    expect(target.isWhole(content)).toBe(true);
  });

  it('is not: a content that is under way already', async () => {
    const { fetcher, target } = setup();
    const content = makeContent(1, 40);
    const [a, b] = [new Peer(fetcher, 'a', [content]), new Peer(fetcher, 'b', [content])];
    const orders = ['a', 'b', 'a'].map((id) => fetcher.fetch(content.id, content.bytes, target, [id]));
    expect(fetcher.pending).toBe(1);
    await Promise.all(orders);
    expect(a.servedChunks + b.servedChunks).toBe(40);
    expect(fetcher.totals.ordered).toBe(1);
  });

  it('but a record and a file of the same bytes each get theirs', async () => {
    const { fetcher, target } = setup();
    const blobs = new FakeTarget();
    const content = makeContent(1, 40);
    new Peer(fetcher, 'a', [content]);
    await Promise.all([
      fetcher.fetch(content.id, content.bytes, target, ['a']),
      fetcher.fetch(content.id, content.bytes, blobs, ['a']).then(() => expect(blobs.isWhole(content)).toBe(true)),
    ]);
    expect(target.isWhole(content)).toBe(true);
    await expectIdle(fetcher, target);
  });
});

it('plans a large content no further ahead than its bound', async () => {
  const { fetcher, target, store } = setup();
  // Only the list exists: 750 MB that nobody will ever send.
  const operations: { type: 'put'; key: Uint8Array; value: Uint8Array }[] = [];
  const builder = new ContentListBuilder((pageHash, value) => operations.push({ type: 'put', key: keyspace.listPageKey(pageHash), value }));
  for (let index = 0; index < 3000; index++) builder.add({ hash: hash('chunk', Buffer.from(`${index}`)), bytes: CHUNK_BYTES_MAX });
  const { id, bytes } = builder.finish();
  await store.write(operations, { durable: false });
  const peer = new Peer(fetcher, 'a', []);
  peer.held = true;
  const fetched = codeOf(fetcher.fetch(id, bytes, target, ['a']));
  await turns(200);
  const planned = target.looked * CHUNK_BYTES_MAX;
  expect(planned).toBeGreaterThan(128 * MIB);
  expect(planned).toBeLessThanOrEqual(128 * MIB + 512 * CHUNK_BYTES_MAX);
  fetcher.detach('a');
  expect(await fetched).toBe('CONTENT_MISSING');
  await expectIdle(fetcher, target);
});

it('fails the contents, not the peer, when their target cannot write', async () => {
  const { fetcher, target } = setup();
  const blobs = new FakeTarget();
  const [small, large, other] = [makeContent(1, 1), makeContent(2, 40), makeContent(3, 1)];
  const peer = new Peer(fetcher, 'a', [small, large, other]);
  target.gate = () => Promise.reject(new SamerootError('DISK_FULL', 'no room'));
  const codes = [small, large].map((content) => codeOf(fetcher.fetch(content.id, content.bytes, target, ['a'])));
  await fetcher.fetch(other.id, other.bytes, blobs, ['a']);
  expect(await Promise.all(codes)).toEqual(['DISK_FULL', 'DISK_FULL']);
  expect([peer.error, blobs.isWhole(other)]).toEqual([undefined, true]);
  expect(fetcher.totals.doneBytes).toBe(fetcher.totals.orderedBytes);
  target.gate = () => Promise.resolve();
  await fetcher.fetch(large.id, large.bytes, target, ['a']);
  expect(target.isWhole(large)).toBe(true);
  await expectIdle(fetcher, target);
});

it('knows the empty list of sources for what it is', async () => {
  const { fetcher, target } = setup();
  expect(await codeOf(fetcher.fetch(contentOf([Buffer.from('x')]).id, 1, target, []))).toBe('CONTENT_MISSING');
});
