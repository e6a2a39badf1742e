/**
 * A replica that comes back to its share without its database: after `repair`, or after its host was evicted and invited
 * again. It begins with an empty tree under a new replica id, and what lies in its folder is withheld (`folder/set-aside.ts`),
 * so it has nothing to tell and its root is the truth. It is over when a whole root of the share is contained: what is
 * withheld still is unknown to the peers, and is taken in as new or set aside.
 *
 * Invariant: begun once, it goes on over restarts until it is over: a row in the store says so, written before the
 * store knows its share. Taken for an ordinary start, every file that was deleted or edited meanwhile would come back.
 *
 * Why not merge what is found at once: its birth dots are not those that the same bytes got when they were edited, so each
 * file that was ever edited would have a second version, and each that was edited and then deleted would rise again.
 */
import { ByteReader, ByteWriter, fromUtf8, utf8 } from '../base/bytes.ts';
import { messageOf, SamerootError } from '../base/errors.ts';
import { NAME_TEXT_BYTES_MAX } from '../base/limits.ts';
import type { World } from '../base/world.ts';
import type { Disk } from '../folder/disk.ts';
import { hasMarker } from '../folder/marker.ts';
import { QUARANTINE_FOLDER } from '../folder/into-trash.ts';
import { quarantineName } from '../folder/set-aside.ts';
import { Replica } from '../replica/replica.ts';
import type { Share } from '../replica/share.ts';
import type { Hello } from '../session/handshake.ts';
import * as keyspace from '../store/keyspace.ts';
import type { Store } from '../store/store.ts';
import { isLearning } from './newcomer.ts';
import type { NodeOptions, ReturnOptions, ReturnStatus } from './node-api.ts';
import { hasRecovery, readRecovery, type KnownHost } from './recovery.ts';

const RETURNING_ROW: Uint8Array = keyspace.metaKey('returning');
/**
 * So long members are waited for that are not connected. A host that comes back is connected with one or the other first, and
 * that one may have been away itself: of what it has not heard yet it says no more than nothing.
 */
const ABSENT_MS_MAX = 15_000;

export interface ReturnPlan extends ReturnOptions {
  /** The folder in the quarantine; the same over restarts. */
  readonly quarantine: string;
}

/** What a node starts from. */
export interface Origin {
  /** Undefined: it is to be made, or learnt from the host that is joined. */
  readonly share: Share | undefined;
  readonly returning: ReturnPlan | undefined;
  /** While it returns: hosts that were members when the database was lost. */
  readonly known: readonly KnownHost[];
}

/**
 * Looks at what is left of an earlier run, and begins a return where the options ask for one.
 * @throws {SamerootError} `DATABASE_MISSING` if the folder was part of a share and its database is gone
 */
export async function findOrigin(store: Store, disk: Disk, world: World, options: NodeOptions): Promise<Origin> {
  const { folder, dataDir, returning, join } = options;
  const stored = Replica.storedShare(store);
  let plan = readPlan(store);
  if (returning !== undefined && (plan !== undefined || stored === undefined)) {
    plan = { ...returning, quarantine: plan?.quarantine ?? quarantineName(world.clock.wallMs()) };
    await store.write([{ type: 'put', key: RETURNING_ROW, value: encodePlan(plan) }], { durable: true });
  }
  if (plan === undefined) {
    if (stored === undefined && (hasMarker(disk, folder) || hasRecovery(disk, dataDir))) {
      throw new SamerootError('DATABASE_MISSING', `${folder} is part of a share, and its database in ${dataDir} is gone`, { path: folder });
    }
    return { share: stored, returning: undefined, known: [] };
  }
  const recovery = readRecovery(disk, dataDir);
  const share = stored ?? recovery?.share;
  if (share === undefined && join.length === 0) {
    const message = `nothing in ${dataDir} says which share ${folder} was part of: name a host of it, with --join and --token`;
    throw new SamerootError('DATABASE_MISSING', message, { path: folder });
  }
  return { share, returning: plan, known: recovery?.members ?? [] };
}

