import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CONTENT_ID_BYTES, FETCH_ITEMS_MAX, FETCH_WINDOW_BYTES, KIB, SWARM_WINDOW_BYTES, MIB } from '../../src/base/limits.ts';
import { FetchPlan, type Piece } from '../../src/session/fetch-plan.ts';
import { SeededRandom } from '../../src/simulation/random.ts';

function pieceOf(bytes: number): Piece {
  return { content: new Uint8Array(CONTENT_ID_BYTES), contentBytes: bytes, firstChunk: 0, chunks: [], bytes };
}

function planWith(...peers: string[]): FetchPlan {
  const plan = new FetchPlan(new SeededRandom('plan'));
  for (const peer of peers) plan.addPeer(peer);
  return plan;
}

/** All that `peer` will take now, request by request. */
function takeAll(plan: FetchPlan, peer: string): Piece[] {
  const all: Piece[] = [];
  for (let pieces = plan.take(peer); pieces.length > 0; pieces = plan.take(peer)) all.push(...pieces);
  return all;
}

const PEERS = ['p', 'q', 'r', 's'];
/** Pieces up to this size are asked of anybody, first. */
const SMALL_BYTES = 256 * KIB;

/** What the plan has to do, by definition. */
class Model {
  readonly connected: Set<string> = new Set();
  readonly pieces: Map<Piece, { sources: Set<string>; mates: Set<string>; asked: string | undefined }> = new Map();

  bytesUnderWay(peer: string): number {
    return [...this.pieces].reduce((sum, [piece, { asked }]) => sum + (asked === peer ? piece.bytes : 0), 0);
  }

  /** Mates have this piece, and the peer is none of them. */
  isShared(piece: Piece, peer: string): boolean {
    const { mates } = this.pieces.get(piece)!;
    return piece.bytes > SMALL_BYTES && mates.size > 0 && !mates.has(peer);
  }

  /** One of those mates could be asked for it now. */
  isLeftToMates(piece: Piece, peer: string, windowBytes: number): boolean {
    if (!this.isShared(piece, peer)) return false;
    return [...this.pieces.get(piece)!.mates].some((mate) => {
      return this.bytesUnderWay(mate) + windowBytes / 4 <= windowBytes;
    });
  }

  waitingFor(peer: string): Piece[] {
    return [...this.pieces].filter(([, { sources, asked }]) => asked === undefined && sources.has(peer)).map(([piece]) => piece);
  }

  /** Pieces that are lost when `peer` is no source of theirs any more. */
  lose(pieces: Iterable<Piece>, peer: string): Piece[] {
    const lost: Piece[] = [];
    for (const piece of pieces) {
      const known = this.pieces.get(piece)!;
      known.sources.delete(peer);
      known.mates.delete(peer);
      if (known.asked === peer) known.asked = undefined;
      if (known.sources.size > 0) continue;
      this.pieces.delete(piece);
      lost.push(piece);
    }
    return lost;
  }
}

type Action = {
  readonly type: 'join' | 'leave' | 'take' | 'done' | 'failed' | 'add' | 'source' | 'mate' | 'unmate' | 'spread';
  readonly peer: number;
  readonly pick: number;
  readonly bytes: number;
  readonly mask: number;
};
const actions: fc.Arbitrary<Action[]> = fc.array(
  fc.record({
    type: fc.constantFrom(
      'join',
      'leave',
      'take',
      'take',
      'take',
      'done',
      'done',
      'failed',
      'add',
      'add',
      'add',
      'source',
      'mate',
      'unmate',
      'spread',
    ),
    peer: fc.nat({ max: PEERS.length - 1 }),
    pick: fc.nat(),
    bytes: fc.oneof(fc.integer({ min: 1, max: MIB }), fc.constantFrom(3 * MIB, FETCH_WINDOW_BYTES, FETCH_WINDOW_BYTES + 1)),
    mask: fc.integer({ min: 1, max: 15 }),
  }),
  { maxLength: 120, size: 'max' },
);

