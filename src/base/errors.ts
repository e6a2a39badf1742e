/**
 * Errors that the world causes: a bad disk, a bad peer, a bad setting. Each has a stable code, listed here and in
 * docs/ERRORS.md (a test compares the two). Our own bugs are assertions; bad arguments are TypeError or RangeError.
 */

/** code -> what to do about it. The message of each error says what happened. */
export const ERROR_ADVICE = {
  BAD_ENCODING: 'the bytes are damaged, or another version of sameroot wrote them',
  BAD_MESSAGE: 'the peer sent something this version does not accept; run the same version on both hosts',
  VERSION_MISMATCH: 'run the same version of sameroot on both hosts',
  SHARE_MISMATCH: 'the peer serves another share; check the address, or use an empty folder to join that share',
  NOT_INVITED: 'get a join line with `sameroot invite` on a host of the share and pass its --token',
  INVITER_EVICTED:
    'get a new join line with `sameroot invite` on the host that refuses, or on another that is a member, and pass its --token',
  EVICTED: 'get a new join line with `sameroot invite` on a host of the share; what only this host has is set aside then, not lost',
  WRONG_PEER: 'the host at this address has another key than expected; check the address, or ask for a new invitation',
  IDENTITY_DAMAGED: 'restore the file from a backup, or move it away: the node then gets a new key and needs a new invitation',
  IDENTITY_EXPOSED: 'run `chmod 600` on the file; if somebody else may have read it, move it away and join again with a new key',
  BAD_TOKEN: 'copy the whole token from the join line',
  TOKEN_EXPIRED: 'ask for a new join line with `sameroot invite`',
  CLOCK_AHEAD: 'a host has its clock more than one hour ahead; set the clocks (NTP)',
  LIMIT_EXCEEDED: 'the peer went over a limit of the protocol; run the same version on both hosts',
  PEER_UNREACHABLE: 'check that the node runs there and that the address and port are right',
  PEER_TIMEOUT: 'the peer stopped answering; it is tried again by itself',
  INSECURE_ADDRESS: '--insecure works on loopback addresses only',
  FOLDER_NOT_DIRECTORY: 'name a folder',
  FOLDER_UNREADABLE: 'give this user read and execute permission on the folder',
  FOLDER_READ_ONLY: 'give this user write permission, or mount the file system read-write',
  FOLDER_NESTED: 'share the outer folder only, or move one of them out of the other',
  FOLDER_MISSING: 'mount the disk or restore the folder; nothing was deleted anywhere because of this',
  NO_DAEMON: 'start it with `sameroot start FOLDER`',
  PORT_IN_USE: 'choose another with --listen or --http, or stop the program that uses it',
  DATABASE_IN_USE: 'another sameroot process has this folder open; stop it first, or talk to it with `sameroot status`',
  DATABASE_DAMAGED:
    'the files in the folder are untouched: run `sameroot repair FOLDER`, which rebuilds the database from them and from the peers',
  DATABASE_MISSING: 'put .sameroot/db back, or run `sameroot repair FOLDER`; remove .sameroot to share the folder anew',
  REPLICA_ROLLED_BACK: 'the disk was put back to an older state: run `sameroot repair FOLDER`',
  DATABASE_FORMAT: 'the database was written by another version of sameroot; use that version',
  DISK_FULL: 'free some space; it goes on by itself',
  IO_ERROR: 'check the disk and its permissions; it is tried again by itself',
  NAME_NOT_UTF8: 'rename the file: its name is not UTF-8, so it is not replicated',
  NAME_RESERVED: 'rename the file: the name is used by sameroot itself',
  NAME_TOO_LONG: 'shorten the path: it is over the limit, so it is not replicated',
  FILE_KIND: 'devices, sockets and pipes are not replicated; add them to .samerootignore',
  FILE_CHANGING: 'the file changes while it is read; it is tried again when it is quiet',
  FILE_UNREADABLE: 'give this user read permission on the file',
  PATH_BLOCKED: 'rename one of them: a file and a folder want the same name, and what is in the folder has to wait',
  PATH_TAKEN: 'choose another name with --as, or --force to put what is there into the trash',
  LINK_OUTSIDE: 'the link points out of the share and is not replicated; use a relative target inside the folder',
  CONTENT_MISSING: 'no connected peer has these bytes now; they are fetched as soon as one does',
  MASS_DELETE_HELD: 'answer with `sameroot deletes accept` or `sameroot deletes restore`',
  PAGE_TOO_LARGE: 'rename or remove some entries near the key named: too many, or too large ones, lie between two borders of the tree',
  RECORD_TOO_LARGE: 'split the record',
  KEY_INVALID: 'use a key of 1 to 1024 bytes of UTF-8 without NUL',
  NOT_FOUND: 'see `sameroot ls`',
  STALE_WRITE: 'read the record again and repeat the write with its new ETag',
  TIMED_OUT: 'see `sameroot status` for what is missing, or wait longer with --timeout',
  CONFIG_INVALID: 'see `sameroot help`',
  UNAUTHORIZED: 'send the token of .sameroot/node.json as `Authorization: Bearer`',
  HISTORY_DAMAGED: 'name a file that `sameroot simulate --save` wrote',
  SIMULATION_VERSION: 'run it with the version of sameroot that printed it',
  CLOSED: 'the node is stopping',
  INTERNAL: 'this is a bug in sameroot; repeat it with --debug and report what that prints',
} as const;

export type ErrorCode = keyof typeof ERROR_ADVICE;

export interface ErrorDetails {
  readonly cause?: unknown;
  /** The path or key it is about. */
  readonly path?: string;
}

/** An error of the world, with a stable `code`. The message says what happened, `advice` what to do. */
export class SamerootError extends Error {
  override readonly name: string = 'SamerootError';
  readonly code: ErrorCode;
  readonly path: string | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.path = details.path;
  }

  get advice(): string {
    return ERROR_ADVICE[this.code];
  }

  /** The one-line form of the command line: `CODE: what happened; what to do`. */
  override toString(): string {
    return `${this.code}: ${this.message}; ${this.advice}`;
  }
}

/** The `code` of a Node.js system error (`ENOSPC`), if it is one. */
export function systemCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
