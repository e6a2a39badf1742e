/**
 * Removals by which we take a version from one path to show it at another (a conflict copy that takes the name of the winner),
 * from before the first of them until it is known what became of it.
 *
 * Invariant: while it may be that we have removed what the row of a path says, and the row does not know, the path is here,
 * durably. So of a path that is not here, and where nothing lies, a user has removed that version: it must not come back from a
 * peer. Were a path not here that we have emptied, a version that nobody removed would be taken for removed, everywhere.
 *
 * That is why it is written to the database and flushed first: one write of some ms for a batch that does such a thing, which few do.
 */
import { ByteReader, ByteWriter, fromUtf8, utf8, badEncoding } from '../base/bytes.ts';
import { KEY_BYTES_MAX } from '../base/limits.ts';
import * as keyspace from '../store/keyspace.ts';
import type { Operation, Store } from '../store/store.ts';

const BEGUN: Uint8Array = keyspace.metaKey('removals');

export class BegunRemovals {
  readonly #store: Store;
  readonly #paths: Set<string>;

  /** @throws {SamerootError} `BAD_ENCODING` */
  constructor(store: Store) {
    this.#store = store;
    this.#paths = new Set(decode(store.get(BEGUN)));
  }

  has(path: string): boolean {
    return this.#paths.has(path);
  }

  /** To be called before the disk is touched. @throws the errors of a write; then nothing may be removed */
  async begin(paths: readonly string[]): Promise<void> {
    const begun = new Set([...this.#paths, ...paths]);
    if (begun.size === this.#paths.size) return;
    await this.#store.write([rowOf(begun)], { durable: true });
    for (const path of paths) this.#paths.add(path);
  }

  /** What became of these is known. The row goes into the write that says what. */
  end(paths: readonly string[]): Operation[] {
    const known = paths.filter((path) => this.#paths.delete(path));
    return known.length === 0 ? [] : [rowOf(this.#paths)];
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
