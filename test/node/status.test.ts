import { expect, test } from 'vitest';
import { utf8 } from '../../src/base/bytes.ts';
import { SamerootError } from '../../src/base/errors.ts';
import { IntakeProblems } from '../../src/node/problems.ts';
import { isInSync, nodeState, type StatusParts } from '../../src/node/status.ts';

interface Situation {
  readonly unshown?: boolean;
  readonly showing?: SamerootError;
  readonly sessions?: readonly boolean[];
}

/** What the two functions look at, and nothing else. */
function partsIn({ unshown = false, showing, sessions = [true] }: Situation): StatusParts {
  const body = {
    folder: { held: undefined, problem: undefined, scanning: false },
    replica: { failure: undefined },
    intake: { pending: 0 },
    landing: { unshown, problem: showing },
  };
  const links = new Map(sessions.map((inSync, index) => [String(index), { session: { inSync, busy: false } }]));
  const problems = new IntakeProblems({ wallMs: () => 0, monotonicMs: () => 0 });
  return { body, peers: { links }, problems, returning: undefined, stopped: undefined } as unknown as StatusParts;
}

test('a host that was in trouble and is in sync by now is told apart: what went wrong is over', () => {
  const parts = partsIn({});
  parts.problems.add('DISK_FULL', { key: utf8('f/a'), entry: { versions: [], context: new Map() } }, 'no room');
  expect([nodeState(parts), isInSync(parts)]).toEqual(['degraded', true]);
  parts.problems.clear();
  expect(nodeState(parts)).toBe('in-sync');
});

test('nobody is in sync alone, with a peer that has something else, or before it is on the disk', () => {
  for (const situation of [{ sessions: [] }, { sessions: [true, false] }, { unshown: true }])
    expect(isInSync(partsIn(situation))).toBe(false);
  expect(nodeState(partsIn({ sessions: [] }))).toBe('alone');
});

test('a disk on which nothing can be shown is trouble, whatever the peers say', () => {
  const parts = partsIn({ showing: new SamerootError('DISK_FULL', 'no room') });
  expect([nodeState(parts), isInSync(parts)]).toEqual(['degraded', true]);
});
