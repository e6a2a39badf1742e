/**
 * Golden vectors: what the formats were when they were released, for us and for other implementations to agree with.
 * `SAMEROOT_WRITE_VECTORS=1 npx vitest run` writes them anew; a difference in git is then a change of format.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { expect } from 'vitest';

/** Compares what was computed with test/vectors/NAME.json. */
export function expectVectors(name: string, computed: unknown): void {
  const path = new URL(`${name}.json`, import.meta.url);
  const text = `${JSON.stringify(computed, undefined, 2)}\n`;
  if (process.env['SAMEROOT_WRITE_VECTORS'] === '1') writeFileSync(path, text);
  expect(JSON.parse(text)).toEqual(JSON.parse(readFileSync(path, 'utf8')));
}
