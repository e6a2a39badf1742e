/** How fast one core hashes and looks for borders of chunks, with the functions that the product uses. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { KIB } from '../../base/limits.ts';
import { makeChunkMemory } from '../../content/chunk-memory.ts';
import { hash } from '../../content/hash.ts';
import { secondsSince, type Control } from './control.ts';
import type { Payload } from './payload.ts';

/** About the mean size of a chunk. */
const PIECE_BYTES: number = 64 * KIB;
/** Signals are heard between two slices. */
const SLICE_MS = 20;

/** Bytes per second. */
export function measureHash({ block }: Payload, budgetMs: number, control: Control): Promise<number> {
  let at = 0;
  return rateOf('hashing', budgetMs, control, () => {
    hash('chunk', block.subarray(at, at + PIECE_BYTES));
    at = (at + PIECE_BYTES) % block.length;
    return PIECE_BYTES;
  });
}

/** Bytes per second, those included that the chunker may pass over. */
export function measureChunkScan({ block, gear, chunker }: Payload, budgetMs: number, control: Control): Promise<number> {
  const memory = makeChunkMemory(block.length);
  memory.bytes.set(block);
  let at = 0;
  return rateOf('looking for the borders of chunks', budgetMs, control, () => {
    const end = memory.nextCut(gear, chunker, at, block.length, true)!;
    const bytes = end - at;
    at = end % block.length;
    return bytes;
  });
}

/**
 * `work` returns the bytes that it has worked through. The first slice compiles it and does not count; of the others the
 * median does, so that a slice in which another process had the core says nothing.
 */
async function rateOf(what: string, budgetMs: number, control: Control, work: () => number): Promise<number> {
  const rates: number[] = [];
  const slices = Math.ceil(budgetMs / SLICE_MS);
  for (let slice = 0; slice <= slices; slice++) {
    control.at(what);
    const sinceMs = performance.now();
    let bytes = 0;
    do bytes += work();
    while (performance.now() - sinceMs < SLICE_MS);
    if (slice > 0) rates.push(bytes / secondsSince(sinceMs));
    await nextTurn();
  }
  return rates.sort((a, b) => a - b)[rates.length >>> 1]!;
}
