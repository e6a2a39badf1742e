/**
 * One history, from the first start of its hosts to the moment when nothing moves any more, and all checks on the way.
 *
 * Everything is decided by the history: its seed feeds every source of chance, and time is virtual. So a run can be
 * repeated bit for bit (`Trace.hash` says so), on any machine.
 */
import { messageOf } from '../base/errors.ts';
import { Checks, type Violation } from './checks.ts';
import type { Action, History, Step } from './history.ts';
import { Model } from './model.ts';
import { SeededRandom } from './random.ts';
import { HostDied, SimHost } from './sim-host.ts';
import { CALM_NETWORK, SimNetwork } from './sim-network.ts';
import type { NetworkFaults } from './sim-pipe.ts';
import type { StoreErrorCode } from './sim-store.ts';
import { Trace, type TraceLine } from './trace.ts';
import { Users } from './users.ts';
import { VirtualTime } from './virtual-time.ts';

export interface SimulationOptions {
  /** Resolves when no promise can go on. */
  readonly drain: () => Promise<void>;
  readonly print?: (line: TraceLine) => void;
  /** Is given the function that takes rejections which nobody has handled. */
  readonly onUnhandled?: (report: (error: unknown) => void) => void;
}

export interface Outcome {
  readonly seed: number;
  readonly violations: readonly Violation[];
  /** Equal for equal runs. */
  readonly traceHash: string;
  /** The root that all replicas have in the end, in hex. */
  readonly root: string | undefined;
  readonly virtualMs: number;
  readonly events: number;
  /** How often each kind of step and fault happened. */
  readonly counts: Readonly<Record<string, number>>;
}

const START_MS_MAX = 60_000;
/** Longer than the longest pause between two attempts of anything. */
const QUIET_MS_MAX = 900_000;
const STABLE_MS = 2_000;
const QUIET_LOOK_EVERY_MS = 250;
/** A look at all hosts costs more than an event. */
const LOOK_EVERY_MS = 25;
const RETURN_MS = 2_000;
/** A clock that is behind, or a backup of the inviter, can undo an invitation. */
const INVITES_MAX = 3;
/** By then all have heard who was evicted, and by whom: connections that were cut have been given up and made anew. */
const INVITE_EVERY_MS = 60_000;
const INVITED_MS = 100;
const INVITE_MS = 86_400_000;
const BARRIER_MS = 4_000;
const SLOW_BYTES_PER_MS = 20;
const HOUR_MS = 3_600_000;

export async function simulate(history: History, { drain, print, onUnhandled }: SimulationOptions): Promise<Outcome> {
  const simulation = new Simulation(history, drain, print);
  onUnhandled?.((error) => simulation.unhandled(error));
  return simulation.run();
}

class Simulation {
  readonly #history: History;
  readonly #random: SeededRandom;
  readonly #time: VirtualTime;
  readonly #network: SimNetwork;
  readonly #trace: Trace;
  readonly #model = new Model();
  readonly #users: Users;
  readonly #checks: Checks;
  readonly #hosts: SimHost[] = [];
  readonly #settleMs: number;
  readonly #purgeEveryMs: number;
  /** Work of steps that is under way. */
  #pending = 0;

