import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { byteKey, equalBytes, fromByteKey, toHex } from '../../src/base/bytes.ts';
import { SamerootError } from '../../src/base/errors.ts';
import {
  CHUNK_BYTES_MAX,
  CHUNK_FRAME_BYTES_MAX,
  LIST_PAGES_PER_REQUEST_MAX,
  MESSAGE_BYTES_MAX,
  MIB,
  SERVE_QUEUE_MAX,
} from '../../src/base/limits.ts';
import type { ContentId } from '../../src/content/content-list.ts';
import type { ContentOrigin, ReadChunks } from '../../src/node/contents.ts';
import { PeerServer } from '../../src/node/server.ts';
import { decodeMessage } from '../../src/wire/codec.ts';
import type { ChunkFrame, FetchItem, Message, MessageOf } from '../../src/wire/messages.ts';
import { codeOf } from '../content/code-of.ts';
import { turns } from '../replica/world.ts';
import { Deferred, FakeChannel, makeContent, until, type TestContent } from './parts.ts';

type Read = (content: TestContent, wanted: Parameters<ContentOrigin['read']>[2]) => Promise<ReadChunks | undefined>;

/** What an honest origin answers. */
const honest: Read = (content, wanted) => {
  const chunks = new Map<number, Uint8Array>();
  let offset = 0;
  for (const chunk of content.chunks) {
    chunks.set(offset, chunk);
    offset += chunk.length;
  }
  return Promise.resolve({ chunks: wanted.map(({ offsetBytes }) => chunks.get(offsetBytes)!), roomBytes: 0 });
};

function setup(
  contents: readonly TestContent[],
  read: Read = honest,
  pageRead: () => void = () => undefined,
): { server: PeerServer; channel: FakeChannel } {
  const pages = new Map(contents.flatMap(({ pages }) => [...pages]));
  const known = new Map(contents.map((content) => [toHex(content.id), content]));
  const origin: ContentOrigin = {
    read: async (content: ContentId, _firstChunk, wanted) => {
      const found = known.get(toHex(content));
      return found === undefined ? undefined : read(found, wanted);
    },
  };
  const channel = new FakeChannel('peer');
  const listPage = (pageHash: Uint8Array): Uint8Array | undefined => {
    pageRead();
    return pages.get(byteKey(pageHash));
  };
  return { channel, server: new PeerServer(channel, origin, listPage) };
}

function wanted(content: TestContent, firstChunk: number = 0, chunks: number = content.chunks.length): FetchItem {
  return { content: content.id, bytes: content.bytes, firstChunk, chunks };
}

function received(channel: FakeChannel): (Message | ChunkFrame)[] {
  return channel.sent.map((bytes) => decodeMessage(bytes)!);
}

/** The chunks that were sent, `item:chunk` -> bytes; each must come once. */
function chunksOf(channel: FakeChannel): Map<string, Uint8Array> {
  const chunks = new Map<string, Uint8Array>();
  for (const message of received(channel)) {
    if (message.type !== 'chunks') continue;
    for (const { item, chunk, offset, bytes } of message.chunks) {
      expect(chunks.has(`${item}:${chunk}`)).toBe(false);
      chunks.set(`${item}:${chunk}`, message.frame.subarray(offset, offset + bytes));
    }
  }
  return chunks;
}

describe('the pages of a list', () => {
  it('are read once for all pieces of a leaf, and each piece is of the content that was asked for', async () => {
    const contents = [makeContent(1, 900), makeContent(2, 900)];
    let reads = 0;
    const { server, channel } = setup(contents, honest, () => reads++);
    let id = 0;
    const ask = async (content: TestContent, first: number): Promise<void> => {
      const from = channel.sent.length;
      server.fetch({ type: 'fetch', id: ++id, items: [wanted(content, first, 10)] });
      await until(() => received(channel).some((message) => message.type === 'fetched' && message.id === id));
      const [frame] = received(channel).slice(from);
      if (frame?.type !== 'chunks') throw new Error('no chunks came');
      const sent = frame.chunks.map(({ offset, bytes }) => frame.frame.subarray(offset, offset + bytes));
      expect(sent.map(toHex)).toEqual(content.chunks.slice(first, first + 10).map(toHex));
    };
    for (const content of contents) {
      reads = 0;
      for (let first = 0; first < 900; first += 10) await ask(content, first);
      // A piece that crosses a border is looked up anew, and so is the one after it, where a list has that many levels.
      expect(reads).toBeLessThanOrEqual(content.pages.size * 4);
    }
    for (const first of [0, 890, 10, 440]) for (const content of contents) await ask(content, first);
  });
});

