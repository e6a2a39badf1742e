/**
 * Names and errors of the simulated disk. A name is a string; a byte of it that is not UTF-8 is kept as the lone
 * surrogate U+DC80 + (byte - 0x80), the way Python does it: so every name on a disk is one string and back, and the few
 * that no program can spell in UTF-8 need no second kind of name. Only the user of the simulation can make such names.
 */

const SURROGATES = /\p{Surrogate}/gu;
const ESCAPE_START = 0xdc00;

export const NAME_BYTES_MAX = 255;
export const PATH_BYTES_MAX = 4095;

/** The name as a program is told it: with U+FFFD for what is not UTF-8. */
export function shownName(name: string): string {
  return name.replace(SURROGATES, '\ufffd');
}

export function nameBytes(name: string): Uint8Array {
  const parts = name.split(/(\p{Surrogate})/u).map((part) => {
    const escaped = part.length === 1 ? part.charCodeAt(0) - ESCAPE_START : 0;
    return escaped >= 0x80 && escaped <= 0xff ? Uint8Array.of(escaped) : Buffer.from(part);
  });
  return Uint8Array.from(Buffer.concat(parts));
}

/** An error as the operating system's calls throw them. */
export class DiskError extends Error {
  override readonly name: string = 'Error';
  readonly code: string;

  constructor(code: string, what: string) {
    super(`${code}: ${what}`);
    this.code = code;
  }
}

/** Decimal seconds as text, in milliseconds: cut towards zero to microseconds, with the rounding errors of libuv. */
export function secondsToMs(text: string): number {
  const seconds = Math.trunc(Number(text));
  const microseconds = Math.trunc(Math.trunc((Number(text) - seconds) * 1e9) / 1000);
  return microseconds < 0 ? (seconds - 1) * 1000 + (microseconds + 1e6) / 1000 : seconds * 1000 + microseconds / 1000;
}
