/**
 * rsync: its daemon owns the target, a client pushes over loopback. `--fsync` is what makes it as durable as we are when
 * it returns; without it the data may be in the page cache only.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { missingProgram, programVersion } from '../support/programs.mjs';
import { freePort, listens, runProgram, Service } from '../support/service.mjs';
import { FOLDER_CASES } from '../support/folder-case.mjs';

const PARAMETERS = ['-a', '--delete', '--stats', '--no-human-readable'];

async function open({ space, source, target }, parameters) {
  const port = await freePort();
  const work = space.makeFolder('rsync');
  const config = join(work, 'rsyncd.conf');
  const global = [`port = ${port}`, 'address = 127.0.0.1', 'use chroot = no', 'munge symlinks = no'];
  const owner = [`uid = ${process.getuid()}`, `gid = ${process.getgid()}`];
  writeFileSync(config, [...global, ...owner, '[target]', `path = ${target}`, 'read only = no', ''].join('\n'));
  const daemon = new Service(space, 'rsync', ['--daemon', '--no-detach', `--config=${config}`]);
  await daemon.until(() => listens(port));
  const push = async () => {
    const { seconds, output } = await runProgram(space, 'rsync', [
      ...PARAMETERS,
      ...parameters,
      `${source}/`,
      `rsync://127.0.0.1:${port}/target/`,
    ]);
    const told = (name) => Number(new RegExp(`^Total bytes ${name}: ([\\d,]+)`, 'm').exec(output)[1].replaceAll(',', ''));
    return { seconds, bytes: told('sent') + told('received') };
  };
  return { first: push, again: push };
}

const common = {
  program: 'rsync',
  version: () => programVersion('rsync', ['--version']),
  missing: () => missingProgram('rsync'),
  cases: FOLDER_CASES,
};

export const contestants = [
  { ...common, name: 'rsync', about: 'daemon, -a --delete', open: (parameters) => open(parameters, []) },
  { ...common, name: 'rsync-fsync', about: 'daemon, -a --delete --fsync', open: (parameters) => open(parameters, ['--fsync']) },
];
