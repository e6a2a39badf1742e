/**
 * One host of the simulation: what survives its deaths (disk, database, key, clock), and the life that runs on it.
 *
 * Invariant: a life has no other way to the world than its grounds, and every one of them asks whether it is alive. So
 * a dead life is silent, whatever its promises still do, and a new one finds exactly what a crash leaves.
 */
import { SamerootError, messageOf } from '../base/errors.ts';
import type { Log, LogFields } from '../base/world.ts';
import type { ChunkerParameters } from '../content/chunker.ts';
import { makeJobs, type Jobs } from '../folder/disk-jobs.ts';
import { prepareFolder } from '../folder/prepare.ts';
import type { Identity } from '../net/identity.ts';
import type { Address } from '../net/transport.ts';
import type { NodeApi, NodeOptions, ReturnOptions } from '../node/node-api.ts';
import { startNode, type Grounds } from '../node/node.ts';
import type { SeededRandom } from './random.ts';
import { SimFileSystem, type SimMount } from './sim-disk.ts';
import type { DiskSnapshot } from './sim-disk-snapshot.ts';
import { simulatedIdentity } from './sim-identity.ts';
import type { SimNetwork, SimTransport } from './sim-network.ts';
import { SimStoreDisk, type StoreErrorCode, type StoreSnapshot } from './sim-store.ts';
import { WorkThreads } from '../folder/work-threads.ts';
import { SimThread } from './sim-threads.ts';
import type { Trace } from './trace.ts';
import { UserFiles } from './user-files.ts';
import { HostClock, type VirtualTime } from './virtual-time.ts';

/** Thrown out of an effect where the host dies: nothing catches it that could do anything. */
export class HostDied extends Error {
  constructor() {
    super('the simulated host has died');
  }
}

export type Death = 'kill' | 'power-loss';

export const SHARED_FOLDER = '/share';
const RESTART_MS = 1_000;
const TAKES_SPACE = ['write', 'truncate', 'flush', 'mkdir', 'rename', 'link', 'symlink', 'copyFile', 'syncFileSystem'];
/** Which calls an error can come from; those of other codes from all. */
const FAILS_BY: Readonly<Record<string, ReadonlySet<string>>> = {
  ENOSPC: new Set(TAKES_SPACE),
  EROFS: new Set([...TAKES_SPACE, 'rmdir', 'unlink', 'removeTree', 'chmod', 'utimes']),
  EMFILE: new Set(['open', 'watch', 'readdir', 'readdirBytes', 'subfolders']),
};
const CAPACITY_BYTES = 1 << 30;

export interface SimHostParts {
  readonly index: number;
  readonly time: VirtualTime;
  readonly network: SimNetwork;
  readonly random: SeededRandom;
  readonly trace: Trace;
  readonly settleMs: number;
  readonly purgeEveryMs: number;
  /** Of the share, if this host founds it. */
  readonly chunker: ChunkerParameters | undefined;
  /** The database is already what the power loss leaves of it. */
  readonly beforePowerLoss: (host: SimHost) => void;
  /** What is found on the disk right after a death. */
  readonly onDeath: (host: SimHost, death: Death) => void;
}

/** One incarnation. */
interface Life {
  alive: boolean;
  node: NodeApi | undefined;
  /** Dies before this many further effects have happened. */
  fuse: { effects: number; readonly death: Death; readonly downMs: number } | undefined;
  mount: SimMount;
  transport: SimTransport;
}

export class SimHost {
  readonly index: number;
  readonly address: string;
  readonly port: number = 7_440;
  readonly identity: Identity;
  readonly disk: SimFileSystem;
  readonly files: UserFiles;
  readonly database: SimStoreDisk;
  readonly clock: HostClock;
  readonly #parts: SimHostParts;
  #life: Life | undefined;
  #joins: readonly Address[] = [];
  #token: string | undefined;
  #lives = 0;
  /** Faults that are switched on. */
  diskFault: { readonly code: string; readonly chance: number } | undefined;
  storeFault: StoreErrorCode | undefined;
  /** Stays down until `start` is called. */
  #wanted = false;

  constructor(parts: SimHostParts) {
    const { index, time, random } = parts;
    this.#parts = parts;
    this.index = index;
    this.address = `10.0.0.${index + 1}`;
    this.identity = simulatedIdentity(new Uint8Array(32).fill(index + 1));
    this.clock = new HostClock(time, { offsetMs: random.below(2_000) - 1_000, driftPerMillion: random.below(200) - 100 });
    const clock = { wallMs: () => this.clock.wallMs(), monotonicMs: () => time.nowMs };
    this.disk = new SimFileSystem({
      clock,
      random: random.fork('disk'),
      capacityBytes: CAPACITY_BYTES,
      tickMs: random.pick([0, 1, 4]),
      reuseChance: random.pick([0, 0.5, 1]),
      shortWriteChance: 0.02,
      permissions: false,
      canSync: random.chance(0.5),
    });
    this.files = new UserFiles(this.disk);
    this.files.mkdir(SHARED_FOLDER);
    this.database = new SimStoreDisk(random.fork('database'));
  }

