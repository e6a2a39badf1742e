/**
 * `repair`: gives a folder whose database is lost or damaged a new one, from what is in the folder and from the peers. The
 * old database is moved aside, then a node is run that comes back to the share (`node/returning.ts`) until it is a replica
 * like any other.
 *
 * Invariant: nothing is removed, neither files nor the old database, and repeating it does no harm: one that was interrupted
 * goes on where it was, at the next `repair` or `start`.
 */
import { existsSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, SamerootError, type ErrorCode } from '../base/errors.ts';
import { realDisk } from '../folder/real-disk.ts';
import type { NodeApi, NodeOptions, NodeStatus } from '../node/node-api.ts';
import { hasRecovery, readRecovery, writeRecovery } from '../node/recovery.ts';
import { isReturnBegun } from '../node/returning.ts';
import { Replica } from '../replica/replica.ts';
import { openLevelStore, type LevelStore } from '../store/level-store.ts';
import { loadStartConfig } from './config.ts';
import { findDaemon } from './daemon-file.ts';
import { EXIT } from './exit.ts';
import { throwIfHopeless, untilShareKnown } from './joining.ts';
import { openNode } from './open-node.ts';
import { showProgress } from './progress.ts';
import { formatBytes, formatPlural } from './quantities.ts';
import { onStopSignal } from './signals.ts';
import { printable, toJson, type VerbContext } from './terminal.ts';
import { openLog } from './verbs-start.ts';

const POLL_MS = 50;
const DELAY_MS = 3_000;

interface RepairResult {
  readonly root: string;
  readonly entries: number;
  readonly bytes: number;
  /** Of the bytes, those that came from peers; the others were in the folder. */
  readonly fetchedBytes: number;
  /** Files that gave way to what the peers have. */
  readonly setAside: number;
  /** Absolute path of the folder they are in. */
  readonly quarantine: string;
  /** Absolute path of the old database. */
  readonly oldDatabase: string | undefined;
}

/** Exit code 0 when the folder is a replica like any other again; that of the signal that came before. */
export async function repairVerb(context: VerbContext, flags: Readonly<Record<string, unknown>>): Promise<number> {
  const { alone, ...settings } = flags;
  const { environment, currentFolder, terminal } = context;
  const config = loadStartConfig({ flags: settings, environment, currentFolder });
  const options: NodeOptions = { ...config.node, returning: { unknown: 'keep', alone: alone === true } };
  refuseRunning(options.folder, currentFolder);
  const oldDatabase = await clearTheWay(options);
  if (oldDatabase !== undefined) terminal.err(`sameroot: the old database is kept in ${printable(oldDatabase)}\n`);
  using stop = onStopSignal();
  const cancel = new AbortController();
  const work = rebuild(context, options, openLog(terminal, config.logLevel ?? 'warn'), cancel.signal);
  const stopped = stop.requested.then((code) => {
    cancel.abort();
    return code;
  });
  const status = await Promise.race([work, stopped]);
  if (typeof status === 'number') {
    await work.catch(() => undefined);
    terminal.err('sameroot: not done yet: `sameroot repair` or `sameroot start` go on with it\n');
    return status;
  }
  print(context, resultOf(status, options.folder, oldDatabase), flags['json'] === true);
  return EXIT.done;
}

/** The lock of the database says the same, but not where there is no database any more. */
function refuseRunning(folder: string, currentFolder: string): void {
  let pid: number;
  try {
    ({ pid } = findDaemon(folder, currentFolder));
  } catch (error) {
    if (error instanceof SamerootError && error.code === 'NO_DAEMON') return;
    throw error;
  }
  throw new SamerootError('DATABASE_IN_USE', `a node runs for ${folder} (process ${pid})`, { path: folder });
}

/**
 * Moves the old database away, unless it is one that an earlier repair has begun with; gives where it is now.
 * @throws {SamerootError} `DATABASE_IN_USE`, `CONFIG_INVALID` if there is nothing to repair
 */
