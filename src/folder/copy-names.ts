/**
 * Conflict copies as they are found on the disk: whose they are, by their name, and whether one is what its entry shows.
 *
 * A placed row says it too, and counts for more. But a row can be lost in a death (place-notes.ts), and a name that was made by
 * `conflictNames` is proof enough where the bytes are those of the version, too. (Names that were cut for their length do not
 * tell whose copy they are.)
 */
import type { Entry, FoundValue } from '../entry/entry.ts';
import { conflictNames, sameValue, view, type Shown } from '../entry/view.ts';

const COPY_NAME = /^(.*)\.conflict-\d{8,}T\d{6}Z-([0-9a-f]{8,16})-([0-9a-f]{1,14})(\.[^./]*)?$/s;

export interface CopyName {
  /** The path that it is a copy of. */
  readonly owner: string;
  /** The first digits of the replica that wrote the version. */
  readonly author: string;
  readonly sequence: number;
}

export function parseCopyName(path: string): CopyName | undefined {
  const match = COPY_NAME.exec(path);
  if (match === null) return undefined;
  const [, stem, author, sequence, extension = ''] = match;
  return { owner: stem! + extension, author: author!, sequence: Number.parseInt(sequence!, 16) };
}

/** The versions of the owner's entry that are to be shown at this path just as `value` is there, mode and time included. */
export function copyAt(path: string, owner: string, entry: Entry | undefined, value: FoundValue): Shown | undefined {
  const { others } = view(entry);
  const copy = others[conflictNames(owner, others).indexOf(path)];
  if (copy === undefined || !sameValue(copy.version.value, value)) return undefined;
  return value.kind !== 'file' || (copy.version.value.kind === 'file' && copy.version.value.mtimeMs === value.mtimeMs) ? copy : undefined;
}
