/**
 * A batch of changes to the shared folder as it is sent to the write thread, and what comes back: see place-job.ts.
 */
import type { ErrorCode } from '../base/errors.ts';
import type { Trashed } from './into-trash.ts';
import type { DiskStat, PlacedKind } from './placed.ts';

export interface Known {
  readonly kind: PlacedKind;
  readonly stat: DiskStat;
}

export interface Removal {
  readonly path: string;
  readonly was: Known;
  /** Another path wants these bytes: they go to staging under this name, not to the trash. */
  readonly keepAs: string | undefined;
  /** To the quarantine, not to the trash. */
  readonly setAside: boolean;
  /** It need not be there. Otherwise what it showed is to be shown at another path, and whoever removed it removed that. */
  readonly mayBeGone: boolean;
}

export interface WantedFile {
  readonly kind: 'file';
  readonly bytes: number;
  readonly mode: number;
  readonly mtimeMs: number;
  /** Name in staging. `undefined`: the bytes are not at hand (but what lies there already may be them); empty files need none. */
  readonly staged: string | undefined;
  /** Of a content of one chunk. */
  readonly chunk: string | undefined;
}

export interface WantedLink {
  readonly kind: 'symlink';
  readonly target: Uint8Array;
}

export type Wanted =
  | WantedFile
  | WantedLink
  /** Implied: nobody's entry, only a parent; one that is there already is left as it is. */
  | { readonly kind: 'directory'; readonly mode: number; readonly implied: boolean };

export interface Placement {
  readonly path: string;
  readonly was: Known | undefined;
  readonly want: Wanted;
  /** What was there goes to the quarantine, not to the trash. */
  readonly setAside: boolean;
  /** What its row will say, for the notes; folders need none. */
  readonly row: Uint8Array | undefined;
}

export interface Touch {
  readonly path: string;
  readonly was: Known;
  readonly mode: number;
  /** Files only. */
  readonly mtimeMs: number | undefined;
  /** What its row will say, for the notes; folders need none. */
  readonly row: Uint8Array | undefined;
}

/** Nothing is to be done here but a look: the row is to say something else of what lies there. */
export interface Check {
  readonly path: string;
  readonly was: Known;
}

export interface Batch {
  /** In the notes: see place-notes.ts. */
  readonly name: string;
  readonly root: string;
  readonly tmp: string;
  /** `2026-11-23`: the folder in the trash. */
  readonly day: string;
  /** The folder in the quarantine, while something is set aside. */
  readonly quarantine: string | undefined;
  readonly removals: readonly Removal[];
  readonly placements: readonly Placement[];
  readonly touches: readonly Touch[];
  readonly checks: readonly Check[];
  /** Files in staging that were made for this batch alone. */
  readonly copies: readonly string[];
}

export type Outcome =
  | {
      readonly status: 'done';
      readonly stat: DiskStat | undefined;
      readonly trashed?: Trashed | undefined;
      readonly moved?: boolean;
      readonly kept?: boolean;
    }
  /** As it was: a folder to be removed that is not empty; one that should be made and is there; what was only looked at. */
  | { readonly status: 'left' }
  /** `path` is not as its row says: it must be ingested first. */
  | { readonly status: 'dirty'; readonly path: string }
  /** `path`, a parent or this path itself, is not a folder or not a file as it would have to be. */
  | { readonly status: 'blocked'; readonly path: string }
  | { readonly status: 'absent' }
  | {
      readonly status: 'failed';
      readonly code: ErrorCode;
      readonly message: string;
      /** Of a removal. False: nothing is there any more, or nobody can tell, so it may have been done all the same. */
      readonly isThere?: boolean;
      /** Of a file that is as its row says but for its time of change, and that has changed by our own doing. */
      readonly stat?: DiskStat | undefined;
    };

export interface BatchResult {
  readonly removals: readonly Outcome[];
  readonly placements: readonly Outcome[];
  readonly touches: readonly Outcome[];
  readonly checks: readonly Outcome[];
  /** Below the root: folders whose names have changed, and what has another mode or time in place. */
  readonly touched: readonly string[];
}
