/**
 * The scan for a cut in AssemblyScript, compiled to WebAssembly by `npm run build`: the same Gear hash as in
 * `src/content/chunker.ts`, where the rule is defined and what it does when this is not there.
 *
 * Invariant: `scan` gives what the scan in JavaScript gives, for any bytes. `src/content/chunk-memory.ts` lays the
 * memory out: the table at address 0, then the bytes.
 *
 * Two lanes: a byte has to wait for the hash of the byte before, and a processor has room for another such chain beside
 * it. So blocks of two lanes are scanned, both at once; a lane that begins in the middle is warmed up by the window
 * before it. Where either finds a cut, the block is scanned again byte by byte, for the first cut counts. Per second of
 * CPU, in chunks of 64 KiB of which half is skipped: 7.6 GB of random bytes and 6.0 of text, one lane 5.2 and 4.2,
 * JavaScript 2.8 and 2.4. Four lanes were no faster than two, and four as a vector slower: entries are loaded one by one.
 */

/** Bytes that the hash remembers. */
const WINDOW_BYTES: usize = 32;
const LANE_BYTES: usize = 512;
const BLOCK_BYTES: usize = 2 * LANE_BYTES;

function roll(rolling: i32, byte: u32): i32 {
  return (rolling << 1) + load<i32>(byte << 2);
}

/** The hash before the byte at `first`, of the window without the byte that it will push out. */
function warmUp(first: usize): i32 {
  let rolling = 0;
  for (let at = first - (WINDOW_BYTES - 1); at < first; at++) rolling = roll(rolling, load<u8>(at));
  return rolling;
}

/** The end of the first window with a zero mask whose last byte lies in [first, stop); 0 where there is none. */
export function scan(mask: i32, first: usize, stop: usize): usize {
  let left = warmUp(first);
  let at = first;
  for (; at + BLOCK_BYTES <= stop; at += BLOCK_BYTES) {
    const before = left;
    let right = warmUp(at + LANE_BYTES);
    const end = at + LANE_BYTES;
    let step = at;
    // Four bytes of each lane a step, written out: a loop over them would not be unrolled.
    for (; step < end; step += 4) {
      left = roll(left, load<u8>(step, 0));
      if ((left & mask) == 0) break;
      right = roll(right, load<u8>(step, LANE_BYTES));
      if ((right & mask) == 0) break;
      left = roll(left, load<u8>(step, 1));
      if ((left & mask) == 0) break;
      right = roll(right, load<u8>(step, LANE_BYTES + 1));
      if ((right & mask) == 0) break;
      left = roll(left, load<u8>(step, 2));
      if ((left & mask) == 0) break;
      right = roll(right, load<u8>(step, LANE_BYTES + 2));
      if ((right & mask) == 0) break;
      left = roll(left, load<u8>(step, 3));
      if ((left & mask) == 0) break;
      right = roll(right, load<u8>(step, LANE_BYTES + 3));
      if ((right & mask) == 0) break;
    }
    if (step < end) return scanEach(mask, at, stop, before);
    left = right;
  }
  return scanEach(mask, at, stop, left);
}

function scanEach(mask: i32, first: usize, stop: usize, before: i32): usize {
  let rolling = before;
  for (let at = first; at < stop; at++) {
    rolling = roll(rolling, load<u8>(at));
    if ((rolling & mask) == 0) return at + 1;
  }
  return 0;
}
