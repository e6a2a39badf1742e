/** Unison: a server on a socket of loopback owns the target. It does not tell how many bytes it sent. */
import { join } from 'node:path';
import { missingProgram, programVersion } from '../support/programs.mjs';
import { freePort, listens, runProgram, Service } from '../support/service.mjs';
import { FOLDER_CASES } from '../support/folder-case.mjs';

async function open({ space, source, target }) {
  const port = await freePort();
  const server = new Service(space, 'unison', ['-listen', '127.0.0.1', '-socket', String(port)], {
    environment: { UNISON: space.makeFolder('unison-server') },
  });
  await server.until(() => listens(port));
  const state = space.makeFolder('unison-client');
  // Nobody is there to be asked: the newer version wins, and a folder may be emptied.
  const answers = ['-batch', '-auto', '-confirmbigdel=false', '-prefer', 'newer', '-silent'];
  const kept = ['-perms', '0o1777', '-times'];
  const sync = async () => {
    const roots = [source, `socket://127.0.0.1:${port}/${target}`];
    const { seconds } = await runProgram(space, 'unison', [...roots, ...answers, ...kept, '-logfile', join(state, 'log')], {
      environment: { UNISON: state },
    });
    return { seconds };
  };
  return { first: sync, again: sync };
}

export const contestants = [
  {
    name: 'unison',
    about: 'socket server, both ways',
    program: 'unison',
    version: () => programVersion('unison', ['-version']),
    missing: () => missingProgram('unison'),
    cases: FOLDER_CASES,
    open,
  },
];
