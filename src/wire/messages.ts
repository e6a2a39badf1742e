/**
 * Every message two nodes exchange, as plain data. docs/PROTOCOL.md describes them for a second implementation.
 *
 * Vocabulary: an entry stream carries entries that bring the receiver from containing the sender's root `base` to
 * containing its root `root`. A root that a node names in `root`, `hello` or `ack` covers only verified, flushed bytes.
 */
export const PROTOCOL_VERSION = 1;

export interface EntryItem {
  readonly key: Uint8Array;
  /** Canonical bytes of the entry. */
  readonly entry: Uint8Array;
}

/** The bytes of a whole single-chunk content, sent along with a small change to save the round trip of asking. */
export interface InlineChunk {
  readonly hash: Uint8Array;
  readonly bytes: Uint8Array;
}

/** Of a walk range: its pages hold entries. */
export const LEAF_LEVEL = 0;

export interface WalkItem {
  readonly key: Uint8Array;
  /** The beginning of the page's or entry's hash; walk-digest.ts says how much of it. */
  readonly digest: Uint8Array;
}

/** The sender's items of one level whose key is in [from, to); undefined = unbounded. */
export interface WalkRange {
  readonly from: Uint8Array | undefined;
  readonly to: Uint8Array | undefined;
  /** Level of the pages listed; 0 = leaf pages, -1 = entries. */
  readonly level: number;
  /** Not at level 0. */
  readonly items: readonly WalkItem[];
  /** At level 0: the digests of leaf pages, in the order of their keys. The keys are not needed: what follows are entries. */
  readonly leaves: readonly Uint8Array[];
}

export interface FetchItem {
  readonly content: Uint8Array;
  /** Total bytes of the content. */
  readonly bytes: number;
  /** Index of the first chunk and how many. */
  readonly firstChunk: number;
  readonly chunks: number;
}

/** Chunks of one content that follow each other. */
export interface ChunkRun {
  /** Number of the first. */
  readonly first: number;
  readonly count: number;
}

export type Message =
  /** First message of a member; the dialer speaks first. */
  | {
      readonly type: 'hello';
      readonly versionMin: number;
      readonly versionMax: number;
      readonly capabilities: readonly string[];
      readonly nodeId: string;
      readonly name: string;
      readonly listenPort: number;
      readonly replica: string;
      /** Encoded share parameters. */
      readonly share: Uint8Array;
      readonly root: Uint8Array;
      /** The root of the receiver that the sender contains, and of which replica id; both undefined if none. */
      readonly containsReplica: string | undefined;
      readonly contains: Uint8Array | undefined;
    }
  /** First message of a dialer that holds an invitation. */
  | {
      readonly type: 'join';
      readonly invitation: string;
      readonly proof: Uint8Array;
      readonly nodeId: string;
      readonly publicKey: Uint8Array;
      readonly name: string;
      readonly listenPort: number;
    }
  /** First message of a member that the listener has not heard of: its own record, and those that lead from the founder to it. */
  | { readonly type: 'introductions'; readonly items: readonly EntryItem[] }
  /** "Wait, I am still reading my folder": keeps the greeting from timing out. */
  | { readonly type: 'hold' }
  /** `sinceMs`: since when the receiver is evicted, if it is that; milliseconds since 1970. */
  | { readonly type: 'refuse'; readonly code: string; readonly sinceMs: number | undefined }
  | { readonly type: 'root'; readonly root: Uint8Array }
  | { readonly type: 'ack'; readonly root: Uint8Array }
  /** The sender goes by this stable cut: no entry that it sends from now on is older than what the cut covers. */
  | { readonly type: 'stable'; readonly cut: Uint8Array }
  /** Part of an entry stream. `base` in the first part; `root` in the last part. */
  | {
      readonly type: 'entries';
      readonly base: Uint8Array | undefined;
      readonly root: Uint8Array | undefined;
      /** The walk it answers; 0 = none. A stream of a walk needs no base. */
      readonly walk: number;
      readonly items: readonly EntryItem[];
      readonly inline: readonly InlineChunk[];
    }
  /** The receiver has dealt with so many bytes of `entries`, counted as `entriesBytes` does. */
  | { readonly type: 'grant'; readonly bytes: number }
  | { readonly type: 'walk-request' }
  | {
      readonly type: 'walk';
      readonly id: number;
      /** False: the differences are only listed, nothing is sent to be merged. */
      readonly merge: boolean;
      readonly root: Uint8Array;
      /** In key order, disjoint; only the first may be unbounded below, only the last above. */
      readonly ranges: readonly WalkRange[];
      /** Keys whose entries the sender wants, in order; differing or unknown here. */
      readonly wants: readonly Uint8Array[];
      /** More ranges of the sender are still to come. */
      readonly more: boolean;
      /** It answers the first message of the receiver that listed ranges and was not answered yet. */
      readonly answers: boolean;
    }
  /** Entries of a listing walk: to be shown, not merged. The last part has `last`. */
  | { readonly type: 'listing'; readonly id: number; readonly items: readonly EntryItem[]; readonly last: boolean }
  | { readonly type: 'list-pages'; readonly id: number; readonly hashes: readonly Uint8Array[] }
  | { readonly type: 'list-pages-reply'; readonly id: number; readonly pages: readonly (Uint8Array | undefined)[] }
  | { readonly type: 'fetch'; readonly id: number; readonly items: readonly FetchItem[] }
  /** End of the answer to a fetch: the indexes of the items that this node no longer has. */
  | { readonly type: 'fetched'; readonly id: number; readonly gone: readonly number[] }
  /** The sender is fetching this content; of its chunks it has these, besides those that it has told of. */
  | { readonly type: 'have'; readonly content: Uint8Array; readonly runs: readonly ChunkRun[] };

export type MessageType = Message['type'];
export type MessageOf<T extends MessageType> = Extract<Message, { type: T }>;

/** One chunk within a chunk frame. `offset` is where its bytes start in the frame. */
export interface FramedChunk {
  readonly item: number;
  readonly chunk: number;
  readonly offset: number;
  readonly bytes: number;
}

/** Chunks in answer to a fetch; `frame` is the whole message, so that the bytes need not be copied out. */
export interface ChunkFrame {
  readonly type: 'chunks';
  readonly id: number;
  readonly chunks: readonly FramedChunk[];
  readonly frame: Uint8Array;
}
