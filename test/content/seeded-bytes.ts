/** Pseudo-random bytes that any language can make: xorshift32 (13, 17, 5), the low byte of each state. */
export function seededBytes(seed: number, count: number): Uint8Array {
  const bytes = new Uint8Array(count);
  let state = seed | 0;
  for (let at = 0; at < count; at++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[at] = state & 0xff;
  }
  return bytes;
}
