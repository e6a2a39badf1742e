/**
 * rclone: its own SFTP server owns the target, `rclone sync` pushes. Of the protocols that it serves itself it is the one
 * that keeps the times of files, without which a file that was overwritten in place would not be noticed.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { missingProgram, programVersion } from '../support/programs.mjs';
import { freePort, listens, runProgram, Service } from '../support/service.mjs';
import { FOLDER_CASES } from '../support/folder-case.mjs';

const USER = 'bench';
const PARAMETERS = ['--transfers', '4', '--checkers', '8', '--create-empty-src-dirs'];

async function open({ space, source, target }) {
  const port = await freePort();
  const work = space.makeFolder('rclone');
  const config = join(work, 'config');
  writeFileSync(config, '');
  const environment = { RCLONE_CONFIG: config, RCLONE_CACHE_DIR: join(work, 'cache'), XDG_CACHE_HOME: join(work, 'cache') };
  const credentials = ['--user', USER, '--pass', USER];
  const server = new Service(space, 'rclone', ['serve', 'sftp', target, '--addr', `127.0.0.1:${port}`, ...credentials], { environment });
  await server.until(() => listens(port));
  const hidden = execFileSync('rclone', ['obscure', USER], { encoding: 'utf8', env: { ...process.env, ...environment } }).trim();
  const remote = `:sftp,host=127.0.0.1,port=${port},user=${USER},pass=${hidden},shell_type=none:`;
  const push = async () => {
    const { seconds } = await runProgram(space, 'rclone', ['sync', source, remote, ...PARAMETERS], { environment });
    return { seconds };
  };
  return { first: push, again: push };
}

export const contestants = [
  {
    name: 'rclone',
    about: 'sync to its own SFTP server, encrypted',
    program: 'rclone',
    version: () => programVersion('rclone', ['version']),
    missing: () => missingProgram('rclone'),
    cases: FOLDER_CASES,
    open,
  },
];
