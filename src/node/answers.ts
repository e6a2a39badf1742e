/**
 * The longer answers of `NodeApi`, as plain data: which versions a key has and who wrote them, why a path is as it is, what is
 * in the trash.
 */
import type { ErrorCode } from '../base/errors.ts';
import type { Value } from '../entry/entry.ts';
import type { RestoreRequest, RestoreResult } from '../folder/trash-restore.ts';

export type { RestoreRequest, RestoreResult };

export interface AuthorStatus {
  /** 16 hex digits; of a version that was found on disk as a new file, a hash of what was found. */
  readonly replicaId: string;
  /** Undefined where no member is known to write under this replica id. */
  readonly nodeId: string | undefined;
  readonly name: string | undefined;
  /** This host itself. */
  readonly here: boolean;
}

export interface VersionStatus {
  /** Names this version for ever, on all hosts. */
  readonly id: string;
  readonly author: AuthorStatus;
  /** Found as a new file: hosts that find the same make one version of it, which has no author. Then `written` is the file's own time. */
  readonly found: boolean;
  /** ISO 8601, by the author's clock. */
  readonly written: string;
  readonly kind: Value['kind'];
  readonly bytes: number;
  readonly mode: string | undefined;
  readonly modified: string | undefined;
  readonly content: string | undefined;
  /** What `resolveConflict` takes: the path where it is shown, of records the key or the number of the sibling. */
  readonly name: string;
  /** The file at that path shows this version now; always true for records. */
  readonly shown: boolean;
}

export interface ConflictStatus {
  readonly key: string;
  /** The winner first, then from new to old: at least two. */
  readonly versions: readonly VersionStatus[];
  /** Names this state of the key: a resolution that carries it fails if there is another by then. */
  readonly etag: string;
}

export interface ConflictsResult {
  readonly items: readonly ConflictStatus[];
  readonly next: string | undefined;
  /** False in the first moments after a start: not every key has been looked at yet. */
  readonly complete: boolean;
}

export interface ResolveResult {
  readonly key: string;
  readonly kept: VersionStatus;
  /** Versions that are gone now. */
  readonly dropped: number;
}

export interface PeerKnowledge {
  readonly name: string;
  readonly nodeId: string;
  readonly connected: boolean;
  /**
   * `same`: it has all that is here and no more; `behind`: it lacks something of this; `ahead`: this host lacks something of
   * that; `apart`: both. Of a peer that is not connected: as it was when it was last heard of.
   */
  readonly state: 'same' | 'behind' | 'ahead' | 'apart' | 'unknown';
  /** How that is known: equal roots, a root of the peer that is in our history, or both trees compared just now. */
  readonly by: 'root' | 'history' | 'comparison' | undefined;
  /** What the peer has, where that is known and differs. */
  readonly versions: readonly VersionStatus[] | undefined;
  readonly nextRetrySeconds: number | undefined;
  readonly error: { readonly code: ErrorCode; readonly message: string } | undefined;
}

/** Something that keeps what is at a path from being the same everywhere. */
export interface Hold {
  readonly what: 'ignored' | 'refused' | 'settling' | 'changed' | 'deletes-held' | 'folder' | 'problem' | 'to-show' | 'arriving';
  readonly code: ErrorCode | undefined;
  readonly message: string;
  readonly nextRetry: string | undefined;
}

export interface WhyResult {
  readonly key: string;
  readonly state: 'present' | 'conflict' | 'conflict-copy' | 'deleted' | 'unknown';
  /** Of a conflict copy: the key whose version it shows. */
  readonly copyOf: string | undefined;
  /** Live ones, the winner first. Of a conflict copy: the one it shows. */
  readonly versions: readonly VersionStatus[];
  /** Deletes that no write has replaced. */
  readonly deletions: readonly VersionStatus[];
  /** What is on disk at the path; `nothing` too where it is a device, socket or pipe. Undefined for records. */
  readonly disk: { readonly kind: 'file' | 'symlink' | 'directory' | 'nothing'; readonly asKnown: boolean } | undefined;
  readonly peers: readonly PeerKnowledge[];
  readonly holds: readonly Hold[];
  /** Earlier versions of the path that are in the trash of this host, newest first. */
  readonly trash: readonly TrashItem[];
}

export interface TrashItem {
  /** Where it was. */
  readonly path: string;
  /** Where it is, relative to the shared folder. */
  readonly place: string;
  /** `2026-11-23`, UTC. */
  readonly day: string;
  readonly bytes: number;
  /** ISO 8601: the time of the file. */
  readonly modified: string;
}

export interface TrashResult {
  readonly items: readonly TrashItem[];
  readonly next: string | undefined;
}
