/** The barrier behind `wait`: returns when the chosen peers hold, durably and on disk, what this node holds now. */
import { equalBytes, fromHex, toHex } from '../base/bytes.ts';
import { SamerootError } from '../base/errors.ts';
import type { Clock, Timer, Timers } from '../base/world.ts';
import type { Confirmations } from './confirmations.ts';
import type { Body } from './body.ts';
import type { WaitRequest, WaitResult } from './node-api.ts';
import type { Peers } from './peers.ts';

export interface BarrierParts {
  readonly body: Body;
  readonly peers: Peers;
  readonly confirmations: Confirmations;
  readonly ownId: string;
  readonly clock: Clock;
  readonly timers: Timers;
  /** Takes in what is on disk now. */
  readonly scan: () => Promise<void>;
  /** The newest root of this peer that we contain. */
  readonly cursor: (nodeId: string) => Uint8Array | undefined;
}

export async function waitForPeers(parts: BarrierParts, request: WaitRequest): Promise<WaitResult> {
  const { body, confirmations, clock, timers } = parts;
  const deadline = clock.monotonicMs() + request.timeoutMs;
  const cancelled = (): boolean => request.signal?.aborted === true;
  const left = (): number => (cancelled() ? 0 : Math.max(0, deadline - clock.monotonicMs()));
  const wanted = request.root === undefined ? undefined : fromHex(request.root);
  let reached = await withinTime(timers, parts.scan(), left());
  if (reached && wanted !== undefined) reached = await confirmations.until(() => cancelled() || contains(parts, wanted), left());
  const { root, commit: newest } = body.replica.head;
  const commit = (wanted === undefined ? undefined : confirmations.commitOf(wanted)) ?? newest;
  const selected = selectPeers(parts, request.peers);
  const confirmed = (nodeId: string): boolean => confirmations.hasConfirmed(nodeId, commit);
  const over = (): boolean => cancelled() || selected.every(({ nodeId }) => confirmed(nodeId));
  const done = reached && (await confirmations.until(over, left())) && !cancelled();
  return { root: toHex(root), peers: selected.map(({ nodeId, name }) => ({ nodeId, name, confirmed: confirmed(nodeId) })), done };
}

/** Do we hold everything of this root, ours or a peer's? */
function contains({ body, peers, cursor }: BarrierParts, root: Uint8Array): boolean {
  if (body.replica.treeOf(root) !== undefined) return true;
  return [...peers.links.keys()].some((nodeId) => {
    const held = cursor(nodeId);
    return held !== undefined && equalBytes(held, root);
  });
}

/**
 * Members and connected peers by name or by the start of their node id; all of them where none is named.
 * @throws {SamerootError} `NOT_FOUND`
 */
export function selectPeers(
  { body, peers, ownId }: Pick<BarrierParts, 'body' | 'peers' | 'ownId'>,
  wanted: readonly string[] | undefined,
): { readonly nodeId: string; readonly name: string }[] {
  const known = new Map(body.members.list().map(({ nodeId, name }) => [nodeId, { nodeId, name }]));
  for (const [nodeId, link] of peers.links) known.set(nodeId, { nodeId, name: link.hello?.name ?? '' });
  known.delete(ownId);
  if (wanted === undefined) return [...known.values()];
  return wanted.flatMap((text) => {
    const found = [...known.values()].filter(({ nodeId, name }) => nodeId.startsWith(text) || name === text);
    if (found.length === 0) throw new SamerootError('NOT_FOUND', `no peer is called ${text}`);
    return found;
  });
}

async function withinTime(timers: Timers, work: Promise<void>, timeoutMs: number): Promise<boolean> {
  let timer: Timer | undefined;
  const late = new Promise<boolean>((resolve) => (timer = timers.after(timeoutMs, () => resolve(false))));
  try {
    return await Promise.race([work.then(() => true), late]);
  } finally {
    timer?.cancel();
  }
}
