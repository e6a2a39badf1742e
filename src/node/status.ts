/** The state of a node in one document: what `status` prints and HTTP returns. */
import { toHex } from '../base/bytes.ts';
import { SamerootError, type ErrorCode } from '../base/errors.ts';
import type { Clock } from '../base/world.ts';
import type { Identity } from '../net/identity.ts';
import type { Replica } from '../replica/replica.ts';
import type { Session } from '../session/session.ts';
import { diff } from '../tree/diff.ts';
import type { Tree } from '../tree/page.ts';
import { weighEntry } from '../entry/entry-codec.ts';
import type { Body } from './body.ts';
import type { Confirmations } from './confirmations.ts';
import type { NodeOptions, NodeState, NodeStatus, PeerStatus, ProblemStatus } from './node-api.ts';
import type { PeerLink } from './peer-link.ts';
import type { IntakeProblems } from './problems.ts';
import type { Peers } from './peers.ts';
import type { Returning } from './returning.ts';

/** How many differing entries are counted exactly; beyond it the number is a lower bound. */
const BEHIND_COUNT_MAX = 2_000;

export interface StatusParts {
  readonly body: Body | undefined;
  readonly options: NodeOptions;
  readonly identity: Identity;
  readonly address: string;
  readonly peers: Peers;
  readonly confirmations: Confirmations;
  readonly problems: IntakeProblems;
  readonly clock: Clock;
  readonly restored: boolean;
  readonly returning: Returning | undefined;
  /** Why this node takes part no more. */
  readonly stopped: SamerootError | undefined;
}

export function nodeStatus(parts: StatusParts): NodeStatus {
  const { body, options, identity, address, confirmations } = parts;
  const peers = peerStatuses(parts);
  const connected = peers.filter((peer) => peer.connected);
  const tree = body?.replica.head.tree;
  const syncError = {
    entries: Math.max(0, ...connected.map(({ behind }) => behind.entries)),
    bytes: Math.max(0, ...connected.map(({ behind }) => behind.bytes)),
  };
  const fetched = body?.fetcher.totals;
  return {
    share: body?.replica.share.name ?? options.shareName,
    shareId: body === undefined ? '' : toHex(body.replica.share.id),
    replicaId: body?.replica.id ?? '',
    nodeId: identity.nodeId,
    state: nodeState(parts),
    root: body === undefined ? '' : toHex(body.replica.head.root),
    entries: tree?.live ?? 0,
    bytes: tree?.bytes ?? 0,
    conflicts: body?.conflicts.size ?? 0,
    pending: { scan: body?.folder.pending ?? 0, fetch: body?.intake.pending ?? 0 },
    progress: {
      scan: body?.folder.progress ?? { seen: 0, hashed: 0, hashedBytes: 0 },
      fetch: {
        entries: body?.intake.totals.entries ?? 0,
        entriesDone: body?.intake.totals.entriesDone ?? 0,
        bytes: fetched?.orderedBytes ?? 0,
        bytesDone: fetched?.doneBytes ?? 0,
      },
    },
    syncError,
    syncEfficiency: tree === undefined || tree.bytes === 0 ? 1 : Math.max(0, (tree.bytes - syncError.bytes) / tree.bytes),
    syncTimeSeconds: confirmations.syncSeconds,
    peers,
    errors: errorsOf(parts),
    addresses: { peer: address, http: undefined },
    restored: parts.restored,
    returning: parts.returning?.status,
  };
}

const DISK_TROUBLE: ReadonlySet<ErrorCode> = new Set(['DISK_FULL', 'IO_ERROR', 'FOLDER_MISSING', 'DATABASE_DAMAGED', 'FOLDER_READ_ONLY']);

/** Cheap: asked on every commit. */
export function nodeState(parts: StatusParts): NodeState {
  const { body, problems, peers, returning, stopped } = parts;
  if (stopped !== undefined) return 'degraded';
  if (body === undefined) return 'alone';
  const { folder, replica, intake, landing } = body;
  if (folder.held !== undefined) return 'held';
  if (folder.problem !== undefined || replica.failure !== undefined) return 'degraded';
  const troubles = landing.problem === undefined ? problems.list : [landing.problem, ...problems.list];
  if (troubles.some(({ code }) => DISK_TROUBLE.has(code))) return 'degraded';
  if (folder.scanning) return 'scanning';
  const sessions = [...peers.links.values()].flatMap(({ session }) => session ?? []);
  if (sessions.length === 0) return 'alone';
  if (isInSync(parts)) return 'in-sync';
  const busy = returning?.done === false || intake.pending > 0 || sessions.some((session) => session.busy);
  return busy || problems.list.length === 0 ? 'syncing' : 'behind';
}

/** With all peers, whatever went wrong before: all that they have was taken over. */
export function isInSync({ body, peers, returning, stopped }: StatusParts): boolean {
  if (body === undefined || stopped !== undefined || returning?.done === false || body.folder.scanning) return false;
  const sessions = [...peers.links.values()].flatMap(({ session }) => session ?? []);
  const isTaken = body.intake.pending === 0 && !body.landing.unshown;
  return isTaken && sessions.length > 0 && sessions.every((session) => session.inSync);
}

