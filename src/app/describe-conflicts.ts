/** Conflicts and the trash as text for people. Pure: no terminal, no clock. */
import type { ConflictsResult, ResolveResult, RestoreResult, TrashResult, VersionStatus } from '../node/answers.ts';
import { formatBytes, formatPlural } from './quantities.ts';
import { columns, paint, printable, type Terminal } from './terminal.ts';

export function describeConflicts(terminal: Terminal, { items, next, complete }: ConflictsResult): string {
  const lines = items.map(({ key, versions }) => {
    const rows = versions.map((version) => [
      printable(version.name),
      authorName(version),
      version.written,
      sizeOf(version),
      remark(version),
    ]);
    return `${paint(terminal, 'bold', printable(key))}\n${columns(rows, '  ')}`;
  });
  const more = next === undefined ? '' : ' and more (see --limit)';
  const looking = complete ? '' : '; not every key has been looked at yet';
  const what = `${formatPlural(items.length, 'conflict')}${more}${looking}\n`;
  const advice =
    items.length === 0 ? '' : 'the first of each is shown; `sameroot conflicts resolve PATH --keep NAME` keeps the one you name\n';
  return `${lines.join('')}${what}${advice}`;
}

function remark(version: VersionStatus): string {
  return version.shown ? '' : '(not on this disk)';
}

/** The name of its host, or what there is instead. */
export function authorName({ author, found }: VersionStatus): string {
  if (found) return 'found on disk';
  const name = author.name === undefined ? `replica ${author.replicaId.slice(0, 8)}` : printable(author.name);
  return author.here ? `${name} (this host)` : name;
}

/** `1.20 KB`, `folder`, `link`, `deleted`. */
export function sizeOf({ kind, bytes }: VersionStatus): string {
  if (kind === 'directory') return 'folder';
  if (kind === 'symlink') return 'link';
  return kind === 'deleted' ? 'deleted' : formatBytes(bytes);
}

export function describeResolved({ key, kept, dropped }: ResolveResult): string {
  return `${printable(key)}   kept ${sizeOf(kept)}, ${formatPlural(dropped, 'other version')} dropped\n`;
}

export function describeTrash({ items }: TrashResult): string {
  return columns(items.map(({ day, bytes, modified, path }) => [day, formatBytes(bytes), modified, printable(path)]));
}

export function describeRestored({ restored }: RestoreResult): string {
  return `${restored.map(({ path }) => `restored ${printable(path)}\n`).join('')}${formatPlural(restored.length, 'file')} restored\n`;
}
