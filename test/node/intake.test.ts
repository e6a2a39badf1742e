import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { byteKey, toHex, utf8 } from '../../src/base/bytes.ts';
import { SamerootError, type ErrorCode } from '../../src/base/errors.ts';
import { VERSIONS_MAX } from '../../src/base/limits.ts';
import { silentLog } from '../../src/base/world.ts';
import { contentHash, EMPTY_CONTENT, type ContentId } from '../../src/content/content-list.ts';
import { encodeEntry } from '../../src/entry/entry-codec.ts';
import { merge, write, type Entry, type Value } from '../../src/entry/entry.ts';
import type { ContentTarget } from '../../src/node/contents.ts';
import type { Fetcher } from '../../src/node/fetcher.ts';
import { Intake, type Landing } from '../../src/node/intake.ts';
import { Replica } from '../../src/replica/replica.ts';
import type { EntryItem } from '../../src/wire/messages.ts';
import { FaultyStore, recordKey, seededRandom, smallShare, TestClock, turns } from '../replica/world.ts';
import { Deferred, FakeTarget, makeContent, until, type TestContent } from './parts.ts';

const A = 'aaaaaaaaaaaaaaaa';
const B = 'bbbbbbbbbbbbbbbb';
const NOW = new TestClock().wall;

function fileKey(index: number): Uint8Array {
  return utf8(`f/file-${index}`);
}

function file(content: ContentId, bytes: number): Value {
  return { kind: 'file', content, bytes, mode: 0o644, mtimeMs: 1 };
}

function written(replica: string, sequence: number, value: Value, wallMs: number = NOW): Entry {
  return write(undefined, [], { replica, sequence }, { wallMs, counter: 0 }, value);
}

function item(key: Uint8Array, entry: Entry): EntryItem {
  return { key, entry: encodeEntry(entry) };
}

class World {
  readonly store: FaultyStore;
  readonly clock = new TestClock();
  readonly replica: Replica;
  readonly intake: Intake;
  readonly files = new FakeTarget();
  readonly blobs = new FakeTarget();
  /** Contents on this host, by kind and hex. */
  readonly held = new Set<string>();
  readonly finished = new Set<string>();
  readonly log: string[] = [];
  readonly problems: { code: ErrorCode; key: string }[] = [];
  readonly fetches: { content: string; target: ContentTarget; peers: string[] }[] = [];
  fetchDone: (content: ContentId) => Promise<void> = () => Promise.resolve();
  keyProblem: Landing['keyProblem'] = () => undefined;
  finish: () => Promise<void> = () => Promise.resolve();
  project: () => Promise<void> = () => Promise.resolve();
  landed = 0;
  /** Contents that a root covered before they were held. */
  readonly uncovered: string[] = [];

  private constructor(store: FaultyStore, replica: Replica) {
    this.store = store;
    this.replica = replica;
    const landing: Landing = {
      keyProblem: (key, entry) => this.keyProblem(key, entry),
      holds: (content, kind) => this.held.has(`${kind} ${toHex(content)}`),
      files: this.files,
      blobs: this.blobs,
      finish: async (contents) => {
        this.log.push('finish');
        await this.finish();
        await turns();
        for (const content of contents) this.finished.add(toHex(content));
      },
      todoRows: (key) => [{ type: 'put', key: Buffer.concat([utf8('t/'), key]), value: Uint8Array.of(1) }],
      project: async (keys) => {
        this.log.push(`project ${keys.length}`);
        await this.project();
      },
      close: () => {},
    };
    const fetcher = {
      fetch: async (content: ContentId, _bytes: number, target: ContentTarget, peers: Iterable<string>): Promise<void> => {
        this.fetches.push({ content: toHex(content), target, peers: [...peers] });
        await this.fetchDone(content);
        this.log.push('fetched');
        if (target === this.blobs) this.finished.add(toHex(content));
      },
    } as unknown as Fetcher;
    this.intake = new Intake({
      replica,
      fetcher,
      landing,
      clock: this.clock,
      log: silentLog,
      sourcesLike: (peer) => [peer],
      onProblem: (code, { key }) => this.problems.push({ code, key: byteKey(key) }),
      onLanded: () => this.landed++,
    });
    replica.onCommit((commit) => {
      this.log.push('commit');
      for (const { key } of commit.keys) this.#lookAt(replica.entry(key)!);
    });
  }

