/** A node in memory: answers what the tests set, and remembers what it was asked. Records are real, with ETags. */
import { SamerootError } from '../../src/base/errors.ts';
import type {
  ConflictsResult,
  ConflictStatus,
  ResolveResult,
  RestoreRequest,
  RestoreResult,
  TrashItem,
  TrashResult,
  VersionStatus,
  WhyResult,
} from '../../src/node/answers.ts';
import type {
  DiffResult,
  Invite,
  ListItem,
  ListResult,
  NodeApi,
  NodeEvent,
  NodeStatus,
  PurgeResult,
  RecordValue,
  WaitRequest,
  WaitResult,
} from '../../src/node/node-api.ts';

export const ROOT: string = 'ab'.repeat(32);
const OTHER_ROOT = 'cd'.repeat(32);

export const STATUS: NodeStatus = {
  share: 'data',
  shareId: '00112233445566778899aabbccddeeff',
  replicaId: '0123456789abcdef',
  nodeId: 'ee'.repeat(32),
  state: 'in-sync',
  root: ROOT,
  entries: 1234,
  bytes: 5_610_000_000,
  conflicts: 0,
  pending: { scan: 0, fetch: 0 },
  progress: { scan: { seen: 0, hashed: 0, hashedBytes: 0 }, fetch: { entries: 0, entriesDone: 0, bytes: 0, bytesDone: 0 } },
  syncError: { entries: 0, bytes: 0 },
  syncEfficiency: 1,
  syncTimeSeconds: { p50: undefined, p99: undefined, last: undefined },
  peers: [
    {
      name: 'host-b',
      nodeId: 'bb'.repeat(32),
      address: '10.0.0.7:7440',
      connected: true,
      root: ROOT,
      inSync: true,
      behind: { entries: 0, bytes: 0 },
      sentBytes: 2_000_000,
      receivedBytes: 0,
      lastAckSeconds: 3,
      nextRetrySeconds: undefined,
      error: undefined,
    },
  ],
  errors: [],
  addresses: { peer: '127.0.0.1:7440', http: undefined },
};

export const VERSION: VersionStatus = {
  id: '0123456789abcdef-7',
  author: { replicaId: '0123456789abcdef', nodeId: 'bb'.repeat(32), name: 'host-b', here: false },
  found: false,
  written: '2026-11-23T04:34:55.000Z',
  kind: 'file',
  bytes: 70_000,
  mode: '644',
  modified: '2026-11-23T04:34:50.000Z',
  content: '00'.repeat(33),
  name: 'n.txt',
  shown: true,
};

export const COPY: VersionStatus = {
  ...VERSION,
  id: 'aaaaaaaaaaaaaaaa-3',
  author: { replicaId: 'aaaaaaaaaaaaaaaa', nodeId: undefined, name: undefined, here: false },
  name: 'n.conflict-20261123T043400Z-aaaaaaaa.txt',
  shown: false,
};

export const WHY: WhyResult = {
  key: 'f/n.txt',
  state: 'present',
  copyOf: undefined,
  versions: [VERSION],
  deletions: [],
  disk: { kind: 'file', asKnown: true },
  peers: [],
  holds: [],
  trash: [],
};

export const TRASHED: TrashItem = {
  path: 'n.txt',
  place: '.sameroot/trash/2026-11-23/n.txt',
  day: '2026-11-23',
  bytes: 70_000,
  modified: '2026-11-20T00:00:00.000Z',
};

interface StoredRecord {
  readonly revision: number;
  readonly value: Uint8Array;
}

export class FakeNode implements NodeApi {
  current: NodeStatus = STATUS;
  readonly records: Map<string, StoredRecord> = new Map<string, StoredRecord>();
  siblings: readonly Uint8Array[] = [];
  waitDone = true;
  waitRequest: WaitRequest | undefined;
  /** `wait` does not end before this does. */
  waitUntil: Promise<void> = Promise.resolve();
  scans = 0;
  inviteMs = 0;
  failure: Error | undefined;
  purged: PurgeResult = { purged: 12, left: 0, waitingFor: [] };
  conflictList: readonly ConflictStatus[] = [];
  conflictsComplete = true;
  /** Key, name to keep, ETag. */
  resolved: readonly (string | undefined)[] = [];
  story: WhyResult = WHY;
  asked = '';
  trashed: readonly TrashItem[] = [];
  restoreRequest: RestoreRequest | undefined;
  restoreResult: RestoreResult = { restored: [], skipped: [] };

  status(): NodeStatus {
    if (this.failure !== undefined) throw this.failure;
    return this.current;
  }

  async scan(): Promise<void> {
    this.scans++;
  }

  async wait(request: WaitRequest): Promise<WaitResult> {
    this.waitRequest = request;
    await this.waitUntil;
    return { root: ROOT, peers: [{ name: 'host-b', nodeId: 'bb'.repeat(32), confirmed: this.waitDone }], done: this.waitDone };
  }

