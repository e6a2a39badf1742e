/**
 * The head of a replica: which tree is current, and the counters that must never go back (commit number, sequence of
 * dots, clock). One row, written in the same atomic batch as the pages it names.
 */
import { ByteReader, ByteWriter } from '../base/bytes.ts';
import { HASH_BYTES, TREE_LEVEL_MAX } from '../base/limits.ts';
import type { Stamp } from '../entry/clock.ts';
import { EMPTY_TREE, type Tree } from '../tree/page.ts';

export interface Head {
  readonly tree: Tree;
  /** 32 bytes; names the whole state of the share. */
  readonly root: Uint8Array;
  /** Counts the commits of this replica. */
  readonly commit: number;
  /** Highest sequence that this replica has given to a dot. */
  readonly sequence: number;
  /** High-water mark of the hybrid clock. */
  readonly stamp: Stamp;
}

export function encodeTree(tree: Tree): Uint8Array {
  return treeFields(new ByteWriter(64), tree).finish();
}

export function decodeTree(bytes: Uint8Array): Tree {
  const reader = new ByteReader(bytes);
  const tree = readTree(reader);
  reader.end();
  return tree;
}

export function encodeHead(head: Head): Uint8Array {
  const writer = new ByteWriter(128).varint(head.commit).varint(head.sequence).u48(head.stamp.wallMs).u16(head.stamp.counter);
  return treeFields(writer.raw(head.root), head.tree).finish();
}

export function decodeHead(bytes: Uint8Array): Head {
  const reader = new ByteReader(bytes);
  const commit = reader.varint();
  const sequence = reader.varint();
  const stamp = { wallMs: reader.u48(), counter: reader.u16() };
  const root = Uint8Array.from(reader.raw(HASH_BYTES));
  const tree = readTree(reader);
  reader.end();
  return { tree, root, commit, sequence, stamp };
}

function treeFields(writer: ByteWriter, tree: Tree): ByteWriter {
  if (tree.page === undefined) return writer.u8(0);
  writer
    .u8(1 + tree.level)
    .varint(tree.count)
    .varint(tree.live)
    .varint(tree.bytes);
  return writer.raw(tree.page);
}

function readTree(reader: ByteReader): Tree {
  const tag = reader.varint(1 + TREE_LEVEL_MAX);
  if (tag === 0) return EMPTY_TREE;
  const totals = { count: reader.varint(), live: reader.varint(), bytes: reader.varint() };
  return { level: tag - 1, ...totals, page: Uint8Array.from(reader.raw(HASH_BYTES)) };
}
