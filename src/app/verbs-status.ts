/** Verbs that look: status, peers, diff, and the barrier `wait`. They ask the running node and print its answer. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { DiffResult, NodeState, NodeStatus, PeerStatus, WaitResult } from '../node/node-api.ts';
import { Client, withQuery } from './client.ts';
import { findDaemon } from './daemon-file.ts';
import { describeDiff, describePeers, describeStatus, describeWait } from './describe.ts';
import { EXIT } from './exit.ts';
import { toJson, type Terminal, type VerbContext } from './terminal.ts';

const WATCH_EVERY_MS = 1000;
const CLEAR_SCREEN = '\u001b[H\u001b[J';

export interface LookOptions {
  readonly folder?: string | undefined;
  readonly json?: boolean;
}

export interface WatchOptions extends LookOptions {
  readonly watch?: boolean;
}

export function connect(context: VerbContext, folder: string | undefined): Client {
  return new Client(findDaemon(folder, context.currentFolder));
}

export async function statusVerb(context: VerbContext, options: WatchOptions & { readonly check?: boolean }): Promise<number> {
  const client = connect(context, options.folder);
  const get = () => client.get<NodeStatus>('/v1/status');
  const show = (status: NodeStatus) => (options.json === true ? toJson(status) : describeStatus(context.terminal, status));
  if (options.watch === true) return watch(context.terminal, async () => show(await get()));
  const status = await get();
  context.terminal.out(endLine(show(status)));
  return options.check === true ? checkState(status.state) : EXIT.done;
}

function checkState(state: NodeState): number {
  if (state === 'held') return EXIT.held;
  return state === 'in-sync' ? EXIT.done : EXIT.different;
}

export async function peersVerb(context: VerbContext, options: WatchOptions): Promise<number> {
  const client = connect(context, options.folder);
  const show = async () => {
    const answer = await client.get<{ readonly peers: readonly PeerStatus[] }>('/v1/peers');
    return options.json === true ? toJson(answer) : describePeers(answer.peers);
  };
  if (options.watch === true) return watch(context.terminal, show);
  context.terminal.out(endLine(await show()));
  return EXIT.done;
}

export interface WaitOptions extends LookOptions {
  readonly root?: string;
  readonly peers?: readonly string[];
  readonly timeout: number;
}

export async function waitVerb(context: VerbContext, options: WaitOptions): Promise<number> {
  const client = connect(context, options.folder);
  const result = await client.post<WaitResult>('/v1/wait', { root: options.root, peers: options.peers, timeoutMs: options.timeout });
  context.terminal.out(options.json === true ? `${toJson(result)}\n` : describeWait(result));
  if (result.done) return EXIT.done;
  // A mass delete that waits for an answer will not end by waiting longer.
  const { state } = await client.get<NodeStatus>('/v1/status');
  return state === 'held' ? EXIT.held : EXIT.timedOut;
}

export async function diffVerb(
  context: VerbContext,
  options: LookOptions & { readonly peer?: string | undefined; readonly limit?: number; readonly check?: boolean },
): Promise<number> {
  const client = connect(context, options.folder);
  const result = await client.get<DiffResult>(withQuery('/v1/diff', { peer: options.peer, limit: options.limit }));
  context.terminal.out(options.json === true ? `${toJson(result)}\n` : describeDiff(result));
  return options.check === true && result.here !== result.there ? EXIT.different : EXIT.done;
}

/** Draws again on a terminal, prints each change otherwise. Ends with a signal, or with the node. */
export async function watch(terminal: Terminal, render: () => Promise<string>): Promise<never> {
  let shown = '';
  for (;;) {
    const text = endLine(await render());
    if (text !== shown) terminal.out(terminal.interactive ? `${CLEAR_SCREEN}${text}` : text);
    shown = text;
    await sleep(WATCH_EVERY_MS);
  }
}

export function endLine(text: string): string {
  return text.endsWith('\n') ? text : `${text}\n`;
}
