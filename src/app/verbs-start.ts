/**
 * `start`: the composition of a running node. The API's port, the node, node.json and the progress are opened in this
 * order and closed in the reverse one, so that a verb that finds node.json finds a node behind it.
 */
import { randomBytes } from 'node:crypto';
import type { Log } from '../base/world.ts';
import type { NodeApi, NodeStatus } from '../node/node-api.ts';
import { loadStartConfig, type StartConfig } from './config.ts';
import { removeDaemonFile, writeDaemonFile } from './daemon-file.ts';
import { DEFAULTS } from './defaults.ts';
import { EXIT } from './exit.ts';
import { startHttp, withHttpAddress } from './http.ts';
import { untilShareKnown } from './joining.ts';
import { createLog } from './log.ts';
import { openNode } from './open-node.ts';
import { showProgress } from './progress.ts';
import { formatAddress, parseDuration } from './quantities.ts';
import { onStopSignal } from './signals.ts';
import { columns, printable, toJson, type Terminal, type VerbContext } from './terminal.ts';

const TOKEN_BYTES = 32;

/** Levels of a line a second are for a collector; on a terminal the progress tells the same. */
export function openLog(terminal: Terminal, level: StartConfig['logLevel']): Log {
  const readable = terminal.interactiveErrors;
  return createLog({ level: level ?? (readable ? 'warn' : 'info'), readable, colors: terminal.colors });
}

/** Runs until a signal. */
export async function startVerb(context: VerbContext, flags: Readonly<Record<string, unknown>>): Promise<number> {
  const { terminal, environment, currentFolder } = context;
  const config = loadStartConfig({ flags, environment, currentFolder });
  const log = openLog(terminal, config.logLevel);
  terminal.outliveReader();
  using stop = onStopSignal();
  const token = randomBytes(TOKEN_BYTES).toString('base64url');
  let node: NodeApi | undefined;
  await using http = await startHttp({ address: config.http, token, node: () => node, log });
  await using opened = await openNode(config.node, log);
  node = opened;
  using _events = logEvents(opened, log);
  using _daemonFile = announce(config.node.folder, { http: http.url, token });
  const json = flags['json'] === true;
  const cancel = new AbortController();
  void stop.requested.then(() => cancel.abort());
  const hosts = config.node.join.map(formatAddress).join(', ');
  const onDelay = (reason: string) => terminal.err(`sameroot: waiting for ${hosts}: ${printable(reason)}\n`);
  await untilShareKnown(opened, { signal: cancel.signal, unreachableMsMax: undefined, onDelay });
  if (cancel.signal.aborted) return EXIT.done;
  await printReady(context, opened, http.url, json);
  using _progress = showProgress(opened, terminal, (line) => {
    if (!json) terminal.out(`${line}\n`);
  });
  const code = await stop.requested;
  log.info('stopping', { signal: code - 128 });
  return EXIT.done;
}

function logEvents(node: NodeApi, log: Log): Disposable {
  const end = node.onChange((event) => {
    if (event.type === 'state') log.info('state', { state: event.state });
    else if (event.type === 'transfer') log.debug('transfer', { phase: event.phase, peer: event.peer, ...event.detail });
  });
  return { [Symbol.dispose]: end };
}

function announce(folder: string, api: { readonly http: string; readonly token: string }): Disposable {
  writeDaemonFile(folder, { ...api, pid: process.pid });
  return { [Symbol.dispose]: () => removeDaemonFile(folder) };
}

async function printReady(context: VerbContext, node: NodeApi, url: string, json: boolean): Promise<void> {
  const status: NodeStatus = withHttpAddress(node.status(), url);
  const invite = await node.invite({ expiresMs: parseDuration(DEFAULTS.inviteExpires)! });
  const { share, shareId, nodeId, replicaId, root } = status;
  const { peer, http } = status.addresses;
  if (json) {
    const { joinLine, token, expires } = invite;
    context.terminal.out(
      `${toJson({ share, shareId, nodeId, replicaId, root, peer, api: http, join: joinLine, token, expires, pid: process.pid })}\n`,
    );
    return;
  }
  const rows = [
    ['share', printable(share)],
    ['root', root],
    ['peer', peer],
    ['api', url],
    ['join', invite.joinLine],
  ];
  context.terminal.out(columns(rows.map(([label, value]) => [label!.padEnd(8), value!])));
}
