import { spawn } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const TOP: string = fileURLToPath(new URL('../..', import.meta.url));

/**
 * Stands in for the compiler, with what matters of it: notes what it has seen and writes only what has changed since,
 * writes all the same and fails on a wrong file.
 */
const FAKE_COMPILER = `
const { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } = require('node:fs');
const notes = existsSync('dist/.tsbuildinfo') ? JSON.parse(readFileSync('dist/.tsbuildinfo', 'utf8')) : {};
mkdirSync('dist/app', { recursive: true });
for (const file of readdirSync('src', { recursive: true }).filter((name) => name.endsWith('.ts') && !name.startsWith('assembly'))) {
  const content = readFileSync('src/' + file, 'utf8');
  if (content.includes('wrong')) {
    console.log(file + ' is wrong');
    process.exitCode = 2;
  }
  if (notes[file] === content) continue;
  notes[file] = content;
  for (const ending of ['.js', '.d.ts']) writeFileSync('dist/' + file.replace('.ts', ending), content);
}
writeFileSync('dist/.tsbuildinfo', JSON.stringify(notes));
`;

/** Stands in for the compiler of `src/assembly`. */
const FAKE_ASSEMBLER = `
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
const content = readFileSync(process.argv[2], 'utf8');
const output = process.argv[process.argv.indexOf('--outFile') + 1];
mkdirSync(dirname(output), { recursive: true });
if (content.includes('wrong')) {
  console.log('chunk-scan.ts is wrong');
  process.exitCode = 1;
} else writeFileSync(output, content);
`;

/** Stands in for npm: notes that it was called, then "installs" the compilers. */
const FAKE_NPM = `
const { appendFileSync, copyFileSync, cpSync, existsSync, rmSync } = require('node:fs');
appendFileSync('npm-calls', process.argv.slice(2).join(' ') + '\\n');
if (existsSync('npm-fails-' + process.argv[2])) process.exit(7);
rmSync('node_modules', { recursive: true, force: true });
cpSync('registry', 'node_modules', { recursive: true });
copyFileSync('package-lock.json', 'node_modules/.package-lock.json');
`;

const SCAN = 'dist/content/chunk-scan.wasm';

let top: string;

function write(path: string, content: string): void {
  mkdirSync(dirname(join(top, path)), { recursive: true });
  writeFileSync(join(top, path), content);
}

function lockFile(version: string): string {
  return JSON.stringify({
    packages: { '': {}, 'node_modules/typescript': { version }, 'node_modules/elsewhere': { version: '1', optional: true } },
  });
}

beforeEach(() => {
  top = mkdtempSync(join(tmpdir(), 'sameroot-setup-'));
  write('npm.cjs', FAKE_NPM);
  write('package-lock.json', lockFile('1'));
  write('registry/typescript/bin/tsc', FAKE_COMPILER);
  write('registry/assemblyscript/package.json', '{"type":"module"}');
  write('registry/assemblyscript/bin/asc.js', FAKE_ASSEMBLER);
  write('src/assembly/chunk-scan.ts', 'export function scan(): i32 {\n  return 7;\n}\n');
  write('src/assembly/asconfig.json', '{"options":{"runtime":"stub"}}');
  const compilerOptions = { rootDir: 'src', outDir: 'dist', types: [] };
  write('tsconfig.json', JSON.stringify({ compilerOptions, include: ['src'], exclude: ['src/assembly'] }));
  write('src/one.ts', 'export const one: number = 1;\n');
  write('src/app/two.ts', 'export const two: number = 2;\n');
  copyFileSync(join(TOP, 'src/app/setup.mjs'), join(top, 'src/app/setup.mjs'));
});
afterEach(() => rmSync(top, { recursive: true }));

async function setup(): Promise<{ code: number | null; out: string; err: string }> {
  const environment = { ...process.env, npm_execpath: join(top, 'npm.cjs') };
  const child = spawn(process.execPath, [join(top, 'src/app/setup.mjs')], { cwd: tmpdir(), env: environment });
  const exit = new Promise<number | null>((resolve) => child.on('close', resolve));
  const [out, err, code] = await Promise.all([text(child.stdout), text(child.stderr), exit]);
  return { code, out, err };
}

function npmCalls(): number {
  return existsSync(join(top, 'npm-calls')) ? readFileSync(join(top, 'npm-calls'), 'utf8').trim().split('\n').length : 0;
}

/** Both files compiled, nothing said on stdout; a second run has nothing to do and says nothing at all. */
async function expectReady(): Promise<void> {
  const first = await setup();
  expect([first.code, first.out]).toEqual([0, '']);
  const calls = npmCalls();
  expect(await setup()).toEqual({ code: 0, out: '', err: '' });
  expect(npmCalls()).toBe(calls);
  expect(existsSync(join(top, '.cache/setup.lock'))).toBe(false);
}

