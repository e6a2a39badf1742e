/** What the fetcher has to bring, and what it has asked for: a content under way, and a request to one peer. */
import { contentLevel, type ContentId } from '../content/content-list.ts';
import type { Piece } from '../session/fetch-plan.ts';
import { Swarm } from '../session/swarm.ts';
import type { Message, MessageOf } from '../wire/messages.ts';
import type { ContentTarget } from './contents.ts';

/** A content that is to be brought here. */
export interface Order {
  readonly content: ContentId;
  readonly bytes: number;
  readonly target: ContentTarget;
  readonly sources: Set<string>;
  readonly pieces: Set<Piece>;
  /** Of contents of several chunks that can be read before they are whole. */
  readonly swarm: Swarm | undefined;
  outstandingBytes: number;
  /** Of its bytes, those that are here: fetched, copied, or left by an earlier attempt. */
  doneBytes: number;
  planned: boolean;
  settled: boolean;
  /** Called when outstanding bytes fell. */
  roomWanted: (() => void) | undefined;
  readonly done: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Pieces that one peer was asked for. */
export interface Request {
  readonly pieces: readonly Piece[];
  /** Chunks of each piece that have not come yet. */
  readonly left: Set<number>[];
  /** How many chunks of each piece are not written yet. */
  readonly unwritten: number[];
  /** Frames that are being written. */
  writing: number;
  over: MessageOf<'fetched'> | undefined;
}

/** A peer that is connected, and what it was asked for. */
export interface PeerAsked {
  send(message: Message): void;
  readonly requests: Map<number, Request>;
  readonly pages: Map<number, { hashes: readonly Uint8Array[]; readonly resolve: (pages: readonly (Uint8Array | undefined)[]) => void }>;
}

export function makeOrder(content: ContentId, bytes: number, target: ContentTarget, sources: Iterable<string>): Order {
  let resolve!: () => void;
  let reject!: (error: unknown) => void;
  const done = new Promise<void>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  const swarm = contentLevel(content) > 0 && target.servesParts ? new Swarm(content, bytes) : undefined;
  const rest = {
    pieces: new Set<Piece>(),
    swarm,
    outstandingBytes: 0,
    doneBytes: 0,
    planned: false,
    settled: false,
    roomWanted: undefined,
  };
  return { content, bytes, target, sources: new Set(sources), ...rest, done, resolve, reject };
}

export function makeRequest(pieces: readonly Piece[]): Request {
  return {
    pieces,
    left: pieces.map((piece) => new Set(piece.chunks.keys())),
    unwritten: pieces.map((piece) => piece.chunks.length),
    writing: 0,
    over: undefined,
  };
}