  static async open(): Promise<World> {
    const store = new FaultyStore();
    return new World(store, await Replica.create(store, smallShare(), new TestClock(), seededRandom(2)));
  }

  /** The invariant: a root covers only what is finished or was held. Noted, since what a listener throws is not heard. */
  #lookAt(entry: Entry): void {
    for (const { value } of entry.versions) {
      if (value.kind !== 'file' && value.kind !== 'blob') continue;
      const id = toHex(value.content);
      if (!this.finished.has(id) && !this.held.has(`${value.kind} ${id}`)) this.uncovered.push(id);
    }
  }
}

describe('an entry of a peer', () => {
  it('is committed only when its contents are fetched and flushed, and shown after that', async () => {
    const world = await World.open();
    const content = makeContent(1, 3);
    const gate = new Deferred();
    world.fetchDone = () => gate.promise;
    const offered = world.intake.offer('peer', [item(fileKey(1), written(A, 1, file(content.id, content.bytes)))], []);
    await turns(3);
    expect([world.log, world.intake.pending, world.replica.head.commit]).toEqual([[], 1, 0]);
    gate.resolve();
    expect(await offered).toBe(true);
    expect(world.log).toEqual(['fetched', 'finish', 'commit', 'project 1']);
    expect([world.intake.pending, world.landed > 0]).toEqual([0, true]);
    expect(world.uncovered).toEqual([]);
    expect(world.store.get(Buffer.from('t/f/file-1'))).toBeDefined();
    expect(world.fetches[0]).toMatchObject({ target: world.files, peers: ['peer'] });
  });

  it('is on its way from when it came until it is committed', async () => {
    const world = await World.open();
    const content = makeContent(1, 1);
    const gate = new Deferred();
    world.fetchDone = () => gate.promise;
    world.finish = async () => {
      expect(world.intake.isArriving(fileKey(1))).toBe(true);
    };
    const entry = written(A, 1, file(content.id, content.bytes));
    const first = world.intake.offer('p', [item(fileKey(1), entry)], []);
    const second = world.intake.offer('q', [item(fileKey(1), entry)], []);
    expect([1, 2].map((at) => world.intake.isArriving(fileKey(at)))).toEqual([true, false]);
    gate.resolve();
    expect(await Promise.all([first, second])).toEqual([true, true]);
    expect(world.intake.isArriving(fileKey(1))).toBe(false);
    world.fetchDone = () => Promise.reject(new SamerootError('CONTENT_MISSING', 'no peer has it'));
    const other = written(A, 2, file(makeContent(2, 1).id, 12));
    expect(await world.intake.offer('p', [item(fileKey(2), other)], [])).toBe(false);
    expect(world.intake.isArriving(fileKey(2))).toBe(false);
  });

  it('of a delete that all have seen says nothing where there is no entry any more', async () => {
    const world = await World.open();
    await world.replica.adopt({ sequences: new Map([[A, 5]]), replicas: new Set([A]) });
    const settled = [item(fileKey(1), written(A, 5, { kind: 'deleted' }))];
    expect(await world.intake.offer('peer', settled, [])).toBe(true);
    expect([world.replica.entry(fileKey(1)), world.log]).toEqual([undefined, []]);
    expect(await world.intake.offer('peer', [item(fileKey(1), written(A, 6, { kind: 'deleted' }))], [])).toBe(true);
    expect(world.replica.entry(fileKey(1))).toBeDefined();
    // What is alive is never dropped for a cut.
    const content = makeContent(3, 1);
    expect(await world.intake.offer('peer', [item(fileKey(2), written(A, 2, file(content.id, content.bytes)))], [])).toBe(true);
    expect(world.replica.entry(fileKey(2))).toBeDefined();
  });

  it('of a delete that became settled while it was on its way is not brought back', async () => {
    const world = await World.open();
    const gate = new Deferred();
    world.finish = () => gate.promise;
    const offered = world.intake.offer('peer', [item(fileKey(1), written(A, 5, { kind: 'deleted' }))], []);
    await turns(2);
    await world.replica.adopt({ sequences: new Map([[A, 5]]), replicas: new Set([A]) });
    gate.resolve();
    expect(await offered).toBe(true);
    expect(world.replica.entry(fileKey(1))).toBeUndefined();
  });

  it("never lets the root cover what is not held, whatever fails; each failure is its own entry's only", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ key: fc.nat(6), content: fc.nat(5), held: fc.boolean(), peer: fc.constantFrom('p', 'q') }), {
          minLength: 1,
          maxLength: 20,
        }),
        fc.uniqueArray(fc.nat(5)),
        fc.array(fc.nat(4), { minLength: 1 }),
        async (arrivals, failing, delays) => {
          const world = await World.open();
          const contents = [0, 1, 2, 3, 4, 5].map((seed) => makeContent(seed + 1, 2));
          const bad = new Set(failing.map((index) => toHex(contents[index]!.id)));
          let next = 0;
          world.fetchDone = async (content) => {
            await turns(delays[next++ % delays.length]);
            if (bad.has(toHex(content))) throw new SamerootError('CONTENT_MISSING', 'nobody has it');
          };
          const results = await Promise.all(
            arrivals.map(async ({ key, content, held, peer }, index) => {
              const { id, bytes } = contents[content]!;
              if (held) world.held.add(`file ${toHex(id)}`);
              const entry = written(peer === 'p' ? A : B, index + 1, file(id, bytes));
              const done = await world.intake.offer(peer, [item(fileKey(key), entry)], []);
              const known = world.replica.entry(fileKey(key));
              if (done) expect(known?.versions.some(({ dot }) => dot.sequence > index)).toBe(true);
              return { done, missing: bad.has(toHex(id)) && !world.held.has(`file ${toHex(id)}`) };
            }),
          );
          for (const { done, missing } of results) if (missing) expect(done).toBe(false);
          for (const { done } of results) if (bad.size === 0) expect(done).toBe(true);
          expect(world.intake.pending).toBe(0);
          await until(() => !world.intake.landing);
          expect(world.uncovered).toEqual([]);
          expect(world.intake.totals.entriesDone).toBe(world.intake.totals.entries);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('that is known already costs nothing', async () => {
    const world = await World.open();
    const entry = written(A, 1, { kind: 'record', data: utf8('x') });
    expect(await world.intake.offer('p', [item(recordKey(1), entry)], [])).toBe(true);
    const { log } = world;
    const before = log.length;
    expect(await world.intake.offer('q', [item(recordKey(1), entry)], [])).toBe(true);
    expect([log.length, world.intake.totals.entries]).toEqual([before, 1]);
  });

  it('brings only the contents of versions that are new here, conflict copies too', async () => {
    const world = await World.open();
    const [ours, theirs] = [makeContent(1, 2), makeContent(2, 2)];
    const mine = written(A, 1, file(ours.id, ours.bytes));
    await world.intake.offer('p', [item(fileKey(1), mine)], []);
    world.fetches.length = 0;
    const both = merge(mine, written(B, 1, file(theirs.id, theirs.bytes), NOW - 50));
    expect(await world.intake.offer('p', [item(fileKey(1), both)], [])).toBe(true);
    expect(world.fetches.map(({ content }) => content)).toEqual([toHex(theirs.id)]);
    expect(world.replica.entry(fileKey(1))!.versions).toHaveLength(2);
  });

  it("needs no bytes where they are empty, gone or a link's", async () => {
    const world = await World.open();
    const items = [
      item(fileKey(1), written(A, 1, file(EMPTY_CONTENT, 0))),
      item(fileKey(2), written(A, 2, { kind: 'deleted' })),
      item(fileKey(3), written(A, 3, { kind: 'symlink', target: utf8('x') })),
      item(fileKey(4), written(A, 4, { kind: 'directory', mode: 0o755 })),
    ];
    world.finished.add(toHex(EMPTY_CONTENT));
    expect(await world.intake.offer('p', items, [])).toBe(true);
    expect([world.fetches.length, world.replica.head.tree.count]).toEqual([0, 4]);
  });

  it('of a record wants its bytes in the chunk store, of a file in the folder: one does not do for the other', async () => {
    const world = await World.open();
    const content = makeContent(1, 3);
    world.held.add(`file ${toHex(content.id)}`);
    expect(await world.intake.offer('p', [item(recordKey(1), written(A, 1, { kind: 'blob', content: content.id, bytes: 9000 }))], [])).toBe(
      true,
    );
    expect(world.fetches.map(({ target }) => target)).toEqual([world.blobs]);
    world.held.clear();
    world.held.add(`blob ${toHex(content.id)}`);
    expect(await world.intake.offer('p', [item(fileKey(1), written(A, 2, file(content.id, content.bytes)))], [])).toBe(true);
    expect(world.fetches.map(({ target }) => target)).toEqual([world.blobs, world.files]);
  });
});