describe('a fresh clone', () => {
  it('is installed and compiled once', async () => {
    await expectReady();
    expect(npmCalls()).toBe(1);
    expect(readFileSync(join(top, 'npm-calls'), 'utf8')).toMatch(/^ci --ignore-scripts /);
    expect(readFileSync(join(top, 'dist/one.js'), 'utf8')).toContain('number = 1');
    expect(readFileSync(join(top, SCAN), 'utf8')).toContain('return 7');
  });

  it('is done by one of two that start at once', async () => {
    const both = await Promise.all([setup(), setup()]);
    expect(both.map((result) => result.code)).toEqual([0, 0]);
    expect(npmCalls()).toBe(1);
  });

  it('that was installed by hand is not installed again', async () => {
    cpSync(join(top, 'registry'), join(top, 'node_modules'), { recursive: true });
    write('node_modules/.package-lock.json', JSON.stringify({ packages: { 'node_modules/typescript': { version: '1' } } }));
    await expectReady();
    expect(npmCalls()).toBe(0);
  });

  it('is compiled by the real compilers', async () => {
    mkdirSync(join(top, 'node_modules'));
    for (const name of ['typescript', 'assemblyscript']) symlinkSync(join(TOP, 'node_modules', name), join(top, 'node_modules', name));
    write('node_modules/.package-lock.json', JSON.stringify({ packages: { 'node_modules/typescript': { version: '1' } } }));
    await expectReady();
    expect(readFileSync(join(top, 'dist/app/two.js'), 'utf8').trim()).toBe('export const two = 2;');
    expect(readFileSync(join(top, SCAN)).subarray(0, 4).toString('latin1')).toBe('\0asm');
  });

  it('is installed without `npm ci` where that refuses, and says so when npm fails', async () => {
    write('npm-fails-ci', '');
    write('npm-fails-install', '');
    expect(await setup()).toMatchObject({ code: 1, err: expect.stringContaining('npm install failed (7)') });
    rmSync(join(top, 'npm-fails-install'));
    await expectReady();
    expect(readFileSync(join(top, 'npm-calls'), 'utf8').match(/^\w+/gm)).toEqual(['ci', 'install', 'ci', 'install']);
  });
});

describe('a checkout that has changed', () => {
  beforeEach(async () => {
    expect((await setup()).code).toBe(0);
  });

  it('is installed again when the lock file asks for other versions', async () => {
    write('package-lock.json', lockFile('2'));
    await expectReady();
    expect(npmCalls()).toBe(2);
  });

  it('is compiled again, also when the file looks older', async () => {
    write('src/one.ts', 'export const one: number = 111;\n');
    utimesSync(join(top, 'src/one.ts'), 1, 1);
    await expectReady();
    expect(readFileSync(join(top, 'dist/one.js'), 'utf8')).toContain('number = 111');
    expect(npmCalls()).toBe(1);
  });

  it('is compiled again when only the assembly has changed', async () => {
    write('src/assembly/chunk-scan.ts', 'export function scan(): i32 {\n  return 8;\n}\n');
    await expectReady();
    expect(readFileSync(join(top, SCAN), 'utf8')).toContain('return 8');
  });

  it('loses the output of a file that is gone, and gets back those that were removed', async () => {
    rmSync(join(top, 'src/one.ts'));
    rmSync(join(top, 'dist/app/two.js'));
    rmSync(join(top, SCAN));
    await expectReady();
    expect([existsSync(join(top, 'dist/one.js')), existsSync(join(top, 'dist/one.d.ts'))]).toEqual([false, false]);
    expect([existsSync(join(top, 'dist/app/two.js')), existsSync(join(top, SCAN))]).toEqual([true, true]);
  });

  it('that does not compile fails each time until it does', async () => {
    write('src/one.ts', 'wrong\n');
    for (let run = 0; run < 2; run++) expect(await setup()).toMatchObject({ code: 1, err: expect.stringContaining('one.ts') });
    write('src/one.ts', 'export const one: number = 3;\n');
    write('src/assembly/chunk-scan.ts', 'wrong\n');
    expect(await setup()).toMatchObject({ code: 1, err: expect.stringContaining('chunk-scan.ts is wrong') });
    write('src/assembly/chunk-scan.ts', 'right\n');
    await expectReady();
  });
});

describe('the lock', () => {
  it('of a process that is gone, on this host or another, is taken over', async () => {
    for (const owner of [`{"pid":${2 ** 30},"host":${JSON.stringify(hostname())}}`, '{"pid":1,"host":"elsewhere"}', undefined]) {
      rmSync(join(top, 'dist'), { recursive: true, force: true });
      mkdirSync(join(top, '.cache/setup.lock'), { recursive: true });
      if (owner !== undefined) write('.cache/setup.lock/owner.json', owner);
      // Only of this host can it be told at once that the process is gone; any other must have been silent for long.
      if (owner === undefined || owner.includes('elsewhere')) utimesSync(join(top, '.cache/setup.lock'), 1, 1);
      await expectReady();
    }
  });

  it('of a process that lives is waited for', async () => {
    write('.cache/setup.lock/owner.json', JSON.stringify({ pid: process.pid, host: hostname() }));
    const waiting = setup();
    const early = await Promise.race([waiting, new Promise((resolve) => setTimeout(resolve, 600))]);
    expect(early).toBeUndefined();
    rmSync(join(top, '.cache/setup.lock'), { recursive: true });
    expect(await waiting).toMatchObject({ code: 0, err: expect.stringContaining(`(process ${process.pid})`) });
  });
});
