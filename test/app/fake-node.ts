/** A node in memory: answers what the tests set, and remembers what it was asked. Records are real, with ETags. */
import { SamerootError } from '../../src/base/errors.ts';
import type {
  DiffResult,
  Invite,
  ListItem,
  ListResult,
  NodeApi,
  NodeEvent,
  NodeStatus,
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
