/**
 * Which keys have concurrent versions, and how one of them is chosen.
 *
 * Counted once in the background, then kept by following the commits. Each slice of the count reads the head of its
 * moment: what was committed meanwhile is never overwritten with what was before, and no old tree has to be kept from
 * the garbage collection.
 *
 * Invariant: a choice is a write like any other. It replaces the versions that are there when it is committed, so what
 * somebody writes elsewhere at the same time stays beside it, as a new conflict.
 */
import { byteKey, EMPTY_BYTES, fromByteKey, utf8 } from '../base/bytes.ts';
import { SamerootError } from '../base/errors.ts';
import { nextTurn, type Timers } from '../base/world.ts';
import { decodeEntry } from '../entry/entry-codec.ts';
import { write, type Entry, type Version } from '../entry/entry.ts';
import { view } from '../entry/view.ts';
import type { Mutation, Replica } from '../replica/replica.ts';
import type { Operation } from '../store/store.ts';
import { walk } from '../tree/walk.ts';
import type { ConflictsResult, ConflictStatus, ResolveResult, VersionStatus } from './answers.ts';
import { isMemberKey } from './member-record.ts';
import { dotsOf, etagOf, matches } from './records.ts';
import { dotText, keyText, liveVersions, rivals, type Telling } from './versions.ts';

const SLICE = 2_000;
/** Shorter beginnings of an id name nobody. */
const ID_DIGITS_MIN = 4;

export class Conflicts {
  readonly #replica: Replica;
  readonly #timers: Timers;
  readonly #keys = new Set<string>();
  readonly #stop: () => void;
  #complete = false;
  #stopped = false;

  constructor(replica: Replica, timers: Timers) {
    this.#replica = replica;
    this.#timers = timers;
    this.#stop = replica.onCommit((commit) => {
      for (const { key, entry } of commit.keys) this.#look(key, entry);
    });
    void this.#count();
  }

  get size(): number {
    return this.#keys.size;
  }

  close(): void {
    this.#stopped = true;
    this.#stop();
  }

  /** A page of them, in key order. `after`: the last key of the page before. */
  list({ after, limit }: { readonly after: string | undefined; readonly limit: number }, telling: Telling): ConflictsResult {
    const from = after === undefined ? '' : byteKey(utf8(after));
    const keys = [...this.#keys].filter((key) => key > from).sort();
    const items = keys.slice(0, limit).flatMap((id) => conflictAt(fromByteKey(id), this.#replica, telling) ?? []);
    return { items, next: keys.length > limit ? items.at(-1)?.key : undefined, complete: this.#complete };
  }

  async #count(): Promise<void> {
    let from: Uint8Array | undefined = EMPTY_BYTES;
    while (from !== undefined && !this.#stopped) {
      from = this.#countSlice(from);
      if (from === undefined) this.#complete = true;
      else await nextTurn(this.#timers);
    }
  }

  /** The last key of a full slice, where the next one begins; undefined at the end. */
  #countSlice(from: Uint8Array): Uint8Array | undefined {
    let inSlice = 0;
    for (const { key, value } of walk(this.#replica.reader, this.#replica.head.tree, { from })) {
      this.#look(key, decodeEntry(value));
      if (++inSlice >= SLICE) return key;
    }
    return undefined;
  }

  #look(key: Uint8Array, entry: Entry | undefined): void {
    const id = byteKey(key);
    if (!isMemberKey(key) && rivals(view(entry)).length > 0) this.#keys.add(id);
    else this.#keys.delete(id);
  }
}

function conflictAt(key: Uint8Array, replica: Replica, telling: Telling): ConflictStatus | undefined {
  const entry = replica.entry(key);
  return entry === undefined ? undefined : { key: keyText(key), versions: liveVersions(key, entry, telling), etag: etagOf(entry) };
}

export interface ResolveParts {
  /** Commits while the disk shows what the entry says, if it is one of a path. */
  readonly commit: (mutation: Mutation) => Promise<unknown>;
  readonly telling: Telling;
  /** Rows that remember, in the commit's own batch, that the key is still to be shown on disk. */
  readonly todoRows: (key: Uint8Array) => readonly Operation[];
  /** Shows it. */
  readonly project: (keys: readonly Uint8Array[]) => Promise<void>;
}

/**
 * One version stays, the others go. Resolves when that is committed and the disk shows it, or will.
 * @throws {SamerootError} `NOT_FOUND` if the key has no concurrent versions, or none that is called `keep`; `STALE_WRITE`
 */
export async function resolveConflict(
  parts: ResolveParts,
  key: Uint8Array,
  keep: string,
  ifMatch: string | undefined,
): Promise<ResolveResult> {
  const { commit, telling } = parts;
  let chosen: Version | SamerootError | undefined;
  let dropped = 0;
  let written: Entry | undefined;
  const mutation: Mutation = {
    key,
    // A refusal is not thrown here: to the replica that would be a commit that failed.
    next: (current, author) => {
      chosen = matches(current, ifMatch) ? choose(key, current, keep, telling) : stale(key);
      written = undefined;
      if (chosen instanceof SamerootError) return current;
      dropped = liveVersions(key, current, telling).length - 1;
      written = write(current, dotsOf(current), author.dot(), author.stamp(), chosen.value);
      return written;
    },
    rows: () => (written === undefined ? [] : parts.todoRows(key)),
  };
  await commit(mutation);
  if (chosen instanceof SamerootError) throw chosen;
  await parts.project([key]);
  // As this write left it: another one in the same commit may have gone on from there.
  return { key: keyText(key), kept: liveVersions(key, written, telling)[0]!, dropped };
}

function stale(key: Uint8Array): SamerootError {
  return new SamerootError('STALE_WRITE', `${keyText(key)} has other versions by now`);
}

/** The one version that is called so, or why there is none. */
function choose(key: Uint8Array, entry: Entry | undefined, keep: string, telling: Telling): Version | SamerootError {
  const versions = liveVersions(key, entry, telling);
  if (versions.length < 2) return new SamerootError('NOT_FOUND', `${keyText(key)} has no concurrent versions`);
  const named = versions.filter((version) => isCalled(version, keep));
  const found = named.length > 0 ? named : versions.filter((version) => isBy(version, keep));
  if (found.length !== 1) {
    const what = found.length === 0 ? 'no version' : `${found.length} versions`;
    const names = versions.map(({ name }) => JSON.stringify(name)).join(', ');
    return new SamerootError('NOT_FOUND', `${keyText(key)} has ${what} called ${JSON.stringify(keep)}; it has ${names}`);
  }
  return entry!.versions.find(({ dot }) => dotText(dot) === found[0]!.id)!;
}

/** By path, name of the file, key, or id. */
function isCalled({ name, id }: VersionStatus, keep: string): boolean {
  return name === keep || id === keep || name.slice(name.lastIndexOf('/') + 1) === keep;
}

function isBy({ author }: VersionStatus, keep: string): boolean {
  if (author.name === keep) return true;
  return keep.length >= ID_DIGITS_MIN && (author.replicaId.startsWith(keep) || author.nodeId?.startsWith(keep) === true);
}
