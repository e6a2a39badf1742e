/**
 * The marker `.sameroot/share` says that this is the folder of the share: a disk that is not mounted has none. Without
 * it nothing is ingested, so an empty mount point never looks like a folder where everything was deleted.
 */
import { toHex, utf8 } from '../base/bytes.ts';
import { messageOf, SamerootError } from '../base/errors.ts';
import { OPEN, type Disk } from './disk.ts';
import { flushNames, readText, writeFully } from './file-io.ts';
import { ioError } from './io-error.ts';
import { OWN_FOLDER } from './paths.ts';

const MARKER = `${OWN_FOLDER}/share`;

/** @throws {SamerootError} `FOLDER_MISSING` if the folder or its marker is not there, `SHARE_MISMATCH` if it is that of another share */
export function checkMarker(disk: Disk, root: string, shareId: Uint8Array): void {
  let text: string;
  try {
    text = readText(disk, `${root}/${MARKER}`);
  } catch (error) {
    throw new SamerootError('FOLDER_MISSING', `${root} is not there, or has lost its ${MARKER}: ${messageOf(error)}`, { cause: error });
  }
  if (text.trim() !== toHex(shareId))
    throw new SamerootError('SHARE_MISMATCH', `${root} is the folder of share ${text.trim().slice(0, 80)}`);
}

/** Whether this was the folder of a share at any time. */
export function hasMarker(disk: Disk, root: string): boolean {
  try {
    return disk.lstat(`${root}/${MARKER}`) !== undefined;
  } catch (error) {
    throw ioError('could not be looked at', `${root}/${MARKER}`, error);
  }
}

/**
 * At the start of a node. `isNew`: the database knows of no file here, so that a folder without marker becomes the
 * folder of the share; one that was it and has lost its marker does not.
 * @throws {SamerootError} see `checkMarker`
 */
export function openMarker(disk: Disk, root: string, shareId: Uint8Array, isNew: boolean): void {
  try {
    checkMarker(disk, root, shareId);
  } catch (error) {
    if (!isNew || !(error instanceof SamerootError) || error.code !== 'FOLDER_MISSING') throw error;
    writeMarker(disk, root, shareId);
  }
}

/** Durable, its names too: a database that knows of files beside a folder without marker would take nothing in. */
function writeMarker(disk: Disk, root: string, shareId: Uint8Array): void {
  disk.mkdir(`${root}/${OWN_FOLDER}`, { recursive: true });
  const draft = disk.open(`${root}/${MARKER}.new`, OPEN.writeOnly | OPEN.create | OPEN.truncate);
  try {
    writeFully(disk, draft, utf8(`${toHex(shareId)}\n`), 0);
    disk.flush(draft, 'bytes');
  } finally {
    disk.close(draft);
  }
  disk.rename(`${root}/${MARKER}.new`, `${root}/${MARKER}`);
  flushNames(disk, `${root}/${OWN_FOLDER}`);
  flushNames(disk, root);
}
