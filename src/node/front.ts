/**
 * What others call of a node: the command line, HTTP, programs. Each call is answered by the part that knows; here is only
 * which one that is. While the share is not known there is nobody to ask, but for the status.
 */
import { SamerootError } from '../base/errors.ts';
import type { World } from '../base/world.ts';
import type { Store } from '../store/store.ts';
import type { ConflictsResult, ResolveResult, RestoreRequest, RestoreResult, TrashResult, WhyResult } from './answers.ts';
import { selectPeers, waitForPeers } from './barrier.ts';
import type { Body } from './body.ts';
import type { Confirmations } from './confirmations.ts';
import type { Cursors } from './cursors.ts';
import { createInvite } from './invites.ts';
import type { Membership } from './membership.ts';
import type {
  DiffResult,
  Invite,
  ListResult,
  NodeApi,
  NodeEvent,
  NodeStatus,
  PurgeResult,
  RecordValue,
  WaitRequest,
  WaitResult,
} from './node-api.ts';
import type { Peers } from './peers.ts';
import { Questions } from './questions.ts';
import { diffReport, listEntries } from './reports.ts';
import { nodeStatus, type StatusParts } from './status.ts';

export interface FrontParts {
  readonly world: World;
  readonly store: Store;
  readonly nodeId: string;
  readonly membership: Membership;
  readonly peers: Peers;
  readonly confirmations: Confirmations;
  readonly cursors: Cursors;
  /** @throws {SamerootError} `PEER_UNREACHABLE` while the share is not known */
  readonly body: () => Body;
  readonly statusParts: () => StatusParts;
  readonly listeners: Set<(event: NodeEvent) => void>;
  readonly close: () => Promise<void>;
}

export class NodeFront implements NodeApi {
  readonly #parts: FrontParts;
  readonly #questions: Questions;

  constructor(parts: FrontParts) {
    const { world, peers, nodeId, membership, body, cursors } = parts;
    this.#parts = parts;
    this.#questions = new Questions({
      world,
      peers,
      own: { nodeId, name: membership.name },
      body,
      cursor: (of) => cursors.get(of),
      problems: () => this.status().errors,
    });
  }

  status(): NodeStatus {
    return nodeStatus(this.#parts.statusParts());
  }

  async scan(): Promise<void> {
    const { folder, replica } = this.#parts.body();
    await folder.scanNow();
    await replica.idle();
  }

  wait(request: WaitRequest): Promise<WaitResult> {
    const { world, body, peers, confirmations, cursors, nodeId } = this.#parts;
    const { clock, timers } = world;
    const cursor = (of: string): Uint8Array | undefined => cursors.get(of)?.root;
    const parts = { body: body(), peers, confirmations, clock, timers };
    return waitForPeers({ ...parts, ownId: nodeId, cursor, scan: () => this.scan() }, request);
  }

  async diff(peer: string | undefined, limit: number): Promise<DiffResult> {
    const { peers, nodeId } = this.#parts;
    const body = this.#parts.body();
    await body.folder.whenRead();
    const chosen = selectPeers({ body, peers, ownId: nodeId }, peer === undefined ? undefined : [peer]);
    const link = chosen.map((each) => peers.links.get(each.nodeId)).find((found) => found !== undefined);
    if (link === undefined)
      throw new SamerootError('PEER_UNREACHABLE', peer === undefined ? 'no peer is connected' : `${peer} is not connected`);
    const listing = await link.list();
    return diffReport(link.hello!.name, body.replica, listing, limit);
  }

  list(options: { readonly prefix: string; readonly after: string | undefined; readonly limit: number }): ListResult {
    return listEntries(this.#parts.body().replica, options);
  }

  getRecord(key: string): Promise<RecordValue | undefined> {
    return Promise.resolve(this.#parts.body().records.get(key));
  }

  async putRecord(key: string, value: Uint8Array, ifMatch: string | undefined): Promise<{ readonly etag: string }> {
    return { etag: await this.#parts.body().records.put(key, value, ifMatch) };
  }

  deleteRecord(key: string, ifMatch: string | undefined): Promise<boolean> {
    return this.#parts.body().records.remove(key, ifMatch);
  }

  async invite({ expiresMs }: { readonly expiresMs: number }): Promise<Invite> {
    const { world, store, nodeId, membership } = this.#parts;
    const { replica, members } = this.#parts.body();
    const nowMs = world.clock.wallMs();
    const inviter = { nodeId, address: membership.address };
    return createInvite(store, replica, inviter, { nowMs, madeMs: members.laterMs(nowMs), expiresMs }, world.random);
  }

  async answerDeletes(answer: 'accept' | 'restore'): Promise<{ readonly paths: number }> {
    const { folder } = this.#parts.body();
    return { paths: await (answer === 'accept' ? folder.acceptDeletes() : folder.restoreDeletes()) };
  }

  onChange(listener: (event: NodeEvent) => void): () => void {
    const { listeners } = this.#parts;
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  conflicts(options: Parameters<NodeApi['conflicts']>[0]): ConflictsResult {
    return this.#questions.conflicts(options);
  }

  resolveConflict(key: string, keep: string, ifMatch: string | undefined): Promise<ResolveResult> {
    return this.#questions.resolveConflict(key, keep, ifMatch);
  }

  async why(key: string): Promise<WhyResult> {
    return this.#questions.why(key);
  }

  trash(options: Parameters<NodeApi['trash']>[0]): Promise<TrashResult> {
    return this.#questions.trash(options);
  }

  async restoreTrash(request: RestoreRequest): Promise<RestoreResult> {
    return this.#questions.restoreTrash(request);
  }

  async emptyTrash(): Promise<{ readonly files: number; readonly bytes: number }> {
    return this.#questions.emptyTrash();
  }

  async evict(peer: string): Promise<{ readonly nodeId: string; readonly name: string }> {
    this.#parts.body();
    return this.#parts.membership.evict(peer);
  }

  purge(): Promise<PurgeResult> {
    return this.#parts.body().purge.now();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#parts.close();
  }
}