  constructor(history: History, drain: () => Promise<void>, print: ((line: TraceLine) => void) | undefined) {
    this.#history = history;
    this.#random = new SeededRandom(`sameroot ${history.version} ${history.seed}`);
    this.#time = new VirtualTime({ drain, random: this.#random.fork('time') });
    this.#trace = new Trace(() => this.#time.nowMs, print);
    this.#network = new SimNetwork({
      time: this.#time,
      random: this.#random.fork('network'),
      hook: (event) => {
        if (event.type === 'message') this.#trace.effect(-1, 'message', event.bytes);
        else this.#trace.tell(undefined, event.type, `${event.source} ${event.target}`);
      },
    });
    this.#settleMs = this.#random.pick([20, 100, 300]);
    this.#purgeEveryMs = this.#random.pick([500, 3_000, 60_000]);
    this.#users = new Users(this.#model, this.#random.fork('users'), this.#trace);
    this.#checks = new Checks(this.#model, this.#users, this.#trace);
    this.#users.onTorn = (host, path, what) => this.#checks.report('torn', `host ${host.index}: ${path} holds ${what}`);
    this.#users.othersHold = (host, value) =>
      this.#hosts.some(
        (other) => other !== host && this.#users.items(other).some(({ file }) => this.#users.valueOf(other, file).value === value),
      );
    for (let index = 0; index < history.replicas; index++) this.#addHost();
  }

  async run(): Promise<Outcome> {
    try {
      await this.#begin();
      this.#network.faults = this.#drawFaults();
      for (const step of this.#history.steps) {
        await this.#time.run({ deadlineMs: this.#time.nowMs + step.afterMs });
        this.#act(step);
      }
      await this.#quiet();
    } catch (error) {
      this.#checks.report('crash', error instanceof Error ? (error.stack ?? error.message) : String(error));
    }
    return {
      seed: this.#history.seed,
      violations: this.#checks.violations,
      traceHash: this.#trace.hash,
      root: this.#hosts[0]?.node?.status().root,
      virtualMs: Math.round(this.#time.nowMs),
      events: this.#time.eventCount,
      counts: Object.fromEntries([...this.#trace.counts].sort(([a], [b]) => (a < b ? -1 : 1))),
    };
  }

  unhandled(error: unknown): void {
    // The promises of a dead host go on a little, and all that they touch fails.
    if (error instanceof HostDied || this.#hosts.some((host) => !host.running)) return;
    this.#checks.report('unhandled', error instanceof Error ? (error.stack ?? error.message) : String(error));
  }

  #addHost(): SimHost {
    const host = new SimHost({
      index: this.#hosts.length,
      time: this.#time,
      network: this.#network,
      random: this.#random.fork(`host ${this.#hosts.length}`),
      trace: this.#trace,
      settleMs: this.#settleMs,
      purgeEveryMs: this.#purgeEveryMs,
      beforePowerLoss: (dark) => this.#checks.flushUncovered(dark),
      onDeath: (dead, death) => this.#checks.afterDeath(dead, death),
    });
    this.#hosts.push(host);
    return host;
  }

  // --- beginning -------------------------------------------------------------------------------------------------

  /** Some hosts are filled with the same files before they ever meet; the first founds the share, the others join it. */
  async #begin(): Promise<void> {
    const random = this.#random.fork('begin');
    for (const path of ['a', 'd/x', 'old/1', 'old/2']) {
      const hosts = this.#hosts.filter(() => random.chance(0.5));
      if (hosts.length > 0) this.#users.plant(hosts, path, 50 + random.below(300), 1_600_000_000_000 + random.below(1_000_000));
    }
    const [founder, ...others] = this.#hosts as [SimHost, ...SimHost[]];
    founder.start();
    await this.#until('the founder has started', () => isReady(founder), START_MS_MAX);
    for (const host of others) await this.#join(host, founder);
    // What a user changes before the host has read its folder for the first time is not known to be a change.
    await this.#until('all have joined', () => this.#hosts.every(isReady), START_MS_MAX);
  }

  async #join(host: SimHost, inviter: SimHost): Promise<void> {
    const invite = inviter.node!.invite({ expiresMs: INVITE_MS });
    let token: string | undefined;
    invite.then(
      (made) => (token = made.token),
      (error: unknown) => this.#trace.tell(inviter.index, 'invite-failed', messageOf(error)),
    );
    await this.#time.run({ until: () => token !== undefined, deadlineMs: this.#time.nowMs + 1_000 });
    if (token === undefined) return;
    host.invite(token, [{ host: inviter.address, port: inviter.port }]);
    host.start();
  }

  async #until(what: string, condition: () => boolean, msMax: number): Promise<void> {
    const deadlineMs = this.#time.nowMs + msMax;
    while (!condition() && this.#time.nowMs < deadlineMs) await this.#time.run({ deadlineMs: this.#time.nowMs + LOOK_EVERY_MS });
    if (!condition()) throw new Error(`after ${msMax / 1_000} s: not ${what}`);
  }

  #drawFaults(): NetworkFaults {
    const random = this.#random.fork('faults');
    const bad = random.chance(0.5);
    return {
      ...CALM_NETWORK,
      delayMsMax: random.pick([1, 20, 200]),
      dropChance: bad ? random.pick([0, 0.002, 0.02]) : 0,
      refuseChance: bad ? 0.1 : 0,
      hangChance: bad ? 0.05 : 0,
    };
  }

  // --- steps -----------------------------------------------------------------------------------------------------

  #act({ host: index, action }: Step): void {
    const host = this.#hosts[index % this.#hosts.length]!;
    this.#noteReturned();
    // All files of a folder that was put back are read again: bytes that rot before that pass for an edit.
    if (action.type === 'flip' && (host.returning !== undefined || (host.restores > 0 && !isReady(host)))) return;
    this.#trace.effect(host.index, action.type, 0);
    if (this.#users.act(host, action)) this.#count(action);
    else this.#disturb(host, action);
  }

  #noteReturned(): void {
    for (const host of this.#hosts)
      if (host.returning !== undefined && host.node?.status().returning?.done === true) host.returning = undefined;
  }

  #count(action: Action): void {
    this.#trace.counts.set(`step ${action.type}`, (this.#trace.counts.get(`step ${action.type}`) ?? 0) + 1);
  }

  #disturb(host: SimHost, action: Action): void {
    switch (action.type) {
      case 'barrier':
        this.#inBackground(this.#barrier(host));
        break;
      case 'resolve':
        this.#inBackground(this.#resolve(host, action.nth, action.keep));
        break;
      case 'stop':
        this.#inBackground(host.stop().then(() => this.#after(action.downMs, () => host.start())));
        break;
      case 'kill':
      case 'power-loss':
        host.crash(action.type, action.downMs, action.effects);
        break;
      case 'partition':
        this.#partition(host, action.with, action.forMs);
        break;
      case 'cut':
        this.#network.dropOne();
        break;
      case 'slow':
        this.#network.setBandwidth(host.address, SLOW_BYTES_PER_MS);
        this.#after(action.forMs, () => this.#network.setBandwidth(host.address, undefined));
        break;
      case 'disk-error':
        host.diskFault = { code: action.code, chance: action.chance };
        this.#after(action.forMs, () => (host.diskFault = undefined));
        break;
      case 'store-error':
        host.storeFault = action.code as StoreErrorCode;
        this.#after(action.forMs, () => (host.storeFault = undefined));
        break;
      case 'full':
        host.diskFault = { code: 'ENOSPC', chance: 1 };
        this.#after(action.forMs, () => (host.diskFault = undefined));
        break;
      case 'clock':
        // Two hosts more than an hour apart refuse each other's stamps, and say so: that is not what is tested here.
        if (Math.abs(host.clock.offsetMs + action.jumpMs) < HOUR_MS / 2) host.clock.jump(action.jumpMs);
        break;
      case 'join':
        this.#joinLater(host);
        break;
      case 'backup':
        if (host.neverJoined || host.evicted || host.returning !== undefined || this.#users.hasRot(host) || !this.#checks.isTakenIn(host))
          return;
        host.backUp();
        break;
      case 'restore':
        if (host.evicted || host.returning !== undefined || !this.#startAnew(host, () => host.restore(action.downMs))) return;
        break;
      case 'lose-database':
        if (!this.#loseDatabase(host, action.downMs)) return;
        break;
      case 'evict':
        this.#inBackground(this.#evict(host, this.#hosts[action.peer % this.#hosts.length]!, action.awayMs));
        break;
      default:
        return;
    }
    this.#count(action);
  }

  #after(ms: number, callback: () => void): void {
    this.#time.schedule(ms, callback);
  }

  #inBackground(work: Promise<unknown>): void {
    this.#pending++;
    work.catch((error: unknown) => this.#trace.tell(undefined, 'step-failed', messageOf(error))).finally(() => this.#pending--);
  }

  #partition(host: SimHost, others: readonly number[], forMs: number): void {
    const inside = new Set([host.index, ...others]);
    const groups = [true, false].map((side) => this.#hosts.filter(({ index }) => inside.has(index) === side).map(({ address }) => address));
    this.#trace.tell(undefined, 'partition', groups.map((group) => group.join(' ')).join(' | '));
    this.#network.partition(groups);
    this.#after(forMs, () => {
      this.#trace.tell(undefined, 'heal', '');
      this.#network.heal();
    });
  }

  async #barrier(host: SimHost): Promise<void> {
    const { node } = host;
    if (node === undefined) return;
    const { done, root, peers } = await node.wait({ timeoutMs: BARRIER_MS });
    if (!done || host.node !== node) return;
    this.#trace.tell(host.index, 'barrier', root.slice(0, 16));
    for (const { nodeId } of peers) {
      const peer = this.#hosts.find(({ identity }) => identity.nodeId === nodeId);
      // What it had confirmed may be gone with a restore, and that is what restoring means.
      if (peer !== undefined && peer.restores === 0) this.#checks.confirmed(host, root, peer);
    }
  }

  async #resolve(host: SimHost, nth: number, keep: number): Promise<void> {
    const share = host.node === undefined ? undefined : this.#checks.replicaOf(host)?.share;
    if (share !== undefined) await this.#users.resolve(host, share, nth, keep);
  }

  /** What only this host had may be gone afterwards. */
  #startAnew(host: SimHost, action: () => boolean): boolean {
    // Read again from the disk, bytes that have rotted would pass for an edit.
    if (this.#users.hasRot(host)) return false;
    // One that comes back without its database holds nothing for the others: what they do not have is set aside there.
    const others = this.#hosts.filter((other) => other !== host && !other.evicted && other.returning === undefined);
    const elsewhere = this.#users.shownOn(others);
    const records = this.#checks.recordsIn(others);
    if (!action()) return false;
    const lost = this.#model.disown(({ number, key, value }) => elsewhere.has(number) || records.has(`${key} ${value}`));
    this.#trace.tell(host.index, 'starts anew', lost.map(({ key, value }) => `${key} ${value}`).join(', '));
    return true;
  }

  /** Only where there is somebody to come back to. */
  #loseDatabase(host: SimHost, downMs: number): boolean {
    if (host.neverJoined || host.evicted || host.returning !== undefined) return false;
    if (!this.#hosts.some((other) => other !== host && !other.evicted && other.returning === undefined && isReady(other))) return false;
    return this.#startAnew(host, () => {
      host.loseDatabase(downMs, { unknown: 'keep', alone: false });
      return true;
    });
  }

  async #evict(host: SimHost, peer: SimHost, awayMs: number): Promise<void> {
    const { node } = host;
    const busy = this.#hosts.some((other) => other.evicted || other.returning !== undefined);
    if (busy || node === undefined || peer === host || !isReady(peer) || host.evicted || this.#users.hasRot(peer)) return;
    peer.evicted = true;
    try {
      await node.evict(peer.identity.nodeId);
      this.#trace.tell(host.index, 'evicts', `host ${peer.index}`);
    } finally {
      // Also where nobody knows whether it happened: a member may come back, too.
      this.#after(awayMs, () => this.#inBackground(this.#invite(peer)));
    }
  }

  async #invited(host: SimHost): Promise<void> {
    this.#inBackground(this.#invite(host));
    await this.#time.run({ until: () => this.#pending === 0, deadlineMs: this.#time.nowMs + START_MS_MAX });
  }

  /** An evicted host is invited again. */
  async #invite(host: SimHost): Promise<void> {
    const able = this.#hosts.filter(
      (other) => other !== host && !other.evicted && other.returning === undefined && other.node !== undefined && isReady(other),
    );
    const inviter = able.find((other) => !isOutcast(other)) ?? able[0];
    if (inviter === undefined) return;
    const { token } = await inviter.node!.invite({ expiresMs: INVITE_MS });
    if (host.hasShare) {
      this.#startAnew(host, () => {
        host.loseDatabase(INVITED_MS, { unknown: 'set-aside', alone: false });
        return true;
      });
    } else host.crash('kill', INVITED_MS, 0);
    host.evicted = false;
    host.invite(token, [{ host: inviter.address, port: inviter.port }]);
  }

  #joinLater(inviter: SimHost): void {
    if (this.#hosts.length >= 8 || inviter.node === undefined || !isReady(inviter)) return;
    const host = this.#addHost();
    this.#inBackground(
      inviter.node.invite({ expiresMs: INVITE_MS }).then(({ token }) => {
        host.invite(token, [{ host: inviter.address, port: inviter.port }]);
        host.start();
      }),
    );
  }

  // --- end -------------------------------------------------------------------------------------------------------

  /** All faults end, all hosts run; then nothing may be left to do, and all must agree. */
  async #quiet(): Promise<void> {
    this.#trace.tell(undefined, 'quiet', '');
    this.#network.faults = CALM_NETWORK;
    this.#network.heal();
    await this.#time.run({ until: () => this.#pending === 0, deadlineMs: this.#time.nowMs + 2 * BARRIER_MS });
    for (const host of this.#hosts) {
      this.#network.setBandwidth(host.address, undefined);
      host.diskFault = undefined;
      host.storeFault = undefined;
      host.defuse();
      if (!host.neverJoined) host.start();
    }
    await this.#time.run({ deadlineMs: this.#time.nowMs + RETURN_MS });
    const deadlineMs = this.#time.nowMs + QUIET_MS_MAX;
    let sinceMs = this.#time.nowMs;
    let last: string | undefined;
    let done = false;
    let invites = 0;
    let inviteMs = this.#time.nowMs;
    while (!done && this.#time.nowMs < deadlineMs) {
      if (this.#time.nowMs >= inviteMs && invites < INVITES_MAX) {
        const out = this.#hosts.filter((host) => host.evicted || isOutcast(host));
        if (out.length > 0) {
          for (const host of out) await this.#invited(host);
          invites++;
          inviteMs = this.#time.nowMs + INVITE_EVERY_MS;
        }
      }
      await this.#time.run({ deadlineMs: this.#time.nowMs + QUIET_LOOK_EVERY_MS });
      const root = this.#commonRoot();
      if (root === undefined || root !== last) sinceMs = this.#time.nowMs;
      last = root;
      // The disks are read only when all else has come to rest: it is the dearest look of all.
      done = this.#time.nowMs - sinceMs >= STABLE_MS && this.#checks.differences(this.#hosts).length === 0;
    }
    if (!done) this.#checks.report('convergence', this.#stateOfAll());
    this.#checks.atEnd(this.#hosts, done);
    if (done) this.#checks.checkRecords(await this.#records());
  }

  async #records(): Promise<Map<SimHost, Map<string, Uint8Array[]>>> {
    const names = this.#model
      .keys()
      .filter((key) => key.startsWith('r/'))
      .map((key) => key.slice(2));
    const all = new Map<SimHost, Map<string, Uint8Array[]>>();
    for (const host of this.#hosts) {
      if (host.node === undefined) continue;
      const records = new Map<string, Uint8Array[]>();
      for (const name of names) {
        const record = await host.node.getRecord(name);
        if (record !== undefined) records.set(name, [record.value, ...record.siblings]);
      }
      all.set(host, records);
    }
    return all;
  }

  /** The root of all, if nothing waits to be taken in or fetched anywhere. */
  #commonRoot(): string | undefined {
    let common: string | undefined;
    for (const host of this.#hosts) {
      if (host.neverJoined) continue;
      const { node } = host;
      if (node === undefined || !isReady(host)) return undefined;
      const { root, pending, returning } = node.status();
      if (returning?.done === false || host.evicted) return undefined;
      if (pending.scan + pending.fetch > 0 || (common !== undefined && common !== root)) return undefined;
      common = root;
    }
    return common;
  }

  #stateOfAll(): string {
    const states = this.#hosts.map((host) => {
      if (host.node === undefined) return `host ${host.index}: down (${messageOf(host.startFailures.at(-1))})`;
      const { state, root, pending, errors } = host.node.status();
      const trouble = errors.map(({ code, path, message }) => `${code} ${path ?? ''} ${message}`).join('; ');
      return `host ${host.index}: ${state} ${root.slice(0, 12)} pending ${pending.scan}/${pending.fetch} ${trouble}`;
    });
    const differences = this.#checks.differences(this.#hosts).join('; ');
    return `after ${QUIET_MS_MAX / 1_000} s of quiet: ${states.join(' | ')} | shown: ${differences}`;
  }
}

const REFUSALS: ReadonlySet<string> = new Set(['EVICTED', 'NOT_INVITED']);

/** Its peers refuse it: it was evicted, or those who had invited it are gone, or do not remember. */
function isOutcast(host: SimHost): boolean {
  const status = host.node?.status();
  if (status === undefined) return false;
  const refused = status.peers.some(({ error }) => error !== undefined && REFUSALS.has(error.code));
  const alone = status.peers.every(({ connected }) => !connected);
  return status.errors.some(({ code }) => REFUSALS.has(code)) || (refused && alone);
}

function isReady(host: SimHost): boolean {
  const status = host.node?.status();
  return status !== undefined && status.shareId !== '' && status.state !== 'scanning';
}
