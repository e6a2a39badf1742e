/**
 * `.sameroot/node.json`: how a verb finds the node that runs for a folder. Written when the node is ready, removed when
 * it stops, readable by its user only because it holds the token of the API.
 *
 * Invariant: it is always in FOLDER/.sameroot, also when the database is elsewhere: a verb knows nothing but the folder.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { messageOf, SamerootError, systemCode } from '../base/errors.ts';

export interface DaemonFile {
  /** `http://HOST:PORT` of the API. */
  readonly http: string;
  readonly token: string;
  readonly pid: number;
}

export interface FoundDaemon extends DaemonFile {
  /** Absolute path of the shared folder. */
  readonly folder: string;
}

export function daemonFilePath(folder: string): string {
  return join(folder, '.sameroot', 'node.json');
}

/** Under its final name it is complete and has its mode from the start. */
export function writeDaemonFile(folder: string, file: DaemonFile): void {
  const path = daemonFilePath(folder);
  const temporary = `${path}.${process.pid}`;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    rmSync(temporary, { force: true });
    writeFileSync(temporary, `${JSON.stringify(file)}\n`, { mode: 0o600, flag: 'wx' });
    renameSync(temporary, path);
  } catch (error) {
    throw new SamerootError(systemCode(error) === 'EROFS' ? 'FOLDER_READ_ONLY' : 'IO_ERROR', `cannot write ${path}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** Removes the file of this process; that of another one stays. */
export function removeDaemonFile(folder: string): void {
  if (readDaemonFile(folder)?.pid === process.pid) rmSync(daemonFilePath(folder), { force: true });
}

/**
 * The node that runs for `folder`, or, if no folder is named, for the current one or the nearest parent that holds `.sameroot/node.json`.
 * @throws {SamerootError} `NO_DAEMON` if there is none, or none that is alive
 */
export function findDaemon(folder: string | undefined, currentFolder: string): FoundDaemon {
  const start = resolve(currentFolder, folder ?? '.');
  for (let at = start; ; at = dirname(at)) {
    const file = readDaemonFile(at);
    if (file !== undefined && isAlive(file.pid)) return { ...file, folder: at };
    if (file !== undefined) throw new SamerootError('NO_DAEMON', `the node of ${at} (process ${file.pid}) is gone`);
    if (folder !== undefined) throw new SamerootError('NO_DAEMON', `no node runs for ${start}`);
    if (at === dirname(at)) throw new SamerootError('NO_DAEMON', `no node runs for ${start} or a folder above it`);
  }
}

function readDaemonFile(folder: string): DaemonFile | undefined {
  const path = daemonFilePath(folder);
  let content: string;
  try {
    content = readFileSync(path, 'utf8');
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw new SamerootError('NO_DAEMON', `cannot read ${path}: ${messageOf(error)}`, { cause: error });
  }
  const file = parseDaemonFile(content);
  if (file === undefined) throw new SamerootError('NO_DAEMON', `${path} is damaged`);
  return file;
}

function parseDaemonFile(content: string): DaemonFile | undefined {
  try {
    const { http, token, pid } = JSON.parse(content) as Record<string, unknown>;
    if (typeof http !== 'string' || !URL.canParse(http) || typeof token !== 'string') return undefined;
    return typeof pid === 'number' && Number.isSafeInteger(pid) && pid > 0 ? { http, token, pid } : undefined;
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemCode(error) === 'EPERM';
  }
}
