/** From what was measured to what a first sync between two hosts like this one would be bound by. A function of the figures alone. */
import { SMALL_FILE_BYTES } from './payload.ts';

/** Rates are per second, of bytes or of files. */
export interface Figures {
  readonly hash: { readonly implementation: 'native' | 'noble'; readonly bytesPerSecond: number };
  readonly chunkScan: { readonly bytesPerSecond: number };
  readonly large: {
    readonly bytes: number;
    /** Verify, write, flush, commit, show. */
    readonly targetBytesPerSecond: number;
    /** Read from memory, cut, hash, commit. */
    readonly sourceBytesPerSecond: number;
    /** Read from memory for a peer. */
    readonly readBytesPerSecond: number;
  };
  readonly small: {
    readonly files: number;
    readonly fileBytes: number;
    readonly targetFilesPerSecond: number;
    readonly sourceFilesPerSecond: number;
  };
  readonly loopback: { readonly tls: LineFigures; readonly plain: LineFigures };
}

export interface LineFigures {
  readonly bytesPerSecond: number;
  readonly roundTripMs: number;
}

export type Stage = 'source' | 'network' | 'target';

export interface Bound {
  readonly boundBy: Stage;
  /** Of the stage that it is bound by: no first sync is faster. */
  readonly perSecond: number;
  readonly stages: Readonly<Record<Stage, number>>;
  /** A line between the hosts that is narrower than this would be the bound instead. */
  readonly lineBitsPerSecond: number;
}

/** Of a small file on the wire beside its bytes, about: key, entry, the request for its content. */
const SMALL_FILE_OTHER_BYTES = 250;

export function firstSync({ large, small, loopback }: Figures): { readonly large: Bound; readonly small: Bound } {
  const line = loopback.tls.bytesPerSecond;
  const smallWireBytes = SMALL_FILE_BYTES + SMALL_FILE_OTHER_BYTES;
  // The source reads a file twice: to know what it is, and for the peer.
  const source = Math.min(large.sourceBytesPerSecond, large.readBytesPerSecond);
  return {
    large: boundOf({ source, network: line, target: large.targetBytesPerSecond }, 1),
    small: boundOf(
      { source: small.sourceFilesPerSecond, network: line / smallWireBytes, target: small.targetFilesPerSecond },
      smallWireBytes,
    ),
  };
}

function boundOf(stages: Readonly<Record<Stage, number>>, wireBytes: number): Bound {
  const names = Object.keys(stages) as Stage[];
  const boundBy = names.reduce((least, name) => (stages[name] < stages[least] ? name : least));
  return { boundBy, perSecond: stages[boundBy], stages, lineBitsPerSecond: stages[boundBy] * wireBytes * 8 };
}
