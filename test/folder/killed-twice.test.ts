/**
 * A node that dies while it shows what others wrote, and dies again while it starts, at any two effects on disk or database:
 * whoever starts last finds the rest. Nobody has edited anything, so nothing may pass for an edit, and no bytes may be missing.
 */
import { expect, test } from 'vitest';
import { realTimers } from '../../src/app/real-world.ts';
import { utf8 } from '../../src/base/bytes.ts';
import { silentLog } from '../../src/base/world.ts';
import { makeGear, nextCut } from '../../src/content/chunker.ts';
import { ContentListBuilder, type ContentId } from '../../src/content/content-list.ts';
import { hash } from '../../src/content/hash.ts';
import { write, type Value } from '../../src/entry/entry.ts';
import { view, conflictNames } from '../../src/entry/view.ts';
import { makeJobs, runJob } from '../../src/folder/disk-jobs.ts';
import type { WorkCaller } from '../../src/folder/work-threads.ts';
import { Folder } from '../../src/folder/folder.ts';
import { openMarker } from '../../src/folder/marker.ts';
import { fileKey } from '../../src/folder/paths.ts';
import { prepareFolder } from '../../src/folder/prepare.ts';
import type { PartItem } from '../../src/folder/staging.ts';
import { Standing } from '../../src/folder/standing.ts';
import { Replica, type Mutation } from '../../src/replica/replica.ts';
import type { Share } from '../../src/replica/share.ts';
import type { SimMount } from '../../src/simulation/sim-disk.ts';
import { UserFiles } from '../../src/simulation/user-files.ts';
import * as keyspace from '../../src/store/keyspace.ts';
import { MemoryStore } from '../../src/store/memory-store.ts';
import type { Operation, Range, Row, Store, WriteOptions } from '../../src/store/store.ts';
import { seededRandom, smallShare } from '../replica/world.ts';
import { makeWorld } from '../simulation/sim-disk-fixture.ts';

const ROOT = '/share';
const SHARE: Share = { ...smallShare(), chunker: { minBytes: 1_024, maskBits: 8, maxBytes: 2_048 } };
const GEAR = makeGear(SHARE.id);
const PEER = 'aa'.repeat(8);
const FOR_EVER = Number.POSITIVE_INFINITY;

/** What one life may still do. */
class Fuse {
  effects = FOR_EVER;
  readonly #death: Promise<false>;
  #die!: () => void;

  constructor() {
    this.#death = new Promise((resolve) => (this.#die = () => resolve(false)));
  }

  burn(): void {
    if (this.effects-- > 0) return;
    this.#die();
    throw new Error('died');
  }

