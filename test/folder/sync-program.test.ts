import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SyncProgram } from '../../src/folder/sync-program.ts';

let root: string;
let path: string | undefined;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'sameroot-sync-'));
  path = process.env['PATH'];
});
afterEach(() => {
  process.env['PATH'] = path;
  rmSync(root, { recursive: true, force: true });
});

/** Programs of these names are found first: each notes its runs, with what it was told, and goes on with `script`. */
function instead(script: string): { readonly runs: () => string[]; readonly shells: () => number } {
  const write = (name: string, rest: string): (() => string[]) => {
    const log = join(root, `${name}.log`);
    writeFileSync(log, '');
    writeFileSync(join(root, name), `#!/bin/sh\nprintf '%s\\0' "$*" >> '${log}'\n${rest}\n`);
    chmodSync(join(root, name), 0o755);
    return () => readFileSync(log, 'utf8').split('\0').slice(0, -1);
  };
  const runs = write('sync', script);
  const shells = write('sh', 'exec /bin/sh "$@"');
  process.env['PATH'] = `${root}${delimiter}${path}`;
  return { runs, shells: () => shells().length };
}

describe('a flush', () => {
  it('is one run of the program for each call, of that path, by one shell', async () => {
    const { runs, shells } = instead('exit 0');
    const program = new SyncProgram();
    const odd = `${root}/it's "a" \\ $HOME  folder `;
    expect(await Promise.all([program.flush(root), program.flush(odd)])).toEqual([true, true]);
    expect(await program.flush('/')).toBe(true);
    expect(runs()).toEqual([`-f ${root}`, `-f ${odd}`, '-f /']);
    expect(shells()).toBe(1);
  });

  it('that fails says why, and the next one is another', async () => {
    const { runs, shells } = instead('[ -e "$0.once" ] && exit 0; touch "$0.once"; echo "$2: no luck" >&2; exit 1');
    const program = new SyncProgram();
    // A name that looks like an answer of a program without the option.
    const folder = `${root}/option`;
    await expect(program.flush(folder)).rejects.toMatchObject({
      code: 'IO_ERROR',
      path: folder,
      message: expect.stringContaining('no luck'),
    });
    expect(await program.flush(folder)).toBe(true);
    expect([runs().length, shells()]).toEqual([2, 1]);
  });

  it('that nobody knows the end of has failed; the next one finds a shell again', async () => {
    const { runs } = instead('[ -e "$0.once" ] && exit 0; touch "$0.once"; kill -9 $PPID; exit 1');
    const program = new SyncProgram();
    await expect(program.flush(root)).rejects.toMatchObject({ code: 'IO_ERROR' });
    expect(await program.flush(root)).toBe(true);
    expect(runs()).toHaveLength(2);
  });
});

describe('there is no flush', () => {
  it('by a program that does not know how', async () => {
    instead('echo "sync: invalid option -- f" >&2; exit 1');
    expect(await new SyncProgram().flush(root)).toBe(false);
  });

  it('where there is no program, or no shell', async () => {
    process.env['PATH'] = root;
    expect(await new SyncProgram().flush(root)).toBe(false);
  });

  it('of a path of two lines', async () => {
    const { shells } = instead('exit 0');
    expect(await new SyncProgram().flush(`${root}\n/`)).toBe(false);
    expect(shells()).toBe(0);
  });
});
