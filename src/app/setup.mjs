/**
 * Makes a checkout ready to run: the packages of package-lock.json are installed, `src` is compiled into `dist`, and the
 * AssemblyScript in `src/assembly` into WebAssembly there.
 * The first step of `npm start`, `npm test` and the like, so that a fresh clone needs Node.js and npm and no further step.
 * (Not a `prestart` script: npm leaves those out where `ignore-scripts` is set, as it is in our .npmrc.)
 *
 * Invariant: when it ends with 0, `node_modules` is what the lock file says and `dist` is what `src` says. Both are told by
 * content, not by age: a checkout of an older commit has newer times. Plain JavaScript with nothing but Node.js in it,
 * because nothing is installed or compiled yet.
 */
import { createHash } from 'node:crypto';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const NODE_MIN = [20, 12];
const HEARTBEAT_MS = 2_000;
/** A lock without a sign of life for this long has no living owner: it beats fifteen times as often. */
const LOCK_STALE_MS = 30_000;
const LOCK_POLL_MS = 200;

const top = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const modules = join(top, 'node_modules');
const source = join(top, 'src');
const assembly = join(source, 'assembly');
const output = join(top, 'dist');
const lockDirectory = join(top, '.cache', 'setup.lock');
const installStamp = join(modules, '.sameroot-lock');
const buildStamp = join(output, '.sameroot-build');
/** From, to. */
const chunkScan = [join(assembly, 'chunk-scan.ts'), join(output, 'content', 'chunk-scan.wasm')];

function say(text) {
  process.stderr.write(`sameroot setup: ${text}\n`);
}

function fail(text) {
  say(text);
  process.exit(1);
}

