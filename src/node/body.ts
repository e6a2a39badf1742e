/** The parts of a node that exist once its share is known, put together. */
import type { World } from '../base/world.ts';
import type { DiskAccess } from '../folder/disk.ts';
import type { DiskThreads } from '../folder/disk-threads.ts';
import { Folder } from '../folder/folder.ts';
import type { Standing } from '../folder/standing.ts';
import type { Identity } from '../net/identity.ts';
import { Collector } from '../replica/gc.ts';
import type { Replica } from '../replica/replica.ts';
import { ChunkStore } from '../store/chunk-store.ts';
import type { Store } from '../store/store.ts';
import type { Tree } from '../tree/page.ts';
import { BlobTarget } from './blob-target.ts';
import { Conflicts } from './conflicts.ts';
import { Fetcher } from './fetcher.ts';
import { Intake, type Landing } from './intake.ts';
import { makeLanding, type Showing } from './landing.ts';
import { Members } from './members.ts';
import type { NodeOptions } from './node-api.ts';
import type { IntakeProblems } from './problems.ts';
import { Purge, type PurgeLink } from './purge.ts';
import { Records } from './records.ts';

export interface Body {
  readonly replica: Replica;
  readonly folder: Folder;
  readonly members: Members;
  readonly records: Records;
  readonly fetcher: Fetcher;
  readonly intake: Intake;
  readonly landing: Landing & Showing;
  readonly conflicts: Conflicts;
  readonly collector: Collector;
  readonly purge: Purge;
}

export interface BodyParts {
  readonly options: NodeOptions;
  readonly world: World;
  readonly store: Store;
  readonly identity: Identity;
  readonly access: DiskAccess;
  readonly threads: DiskThreads;
  readonly standing: Standing;
  readonly replica: Replica;
  readonly pins: readonly string[];
  readonly problems: IntakeProblems;
  /** Peers that are connected now, by node id. */
  readonly links: () => ReadonlyMap<string, PurgeLink>;
  /** A peer and all others with its root. */
  readonly sourcesLike: (peer: string) => Iterable<string>;
  /** This replica does not know the share yet. */
  readonly isLearning: () => boolean;
  /** Trees that sessions may still need. */
  readonly heldTrees: () => readonly Tree[];
  /** Entries of peers are committed and on disk. */
  readonly onLanded: () => void;
  /** The head is to be told, and then that this replica goes by a new stable cut. */
  readonly onAdopted: () => void;
}

export async function makeBody(parts: BodyParts): Promise<Body> {
  const { options, world, store, access, threads, standing, replica, problems } = parts;
  const { folder: root, settleMs, rescanMs, minFreeBytes } = options;
  const chunks = await ChunkStore.open(store);
  const folder = await Folder.open({ root, replica, store, world, access, settleMs, rescanMs, minFreeBytes, threads, standing });
  const members = new Members(replica, parts.identity, parts.pins);
  const records = new Records(replica, chunks);
  const fetcher = new Fetcher(store, world);
  const fetch = (content: Uint8Array, bytes: number): Promise<void> => fetcher.fetch(content, bytes, folder.target, parts.links().keys());
  const landing = makeLanding({ replica, folder, records, members, blobs: new BlobTarget(store, chunks), fetch, world });
  const onProblem: IntakeProblems['add'] = (code, incoming, message) => problems.add(code, incoming, message);
  const { sourcesLike, onLanded } = parts;
  const { clock, timers, log } = world;
  const intake = new Intake({ replica, fetcher, landing, clock, log, sourcesLike, onProblem, onLanded });
  const conflicts = new Conflicts(replica, timers);
  const purge = new Purge({
    replica,
    world,
    everyMs: options.purgeEveryMs,
    isLearning: parts.isLearning,
    members: () => members.list().filter(({ nodeId }) => nodeId !== parts.identity.nodeId),
    memberEntries: () => members.records,
    links: parts.links,
    isArriving: (key) => intake.isArriving(key),
    onAdopted: parts.onAdopted,
  });
  const collector = new Collector(replica, world, () => [...parts.heldTrees(), ...purge.trees]);
  return { replica, folder, members, records, fetcher, intake, landing, conflicts, collector, purge };
}

export async function closeBody(body: Body): Promise<void> {
  body.fetcher.mates.close();
  body.landing.close();
  body.conflicts.close();
  await body.purge.close();
  await body.collector.close();
  await body.folder[Symbol.asyncDispose]();
  await body.replica.idle();
}
