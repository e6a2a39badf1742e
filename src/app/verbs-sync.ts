/**
 * `sync SOURCE TARGET`: nodes in this process, for as long as it takes to bring both sides to one root. It is the same
 * node as `start` runs, without API and without node.json: a running node holds the database lock and wins.
 */
import { existsSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SamerootError } from '../base/errors.ts';
import type { Address, NodeApi, NodeOptions, NodeStatus } from '../node/node-api.ts';
import { loadStartConfig } from './config.ts';
import { EXIT } from './exit.ts';
import { throwIfHopeless, untilShareKnown } from './joining.ts';
import { openNode } from './open-node.ts';
import { showProgress } from './progress.ts';
import { formatBytes, formatPlural, parseAddress } from './quantities.ts';
import { onStopSignal } from './signals.ts';
import { toJson, type VerbContext } from './terminal.ts';
import { openLog } from './verbs-start.ts';

const LOOPBACK: Address = { host: '127.0.0.1', port: 0 };
const INVITE_MS = 600_000;
/** A peer that was never reached for this long is not there; one that was reached and is lost is waited for. */
const UNREACHABLE_MS_MAX = 15_000;
const WAIT_MS = 1000;
const POLL_MS = 50;

interface SyncResult {
  readonly source: string;
  readonly target: string;
  readonly root: string;
  readonly entries: number;
  readonly bytes: number;
  /** Over the connection, in both directions. */
  readonly movedBytes: number;
  readonly milliseconds: number;
}

export async function syncVerb(
  context: VerbContext,
  ends: { readonly source: string; readonly target: string },
  flags: Readonly<Record<string, unknown>>,
  timeoutMs: number | undefined,
): Promise<number> {
  using stop = onStopSignal();
  const cancel = new AbortController();
  const deadlineMs = timeoutMs === undefined ? Infinity : performance.now() + timeoutMs;
  const work = run(context, ends, flags, deadlineMs, cancel.signal);
  const stopped = stop.requested.then((code) => {
    cancel.abort(); // the nodes are closed in order before the process ends
    return code;
  });
  const result = await Promise.race([work, stopped]);
  if (typeof result === 'number') {
    await work.catch(() => undefined);
    return result;
  }
  if (flags['json'] === true) context.terminal.out(`${toJson(result)}\n`);
  else {
    const { entries, bytes, movedBytes, milliseconds, root } = result;
    const size = `${formatPlural(entries, 'entry', 'entries')}   ${formatBytes(bytes)}`;
    context.terminal.out(`IN SYNC   root ${root}   ${size}   moved ${formatBytes(movedBytes)} in ${milliseconds} ms\n`);
  }
  return EXIT.done;
}

async function run(
  context: VerbContext,
  ends: { readonly source: string; readonly target: string },
  flags: Readonly<Record<string, unknown>>,
  deadlineMs: number,
  signal: AbortSignal,
): Promise<SyncResult> {
  const { terminal, currentFolder } = context;
  const startedMs = performance.now();
  const settings = loadStartConfig({ flags, environment: chosenEnvironment(context), currentFolder });
  const log = openLog(terminal, settings.logLevel ?? 'warn');
  const source = endOf(ends.source, 'SOURCE', currentFolder);
  const target = endOf(ends.target, 'TARGET', currentFolder);
  const [inviter, joiner] = roles(source, target);
  const optionsFor = (folder: string, rest: Partial<NodeOptions>): NodeOptions => ({
    ...loadStartConfig({ flags: { ...flags, folder }, environment: chosenEnvironment(context), currentFolder }).node,
    listen: LOOPBACK,
    listenAnyPort: false,
    advertise: false,
    ...rest,
  });
  await using host = typeof inviter === 'string' ? await openNode(optionsFor(inviter, { token: undefined }), log) : undefined;
  const address = typeof inviter === 'string' ? parseAddress(host!.status().addresses.peer)! : inviter;
  const token = host === undefined ? settings.node.token : (await host.invite({ expiresMs: INVITE_MS })).token;
  await using guest = await openNode(optionsFor(joiner, { join: [address], token }), log);
  using _progress = showProgress(guest, terminal, () => undefined);
  await untilEqual(guest, host, deadlineMs, signal);
  const { root, entries, bytes, peers } = guest.status();
  const movedBytes = peers.reduce((sum, peer) => sum + peer.sentBytes + peer.receivedBytes, 0);
  return {
    source: ends.source,
    target: ends.target,
    root,
    entries,
    bytes,
    movedBytes,
    milliseconds: Math.round(performance.now() - startedMs),
  };
}

