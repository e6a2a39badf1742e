/** One path of the folder, looked at now: what is there, and what the folder's own rules and queues make of it. */
import type { PlacedKind } from './placed.ts';

export interface PathLook {
  readonly kind: PlacedKind | 'nothing';
  /** It is as the placed row says: nothing here waits to be taken in. */
  readonly asKnown: boolean;
  /** It had events a moment ago, and is left alone until it is quiet. */
  readonly settling: boolean;
  readonly ignoredBy: { readonly line: number; readonly rule: string } | undefined;
}