/** Memory that is used again is another's. */
describe('what was read', () => {
  it('is given back when it is sent, once, and not before', async () => {
    const content = makeContent(1, 6, 200_000);
    let released = 0;
    const { server, channel } = setup([content], async (...asked) => ({ ...(await honest(...asked))!, release: () => released++ }));
    server.fetch({ type: 'fetch', id: 1, items: [wanted(content, 0, 5), wanted(content, 5, 1)] });
    await fetched(channel);
    expect([released, channel.taken.length]).toEqual([0, 2]);
    channel.taken[0]!();
    expect(released).toBe(1);
    channel.taken[1]!();
    expect(released).toBe(2);
  });

  it('goes out in its own memory, not together with what would have to be copied to it', async () => {
    const contents = [makeContent(1, 3, 100_000), makeContent(2, 3, 100_000)];
    const blocks: ArrayBufferLike[] = [];
    const { server, channel } = setup(contents, async (content) => {
      const room = 100;
      const block = new Uint8Array(room + content.bytes);
      blocks.push(block.buffer);
      let at = room;
      const chunks = content.chunks.map((chunk) => {
        block.set(chunk, at);
        return block.subarray(at, (at += chunk.length));
      });
      return { chunks, roomBytes: room, release: () => undefined };
    });
    server.fetch({ type: 'fetch', id: 1, items: contents.map((content) => wanted(content)) });
    await fetched(channel);
    expect(channel.sent.slice(0, -1).map(({ buffer }) => blocks.indexOf(buffer))).toEqual([0, 1]);
  });
});

async function fetched(channel: FakeChannel, count: number = 1): Promise<MessageOf<'fetched'>[]> {
  const all = (): MessageOf<'fetched'>[] =>
    received(channel).filter((message): message is MessageOf<'fetched'> => message.type === 'fetched');
  await until(() => all().length >= count);
  return all();
}

describe('a fetch', () => {
  it('is answered with exactly the chunks asked for, then the end and what is gone', async () => {
    const contents = [makeContent(1, 1), makeContent(2, 40), makeContent(3, 300), makeContent(4, 2)];
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ content: fc.nat(3), from: fc.nat(310), count: fc.integer({ min: 1, max: 60 }) }), { maxLength: 25 }),
        async (asks) => {
          // The last content is not here at all.
          const { server, channel } = setup(contents.slice(0, 3));
          const items = asks.map(({ content, from, count }) => wanted(contents[content]!, from, count));
          server.fetch({ type: 'fetch', id: 5, items });
          const [end] = await fetched(channel);
          const sound = asks.map(({ content, from, count }) => content < 3 && from + count <= contents[content]!.chunks.length);
          expect([...end!.gone].sort((a, b) => a - b)).toEqual([...sound.keys()].filter((index) => !sound[index]));
          expect(received(channel).at(-1)).toEqual(end);
          const chunks = chunksOf(channel);
          let expected = 0;
          for (const [index, { content, from, count }] of asks.entries()) {
            if (!sound[index]) continue;
            expected += count;
            for (let at = from; at < from + count; at++)
              expect(equalBytes(chunks.get(`${index}:${at}`)!, contents[content]!.chunks[at]!)).toBe(true);
          }
          expect(chunks.size).toBe(expected);
          expect(received(channel).every((message) => !('id' in message) || message.id === 5)).toBe(true);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('packs chunks into frames of at most a megabyte', async () => {
    const contents = Array.from({ length: 10 }, (_, index) => makeContent(index + 1, 3, CHUNK_BYTES_MAX));
    const { server, channel } = setup(contents);
    server.fetch({ type: 'fetch', id: 1, items: contents.map((content) => wanted(content)) });
    await fetched(channel);
    const frames = received(channel).filter((message): message is ChunkFrame => message.type === 'chunks');
    const sizes = frames.map(({ chunks }) => chunks.reduce((sum, { bytes }) => sum + bytes, 0));
    expect(Math.max(...sizes)).toBeLessThanOrEqual(CHUNK_FRAME_BYTES_MAX);
    // What was read in one go stays together.
    expect(sizes).toHaveLength(10);
    expect(chunksOf(channel).size).toBe(30);
  });

  it('says gone of what reads wrong, fails to be read, or has another length than its list says', async () => {
    const contents = [1, 2, 3, 4].map((seed) => makeContent(seed, 3));
    const { server, channel } = setup(contents, async (content, ranges) => {
      if (content === contents[0]) return undefined;
      if (content === contents[1]) throw new SamerootError('IO_ERROR', 'the disk failed');
      const read = (await honest(content, ranges))!;
      return content === contents[2] ? { ...read, chunks: read.chunks.map((chunk) => chunk.subarray(1)) } : read;
    });
    server.fetch({ type: 'fetch', id: 1, items: contents.map((content) => wanted(content)) });
    const [end] = await fetched(channel);
    expect([end!.gone.toSorted(), chunksOf(channel).size]).toEqual([[0, 1, 2], 3]);
  });

  it('says gone of an impossible piece of a content', async () => {
    const [single, large] = [makeContent(1, 1), makeContent(2, 8, CHUNK_BYTES_MAX)];
    const { server, channel } = setup([single, large]);
    const items = [
      wanted(single, 1, 1),
      wanted(single, 0, 2),
      { ...wanted(single), bytes: 2 * MIB },
      wanted(large, 0, 5),
      wanted(large, 7, 2),
      wanted(large, 9, 1),
    ];
    server.fetch({ type: 'fetch', id: 1, items });
    const [end] = await fetched(channel);
    expect([end!.gone, chunksOf(channel).size]).toEqual([[0, 1, 2, 3, 4, 5], 0]);
  });

  it('is served after those before it', async () => {
    const content = makeContent(1, 40);
    const { server, channel } = setup([content]);
    for (const id of [3, 1, 2]) server.fetch({ type: 'fetch', id, items: [wanted(content)] });
    const ends = await fetched(channel, 3);
    expect(ends.map(({ id }) => id)).toEqual([3, 1, 2]);
  });

  it('is refused while too many wait', async () => {
    const content = makeContent(1, 1);
    const gate = new Deferred();
    const { server, channel } = setup([content], async (found, ranges) => {
      await gate.promise;
      return honest(found, ranges);
    });
    const ask = (id: number): void => server.fetch({ type: 'fetch', id, items: [wanted(content)] });
    for (let id = 0; id <= SERVE_QUEUE_MAX; id++) ask(id);
    expect(codeOf(() => ask(99))).toBe('LIMIT_EXCEEDED');
    gate.resolve();
    await fetched(channel, SERVE_QUEUE_MAX + 1);
    ask(100);
    expect((await fetched(channel, SERVE_QUEUE_MAX + 2)).at(-1)!.id).toBe(100);
  });
});

