/**
 * What a batch is about to show, noted in staging before its first rename: if this run dies before its rows are written,
 * the next start can tell what users have seen.
 *
 * Invariant: a note whose file in staging is gone says what was shown at its path. Whatever lies there now, an edit or
 * nothing, was done by somebody who saw it. Without the note it would pass for a change of what was there before, and the
 * version would come back beside the edit, or after the delete.
 *
 * A new mode or time is given to a file in place. For the notes it has a second name in staging meanwhile, which goes when it
 * has got them. So the same holds; and as long as that name is there, it leads to the very file, whatever somebody has put in
 * its place since: what it has by then, it had before.
 *
 * A note is the text of a symlink. That is metadata: a file system with a journal brings it back in the order of the calls,
 * so where the rename survived the note did, and nothing has to be flushed (a file would cost some ms a batch). One link
 * holds some 20 notes. Where there are no links, or a note is too long for one, there is none: then such a version does come
 * back; nothing is lost.
 */
import { join } from 'node:path';
import { systemCode } from '../base/errors.ts';
import { LINK_TARGET_BYTES_MAX } from '../base/limits.ts';
import { lstatOrNothing, MODE_BITS, wholeMs } from './disk-stat.ts';
import type { Disk } from './disk.ts';
import { removeFile } from './file-io.ts';
import type { DiskStat } from './placed.ts';

export interface PlaceNote {
  /** Name in staging. */
  readonly temporary: string;
  /** Below the shared folder. */
  readonly path: string;
  /** The placed row that is to be written (see placed.ts), but for its stat. */
  readonly row: Uint8Array;
  /** As it is shown, but for the time of change. */
  readonly stat: DiskStat;
  /** Of a file that is changed in place, and has `temporary` for a second name. */
  readonly modeBefore: number | undefined;
}

/** Of one batch. */
export interface PlaceNotes {
  /** Which batch: no other of this replica has the same. */
  readonly batch: string;
  readonly notes: readonly PlaceNote[];
}

const NONE: PlaceNotes = { batch: '', notes: [] };

type Line = readonly [
  temporary: string,
  path: string,
  row: string,
  inode: number,
  bytes: number,
  mtimeMs: number,
  mode: number,
  modeBefore?: number,
];

const NO_LINKS: ReadonlySet<string | undefined> = new Set(['EPERM', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'EINVAL', 'ENAMETOOLONG']);

function linkName(index: number): string {
  return `notes-${index}`;
}

/** Where there are none: see `forgetNotes`. */
export function writeNotes(disk: Disk, tmp: string, { batch, notes }: PlaceNotes): void {
  for (const [index, text] of texts(batch, notes).entries()) {
    try {
      disk.symlink(Buffer.from(text), join(tmp, linkName(index)));
    } catch (error) {
      if (NO_LINKS.has(systemCode(error))) return;
      throw error;
    }
  }
}

/**
 * Takes back what was noted of these names in staging, and nothing else: at any moment every other note is there, for a run
 * that dies just now has shown what they say.
 */
export function dropNotes(disk: Disk, tmp: string, temporaries: ReadonlySet<string>): void {
  const draft = join(tmp, 'notes-draft');
  for (let index = 0; ; index++) {
    const link = join(tmp, linkName(index));
    if (lstatOrNothing(disk, link) === undefined) return;
    const [batch, ...lines] = JSON.parse(Buffer.from(disk.readlink(link)).toString()) as [string, ...Line[]];
    const kept = lines.filter(([temporary]) => !temporaries.has(temporary));
    if (kept.length === lines.length) continue;
    removeFile(disk, draft);
    disk.symlink(Buffer.from(JSON.stringify([batch, ...kept])), draft);
    disk.rename(draft, link);
  }
}

/**
 * All that are there, before a name in staging is used again: one that a note speaks of would be gone, and count as shown. From
 * the last on: what is left at any moment is found again.
 */
export function forgetNotes(disk: Disk, tmp: string): void {
  let count = 0;
  while (lstatOrNothing(disk, join(tmp, linkName(count))) !== undefined) count++;
  while (count > 0) removeFile(disk, join(tmp, linkName(--count)));
}

function texts(batch: string, notes: readonly PlaceNote[]): string[] {
  const found: string[] = [];
  let lines: string[] = [];
  const frame = JSON.stringify([batch]).length;
  let bytes = frame;
  const end = (): void => {
    if (lines.length > 0) found.push(`[${[JSON.stringify(batch), ...lines].join(',')}]`);
    lines = [];
    bytes = frame;
  };
  for (const note of notes) {
    const line = lineOf(note);
    const lineBytes = Buffer.byteLength(line) + 1;
    if (frame + lineBytes > LINK_TARGET_BYTES_MAX) continue;
    if (bytes + lineBytes > LINK_TARGET_BYTES_MAX) end();
    lines.push(line);
    bytes += lineBytes;
  }
  end();
  return found;
}

function lineOf({ temporary, path, row, stat, modeBefore }: PlaceNote): string {
  const base64 = Buffer.from(row).toString('base64');
  const line: Line = [temporary, path, base64, stat.inode, stat.bytes, stat.mtimeMs, stat.mode];
  return JSON.stringify(modeBefore === undefined ? line : [...line, modeBefore]);
}

/** What the last batch of an earlier run has shown, by the notes that it left. */
export function readNotes(disk: Disk, tmp: string): PlaceNotes | undefined {
  let found: PlaceNotes | undefined;
  for (let index = 0; ; index++) {
    const link = join(tmp, linkName(index));
    if (lstatOrNothing(disk, link)?.isSymbolicLink() !== true) return found;
    const { batch, notes } = parse(Buffer.from(disk.readlink(link)).toString()) ?? NONE;
    found = { batch, notes: [...(found?.notes ?? []), ...notes.filter((note) => wasShown(disk, tmp, note))] };
  }
}

/** Of a file that is changed in place the mode comes last: a time that somebody has set since says nothing then. */
function wasShown(disk: Disk, tmp: string, { temporary, stat, modeBefore }: PlaceNote): boolean {
  const left = lstatOrNothing(disk, join(tmp, temporary));
  if (left === undefined) return true;
  if (modeBefore === undefined) return false;
  return modeBefore === stat.mode ? wholeMs(left.mtimeMs) === wholeMs(stat.mtimeMs) : (left.mode & MODE_BITS) === stat.mode;
}

/** `undefined` for a text that is none of ours. */
function parse(text: string): PlaceNotes | undefined {
  try {
    const [batch, ...lines] = JSON.parse(text) as [string, ...Line[]];
    const notes = lines.map(([temporary, path, row, inode, bytes, mtimeMs, mode, modeBefore]): PlaceNote => {
      return { temporary, path, row: Buffer.from(row, 'base64'), stat: { inode, bytes, mtimeMs, ctimeMs: 0, mode }, modeBefore };
    });
    return { batch, notes };
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) return undefined;
    throw error;
  }
}
