/**
 * One history, from the first start of its hosts to the moment when nothing moves any more, and all checks on the way.
 *
 * Everything is decided by the history: its seed feeds every source of chance, and time is virtual. So a run can be
 * repeated bit for bit (`Trace.hash` says so), on any machine.
 */
import { messageOf } from '../base/errors.ts';
import type { Violation } from './checks.ts';
import { Comings, needsInvitation, START_MS_MAX } from './comings.ts';
import { BARRIER_MS, Disturbances } from './disturbances.ts';
import type { History, Step } from './history.ts';
import { HostDied, type SimHost } from './sim-host.ts';
import { CALM_NETWORK } from './sim-network.ts';
import type { NetworkFaults } from './sim-pipe.ts';
import { isReady, Stage } from './stage.ts';
import type { TraceLine } from './trace.ts';

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

export async function simulate(history: History, { drain, print, onUnhandled }: SimulationOptions): Promise<Outcome> {
  const simulation = new Simulation(history, drain, print);
  onUnhandled?.((error) => simulation.unhandled(error));
  return simulation.run();
}

class Simulation {
  readonly #history: History;
  readonly #stage: Stage;
  readonly #comings: Comings;
  readonly #disturbances: Disturbances;

  constructor(history: History, drain: () => Promise<void>, print: ((line: TraceLine) => void) | undefined) {
    this.#history = history;
    this.#stage = new Stage(history, drain, print);
    this.#comings = new Comings(this.#stage);
    this.#disturbances = new Disturbances(this.#stage, this.#comings);
  }

