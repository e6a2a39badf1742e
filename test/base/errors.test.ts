import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { assert, AssertionError } from '../../src/base/assert.ts';
import { ERROR_ADVICE, messageOf, SamerootError, systemCode } from '../../src/base/errors.ts';

describe('an error of the world', () => {
  test('says what happened and what to do, on one line', () => {
    const error = new SamerootError('DISK_FULL', 'no space for a.bin', { path: 'a.bin' });
    expect(String(error)).toBe('DISK_FULL: no space for a.bin; free some space; it goes on by itself');
    expect(error).toMatchObject({ name: 'SamerootError', code: 'DISK_FULL', path: 'a.bin', advice: ERROR_ADVICE.DISK_FULL });
    expect(error).toBeInstanceOf(Error);
    expect(error.stack).toContain('errors.test.ts');
  });

  test('has a cause and a path only if it was given them', () => {
    const cause = new Error('ENOSPC');
    expect(new SamerootError('DISK_FULL', 'x', { cause }).cause).toBe(cause);
    const bare = new SamerootError('DISK_FULL', 'x');
    expect('cause' in bare).toBe(false);
    expect(bare.path).toBeUndefined();
  });

  test.each(Object.entries(ERROR_ADVICE))('%s has advice that fits behind a message', (code, advice) => {
    expect(code).toMatch(/^[A-Z0-9]+(_[A-Z0-9]+)*$/);
    expect(advice).toMatch(/^\S.*[^\s.;]$/);
  });
});

test('a system code is that of a system error only', () => {
  expect(systemCode(Object.assign(new Error('x'), { code: 'ENOSPC' }))).toBe('ENOSPC');
  expect(systemCode({ code: 'EIO' })).toBe('EIO');
  for (const other of [undefined, null, 'ENOSPC', 5, new Error('ENOSPC'), { code: 5 }]) expect(systemCode(other)).toBeUndefined();
});

test('anything thrown has a message', () => {
  expect(messageOf(new SamerootError('CLOSED', 'closing'))).toBe('closing');
  expect(messageOf('text')).toBe('text');
  expect(messageOf(undefined)).toBe('undefined');
});

test('an assertion is our bug, no error of the world', () => {
  expect(() => assert(1, 'never')).not.toThrow();
  expect(() => assert(0, 'one and one is two')).toThrow(AssertionError);
  expect(() => assert(undefined, 'one and one is two')).toThrow('one and one is two');
  expect(new AssertionError('x')).not.toBeInstanceOf(SamerootError);
});

test('docs/ERRORS.md lists every code with its advice, and no other', () => {
  const text = readFileSync(new URL('../../docs/ERRORS.md', import.meta.url), 'utf8');
  const rows = [...text.matchAll(/^\| `([A-Z0-9_]+)`\s*\|\s*(.+?)\s*\|\s*(.+?)\s*\|$/gm)];
  expect(Object.fromEntries(rows.map(([, code, , advice]) => [code, advice]))).toEqual(ERROR_ADVICE);
  expect(rows.every(([, , when]) => when !== '')).toBe(true);
});
