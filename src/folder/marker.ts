/**
 * The marker `.sameroot/share` says that this is the folder of the share: a disk that is not mounted has none. Without
 * it nothing is ingested, so an empty mount point never looks like a folder where everything was deleted.
 */
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { toHex } from '../base/bytes.ts';
import { messageOf, SamerootError } from '../base/errors.ts';
import { OWN_FOLDER } from './paths.ts';

const MARKER = `${OWN_FOLDER}/share`;

/** @throws {SamerootError} `FOLDER_MISSING` if the folder or its marker is not there, `SHARE_MISMATCH` if it is that of another share */
export async function checkMarker(root: string, shareId: Uint8Array): Promise<void> {
  let text: string;
  try {
    text = await readFile(`${root}/${MARKER}`, 'utf8');
  } catch (error) {
    throw new SamerootError('FOLDER_MISSING', `${root} is not there, or has lost its ${MARKER}: ${messageOf(error)}`, { cause: error });
  }
  if (text.trim() !== toHex(shareId))
    throw new SamerootError('SHARE_MISMATCH', `${root} is the folder of share ${text.trim().slice(0, 80)}`);
}

/**
 * At the start of a node. `isNew`: the database knows of no file here, so that a folder without marker becomes the
 * folder of the share; one that was it and has lost its marker does not.
 * @throws {SamerootError} see `checkMarker`
 */
export async function openMarker(root: string, shareId: Uint8Array, isNew: boolean): Promise<void> {
  try {
    await checkMarker(root, shareId);
  } catch (error) {
    if (!isNew || !(error instanceof SamerootError) || error.code !== 'FOLDER_MISSING') throw error;
    await writeMarker(root, shareId);
  }
}

async function writeMarker(root: string, shareId: Uint8Array): Promise<void> {
  await mkdir(`${root}/${OWN_FOLDER}`, { recursive: true });
  const draft = await open(`${root}/${MARKER}.new`, 'w');
  try {
    await draft.writeFile(`${toHex(shareId)}\n`);
    await draft.sync();
  } finally {
    await draft.close();
  }
  await rename(`${root}/${MARKER}.new`, `${root}/${MARKER}`);
}