  /** False if it dies before `work` is done: what a dead host waits for never comes. */
  survives(work: Promise<unknown>): Promise<boolean> {
    const done = work.then(() => true);
    return Promise.race([this.#death, done.catch((error: unknown) => (this.effects < 0 ? false : Promise.reject(error)))]);
  }
}

class MortalStore implements Store {
  readonly #store: Store;
  readonly #fuse: Fuse;

  constructor(store: Store, fuse: Fuse) {
    this.#store = store;
    this.#fuse = fuse;
  }
  get(key: Uint8Array): Uint8Array | undefined {
    return this.#store.get(key);
  }
  async write(operations: readonly Operation[], options: WriteOptions): Promise<void> {
    this.#fuse.burn();
    return this.#store.write(operations, options);
  }
  iterate(range: Range): AsyncIterable<readonly Row[]> {
    return this.#store.iterate(range);
  }
  async close(): Promise<void> {}
  async [Symbol.asyncDispose](): Promise<void> {}
}

class Host {
  readonly #world = makeWorld();
  readonly #rows = new MemoryStore();
  readonly files = new UserFiles(this.#world.fileSystem);
  readonly #linkError: string | undefined;
  fuse = new Fuse();
  replica!: Replica;
  folder!: Folder;
  #mount!: SimMount;
  #sequence = 0;

  private constructor(linkError: string | undefined) {
    this.#linkError = linkError;
  }

  /** `linkError`: what the file system says to symlinks, and so to notes. */
  static async make(files: Readonly<Record<string, string>>, linkError: string | undefined): Promise<Host> {
    const host = new Host(linkError);
    host.files.mkdir(ROOT);
    const clock = { wallMs: () => host.#world.clock.nowMs, monotonicMs: () => host.#world.clock.nowMs };
    await Replica.create(host.#rows, SHARE, clock, seededRandom(1));
    for (const [path, text] of Object.entries(files)) host.files.write(`${ROOT}/${path}`, bytesOf(text), {});
    await host.live(FOR_EVER);
    return host;
  }

  /** Starts it; false if it dies before it has read its folder. */
  async live(effects: number): Promise<boolean> {
    const fuse = new Fuse();
    fuse.effects = effects;
    this.fuse = fuse;
    this.#world.clock.nowMs += 1_000;
    const clock = { wallMs: () => this.#world.clock.nowMs, monotonicMs: () => this.#world.clock.nowMs };
    this.#mount = this.#world.mount({
      effect: () => fuse.burn(),
      fault: (call) => (call === 'symlink' ? this.#linkError : undefined),
      defer: queueMicrotask,
    });
    const store = new MortalStore(this.#rows, fuse);
    const access = this.#mount;
    const thread = (): WorkCaller => {
      const jobs = makeJobs(access.disk, clock);
      return { busy: 0, width: 1, call: async (name, input) => runJob(jobs, name, input), [Symbol.asyncDispose]: async () => undefined };
    };
    const start = async (): Promise<void> => {
      prepareFolder(access.disk, seededRandom(3), ROOT);
      this.replica = Replica.open(store, clock);
      openMarker(access.disk, ROOT, this.replica.share.id, true);
      const world = { clock, timers: realTimers, random: seededRandom(2), log: silentLog };
      const threads = { read: thread(), write: thread(), work: thread() };
      const times = { settleMs: 20, rescanMs: 60_000, minFreeBytes: 0 };
      const standing = new Standing();
      this.folder = await Folder.open({ root: ROOT, replica: this.replica, store, world, access, threads, standing, ...times });
      // It tries again for ever: whoever is dead must be told so.
      this.folder.start().catch(() => undefined);
      await this.folder.whenRead();
    };
    const lives = await fuse.survives(start());
    if (!lives) this.die();
    return lives;
  }

  die(): void {
    this.fuse.effects = -1;
    this.#mount.unmount();
    this.folder[Symbol.asyncDispose]().catch(() => undefined);
  }

  /** Brings the bytes into staging, as a fetch would. */
  async #stage(bytes: Uint8Array): Promise<ContentId> {
    const pages: Operation[] = [];
    const builder = new ContentListBuilder((pageHash, page) =>
      pages.push({ type: 'put', key: keyspace.listPageKey(pageHash), value: Uint8Array.from(page) }),
    );
    const items: PartItem[] = [];
    for (let offset = 0; offset < bytes.length;) {
      const end = nextCut(GEAR, SHARE.chunker, bytes, offset, bytes.length, true)!;
      items.push({ hash: hash('chunk', bytes.subarray(offset, end)), offset, bytes: end - offset, fileOffset: offset });
      builder.add(items.at(-1)!);
      offset = end;
    }
    const { id: content } = builder.finish();
    await this.replica.store.write(pages, { durable: true });
    const { target } = this.folder;
    if (items.length === 1) await target.writeWhole(Uint8Array.from(bytes), items);
    else {
      await target.begin(content, bytes.length);
      await target.write(content, Uint8Array.from(bytes), items);
    }
    await this.folder.finish([content]);
    return content;
  }

  /** Commits what a peer wrote, staged before. `seen`: these versions go. */
  async receive(path: string, text: string | undefined, seen: 'all' | 'its own' | 'nothing', ageMs: number): Promise<Uint8Array> {
    const bytes = bytesOf(text ?? '');
    const value: Value =
      text === undefined
        ? { kind: 'deleted' }
        : { kind: 'file', content: await this.#stage(bytes), bytes: bytes.length, mode: 0o644, mtimeMs: 1_600_000_000_000 };
    const key = fileKey(path);
    const mutation: Mutation = {
      key,
      origin: PEER,
      next: (current) => {
        const dots = (current?.versions ?? []).map(({ dot }) => dot);
        const replaced = dots.filter(({ replica }) => seen === 'all' || (seen === 'its own' && replica === PEER));
        return write(
          current,
          replaced,
          { replica: PEER, sequence: ++this.#sequence },
          { wallMs: this.#world.clock.nowMs - ageMs, counter: 0 },
          value,
        );
      },
      rows: () => this.folder.todoRows(key),
    };
    await this.replica.commit([mutation]);
    return key;
  }

  copyOf(path: string): string {
    return conflictNames(path, view(this.replica.entry(fileKey(path))).others)[0]!;
  }

  /** Users delete all that they see. */
  clear(): void {
    for (const path of Object.keys(this.shown())) this.files.remove(`${ROOT}/${path}`);
  }

  /** What users see, by path. */
  shown(): Record<string, string> {
    const own = `${ROOT}/.sameroot`;
    const found = [...this.files.below(ROOT, (path) => path === own)].filter(([path]) => path !== own);
    return Object.fromEntries(
      found.map(([path, { bytes }]) => [path.slice(ROOT.length + 1), Buffer.from(bytes).toString().split('\n')[0]!]),
    );
  }
}

/** What is called large has several chunks. */
function bytesOf(text: string): Uint8Array {
  return text.startsWith('large')
    ? Buffer.concat([utf8(`${text}\n`), seededRandom(text.length * 31 + text.charCodeAt(6)).bytes(4_000)])
    : utf8(text);
}

interface Death {
  readonly host: Host;
  /** It was through before it died. */
  readonly through: boolean;
  readonly keys: readonly Uint8Array[];
  /** What is to be shown in the end. */
  readonly wanted: Readonly<Record<string, string>>;
  readonly root: Uint8Array;
}

/** A peer has won `a`, lost `b`, deleted `c` and made `d`. Dies after some effects of showing that; unless it is through before. */
async function dieSeveral(effects: number, linkError: string | undefined): Promise<Death> {
  const host = await Host.make({ a: 'large ours of a', b: 'ours of b', c: 'ours of c' }, linkError);
  const keys = [
    await host.receive('a', 'theirs of a', 'nothing', -60_000),
    await host.receive('b', 'large theirs of b', 'nothing', 1e11),
    await host.receive('c', undefined, 'all', -60_000),
    await host.receive('d', 'theirs of d', 'all', -60_000),
  ];
  const copies = { [host.copyOf('a')]: 'large ours of a', [host.copyOf('b')]: 'large theirs of b' };
  const wanted = { a: 'theirs of a', b: 'ours of b', d: 'theirs of d', ...copies };
  host.fuse.effects = effects;
  const through = await host.fuse.survives(host.folder.project(keys));
  host.die();
  return { host, keys, through, wanted, root: host.replica.head.root };
}

/** A peer has won, and deletes its own version: the conflict copy takes the name. Dies after some effects of showing that. */
async function dieMovingCopy(effects: number, linkError: string | undefined): Promise<Death> {
  const host = await Host.make({ a: 'ours of a' }, linkError);
  const keys = [await host.receive('a', 'theirs of a', 'nothing', -60_000)];
  await host.folder.project(keys);
  await host.receive('a', undefined, 'its own', -60_000);
  host.fuse.effects = effects;
  const through = await host.fuse.survives(host.folder.project(keys));
  host.die();
  return { host, keys, through, wanted: { a: 'ours of a' }, root: host.replica.head.root };
}

/** Some deaths while it shows, each with some deaths of the start after it; `meanwhile`: between the two. */
async function forAllDeaths(
  dieShowing: (effects: number) => Promise<Death>,
  countMin: number,
  meanwhile: (host: Host) => void,
  check: (death: Death, when: string) => Promise<void>,
): Promise<void> {
  let count = 0;
  for (let first = 0, through = false; !through; first++) {
    for (let second = 0, started = false; !started; second++, count++) {
      const death = await dieShowing(first);
      through = death.through;
      meanwhile(death.host);
      started = await death.host.live(second);
      if (started) death.host.die();
      expect(await death.host.live(FOR_EVER)).toBe(true);
      await check(death, `died before effect ${first} of showing and ${second} of the start`);
      death.host.die();
    }
  }
  expect(count).toBeGreaterThan(countMin);
}

test.each([
  ['of what others wrote', dieSeveral, 400, undefined],
  ['of what others wrote, where the file system has no links for notes', dieSeveral, 400, 'EPERM'],
  ['of a conflict copy on its way to the name of the winner', dieMovingCopy, 50, undefined],
  ['of such a copy, where the file system has no links for notes', dieMovingCopy, 50, 'EPERM'],
] as const)('nothing %s passes for an edit, and all of it is shown', { timeout: 120_000 }, async (_what, die, countMin, linkError) => {
  await forAllDeaths(
    (effects) => die(effects, linkError),
    countMin,
    () => undefined,
    async ({ host, keys, wanted, root }, when) => {
      expect(await host.folder.project(keys), when).toMatchObject({ dirty: [], missing: [], waiting: [] });
      expect(host.shown(), when).toEqual(wanted);
      expect(Buffer.from(host.replica.head.root).toString('hex'), when).toBe(Buffer.from(root).toString('hex'));
    },
  );
});

test('what users delete in between is what they saw, and nothing else', { timeout: 120_000 }, async () => {
  let seen: string[] = [];
  await forAllDeaths(
    (effects) => dieSeveral(effects, undefined),
    400,
    (host) => {
      seen = Object.values(host.shown());
      host.clear();
    },
    async ({ host, keys, wanted }, when) => {
      expect(await host.folder.project(keys), when).toMatchObject({ dirty: [], missing: [], waiting: [] });
      const left = Object.values(wanted).filter((text) => !seen.includes(text));
      expect(Object.values(host.shown()).toSorted(), when).toEqual(left.toSorted());
    },
  );
});
