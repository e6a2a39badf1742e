/**
 * What a running node offers to the rooms above it (command line, HTTP): plain data in and out. The node itself is
 * `node.ts`; the JSON documents of docs and of `--json` are these types.
 */
import type { ErrorCode } from '../base/errors.ts';
import type { ChunkerParameters } from '../content/chunker.ts';
import type { ConflictsResult, ResolveResult, RestoreRequest, RestoreResult, TrashResult, WhyResult } from './answers.ts';

export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface NodeOptions {
  /** Absolute path of the shared folder; made if it is missing. */
  readonly folder: string;
  /** Where database and identity live; default `<folder>/.sameroot`. */
  readonly dataDir: string;
  /** Name of a share that is created; default the folder's name. */
  readonly shareName: string;
  /** How contents are cut in a share that is created, for good; default: chunks of 64 KiB on average. */
  readonly chunker?: ChunkerParameters | undefined;
  readonly listen: Address;
  /** Look for the next free port when the one of `listen` is taken (the port was not chosen by hand). */
  readonly listenAnyPort: boolean;
  /** Tell the members the address, so that they dial it later; not for a node that ends after one sync. */
  readonly advertise: boolean;
  readonly join: readonly Address[];
  readonly token: string | undefined;
  /** Plain text, loopback only. */
  readonly insecure: boolean;
  readonly settleMs: number;
  readonly rescanMs: number;
  readonly pullEveryMs: number;
  /** Undefined: 1 % of the disk or 1 GiB, whichever is less. */
  readonly minFreeBytes: number | undefined;
  /** How often tombstones that every member has seen are looked for and dropped; default 10 minutes. */
  readonly purgeEveryMs?: number | undefined;
  /** Come back to a share whose database is gone: the store is empty, or such a return was begun before. */
  readonly returning?: ReturnOptions | undefined;
}

export interface ReturnOptions {
  /** What becomes of files that no peer knows: they are new, or they go to the quarantine. */
  readonly unknown: 'keep' | 'set-aside';
  /** No peer is left: what is in the folder is the share. */
  readonly alone: boolean;
}

export interface ReturnStatus {
  /** The replica is one like any other again. */
  readonly done: boolean;
  /** Files that gave way to what the peers have, since the node was started. */
  readonly setAside: number;
  /** Where they are, relative to the shared folder. */
  readonly quarantine: string;
}

export type NodeState = 'in-sync' | 'syncing' | 'behind' | 'scanning' | 'alone' | 'degraded' | 'held';

export interface PeerStatus {
  readonly name: string;
  readonly nodeId: string;
  readonly address: string;
  readonly connected: boolean;
  /** Hex; the last root that the peer told us. */
  readonly root: string | undefined;
  readonly inSync: boolean;
  /** Known to be missing there: entries and bytes of our commits that it has not acknowledged. */
  readonly behind: { readonly entries: number; readonly bytes: number };
  /** Application bytes over all connections since the start. */
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly lastAckSeconds: number | undefined;
  /** Seconds until the next attempt to connect, while not connected. */
  readonly nextRetrySeconds: number | undefined;
  readonly error: { readonly code: ErrorCode; readonly message: string } | undefined;
}

export interface ProblemStatus {
  readonly code: ErrorCode;
  readonly path: string | undefined;
  readonly message: string;
  /** ISO 8601. */
  readonly since: string;
  readonly nextRetry: string | undefined;
}

export interface NodeStatus {
  readonly share: string;
  readonly shareId: string;
  readonly replicaId: string;
  readonly nodeId: string;
  readonly state: NodeState;
  readonly root: string;
  /** Live entries: files, links, folders and records; no tombstones. */
  readonly entries: number;
  readonly bytes: number;
  readonly conflicts: number;
  readonly pending: { readonly scan: number; readonly fetch: number };
  readonly progress: {
    readonly scan: { readonly seen: number; readonly hashed: number; readonly hashedBytes: number };
    readonly fetch: { readonly entries: number; readonly entriesDone: number; readonly bytes: number; readonly bytesDone: number };
  };
  readonly syncError: { readonly entries: number; readonly bytes: number };
  readonly syncEfficiency: number;
  readonly syncTimeSeconds: { readonly p50: number | undefined; readonly p99: number | undefined; readonly last: number | undefined };
  readonly peers: readonly PeerStatus[];
  readonly errors: readonly ProblemStatus[];
  readonly addresses: { readonly peer: string; readonly http: string | undefined };
  /** The database was found to be an older copy when this node was started: it goes on as a new replica. */
  readonly restored?: boolean;
  /** If this node was started without knowing its share any more. */
  readonly returning?: ReturnStatus | undefined;
}

export interface WaitRequest {
  /** Hex; default this replica's root after pending changes were scanned. */
  readonly root?: string | undefined;
  /** Names or node ids; default every member that is connected or was joined. */
  readonly peers?: readonly string[] | undefined;
  readonly timeoutMs: number;
  /** Nobody waits for the answer any more. */
  readonly signal?: AbortSignal | undefined;
}

export interface WaitResult {
  readonly root: string;
  readonly peers: readonly { readonly name: string; readonly nodeId: string; readonly confirmed: boolean }[];
  /** False on time-out. */
  readonly done: boolean;
}

