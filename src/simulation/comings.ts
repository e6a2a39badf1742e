/**
 * Hosts that come, go, and come back: by an invitation, after an eviction, without their database, or out of a backup.
 *
 * Whoever starts anew may have lost what nobody else had by then; the model is told at that moment, from what the others show.
 */
import type { SimHost } from './sim-host.ts';
import { isReady, type Stage } from './stage.ts';

const HOSTS_MAX = 8;
export const START_MS_MAX = 60_000;
const INVITED_MS = 100;
const INVITE_MS = 86_400_000;
const REFUSALS: ReadonlySet<string> = new Set(['EVICTED', 'NOT_INVITED', 'INVITER_EVICTED']);

export class Comings {
  readonly #stage: Stage;

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  noteReturned(): void {
    for (const host of this.#stage.hosts)
      if (host.returning !== undefined && host.node?.status().returning?.done === true) host.returning = undefined;
  }

  /** What only this host had may be gone afterwards. */
  startAnew(host: SimHost, action: () => boolean): boolean {
    // Read again from the disk, bytes that have rotted would pass for an edit.
    if (this.#stage.users.hasRot(host)) return false;
    // One that comes back without its database holds nothing for the others: what they do not have is set aside there.
    const others = this.#stage.hosts.filter((other) => other !== host && !other.evicted && other.returning === undefined);
    const elsewhere = this.#stage.users.shownOn(others);
    const records = this.#stage.checks.recordsIn(others);
    if (!action()) return false;
    const lost = this.#stage.model.disown(({ number, key, value }) => elsewhere.has(number) || records.has(`${key} ${value}`));
    this.#stage.trace.tell(host.index, 'starts anew', lost.map(({ key, value }) => `${key} ${value}`).join(', '));
    return true;
  }

  /**
   * Only where there is somebody to come back to, and nobody who has just joined waits to hear who the members are: where no host
   * knows, a person has to say so (`repair --alone`).
   */
  loseDatabase(host: SimHost, downMs: number): boolean {
    if (host.neverJoined || host.evicted || host.returning !== undefined) return false;
    const others = this.#stage.hosts.filter((other) => other !== host && !other.evicted && other.returning === undefined);
    if (!others.some(isReady) || !others.every((other) => this.#stage.checks.knowsShare(other))) return false;
    return this.startAnew(host, () => {
      host.loseDatabase(downMs, { unknown: 'keep', alone: false });
      return true;
    });
  }

  async evict(host: SimHost, peer: SimHost, awayMs: number): Promise<void> {
    const { node } = host;
    const busy = this.#stage.hosts.some((other) => other.evicted || other.returning !== undefined);
    if (busy || node === undefined || peer === host || !isReady(peer) || host.evicted || this.#stage.users.hasRot(peer)) return;
    peer.evicted = true;
    try {
      await node.evict(peer.identity.nodeId);
      this.#stage.trace.tell(host.index, 'evicts', `host ${peer.index}`);
    } finally {
      // Also where nobody knows whether it happened: a member may come back, too.
      this.#stage.after(awayMs, () => this.#stage.inBackground(this.#invite(peer)));
    }
  }

  async invited(host: SimHost): Promise<void> {
    this.#stage.inBackground(this.#invite(host));
    await this.#stage.time.run({ until: () => this.#stage.pending === 0, deadlineMs: this.#stage.time.nowMs + START_MS_MAX });
  }

  /** A host that was evicted, or is refused, is invited again. */
  async #invite(host: SimHost): Promise<void> {
    const able = this.#stage.hosts.filter(
      (other) => other !== host && !other.evicted && other.returning === undefined && other.node !== undefined && isReady(other),
    );
    const refuser = able.find((other) => isCutOffFrom(host, other));
    const inviter = refuser ?? able.find((other) => !isOutcast(other)) ?? able[0];
    if (inviter === undefined) return;
    const { token } = await inviter.node!.invite({ expiresMs: INVITE_MS });
    // Whoever was not evicted keeps its tree.
    if (host.hasShare && (host.evicted || isToldEvicted(host))) {
      this.startAnew(host, () => {
        host.loseDatabase(INVITED_MS, { unknown: 'set-aside', alone: false });
        return true;
      });
    } else host.crash('kill', INVITED_MS, 0);
    host.evicted = false;
    welcome(host, inviter, token);
  }

  /** A host that has never been in the share comes in. */
  async join(host: SimHost, inviter: SimHost): Promise<void> {
    const { token } = await inviter.node!.invite({ expiresMs: INVITE_MS });
    welcome(host, inviter, token);
    host.start();
  }

  joinLater(inviter: SimHost): void {
    if (this.#stage.hosts.length >= HOSTS_MAX || inviter.node === undefined || !isReady(inviter)) return;
    const host = this.#stage.addHost();
    this.#stage.inBackground(this.join(host, inviter));
  }
}

function welcome(host: SimHost, inviter: SimHost, token: string): void {
  host.invite(token, [{ host: inviter.address, port: inviter.port }]);
}

/** It is a member, but came in on the word of one who was evicted by somebody who had not heard of it. */
function isCutOffFrom(host: SimHost, peer: SimHost): boolean {
  const { nodeId } = peer.identity;
  const peers = host.node?.status().peers ?? [];
  if (host.evicted || isToldEvicted(host)) return false;
  return peers.some((other) => other.nodeId === nodeId && other.error?.code === 'INVITER_EVICTED');
}

function isToldEvicted(host: SimHost): boolean {
  return host.node?.status().errors.some(({ code }) => code === 'EVICTED') === true;
}

/** It can come in by an invitation only. */
export function needsInvitation(host: SimHost, others: readonly SimHost[]): boolean {
  return host.evicted || isOutcast(host) || others.some((other) => !other.evicted && isCutOffFrom(host, other));
}

/** Its peers refuse it: it was evicted, or those who had invited it are gone, or do not remember. */
function isOutcast(host: SimHost): boolean {
  const status = host.node?.status();
  if (status === undefined) return false;
  const refused = status.peers.some(({ error }) => error !== undefined && REFUSALS.has(error.code));
  const alone = status.peers.every(({ connected }) => !connected);
  return status.errors.some(({ code }) => REFUSALS.has(code)) || (refused && alone);
}
