/**
 * Memory that is read into and then cut into chunks: where it can be, the memory of a WebAssembly scan.
 *
 * Invariant: `nextCut` here and `nextCut` of `chunker.ts` give the same cuts for any bytes and any split of them. The
 * scan is `src/assembly/chunk-scan.ts`, compiled by `npm run build`. What was not built, or cannot run here, is done
 * without: then the scan in JavaScript reads the same memory.
 *
 * Why so: WebAssembly sees no memory but its own, and copying a stream into it costs a fifth of a scan. So files are
 * read right into it, and hashed from there. One GiB, read, cut and hashed in one thread: 0.42 s of CPU, and 0.62 s
 * with the scan in JavaScript (decision 0014).
 */
import { readFileSync } from 'node:fs';
import { builtFile } from '../base/built-file.ts';
import { cutWith, GEAR_VALUES, nextCut, type ChunkerParameters, type Gear } from './chunker.ts';

export interface ChunkMemory {
  readonly bytes: Buffer;
  /** `nextCut` of `chunker.ts` on `bytes`. */
  nextCut(gear: Gear, parameters: ChunkerParameters, start: number, end: number, last: boolean): number | undefined;
}

/** Where the table of 1 KiB lies, and behind it the bytes, on a border of pages. */
const GEAR_AT = 0;
const BYTES_AT = 4096;
const PAGE_BYTES = 65_536;

/** Addresses in; the address of the cut, or 0. */
type ScanAt = (mask: number, first: number, stop: number) => number;

/** The part of WebAssembly in use; the types of Node.js 20 do not have it. */
declare const WebAssembly: {
  readonly Module: new (code: Uint8Array) => object;
  readonly Memory: new (size: { readonly initial: number }) => { readonly buffer: ArrayBuffer };
  readonly Instance: new (module: object, imports: object) => { readonly exports: Readonly<Record<string, unknown>> };
};

/** For so many bytes. One is made and kept: each is a memory of its own. */
export function makeChunkMemory(bytes: number): ChunkMemory {
  try {
    return new WasmChunkMemory(readFileSync(builtFile(import.meta.url, 'content/chunk-scan.wasm')), bytes);
  } catch {
    return new PlainChunkMemory(bytes); // not built, or no WebAssembly here, or not enough addresses for its memory
  }
}

export class PlainChunkMemory implements ChunkMemory {
  readonly bytes: Buffer;

  constructor(bytes: number) {
    this.bytes = Buffer.allocUnsafeSlow(bytes);
  }

  nextCut(gear: Gear, parameters: ChunkerParameters, start: number, end: number, last: boolean): number | undefined {
    return nextCut(gear, parameters, this.bytes, start, end, last);
  }
}

export class WasmChunkMemory implements ChunkMemory {
  readonly bytes: Buffer;
  readonly #table: Int32Array;
  readonly #scanAt: ScanAt;
  /** The table that was copied in last: that of one share, call after call. */
  #gear: Gear | undefined;

  /** `code` is the compiled `chunk-scan`. @throws what WebAssembly throws where it is not, or does not run here */
  constructor(code: Uint8Array, bytes: number) {
    const memory = new WebAssembly.Memory({ initial: Math.ceil((BYTES_AT + bytes) / PAGE_BYTES) });
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(code), { env: { memory } });
    this.#scanAt = exports['scan'] as ScanAt;
    this.#table = new Int32Array(memory.buffer, GEAR_AT, GEAR_VALUES);
    this.bytes = Buffer.from(memory.buffer, BYTES_AT, bytes);
  }

  nextCut(gear: Gear, parameters: ChunkerParameters, start: number, end: number, last: boolean): number | undefined {
    if (gear !== this.#gear) this.#table.set(gear);
    this.#gear = gear;
    return cutWith(this.#scan, parameters, this.bytes.length, start, end, last);
  }

  readonly #scan = (mask: number, first: number, stop: number): number | undefined => {
    const cut = this.#scanAt(mask, BYTES_AT + first, BYTES_AT + stop);
    return cut === 0 ? undefined : cut - BYTES_AT;
  };
}
