/**
 * The one hash function: BLAKE3 with 32 bytes of output, in keyed mode.
 *
 * Invariant: what is hashed as one kind of thing never has the hash of another kind. Each kind, called a domain, has
 * its own fixed key (`sameroot 1 chunk`, padded with zeros), so domains are apart without a prefix being copied in
 * front of every input. The keys are public: they separate, they do not authenticate. `mac` authenticates.
 *
 * Two implementations, equal by a check at load: `@noble/hashes` is audited and always there, and computes 45 MB/s;
 * `@napi-rs/blake-hash` is optional native code and computes 7 GB/s. It is used if it loads and answers as noble does
 * in every domain. Noble's answers are written down here: to compute them took each thread 35 ms. The environment variable SAMEROOT_HASH=noble keeps the native one out.
 *
 * Why so: one native hasher per domain, made once and `reset`, because making one for each input costs 8 times the
 * hashing of 64 bytes. Its digest is taken as hexadecimal text and not as its own buffer: a buffer that native code
 * owns costs a finalizer; measured at 64 bytes of input, 1,090,000 hashes/s and 210 bytes of memory for each hash
 * kept, against 560,000/s and 1,020 bytes.
 */
import { createRequire } from 'node:module';
import { blake3 } from '@noble/hashes/blake3.js';
import { HASH_BYTES } from '../base/limits.ts';
import { asBuffer } from '../base/bytes.ts';

/** The kinds of things that are hashed. */
export type Domain = 'chunk' | 'list' | 'page' | 'root' | 'rank' | 'birth' | 'gear' | 'params' | 'member' | 'invite' | 'entry' | 'name';

/** One key's hash, as bytes and as hexadecimal text. */
interface Hasher {
  readonly bytes: (input: Uint8Array) => Buffer;
  readonly hex: (input: Uint8Array) => string;
}

interface Implementation {
  readonly name: 'native' | 'noble';
  readonly domains: Readonly<Record<Domain, Hasher>>;
  readonly keyed: (key: Uint8Array) => Hasher;
}

/** The part of `@napi-rs/blake-hash` in use. */
interface NativeHasher {
  reset(): void;
  update(bytes: Uint8Array): unknown;
  digest(format: 'hex'): string;
}
interface NativeModule {
  readonly Blake3Hasher: { newKeyed(key: Buffer): NativeHasher };
}

function domainKey(domain: Domain): Buffer {
  const key = Buffer.alloc(HASH_BYTES);
  key.write(`sameroot 1 ${domain}`, 'ascii');
  return key;
}

function implementation(name: Implementation['name'], keyed: Implementation['keyed']): Implementation {
  const of = (domain: Domain): Hasher => keyed(domainKey(domain));
  const domains: Record<Domain, Hasher> = {
    chunk: of('chunk'),
    list: of('list'),
    page: of('page'),
    root: of('root'),
    rank: of('rank'),
    birth: of('birth'),
    gear: of('gear'),
    params: of('params'),
    member: of('member'),
    invite: of('invite'),
    entry: of('entry'),
    name: of('name'),
  };
  return { name, domains, keyed };
}

function nobleImplementation(): Implementation {
  return implementation('noble', (key) => {
    const bytes = (input: Uint8Array): Buffer => asBuffer(blake3(input, { key }));
    return { bytes, hex: (input) => bytes(input).toString('hex') };
  });
}

function nativeImplementation(): Implementation {
  const { Blake3Hasher } = createRequire(import.meta.url)('@napi-rs/blake-hash') as NativeModule;
  return implementation('native', (key) => {
    const hasher = Blake3Hasher.newKeyed(asBuffer(key));
    const hex = (input: Uint8Array): string => {
      hasher.reset();
      hasher.update(input);
      return hasher.digest('hex');
    };
    return { bytes: (input) => Buffer.from(hex(input), 'hex'), hex };
  });
}

/** Empty, one block, one BLAKE3 chunk and a byte, and enough of them for the widest vector unit. */
const CHECKED_LENGTHS = [0, 64, 1025, 16 * 1024 + 1];
/** The `answers` of an implementation that is right. */
const RIGHT_ANSWERS = 'a5a45e2f2c5441b4ec83ddd85bf563553cacbae3ad3e55af49c982aa2a63876c';

/** One hash over those of every domain and length. */
function answers({ domains }: Implementation): string {
  const input = Buffer.alloc(
    Math.max(...CHECKED_LENGTHS),
    Uint8Array.from({ length: 251 }, (_, at) => at),
  );
  const all = Object.values(domains).flatMap(({ hex }) => CHECKED_LENGTHS.map((length) => hex(input.subarray(0, length))));
  return domains.chunk.hex(Buffer.from(all.join(''), 'latin1'));
}

function choose(): Implementation {
  if (process.env['SAMEROOT_HASH'] !== 'noble') {
    try {
      const native = nativeImplementation();
      if (answers(native) === RIGHT_ANSWERS) return native;
    } catch {
      // not installed, or not built for this platform
    }
  }
  return nobleImplementation();
}

const chosen = choose();

/** The 32-byte hash of `bytes` as a thing of this domain. */
export function hash(domain: Domain, bytes: Uint8Array): Uint8Array {
  return chosen.domains[domain].bytes(bytes);
}

/** The same as 64 hexadecimal digits: for 50 bytes 0.58 us where the 32 bytes of `hash` take 0.84. */
export function hashHex(domain: Domain, bytes: Uint8Array): string {
  return chosen.domains[domain].hex(bytes);
}

/** Which implementation computes: `native` if it loaded and agrees with `noble`. */
export function hashImplementation(): 'native' | 'noble' {
  return chosen.name;
}

/**
 * Keyed BLAKE3 with a secret: proves knowledge of `key` to who knows it too. 32 bytes.
 * @throws {RangeError} if the key is not 32 bytes long
 */
export function mac(key: Uint8Array, bytes: Uint8Array): Uint8Array {
  if (key.length !== HASH_BYTES) throw new RangeError(`key: ${key.length} bytes, not ${HASH_BYTES}`);
  return chosen.keyed(key).bytes(bytes);
}