export interface DifferenceStatus {
  /** `f/path` or `r/key`. */
  readonly key: string;
  /** What the peer lacks, what we lack, or both changed. */
  readonly how: 'only-here' | 'only-there' | 'different';
  readonly here: ValueStatus | undefined;
  readonly there: ValueStatus | undefined;
  /** Content bytes at stake: the larger of the two values. */
  readonly bytes: number;
}

export interface ValueStatus {
  readonly kind: 'file' | 'symlink' | 'directory' | 'record' | 'blob' | 'deleted';
  readonly bytes: number;
  readonly versions: number;
}

export interface DiffResult {
  readonly peer: string;
  readonly here: string;
  readonly there: string;
  readonly differences: readonly DifferenceStatus[];
  /** True when the list was cut at its limit. */
  readonly truncated: boolean;
  readonly totals: { readonly entries: number; readonly bytes: number };
}

export interface ListItem {
  readonly key: string;
  readonly kind: ValueStatus['kind'];
  readonly bytes: number;
  /** Octal text such as `644`; files and folders. */
  readonly mode: string | undefined;
  /** ISO 8601; files. */
  readonly modified: string | undefined;
  readonly versions: number;
  /** Hex content id, files and large records. */
  readonly content: string | undefined;
}

export interface ListResult {
  readonly items: readonly ListItem[];
  /** Pass as `after` for the next page; undefined at the end. */
  readonly next: string | undefined;
}

export interface RecordValue {
  /** The causal context, opaque: send it back with a write. */
  readonly etag: string;
  readonly value: Uint8Array;
  /** Concurrent versions that lost, newest first. */
  readonly siblings: readonly Uint8Array[];
}

export interface Invite {
  readonly token: string;
  /** The whole command for the next host. */
  readonly joinLine: string;
  readonly expires: string;
}

/** What the command line and HTTP call. Every failure is a SamerootError. */
export interface NodeApi extends AsyncDisposable {
  status(): NodeStatus;
  /** Ingests what is on disk now. */
  scan(): Promise<void>;
  wait(request: WaitRequest): Promise<WaitResult>;
  /** `peer`: name or node id; default the only connected one. */
  diff(peer: string | undefined, limit: number): Promise<DiffResult>;
  list(options: { readonly prefix: string; readonly after: string | undefined; readonly limit: number }): ListResult;
  getRecord(key: string): Promise<RecordValue | undefined>;
  /** Returns the new ETag. `ifMatch`: STALE_WRITE unless it is current; `*` = must exist; undefined = replace what is seen now. */
  putRecord(key: string, value: Uint8Array, ifMatch: string | undefined): Promise<{ readonly etag: string }>;
  deleteRecord(key: string, ifMatch: string | undefined): Promise<boolean>;
  invite(options: { readonly expiresMs: number }): Promise<Invite>;
  answerDeletes(answer: 'accept' | 'restore'): Promise<{ readonly paths: number }>;
  /** Calls back on each change worth a redraw or a log line: state, peers, commits. */
  onChange(listener: (event: NodeEvent) => void): () => void;
  /** In key order. */
  conflicts(options: { readonly after: string | undefined; readonly limit: number }): ConflictsResult;
  /** One version stays, as a write that has seen them all; `keep` is one of its names. `NOT_FOUND` names them, `STALE_WRITE` as with records. */
  resolveConflict(key: string, keep: string, ifMatch: string | undefined): Promise<ResolveResult>;
  /** Everything that is known here about a key: `f/path` or `r/name`. Waits for nothing but the disk and peers that are connected. */
  why(key: string): Promise<WhyResult>;
  /** Files in the trash of this host, newest first within a path. */
  trash(options: { readonly prefix: string; readonly after: string | undefined; readonly limit: number }): Promise<TrashResult>;
  /** `NOT_FOUND` if nothing of that name is in the trash. */
  restoreTrash(request: RestoreRequest): Promise<RestoreResult>;
  /** For good. */
  emptyTrash(): Promise<{ readonly files: number; readonly bytes: number }>;
  /**
   * A member takes part no more: no member talks to it, and nothing waits for it. `peer`: its name, or the beginning of its node id.
   * `NOT_FOUND`; `CONFIG_INVALID` for this host itself, or where several hosts are meant.
   */
  evict(peer: string): Promise<{ readonly nodeId: string; readonly name: string }>;
  /** Drops the tombstones that every member has seen, now; waits a few seconds for the peers at most. */
  purge(): Promise<PurgeResult>;
}

export interface PurgeResult {
  /** Tombstones that this call dropped here. */
  readonly purged: number;
  /** Those that are still there. */
  readonly left: number;
  /** Members, by name, that have not seen everything yet or are away. */
  readonly waitingFor: readonly string[];
}

export type NodeEvent =
  | { readonly type: 'state'; readonly state: NodeState }
  | { readonly type: 'root'; readonly root: string }
  | { readonly type: 'peer'; readonly nodeId: string; readonly name: string; readonly connected: boolean }
  /** The five phases of a transfer (DESIGN section 10). */
  | {
      readonly type: 'transfer';
      readonly phase: 'initialise' | 'detect' | 'transfer' | 'confirm' | 'failure';
      readonly peer: string;
      readonly detail: Readonly<Record<string, unknown>>;
    };