describe('an entry that can not be taken over', () => {
  it('from a clock too far ahead is reported, and holds up nothing else', async () => {
    const world = await World.open();
    const value: Value = { kind: 'record', data: utf8('x') };
    const items = [item(recordKey(1), written(A, 1, value, NOW + 3_600_001)), item(recordKey(2), written(A, 2, value, NOW + 3_600_000))];
    expect(await world.intake.offer('p', items, [])).toBe(false);
    expect(world.problems).toEqual([{ code: 'CLOCK_AHEAD', key: 'r/key-1' }]);
    expect([world.replica.entry(recordKey(1)), world.replica.entry(recordKey(2)) !== undefined]).toEqual([undefined, true]);
    expect(world.replica.head.stamp.wallMs).toBe(NOW + 3_600_000);
    expect(world.intake.pending).toBe(0);
  });

  it('is not a file whose own time lies in the future, as long as the clock of its write does not', async () => {
    const world = await World.open();
    world.held.add(`file ${toHex(EMPTY_CONTENT)}`);
    const value: Value = { kind: 'file', content: EMPTY_CONTENT, bytes: 0, mode: 0o644, mtimeMs: NOW + 10 ** 10 };
    expect(await world.intake.offer('p', [item(fileKey(1), written(A, 1, value))], [])).toBe(true);
    expect(world.problems).toEqual([]);
  });

  it('for its key is reported with the reason', async () => {
    const world = await World.open();
    world.keyProblem = (key) => (byteKey(key) === 'x' ? 'KEY_INVALID' : undefined);
    const value: Value = { kind: 'record', data: utf8('x') };
    expect(await world.intake.offer('p', [item(utf8('x'), written(A, 1, value)), item(recordKey(2), written(A, 2, value))], [])).toBe(
      false,
    );
    expect(world.problems).toEqual([{ code: 'KEY_INVALID', key: 'x' }]);
    expect(world.replica.head.tree.count).toBe(1);
  });

  it('because the two histories exclude each other, or would be too many versions, fails alone', async () => {
    const world = await World.open();
    const value: Value = { kind: 'record', data: utf8('x') };
    const key = recordKey(1);
    let many = written(A, 1, value);
    for (let at = 0; at < VERSIONS_MAX - 1; at++)
      many = write(many, [], { replica: A, sequence: at + 2 }, { wallMs: NOW, counter: at }, value);
    expect(await world.intake.offer('p', [item(key, many)], [])).toBe(true);
    const one = written(B, 1, value);
    const forged: Entry = {
      versions: one.versions,
      context: new Map([
        [A, 10_000],
        [B, 1],
      ]),
    };
    await world.intake.offer('p', [item(recordKey(2), one)], []);
    const excluded: Entry = {
      versions: [{ ...one.versions[0]!, dot: { replica: A, sequence: 1 } }],
      context: new Map([
        [A, 1],
        [B, 7],
      ]),
    };
    await world.replica.commit([
      {
        key: recordKey(2),
        next: () => ({
          versions: one.versions,
          context: new Map([
            [A, 5],
            [B, 1],
          ]),
        }),
      },
    ]);
    const good = written(B, 9, value);
    const items = [item(key, one), item(recordKey(2), excluded), item(recordKey(3), good), item(recordKey(4), forged)];
    expect(await world.intake.offer('p', items, [])).toBe(false);
    expect(world.problems.map(({ code, key }) => `${code} ${key}`)).toEqual(['LIMIT_EXCEEDED r/key-1', 'BAD_MESSAGE r/key-2']);
    expect(world.replica.entry(recordKey(3))).toBeDefined();
    expect(world.replica.entry(key)!.versions).toHaveLength(VERSIONS_MAX);
    expect(world.intake.pending).toBe(0);
  });

  it('because it became one while its bytes came, does not take its group along', async () => {
    const world = await World.open();
    const content = makeContent(1, 2);
    const gate = new Deferred();
    world.fetchDone = () => gate.promise;
    const late = world.intake.offer('p', [item(fileKey(1), written(A, 3, file(content.id, content.bytes)))], []);
    const other = world.intake.offer('q', [item(fileKey(2), written(A, 4, file(content.id, content.bytes)))], []);
    await turns(2);
    world.finished.add(toHex(content.id));
    const [gone] = written(B, 1, { kind: 'deleted' }).versions;
    await world.replica.commit([
      {
        key: fileKey(1),
        next: () => ({
          versions: [gone!],
          context: new Map([
            [A, 2],
            [B, 1],
          ]),
        }),
      },
    ]);
    await world.replica.commit([{ key: fileKey(3), next: () => undefined }]);
    gate.resolve();
    // Covered by what is here now: nothing to do. And the other is as it would be alone.
    expect(await Promise.all([late, other])).toEqual([true, true]);
    expect(world.replica.entry(fileKey(2))).toBeDefined();
  });

  it("from a host whose bytes are no entry is the peer's fault: the offer is refused", async () => {
    const world = await World.open();
    await expect(world.intake.offer('p', [{ key: recordKey(1), entry: Uint8Array.of(1, 2, 3) }], [])).rejects.toMatchObject({
      code: 'BAD_ENCODING',
    });
    expect(world.intake.pending).toBe(0);
  });
});

