/** A shared folder on a real disk with a replica, and a peer that writes into the replica. */
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, lstatSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { realTimers } from '../../src/app/real-world.ts';
import { byteKey } from '../../src/base/bytes.ts';
import { silentLog, type Clock } from '../../src/base/world.ts';
import { makeGear, nextCut } from '../../src/content/chunker.ts';
import { ContentListBuilder, contentLevel, type ChunkRef, type ContentId } from '../../src/content/content-list.ts';
import { hash } from '../../src/content/hash.ts';
import { write, type Dot, type Value } from '../../src/entry/entry.ts';
import type { JobCaller } from '../../src/folder/disk-jobs.ts';
import type { Disk, DiskAccess } from '../../src/folder/disk.ts';
import { PathGate } from '../../src/folder/gate.ts';
import { recordInterrupted } from '../../src/folder/interrupted.ts';
import { Materialiser } from '../../src/folder/materialise.ts';
import { fileKey } from '../../src/folder/paths.ts';
import { RealDiskAccess, realDisk } from '../../src/folder/real-disk.ts';
import { Standing } from '../../src/folder/standing.ts';
import { Staging } from '../../src/folder/staging.ts';
import { Trash } from '../../src/folder/trash.ts';
import type { WorkCaller } from '../../src/folder/work-threads.ts';
import { Replica, type Mutation } from '../../src/replica/replica.ts';
import { createShare } from '../../src/replica/share.ts';
import * as keyspace from '../../src/store/keyspace.ts';
import { MemoryStore } from '../../src/store/memory-store.ts';
import type { Operation, Range, Row, Store, WriteOptions } from '../../src/store/store.ts';
import { inlineThread } from './ingest-world.ts';

export class TestClock implements Clock {
  ms = Date.now();
  wallMs(): number {
    return this.ms;
  }
  monotonicMs(): number {
    return this.ms;
  }
}

const random = { bytes: (count: number): Uint8Array => Buffer.alloc(count, 7), fraction: (): number => 0.5 };
const SHARE = createShare('test', '0'.repeat(64), random);
const GEAR = makeGear(SHARE.id);

/** What a peer says should be at a path; `undefined` = deleted. */
export type Thing =
  | { readonly kind: 'file'; readonly data: Uint8Array | string; readonly mode?: number; readonly mtimeMs?: number }
  | { readonly kind: 'symlink'; readonly target: string }
  | { readonly kind: 'directory'; readonly mode?: number }
  | undefined;

export const MTIME_MS = 1_600_000_000_123;

export interface Chunked {
  readonly id: ContentId;
  readonly data: Uint8Array;
  readonly refs: readonly (ChunkRef & { readonly offset: number })[];
}

class Killed extends Error {}

class DyingStore implements Store {
  readonly #store: Store;
  #writesLeft: number;

  constructor(store: Store, writes: number) {
    this.#store = store;
    this.#writesLeft = writes;
  }
  get(key: Uint8Array): Uint8Array | undefined {
    return this.#store.get(key);
  }
  async write(operations: readonly Operation[], options: WriteOptions): Promise<void> {
    if (this.#writesLeft-- <= 0) throw new Killed();
    return this.#store.write(operations, options);
  }
  iterate(range: Range): AsyncIterable<readonly Row[]> {
    return this.#store.iterate(range);
  }
  async close(): Promise<void> {}
  async [Symbol.asyncDispose](): Promise<void> {}
}

export class Fixture {
  readonly root: string;
  readonly clock = new TestClock();
  readonly access: DiskAccess;
  readonly thread: JobCaller;
  gate = new PathGate();
  store: Store;
  replica!: Replica;
  staging!: Staging;
  trash!: Trash;
  materialiser!: Materialiser;
  readonly standing = new Standing();
  #sequence = 0;

  private constructor(root: string, thread: JobCaller, access: DiskAccess, store: Store) {
    this.root = root;
    this.thread = thread;
    this.access = access;
    this.store = store;
  }

