/**
 * Parts of large contents, the jobs that any thread may do: copy chunks into a part out of files of this host, and find
 * out what a part holds.
 *
 * Invariant: nothing is written under a hash it does not have, and only into a part. A content that is finished may be
 * moved into the folder at any moment, where it is its user's: no thread but the write thread, which moves it, may have it
 * open for writing. That a part is not finished while a job of this file is at it, its caller sees to (part-gate.ts).
 *
 * No job leaves anything behind in its thread, so it does not matter which one does it.
 */
import { join } from 'node:path';
import { equalBytes } from '../base/bytes.ts';
import { systemCode } from '../base/errors.ts';
import { CHUNK_BYTES_MAX, MIB } from '../base/limits.ts';
import type { Clock } from '../base/world.ts';
import { hash } from '../content/hash.ts';
import { countOf, hashAt, type ChunkItems } from './chunk-items.ts';
import { DiskFloor } from './disk-floor.ts';
import { OPEN, type Disk } from './disk.ts';
import { readFully, writeFully } from './file-io.ts';
import { asIoError } from './io-error.ts';
import { PART } from './paths.ts';
import { SourceFile } from './source-file.ts';

/** Read, and written, with one call. */
const RUN_BYTES_MAX: number = MIB;

const block: Buffer = Buffer.allocUnsafeSlow(RUN_BYTES_MAX);
const zeros: Buffer = Buffer.alloc(CHUNK_BYTES_MAX);
const zeroHashes = new Map<number, Uint8Array>();

export interface CopyInput extends ChunkItems {
  readonly tmp: string;
  readonly name: string;
  /** Absolute. `spans`: index of the source, offset in it, bytes, offset in the content. */
  readonly sources: readonly string[];
  readonly minFreeBytes: number | undefined;
}

interface ChunkPlace {
  readonly bytes: number;
  /** In the content. */
  readonly offset: number;
}

interface Copy extends ChunkPlace {
  readonly source: number;
  readonly sourceOffset: number;
}

/** Items that are neighbours, in their source and in the content. */
interface Run extends Copy {
  readonly from: number;
  /** The first that does not belong to it. */
  readonly to: number;
}

/** Public methods are jobs: see `disk-jobs.ts`. */
export class PartJobs {
  readonly #disk: Disk;
  readonly #clock: Clock;

  constructor(disk: Disk, clock: Clock) {
    this.#disk = disk;
    this.#clock = clock;
  }

  /** Which chunks are in the part; `spans`: bytes, offset in the content. Holes, being zeros, are compared, not hashed. */
  checkPart(input: ChunkItems & { readonly tmp: string; readonly name: string }): boolean[] {
    const { spans } = input;
    return this.#check(input, (index) => ({ bytes: spans[index * 2]!, offset: spans[index * 2 + 1]! }));
  }

  /** True = verified and in the part. A source that cannot be read, or has other bytes by now, is a false. */
  copyIntoPart(input: CopyInput): boolean[] {
    let target: number | undefined;
    const source = new SourceFile(this.#disk);
    try {
      target = this.#open(input.tmp, input.name + PART, OPEN.writeOnly);
      // Finished meanwhile: the same content came by two ways.
      if (target === undefined) return this.#check(input, (index) => copyAt(input, index));
      this.#keepFloor(input);
      const copied: boolean[] = [];
      while (copied.length < countOf(input)) this.#copyRun(input, runFrom(input, copied.length), { source, target, copied });
      return copied;
    } catch (error) {
      throw asIoError('could not be written', input.name, error);
    } finally {
      source.close();
      if (target !== undefined) this.#disk.close(target);
    }
  }

  #copyRun(input: CopyInput, run: Run, { source, target, copied }: { source: SourceFile; target: number; copied: boolean[] }): void {
    const read = source.read(input.sources[run.source]!, block, run.bytes, run.sourceOffset);
    /** Verified and not written yet: from here on. */
    let from = 0;
    let at = 0;
    const write = (): void => writeFully(this.#disk, target, block.subarray(from, at), run.offset + from);
    for (let index = run.from; index < run.to; index++) {
      const end = at + copyAt(input, index).bytes;
      const good = end <= read && equalBytes(hash('chunk', block.subarray(at, end)), hashAt(input, index));
      copied.push(good);
      if (!good) {
        write();
        from = end;
      }
      at = end;
    }
    write();
  }

  /** Anew for each job: what other threads write meanwhile counts, too. */
  #keepFloor(input: CopyInput): void {
    let bytes = 0;
    for (let index = 0; index < countOf(input); index++) bytes += copyAt(input, index).bytes;
    new DiskFloor(this.#disk, this.#clock).keep(input.tmp, bytes, input.minFreeBytes);
  }

  #check(input: ChunkItems & { readonly tmp: string; readonly name: string }, place: (index: number) => ChunkPlace): boolean[] {
    const { tmp, name } = input;
    const handle = this.#open(tmp, name + PART, OPEN.readOnly) ?? this.#disk.open(join(tmp, name), OPEN.readOnly | OPEN.noFollow);
    try {
      return Array.from({ length: countOf(input) }, (_, index) => {
        const { bytes, offset } = place(index);
        if (readFully(this.#disk, handle, block, bytes, offset) !== bytes) return false;
        return equalBytes(hashOfMaybeZeros(block.subarray(0, bytes)), hashAt(input, index));
      });
    } finally {
      this.#disk.close(handle);
    }
  }

  #open(tmp: string, name: string, flags: number): number | undefined {
    try {
      return this.#disk.open(join(tmp, name), flags | OPEN.noFollow);
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return undefined;
      throw error;
    }
  }
}

function copyAt({ spans }: ChunkItems, index: number): Copy {
  const at = index * 4;
  return { source: spans[at]!, sourceOffset: spans[at + 1]!, bytes: spans[at + 2]!, offset: spans[at + 3]! };
}

/** The longest run that begins with this item. */
function runFrom(input: ChunkItems, from: number): Run {
  const { source, sourceOffset, bytes: first, offset } = copyAt(input, from);
  let bytes = first;
  let to = from + 1;
  for (; to < countOf(input); to++) {
    const next = copyAt(input, to);
    const isNeighbour = next.source === source && next.sourceOffset === sourceOffset + bytes && next.offset === offset + bytes;
    if (!isNeighbour || bytes + next.bytes > RUN_BYTES_MAX) break;
    bytes += next.bytes;
  }
  return { from, to, source, sourceOffset, bytes, offset };
}

function hashOfMaybeZeros(bytes: Buffer): Uint8Array {
  if (bytes[0] !== 0 || bytes.compare(zeros, 0, bytes.length) !== 0) return hash('chunk', bytes);
  let known = zeroHashes.get(bytes.length);
  if (known === undefined) {
    known = hash('chunk', bytes);
    if (zeroHashes.size < 1024) zeroHashes.set(bytes.length, known);
  }
  return known;
}
