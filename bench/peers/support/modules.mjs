/**
 * Peers that are npm packages: pinned by the package.json and the lock file of this folder, installed beside them when a
 * case needs them. Nothing of it is a dependency of the project.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { GIB } from '../../support/common.mjs';
import { Workspace } from '../../support/workspace.mjs';
import { runProgram } from './service.mjs';

const FOLDER = fileURLToPath(new URL('../', import.meta.url));
const LOCK = new URL('../package-lock.json', import.meta.url);
/** npm writes it last. */
const INSTALLED = new URL('../node_modules/.package-lock.json', import.meta.url);

let failure;

/** Installs them if they are not there or not those of the lock file; scripts of packages are not run. */
export async function installModules(say) {
  if (existsSync(INSTALLED) && statSync(INSTALLED).mtimeMs >= statSync(LOCK).mtimeMs) return;
  say('installing the peers that are npm packages, once (some 460 MB, a minute or two)');
  const space = new Workspace({ bytes: GIB });
  try {
    await runProgram(space, 'npm', ['install', '--no-save', '--ignore-scripts', '--loglevel', 'error'], { folder: FOLDER });
  } catch (error) {
    failure = error.message;
  } finally {
    await space.close();
  }
}

export function missingModule(name) {
  if (existsSync(new URL(`../node_modules/${name}/package.json`, import.meta.url))) return undefined;
  return {
    reason: `the npm package ${name} is not installed${failure ? `: ${failure}` : ''}`,
    remedy: 'npm install --no-save --ignore-scripts in bench/peers',
  };
}

export function moduleVersion(name) {
  return JSON.parse(readFileSync(new URL(`../node_modules/${name}/package.json`, import.meta.url), 'utf8')).version;
}
