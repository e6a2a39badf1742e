/**
 * What of the simulated disk's metadata is not durable yet.
 *
 * Durability model, that of a journaling file system (ext4, xfs): changes of names, modes and times go to a journal in
 * their order, and after a power loss a prefix of it holds. A flush of an inode makes the journal durable up to the last
 * change that concerns this inode, and so all before it. A rename, link or removal concerns the folders, not the file:
 * who wants the name durable flushes the folder.
 *
 * Invariant: the journal holds, oldest first, exactly the changes that are not durable, each with what undoes it. Undone
 * from the end they lead back through every earlier state, so that numbers of inodes that were reused come out right.
 */
import type { SeededRandom } from './random.ts';
import type { Attributes, Inode } from './sim-disk-inode.ts';

interface Change {
  readonly concerns: readonly Inode[];
  readonly undo: () => void;
  /** Set if it is no more than attributes of this inode: a second such change needs no undoing of its own. */
  readonly attributesOf: Inode | undefined;
}

export class DiskJournal {
  #changes: Change[] = [];

  record(concerns: readonly Inode[], undo: () => void): void {
    this.#changes.push({ concerns, undo, attributesOf: undefined });
  }

  recordAttributes(inode: Inode, before: Attributes): void {
    if (this.#changes.at(-1)?.attributesOf === inode) return;
    this.#changes.push({ concerns: [inode], undo: () => (inode.attributes = before), attributesOf: inode });
  }

  flush(inode: Inode): void {
    const last = this.#changes.findLastIndex(({ concerns }) => concerns.includes(inode));
    this.#changes.splice(0, last + 1);
  }

  flushAll(): void {
    this.#changes = [];
  }

  losePower(random: SeededRandom): void {
    const lost = this.#changes.splice(random.below(this.#changes.length + 1));
    for (const change of lost.reverse()) change.undo();
    this.#changes = [];
  }
}
