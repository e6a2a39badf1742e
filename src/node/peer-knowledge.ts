/**
 * What this host knows of a key at its peers. It says how it knows: an equal root says all; a root of the peer that is or
 * was ours says what the peer had then; else the two trees are compared. What can not be known is said to be unknown.
 */
import { equalBytes } from '../base/bytes.ts';
import { SamerootError } from '../base/errors.ts';
import type { Clock, Timers } from '../base/world.ts';
import { decodeEntry } from '../entry/entry-codec.ts';
import { contains, type Entry } from '../entry/entry.ts';
import type { Replica } from '../replica/replica.ts';
import type { PeerKnowledge } from './answers.ts';
import type { Body } from './body.ts';
import type { Listing, PeerLink } from './peer-link.ts';
import type { Peers } from './peers.ts';
import { liveVersions, type Telling } from './versions.ts';

/** A peer that does not answer is not waited for longer. */
const LISTING_MS_MAX = 5_000;

export interface KnowledgeParts {
  readonly body: Body;
  readonly peers: Peers;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly ownId: string;
  readonly author: Telling['author'];
  /** The newest root of this peer that we contain. */
  readonly containedRoot: (nodeId: string) => Uint8Array | undefined;
}

type Finding = { readonly by: 'root' | 'history' | 'comparison'; readonly entry: Entry | undefined };

export function peerKnowledge(parts: KnowledgeParts, key: Uint8Array): Promise<PeerKnowledge[]> {
  const { body, peers, ownId } = parts;
  const names = new Map(body.members.list().map(({ nodeId, name, address }) => [nodeId, { name, address }]));
  for (const [nodeId, { hello, channel }] of peers.links) {
    names.set(nodeId, { name: hello?.name ?? '', address: names.get(nodeId)?.address ?? channel.remoteAddress });
  }
  names.delete(ownId);
  return Promise.all([...names].map(([nodeId, { name, address }]) => knowledgeOf(parts, key, { nodeId, name, address })));
}

async function knowledgeOf(
  parts: KnowledgeParts,
  key: Uint8Array,
  { nodeId, name, address }: { readonly nodeId: string; readonly name: string; readonly address: string },
): Promise<PeerKnowledge> {
  const { body, peers, clock } = parts;
  const link = peers.links.get(nodeId);
  const trouble = link === undefined ? peers.trouble(nodeId, address) : { error: undefined, nextRetryMs: undefined };
  const finding = link === undefined ? inHistory(body.replica, parts.containedRoot(nodeId), key) : await atLink(parts, link, key);
  // Only now: a comparison takes its time, and this host goes on meanwhile.
  const here = body.replica.entry(key);
  const state = finding === undefined ? 'unknown' : compare(here, finding.entry);
  const told =
    finding === undefined || state === 'same' ? undefined : liveVersions(key, finding.entry, { store: undefined, author: parts.author });
  const { error, nextRetryMs } = trouble;
  return {
    name,
    nodeId,
    connected: link !== undefined,
    state,
    by: finding?.by,
    versions: told,
    nextRetrySeconds: nextRetryMs === undefined ? undefined : Math.max(0, (nextRetryMs - clock.monotonicMs()) / 1_000),
    error: error === undefined ? undefined : { code: error.code, message: error.message },
  };
}

/** What the peer had when its root was also one of ours. */
function inHistory(replica: Replica, root: Uint8Array | undefined, key: Uint8Array): Finding | undefined {
  try {
    const tree = root === undefined ? undefined : replica.treeOf(root);
    return tree === undefined ? undefined : { by: 'history', entry: replica.entry(key, tree) };
  } catch (error) {
    // The pages of an old tree may have been collected a moment ago.
    if (!(error instanceof SamerootError) || error.code !== 'DATABASE_DAMAGED') throw error;
    return undefined;
  }
}

async function atLink({ body, timers }: KnowledgeParts, link: PeerLink, key: Uint8Array): Promise<Finding | undefined> {
  const { replica } = body;
  if (link.session?.inSync === true) return { by: 'root', entry: replica.entry(key) };
  const known = inHistory(replica, link.session?.peerRoot, key);
  if (known !== undefined) return known;
  const listing = await listingOf(link, timers);
  return listing === undefined ? undefined : inListing(replica, listing, key);
}

/** Undefined where the connection breaks, or the peer takes too long. */
function listingOf(link: PeerLink, timers: Timers): Promise<Listing | undefined> {
  return new Promise((resolve) => {
    const late = timers.after(LISTING_MS_MAX, () => resolve(undefined));
    link
      .list()
      .then(resolve, () => resolve(undefined))
      .finally(() => late.cancel());
  });
}

/** A key that a list lacks is not different there, if the lists are whole. */
function inListing(replica: Replica, { here, there, truncated }: Listing, key: Uint8Array): Finding | undefined {
  const theirs = there.find((item) => equalBytes(item.key, key));
  if (theirs !== undefined) return { by: 'comparison', entry: decodeEntry(theirs.entry) };
  if (truncated) return undefined;
  return { by: 'comparison', entry: here.some((item) => equalBytes(item.key, key)) ? undefined : replica.entry(key) };
}

function compare(here: Entry | undefined, there: Entry | undefined): PeerKnowledge['state'] {
  const lacksNothing = there === undefined || holds(here, there);
  const lacksNothingThere = here === undefined || holds(there, here);
  if (lacksNothing) return lacksNothingThere ? 'same' : 'behind';
  return lacksNothingThere ? 'ahead' : 'apart';
}

/** Two histories that can not be merged hold nothing of each other. */
function holds(a: Entry | undefined, b: Entry): boolean {
  try {
    return contains(a, b);
  } catch (error) {
    if (error instanceof SamerootError) return false;
    throw error;
  }
}
