/**
 * A copy of the project that may be broken: sources and tests in a temporary folder, with a build of their own.
 *
 * Invariant: the checkout itself is only read. A mutant is put into the copy as text, and the file is put back after it.
 */
import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const TOP = fileURLToPath(new URL('../..', import.meta.url));
const COPIED = ['src', 'test', 'docs', 'README.md', 'package.json', 'tsconfig.json'];
/** A build without types: what a mutant does to them does not matter, and it takes a second. */
const BUILD = [
  '--noCheck',
  '--incremental',
  'false',
  '--tsBuildInfoFile',
  'null',
  '--declaration',
  'false',
  '--isolatedDeclarations',
  'false',
];
/** Seeds of one call of the simulator. */
const PORTION_MIN = 16;
const PORTION_MAX = 512;
/** A simulation or a test file that runs longer hangs. */
const RUN_MS_MAX = 1_800_000;

/**
 * The sources of `mutant.file` with its edits made; undefined where a text is not there exactly once: the mutant is stale.
 * @param {string} text
 * @param {import('./mutant-list.mjs').Mutant} mutant
 */
export function mutated(text, mutant) {
  let result = text;
  for (const { find, put } of mutant.edits) {
    const at = result.indexOf(find);
    if (at < 0 || result.includes(find, at + 1)) return undefined;
    result = result.slice(0, at) + put + result.slice(at + find.length);
  }
  return result;
}

/**
 * What `simulate --json` found; undefined if that is not what was printed. A seed is printed as `VERSION:NUMBER`.
 * @param {string} text
 * @returns {{ seed: number, invariant: string }[] | undefined}
 */
function violationsIn(text) {
  try {
    /** @type {{ violations: { seed: string, invariant: string }[] }} */
    const { violations } = JSON.parse(text);
    return violations.map(({ seed, invariant }) => ({ seed: Number(seed.split(':').at(-1)), invariant }));
  } catch {
    return undefined;
  }
}

/** @param {import('./mutant-list.mjs').Mutant} mutant */
export function isStale(mutant) {
  return mutated(readFileSync(join(TOP, mutant.file), 'utf8'), mutant) === undefined;
}

/**
 * Output goes to the promise; `code` is undefined where the program was killed because it did not end.
 * @param {readonly string[]} command  arguments of `node`
 * @param {string} folder
 * @returns {Promise<{ code: number | undefined, stdout: string, stderr: string }>}
 */
function runNode(command, folder) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, command, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
    const output = { stdout: '', stderr: '' };
    child.stdout.on('data', (bytes) => (output.stdout += bytes));
    child.stderr.on('data', (bytes) => (output.stderr += bytes));
    const timer = setTimeout(() => child.kill('SIGKILL'), RUN_MS_MAX);
    child.on('error', reject);
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ code: code ?? undefined, ...output });
    });
  });
}

export class Workspace {
  /** @type {string} */
  #folder;

  constructor() {
    this.#folder = mkdtempSync(join(tmpdir(), 'sameroot-mutants-'));
    for (const name of COPIED) cpSync(join(TOP, name), join(this.#folder, name), { recursive: true });
    symlinkSync(join(TOP, 'node_modules'), join(this.#folder, 'node_modules'));
  }

  remove() {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /**
   * Runs `use` while the copy is broken, and built so.
   * @template T
   * @param {import('./mutant-list.mjs').Mutant | undefined} mutant  undefined: as it is
   * @param {() => Promise<T>} use
   * @returns {Promise<T>}
   */
  async with(mutant, use) {
    const path = mutant === undefined ? undefined : join(this.#folder, mutant.file);
    const sound = path === undefined ? undefined : readFileSync(path, 'utf8');
    try {
      if (mutant !== undefined) writeFileSync(path, mutated(sound, mutant));
      await this.#build();
      return await use();
    } finally {
      if (path !== undefined) writeFileSync(path, sound);
    }
  }

  async #build() {
    const { code, stdout, stderr } = await runNode(['node_modules/typescript/bin/tsc', '-p', '.', ...BUILD], this.#folder);
    if (code !== 0) throw new Error(`the copy does not build:\n${stdout}${stderr}`);
  }

  /**
   * Histories of the seeds from 1 on, until a violation: in growing portions, since a portion is run to its end.
   * `histories`: how many it took, or all. A simulator that fails itself has noticed the mutant too.
   * @param {number} seeds
   * @returns {Promise<{ caught: boolean, by: string, histories: number }>}
   */
  async simulate(seeds) {
    let portion = PORTION_MIN;
    for (let done = 0; done < seeds; done += portion) {
      portion = Math.min(done === 0 ? PORTION_MIN : done, PORTION_MAX, seeds - done);
      const options = ['--from', String(done + 1), '--seeds', String(portion), '--json'];
      const { code, stdout, stderr } = await runNode(['dist/app/main.js', 'simulate', ...options], this.#folder);
      if (code === undefined) return { caught: false, by: 'the simulation does not end', histories: done };
      const violations = violationsIn(stdout);
      if (violations === undefined) return { caught: true, by: `stops: ${stderr.trim().split('\n').at(-1)}`, histories: done + portion };
      const [first] = violations.toSorted((a, b) => a.seed - b.seed);
      if (first !== undefined) return { caught: true, by: first.invariant, histories: first.seed };
    }
    return { caught: false, by: '', histories: seeds };
  }

  /**
   * The law tests in `files`, until the first that fails.
   * @param {readonly string[]} files
   * @returns {Promise<{ caught: boolean, by: string }>}
   */
  async laws(files) {
    const report = join(this.#folder, 'laws.json');
    rmSync(report, { force: true });
    const vitest = ['node_modules/vitest/vitest.mjs', 'run', '--config', 'test/vitest.config.ts', '--bail=1'];
    const { code, stdout, stderr } = await runNode([...vitest, '--reporter=json', `--outputFile=${report}`, ...files], this.#folder);
    if (code === undefined) return { caught: false, by: 'the tests do not end' };
    /** @type {{ testResults: { name: string, assertionResults: { status: string, fullName: string }[] }[] }} */
    let results;
    try {
      results = JSON.parse(readFileSync(report, 'utf8'));
    } catch {
      throw new Error(`the tests gave no report (exit code ${code}):\n${stdout.slice(-2_000)}${stderr.slice(-2_000)}`);
    }
    for (const { name, assertionResults } of results.testResults) {
      const failed = assertionResults.find(({ status }) => status === 'failed');
      if (failed !== undefined) return { caught: true, by: `${name.slice(this.#folder.length + 1)}: ${failed.fullName}` };
    }
    // A file that does not even load says nothing about the mutant.
    if (code !== 0) throw new Error(`the tests can not be run (exit code ${code}):\n${stdout.slice(-2_000)}${stderr.slice(-2_000)}`);
    return { caught: false, by: '' };
  }
}
