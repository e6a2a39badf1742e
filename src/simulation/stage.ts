/** What all parts of one simulation share: the hosts, what is around them, what is known of them, and work under way. */
import { messageOf } from '../base/errors.ts';
import { SHARE_CHUNK_BYTES_MIN } from '../base/limits.ts';
import type { ChunkerParameters } from '../content/chunker.ts';
import { Checks } from './checks.ts';
import type { Action, History } from './history.ts';
import { Model } from './model.ts';
import { SeededRandom } from './random.ts';
import { SimHost } from './sim-host.ts';
import { SimNetwork } from './sim-network.ts';
import { Trace, type TraceLine } from './trace.ts';
import { Users } from './users.ts';
import { VirtualTime } from './virtual-time.ts';

/** The smallest that a share may have: files of some 100 KB are as large, in chunks, as files of many megabytes are elsewhere. */
const SMALL_CHUNKS: ChunkerParameters = { minBytes: SHARE_CHUNK_BYTES_MIN, maskBits: 8, maxBytes: 1536 };

export class Stage {
  readonly random: SeededRandom;
  readonly time: VirtualTime;
  readonly network: SimNetwork;
  readonly trace: Trace;
  readonly model: Model = new Model();
  readonly users: Users;
  readonly checks: Checks;
  readonly hosts: SimHost[] = [];
  readonly #settleMs: number;
  readonly #purgeEveryMs: number;
  readonly #chunker: ChunkerParameters | undefined;
  /** Work of steps that is under way. */
  pending = 0;

  constructor(history: History, drain: () => Promise<void>, print: ((line: TraceLine) => void) | undefined) {
    this.random = new SeededRandom(`sameroot ${history.version} ${history.seed}`);
    this.time = new VirtualTime({ drain, random: this.random.fork('time') });
    this.trace = new Trace(() => this.time.nowMs, print);
    this.network = new SimNetwork({
      time: this.time,
      random: this.random.fork('network'),
      hook: (event) => {
        if (event.type === 'message') this.trace.effect(-1, 'message', event.bytes);
        else this.trace.tell(undefined, event.type, `${event.source} ${event.target}`);
      },
    });
    this.#settleMs = this.random.pick([20, 100, 300]);
    this.#purgeEveryMs = this.random.pick([500, 3_000, 60_000]);
    this.#chunker = this.random.fork('chunker').chance(0.25) ? SMALL_CHUNKS : undefined;
    this.users = new Users(this.model, this.random.fork('users'), this.trace);
    this.checks = new Checks(this.model, this.users, this.trace);
    this.users.onTorn = (host, path, what) => this.checks.report('torn', `host ${host.index}: ${path} holds ${what}`);
    this.users.isAsPlaced = (host, path) => this.checks.isAsPlaced(host, path);
    this.users.hasRead = (host, path, file) => this.checks.hasRead(host, path, file);
    this.users.othersShow = (host, at, value) =>
      this.hosts.some(
        (other) =>
          other !== host &&
          this.users.items(other).some(({ path, file }) => path === at && this.users.valueOf(other, file).value === value),
      );
    for (let index = 0; index < history.replicas; index++) this.addHost();
  }

  addHost(): SimHost {
    const host = new SimHost({
      index: this.hosts.length,
      time: this.time,
      network: this.network,
      random: this.random.fork(`host ${this.hosts.length}`),
      trace: this.trace,
      settleMs: this.#settleMs,
      purgeEveryMs: this.#purgeEveryMs,
      chunker: this.#chunker,
      beforePowerLoss: (dark) => this.checks.flushUncovered(dark),
      onDeath: (dead, death) => {
        this.users.turnBackTouched(dead);
        this.checks.afterDeath(dead, death);
      },
    });
    this.hosts.push(host);
    return host;
  }

  after(ms: number, callback: () => void): void {
    this.time.schedule(ms, callback);
  }

  inBackground(work: Promise<unknown>): void {
    this.pending++;
    work.catch((error: unknown) => this.trace.tell(undefined, 'step-failed', messageOf(error))).finally(() => this.pending--);
  }

  count(action: Action): void {
    this.trace.counts.set(`step ${action.type}`, (this.trace.counts.get(`step ${action.type}`) ?? 0) + 1);
  }
}

export function isReady(host: SimHost): boolean {
  const status = host.node?.status();
  return status !== undefined && status.shareId !== '' && status.state !== 'scanning';
}