  async run(): Promise<Outcome> {
    try {
      await this.#begin();
      this.#stage.network.faults = this.#drawFaults();
      for (const step of this.#history.steps) {
        await this.#stage.time.run({ deadlineMs: this.#stage.time.nowMs + step.afterMs });
        this.#act(step);
      }
      await this.#quiet();
    } catch (error) {
      this.#stage.checks.report('crash', error instanceof Error ? (error.stack ?? error.message) : String(error));
    }
    return {
      seed: this.#history.seed,
      violations: this.#stage.checks.violations,
      traceHash: this.#stage.trace.hash,
      root: this.#stage.hosts[0]?.node?.status().root,
      virtualMs: Math.round(this.#stage.time.nowMs),
      events: this.#stage.time.eventCount,
      counts: Object.fromEntries([...this.#stage.trace.counts].sort(([a], [b]) => (a < b ? -1 : 1))),
    };
  }

  unhandled(error: unknown): void {
    // The promises of a dead host go on a little, and all that they touch fails.
    if (error instanceof HostDied || this.#stage.hosts.some((host) => !host.running)) return;
    this.#stage.checks.report('unhandled', error instanceof Error ? (error.stack ?? error.message) : String(error));
  }

  // --- beginning -------------------------------------------------------------------------------------------------

  /** Some hosts are filled with the same files before they ever meet; the first founds the share, the others join it. */
  async #begin(): Promise<void> {
    const random = this.#stage.random.fork('begin');
    for (const path of ['a', 'd/x', 'old/1', 'old/2']) {
      const hosts = this.#stage.hosts.filter(() => random.chance(0.5));
      if (hosts.length > 0) this.#stage.users.plant(hosts, path, 50 + random.below(300), 1_600_000_000_000 + random.below(1_000_000));
    }
    const [founder, ...others] = this.#stage.hosts as [SimHost, ...SimHost[]];
    founder.start();
    await this.#until('the founder has started', () => isReady(founder), START_MS_MAX);
    for (const host of others) await this.#join(host, founder);
    // What a user changes before the host has read its folder for the first time is not known to be a change.
    await this.#until('all have joined', () => this.#stage.hosts.every(isReady), START_MS_MAX);
  }

  async #join(host: SimHost, inviter: SimHost): Promise<void> {
    this.#stage.inBackground(this.#comings.join(host, inviter));
    await this.#stage.time.run({ until: () => this.#stage.pending === 0, deadlineMs: this.#stage.time.nowMs + 1_000 });
  }

  async #until(what: string, condition: () => boolean, msMax: number): Promise<void> {
    const deadlineMs = this.#stage.time.nowMs + msMax;
    while (!condition() && this.#stage.time.nowMs < deadlineMs)
      await this.#stage.time.run({ deadlineMs: this.#stage.time.nowMs + LOOK_EVERY_MS });
    if (!condition()) throw new Error(`after ${msMax / 1_000} s: not ${what}`);
  }

  #drawFaults(): NetworkFaults {
    const random = this.#stage.random.fork('faults');
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
    const host = this.#stage.hosts[index % this.#stage.hosts.length]!;
    this.#comings.noteReturned();
    // All files of a folder that was put back are read again: bytes that rot before that pass for an edit.
    if (action.type === 'flip' && (host.returning !== undefined || (host.restores > 0 && !isReady(host)))) return;
    this.#stage.trace.effect(host.index, action.type, 0);
    if (this.#stage.users.act(host, action)) this.#stage.count(action);
    else this.#disturbances.disturb(host, action);
  }

  // --- end -------------------------------------------------------------------------------------------------------

  /** All faults end, all hosts run; then nothing may be left to do, and all must agree. */
  async #quiet(): Promise<void> {
    this.#stage.trace.tell(undefined, 'quiet', '');
    this.#stage.network.faults = CALM_NETWORK;
    this.#stage.network.heal();
    await this.#stage.time.run({ until: () => this.#stage.pending === 0, deadlineMs: this.#stage.time.nowMs + 2 * BARRIER_MS });
    for (const host of this.#stage.hosts) {
      this.#stage.network.setBandwidth(host.address, undefined);
      host.diskFault = undefined;
      host.storeFault = undefined;
      host.defuse();
      if (!host.neverJoined) host.start();
    }
    await this.#stage.time.run({ deadlineMs: this.#stage.time.nowMs + RETURN_MS });
    const deadlineMs = this.#stage.time.nowMs + QUIET_MS_MAX;
    let sinceMs = this.#stage.time.nowMs;
    let last: string | undefined;
    let done = false;
    let invites = 0;
    let inviteMs = this.#stage.time.nowMs;
    while (!done && this.#stage.time.nowMs < deadlineMs) {
      if (this.#stage.time.nowMs >= inviteMs && invites < INVITES_MAX) {
        const out = this.#stage.hosts.filter((host) => needsInvitation(host, this.#stage.hosts));
        if (out.length > 0) {
          for (const host of out) await this.#comings.invited(host);
          invites++;
          inviteMs = this.#stage.time.nowMs + INVITE_EVERY_MS;
        }
      }
      await this.#stage.time.run({ deadlineMs: this.#stage.time.nowMs + QUIET_LOOK_EVERY_MS });
      const root = this.#commonRoot();
      if (root === undefined || root !== last) sinceMs = this.#stage.time.nowMs;
      last = root;
      // The disks are read only when all else has come to rest: it is the dearest look of all.
      done = this.#stage.time.nowMs - sinceMs >= STABLE_MS && this.#stage.checks.differences(this.#stage.hosts).length === 0;
    }
    if (!done) this.#stage.checks.report('convergence', this.#stateOfAll());
    this.#stage.checks.atEnd(this.#stage.hosts, done);
    if (done) this.#stage.checks.checkRecords(await this.#records());
  }

  async #records(): Promise<Map<SimHost, Map<string, Uint8Array[]>>> {
    const names = this.#stage.model
      .keys()
      .filter((key) => key.startsWith('r/'))
      .map((key) => key.slice(2));
    const all = new Map<SimHost, Map<string, Uint8Array[]>>();
    for (const host of this.#stage.hosts) {
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
    for (const host of this.#stage.hosts) {
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
    const states = this.#stage.hosts.map((host) => {
      if (host.node === undefined) return `host ${host.index}: down (${messageOf(host.startFailures.at(-1))})`;
      const { state, root, pending, errors } = host.node.status();
      const trouble = errors.map(({ code, path, message }) => `${code} ${path ?? ''} ${message}`).join('; ');
      return `host ${host.index}: ${state} ${root.slice(0, 12)} pending ${pending.scan}/${pending.fetch} ${trouble}`;
    });
    const differences = this.#stage.checks.differences(this.#stage.hosts).join('; ');
    return `after ${QUIET_MS_MAX / 1_000} s of quiet: ${states.join(' | ')} | shown: ${differences}`;
  }
}