/** An earlier run has begun to come back with this store. */
export function isReturnBegun(store: Pick<Store, 'get'>): boolean {
  return store.get(RETURNING_ROW) !== undefined;
}

function encodePlan({ unknown, alone, quarantine }: ReturnPlan): Uint8Array {
  return new ByteWriter(64)
    .u8(unknown === 'keep' ? 0 : 1)
    .u8(alone ? 1 : 0)
    .sized(utf8(quarantine))
    .finish();
}

function readPlan(store: Store): ReturnPlan | undefined {
  const row = store.get(RETURNING_ROW);
  if (row === undefined) return undefined;
  const reader = new ByteReader(row);
  const unknown = reader.u8() === 0 ? 'keep' : 'set-aside';
  const alone = reader.u8() === 1;
  const quarantine = fromUtf8(reader.sized(NAME_TEXT_BYTES_MAX));
  if (quarantine === undefined) throw new SamerootError('DATABASE_DAMAGED', 'the row of a return is not readable');
  return { unknown, alone, quarantine };
}

/** A connection, as far as it matters here. */
interface Link {
  readonly nodeId: string | undefined;
  readonly hello: Hello | undefined;
  readonly session: unknown;
}

export interface ReturningParts {
  readonly plan: ReturnPlan;
  readonly store: Store;
  readonly world: World;
  readonly links: () => Iterable<Link>;
  /** Node ids of all members but this one, as far as they are known. */
  readonly otherMembers: () => readonly string[];
  /** Takes in, or sets aside, what is withheld. */
  readonly endWithholding: () => Promise<void>;
  readonly onDone: () => void;
  readonly setAside: () => number;
}

export class Returning {
  readonly #parts: ReturningParts;
  /** Peers of whose roots one is contained, by node id. */
  readonly #contained = new Set<string>();
  readonly #sinceMs: number;
  #ending: Promise<void> | undefined;
  #read = false;
  #done = false;

  constructor(parts: ReturningParts) {
    this.#parts = parts;
    this.#sinceMs = parts.world.clock.monotonicMs();
  }

  get done(): boolean {
    return this.#done;
  }

  get status(): ReturnStatus {
    const { plan, setAside } = this.#parts;
    return { done: this.#done, setAside: setAside(), quarantine: `${QUARANTINE_FOLDER}/${plan.quarantine}` };
  }

  /** The folder was read for the first time. */
  read(): void {
    this.#read = true;
    this.check();
  }

  /** A whole root of this peer is contained. */
  contains(link: Pick<Link, 'nodeId' | 'hello'>): void {
    if (isLearning(link)) return;
    this.#contained.add(link.nodeId!);
    this.check();
  }

  /** Is it over? Every peer that is connected was heard, and at least one; and the other members were waited for. */
  check(): void {
    if (this.#done || !this.#read || this.#ending !== undefined) return;
    const { plan, world } = this.#parts;
    if (!plan.alone && !this.#isHeard()) return;
    this.#ending = this.#end()
      // Asked again at the next tick.
      .catch((error: unknown) => world.log.error('what was withheld can not be taken in', { error: messageOf(error) }))
      .finally(() => (this.#ending = undefined));
  }

  #isHeard(): boolean {
    const { links, otherMembers, world } = this.#parts;
    const sessions = [...links()].filter((link) => link.session !== undefined);
    const sources = sessions.filter((link) => !isLearning(link));
    if (this.#contained.size === 0 || !sources.every(({ nodeId }) => this.#contained.has(nodeId!))) return false;
    if (world.clock.monotonicMs() - this.#sinceMs >= ABSENT_MS_MAX) return true;
    const learning = new Set(sessions.filter(isLearning).map(({ nodeId }) => nodeId));
    return otherMembers().every((nodeId) => this.#contained.has(nodeId) || learning.has(nodeId));
  }

  /** Resolves when nothing is being done. */
  async idle(): Promise<void> {
    await this.#ending;
  }

  async #end(): Promise<void> {
    const { store, endWithholding, onDone } = this.#parts;
    await endWithholding();
    await store.write([{ type: 'del', key: RETURNING_ROW }], { durable: true });
    this.#done = true;
    onDone();
  }
}