  static async make(thread: JobCaller, access: DiskAccess = new RealDiskAccess()): Promise<Fixture> {
    const fixture = new Fixture(mkdtempSync(join(tmpdir(), 'sameroot-folder-')), thread, access, new MemoryStore());
    try {
      await Replica.create(fixture.store, SHARE, fixture.clock, random);
      await fixture.open(fixture.store);
    } catch (error) {
      fixture.dispose();
      throw error;
    }
    return fixture;
  }

  /**
   * On the real disk, but nothing is flushed: for tests of hundreds of folders or thousands of files, where flushes are nine
   * tenths of the time. No death in these tests takes away what the system has been given, so nothing here can tell.
   */
  static makeUnflushed(): Promise<Fixture> {
    const flushLater: Disk['flushLater'] = (_handle, done) => void setImmediate(done, undefined);
    const disk: Disk = { ...realDisk, flush: () => undefined, flushLater };
    const access = Object.assign(new RealDiskAccess(), { disk, makeDurable: () => Promise.resolve() });
    return Fixture.make(inlineThread(disk), access);
  }

  /** As after a restart, with this store. */
  async open(store: Store): Promise<void> {
    this.store = store;
    this.replica = Replica.open(store, this.clock);
    this.gate = new PathGate();
    const { root, clock, access, thread: writeThread, gate, replica } = this;
    const timers = realTimers;
    const minFreeBytes = 0;
    await recordInterrupted({ root, replica, access, writeThread });
    const work = workOf(writeThread);
    this.staging = await Staging.open({ root, access, writeThread, work, clock, minFreeBytes }, await Materialiser.wantedContents(replica));
    this.trash = new Trash({ root, store, access, writeThread, clock, log: silentLog, maxBytes: undefined });
    const { staging, trash } = this;
    this.materialiser = new Materialiser({
      root,
      replica,
      staging,
      trash,
      gate,
      access,
      writeThread,
      clock,
      timers,
      log: silentLog,
      standing: this.standing,
    });
  }

  /** As after a kill: `run` dies at its write number `writes` to the database, the disk stays as it is then, but for what users do. */
  async kill(writes: number, run: () => Promise<unknown>, meanwhile: () => unknown = () => undefined): Promise<void> {
    const { store } = this;
    await this.open(new DyingStore(store, writes));
    try {
      await run();
    } catch (error) {
      if (!(error instanceof Killed)) throw error;
    }
    await meanwhile();
    await this.open(store);
  }

  chunk(data: Uint8Array | string): Chunked {
    const bytes = typeof data === 'string' ? Buffer.from(data) : data;
    const refs: (ChunkRef & { offset: number })[] = [];
    const pages: (readonly [Uint8Array, Uint8Array])[] = [];
    const builder = new ContentListBuilder((pageHash, page) => pages.push([pageHash, page]));
    for (let offset = 0; offset < bytes.length;) {
      const end = nextCut(GEAR, SHARE.chunker, bytes, offset, bytes.length, true)!;
      const ref = { hash: hash('chunk', bytes.subarray(offset, end)), bytes: end - offset, offset };
      refs.push(ref);
      builder.add(ref);
      offset = end;
    }
    const content = builder.finish();
    void this.store.write(
      pages.map(([pageHash, page]) => ({ type: 'put', key: keyspace.listPageKey(pageHash), value: page })),
      { durable: true },
    );
    return { id: content.id, data: bytes, refs };
  }

  /** Brings a content into staging, as a fetch would. */
  async stage(data: Uint8Array | string): Promise<ContentId> {
    const { id, data: bytes, refs } = this.chunk(data);
    if (this.staging.complete(id)) return id;
    if (contentLevel(id) === 0) {
      await this.staging.writeWhole(new Uint8Array(bytes), [{ hash: refs[0]!.hash, offset: 0, bytes: bytes.length }]);
    } else {
      await this.staging.openPart(id, bytes.length);
      const items = refs.map(({ hash, bytes, offset }) => ({ hash, bytes, offset, fileOffset: offset }));
      await this.staging.writePart(id, new Uint8Array(bytes), items);
    }
    await this.staging.finish([id]);
    return id;
  }