describe('failures of the disk', () => {
  it.each(['finish', 'commit', 'project'] as const)('at %s fail the group, are reported, and leave nothing pending', async (where) => {
    const world = await World.open();
    const fail = (): Promise<never> => Promise.reject(new SamerootError('DISK_FULL', 'no room'));
    if (where === 'finish') world.finish = fail;
    if (where === 'project') world.project = fail;
    if (where === 'commit') world.store.fails = () => true;
    const entry = written(A, 1, { kind: 'record', data: utf8('x') });
    expect(await world.intake.offer('p', [item(recordKey(1), entry), item(recordKey(2), entry)], [])).toBe(false);
    // What is committed is not missing: the landing says that it is not shown.
    const code = { finish: 'DISK_FULL', commit: 'IO_ERROR', project: undefined }[where];
    expect(world.problems.map((problem) => problem.code)).toEqual(code === undefined ? [] : [code, code]);
    expect(world.intake.pending).toBe(0);
    await until(() => !world.intake.landing);
    expect(world.replica.head.tree.count).toBe(where === 'project' ? 2 : 0);
    world.finish = world.project = () => Promise.resolve();
    world.store.fails = () => false;
    expect(await world.intake.offer('p', [item(recordKey(1), entry), item(recordKey(2), entry)], [])).toBe(true);
    expect(world.replica.head.tree.count).toBe(2);
  });
});