  async diff(peer: string | undefined, limit: number): Promise<DiffResult> {
    if (peer === 'nobody') throw new SamerootError('NOT_FOUND', 'no peer "nobody"');
    const keys = ['f/a\u001b[31m', 'r/b'];
    const file = { kind: 'file', bytes: 70_000, versions: 1 } as const;
    return {
      peer: peer ?? 'host-b',
      here: this.current.root,
      there: OTHER_ROOT,
      differences: keys.slice(0, limit).map((key) => ({ key, how: 'only-here' as const, here: file, there: undefined, bytes: 70_000 })),
      truncated: limit < keys.length,
      totals: { entries: 2, bytes: 140_000 },
    };
  }

  list(options: { readonly prefix: string; readonly after: string | undefined; readonly limit: number }): ListResult {
    const keys = [...['a', 'b', 'c'].map((name) => `f/${name}`), ...[...this.records.keys()].map((key) => `r/${key}`)].sort();
    const matching = keys.filter((key) => key.startsWith(options.prefix) && (options.after === undefined || key > options.after));
    const shown = matching.slice(0, options.limit);
    return { items: shown.map(listItem), next: shown.length < matching.length ? shown.at(-1) : undefined };
  }

  async getRecord(key: string): Promise<RecordValue | undefined> {
    const record = this.records.get(key);
    return record === undefined ? undefined : { etag: String(record.revision), value: record.value, siblings: this.siblings };
  }

  async putRecord(key: string, value: Uint8Array, ifMatch: string | undefined): Promise<{ readonly etag: string }> {
    this.#check(key, ifMatch);
    const revision = (this.records.get(key)?.revision ?? 0) + 1;
    this.records.set(key, { revision, value });
    return { etag: String(revision) };
  }

  async deleteRecord(key: string, ifMatch: string | undefined): Promise<boolean> {
    this.#check(key, ifMatch);
    return this.records.delete(key);
  }

  #check(key: string, ifMatch: string | undefined): void {
    const record = this.records.get(key);
    const stale = ifMatch === '*' ? record === undefined : ifMatch !== undefined && ifMatch !== String(record?.revision);
    if (stale) throw new SamerootError('STALE_WRITE', `${key} has changed`);
  }

  async invite(options: { readonly expiresMs: number }): Promise<Invite> {
    this.inviteMs = options.expiresMs;
    const joinLine = 'sameroot start FOLDER --join 127.0.0.1:7440 --token sr1token';
    return { token: 'sr1token', joinLine, expires: '2030-01-01T00:00:00.000Z' };
  }

  async answerDeletes(answer: 'accept' | 'restore'): Promise<{ readonly paths: number }> {
    return { paths: answer === 'accept' ? 77 : 78 };
  }

  conflicts({ after, limit }: { readonly after: string | undefined; readonly limit: number }): ConflictsResult {
    const left = this.conflictList.filter(({ key }) => after === undefined || key > after);
    const items = left.slice(0, limit);
    return { items, next: left.length > limit ? items.at(-1)!.key : undefined, complete: this.conflictsComplete };
  }

  async resolveConflict(key: string, keep: string, etag: string | undefined): Promise<ResolveResult> {
    this.resolved = [key, keep, etag];
    if (keep === 'nobody') throw new SamerootError('NOT_FOUND', `${key} has no version called "nobody"`);
    return { key, kept: VERSION, dropped: 2 };
  }

  async why(key: string): Promise<WhyResult> {
    this.asked = key;
    return { ...this.story, key };
  }

  async trash(options: { readonly prefix: string; readonly after: string | undefined; readonly limit: number }): Promise<TrashResult> {
    const matching = this.trashed.filter(({ path }) => path.startsWith(options.prefix));
    const from = matching.findIndex(({ place }) => place === options.after) + 1;
    const items = matching.slice(from, from + options.limit);
    return { items, next: from + items.length < matching.length ? items.at(-1)!.place : undefined };
  }

  async restoreTrash(request: RestoreRequest): Promise<RestoreResult> {
    this.restoreRequest = request;
    return this.restoreResult;
  }

  async emptyTrash(): Promise<{ readonly files: number; readonly bytes: number }> {
    this.trashed = [];
    return { files: 2, bytes: 140_000 };
  }

  async evict(peer: string): Promise<{ readonly nodeId: string; readonly name: string }> {
    if (peer === 'nobody') throw new SamerootError('NOT_FOUND', 'no peer is called nobody');
    return { nodeId: 'cc'.repeat(32), name: peer };
  }

  async purge(): Promise<PurgeResult> {
    return this.purged;
  }

  onChange(_listener: (event: NodeEvent) => void): () => void {
    return () => undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // nothing is open
  }
}

function listItem(key: string): ListItem {
  return {
    key,
    kind: key.startsWith('f/') ? 'file' : 'record',
    bytes: 5,
    mode: undefined,
    modified: undefined,
    versions: 1,
    content: undefined,
  };
}
