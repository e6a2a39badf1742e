/**
 * What of a content's list is on this host: the leaf pages in order, each with the word which of its chunks an earlier
 * attempt has left, and which other files here have; those are copied on the way, several leaves at once.
 *
 * Invariant: a chunk counts as here only when its target says that it has verified it in its place.
 */
import { MIB } from '../base/limits.ts';
import { workAhead } from '../base/work-ahead.ts';
import { leafWeight, type ContentId, type ListLeaf } from '../content/content-list.ts';
import type { PieceChunk } from '../session/fetch-plan.ts';
import type { ContentTarget, LocalCopy } from './contents.ts';

/** Of leaves that are looked at ahead of the first that is not copied: enough for all work threads. */
const COPIES_AHEAD_BYTES: number = 64 * MIB;

export interface PlannedLeaf {
  readonly firstChunk: number;
  readonly chunks: readonly PieceChunk[];
  /** By chunk. */
  readonly here: readonly boolean[];
  /** Of those that are here, how many were copied now. */
  readonly copied: number;
}

/** `resumed`: an earlier attempt may have left chunks. */
export function planLeaves(
  target: ContentTarget,
  content: ContentId,
  leaves: Iterable<ListLeaf>,
  resumed: boolean,
): AsyncGenerator<PlannedLeaf> {
  return workAhead(leaves, {
    weigh: leafWeight,
    weightMax: COPIES_AHEAD_BYTES,
    work: (leaf) => {
      const chunks = chunksOf(leaf);
      // Nothing to wait for where nothing is here, as at a first sync.
      if (resumed) return planResumed(target, content, leaf.firstChunk, chunks);
      const here = chunks.map(() => false);
      const copies = localCopies(target, chunks, here);
      const plan = { firstChunk: leaf.firstChunk, chunks, here, copied: 0 };
      return copies.length === 0 ? plan : copyLocal(target, content, plan, copies);
    },
  });
}

async function planResumed(
  target: ContentTarget,
  content: ContentId,
  firstChunk: number,
  chunks: readonly PieceChunk[],
): Promise<PlannedLeaf> {
  const parts = chunks.map(({ hash, bytes, offset }) => ({ hash, bytes, fileOffset: offset }));
  const here = [...(await target.present(content, parts))];
  return copyLocal(target, content, { firstChunk, chunks, here, copied: 0 }, localCopies(target, chunks, here));
}

function chunksOf({ offsetBytes, refs }: ListLeaf): PieceChunk[] {
  const chunks: PieceChunk[] = [];
  let offset = offsetBytes;
  for (const { hash, bytes } of refs) {
    chunks.push({ hash, bytes, offset });
    offset += bytes;
  }
  return chunks;
}

interface IndexedCopy extends LocalCopy {
  /** Of the chunk in its leaf. */
  readonly index: number;
}

/** Chunks that this host has in other files are copied, not fetched. */
function localCopies(target: ContentTarget, chunks: readonly PieceChunk[], here: readonly boolean[]): IndexedCopy[] {
  const missing = [...chunks.entries()].filter(([index]) => here[index] !== true);
  const places = target.localChunks(missing.map(([, { hash }]) => hash));
  return missing.flatMap(([index, { hash, bytes, offset }], at) => {
    const place = places[at];
    return place === undefined ? [] : [{ index, path: place.path, sourceOffset: place.offsetBytes, hash, bytes, fileOffset: offset }];
  });
}

async function copyLocal(
  target: ContentTarget,
  content: ContentId,
  plan: PlannedLeaf,
  copies: readonly IndexedCopy[],
): Promise<PlannedLeaf> {
  if (copies.length === 0) return plan;
  const results = await target.copy(content, copies);
  const here = [...plan.here];
  let copied = 0;
  for (const [at, { index }] of copies.entries()) {
    if (results[at] !== true) continue;
    here[index] = true;
    copied++;
  }
  return { ...plan, here, copied };
}
