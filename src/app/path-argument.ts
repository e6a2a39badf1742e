/**
 * A path as somebody typed it, as the key that a node knows it by. It is read as a shell reads it: from the current
 * folder; the node is that of the nearest shared folder above it. What is not below the folder that was named is taken
 * from the top of that folder, and `f/PATH` and `r/KEY` are keys already, unless there is a file of that name.
 */
import { lstatSync } from 'node:fs';
import { dirname, isAbsolute, relative, resolve, sep } from 'node:path';
import { SamerootError } from '../base/errors.ts';
import { Client } from './client.ts';
import { findDaemon } from './daemon-file.ts';
import type { VerbContext } from './terminal.ts';

export interface Located {
  readonly client: Client;
  readonly key: string;
}

/** @throws {SamerootError} `NO_DAEMON`, or `CONFIG_INVALID` for a path outside of the shared folder */
export function locate({ currentFolder }: VerbContext, folder: string | undefined, text: string): Located {
  const at = resolve(currentFolder, text);
  if (/^[fr]\/./.test(text) && !exists(at)) return { client: new Client(findDaemon(folder, currentFolder)), key: text };
  const daemon = folder === undefined ? findDaemon(undefined, dirname(at)) : findDaemon(folder, currentFolder);
  return { client: new Client(daemon), key: `f/${pathBelow(daemon.folder, at, folder === undefined ? undefined : text)}` };
}

/** The path in a shared folder. @throws {SamerootError} as `locate`, or `CONFIG_INVALID` for the key of a record */
export function locateFile(
  context: VerbContext,
  folder: string | undefined,
  text: string,
): { readonly client: Client; readonly path: string } {
  const { client, key } = locate(context, folder, text);
  if (!key.startsWith('f/')) throw new SamerootError('CONFIG_INVALID', `PATH: ${text} is a record; the trash holds files`);
  return { client, path: key.slice(2) };
}

/** `fromTop`: how it was typed, where it may be meant from the top of the folder. */
function pathBelow(folder: string, at: string, fromTop: string | undefined): string {
  const below = (path: string): string | undefined => {
    const found = relative(folder, path);
    return found === '' || found === '..' || found.startsWith(`..${sep}`) || isAbsolute(found) ? undefined : found;
  };
  const path = below(at) ?? (fromTop === undefined || isAbsolute(fromTop) ? undefined : below(resolve(folder, fromTop)));
  if (path === undefined) throw new SamerootError('CONFIG_INVALID', `PATH: ${at} is not below the shared folder ${folder}`);
  return path;
}

function exists(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch {
    return false;
  }
}
