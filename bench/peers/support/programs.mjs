/** Peers that are programs of Debian: found on PATH, installed only when asked. */
import { execFileSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/**
 * @param {string} name
 * @param {string} [path]
 */
export function findProgram(name, path = process.env.PATH ?? '') {
  return path
    .split(delimiter)
    .map((folder) => join(folder, name))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/** Why it cannot take part and what to do, or undefined. */
export function missingProgram(name) {
  if (findProgram(name) !== undefined) return undefined;
  return { reason: `no program ${name} on PATH`, remedy: `run again with --install as root, or: apt-get install ${name}` };
}

/** The first line that a program says about its version. */
export function programVersion(command, parameters) {
  return execFileSync(command, parameters, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
    .split('\n')[0]
    .trim();
}

/**
 * @param {readonly string[]} names of Debian packages, which are those of their programs
 * @throws {RangeError} not asked by root, or Debian's tool is not there
 */
export function installPrograms(names) {
  if (names.length === 0) return;
  if (process.getuid?.() !== 0) throw new RangeError(`--install: only root may install ${names.join(', ')}`);
  if (findProgram('apt-get') === undefined) throw new RangeError('--install: this system has no apt-get');
  const environment = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const aptGet = (...parameters) => execFileSync('apt-get', parameters, { stdio: ['ignore', 'ignore', 'inherit'], env: environment });
  aptGet('update', '-qq');
  aptGet('install', '-y', '-qq', '--no-install-recommends', ...names);
}