function readText(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

function digest(...parts) {
  const sum = createHash('sha256');
  for (const part of parts) sum.update(`${part.length}:`).update(part);
  return sum.digest('hex');
}

/** All files below `folder`, relative to it, sorted: the digest must not depend on the file system's order. */
function filesBelow(folder) {
  const found = [];
  const visit = (at) => {
    for (const item of readdirSync(at, { withFileTypes: true })) {
      const path = join(at, item.name);
      if (item.isDirectory()) visit(path);
      else found.push(relative(folder, path));
    }
  };
  visit(folder);
  return found.sort((a, b) => (a < b ? -1 : 1));
}

/** What npm noted to be in `node_modules` is what the lock file asks for (somebody ran `npm ci` or `npm install` by hand). */
function installedByHand(lockText) {
  const noted = readText(join(modules, '.package-lock.json'));
  if (noted === undefined) return false;
  const wanted = JSON.parse(lockText).packages;
  const present = JSON.parse(noted).packages;
  const matches = (path) => present[path] !== undefined && present[path].version === wanted[path].version;
  return Object.keys(wanted).every((path) => path === '' || wanted[path].optional === true || matches(path));
}

function needsInstall() {
  const lockText = readFileSync(join(top, 'package-lock.json'), 'utf8');
  if (readText(installStamp) === digest(lockText)) return false;
  if (!installedByHand(lockText)) return true;
  try {
    writeFileSync(installStamp, digest(lockText));
  } catch {
    // a read-only checkout is compared again each time
  }
  return false;
}

function outputOf(file) {
  return join(output, file.replace(/\.ts$/, '.js'));
}

/** The state of everything that `dist` depends on, and the outputs that must exist. */
function sourceState() {
  const isAssembly = (file) => dirname(file) === 'assembly';
  const sources = filesBelow(source).filter((file) => file.endsWith('.ts') || isAssembly(file));
  const files = sources.filter((file) => !isAssembly(file));
  const settings = ['tsconfig.json', 'package-lock.json'].map((name) => readFileSync(join(top, name)));
  const stamp = digest(...settings, ...sources.flatMap((file) => [file, readFileSync(join(source, file))]));
  const outputs = [...files.filter((file) => !file.endsWith('.d.ts')).map(outputOf), chunkScan[1]];
  const complete = outputs.every((file) => existsSync(file));
  return { files, stamp, complete };
}

function needsBuild() {
  const { stamp, complete } = sourceState();
  return !complete || readText(buildStamp) !== stamp;
}

let running;

/** Runs a program. Its output goes to our stderr, because stdout belongs to the command that comes after us; `quiet` drops it. */
function run(program, args, quiet = false) {
  return new Promise((resolve) => {
    running = spawn(program, args, { cwd: top, stdio: quiet ? 'ignore' : ['ignore', 2, 2] });
    running.on('error', () => resolve(127));
    running.on('close', (code) => resolve(code === null ? 1 : code));
  });
}

function runNpm(args, quiet) {
  // The level is said, because `npm start --silent` hands its own down to us, and a failure would then have no reason.
  const all = [...args, '--ignore-scripts', '--no-audit', '--no-fund', '--include=dev', '--include=optional', '--loglevel=error'];
  const npm = process.env.npm_execpath;
  return npm !== undefined && /\.c?js$/.test(npm) ? run(process.execPath, [npm, ...all], quiet) : run('npm', all, quiet);
}

/**
 * `npm ci` first. It refuses a lock file that does not name the optional binaries of every platform, and a lock file
 * made where the registry did not have them all does not; `npm install` takes the locked versions all the same.
 */
async function install() {
  say('installing packages');
  // First: an install that is cut off must not look like a finished one.
  rmSync(installStamp, { force: true });
  if ((await runNpm(['ci'], true)) !== 0) {
    const code = await runNpm(['install', '--no-save'], false);
    if (code !== 0) fail(`npm install failed (${code}); check the network or the registry, then try again`);
  }
  writeFileSync(installStamp, digest(readFileSync(join(top, 'package-lock.json'), 'utf8')));
}

/** Takes away what a removed or renamed source file left in `dist`. */
function removeLeftOvers(files) {
  const kept = new Set(files.map((file) => file.replace(/\.ts$/, '')));
  for (const file of filesBelow(output)) {
    const name = file.replace(/\.(d\.ts|js|js\.map)$/, '');
    if (name !== file && !kept.has(name)) rmSync(join(output, file));
  }
}

async function build() {
  const { files, stamp, complete } = sourceState();
  say(`compiling ${files.length} files`);
  rmSync(buildStamp, { force: true });
  // The compiler trusts its notes and would not write an output again that somebody removed.
  if (!complete) rmSync(join(output, '.tsbuildinfo'), { force: true });
  const [from, to] = chunkScan;
  const commands = [
    [join(modules, 'typescript', 'bin', 'tsc'), '-p', top],
    [join(modules, 'assemblyscript', 'bin', 'asc.js'), from, '--config', join(assembly, 'asconfig.json'), '--outFile', to],
  ];
  for (const command of commands) if ((await run(process.execPath, command)) !== 0) fail('the sources do not compile; see above');
  removeLeftOvers(files);
  writeFileSync(buildStamp, stamp);
}

function ownerOfLock() {
  try {
    return JSON.parse(readFileSync(join(lockDirectory, 'owner.json'), 'utf8'));
  } catch {
    return undefined;
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

function lockIsStale() {
  const owner = ownerOfLock();
  if (owner !== undefined && owner.host === hostname() && (owner.pid === process.pid || !isAlive(owner.pid))) return true;
  try {
    return Date.now() - statSync(lockDirectory).mtimeMs > LOCK_STALE_MS;
  } catch {
    return false; // released meanwhile
  }
}

/**
 * Removes a lock whose owner is gone. Two processes may find it stale at once, and the slower one must not remove the new
 * lock of the faster one: so both look again while they hold a second directory, which lives for microseconds only.
 */
function takeOverStaleLock() {
  const guard = `${lockDirectory}.takeover`;
  try {
    mkdirSync(guard);
  } catch {
    try {
      if (Date.now() - statSync(guard).mtimeMs > LOCK_STALE_MS) rmSync(guard, { recursive: true, force: true });
    } catch {
      // gone: somebody else has just finished
    }
    return;
  }
  try {
    if (lockIsStale()) rmSync(lockDirectory, { recursive: true, force: true });
  } finally {
    rmSync(guard, { recursive: true, force: true });
  }
}

function tryLock() {
  mkdirSync(dirname(lockDirectory), { recursive: true });
  try {
    mkdirSync(lockDirectory);
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
  writeFileSync(join(lockDirectory, 'owner.json'), JSON.stringify({ pid: process.pid, host: hostname() }));
  return true;
}

async function withLock(work) {
  for (let told = false; !tryLock();) {
    if (lockIsStale()) {
      takeOverStaleLock();
      continue;
    }
    if (!told) say(`waiting for another setup to finish (process ${ownerOfLock()?.pid ?? 'unknown'})`);
    told = true;
    await new Promise((resolve) => setTimeout(resolve, LOCK_POLL_MS));
  }
  const release = () => rmSync(lockDirectory, { recursive: true, force: true });
  const heartbeat = setInterval(() => utimesSync(lockDirectory, new Date(), new Date()), HEARTBEAT_MS);
  process.once('exit', release);
  for (const [signal, code] of Object.entries({ SIGINT: 130, SIGTERM: 143 })) {
    process.once(signal, () => {
      running?.kill(signal);
      process.exit(code);
    });
  }
  await work();
  clearInterval(heartbeat);
  process.removeListener('exit', release);
  release();
}

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < NODE_MIN[0] || (major === NODE_MIN[0] && minor < NODE_MIN[1])) {
  fail(`Node.js ${NODE_MIN.join('.')} or newer is needed, this is ${process.versions.node}; see https://nodejs.org`);
}
if (needsInstall() || needsBuild()) {
  await withLock(async () => {
    // Asked again: another process may have done it while we waited.
    if (needsInstall()) await install();
    if (needsBuild()) await build();
  });
  say('ready');
}