describe('a slow peer', () => {
  it('is waited for: no more is read and sent than its socket takes', async () => {
    const contents = Array.from({ length: 60 }, (_, index) => makeContent(index + 1, 1, CHUNK_BYTES_MAX));
    let reads = 0;
    const { server, channel } = setup(contents, (content, ranges) => {
      reads++;
      return honest(content, ranges);
    });
    channel.send = (message) => {
      channel.sent.push(message);
      channel.bufferedBytes += message.length;
    };
    server.fetch({ type: 'fetch', id: 1, items: contents.map((content) => wanted(content)) });
    await turns(20);
    expect(channel.bufferedBytes).toBeGreaterThan(4 * MIB);
    expect(channel.bufferedBytes).toBeLessThan(4 * MIB + 2 * CHUNK_FRAME_BYTES_MAX);
    expect(reads).toBeLessThan(60);
    while (chunksOf(channel).size < 60) {
      channel.bufferedBytes = 0;
      channel.onDrain?.();
      await turns(5);
    }
    await fetched(channel);
    expect(reads).toBe(60);
  });

  it('that closes is not served any more', async () => {
    const contents = Array.from({ length: 60 }, (_, index) => makeContent(index + 1, 1, CHUNK_BYTES_MAX));
    const { server, channel } = setup(contents);
    channel.bufferedBytes = 5 * MIB;
    server.fetch({ type: 'fetch', id: 1, items: contents.map((content) => wanted(content)) });
    server.fetch({ type: 'fetch', id: 2, items: [] });
    await turns(5);
    server.close();
    await turns(10);
    const ids = received(channel).map((message) => ('id' in message ? message.id : 0));
    expect(ids.includes(2)).toBe(false);
  });
});

describe('list pages', () => {
  it('are given by their hash, in order, with nothing for those that are not here', () => {
    const content = makeContent(1, 2000);
    const { server, channel } = setup([content]);
    const hashes = [...content.pages.keys()].map(fromByteKey);
    server.listPages({ type: 'list-pages', id: 8, hashes: [hashes[3]!, new Uint8Array(32), hashes[0]!] });
    const [reply] = received(channel) as MessageOf<'list-pages-reply'>[];
    expect(reply!.id).toBe(8);
    expect(reply!.pages.map((page) => page?.length)).toEqual([
      content.pages.get(byteKey(hashes[3]!))!.length,
      undefined,
      content.pages.get(byteKey(hashes[0]!))!.length,
    ]);
  });

  it('of the largest kind fit into one message, as many as may be asked for', () => {
    const channel = new FakeChannel('peer');
    const server = new PeerServer(channel, { read: () => Promise.resolve(undefined) }, () => new Uint8Array(1 + 512 * 42));
    const hashes = Array.from({ length: LIST_PAGES_PER_REQUEST_MAX }, () => new Uint8Array(32));
    server.listPages({ type: 'list-pages', id: 1, hashes });
    expect(channel.sent[0]!.length).toBeLessThan(MESSAGE_BYTES_MAX);
  });
});

it('closes the connection, and nothing else, if it fails itself', async () => {
  const content = makeContent(1, 1);
  const { server, channel } = setup([content]);
  channel.send = () => {
    throw new RangeError('a bug');
  };
  server.fetch({ type: 'fetch', id: 1, items: [wanted(content)] });
  await until(() => channel.closed.length > 0);
  expect(channel.closed).toEqual([{ code: 1011, text: 'INTERNAL' }]);
});
