import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { byteKey, toHex, utf8 } from '../../src/base/bytes.ts';
import { realWorld } from '../../src/app/real-world.ts';
import { SamerootError } from '../../src/base/errors.ts';
import { silentLog } from '../../src/base/world.ts';
import { EMPTY_CONTENT, type ContentId } from '../../src/content/content-list.ts';
import { write, type Entry, type Value } from '../../src/entry/entry.ts';
import type { Folder } from '../../src/folder/folder.ts';
import type { BlobTarget } from '../../src/node/blob-target.ts';
import type { Landing } from '../../src/node/intake.ts';
import { makeLanding, type Showing } from '../../src/node/landing.ts';
import { memberKey } from '../../src/node/member-record.ts';
import { Members } from '../../src/node/members.ts';
import type { Records } from '../../src/node/records.ts';
import { Replica } from '../../src/replica/replica.ts';
import { MemoryStore } from '../../src/store/memory-store.ts';
import { codeOf } from '../content/code-of.ts';
import { record, recordKey, seededRandom, smallShare, TestClock } from '../replica/world.ts';
import { FakeTarget, makeContent, makeIdentity } from './parts.ts';

type Outcome = 'done' | 'dirty' | 'missing' | 'fails';

function fileKey(name: string): Uint8Array {
  return utf8(`f/${name}`);
}

/** A folder that shows keys as it is told, path by path. */
class FakeFolder {
  readonly outcomes = new Map<string, Outcome>();
  readonly held = new Set<string>();
  /** Written, not flushed. */
  readonly unflushed = new Set<string>();
  readonly finished: string[] = [];
  readonly projected: string[][] = [];
  readonly checked: string[] = [];
  readonly target = new FakeTarget();
  restore: (keys: readonly Uint8Array[]) => Promise<unknown> = () => Promise.resolve();

  project(keys: readonly Uint8Array[]): Promise<object> {
    this.projected.push(keys.map((key) => byteKey(key)));
    const outcome = (key: Uint8Array): Outcome => this.outcomes.get(byteKey(key)) ?? 'done';
    if (keys.some((key) => outcome(key) === 'fails')) return Promise.reject(new SamerootError('IO_ERROR', 'the disk failed'));
    const missing = keys.filter((key) => outcome(key) === 'missing').map((key) => ({ key, content: contentFor(key), bytes: 12 }));
    return Promise.resolve({
      done: keys.filter((key) => outcome(key) === 'done'),
      dirty: keys.filter((key) => outcome(key) === 'dirty').map(byteKey),
      missing,
      waiting: [],
    });
  }

  holds(content: ContentId): boolean {
    return this.held.has(toHex(content));
  }

  isUnflushed(content: ContentId): boolean {
    return this.unflushed.has(toHex(content));
  }

  finish(contents: readonly ContentId[]): Promise<void> {
    this.finished.push(...contents.map(toHex));
    return Promise.resolve();
  }

  todoRows(key: Uint8Array): object[] {
    return [{ type: 'put', key, value: Uint8Array.of(1) }];
  }

  checkSoon(paths: readonly string[]): void {
    this.checked.push(...paths);
  }
}

function contentFor(key: Uint8Array): ContentId {
  return makeContent(key.at(-1)!, 1).id;
}

interface World {
  readonly folder: FakeFolder;
  readonly landing: Landing & Showing;
  readonly fetched: string[];
  readonly recordsHold: Set<string>;
  fetch: (content: ContentId) => Promise<void>;
}

async function setup(): Promise<World> {
  const identity = makeIdentity();
  const replica = await Replica.create(new MemoryStore(), smallShare(identity.nodeId), new TestClock(), seededRandom(2));
  const folder = new FakeFolder();
  const fetched: string[] = [];
  const recordsHold = new Set<string>();
  const world: World = {
    folder,
    fetched,
    recordsHold,
    fetch: () => Promise.resolve(),
    landing: makeLanding({
      replica,
      folder: folder as unknown as Folder,
      records: { holds: (content: ContentId) => recordsHold.has(toHex(content)) } as unknown as Records,
      members: new Members(replica, identity, []),
      blobs: new FakeTarget() as unknown as BlobTarget,
      fetch: (content) => {
        fetched.push(toHex(content));
        return world.fetch(content);
      },
      world: realWorld(silentLog),
    }),
  };
  return world;
}

