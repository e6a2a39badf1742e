/** Our own bugs end here: a broken assertion is never a peer's or a disk's doing. */
export class AssertionError extends Error {
  override readonly name: string = 'AssertionError';
}

export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}
