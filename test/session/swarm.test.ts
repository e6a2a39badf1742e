import { describe, expect, it } from 'vitest';
import { CONTENT_ID_BYTES, GIB, HAVE_RUNS_MAX, KIB } from '../../src/base/limits.ts';
import type { Piece } from '../../src/session/fetch-plan.ts';
import { Swarm } from '../../src/session/swarm.ts';

const CONTENT = new Uint8Array(CONTENT_ID_BYTES).fill(1);

function pieceOf(firstChunk: number, count: number): Piece {
  const chunks = Array.from({ length: count }, (_, index) => ({ hash: new Uint8Array(32), bytes: 1, offset: firstChunk + index }));
  return { content: CONTENT, contentBytes: 1_000, firstChunk, chunks, bytes: count };
}

function have(...runs: readonly (readonly [first: number, count: number])[]): object {
  return { type: 'have', content: CONTENT, runs: runs.map(([first, count]) => ({ first, count })) };
}

describe('a swarm', () => {
  it('tells a new mate everything, and its mates each piece once', () => {
    const swarm = new Swarm(CONTENT, GIB);
    swarm.written({ first: 0, count: 4 });
    expect(swarm.news()).toBeUndefined();
    expect(swarm.heard('p', [])).toBe(true);
    expect(swarm.everything()).toEqual(have([0, 4]));
    expect(swarm.heard('p', [{ first: 9, count: 1 }])).toBe(false);
    swarm.written({ first: 8, count: 2 });
    swarm.written({ first: 10, count: 2 });
    expect(swarm.news()).toEqual(have([8, 4]));
    expect(swarm.news()).toBeUndefined();
    expect(swarm.everything()).toEqual(have([0, 4], [8, 4]));
    expect(swarm.holds({ first: 9, count: 3 })).toBe(true);
    expect(swarm.holds({ first: 3, count: 2 })).toBe(false);
  });

  it('tells everything again to a mate that begins anew, as long as there is anything to tell', () => {
    const swarm = new Swarm(CONTENT, GIB);
    expect(swarm.heard('p', [])).toBe(true);
    expect(swarm.heard('p', [])).toBe(false);
    swarm.written({ first: 0, count: 1 });
    expect(swarm.heard('p', [])).toBe(true);
    expect(swarm.heard('p', [{ first: 1, count: 1 }])).toBe(false);
  });

  it('knows who has all of a piece', () => {
    const swarm = new Swarm(CONTENT, GIB);
    swarm.heard('p', [{ first: 0, count: 5 }]);
    swarm.heard('q', [{ first: 0, count: 3 }]);
    swarm.heard('q', [{ first: 3, count: 9 }]);
    expect(swarm.matesWith(pieceOf(0, 5))).toEqual(['p', 'q']);
    expect(swarm.matesWith(pieceOf(4, 4))).toEqual(['q']);
    swarm.leave('q');
    expect(swarm.matesWith(pieceOf(4, 4))).toEqual([]);
    expect(swarm.heard('q', [])).toBe(true);
  });

  it('hears nothing more of one that sent wrong bytes', () => {
    const swarm = new Swarm(CONTENT, GIB);
    swarm.heard('p', [{ first: 0, count: 5 }]);
    swarm.bar('p');
    expect(swarm.heard('p', [{ first: 0, count: 5 }])).toBe(false);
    expect(swarm.mates).toEqual([]);
    expect(swarm.matesWith(pieceOf(0, 5))).toEqual([]);
  });

  it('remembers no more runs of a mate than it may, and tells no more at once', () => {
    const swarm = new Swarm(CONTENT, GIB);
    for (let run = 0; run < HAVE_RUNS_MAX + 10; run++) swarm.heard('p', [{ first: run * 2, count: 1 }]);
    expect(swarm.matesWith(pieceOf((HAVE_RUNS_MAX - 1) * 2, 1))).toEqual(['p']);
    expect(swarm.matesWith(pieceOf((HAVE_RUNS_MAX + 1) * 2, 1))).toEqual([]);
    const small = new Swarm(CONTENT, 100 * KIB);
    for (let run = 0; run < 10; run++) small.heard('p', [{ first: run * 2, count: 1 }]);
    expect([0, 2, 4, 6, 8].map((first) => small.matesWith(pieceOf(first, 1)).length)).toEqual([1, 1, 1, 1, 0]);
    for (let run = 0; run < HAVE_RUNS_MAX + 10; run++) swarm.written({ first: run * 2, count: 1 });
    expect(swarm.everything().runs.length).toBe(HAVE_RUNS_MAX);
  });
});
