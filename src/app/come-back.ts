/**
 * A host that was evicted and holds a new invitation. What its database says came about without the others, so it is not
 * merged: the database is moved aside, and the node comes back to its share as one that knows nothing of it
 * (`node/returning.ts`). What only this host has goes into the quarantine.
 *
 * Invariant: nothing is removed. Moving happens only with an invitation that can still hold; a start that dies after it is
 * taken up by the next one, which finds the old database beside one that knows no share.
 */
import { existsSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import type { Log } from '../base/world.ts';
import { decodeToken, requireUnexpired } from '../net/invitation.ts';
import { wasEvicted } from '../node/eviction.ts';
import type { NodeOptions } from '../node/node-api.ts';
import { isReturnBegun } from '../node/returning.ts';
import { Replica } from '../replica/replica.ts';
import { openLevelStore } from '../store/level-store.ts';

const KEPT_PREFIX = 'db.evicted-';

/**
 * The options to start with; the same ones for a host that was not evicted, or has no invitation.
 * @throws {SamerootError} `BAD_TOKEN`, `TOKEN_EXPIRED`, or what is wrong with the database
 */
export async function comeBack(options: NodeOptions, nowMs: number, log: Log): Promise<NodeOptions> {
  const { dataDir, token } = options;
  const database = join(dataDir, 'db');
  if (token === undefined || options.returning !== undefined || !existsSync(dataDir)) return options;
  const state = existsSync(database) ? await stateOf(database) : 'empty';
  const begun = state === 'empty' && readdirSync(dataDir).some((name) => name.startsWith(KEPT_PREFIX));
  if (state !== 'evicted' && !begun) return options;
  requireUnexpired(decodeToken(token), nowMs);
  if (state === 'evicted') {
    const kept = join(dataDir, `${KEPT_PREFIX}${new Date(nowMs).toISOString().slice(0, 19).replaceAll(':', '-')}Z`);
    renameSync(database, kept);
    log.info('this host was evicted and comes back; its old database is kept', { path: kept });
  }
  return { ...options, returning: { unknown: 'set-aside', alone: false } };
}

async function stateOf(database: string): Promise<'evicted' | 'empty' | 'other'> {
  await using store = await openLevelStore(database);
  if (wasEvicted(store)) return 'evicted';
  return Replica.storedShare(store) === undefined && !isReturnBegun(store) ? 'empty' : 'other';
}
