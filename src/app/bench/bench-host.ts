/**
 * A host of a share that only this process knows, to measure with: replica, database and folder are those of a node, and
 * what is timed is what a first sync does on this side of the wire. As target it takes contents in, verifies, flushes,
 * commits and shows them; as source it reads a folder and gives bytes out.
 */
import { join } from 'node:path';
import { SamerootError } from '../../base/errors.ts';
import { CHUNK_FRAME_BYTES_MAX, FETCH_WINDOW_BYTES } from '../../base/limits.ts';
import { silentLog, type World } from '../../base/world.ts';
import type { ContentId } from '../../content/content-list.ts';
import { write, type Value } from '../../entry/entry.ts';
import type { JobCaller } from '../../folder/disk-jobs.ts';
import type { DiskAccess } from '../../folder/disk.ts';
import type { DiskThreads } from '../../folder/disk-threads.ts';
import { Folder } from '../../folder/folder.ts';
import type { WorkCaller } from '../../folder/work-threads.ts';
import { fileKey, OWN_FOLDER } from '../../folder/paths.ts';
import { Standing } from '../../folder/standing.ts';
import { Replica, type Mutation } from '../../replica/replica.ts';
import type { Share } from '../../replica/share.ts';
import * as keyspace from '../../store/keyspace.ts';
import { openLevelStore } from '../../store/level-store.ts';
import type { Store } from '../../store/store.ts';
import type { Control } from './control.ts';
import { SMALL_FILE_BYTES, type Frame, type LargeContent, type SmallContents } from './payload.ts';

/** What hosts have in common: the disk, its threads, the share. */
export interface Ground {
  readonly world: World;
  readonly access: DiskAccess;
  readonly threads: DiskThreads;
  readonly share: Share;
}

const FILE_MODE = 0o644;
const FRAMES_AHEAD: number = FETCH_WINDOW_BYTES / CHUNK_FRAME_BYTES_MAX;
/** Nothing happens by itself while a host is measured. */
const NEVER_MS: number = 2 ** 31 - 1;

export class BenchHost implements AsyncDisposable {
  readonly #ground: Ground;
  readonly #root: string;
  readonly #replica: Replica;
  readonly #store: Store;
  readonly #folder: Folder;

  private constructor(ground: Ground, root: string, replica: Replica, folder: Folder) {
    this.#ground = ground;
    this.#root = root;
    this.#replica = replica;
    this.#store = replica.store;
    this.#folder = folder;
  }

  /** `root`: a folder that is no host's. @throws {SamerootError} `DISK_FULL`, `IO_ERROR` */
  static async open(ground: Ground, root: string): Promise<BenchHost> {
    const { world, access, share } = ground;
    const own = join(root, OWN_FOLDER);
    access.disk.mkdir(own, { recursive: true });
    const store = await openLevelStore(join(own, 'db'));
    try {
      const replica = await Replica.create(store, share, world.clock, world.random);
      const threads = lent(ground.threads);
      const settings = { settleMs: 0, rescanMs: NEVER_MS, minFreeBytes: undefined, standing: new Standing() };
      const quiet = { ...world, log: silentLog };
      return new BenchHost(ground, root, replica, await Folder.open({ root, replica, store, world: quiet, access, threads, ...settings }));
    } catch (error) {
      await store.close();
      throw error;
    }
  }