  /** Undefined while the host is down or starting. */
  get node(): NodeApi | undefined {
    return this.#life?.alive === true ? this.#life.node : undefined;
  }

  get running(): boolean {
    return this.#life?.alive === true;
  }

  /** It has never been part of the share: its invitation did not reach it before its inviter died, say. */
  get neverJoined(): boolean {
    return this.#lives === 0;
  }

  /** Its database knows the share, running or not. */
  get hasShare(): boolean {
    return this.#life?.node?.status().shareId !== '';
  }

  /** Set while this host comes back to the share without its database. */
  returning: ReturnOptions | undefined;
  /** Out of the share until it is invited again. */
  evicted = false;
  #backup: { readonly disk: DiskSnapshot; readonly database: StoreSnapshot } | undefined;

  /** How often it was put back from a backup. */
  restores = 0;

  /** Of this very moment, as a snapshot of the file system would be. */
  backUp(): void {
    this.#backup = { disk: this.disk.snapshot(), database: this.database.snapshot() };
  }

  /** The last backup takes the place of everything. False: there is none. */
  restore(downMs: number): boolean {
    if (this.#backup === undefined) return false;
    this.crash('kill', downMs, 0);
    this.restores++;
    this.disk.restore(this.#backup.disk);
    this.database.restore(this.#backup.database);
    return true;
  }

  /** What `sameroot repair` does first. The backup of it goes, too: it would bring the lost database back. */
  loseDatabase(downMs: number, returning: ReturnOptions): void {
    this.crash('kill', downMs, 0);
    this.database.restore();
    this.returning = returning;
    this.#backup = undefined;
  }

  /** The death that was to come does not. */
  defuse(): void {
    if (this.#life !== undefined) this.#life.fuse = undefined;
  }

  /** How to join, from the first start on. */
  invite(token: string, joins: readonly Address[]): void {
    this.#token = token;
    this.#joins = joins;
  }

  start(): void {
    this.#wanted = true;
    if (this.#life?.alive === true) return;
    this.#parts.trace.tell(this.index, 'start', '');
    const life = this.#makeLife();
    this.#life = life;
    void this.#run(life);
  }

  /** Ends the node as a signal would. */
  async stop(): Promise<void> {
    const life = this.#life;
    this.#wanted = false;
    if (life?.alive !== true) return;
    this.#parts.trace.tell(this.index, 'stop', '');
    try {
      await life.node?.[Symbol.asyncDispose]();
    } catch (error) {
      this.#parts.trace.tell(this.index, 'stop-error', messageOf(error));
    }
    if (life.alive) this.#end(life, 'kill');
  }

  /** At once, or before the `effects`-th next effect. */
  crash(death: Death, downMs: number, effects: number): void {
    const life = this.#life;
    if (life?.alive !== true) return;
    if (effects > 0) life.fuse = { effects, death, downMs };
    else this.#die(life, death, downMs);
  }

  #die(life: Life, death: Death, downMs: number): void {
    const { trace, time } = this.#parts;
    trace.tell(this.index, death, '');
    this.#end(life, death);
    this.#parts.onDeath(this, death);
    time.schedule(downMs, () => {
      if (this.#wanted) this.start();
    });
  }

  #end(life: Life, death: Death): void {
    life.alive = false;
    life.mount.unmount();
    if (death === 'kill') {
      this.database.kill();
      life.transport.crash('process');
    } else {
      this.database.powerLoss();
      this.#parts.beforePowerLoss(this);
      this.disk.powerLoss(this.#parts.random);
      life.transport.crash('power');
    }
  }

  #makeLife(): Life {
    const { network, index } = this.#parts;
    const life: Partial<Life> = { alive: true, node: undefined, fuse: undefined };
    const alive = (): boolean => life.alive === true;
    life.mount = this.disk.mount({
      effect: (kind) => this.#effect(life as Life, kind),
      fault: (operation, path) => this.#diskFaultAt(operation, path),
      deliver: (callback) => this.#deliver(life as Life, callback),
      defer: (callback) => this.#later(life as Life, 3, callback),
    });
    life.transport = network.transportFor({
      nodeId: this.identity.nodeId,
      host: this.address,
      alive,
      effect: (kind) => this.#effect(life as Life, kind),
    });
    this.#parts.trace.effect(index, 'life', ++this.#lives);
    return life as Life;
  }

  async #run(life: Life): Promise<void> {
    try {
      const node = await startNode(this.#options(), this.#grounds(life));
      if (life.alive) life.node = node;
    } catch (error) {
      if (!life.alive) return;
      this.#parts.trace.tell(this.index, 'start-failed', error instanceof SamerootError ? error.code : String(error));
      this.startFailures.push(error);
      this.#end(life, 'kill');
      this.#parts.time.schedule(RESTART_MS, () => {
        if (this.#wanted) this.start();
      });
    }
  }

  /** Why starts failed. */
  readonly startFailures: unknown[] = [];

  #options(): NodeOptions {
    return {
      folder: SHARED_FOLDER,
      dataDir: `${SHARED_FOLDER}/.sameroot`,
      shareName: 'simulated',
      chunker: this.#parts.chunker,
      listen: { host: this.address, port: this.port },
      listenAnyPort: false,
      advertise: true,
      join: this.#joins,
      token: this.#token,
      insecure: false,
      settleMs: this.#parts.settleMs,
      rescanMs: 20_000,
      pullEveryMs: 5_000,
      minFreeBytes: 0,
      purgeEveryMs: this.#parts.purgeEveryMs,
      returning: this.returning,
    };
  }

  /** What other runs of a file were cut side by side with is the rarest of all that must fit together: reports say how often. */
  #countingRuns(jobs: Jobs): Jobs {
    const largeRun: Jobs['largeRun'] = (input) => {
      const { fromBytes } = input.request;
      if (fromBytes > 0) this.#parts.trace.tell(this.index, 'step next-run', `${input.path} from ${fromBytes}`);
      return jobs.largeRun(input);
    };
    return { ...jobs, largeRun };
  }

  #grounds(life: Life): Grounds {
    const { time, random } = this.#parts;
    const alive = (): boolean => life.alive;
    const own = random.fork(`life ${this.#lives}`);
    const clock = this.clock.boot();
    const timers = time.timersFor(alive, { random: own.fork('timers'), earlyMsMax: 0.5, lateMsMax: 2 });
    const access = life.mount;
    const jobs = this.#countingRuns(makeJobs(access.disk, clock));
    const thread = (name: string): SimThread => new SimThread({ jobs, time, random: own.fork(name), alive });
    const read = thread('read');
    const work = new WorkThreads({ first: read, width: 2, start: () => thread('work'), timers });
    prepareFolder(access.disk, own.fork('probe'), SHARED_FOLDER);
    return {
      world: { clock, timers, random: own.fork('node'), log: this.#log(life) },
      store: this.database.open({
        time,
        random: own.fork('store'),
        alive,
        effect: (kind) => this.#effect(life, kind),
        fault: (operation) => (operation === 'store-read' && this.storeFault === 'DISK_FULL' ? undefined : this.storeFault),
      }),
      identity: this.identity,
      transport: life.transport,
      access,
      threads: { read, write: thread('write'), work },
      hostName: `host-${this.index}`,
      networkAddresses: () => [this.address],
    };
  }

  #effect(life: Life, kind: string): void {
    if (!life.alive) throw new HostDied();
    this.#parts.trace.effect(this.index, kind, 0);
    const { fuse } = life;
    if (fuse === undefined || fuse.effects-- > 0) return;
    this.#die(life, fuse.death, fuse.downMs);
    throw new HostDied();
  }

  #diskFaultAt(operation: string, path: string): string | undefined {
    const fault = this.diskFault;
    if (fault === undefined || !path.startsWith(SHARED_FOLDER) || FAILS_BY[fault.code]?.has(operation) === false) return undefined;
    if (!this.#parts.random.chance(fault.chance)) return undefined;
    // A flush that fails may lose what users wrote, and no program on earth could bring that back.
    if (operation === 'flush' || operation === 'syncFileSystem') this.files.flushPending(() => false);
    return fault.code;
  }

  /** Events of watches are hints: late, now and then lost. */
  #deliver(life: Life, callback: () => void): void {
    if (!this.#parts.random.chance(0.03)) this.#later(life, 20, callback);
  }

  #later(life: Life, msMax: number, callback: () => void): void {
    const { time, random } = this.#parts;
    time.schedule(random.fraction() * msMax, () => {
      if (life.alive) callback();
    });
  }

  #log(life: Life): Log {
    const write = (level: string) => (message: string, fields?: LogFields) => {
      if (life.alive) this.#parts.trace.tell(this.index, level, fields === undefined ? message : `${message} ${JSON.stringify(fields)}`);
    };
    return { debug: () => undefined, info: () => undefined, warn: write('warn'), error: write('error') };
  }
}