function entryOf(value: Value): Entry {
  return write(undefined, [], { replica: 'aa'.repeat(8), sequence: 1 }, { wallMs: 1, counter: 0 }, value);
}

describe('the keys that a host can hold', () => {
  it('are those of files, records and members, each with values of its kinds', async () => {
    const { landing } = await setup();
    const file: Value = { kind: 'file', content: EMPTY_CONTENT, bytes: 0, mode: 0o644, mtimeMs: 0 };
    const blob: Value = { kind: 'blob', content: EMPTY_CONTENT, bytes: 9_000 };
    const fileKinds: Value[] = [file, { kind: 'symlink', target: utf8('x') }, { kind: 'directory', mode: 0 }, { kind: 'deleted' }];
    const recordKinds: Value[] = [record('x'), blob, { kind: 'deleted' }];
    for (const value of fileKinds) expect(landing.keyProblem(fileKey('a/b'), entryOf(value))).toBeUndefined();
    for (const value of recordKinds) expect(landing.keyProblem(recordKey(1), entryOf(value))).toBeUndefined();
    for (const value of [record('x'), blob]) expect(landing.keyProblem(fileKey('a'), entryOf(value))).toBe('BAD_MESSAGE');
    for (const value of fileKinds.slice(0, 3)) expect(landing.keyProblem(recordKey(1), entryOf(value))).toBe('BAD_MESSAGE');
    const bad = ['f/', 'f/../x', 'f/a//b', 'f/.sameroot/db', 'f//a', 'x/a', '', 'f', 'r/', 'r/a\0', `f/${'x'.repeat(256)}`];
    expect(bad.map((key) => landing.keyProblem(utf8(key), entryOf({ kind: 'deleted' })))).toEqual(bad.map(() => 'KEY_INVALID'));
    expect(landing.keyProblem(Buffer.from('f/\xff', 'latin1'), entryOf(file))).toBe('KEY_INVALID');
    const mixed = write(entryOf(file), [], { replica: 'bb'.repeat(8), sequence: 1 }, { wallMs: 1, counter: 0 }, record('x'));
    expect(landing.keyProblem(fileKey('a'), mixed)).toBe('BAD_MESSAGE');
  });

  it("are refused for members whose record is not one: that is the peer's fault", async () => {
    const { landing } = await setup();
    expect(codeOf(() => landing.keyProblem(memberKey('ab'.repeat(32)), entryOf(record('x'))))).toBe('BAD_ENCODING');
    expect(codeOf(() => landing.keyProblem(memberKey('ab'.repeat(32)), entryOf({ kind: 'deleted' })))).toBe('BAD_MESSAGE');
  });
});

describe('what is held', () => {
  it('is held where its kind belongs', async () => {
    const { landing, folder, recordsHold } = await setup();
    const { id } = makeContent(1, 1);
    const answers = (): boolean[] => [landing.holds(id, 'file'), landing.holds(id, 'blob')];
    expect(answers()).toEqual([false, false]);
    folder.held.add(toHex(id));
    expect(answers()).toEqual([true, false]);
    recordsHold.add(toHex(id));
    folder.held.clear();
    expect(answers()).toEqual([false, true]);
  });
});

describe('contents that are to be flushed', () => {
  it('are those that nobody has placed yet, and those that were written again since', async () => {
    const { folder, landing } = await setup();
    const [fresh, placed, again] = [makeContent(1, 3).id, makeContent(2, 3).id, makeContent(3, 1).id];
    for (const id of [placed, again]) folder.held.add(toHex(id));
    folder.unflushed.add(toHex(again));
    await landing.finish([fresh, placed, again]);
    expect(folder.finished).toEqual([toHex(fresh), toHex(again)]);
  });
});

