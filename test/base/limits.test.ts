import { expect, test } from 'vitest';
import { ByteWriter } from '../../src/base/bytes.ts';
import * as limits from '../../src/base/limits.ts';

test('every limit is a whole number above nothing', () => {
  for (const [name, limit] of Object.entries(limits)) expect(Number.isSafeInteger(limit) && limit > 0, name).toBe(true);
});

test('what is written in a field of fixed width fits into it at its limit', () => {
  expect(() => new ByteWriter().u48(limits.CONTENT_BYTES_MAX).u32(limits.CONTENT_CHUNKS_MAX).u32(limits.CHUNK_BYTES_MAX)).not.toThrow();
  expect(() => new ByteWriter().varint(2 * limits.MTIME_MS_MAX)).not.toThrow();
  expect(Number.isSafeInteger(2 * limits.MTIME_MS_MAX + 1)).toBe(true);
});

test('the keys of records and the largest entries have room where they are put', () => {
  expect('r/'.length + limits.RECORD_KEY_BYTES_MAX).toBeLessThanOrEqual(limits.KEY_BYTES_MAX);
  expect(limits.NAME_BYTES_MAX).toBeLessThan(limits.KEY_BYTES_MAX);
  const versionBytes = limits.KIB + limits.RECORD_INLINE_BYTES_MAX;
  const contextBytes = limits.CONTEXT_REPLICAS_MAX * (limits.REPLICA_ID_BYTES + 8);
  expect(limits.VERSIONS_MAX * versionBytes + contextBytes).toBeLessThanOrEqual(limits.ENTRY_BYTES_MAX);
  expect(limits.ENTRY_BYTES_MAX + limits.KEY_BYTES_MAX).toBeLessThan(limits.PAGE_BYTES_MAX);
});