describe('the plan of fetches', () => {
  it('keeps its invariants through any history', () => {
    fc.assert(
      fc.property(actions, (list) => {
        const plan = new FetchPlan(new SeededRandom('plan'));
        const model = new Model();
        for (const { type, peer: number, pick, bytes, mask } of list) {
          const peer = PEERS[number]!;
          const asked = [...model.pieces].filter(([, known]) => known.asked !== undefined);
          if (type === 'join') {
            plan.addPeer(peer);
            model.connected.add(peer);
          } else if (type === 'leave') {
            model.connected.delete(peer);
            const expected = model.lose(
              [...model.pieces].filter(([, { sources }]) => sources.has(peer)).map(([piece]) => piece),
              peer,
            );
            expect(new Set(plan.removePeer(peer))).toEqual(new Set(expected));
          } else if (type === 'add') {
            const wanted = PEERS.filter((_, at) => (mask & (1 << at)) !== 0);
            const sources = wanted.filter((other) => model.connected.has(other));
            const piece = pieceOf(bytes);
            if (sources.length === 0) expect(() => plan.add(piece, wanted)).toThrow();
            else {
              plan.add(piece, wanted);
              model.pieces.set(piece, { sources: new Set(sources), mates: new Set(), asked: undefined });
            }
          } else if (type === 'source') {
            plan.addSource(model.pieces.keys(), peer);
            if (model.connected.has(peer)) for (const known of model.pieces.values()) known.sources.add(peer);
          } else if (type === 'spread') {
            plan.spread = !plan.spread;
          } else if (type === 'unmate') {
            const some = [...model.pieces].filter((_, at) => (mask & (1 << (at % 4))) !== 0);
            plan.removeMate(
              some.map(([piece]) => piece),
              peer,
            );
            const others = some.filter(([, { sources, mates }]) => mates.has(peer) && sources.size > 1);
            expect(
              model.lose(
                others.map(([piece]) => piece),
                peer,
              ),
            ).toEqual([]);
          } else if (type === 'mate') {
            const some = [...model.pieces].filter((_, at) => (mask & (1 << (at % 4))) !== 0);
            plan.addMate(
              some.map(([piece]) => piece),
              peer,
            );
            for (const [, known] of model.connected.has(peer) ? some : []) {
              if (known.sources.has(peer)) continue;
              known.sources.add(peer);
              known.mates.add(peer);
            }
          } else if (type === 'take') {
            const waiting = model.waitingFor(peer);
            const before = model.bytesUnderWay(peer);
            const windowBytes = plan.spread ? SWARM_WINDOW_BYTES : FETCH_WINDOW_BYTES;
            const unshared = waiting.filter((piece) => !model.isShared(piece, peer));
            const isMateFree = waiting.some((piece) => model.isLeftToMates(piece, peer, windowBytes));
            const pieces = plan.take(peer);
            for (const piece of pieces) {
              // Asked of nobody else, and of a peer that has it.
              expect(waiting).toContain(piece);
              model.pieces.get(piece)!.asked = peer;
            }
            expect(new Set(pieces).size).toBe(pieces.length);
            const after = model.bytesUnderWay(peer);
            expect(pieces.length === 0 || after <= windowBytes || (before === 0 && pieces.length === 1)).toBe(true);
            // Nothing waits for a peer that has nothing to do.
            const expected = unshared.length > 0 || (waiting.length > 0 && !isMateFree);
            if (before === 0 && expected) expect(pieces.length).toBeGreaterThan(0);
          } else if (asked.length > 0) {
            const [piece, known] = asked[pick % asked.length]!;
            if (type === 'done') {
              plan.done(piece);
              model.pieces.delete(piece);
            } else {
              const from = known.asked!;
              for (const other of PEERS) if (other !== from) expect(plan.failed(piece, other)).toBe(false);
              const lost = model.lose([piece], from).length > 0;
              expect(plan.failed(piece, from)).toBe(lost);
            }
          }
          expect(plan.pendingPieces).toBe(model.pieces.size);
        }
        // In the end every piece is served by somebody or given back, once.
        const served: Piece[] = [];
        for (let progress = true; progress;) {
          progress = false;
          for (const peer of model.connected) {
            for (const piece of [
              ...plan.take(peer),
              ...[...model.pieces].filter(([, { asked }]) => asked === peer).map(([piece]) => piece),
            ]) {
              if (!model.pieces.delete(piece)) throw new Error('served twice');
              plan.done(piece);
              served.push(piece);
              progress = true;
            }
          }
        }
        expect(model.pieces.size).toBe(0);
        expect(plan.pendingPieces).toBe(0);
      }),
      { numRuns: 400 },
    );
  });

  it('fills the window of a peer and goes on when bytes are written', () => {
    const plan = planWith('p');
    const pieces = Array.from({ length: 100 }, () => pieceOf(0.75 * MIB));
    for (const piece of pieces) plan.add(piece, ['p']);
    const under = takeAll(plan, 'p');
    const bytes = (some: readonly Piece[]): number => some.reduce((sum, piece) => sum + piece.bytes, 0);
    const full = FETCH_WINDOW_BYTES * 0.75;
    expect(bytes(under)).toBeGreaterThan(full);
    for (let requests = 0; requests < 10; requests++) {
      // Nothing for each piece that is written, but a quarter of the window when there is room for it.
      while (bytes(under) > full) {
        expect(plan.take('p')).toEqual([]);
        plan.done(under.shift()!);
      }
      under.push(...plan.take('p'));
      expect(bytes(under)).toBeGreaterThan(FETCH_WINDOW_BYTES - 0.75 * MIB);
      expect(bytes(under)).toBeLessThanOrEqual(FETCH_WINDOW_BYTES);
    }
  });

  it('asks for small pieces at once, however full the window is', () => {
    const plan = planWith('p');
    const large = Array.from({ length: 100 }, () => pieceOf(0.75 * MIB));
    for (const piece of large) plan.add(piece, ['p']);
    takeAll(plan, 'p');
    const small = pieceOf(4 * KIB);
    plan.add(small, ['p']);
    expect(plan.take('p')).toEqual([small]);
    expect(plan.take('p')).toEqual([]);
  });

  it('bounds a request by bytes and by pieces', () => {
    const plan = planWith('p');
    for (let at = 0; at < 5_000; at++) plan.add(pieceOf(10), ['p']);
    expect(plan.take('p').length).toBe(FETCH_ITEMS_MAX);
    expect(plan.take('p').length).toBe(5_000 - FETCH_ITEMS_MAX);
    for (let at = 0; at < 50; at++) plan.add(pieceOf(100 * KIB), ['p']);
    expect(plan.take('p').length).toBe(Math.ceil(FETCH_WINDOW_BYTES / 4 / (100 * KIB)));
  });

  it('takes small pieces before large ones', () => {
    const plan = planWith('p');
    const large = Array.from({ length: 3 }, () => pieceOf(700 * KIB));
    const small = Array.from({ length: 3 }, () => pieceOf(4 * KIB));
    for (const piece of [...large, ...small]) plan.add(piece, ['p']);
    expect(takeAll(plan, 'p')).toEqual([...small, ...large]);
  });

  it('lets several sources serve one content, the faster one more', () => {
    const plan = planWith('p', 'q');
    const pieces = Array.from({ length: 200 }, () => pieceOf(0.75 * MIB));
    for (const piece of pieces) plan.add(piece, ['p', 'q']);
    const served = { p: 0, q: 0 };
    for (let round = 0; plan.pendingPieces > 0; round++) {
      for (const peer of ['p', 'q'] as const) {
        // q writes a quarter of what p does.
        const done = peer === 'p' || round % 4 === 0 ? plan.take(peer) : [];
        for (const piece of done) plan.done(piece);
        served[peer] += done.length;
      }
    }
    expect(served.p + served.q).toBe(200);
    expect(served.q).toBeGreaterThan(20);
    expect(served.p).toBeGreaterThan(served.q * 2);
  });

  it('leaves to mates what they have, as long as one of them has room', () => {
    const plan = planWith('source', 'mate');
    plan.spread = true;
    const pieces = Array.from({ length: 12 }, () => pieceOf(MIB));
    const taken = (peer: string): number[] => takeAll(plan, peer).map((piece) => pieces.indexOf(piece));
    for (const piece of pieces) plan.add(piece, ['source']);
    plan.addMate(pieces.slice(0, 7), 'mate');
    for (let done = taken('source'); done.length > 0; done = taken('source')) {
      expect(Math.min(...done)).toBeGreaterThan(6);
      for (const index of done) plan.done(pieces[index]!);
    }
    // It has no room for all: what is beyond its window comes from the source.
    expect(SWARM_WINDOW_BYTES).toBe(4 * MIB);
    const asked = taken('mate');
    expect(asked.length).toBe(4);
    expect([...asked, ...taken('source')].sort()).toEqual([0, 1, 2, 3, 4, 5, 6]);
  });

  it('asks the source again for what a mate had and leaves with', () => {
    const plan = planWith('source', 'mate');
    const pieces = Array.from({ length: 3 }, () => pieceOf(MIB));
    const taken = (peer: string): number[] => takeAll(plan, peer).map((piece) => pieces.indexOf(piece));
    for (const piece of pieces) plan.add(piece, ['source'], ['mate']);
    expect(taken('source')).toEqual([]);
    expect(taken('mate')).toEqual([0, 1, 2]);
    expect(plan.removePeer('mate')).toEqual([]);
    expect(taken('source').sort()).toEqual([0, 1, 2]);
  });

  it('asks the source for what a mate left behind, whatever was left to others before it', () => {
    const plan = planWith('source', 'mate', 'other');
    const [first, second] = [pieceOf(MIB), pieceOf(MIB)];
    for (const piece of [first, second]) plan.add(piece, ['source'], ['mate']);
    expect(plan.take('source')).toEqual([]);
    // They come and go: nobody is asked twice for that.
    for (let times = 0; times < 2_000; times++) {
      plan.removePeer('mate');
      plan.addPeer('mate');
      plan.addMate([first, second], 'mate');
    }
    plan.removePeer('mate');
    plan.addMate([first], 'other');
    expect(plan.take('source')).toEqual([second]);
    expect([plan.take('source'), takeAll(plan, 'other')]).toEqual([[], [first]]);
    plan.done(first);
    plan.done(second);
    expect([plan.take('source'), plan.pendingPieces]).toEqual([[], 0]);
  });

  it('asks others for what was asked of a mate that is none any more, but for what only that one has', () => {
    const plan = planWith('source', 'mate');
    const pieces = Array.from({ length: 4 }, () => pieceOf(MIB));
    const taken = (peer: string): number[] => takeAll(plan, peer).map((piece) => pieces.indexOf(piece));
    plan.spread = true;
    for (const piece of pieces.slice(0, 3)) plan.add(piece, ['source'], ['mate']);
    plan.add(pieces[3]!, [], ['mate']);
    expect(plan.take('mate').length).toBe(1);
    plan.removeMate(pieces, 'mate');
    expect(taken('source').sort()).toEqual([0, 1, 2]);
    expect(taken('mate')).toEqual([3]);
  });

  it('takes pieces in no order while there are mates', () => {
    const plan = planWith('p');
    const pieces = Array.from({ length: 4 }, () => pieceOf(MIB));
    for (const piece of pieces) plan.add(piece, ['p']);
    plan.spread = true;
    const taken = takeAll(plan, 'p').map((piece) => pieces.indexOf(piece));
    expect(taken).not.toEqual([...pieces.keys()]);
    expect(taken.toSorted((one, other) => one - other)).toEqual([...pieces.keys()]);
  });

  it('gives back what would return to a peer that left while another served it', () => {
    const plan = planWith('p', 'q');
    const piece = pieceOf(MIB);
    plan.add(piece, ['p', 'q']);
    expect(plan.take('p')).toEqual([piece]);
    // q has nothing else to do and passes over it.
    expect(plan.take('q')).toEqual([]);
    expect(plan.removePeer('q')).toEqual([]);
    expect(plan.failed(piece, 'p')).toBe(true);
    expect(plan.pendingPieces).toBe(0);
  });

  it('does not ask a peer again that said it has not got it', () => {
    const plan = planWith('p', 'q', 'r');
    const piece = pieceOf(1);
    plan.add(piece, ['p', 'q', 'r']);
    expect(plan.take('p')).toEqual([piece]);
    expect(plan.failed(piece, 'p')).toBe(false);
    expect(plan.take('q')).toEqual([piece]);
    expect(plan.failed(piece, 'q')).toBe(false);
    expect([plan.take('p'), plan.take('q')]).toEqual([[], []]);
    expect(plan.take('r')).toEqual([piece]);
    expect(plan.failed(piece, 'r')).toBe(true);
  });

  it('forgets what nobody wants, and a finished piece for good', () => {
    const plan = planWith('p');
    const [one, other] = [pieceOf(1), pieceOf(1)];
    plan.add(one, ['p']);
    plan.add(other, ['p']);
    plan.forget(one);
    expect(plan.take('p')).toEqual([other]);
    plan.done(other);
    expect(plan.failed(other, 'p')).toBe(false);
    expect(plan.removePeer('p')).toEqual([]);
  });
});
