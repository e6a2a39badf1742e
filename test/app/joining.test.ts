import { describe, expect, it } from 'vitest';
import { throwIfHopeless, untilShareKnown } from '../../src/app/joining.ts';
import type { ProblemStatus } from '../../src/node/node-api.ts';
import { FakeNode, STATUS } from './fake-node.ts';

const UNKNOWN = { ...STATUS, shareId: '', root: '', peers: [] };
const { signal } = new AbortController();

function problem(code: ProblemStatus['code']): ProblemStatus {
  return { code, path: '10.0.0.7:7440', message: `it is ${code}`, since: '2026-01-01T00:00:00Z', nextRetry: undefined };
}

function unjoined(...errors: ProblemStatus[]): FakeNode {
  const node = new FakeNode();
  node.current = { ...UNKNOWN, errors };
  return node;
}

describe('a node that joins', () => {
  it('is waited for while its peers are only unreachable', async () => {
    const node = unjoined(problem('PEER_UNREACHABLE'));
    let known = false;
    const waiting = untilShareKnown(node, { signal, unreachableMsMax: undefined }).then(() => (known = true));
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(known).toBe(false);
    node.current = STATUS;
    await waiting;
  });

  it('is given up when it was not invited, or after the time that was set', async () => {
    for (const code of ['NOT_INVITED', 'TOKEN_EXPIRED', 'SHARE_MISMATCH', 'WRONG_PEER'] as const) {
      await expect(untilShareKnown(unjoined(problem(code)), { signal, unreachableMsMax: undefined })).rejects.toMatchObject({ code });
    }
    const limits = { signal, unreachableMsMax: 30 };
    await expect(untilShareKnown(unjoined(problem('PEER_TIMEOUT')), limits)).rejects.toMatchObject({
      code: 'PEER_UNREACHABLE',
      message: 'it is PEER_TIMEOUT',
    });
  });

  it('is not waited for after a signal', async () => {
    await untilShareKnown(unjoined(), { signal: AbortSignal.abort(), unreachableMsMax: undefined });
  });
});

describe('trouble that time does not heal', () => {
  it('of a peer counts only while it is not connected', () => {
    const refused = { ...STATUS.peers[0]!, error: { code: 'VERSION_MISMATCH', message: 'older' } as const };
    expect(() => throwIfHopeless({ ...STATUS, peers: [refused] })).not.toThrow();
    expect(() => throwIfHopeless({ ...STATUS, peers: [{ ...refused, connected: false }] })).toThrow('older');
  });
});
