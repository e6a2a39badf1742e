import { describe, expect, it } from 'vitest';
import { PROBLEMS_MAX } from '../../src/base/limits.ts';
import { Problems } from '../../src/folder/problems.ts';

describe('Problems', () => {
  it('forgets what a check covered and did not find again', () => {
    let now = 10;
    const problems = new Problems(() => now);
    const add = (path: string): void => problems.add({ path, code: 'FILE_KIND', message: 'x' });
    problems.begin();
    for (const path of ['a', 'd/x', 'd/y', 'dd']) add(path);
    problems.end(undefined);
    now = 20;
    problems.begin();
    add('d/x');
    problems.end(['d']);
    expect([...problems.list.keys()]).toEqual(['a', 'd/x', 'dd']);
    expect(problems.list.get('d/x')!.sinceMs).toBe(10);
    problems.begin();
    problems.add({ path: 'a', code: 'FILE_CHANGING', message: 'x' });
    problems.end(undefined);
    expect([...problems.list]).toMatchObject([['a', { code: 'FILE_CHANGING', sinceMs: 20 }]]);
  });

  it('has a limit', () => {
    const problems = new Problems(() => 0);
    for (let i = 0; i < PROBLEMS_MAX + 5; i++) problems.add({ path: `${i}`, code: 'FILE_KIND', message: 'x' });
    expect(problems.list.size).toBe(PROBLEMS_MAX);
  });
});
