/**
 * A share: one replicated name space, with the parameters that every member must use alike (they decide where chunks
 * and pages are cut). Fixed at creation; their hash goes into every root, so two shares never have the same root.
 */
import { badEncoding, ByteReader, ByteWriter, fromHex, fromUtf8, toHex, utf8 } from '../base/bytes.ts';
import { SamerootError } from '../base/errors.ts';
import {
  CHUNK_BYTES_MAX,
  CHUNK_BYTES_MIN,
  CHUNK_MASK_BITS,
  HASH_BYTES,
  NAME_TEXT_BYTES_MAX,
  SHARE_CHUNK_BYTES_MIN,
} from '../base/limits.ts';
import type { Random } from '../base/world.ts';
import type { ChunkerParameters } from '../content/chunker.ts';
import { hash } from '../content/hash.ts';

export const SHARE_ID_BYTES = 16;
/** The fields that must be equal on all members come first; the name, a label, after them. */
export const SHARE_FIELDS_BYTES = 59;
const FORMAT = 1;
/** Mean fan-out 2^5 = 32: docs/decisions/0002-fan-out.md. */
const RANK_BITS = 5;

export interface Share {
  readonly id: Uint8Array;
  readonly name: string;
  readonly chunker: ChunkerParameters;
  readonly rankBits: number;
  /** Node id of the host that made the share: the root of trust of its member list. */
  readonly founder: string;
}

/** Chunks of 64 KiB on average. */
const DEFAULT_CHUNKER: ChunkerParameters = { minBytes: CHUNK_BYTES_MIN, maskBits: CHUNK_MASK_BITS, maxBytes: CHUNK_BYTES_MAX };

function isSound({ minBytes, maskBits, maxBytes }: ChunkerParameters): boolean {
  return minBytes >= SHARE_CHUNK_BYTES_MIN && minBytes < maxBytes && maxBytes <= CHUNK_BYTES_MAX && maskBits >= 8 && maskBits <= 20;
}

/** @throws {RangeError} if the name is too long, `founder` no node id, or `chunker` cuts chunks that no share may have */
export function createShare(name: string, founder: string, random: Random, chunker: ChunkerParameters = DEFAULT_CHUNKER): Share {
  const nameBytes = utf8(name).length;
  if (nameBytes > NAME_TEXT_BYTES_MAX) throw new RangeError(`name: ${nameBytes} bytes, over ${NAME_TEXT_BYTES_MAX}`);
  if (fromHex(founder).length !== HASH_BYTES) throw new RangeError(`founder: ${founder} is not ${HASH_BYTES} bytes in hex`);
  if (!isSound(chunker)) throw new RangeError(`chunker: ${JSON.stringify(chunker)} is out of range`);
  return { id: random.bytes(SHARE_ID_BYTES), name, chunker, rankBits: RANK_BITS, founder };
}

export function encodeShare(share: Share): Uint8Array {
  return parameterFields(share).sized(utf8(share.name)).finish();
}

/** @throws {SamerootError} `BAD_ENCODING`, or `DATABASE_FORMAT` for a share of another format */
export function decodeShare(bytes: Uint8Array): Share {
  const reader = new ByteReader(bytes);
  const format = reader.u8();
  if (format !== FORMAT) throw new SamerootError('DATABASE_FORMAT', `the share has format ${format}, this version knows ${FORMAT}`);
  const id = Uint8Array.from(reader.raw(SHARE_ID_BYTES));
  const chunker = { minBytes: reader.u32(), maskBits: reader.u8(), maxBytes: reader.u32() };
  const rankBits = reader.u8();
  const founder = toHex(reader.raw(HASH_BYTES));
  const name = fromUtf8(reader.sized(NAME_TEXT_BYTES_MAX));
  reader.end();
  if (name === undefined) throw badEncoding('the name of the share is not UTF-8');
  if (!isSound(chunker) || rankBits < 3 || rankBits > 8) {
    throw badEncoding('the parameters of the share are out of range');
  }
  return { id, name, chunker, rankBits, founder };
}

/** 32 bytes over everything that must be equal on all members; the name is a label only. */
export function parametersHash(share: Share): Uint8Array {
  return hash('params', parameterFields(share).finish());
}

function parameterFields(share: Share): ByteWriter {
  const { chunker } = share;
  const writer = new ByteWriter(128).u8(FORMAT).raw(share.id);
  return writer.u32(chunker.minBytes).u8(chunker.maskBits).u32(chunker.maxBytes).u8(share.rankBits).raw(fromHex(share.founder));
}
