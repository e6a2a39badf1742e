/**
 * `npm run demo`: two real nodes, each its own process with the real command line, keep two folders identical. The data
 * is what every clone has: this project and the packages it is built with.
 *
 * Ends with 0 only if both folders are equal byte for byte, links and modes included.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import type { NodeStatus, WaitResult } from '../node/node-api.ts';
import { asSamerootError, describeError, EXIT } from './exit.ts';
import { formatBytes, formatPlural } from './quantities.ts';
import { paint, processTerminal } from './terminal.ts';

const PROJECT: string = fileURLToPath(new URL('../..', import.meta.url));
const PROGRAM: string = fileURLToPath(new URL('main.js', import.meta.url));
const SAMPLES = ['src', 'docs', 'test', 'node_modules/prettier', 'node_modules/typescript', 'node_modules/@typescript', 'node_modules/zod'];
const EDITED = 'node_modules/prettier/plugins/flow.js';
const RENAMED = { from: 'node_modules/prettier/plugins', to: 'node_modules/prettier/parsers' };
const READY_MS_MAX = 30_000;
const WAIT_TIMEOUT = '120s';

const terminal = processTerminal();

function step(line: string): void {
  terminal.out(`\n${paint(terminal, 'bold', line)}\n`);
}

function show(line: string): void {
  terminal.out(`  ${line}\n`);
}

/** One run of the command line, to its end. @throws {Error} with what it said, if its exit code is not 0 */
async function sameroot(...args: readonly string[]): Promise<string> {
  const child = spawn(process.execPath, [PROGRAM, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const exit = new Promise<number | null>((resolve) => child.on('close', resolve));
  const [out, err, code] = await Promise.all([text(child.stdout), text(child.stderr), exit]);
  if (code !== EXIT.done) throw new Error(`sameroot ${args.join(' ')} ended with ${code}: ${err.trim() || out.trim()}`);
  return out;
}

async function sameroots<Answer>(...args: readonly string[]): Promise<Answer> {
  return JSON.parse(await sameroot(...args, '--json')) as Answer;
}

interface Ready {
  readonly root: string;
  readonly peer: string;
  readonly token: string;
}

/** Starts a node; `children` gets its process at once, so that it is stopped whatever happens next. */
async function startNode(children: ChildProcess[], folder: string, ...args: readonly string[]): Promise<Ready> {
  const command = [PROGRAM, 'start', folder, '--listen', '127.0.0.1:0', '--log-level', 'error', '--json', ...args];
  const child = spawn(process.execPath, command, { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`the node of ${folder} was not ready in time`)), READY_MS_MAX);
    const fail = (code: number | null) => reject(new Error(`the node of ${folder} ended with ${code}`));
    let said = '';
    child.once('exit', fail);
    child.stdout.on('data', (part: Buffer) => {
      said += part.toString('utf8');
      if (!said.endsWith('}\n')) return;
      clearTimeout(timer);
      child.removeListener('exit', fail);
      resolve(JSON.parse(said) as Ready);
    });
  });
}

async function stopAll(children: readonly ChildProcess[]): Promise<void> {
  for (const child of children) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    await ended;
  }
}

