/**
 * Why is this path as it is? Everything that is known here about one key, put side by side: its versions, what is on the
 * disk, what the peers have, and whatever holds it from being the same everywhere.
 *
 * Invariant: it only looks. Nothing is taken in, asked for again or repaired by asking why.
 */
import { fromHex, utf8 } from '../base/bytes.ts';
import { SamerootError } from '../base/errors.ts';
import { view } from '../entry/view.ts';
import { fileKey, pathOfKey, pathProblem } from '../folder/paths.ts';
import type { PathLook } from '../folder/path-look.ts';
import { getPlaced, type Placed } from '../folder/placed.ts';
import * as keyspace from '../store/keyspace.ts';
import type { Hold, PeerKnowledge, VersionStatus, WhyResult } from './answers.ts';
import type { ProblemStatus } from './node-api.ts';
import { peerKnowledge, type KnowledgeParts } from './peer-knowledge.ts';
import { deletions, dotText, keyText, liveVersions, trashItem, type Telling } from './versions.ts';

export interface WhyParts extends KnowledgeParts {
  /** What `status` lists as wrong. */
  readonly problems: readonly ProblemStatus[];
}

/** What was looked at, before it is judged. */
interface Seen {
  readonly key: Uint8Array;
  readonly path: string | undefined;
  readonly placed: Placed | undefined;
  readonly look: PathLook | undefined;
  readonly peers: readonly PeerKnowledge[];
}

/** @throws {SamerootError} `KEY_INVALID` for a key that can be neither a file's nor a record's */
export async function why(parts: WhyParts, name: string): Promise<WhyResult> {
  const { replica, folder } = parts.body;
  const asked = utf8(name);
  if (!name.startsWith('f/') && !name.startsWith('r/')) throw new SamerootError('KEY_INVALID', 'a key begins with f/ or r/');
  const path = name.startsWith('f/') ? name.slice(2) : undefined;
  const refused = path === undefined ? undefined : pathProblem(path);
  const sound = path !== undefined && refused === undefined;
  const placed = sound ? getPlaced(replica.store, path) : undefined;
  const owner = ownerOf(parts, path, placed);
  const key = owner === undefined ? asked : fileKey(owner);
  const telling: Telling = { store: replica.store, author: parts.author };
  const [look, peers] = await Promise.all([sound ? folder.look(path) : undefined, peerKnowledge(parts, key)]);
  const seen: Seen = { key, path, placed, look, peers };
  // Only now: the disk and the peers took their time.
  const entry = replica.entry(key);
  const all = liveVersions(key, entry, telling);
  const versions = owner === undefined ? all : all.filter(({ id }) => placed?.dots.some((dot) => dotText(dot) === id));
  return {
    key: keyText(asked),
    state:
      owner !== undefined
        ? 'conflict-copy'
        : all.length > 1
          ? 'conflict'
          : all.length === 1
            ? 'present'
            : entry === undefined
              ? 'unknown'
              : 'deleted',
    copyOf: owner === undefined ? undefined : keyText(key),
    versions,
    deletions: owner === undefined ? deletions(key, entry, telling) : [],
    disk: look === undefined ? undefined : { kind: look.kind, asKnown: look.asKnown },
    peers,
    holds: refused !== undefined ? [refusal(refused)] : holdsOf(parts, seen),
    trash: sound ? (await folder.trashOf(path)).map(trashItem) : [],
  };
}

/** The path whose conflict copy is shown here. Where a path has an entry of its own, that counts. */
function ownerOf({ body }: WhyParts, path: string | undefined, placed: Placed | undefined): string | undefined {
  if (path === undefined || placed === undefined || placed.owner === path) return undefined;
  return view(body.replica.entry(fileKey(path))).winner === undefined ? placed.owner : undefined;
}

function refusal(code: NonNullable<ReturnType<typeof pathProblem>>): Hold {
  return { what: 'refused', code, message: 'a path of this name is not replicated', nextRetry: undefined };
}

function holdsOf(parts: WhyParts, seen: Seen): Hold[] {
  return [...folderHolds(parts, seen), ...problemHolds(parts, seen), ...arrivalHolds(parts, seen)];
}

/** What holds the way from this disk into the tree, and back. */
function folderHolds({ body }: WhyParts, { key, path, placed, look }: Seen): Hold[] {
  const { folder, replica } = body;
  if (path === undefined || look === undefined) return [];
  const holds: Hold[] = [];
  const add = (what: Hold['what'], code: Hold['code'], message: string): void =>
    void holds.push({ what, code, message, nextRetry: undefined });
  if (folder.problem !== undefined) add('folder', folder.problem.code, folder.problem.message);
  if (look.ignoredBy !== undefined) {
    add('ignored', undefined, `line ${look.ignoredBy.line} of .samerootignore leaves it alone: ${look.ignoredBy.rule}`);
    return holds;
  }
  const gone = placed !== undefined && look.kind === 'nothing';
  if (gone && folder.held !== undefined) {
    add('deletes-held', 'MASS_DELETE_HELD', `it is gone here, as are others: ${folder.held.count} deletes wait for an answer`);
  } else if (!look.asKnown && look.settling) add('settling', undefined, 'it has just changed here, and is taken in once it is quiet');
  else if (!look.asKnown) add('changed', undefined, 'it was changed here, and that is not taken in yet');
  if (replica.store.get(keyspace.pendingKey(key)) !== undefined) add('to-show', undefined, 'what the entry says is not on this disk yet');
  return holds;
}

/** What `status` says about this path or the path that it is a copy of. */
function problemHolds({ problems }: WhyParts, { key, path }: Seen): Hold[] {
  const names = new Set([path, pathOfKey(key), keyText(key)]);
  const own = problems.filter((problem) => problem.path !== undefined && names.has(problem.path));
  return own.map(({ code, message, nextRetry }) => ({ what: 'problem', code, message, nextRetry }));
}

/** Versions that peers have and this host has not. */
function arrivalHolds({ body }: WhyParts, { key, peers }: Seen): Hold[] {
  const known = new Set(body.replica.entry(key)?.versions.map(({ dot }) => dotText(dot)));
  const missing = new Map<string, { readonly version: VersionStatus; readonly from: string[] }>();
  for (const { name, connected, versions, state } of peers) {
    if (!connected || (state !== 'ahead' && state !== 'apart')) continue;
    for (const version of versions ?? []) {
      if (known.has(version.id)) continue;
      const item = missing.get(version.id) ?? { version, from: [] };
      item.from.push(name);
      missing.set(version.id, item);
    }
  }
  return [...missing.values()].map(({ version, from }) => arrival(body, version, from));
}

function arrival({ landing }: WhyParts['body'], { content, kind, bytes, id }: VersionStatus, from: readonly string[]): Hold {
  const isBlob = kind === 'blob';
  const held = content === undefined || landing.holds(fromHex(content), isBlob ? 'blob' : 'file');
  const what = held ? 'is on its way' : `waits for its ${bytes} bytes`;
  return { what: 'arriving', code: undefined, message: `version ${id} ${what}, from ${from.join(', ')}`, nextRetry: undefined };
}
