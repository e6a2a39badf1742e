/**
 * Paths of a shared folder: `a/b/c`, relative, UTF-8, no leading or trailing slash. Key in the tree = `f/` + path.
 * What is not a sound path never reaches the tree, and a key from a peer that is not one never reaches the disk.
 */
import { compareBytes, concatBytes, fromUtf8, utf8 } from '../base/bytes.ts';
import { KEY_BYTES_MAX, NAME_BYTES_MAX } from '../base/limits.ts';
import type { ErrorCode } from '../base/errors.ts';

/** Our own folder inside the shared one: database, key, staging, trash. Never replicated, nor that of a share inside this one. */
export const OWN_FOLDER = '.sameroot';

/** What the name of a large content in staging ends in until it is finished. */
export const PART = '.part';

const FILE_PREFIX = utf8('f/');

export function fileKey(path: string): Uint8Array {
  return concatBytes(FILE_PREFIX, utf8(path));
}

/** The path of a file key, or `undefined` for keys of records and members and for unsound paths. */
export function pathOfKey(key: Uint8Array): string | undefined {
  if (key[0] !== FILE_PREFIX[0] || key[1] !== FILE_PREFIX[1]) return undefined;
  const path = fromUtf8(key.subarray(FILE_PREFIX.length));
  return path !== undefined && pathProblem(path) === undefined ? path : undefined;
}

/** A name that is empty, `.`, `..` or ours. At any depth: the folder of another share has its private key there. */
const RESERVED = /(?:^|\/)(?:\.{0,2}|\.sameroot)(?:\/|$)/u;

/** Why a path can not be replicated, if it can not. One expression: each path is asked several times on its way. */
export function pathProblem(path: string): ErrorCode | undefined {
  if (RESERVED.test(path) || path.includes('\0')) return 'NAME_RESERVED';
  // No name of so few characters is too long, in any alphabet.
  if (path.length * 3 <= NAME_BYTES_MAX) return undefined;
  const isTooLong = Buffer.byteLength(path) > KEY_BYTES_MAX - 2 || path.split('/').some((name) => Buffer.byteLength(name) > NAME_BYTES_MAX);
  return isTooLong ? 'NAME_TOO_LONG' : undefined;
}

/** Bytewise order of the UTF-8 forms: the order of the tree. (JavaScript's string order differs outside the BMP.) */
export function comparePaths(a: string, b: string): number {
  return compareBytes(utf8(a), utf8(b));
}

export function parentPath(path: string): string | undefined {
  const slash = path.lastIndexOf('/');
  return slash < 0 ? undefined : path.slice(0, slash);
}
