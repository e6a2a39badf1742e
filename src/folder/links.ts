/** Where symlinks lead, by their text alone: what other links on the way do to it is theirs to answer for. */

/** Whether a link at `path` with this target (latin1 for arbitrary bytes) leads out of the shared folder. */
export function leadsOutside(path: string, target: string): boolean {
  if (target.startsWith('/')) return true;
  let depth = path.split('/').length - 1;
  for (const name of target.split('/')) {
    if (name === '..') depth--;
    else if (name !== '' && name !== '.') depth++;
    if (depth < 0) return true;
  }
  return false;
}
