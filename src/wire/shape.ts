/**
 * The shape of a control message, checked before the msgpack library sees it: one list of scalars and of lists of
 * scalars, with a bounded number of values.
 *
 * Why: the library also reads maps, extensions (sets, errors, regular expressions, records that it compiles to code,
 * texts that are read again and again from one place) and lists of any depth. Of those a message of a few bytes, or of
 * 8 MiB of empty lists, costs some hundred MiB or seconds. What passes here costs what it weighs.
 */
import { SamerootError } from '../base/errors.ts';
import { ENTRIES_PER_MESSAGE_MAX } from '../base/limits.ts';

/** The fullest message is one of entries: key, entry, chunk hash and chunk each. */
const VALUES_MAX: number = ENTRIES_PER_MESSAGE_MAX * 4 + 64;
const DEPTH_MAX = 2;

/** Reads tokens, not values: nothing is allocated. */
export class Shape {
  readonly #bytes: Buffer;
  #at: number;
  #values = 0;

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.#at = at;
  }

  /** The type number, if this begins like a message: a list whose first value is a whole number. */
  code(): number | undefined {
    const fields = this.#listLength(this.#u8());
    if (fields === undefined || fields === 0) return undefined;
    const token = this.#u8();
    if (token < 0x80) return token;
    if (token < 0xcc || token > 0xce) return undefined;
    return this.#uint(2 ** (token - 0xcc));
  }

  /** @throws {SamerootError} `BAD_MESSAGE` for anything but one value of the shape, from here to the end */
  check(): void {
    this.#value(0);
    if (this.#at !== this.#bytes.length) throw badShape();
  }

  #value(depth: number): void {
    if (++this.#values > VALUES_MAX) throw badShape();
    const token = this.#u8();
    const list = this.#listLength(token);
    if (list !== undefined) {
      if (depth >= DEPTH_MAX || list > VALUES_MAX) throw badShape();
      for (let item = 0; item < list; item++) this.#value(depth + 1);
    } else if (token >= 0xa0 && token < 0xc0) this.#skip(token - 0xa0);
    else if (token >= 0xc4 && token <= 0xc6) this.#skip(this.#uint(2 ** (token - 0xc4)));
    else if (token >= 0xd9 && token <= 0xdb) this.#skip(this.#uint(2 ** (token - 0xd9)));
    else if (token >= 0xcc && token <= 0xcf) this.#skip(2 ** (token - 0xcc));
    else if (token === 0xcb) this.#skip(8);
    else if (token >= 0x80 && token !== 0xc0 && token !== 0xc2 && token !== 0xc3) throw badShape();
  }

  #listLength(token: number): number | undefined {
    if (token >= 0x90 && token < 0xa0) return token - 0x90;
    return token === 0xdc || token === 0xdd ? this.#uint(token === 0xdc ? 2 : 4) : undefined;
  }

  #u8(): number {
    this.#skip(1);
    return this.#bytes[this.#at - 1]!;
  }

  #uint(bytes: number): number {
    this.#skip(bytes);
    return this.#bytes.readUIntBE(this.#at - bytes, bytes);
  }

  #skip(bytes: number): void {
    if (bytes > this.#bytes.length - this.#at) throw badShape();
    this.#at += bytes;
  }
}

function badShape(): SamerootError {
  return new SamerootError('BAD_MESSAGE', 'the peer sent a message that has not the shape of one');
}
