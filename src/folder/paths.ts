/**
 * Paths of a shared folder: `a/b/c`, relative, UTF-8, no leading or trailing slash. Key in the tree = `f/` + path.
 * What is not a sound path never reaches the tree, and a key from a peer that is not one never reaches the disk.
 */
import { compareBytes, concatBytes, fromUtf8, utf8 } from '../base/bytes.ts';
import { KEY_BYTES_MAX, NAME_BYTES_MAX } from '../base/limits.ts';
import type { ErrorCode } from '../base/errors.ts';

/** Our own folder inside the shared one: database, key, staging, trash. Never replicated, nor that of a share inside this one. */
export const OWN_FOLDER = '.sameroot';

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

/** Why a path can not be replicated, if it can not. */
export function pathProblem(path: string): ErrorCode | undefined {
  if (path.length === 0 || path.includes('\0')) return 'NAME_RESERVED';
  if (path.length * 3 > KEY_BYTES_MAX - 2 && Buffer.byteLength(path) > KEY_BYTES_MAX - 2) return 'NAME_TOO_LONG';
  const names = path.split('/');
  for (const name of names) {
    // At any depth: the folder of another share has its private key there.
    if (name === '' || name === '.' || name === '..' || name === OWN_FOLDER) return 'NAME_RESERVED';
    if (name.length > NAME_BYTES_MAX / 3 && Buffer.byteLength(name) > NAME_BYTES_MAX) return 'NAME_TOO_LONG';
  }
  return undefined;
}

/** Bytewise order of the UTF-8 forms: the order of the tree. (JavaScript's string order differs outside the BMP.) */
export function comparePaths(a: string, b: string): number {
  return compareBytes(utf8(a), utf8(b));
}

export function parentPath(path: string): string | undefined {
  const slash = path.lastIndexOf('/');
  return slash < 0 ? undefined : path.slice(0, slash);
}
