import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KEY_BYTES_MAX } from '../../src/base/limits.ts';
import { fileKey, OWN_FOLDER, pathOfKey, pathProblem } from '../../src/folder/paths.ts';

/** What a path must be, name by name. */
function problemByNames(path: string): string | undefined {
  const names = path.split('/');
  if (path.includes('\0') || names.some((name) => ['', '.', '..', OWN_FOLDER].includes(name))) return 'NAME_RESERVED';
  return Buffer.byteLength(path) > KEY_BYTES_MAX - 2 || names.some((name) => Buffer.byteLength(name) > 255) ? 'NAME_TOO_LONG' : undefined;
}

describe('a path', () => {
  const piece = fc.oneof(
    {
      weight: 3,
      arbitrary: fc.constantFrom('a', '.', '..', '...', '', OWN_FOLDER, `${OWN_FOLDER}x`, `x${OWN_FOLDER}`, '.a', 'a.', '\0', '\n', '\\'),
    },
    { weight: 2, arbitrary: fc.string({ unit: 'grapheme', maxLength: 6 }) },
    {
      weight: 1,
      arbitrary: fc
        .tuple(fc.constantFrom('n', 'ä', '☃', '😀'), fc.integer({ min: 60, max: 270 }))
        .map(([unit, times]) => unit.repeat(times)),
    },
  );

  it('is sound if each of its names is', () => {
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 6 }), (names) => {
        const path = names.join('/');
        expect(pathProblem(path)).toBe(problemByNames(path));
      }),
      { numRuns: 2000 },
    );
  });

  it('comes back from its key, if it is sound', () => {
    for (const path of ['a', 'ä/☃/😀', '.a/..b', 'a\nb']) expect(pathOfKey(fileKey(path))).toBe(path);
    for (const path of ['', '/', 'a/', '/a', 'a//b', '..', 'a/../b', OWN_FOLDER, `a/${OWN_FOLDER}`, 'a\0'])
      expect(pathOfKey(fileKey(path))).toBeUndefined();
  });
});
