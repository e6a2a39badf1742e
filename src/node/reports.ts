/** Answers to "what is there" and "what differs", as plain data for the command line and HTTP. */
import { byteKey, fromUtf8, toHex, utf8 } from '../base/bytes.ts';
import { decodeEntry } from '../entry/entry-codec.ts';
import type { Entry, Value } from '../entry/entry.ts';
import { view } from '../entry/view.ts';
import type { Replica } from '../replica/replica.ts';
import { walk } from '../tree/walk.ts';
import { isMemberKey } from './member-record.ts';
import type { DifferenceStatus, DiffResult, ListItem, ListResult, ValueStatus } from './node-api.ts';
import type { Listing } from './peer-link.ts';
import { bytesOf, keyText } from './versions.ts';

export function listEntries(
  replica: Replica,
  options: { readonly prefix: string; readonly after: string | undefined; readonly limit: number },
): ListResult {
  const prefix = utf8(options.prefix);
  const from = options.after === undefined ? prefix : utf8(options.after);
  const items: ListItem[] = [];
  for (const { key, value } of walk(replica.reader, replica.head.tree, { from })) {
    const name = fromUtf8(key);
    if (Buffer.compare(key.subarray(0, prefix.length), prefix) !== 0) break;
    if (name === undefined || isMemberKey(key) || name === options.after) continue;
    const item = listItem(name, decodeEntry(value));
    if (item === undefined) continue;
    if (items.length >= options.limit) return { items, next: items.at(-1)?.key };
    items.push(item);
  }
  return { items, next: undefined };
}

function listItem(key: string, entry: Entry): ListItem | undefined {
  const { winner, others } = view(entry);
  if (winner === undefined) return undefined;
  const { value } = winner.version;
  return {
    key,
    kind: value.kind,
    bytes: bytesOf(value),
    mode: value.kind === 'file' || value.kind === 'directory' ? value.mode.toString(8) : undefined,
    modified: value.kind === 'file' ? new Date(value.mtimeMs).toISOString() : undefined,
    versions: 1 + others.length,
    content: value.kind === 'file' || value.kind === 'blob' ? toHex(value.content) : undefined,
  };
}

export function diffReport(peer: string, replica: Replica, listing: Listing, limit: number): DiffResult {
  const pairs = new Map<string, { key: Uint8Array; here: Uint8Array | undefined; there: Uint8Array | undefined }>();
  for (const { key, entry } of listing.here) pairs.set(byteKey(key), { key, here: entry, there: undefined });
  for (const { key, entry } of listing.there) {
    const known = pairs.get(byteKey(key));
    if (known === undefined) pairs.set(byteKey(key), { key, here: undefined, there: entry });
    else known.there = entry;
  }
  const all = [...pairs.values()].map(({ key, here, there }) => difference(key, here, there));
  all.sort((a, b) => (a.key < b.key ? -1 : 1));
  const bytes = all.reduce((sum, item) => sum + item.bytes, 0);
  return {
    peer,
    here: toHex(replica.head.root),
    there: toHex(listing.peerRoot),
    differences: all.slice(0, limit),
    truncated: listing.truncated || all.length > limit,
    totals: { entries: all.length, bytes },
  };
}

function difference(key: Uint8Array, here: Uint8Array | undefined, there: Uint8Array | undefined): DifferenceStatus {
  const left = here === undefined ? undefined : valueStatus(decodeEntry(here));
  const right = there === undefined ? undefined : valueStatus(decodeEntry(there));
  const how = left === undefined ? 'only-there' : right === undefined ? 'only-here' : 'different';
  return { key: keyText(key), how, here: left, there: right, bytes: Math.max(left?.bytes ?? 0, right?.bytes ?? 0) };
}

function valueStatus(entry: Entry): ValueStatus {
  const value: Value = view(entry).winner?.version.value ?? { kind: 'deleted' };
  return { kind: value.kind, bytes: bytesOf(value), versions: entry.versions.length };
}
