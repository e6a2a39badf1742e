/** A terminal that keeps what was written, and the command line run on it. */
import { buffer } from 'node:stream/consumers';
import { runCli } from '../../src/app/cli.ts';
import type { Terminal } from '../../src/app/terminal.ts';

export interface Run {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export function recorder(): Terminal & { written: { out: string; err: string } } {
  const written = { out: '', err: '' };
  return {
    written,
    out: (text) => (written.out += text),
    err: (text) => (written.err += text),
    pipeOut: async (source) => void (written.out += (await buffer(source)).toString('latin1')),
    outliveReader: () => undefined,
    interactive: false,
    interactiveErrors: false,
    colors: false,
  };
}

/** One command line in this process. */
export async function run(args: readonly string[], currentFolder: string = '/'): Promise<Run> {
  const terminal = recorder();
  const code = await runCli(args, { terminal, environment: {}, currentFolder });
  return { code, ...terminal.written };
}