  /** A content of several chunks, from the first frame to the file that users see. */
  async receiveLarge(path: string, content: LargeContent, frames: Iterable<Frame>, control: Control, what: string): Promise<void> {
    const { target } = this.#folder;
    const { id, bytes } = content;
    const pages = content.listPages.map(({ hash, page }) => ({ type: 'put' as const, key: keyspace.listPageKey(hash), value: page }));
    await this.#store.write(pages, { durable: false });
    await target.begin(id, bytes);
    await ahead(frames, ({ bytes: frame, items }) => {
      control.at(what);
      return target.write(id, frame, items);
    });
    control.at(`${what}: flush`);
    await control.orStop(this.#land([{ path, value: fileValue(id, bytes, this.#ground.world.clock.wallMs()) }]));
  }

  /** Contents of one chunk, as many files in `folder`. */
  async receiveSmall(folder: string, { ids, frames }: SmallContents, control: Control, what: string): Promise<void> {
    await ahead(frames, ({ bytes: frame, items }) => {
      control.at(what);
      return this.#folder.target.writeWhole(frame, items);
    });
    control.at(`${what}: flush`);
    const nowMs = this.#ground.world.clock.wallMs();
    const files = ids.map((id, at) => ({ path: `${folder}/${at}.bin`, value: fileValue(id, SMALL_FILE_BYTES, nowMs) }));
    await control.orStop(this.#land(files));
  }

  /** Flush, commit, show: in this order, as `node/intake.ts` does it. */
  async #land(files: readonly { readonly path: string; readonly value: Value & { readonly kind: 'file' } }[]): Promise<void> {
    await this.#folder.finish(files.map(({ value }) => value.content));
    const mutations = files.map(({ path, value }): Mutation => {
      const key = fileKey(path);
      return {
        key,
        next: (_current, author) => write(undefined, [], author.dot(), author.stamp(), value),
        rows: () => this.#folder.todoRows(key),
      };
    });
    await this.#replica.commit(mutations);
    const { done } = await this.#folder.project(mutations.map(({ key }) => key));
    if (done.length < files.length) throw this.#problem(`${files.length - done.length} files are not shown`);
  }

  /** Reads the folder: watches, scan, chunks, hashes, commits. `files`: how many are there. */
  async index(files: number, control: Control, what: string): Promise<void> {
    control.at(what);
    // It tries again until it is closed; one attempt is all that is waited for.
    this.#folder.start().catch(() => undefined);
    await control.orStop(this.#folder.whenRead());
    const { live } = this.#replica.head.tree;
    if (live < files) throw this.#problem(`${live} of ${files} files were read`);
  }

  /** The content at `path`, in the pieces in which a peer asks for it. Returns how many bytes that were. */
  async readAll(path: string, control: Control, what: string): Promise<number> {
    const value = this.#replica.entry(fileKey(path))?.versions[0]?.value;
    if (value?.kind !== 'file') throw this.#problem(`${path} was not read`);
    await ahead(pieces(value.bytes), async (piece) => {
      control.at(what);
      if ((await this.#folder.read(value.content, [piece])) === undefined) throw this.#problem(`${path} has changed meanwhile`);
      return [true];
    });
    return value.bytes;
  }

  #problem(what: string): SamerootError {
    const [first] = this.#folder.problems;
    return new SamerootError(first?.code ?? 'IO_ERROR', first === undefined ? what : `${what}: ${first.path}: ${first.message}`, {
      path: this.#root,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#folder[Symbol.asyncDispose]();
    await this.#replica.idle();
    await this.#store.close();
  }
}

function fileValue(content: ContentId, bytes: number, mtimeMs: number): Value & { readonly kind: 'file' } {
  return { kind: 'file', content, bytes, mode: FILE_MODE, mtimeMs: Math.floor(mtimeMs) };
}

function* pieces(bytes: number): Generator<{ readonly offsetBytes: number; readonly bytes: number }> {
  for (let offsetBytes = 0; offsetBytes < bytes; offsetBytes += CHUNK_FRAME_BYTES_MAX) {
    yield { offsetBytes, bytes: Math.min(CHUNK_FRAME_BYTES_MAX, bytes - offsetBytes) };
  }
}

/** A folder closes the threads that it was given; these go on with the next one. */
function lent({ read, write, work }: DiskThreads): DiskThreads {
  return { read: unclosed(read), write: unclosed(write), work: unclosed(work, work.width) };
}

function unclosed(thread: JobCaller, width = 1): WorkCaller {
  return {
    width,
    get busy() {
      return thread.busy;
    },
    call: (name, input, transfer) => thread.call(name, input, transfer),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/**
 * As many calls at a time as a peer has frames under way. Each says which of its chunks are good.
 * @throws the first failure; the calls that are under way then end by themselves
 */
async function ahead<T>(inputs: Iterable<T>, call: (input: T) => Promise<readonly boolean[]>): Promise<void> {
  const running: Promise<void>[] = [];
  const checked = async (input: T): Promise<void> => {
    const results = await call(input);
    if (!results.every(Boolean)) throw new SamerootError('IO_ERROR', 'what was written is not what was to be written');
  };
  for (const input of inputs) {
    const work = checked(input);
    work.catch(() => undefined);
    running.push(work);
    if (running.length >= FRAMES_AHEAD) await running.shift();
  }
  await Promise.all(running);
}