describe('one key from two peers at once', () => {
  it('is no problem where one of them could not be used and the other brought the same', async () => {
    const world = await World.open();
    const content = makeContent(1, 2);
    const first = new Deferred();
    world.fetchDone = () => first.promise;
    const entry = written(A, 1, file(content.id, content.bytes));
    const failing = world.intake.offer('p', [item(fileKey(1), entry)], []);
    await turns(2);
    world.fetchDone = () => Promise.resolve();
    expect(await world.intake.offer('q', [item(fileKey(1), entry)], [])).toBe(true);
    first.reject(new SamerootError('CONTENT_MISSING', 'gone'));
    expect(await failing).toBe(false);
    expect(world.problems).toEqual([]);
  });

  it('ends as the merge of both, in whatever order they land', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(3), fc.nat(3), fc.boolean(), async (first, second, same) => {
        const world = await World.open();
        const contents: TestContent[] = [makeContent(1, 2), makeContent(same ? 1 : 2, 2)];
        const entries = contents.map(({ id, bytes }, index) => written(index === 0 ? A : B, 1, file(id, bytes)));
        const delays = [first, second];
        let next = 0;
        world.fetchDone = () => turns(delays[next++]);
        const done = await Promise.all(entries.map((entry, index) => world.intake.offer(`p${index}`, [item(fileKey(1), entry)], [])));
        expect(done).toEqual([true, true]);
        const expected = merge(entries[0], entries[1]!);
        expect(toHex(encodeEntry(world.replica.entry(fileKey(1))!))).toBe(toHex(encodeEntry(expected)));
      }),
      { numRuns: 40 },
    );
  });

  it('in one tick takes one group: one flush, one commit', async () => {
    const world = await World.open();
    const value: Value = { kind: 'record', data: utf8('x') };
    await Promise.all([
      world.intake.offer('p', [item(recordKey(1), written(A, 1, value))], []),
      world.intake.offer('q', [item(recordKey(1), written(B, 1, value)), item(recordKey(2), written(B, 2, value))], []),
    ]);
    expect(world.log).toEqual(['finish', 'commit', 'project 3']);
  });
});

