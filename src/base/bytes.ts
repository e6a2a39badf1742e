/**
 * Byte strings: comparison, text forms, and the writer and reader that every canonical codec is made of.
 *
 * Invariant: `ByteReader` reads exactly what `ByteWriter` wrote and refuses everything else; a varint has one
 * encoding only (no padding), so `encode(decode(b)) = b` can hold for everything built on it.
 */
import { SamerootError } from './errors.ts';

const strictDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export const EMPTY_BYTES: Uint8Array = new Uint8Array(0);

/** Bytewise order, as LevelDB and the tree use it: negative, zero or positive. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b);
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0;
}

export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(parts);
}

export function toHex(bytes: Uint8Array): string {
  return asBuffer(bytes).toString('hex');
}

/** @throws {TypeError} if `hex` is not an even number of hexadecimal digits */
export function fromHex(hex: string): Uint8Array {
  if (hex.length % 2 !== 0 || !/^[0-9a-f]*$/i.test(hex)) throw new TypeError(`hex: not hexadecimal: ${hex.slice(0, 80)}`);
  return Buffer.from(hex, 'hex');
}

/** A string that is equal for equal bytes and cheap to make: for keys of a `Map`, never shown, never stored. */
export function byteKey(bytes: Uint8Array): string {
  return asBuffer(bytes).toString('latin1');
}

/** The inverse of `byteKey`. */
export function fromByteKey(key: string): Uint8Array {
  return Buffer.from(key, 'latin1');
}

/** In the memory that small buffers share: a `TextEncoder` takes memory of its own from the system each time, and thrice the time. */
export function utf8(text: string): Uint8Array {
  const { buffer, byteOffset, length } = Buffer.from(text, 'utf8');
  return new Uint8Array(buffer, byteOffset, length);
}

/** The text of UTF-8 bytes, or `undefined` where they are not UTF-8. */
export function fromUtf8(bytes: Uint8Array): string | undefined {
  try {
    return strictDecoder.decode(bytes);
  } catch {
    return undefined;
  }
}

/** A `Buffer` over the same memory. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** How many leading bytes two byte strings share. */
export function sharedPrefixLength(a: Uint8Array, b: Uint8Array): number {
  const end = Math.min(a.length, b.length);
  let at = 0;
  while (at < end && a[at] === b[at]) at++;
  return at;
}

/** Appends fields to a growing buffer. `finish` returns a view of it: one writer makes one byte string. */
export class ByteWriter {
  #buffer: Buffer;
  #length = 0;

  constructor(capacityBytes: number = 256) {
    this.#buffer = Buffer.allocUnsafe(capacityBytes);
  }

  get length(): number {
    return this.#length;
  }

  #room(bytes: number): number {
    const at = this.#length;
    const needed = at + bytes;
    if (needed > this.#buffer.length) {
      const grown = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
      this.#buffer.copy(grown, 0, 0, at);
      this.#buffer = grown;
    }
    this.#length = needed;
    return at;
  }

  u8(value: number): this {
    const at = this.#room(1);
    this.#buffer[at] = value;
    return this;
  }

  u16(value: number): this {
    const at = this.#room(2);
    this.#buffer.writeUInt16BE(value, at);
    return this;
  }

  u32(value: number): this {
    const at = this.#room(4);
    this.#buffer.writeUInt32BE(value, at);
    return this;
  }

  /** A whole number below 2^48, big endian, 6 bytes. */
  u48(value: number): this {
    const at = this.#room(6);
    this.#buffer.writeUIntBE(value, at, 6);
    return this;
  }

  /** Any number, IEEE 754 double, big endian, 8 bytes. */
  f64(value: number): this {
    const at = this.#room(8);
    this.#buffer.writeDoubleBE(value, at);
    return this;
  }

  /** A whole number from 0 to 2^53 - 1, LEB128, shortest form. */
  varint(value: number): this {
    let rest = value;
    while (rest >= 0x80) {
      this.u8((rest % 0x80) + 0x80);
      rest = Math.floor(rest / 0x80);
    }
    return this.u8(rest);
  }

  raw(bytes: Uint8Array): this {
    const at = this.#room(bytes.length);
    this.#buffer.set(bytes, at);
    return this;
  }

  /** A varint length, then the bytes. */
  sized(bytes: Uint8Array): this {
    return this.varint(bytes.length).raw(bytes);
  }

  finish(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }
}

/**
 * Reads fields in order. Views, not copies: a result lives as long as the input does.
 * @throws {SamerootError} `BAD_ENCODING` on a short input, a padded varint, a length over its limit, or bytes left over
 */
export class ByteReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = asBuffer(bytes);
  }

  get position(): number {
    return this.#at;
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  #take(bytes: number): number {
    const at = this.#at;
    if (bytes > this.#bytes.length - at) throw badEncoding('the bytes end too early');
    this.#at = at + bytes;
    return at;
  }

  u8(): number {
    return this.#bytes[this.#take(1)]!;
  }

  u16(): number {
    return this.#bytes.readUInt16BE(this.#take(2));
  }

  u32(): number {
    return this.#bytes.readUInt32BE(this.#take(4));
  }

  u48(): number {
    return this.#bytes.readUIntBE(this.#take(6), 6);
  }

  f64(): number {
    return this.#bytes.readDoubleBE(this.#take(8));
  }

  varint(max: number = Number.MAX_SAFE_INTEGER): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (value > max) throw badEncoding(`a number is over its limit of ${max}`);
      if (byte < 0x80) {
        if (byte === 0 && scale > 1) throw badEncoding('a number is padded');
        return value;
      }
      scale *= 0x80;
      if (scale > Number.MAX_SAFE_INTEGER) throw badEncoding('a number is longer than any that is allowed');
    }
  }

  raw(bytes: number): Uint8Array {
    const at = this.#take(bytes);
    return this.#bytes.subarray(at, at + bytes);
  }

  sized(maxBytes: number): Uint8Array {
    return this.raw(this.varint(maxBytes));
  }

  /** Every codec ends with this. */
  end(): void {
    if (this.remaining !== 0) throw badEncoding(`${this.remaining} bytes are left over`);
  }
}

export function badEncoding(what: string): SamerootError {
  return new SamerootError('BAD_ENCODING', what);
}
