/** Builds a tree from sorted entries in one pass, holding one open page per level and nothing else. */
import { assert } from '../base/assert.ts';
import { compareBytes } from '../base/bytes.ts';
import { ENTRY_BYTES_MAX, KEY_BYTES_MAX } from '../base/limits.ts';
import { Assembler } from './assemble.ts';
import type { KeyValue, PageSink, Tree } from './page.ts';
import type { Ranker } from './rank.ts';

/**
 * The tree of `entries`, which ascend strictly by key and must not change until this returns. Every page of the tree,
 * and no other, has been put in `sink` then, pages before those above them.
 * @throws {RangeError} if a key is empty, or a key or a value too long
 * @throws {SamerootError} `PAGE_TOO_LARGE`
 */
export function build(entries: Iterable<KeyValue>, ranker: Ranker, sink: PageSink): Tree {
  const assembler = new Assembler(ranker, sink);
  let previous: Uint8Array | undefined;
  for (const { key, value } of entries) {
    checkEntry(key, value);
    assert(previous === undefined || compareBytes(previous, key) < 0, 'build: the entries do not ascend');
    assembler.appendEntry(key, value, ranker.rank(key));
    previous = key;
  }
  return assembler.finish();
}

/** @throws {RangeError} if the tree cannot hold this entry */
export function checkEntry(key: Uint8Array, value: Uint8Array): void {
  if (key.length === 0 || key.length > KEY_BYTES_MAX) throw new RangeError(`key: ${key.length} bytes, not 1 to ${KEY_BYTES_MAX}`);
  if (value.length > ENTRY_BYTES_MAX) throw new RangeError(`value: ${value.length} bytes, over ${ENTRY_BYTES_MAX}`);
}
