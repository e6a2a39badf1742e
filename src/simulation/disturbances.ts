/** The steps of a history that users do not take: what goes wrong, and what operators do about it. */
import type { Comings } from './comings.ts';
import type { Action } from './history.ts';
import type { SimHost } from './sim-host.ts';
import type { StoreErrorCode } from './sim-store.ts';
import type { Stage } from './stage.ts';

export const BARRIER_MS = 4_000;
const SLOW_BYTES_PER_MS = 20;
const HOUR_MS = 3_600_000;

export class Disturbances {
  readonly #stage: Stage;
  readonly #comings: Comings;

  constructor(stage: Stage, comings: Comings) {
    this.#stage = stage;
    this.#comings = comings;
  }

  disturb(host: SimHost, action: Action): void {
    switch (action.type) {
      case 'barrier':
        this.#stage.inBackground(this.#barrier(host));
        break;
      case 'resolve':
        this.#stage.inBackground(this.#resolve(host, action.nth, action.keep));
        break;
      case 'stop':
        this.#stage.inBackground(host.stop().then(() => this.#stage.after(action.downMs, () => host.start())));
        break;
      case 'kill':
      case 'power-loss':
        host.crash(action.type, action.downMs, action.effects);
        break;
      case 'partition':
        this.#partition(host, action.with, action.forMs);
        break;
      case 'cut':
        this.#stage.network.dropOne();
        break;
      case 'slow':
        this.#stage.network.setBandwidth(host.address, SLOW_BYTES_PER_MS);
        this.#stage.after(action.forMs, () => this.#stage.network.setBandwidth(host.address, undefined));
        break;
      case 'disk-error':
        host.diskFault = { code: action.code, chance: action.chance };
        this.#stage.after(action.forMs, () => (host.diskFault = undefined));
        break;
      case 'store-error':
        host.storeFault = action.code as StoreErrorCode;
        this.#stage.after(action.forMs, () => (host.storeFault = undefined));
        break;
      case 'full':
        host.diskFault = { code: 'ENOSPC', chance: 1 };
        this.#stage.after(action.forMs, () => (host.diskFault = undefined));
        break;
      case 'clock':
        // Two hosts more than an hour apart refuse each other's stamps, and say so: that is not what is tested here.
        if (Math.abs(host.clock.offsetMs + action.jumpMs) < HOUR_MS / 2) host.clock.jump(action.jumpMs);
        break;
      case 'join':
        this.#comings.joinLater(host);
        break;
      case 'backup':
        if (
          host.neverJoined ||
          host.evicted ||
          host.returning !== undefined ||
          this.#stage.users.hasRot(host) ||
          !this.#stage.checks.isTakenIn(host)
        )
          return;
        host.backUp();
        break;
      case 'restore':
        if (host.evicted || host.returning !== undefined || !this.#comings.startAnew(host, () => host.restore(action.downMs))) return;
        break;
      case 'lose-database':
        if (!this.#comings.loseDatabase(host, action.downMs)) return;
        break;
      case 'evict':
        this.#stage.inBackground(this.#comings.evict(host, this.#stage.hosts[action.peer % this.#stage.hosts.length]!, action.awayMs));
        break;
      default:
        return;
    }
    this.#stage.count(action);
  }

  #partition(host: SimHost, others: readonly number[], forMs: number): void {
    const inside = new Set([host.index, ...others]);
    const groups = [true, false].map((side) =>
      this.#stage.hosts.filter(({ index }) => inside.has(index) === side).map(({ address }) => address),
    );
    this.#stage.trace.tell(undefined, 'partition', groups.map((group) => group.join(' ')).join(' | '));
    this.#stage.network.partition(groups);
    this.#stage.after(forMs, () => {
      this.#stage.trace.tell(undefined, 'heal', '');
      this.#stage.network.heal();
    });
  }

  async #barrier(host: SimHost): Promise<void> {
    const { node } = host;
    if (node === undefined) return;
    const { done, root, peers } = await node.wait({ timeoutMs: BARRIER_MS });
    if (!done || host.node !== node) return;
    this.#stage.trace.tell(host.index, 'barrier', root.slice(0, 16));
    for (const { nodeId } of peers) {
      const peer = this.#stage.hosts.find(({ identity }) => identity.nodeId === nodeId);
      // What it had confirmed may be gone with a restore, and that is what restoring means.
      if (peer !== undefined && peer.restores === 0) this.#stage.checks.confirmed(host, root, peer);
    }
  }

  async #resolve(host: SimHost, nth: number, keep: number): Promise<void> {
    const share = host.node === undefined ? undefined : this.#stage.checks.replicaOf(host)?.share;
    if (share !== undefined) await this.#stage.users.resolve(host, share, nth, keep);
  }
}