  value(thing: Thing): Value {
    if (thing === undefined) return { kind: 'deleted' };
    if (thing.kind === 'symlink') return { kind: 'symlink', target: Buffer.from(thing.target) };
    if (thing.kind === 'directory') return { kind: 'directory', mode: thing.mode ?? 0o755 };
    const { id, data } = this.chunk(thing.data);
    return { kind: 'file', content: id, bytes: data.length, mode: thing.mode ?? 0o644, mtimeMs: thing.mtimeMs ?? MTIME_MS };
  }

  /** Commits what a peer wrote, with the todo rows; `seen` = everything there, or no version of it. */
  async commit(things: Readonly<Record<string, Thing>>, seen: 'all' | 'nothing' = 'all', peer = 'aaaaaaaaaaaaaaaa'): Promise<Uint8Array[]> {
    const mutations = Object.entries(things).map(([path, thing]): Mutation => {
      const value = this.value(thing);
      const dot: Dot = { replica: peer, sequence: ++this.#sequence };
      const key = fileKey(path);
      return {
        key,
        origin: peer,
        next: (current) =>
          write(
            current,
            seen === 'all' ? (current?.versions ?? []).map((v) => v.dot) : [],
            dot,
            { wallMs: this.clock.ms, counter: dot.sequence },
            value,
          ),
        rows: () => this.materialiser.todoRows(key),
      };
    });
    await this.replica.commit(mutations);
    return mutations.map(({ key }) => key);
  }

  /** Stages and commits. */
  async receive(things: Readonly<Record<string, Thing>>, seen: 'all' | 'nothing' = 'all', peer?: string): Promise<Uint8Array[]> {
    for (const thing of Object.values(things)) if (thing?.kind === 'file' && thing.data.length > 0) await this.stage(thing.data);
    return this.commit(things, seen, peer);
  }

  /** Everything in the folder but our own: path -> what `show` says. */
  tree(folder = ''): Record<string, string> {
    const found: Record<string, string> = {};
    for (const name of readdirSync(join(this.root, folder)).toSorted()) {
      const path = folder === '' ? name : `${folder}/${name}`;
      if (path === '.sameroot') continue;
      found[path] = this.show(path);
      if (found[path].startsWith('dir')) Object.assign(found, this.tree(path));
    }
    return found;
  }

  show(path: string): string {
    const stats = lstatSync(join(this.root, path));
    if (stats.isSymbolicLink()) return `link ${readlinkSync(join(this.root, path))}`;
    const mode = (stats.mode & 0o7777).toString(8);
    if (stats.isDirectory()) return `dir ${mode}`;
    return `file ${mode} ${Math.floor(stats.mtimeMs)} ${digest(readFileSync(join(this.root, path)))}`;
  }

  async todo(): Promise<number> {
    let count = 0;
    for await (const rows of this.store.iterate(keyspace.prefixRange(keyspace.PREFIX.pending))) count += rows.length;
    return count;
  }

  dispose(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}

function digest(bytes: Uint8Array): string {
  return bytes.length <= 64 ? JSON.stringify(byteKey(bytes)) : Buffer.from(hash('chunk', bytes)).toString('hex', 0, 8);
}

/** What `Fixture.show` says of a thing. */
export function shown(thing: Thing): string | undefined {
  if (thing === undefined) return undefined;
  if (thing.kind === 'symlink') return `link ${thing.target}`;
  if (thing.kind === 'directory') return `dir ${(thing.mode ?? 0o755).toString(8)}`;
  const data = typeof thing.data === 'string' ? Buffer.from(thing.data) : thing.data;
  return `file ${(thing.mode ?? 0o644).toString(8)} ${thing.mtimeMs ?? MTIME_MS} ${digest(data)}`;
}

/** A thread as a pool of one. */
export function workOf(thread: JobCaller): WorkCaller {
  return {
    width: 1,
    get busy() {
      return thread.busy;
    },
    call: (name, input, transfer) => thread.call(name, input, transfer),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** Bytes that do not repeat, from a seed. */
export function noise(bytes: number, seed = 1): Uint8Array {
  const out = new Uint8Array(bytes);
  let state = seed * 2_654_435_761;
  for (let at = 0; at < bytes; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    out[at] = state >>> 24;
  }
  return out;
}