function fillFolder(folder: string): void {
  mkdirSync(folder);
  for (const sample of SAMPLES) {
    const from = join(PROJECT, sample);
    if (existsSync(from)) cpSync(from, join(folder, sample), { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
  }
}

/** The first path that is not equal in both folders, or undefined. */
function firstDifference(a: string, b: string, path: string = ''): string | undefined {
  const [here, there] = [join(a, path), join(b, path)];
  const [statHere, statThere] = [lstatSync(here), lstatSync(there, { throwIfNoEntry: false })];
  if (statThere === undefined || statHere.mode !== statThere.mode) return path;
  if (statHere.isSymbolicLink()) return readlinkSync(here) === readlinkSync(there) ? undefined : path;
  if (statHere.isFile()) return readFileSync(here).equals(readFileSync(there)) ? undefined : path;
  const names = (folder: string) => readdirSync(folder).filter((name) => path !== '' || name !== '.sameroot');
  const [namesHere, namesThere] = [names(here).sort(), names(there).sort()];
  if (namesHere.join('/') !== namesThere.join('/')) return path === '' ? '.' : path;
  for (const name of namesHere) {
    const found = firstDifference(a, b, join(path, name));
    if (found !== undefined) return found;
  }
  return undefined;
}

async function waitForPeer(folder: string): Promise<number> {
  const startedMs = performance.now();
  const result = await sameroots<WaitResult>('wait', folder, '--timeout', WAIT_TIMEOUT);
  if (!result.done || !result.peers.some((peer) => peer.confirmed)) throw new Error('the peer did not confirm');
  return Math.round(performance.now() - startedMs);
}

/** Both hosts, as `status` shows them; throws if they differ. */
async function showBoth(a: string, b: string): Promise<NodeStatus> {
  const [statusA, statusB] = await Promise.all([sameroots<NodeStatus>('status', a), sameroots<NodeStatus>('status', b)]);
  show(`host A   ${statusA.state}   root ${statusA.root}`);
  show(`host B   ${statusB.state}   root ${statusB.root}`);
  if (statusA.root !== statusB.root) throw new Error('the roots differ');
  return statusA;
}

function sentBytes(status: NodeStatus): number {
  return status.peers.reduce((sum, peer) => sum + peer.sentBytes, 0);
}

function receivedBytes(status: NodeStatus): number {
  return status.peers.reduce((sum, peer) => sum + peer.receivedBytes, 0);
}

async function run(children: ChildProcess[], work: string, plain: boolean): Promise<void> {
  const [a, b] = [join(work, 'host-a'), join(work, 'host-b')];
  step('1. A folder with real data, and a node for it');
  fillFolder(a);
  const ready = await startNode(children, a);
  show(`sameroot start ${a}`);

  step('2. A second host joins with an empty folder');
  await startNode(children, b, '--join', ready.peer, '--token', ready.token);
  show(`sameroot start ${b} --join ${ready.peer} --token ${ready.token.slice(0, 12)}...`);
  const firstMs = await waitForPeer(a);
  const before = await showBoth(a, b);
  const size = `${formatPlural(before.entries, 'entry', 'entries')}, ${formatBytes(before.bytes)}`;
  show(`${size}: ${formatBytes(sentBytes(before))} sent, confirmed durable after ${firstMs} ms`);

  step('3. A line is inserted at the head of a file');
  const old = readFileSync(join(a, EDITED));
  writeFileSync(join(a, EDITED), Buffer.concat([Buffer.from('one more line\n'), old]));
  const editMs = await waitForPeer(a);
  const after = await showBoth(a, b);
  show(
    `${EDITED} (${formatBytes(old.length)}): ${formatBytes(sentBytes(after) - sentBytes(before))} sent, confirmed durable after ${editMs} ms`,
  );

  step('4. A folder is renamed on the other host');
  renameSync(join(b, RENAMED.from), join(b, RENAMED.to));
  const moveMs = await waitForPeer(b);
  const last = await showBoth(a, b);
  show(
    `${RENAMED.from} -> ${RENAMED.to}: ${formatBytes(receivedBytes(last) - receivedBytes(after))} sent, confirmed durable after ${moveMs} ms`,
  );

  step('5. Compared byte for byte');
  const difference = firstDifference(a, b) ?? firstDifference(b, a);
  if (difference !== undefined) throw new Error(`the folders differ at ${difference}`);
  show('both folders are equal');
  if (plain || !terminal.interactive || !process.stdin.isTTY) return;
  const question = createInterface({ input: process.stdin, output: process.stdout });
  await question.question(`\n  Both nodes still run: change files in ${work} and watch.\n  Enter stops them and removes the folders. `);
  question.close();
}

async function main(): Promise<number> {
  const children: ChildProcess[] = [];
  const work = mkdtempSync(join(tmpdir(), 'sameroot-demo-'));
  const cleanUp = async () => {
    await stopAll(children);
    rmSync(work, { recursive: true, force: true });
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void cleanUp().finally(() => process.exit(EXIT.failed)));
  try {
    await run(children, work, process.argv.includes('--plain'));
    return EXIT.done;
  } catch (error) {
    terminal.err(describeError(asSamerootError(error), process.argv.includes('--debug')));
    return EXIT.failed;
  } finally {
    await cleanUp();
  }
}

process.exitCode = await main();