/** Of the environment, what a one-shot run may use: SAMEROOT_JOIN or SAMEROOT_DATA of a node nearby are not meant for it. */
function chosenEnvironment(context: VerbContext): Record<string, string | undefined> {
  const { SAMEROOT_TOKEN, SAMEROOT_INSECURE, SAMEROOT_LOG_LEVEL, SAMEROOT_MIN_FREE } = context.environment;
  return { SAMEROOT_TOKEN, SAMEROOT_INSECURE, SAMEROOT_LOG_LEVEL, SAMEROOT_MIN_FREE };
}

/** A folder that exists is a folder, whatever its name looks like. */
function endOf(text: string, name: string, currentFolder: string): string | Address {
  const folder = resolve(currentFolder, text);
  const address = parseAddress(text);
  if (address !== undefined && !existsSync(folder)) return address;
  const found = statSync(folder, { throwIfNoEntry: false });
  if (found === undefined && name === 'SOURCE') throw new SamerootError('CONFIG_INVALID', `SOURCE: ${folder} does not exist`);
  return folder;
}

/** Who invites, and who joins: the side that has a share already invites, so that the other one learns it. */
function roles(source: string | Address, target: string | Address): [inviter: string | Address, joiner: string] {
  if (typeof source !== 'string') {
    if (typeof target === 'string') return [source, target];
    throw new SamerootError('CONFIG_INVALID', 'SOURCE and TARGET: one of them must be a folder of this host');
  }
  if (typeof target !== 'string') return [target, source];
  if (source === target) throw new SamerootError('CONFIG_INVALID', `SOURCE and TARGET: both are ${source}`);
  return hasShare(target) && !hasShare(source) ? [target, source] : [source, target];
}

function hasShare(folder: string): boolean {
  return existsSync(join(folder, '.sameroot', 'db'));
}

async function untilEqual(guest: NodeApi, host: NodeApi | undefined, deadlineMs: number, signal: AbortSignal): Promise<void> {
  const unreachableMsMax = Math.min(UNREACHABLE_MS_MAX, deadlineMs - performance.now());
  await untilShareKnown(guest, { signal, unreachableMsMax });
  const startedMs = performance.now();
  let reached = false;
  for (let read = false; ; read = true) {
    if (signal.aborted) throw new SamerootError('CLOSED', 'stopped by a signal');
    // Both folders are read before the roots are compared: two empty trees are equal, too.
    if (!read) await Promise.all([guest.scan(), host?.scan()]);
    const sides = [guest.status(), ...(host === undefined ? [] : [host.status()])];
    if (isEqual(sides[0]!, sides[1])) return;
    sides.forEach(throwIfHopeless);
    if (sides.some(({ state }) => state === 'held'))
      throw new SamerootError('MASS_DELETE_HELD', 'many files were deleted since the last sync');
    reached ||= sides[0]!.peers.some((peer) => peer.connected);
    if (!reached && performance.now() - startedMs > UNREACHABLE_MS_MAX)
      throw new SamerootError('PEER_UNREACHABLE', sides[0]!.errors[0]?.message ?? 'no answer');
    if (performance.now() > deadlineMs) throw new SamerootError('TIMED_OUT', `the roots are not equal yet (${sides[0]!.state})`);
    if (reached) await Promise.all([guest.wait({ timeoutMs: WAIT_MS }), host?.wait({ timeoutMs: WAIT_MS })]);
    await sleep(POLL_MS);
  }
}

/** Equal, and known to be durable on both sides: a peer tells its root and confirms ours after its commit. */
function isEqual(guest: NodeStatus, host: NodeStatus | undefined): boolean {
  if (host !== undefined && host.root !== guest.root) return false;
  const connected = guest.peers.filter((peer) => peer.connected);
  return connected.length > 0 && connected.every((peer) => peer.inSync && peer.root === guest.root);
}