function peerStatuses(parts: StatusParts): PeerStatus[] {
  const { body, peers, identity } = parts;
  const members = new Map(
    (body?.members.list() ?? []).filter(({ nodeId }) => nodeId !== identity.nodeId).map((member) => [member.nodeId, member]),
  );
  const ids = new Set([...members.keys(), ...peers.links.keys()]);
  return [...ids].map((nodeId) => {
    const link = peers.links.get(nodeId);
    const name = link?.hello?.name ?? members.get(nodeId)?.name ?? '';
    const address = members.get(nodeId)?.address || (link?.channel.remoteAddress ?? '');
    return { name, nodeId, address, ...linkStatus(parts, link), ...peers.traffic(nodeId), ...troubleStatus(parts, nodeId, address, link) };
  });
}

type LinkStatus = Pick<PeerStatus, 'connected' | 'root' | 'inSync' | 'behind' | 'lastAckSeconds'>;

function linkStatus({ body, clock }: StatusParts, link: PeerLink | undefined): LinkStatus {
  const session = link?.session;
  if (link === undefined || session === undefined || body === undefined) {
    return {
      connected: false,
      root: undefined,
      inSync: false,
      behind: { entries: 0, bytes: 0 },
      lastAckSeconds: undefined,
    };
  }
  return {
    connected: true,
    root: toHex(session.peerRoot),
    inSync: session.inSync,
    behind: session.inSync ? { entries: 0, bytes: 0 } : behind(body, session),
    lastAckSeconds: link.lastAckMs === undefined ? undefined : (clock.monotonicMs() - link.lastAckMs) / 1_000,
  };
}

/** What the peer lacks of our head. Where the database can not be read, that is not known: all of it may be. */
function behind(body: Body, session: Session): { entries: number; bytes: number } {
  const { replica } = body;
  const { tree } = replica.head;
  try {
    return missingIn(replica, replica.treeOf(session.peerRoot) ?? session.confirmed?.tree);
  } catch (error) {
    if (!(error instanceof SamerootError)) throw error;
    return { entries: tree.live, bytes: tree.bytes };
  }
}

/** Counted against a tree that the peer is known to contain. */
function missingIn(replica: Replica, theirs: Tree | undefined): { entries: number; bytes: number } {
  const { tree } = replica.head;
  if (theirs === undefined) return { entries: tree.live, bytes: tree.bytes };
  let entries = 0;
  let bytes = 0;
  for (const { key, b } of diff(replica.reader, theirs, tree)) {
    if (b === undefined) continue;
    entries++;
    bytes += weighEntry(key, b).bytes;
    if (entries >= BEHIND_COUNT_MAX) break;
  }
  return { entries, bytes };
}

function troubleStatus(
  { peers, clock }: StatusParts,
  nodeId: string,
  address: string,
  link: PeerLink | undefined,
): Pick<PeerStatus, 'nextRetrySeconds' | 'error'> {
  if (link !== undefined) return { nextRetrySeconds: undefined, error: undefined };
  const { error, nextRetryMs } = peers.trouble(nodeId, address);
  return {
    nextRetrySeconds: nextRetryMs === undefined ? undefined : Math.max(0, (nextRetryMs - clock.monotonicMs()) / 1_000),
    error: error === undefined ? undefined : { code: error.code, message: error.message },
  };
}

function errorsOf({ body, peers, problems, clock, stopped }: StatusParts): ProblemStatus[] {
  const now = new Date(clock.wallMs());
  // What is wrong with a member is told of it, and an evicted one is not missed.
  const known = new Set((body?.members.list() ?? []).map((member) => member.address));
  const isMember = (nodeId: string | undefined): boolean => nodeId !== undefined && body?.members.get(nodeId) !== undefined;
  const unreached = peers
    .unreached()
    .filter(({ address, nodeId }) => !known.has(address) && !isMember(nodeId))
    .map(({ address, error, nextRetryMs }) =>
      problemOf(error, address, now, nextRetryMs === undefined ? undefined : nextRetryMs - clock.monotonicMs()),
    );
  const own = [...new Set([stopped, body?.folder.problem, body?.landing.problem])].flatMap((error) =>
    error === undefined ? [] : [problemOf(error, undefined, now, undefined)],
  );
  const disk = (body?.folder.problems ?? []).map(({ path, code, message, sinceMs }) => ({
    code,
    path,
    message,
    since: new Date(sinceMs).toISOString(),
    nextRetry: undefined,
  }));
  return [...own, ...disk, ...problems.list, ...unreached];
}

function problemOf(error: SamerootError, path: string | undefined, now: Date, retryInMs: number | undefined): ProblemStatus {
  const nextRetry = retryInMs === undefined ? undefined : new Date(now.getTime() + Math.max(0, retryInMs)).toISOString();
  return { code: error.code, path: path ?? error.path, message: error.message, since: now.toISOString(), nextRetry };
}
