/** The compiled program as a child process, as a person or a script would run it. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import type { Run } from './recorder.ts';

export const PROGRAM: string = fileURLToPath(new URL('../../dist/app/main.js', import.meta.url));

const started = new Set<ChildProcess>();

export interface StartedNode {
  readonly child: ChildProcess;
  /** The JSON that `start --json` prints when it is ready. */
  readonly ready: Readonly<Record<string, string>>;
  /** Everything that stderr says until the end. */
  readonly err: Promise<string>;
}

/** Runs it to its end. */
export async function program(args: readonly string[], options: { readonly stdin?: string; readonly cwd?: string } = {}): Promise<Run> {
  const child = spawn(process.execPath, [PROGRAM, ...args], { cwd: options.cwd, stdio: 'pipe' });
  started.add(child);
  // One that ends before it reads closes its side.
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.stdin ?? '');
  const exit = once(child, 'close');
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), exit]);
  started.delete(child);
  return { code: code as number, out, err };
}

/** Starts a node and waits until it is ready. */
export async function startProgram(folder: string, ...args: readonly string[]): Promise<StartedNode> {
  const child = spawn(process.execPath, [PROGRAM, 'start', folder, '--json', '--listen', '127.0.0.1:0', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  started.add(child);
  const err = text(child.stderr);
  let out = '';
  for await (const part of child.stdout.setEncoding('utf8').iterator({ destroyOnReturn: false })) {
    out += part as string;
    if (out.endsWith('}\n')) break;
  }
  if (!out.endsWith('}\n')) throw new Error(`the node did not start: ${await err}`);
  return { child, ready: JSON.parse(out) as Record<string, string>, err };
}

/** Asks it to end and waits for that. Returns the exit code, or the signal that ended it. */
export async function stop(node: StartedNode, signal: NodeJS.Signals = 'SIGTERM'): Promise<number | string | null> {
  if (node.child.exitCode === null && node.child.signalCode === null) {
    const exit = once(node.child, 'exit');
    node.child.kill(signal);
    await exit;
  }
  started.delete(node.child);
  return node.child.exitCode ?? node.child.signalCode;
}

/** For `afterAll`: what a failed test left running. */
export function killAll(): void {
  for (const child of started) child.kill('SIGKILL');
}