async function clearTheWay({ folder, dataDir }: NodeOptions): Promise<string | undefined> {
  const database = join(dataDir, 'db');
  const wasShared = existsSync(join(folder, '.sameroot', 'share')) || hasRecovery(realDisk, dataDir);
  if (!existsSync(database)) {
    if (wasShared) return undefined;
    throw new SamerootError('CONFIG_INVALID', `${folder} is no folder of a share: there is nothing to repair`, { path: folder });
  }
  const begun = await withOldStore(database, async (store) => {
    if (isReturnBegun(store)) return true;
    const share = Replica.storedShare(store);
    if (share !== undefined && readRecovery(realDisk, dataDir) === undefined) writeRecovery(realDisk, dataDir, { share, members: [] });
    return false;
  });
  if (begun === true) return undefined;
  const kept = join(dataDir, `db.damaged-${new Date().toISOString().slice(0, 19).replaceAll(':', '-')}Z`);
  try {
    renameSync(database, kept);
  } catch (error) {
    throw new SamerootError('IO_ERROR', `${database} can not be moved to ${kept}: ${messageOf(error)}`, { cause: error, path: database });
  }
  return kept;
}

const DAMAGE: ReadonlySet<ErrorCode> = new Set(['DATABASE_DAMAGED', 'DATABASE_FORMAT', 'BAD_ENCODING', 'IO_ERROR', 'FOLDER_NOT_DIRECTORY']);

/** What can still be read of it; undefined where that is nothing. */
async function withOldStore<T>(database: string, look: (store: LevelStore) => Promise<T>): Promise<T | undefined> {
  try {
    await using store = await openLevelStore(database);
    return await look(store);
  } catch (error) {
    if (error instanceof SamerootError && DAMAGE.has(error.code)) return undefined;
    throw error;
  }
}

async function rebuild(
  context: VerbContext,
  options: NodeOptions,
  log: Parameters<typeof openNode>[1],
  signal: AbortSignal,
): Promise<NodeStatus> {
  const { terminal } = context;
  await using node = await openNode(options, log);
  using _progress = showProgress(node, terminal, () => undefined);
  const onDelay = (reason: string): void => terminal.err(`sameroot: waiting for a host of the share: ${printable(reason)}\n`);
  await untilShareKnown(node, { signal, unreachableMsMax: undefined, onDelay });
  // Awaited here: the node lives as long as this block.
  return await untilBack(node, signal, onDelay);
}

/** Resolves when the replica is like any other and, where it has peers, in sync with one. */
async function untilBack(node: NodeApi, signal: AbortSignal, onDelay: (reason: string) => void): Promise<NodeStatus> {
  const startedMs = performance.now();
  let told = false;
  for (;;) {
    const status = node.status();
    if (signal.aborted) return status;
    throwIfHopeless(status);
    const connected = status.peers.filter((peer) => peer.connected);
    const shown = status.state === 'in-sync' || connected.length === 0;
    if (status.returning?.done === true && shown && status.pending.fetch === 0) return status;
    if (!told && connected.length === 0 && performance.now() - startedMs > DELAY_MS) {
      const trouble = [...status.peers.flatMap((peer) => peer.error ?? []), ...status.errors][0]?.message;
      onDelay(trouble ?? 'none is known: name one with --join, or pass --alone if none is left');
      told = true;
    }
    await sleep(POLL_MS);
  }
}

function resultOf(status: NodeStatus, folder: string, oldDatabase: string | undefined): RepairResult {
  const { root, entries, bytes, progress, returning } = status;
  const { setAside, quarantine } = returning!;
  return { root, entries, bytes, fetchedBytes: progress.fetch.bytesDone, setAside, quarantine: join(folder, quarantine), oldDatabase };
}

function print({ terminal }: VerbContext, result: RepairResult, json: boolean): void {
  if (json) {
    terminal.out(`${toJson(result)}\n`);
    return;
  }
  const { root, entries, bytes, fetchedBytes, setAside, quarantine, oldDatabase } = result;
  const found = Math.max(0, bytes - fetchedBytes);
  const lines = [
    `REPAIRED   root ${root}   ${formatPlural(entries, 'entry', 'entries')}   ${formatBytes(bytes)}`,
    `  ${formatBytes(found)} were in the folder, ${formatBytes(fetchedBytes)} came from peers`,
  ];
  if (setAside > 0) {
    lines.push(
      `  ${formatPlural(setAside, 'file')} differed from what the peers have, or were deleted there: set aside in ${printable(quarantine)}`,
    );
  }
  if (oldDatabase !== undefined) lines.push(`  remove the old database when all is well: rm -r ${printable(oldDatabase)}`);
  terminal.out(`${lines.join('\n')}\n`);
}
