import { expect, test } from 'vitest';
import { utf8 } from '../../src/base/bytes.ts';
import { EMPTY_CONTEXT } from '../../src/entry/entry.ts';
import { IntakeProblems, type Incoming } from '../../src/node/problems.ts';

const incoming = (key: string): Incoming => ({ key: utf8(key), entry: { versions: [], context: EMPTY_CONTEXT } });

function problems(): { list: IntakeProblems; paths: () => (string | undefined)[]; at: (wallMs: number) => void } {
  let nowMs = 0;
  const list = new IntakeProblems({ wallMs: () => nowMs, monotonicMs: () => 0 });
  return { list, paths: () => list.list.map(({ path }) => path), at: (wallMs) => (nowMs = wallMs) };
}

test('a problem is listed until a commit brings what was refused, whatever else its key gets', () => {
  const { list, paths } = problems();
  const [a, b] = [incoming('f/a'), incoming('f/b')];
  list.add('DISK_FULL', a, 'no room');
  list.add('CLOCK_AHEAD', b, 'too far ahead');
  list.committed([b, incoming('f/c')], () => true);
  expect(paths()).toEqual(['f/a']);
  list.committed([a], (refused) => refused !== a);
  expect(paths()).toEqual(['f/a']);
  list.committed([a], (refused) => refused === a);
  expect(paths()).toEqual([]);
});

test('a problem that comes again is as old as it was, and says what is wrong now', () => {
  const { list, at } = problems();
  list.add('DISK_FULL', incoming('f/a'), 'no room');
  at(5_000);
  list.add('CONTENT_MISSING', incoming('f/a'), 'nobody has it');
  expect(list.list).toEqual([
    { code: 'CONTENT_MISSING', path: 'f/a', message: 'nobody has it', since: '1970-01-01T00:00:00.000Z', nextRetry: undefined },
  ]);
});

test('of a flood of problems the first ones stay, and can still change', () => {
  const { list, paths } = problems();
  for (let at = 0; at < 1_001; at++) list.add('CLOCK_AHEAD', incoming(`f/${at}`), 'too far ahead');
  expect([paths().length, paths().includes('f/1000')]).toEqual([1_000, false]);
  list.add('DISK_FULL', incoming('f/0'), 'no room');
  expect(list.list.find(({ path }) => path === 'f/0')?.code).toBe('DISK_FULL');
});
