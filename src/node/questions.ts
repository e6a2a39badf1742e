/**
 * The questions that people ask, and the few things they decide, about single paths: conflicts, why, trash. Puts together
 * what each answer needs; the answers themselves are made elsewhere.
 */
import { utf8 } from '../base/bytes.ts';
import { messageOf, SamerootError } from '../base/errors.ts';
import type { World } from '../base/world.ts';
import { pathOfKey, pathProblem } from '../folder/paths.ts';
import type { ConflictsResult, ResolveResult, RestoreRequest, RestoreResult, TrashResult, WhyResult } from './answers.ts';
import { authorsOf } from './authors.ts';
import type { Body } from './body.ts';
import { resolveConflict, type ResolveParts } from './conflicts.ts';
import type { ProblemStatus } from './node-api.ts';
import type { Peers } from './peers.ts';
import { trashItem, type Telling } from './versions.ts';
import { why } from './why.ts';

export interface QuestionParts {
  readonly world: World;
  readonly peers: Peers;
  readonly own: { readonly nodeId: string; readonly name: string };
  /** @throws {SamerootError} while the share is not known */
  readonly body: () => Body;
  /** Of a host that was connected once: its replica id, and its newest root that we contain. */
  readonly cursor: (nodeId: string) => { readonly replica: string; readonly root: Uint8Array } | undefined;
  /** What `status` lists as wrong. */
  readonly problems: () => readonly ProblemStatus[];
}

export class Questions {
  readonly #parts: QuestionParts;

  constructor(parts: QuestionParts) {
    this.#parts = parts;
  }

  conflicts(options: { readonly after: string | undefined; readonly limit: number }): ConflictsResult {
    const body = this.#parts.body();
    return body.conflicts.list(options, this.#telling(body));
  }

  async resolveConflict(key: string, keep: string, ifMatch: string | undefined): Promise<ResolveResult> {
    const { world } = this.#parts;
    const body = this.#parts.body();
    const { replica, landing, folder } = body;
    // What is committed is shown in the end, whatever goes wrong now.
    const project = (keys: readonly Uint8Array[]): Promise<void> =>
      landing.project(keys).catch((error: unknown) => world.log.warn('paths can not be shown', { error: messageOf(error) }));
    const todoRows: ResolveParts['todoRows'] = (at) => landing.todoRows(at);
    const commit: ResolveParts['commit'] = (mutation) => {
      const path = pathOfKey(mutation.key);
      return path === undefined ? replica.commit([mutation]) : folder.commitAsShown(path, mutation);
    };
    const parts = { commit, telling: this.#telling(body), todoRows, project };
    return resolveConflict(parts, soundKey(key), keep, ifMatch);
  }

  why(key: string): Promise<WhyResult> {
    const { world, peers, own, cursor, problems } = this.#parts;
    const body = this.#parts.body();
    const { author } = this.#telling(body);
    const { clock, timers } = world;
    const containedRoot = (nodeId: string): Uint8Array | undefined => cursor(nodeId)?.root;
    return why({ body, peers, clock, timers, ownId: own.nodeId, author, containedRoot, problems: problems() }, key);
  }

  async trash(options: { readonly prefix: string; readonly after: string | undefined; readonly limit: number }): Promise<TrashResult> {
    const { items, next } = await this.#parts.body().folder.listTrash(options);
    return { items: items.map(trashItem), next };
  }

  restoreTrash(request: RestoreRequest): Promise<RestoreResult> {
    return this.#parts.body().folder.restoreTrash(request);
  }

  emptyTrash(): Promise<{ readonly files: number; readonly bytes: number }> {
    return this.#parts.body().folder.emptyTrash();
  }

  #telling(body: Body): Telling {
    const { peers, own, cursor } = this.#parts;
    const author = authorsOf({ body, peers, own, replicaOf: (nodeId) => cursor(nodeId)?.replica });
    return { store: body.replica.store, author };
  }
}

/** @throws {SamerootError} `KEY_INVALID` */
function soundKey(key: string): Uint8Array {
  const sound = key.startsWith('r/') || (key.startsWith('f/') && pathProblem(key.slice(2)) === undefined);
  if (!sound) throw new SamerootError('KEY_INVALID', `${JSON.stringify(key.slice(0, 80))} is no key of a file (f/PATH) or record (r/NAME)`);
  return utf8(key);
}
