/**
 * Mutants that are stale prove nothing: each must fit the sources as they are, and be described. What catches them is for
 * `mutants.mjs` to find out, which takes hours.
 */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { MUTANTS } from './mutant-list.mjs';

const TOP = new URL('../../', import.meta.url);

/** Cells of the rows of the table, without the head. */
function documented(): string[][] {
  const lines = readFileSync(new URL('mutants.md', import.meta.url), 'utf8').split('\n');
  return lines
    .filter((line) => line.startsWith('| `'))
    .map((line) =>
      line
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim()),
    );
}

describe('mutants', () => {
  it.each(MUTANTS)('$name changes what is in $file exactly once', ({ file, edits }) => {
    let text = readFileSync(new URL(file, TOP), 'utf8');
    for (const { find, put } of edits) {
      expect(text.split(find).length - 1, find).toBe(1);
      text = text.replace(find, () => put);
    }
    expect(text).not.toBe(readFileSync(new URL(file, TOP), 'utf8'));
  });

  it('name laws that are there', () => {
    for (const { laws } of MUTANTS) {
      expect(laws.length).toBeGreaterThan(0);
      for (const law of laws) expect(existsSync(new URL(law, TOP)), law).toBe(true);
    }
  });

  it('have names of their own, and are described in mutants.md', () => {
    expect(new Set(MUTANTS.map(({ name }) => name)).size).toBe(MUTANTS.length);
    expect(documented().map(([name, file, breaks]) => [name, file, breaks])).toEqual(
      MUTANTS.map(({ name, file, breaks }) => [`\`${name}\``, `\`${file}\``, breaks]),
    );
  });
});
