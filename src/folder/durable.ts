/**
 * Makes files that others wrote durable before a root covers them. Asynchronous, from the main thread: such a flush
 * waits for the disk, for seconds after a large write, and the read thread has peers to serve meanwhile.
 */
import { spawn } from 'node:child_process';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { SamerootError, systemCode } from '../base/errors.ts';
import { FLUSH_EACH_MAX, ioError } from './flush.ts';

/** Together in flight where there is no `sync -f`. */
const TOGETHER = 32;

let syncProgram = true;

/**
 * `files`: their bytes. `folders`: the names in them. What is gone needs no flush; whoever commits looks again.
 * @throws {SamerootError} `IO_ERROR`: nothing is known of the bytes, and asking again would not tell
 */
export async function makeDurable(root: string, files: readonly string[], folders: readonly string[]): Promise<void> {
  if (files.length + folders.length > FLUSH_EACH_MAX && syncProgram && (await syncFileSystem(root))) return;
  await inGroups(files, (path) => flush(`${root}/${path}`, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK, true));
  await inGroups(folders, (path) => flush(`${root}/${path}`, constants.O_RDONLY | constants.O_DIRECTORY, false));
}

async function inGroups(paths: readonly string[], run: (path: string) => Promise<void>): Promise<void> {
  for (let at = 0; at < paths.length; at += TOGETHER) await Promise.all(paths.slice(at, at + TOGETHER).map(run));
}

async function flush(path: string, flags: number, dataOnly: boolean): Promise<void> {
  try {
    await using handle = await open(path, flags);
    await (dataOnly ? handle.datasync() : handle.sync());
  } catch (cause) {
    if (['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO', 'EACCES'].includes(systemCode(cause) ?? '')) return;
    throw ioError('could not be flushed', path, cause);
  }
}

/** One `syncfs`. False where there is no program for it. */
async function syncFileSystem(root: string): Promise<boolean> {
  const child = spawn('sync', ['-f', root], { stdio: ['ignore', 'ignore', 'pipe'] });
  let text = '';
  child.stderr.setEncoding('utf8').on('data', (part: string) => (text += part));
  const status = await new Promise<number | undefined>((resolve) => {
    child.once('error', () => resolve(undefined));
    child.once('close', (code) => resolve(code ?? undefined));
  });
  if (status === 0) return true;
  if (status !== undefined && !/option|usage/i.test(text)) {
    throw new SamerootError('IO_ERROR', `the file system could not be flushed: ${text.trim()}`, { path: root });
  }
  syncProgram = false;
  return false;
}