describe('showing', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('concerns files only', async () => {
    const { landing, folder } = await setup();
    await landing.project([recordKey(1), fileKey('a'), memberKey('ab'.repeat(32))]);
    expect(folder.projected).toEqual([['f/a']]);
    await landing.project([recordKey(1)]);
    expect(folder.projected).toHaveLength(1);
    expect([landing.todoRows(recordKey(1)).length, landing.todoRows(fileKey('a')).length]).toEqual([0, 1]);
  });

  it('brings bytes that are missing here and shows what waited for them', async () => {
    const { landing, folder, fetched } = await setup();
    folder.outcomes.set('f/b', 'missing');
    const shown = landing.project([fileKey('a'), fileKey('b')]);
    await Promise.resolve();
    folder.outcomes.clear();
    await shown;
    const content = toHex(contentFor(fileKey('b')));
    expect([fetched, folder.finished, folder.projected]).toEqual([[content], [content], [['f/a', 'f/b'], ['f/b']]]);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(folder.projected).toHaveLength(2);
  });

  it('tries again, ever more rarely, what could not be shown, and only that', async () => {
    const { landing, folder } = await setup();
    folder.outcomes.set('f/b', 'dirty');
    await landing.project([fileKey('a'), fileKey('b')]);
    expect(folder.checked).toEqual(['f/b']);
    await vi.advanceTimersByTimeAsync(199);
    expect(folder.projected).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(folder.projected.at(-1)).toEqual(['f/b']);
    const attempts = async (ms: number): Promise<number> => {
      const before = folder.projected.length;
      await vi.advanceTimersByTimeAsync(ms);
      return folder.projected.length - before;
    };
    expect([await attempts(399), await attempts(1), await attempts(799), await attempts(1)]).toEqual([0, 1, 0, 1]);
    await vi.advanceTimersByTimeAsync(100_000);
    // At most ten seconds apart.
    expect(await attempts(100_000)).toBe(10);
    folder.outcomes.clear();
    expect(await attempts(10_000)).toBe(1);
    expect(await attempts(100_000)).toBe(0);
  });

  it('tries again what no peer has now, until one does', async () => {
    const world = await setup();
    world.folder.outcomes.set('f/b', 'missing');
    world.fetch = () => Promise.reject(new SamerootError('CONTENT_MISSING', 'nobody has it'));
    await world.landing.project([fileKey('b')]);
    expect(world.folder.projected).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(200);
    expect([world.folder.projected.length, world.fetched.length, world.folder.finished.length]).toEqual([2, 2, 0]);
    world.fetch = () => {
      world.folder.outcomes.clear();
      return Promise.resolve();
    };
    await vi.advanceTimersByTimeAsync(400);
    expect(world.folder.projected).toHaveLength(4);
    await vi.advanceTimersByTimeAsync(100_000);
    expect(world.folder.projected).toHaveLength(4);
  });

  it('fails where the disk does, and the keys are tried again all the same', async () => {
    const { landing, folder } = await setup();
    folder.outcomes.set('f/a', 'fails');
    await expect(landing.project([fileKey('a'), fileKey('b')])).rejects.toMatchObject({ code: 'IO_ERROR' });
    expect(landing.problem).toMatchObject({ code: 'IO_ERROR' });
    await vi.advanceTimersByTimeAsync(200);
    expect(folder.projected.at(-1)).toEqual(['f/a', 'f/b']);
    await vi.advanceTimersByTimeAsync(399);
    expect(folder.projected).toHaveLength(2);
    expect(landing.problem).toMatchObject({ code: 'IO_ERROR' });
    folder.outcomes.clear();
    await vi.advanceTimersByTimeAsync(1);
    expect(landing.problem).toBeUndefined();
    expect(folder.projected).toHaveLength(3);
    await vi.advanceTimersByTimeAsync(100_000);
    expect(folder.projected).toHaveLength(3);
  });

  it('is what the folder asks for keys that must come back', async () => {
    const { folder, fetched } = await setup();
    folder.outcomes.set('f/b', 'missing');
    await folder.restore([fileKey('b')]);
    expect(fetched).toHaveLength(1);
    expect(folder.projected.length).toBeGreaterThan(0);
  });

  it('ends with the landing', async () => {
    const { landing, folder } = await setup();
    folder.outcomes.set('f/a', 'dirty');
    await landing.project([fileKey('a')]);
    landing.close();
    await vi.advanceTimersByTimeAsync(100_000);
    await landing.project([fileKey('a')]);
    await vi.advanceTimersByTimeAsync(100_000);
    expect(folder.projected).toHaveLength(2);
  });
});
