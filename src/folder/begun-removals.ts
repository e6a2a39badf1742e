/**
 * Removals by which we take a version from one path to show it at another (a conflict copy that takes the name of the winner),
 * from before the first of them until it is known what became of it.
 *
 * Invariant: while it may be that we have removed what the row of a path says, and the row does not know, the path is here,
 * durably. So of a path that is not here, and where nothing lies, a user has removed that version: it must not come back from a
 * peer. Were a path not here that we have emptied, a version that nobody removed would be taken for removed, everywhere. And
 * nobody looks at a path that is here before it is settled: at the start, and as a debt at the gate.
 *
 * That is why it is written to the database and flushed first: one write of some ms for a batch that does such a thing, which few do.
 */
import { ByteReader, ByteWriter, fromUtf8, utf8, badEncoding } from '../base/bytes.ts';
import { SamerootError } from '../base/errors.ts';
import { KEY_BYTES_MAX } from '../base/limits.ts';
import type { Replica } from '../replica/replica.ts';
import * as keyspace from '../store/keyspace.ts';
import type { Operation } from '../store/store.ts';
import type { JobCaller } from './disk-jobs.ts';
import { WALK_KINDS } from './folder-walk.ts';
import { getPlaced, unplaceRows } from './placed.ts';

const BEGUN: Uint8Array = keyspace.metaKey('removals');

export interface BegunRemovalsOptions {
  readonly root: string;
  readonly replica: Replica;
  readonly writeThread: JobCaller;
}

export class BegunRemovals {
  readonly #options: BegunRemovalsOptions;
  readonly #paths: Set<string>;

  /** @throws {SamerootError} `BAD_ENCODING` */
  constructor(options: BegunRemovalsOptions) {
    this.#options = options;
    this.#paths = new Set(decode(options.replica.store.get(BEGUN)));
  }

  get paths(): readonly string[] {
    return [...this.#paths];
  }

  /**
   * To be called before the disk is touched. Where nothing lies, nothing is begun: that was a user. (What comes back there has
   * another time of change than its row, and is left alone.)
   * @throws the errors of `settle`; then nothing may be removed
   */
  async begin(paths: readonly string[]): Promise<void> {
    const begun = new Set(this.#paths);
    for (const [path, isThere] of await this.#look(paths.filter((path) => !begun.has(path)))) if (isThere) begun.add(path);
    if (begun.size === this.#paths.size) return;
    await this.#options.replica.store.write([rowOf(begun)], { durable: true });
    for (const path of begun) this.#paths.add(path);
  }

  /** What became of these is known. The row goes into the write that says what. */
  end(paths: readonly string[]): Operation[] {
    const known = paths.filter((path) => this.#paths.delete(path));
    return known.length === 0 ? [] : [rowOf(this.#paths)];
  }

  /**
   * Ends those of which nobody could say what became of them: they are of an earlier run, or the disk did not tell. What is gone was
   * taken away by us, so its row goes.
   * @throws {SamerootError} `IO_ERROR`, ..., or the errors of a write; then nothing has ended
   */
  async settle(): Promise<void> {
    if (this.#paths.size === 0) return;
    const { store } = this.#options.replica;
    const rows = [...(await this.#look([...this.#paths]))].flatMap(([path, isThere]) => {
      const row = isThere ? undefined : getPlaced(store, path);
      return row === undefined ? [] : unplaceRows(path, row);
    });
    await store.write([...rows, rowOf(new Set())], { durable: true });
    this.#paths.clear();
  }

  /** Whether something lies there. */
  async #look(paths: string[]): Promise<Map<string, boolean>> {
    if (paths.length === 0) return new Map();
    const { root, writeThread } = this.#options;
    const { kinds, problems } = await writeThread.call('look', { root, paths });
    for (const { code, path, message } of problems) throw new SamerootError(code, message, { path });
    return new Map(paths.map((path, at) => [path, WALK_KINDS[kinds[at]!] !== undefined]));
  }
}

function rowOf(paths: ReadonlySet<string>): Operation {
  if (paths.size === 0) return { type: 'del', key: BEGUN };
  const writer = new ByteWriter();
  for (const path of paths) writer.sized(utf8(path));
  return { type: 'put', key: BEGUN, value: writer.finish() };
}

function* decode(row: Uint8Array | undefined): Generator<string> {
  if (row === undefined) return;
  const reader = new ByteReader(row);
  while (reader.remaining > 0) {
    const path = fromUtf8(reader.sized(KEY_BYTES_MAX));
    if (path === undefined) throw badEncoding('a path of a removal that was begun is not UTF-8');
    yield path;
  }
}
