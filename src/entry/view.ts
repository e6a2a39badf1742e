/**
 * What a person sees at a key: one winner, and the other versions beside it as conflict copies.
 *
 * Invariant: the view is a function of the entry alone, so every replica shows the same. It writes nothing: conflict
 * copies are a projection, and are gone as soon as a write that has seen them replaces their versions.
 *
 * Versions of equal value are one. Live versions hide concurrent tombstones: an edit beats a delete that had not seen it.
 */
import { equalBytes, utf8 } from '../base/bytes.ts';
import { NAME_BYTES_MAX, REPLICA_ID_BYTES } from '../base/limits.ts';
import { hash } from '../content/hash.ts';
import { compareStamps } from './clock.ts';
import { compareDots, type Dot, type Entry, type Value, type Version } from './entry.ts';

/** A value that is to be shown, with every version that it stands for. */
export interface Shown {
  /** The newest of the versions of this value. */
  readonly version: Version;
  /** What a write by someone who sees this replaces: the versions of this value; for the winner also hidden tombstones. */
  readonly dots: readonly Dot[];
}

export interface View {
  /** The live version to show; `undefined` where there is none. */
  readonly winner: Shown | undefined;
  /** Live versions of other values, newest first: shown as conflict copies. */
  readonly others: readonly Shown[];
  /** The tombstones; what a write by someone who sees nothing here replaces. */
  readonly buried: readonly Dot[];
}

const NOTHING: View = { winner: undefined, others: [], buried: [] };

export function view(entry: Entry | undefined): View {
  if (entry === undefined) return NOTHING;
  if (entry.versions.length === 1) return viewOfOne(entry.versions[0]!);
  const buried = entry.versions.filter(({ value }) => !isLive(value)).map(({ dot }) => dot);
  const shown: { version: Version; dots: Dot[] }[] = [];
  // Newest first, so the first version of a value is the one that stands for its equals.
  for (const version of entry.versions.filter(({ value }) => isLive(value)).sort((a, b) => compareAge(b, a))) {
    const equal = shown.find((other) => sameValue(other.version.value, version.value));
    if (equal === undefined) shown.push({ version, dots: [version.dot] });
    else equal.dots.push(version.dot);
  }
  const [winner, ...others] = shown;
  winner?.dots.push(...buried);
  return { winner, others, buried };
}

/** What nearly every entry is: without the lists of the general way a sixth of its time and memory. */
function viewOfOne(version: Version): View {
  const dots = [version.dot];
  return isLive(version.value) ? { winner: { version, dots }, others: [], buried: [] } : { winner: undefined, others: [], buried: dots };
}

/** By stamp, then by replica; by sequence only where a forger gave two writes of a replica one stamp. */
function compareAge(a: Version, b: Version): number {
  return compareStamps(a.stamp, b.stamp) || compareDots(a.dot, b.dot);
}

/** Equal in kind, content, target or data, and mode. The modification time does not count. */
export function sameValue(a: Value, b: Value): boolean {
  switch (a.kind) {
    case 'file':
      return b.kind === 'file' && a.mode === b.mode && equalBytes(a.content, b.content);
    case 'symlink':
      return b.kind === 'symlink' && equalBytes(a.target, b.target);
    case 'directory':
      return b.kind === 'directory' && a.mode === b.mode;
    case 'record':
      return b.kind === 'record' && equalBytes(a.data, b.data);
    case 'blob':
      return b.kind === 'blob' && equalBytes(a.content, b.content);
    case 'deleted':
      break;
  }
  return b.kind === 'deleted';
}

/** Anything but a tombstone. */
export function isLive(value: Value): boolean {
  return value.kind !== 'deleted';
}

/** Longer extensions are taken for a part of the name. */
const EXTENSION_BYTES_MAX = 32;
const NAME_DIGEST_DIGITS = 8;
const REPLICA_DIGITS = 8;

/**
 * Where the versions are shown that lost against the winner at `path`, in the order of `others`. Names differ: where two
 * replicas begin alike, each is in the names with all of its digits.
 */
export function conflictNames(path: string, others: readonly Shown[]): string[] {
  const names = others.map(({ version }) => conflictName(path, version));
  const count = new Map<string, number>();
  for (const name of names) count.set(name, (count.get(name) ?? 0) + 1);
  return names.map((name, at) => (count.get(name) === 1 ? name : copyName(path, others[at]!.version, REPLICA_ID_BYTES * 2)));
}

/**
 * Where a version is shown that lost against the winner at `path`:
 * `a/name.conflict-20261123T043455Z-<8 digits of its replica>-<its sequence, in hex>.ext`.
 * The sequence makes it the name of this version and of no other ever: a copy that was edited is a file of its own, and would hide
 * another version that came to want its name.
 * A name that would be over 255 bytes is cut, and 8 digits of its hash tell it from others with the same beginning.
 */
export function conflictName(path: string, version: Version): string {
  return copyName(path, version, REPLICA_DIGITS);
}

function copyName(path: string, { dot, stamp }: Version, replicaDigits: number): string {
  const nameAt = path.lastIndexOf('/') + 1;
  const name = path.slice(nameAt);
  const dotAt = name.lastIndexOf('.');
  const hasExtension = dotAt > 0 && utf8(name.slice(dotAt)).length <= EXTENSION_BYTES_MAX;
  const stem = hasExtension ? name.slice(0, dotAt) : name;
  const extension = hasExtension ? name.slice(dotAt) : '';
  const author = `${dot.replica.slice(0, replicaDigits)}-${dot.sequence.toString(16)}`;
  const tail = `.conflict-${compactUtc(stamp.wallMs)}-${author}${extension}`;
  const room = NAME_BYTES_MAX - utf8(tail).length;
  if (utf8(stem).length <= room) return path.slice(0, nameAt) + stem + tail;
  const digest = Buffer.from(hash('name', utf8(name))).toString('hex', 0, NAME_DIGEST_DIGITS / 2);
  return `${path.slice(0, nameAt)}${cutUtf8(stem, room - NAME_DIGEST_DIGITS - 1)}~${digest}${tail}`;
}

/** The longest beginning of whole characters that takes at most `maxBytes` in UTF-8. */
function cutUtf8(text: string, maxBytes: number): string {
  let cut = '';
  let bytes = 0;
  for (const character of text) {
    bytes += utf8(character).length;
    if (bytes > maxBytes) break;
    cut += character;
  }
  return cut;
}

const DAY_MS = 86_400_000;

/**
 * `20261123T043455Z`. The date of a day number is computed as in Hinnant, "chrono-compatible low-level date
 * algorithms" (2013): years begin in March, so that the leap day comes last, and 400 years have 146,097 days. This
 * room is pure and has no `Date`.
 */
function compactUtc(wallMs: number): string {
  const sinceMarchOfYear0 = Math.floor(wallMs / DAY_MS) + 719_468;
  const era = Math.floor(sinceMarchOfYear0 / 146_097);
  const dayOfEra = sinceMarchOfYear0 - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const monthFromMarch = Math.floor((5 * dayOfYear + 2) / 153);
  const day = dayOfYear - Math.floor((153 * monthFromMarch + 2) / 5) + 1;
  const month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9;
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
  const seconds = Math.floor((wallMs % DAY_MS) / 1000);
  const digits = (number: number, width: number): string => String(number).padStart(width, '0');
  const time = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60].map((part) => digits(part, 2)).join('');
  return `${digits(year, 4)}${digits(month, 2)}${digits(day, 2)}T${time}Z`;
}
