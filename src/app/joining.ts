/**
 * A node that joins does not know its share until a host of it has answered. Whoever starts one waits here, and gives
 * up where repeating the attempt changes nothing.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { SamerootError, type ErrorCode } from '../base/errors.ts';
import type { NodeApi, NodeStatus } from '../node/node-api.ts';

const POLL_MS = 20;

const HOPELESS: ReadonlySet<ErrorCode> = new Set([
  'BAD_TOKEN',
  'TOKEN_EXPIRED',
  'NOT_INVITED',
  'INVITER_EVICTED',
  'WRONG_PEER',
  'SHARE_MISMATCH',
  'VERSION_MISMATCH',
  'INSECURE_ADDRESS',
  'CLOCK_AHEAD',
  'FOLDER_MISSING',
  'FOLDER_READ_ONLY',
]);

export interface JoinLimits {
  readonly signal: AbortSignal;
  /** Give up after this long without an answer; undefined: never. */
  readonly unreachableMsMax: number | undefined;
  /** Called once, if it takes longer than a moment. */
  readonly onDelay?: (reason: string) => void;
}

const DELAY_MS = 2_000;

/** Resolves when the share is known, or when `signal` is aborted. @throws {SamerootError} why it can not be */
export async function untilShareKnown(node: NodeApi, limits: JoinLimits): Promise<void> {
  const startedMs = performance.now();
  let told = false;
  for (;;) {
    const status = node.status();
    if (status.shareId !== '' || limits.signal.aborted) return;
    throwIfHopeless(status);
    const waitedMs = performance.now() - startedMs;
    const reason = status.errors[0]?.message ?? 'no host to join has answered';
    if (limits.unreachableMsMax !== undefined && waitedMs > limits.unreachableMsMax) throw new SamerootError('PEER_UNREACHABLE', reason);
    if (!told && waitedMs > DELAY_MS) {
      limits.onDelay?.(reason);
      told = true;
    }
    await sleep(POLL_MS);
  }
}

/** @throws {SamerootError} the first trouble that time does not heal */
export function throwIfHopeless(status: NodeStatus): void {
  const ofPeers = status.peers.flatMap((peer) => (peer.connected || peer.error === undefined ? [] : [peer.error]));
  const found = [...ofPeers, ...status.errors].find(({ code }) => HOPELESS.has(code));
  if (found !== undefined) throw new SamerootError(found.code, found.message);
}