describe('bytes that come along with their entry', () => {
  const content = makeContent(1, 1);
  const inline = { hash: contentHash(content.id), bytes: content.chunks[0]! };
  const entry = written(A, 1, file(content.id, content.bytes));

  it('are written, and not fetched', async () => {
    const world = await World.open();
    expect(await world.intake.offer('p', [item(fileKey(1), entry)], [inline])).toBe(true);
    expect([world.fetches, world.files.isWhole(content)]).toEqual([[], true]);
  });

  it('of a wrong hash count for nothing: the content is fetched', async () => {
    const world = await World.open();
    const wrong = { ...inline, bytes: utf8('other bytes.') };
    expect(await world.intake.offer('p', [item(fileKey(1), entry)], [wrong])).toBe(true);
    expect([world.fetches.length, world.files.isWhole(content)]).toEqual([1, false]);
  });

  it('that no new entry wants are not written, nor believed later', async () => {
    const world = await World.open();
    await world.intake.offer('p', [item(recordKey(1), written(A, 1, { kind: 'record', data: utf8('x') }))], [inline]);
    expect(world.files.log).toEqual([]);
    world.fetchDone = () => Promise.reject(new SamerootError('CONTENT_MISSING', 'nobody has it'));
    world.keyProblem = (key) => (byteKey(key) === 'f/file-1' ? 'KEY_INVALID' : undefined);
    expect(await world.intake.offer('p', [item(fileKey(1), entry)], [inline])).toBe(false);
    // The bytes of the refused entry may be gone by now; the next one has to ask for them.
    expect(await world.intake.offer('p', [item(fileKey(2), entry)], [])).toBe(false);
    expect(world.fetches).toHaveLength(1);
  });

  it('are not written where the folder has them', async () => {
    const world = await World.open();
    world.held.add(`file ${toHex(content.id)}`);
    expect(await world.intake.offer('p', [item(fileKey(1), entry)], [inline])).toBe(true);
    expect([world.files.log, world.fetches]).toEqual([[], []]);
  });
});

it('takes the entries that arrive during a landing into the next one, and tells when all is on disk', async () => {
  const world = await World.open();
  const gate = new Deferred();
  world.project = () => gate.promise;
  const value: Value = { kind: 'record', data: utf8('x') };
  const first = world.intake.offer('p', [item(recordKey(1), written(A, 1, value))], []);
  await until(() => world.log.includes('project 1'));
  const rest = [2, 3, 4].map((index) => world.intake.offer('p', [item(recordKey(index), written(A, index, value))], []));
  await turns(2);
  expect([world.intake.landing, world.landed, world.replica.head.commit]).toEqual([true, 0, 1]);
  gate.resolve();
  await Promise.all([first, ...rest]);
  expect(world.log).toEqual(['finish', 'commit', 'project 1', 'finish', 'commit', 'project 3']);
  await until(() => !world.intake.landing);
  expect(world.landed).toBe(3);
});
