import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { array, assert, asyncProperty, constantFrom, option, tuple } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EMPTY_CONTENT } from '../../src/content/content-list.ts';
import { NO_RULES } from '../../src/folder/ignore.ts';
import { placeRows, type DiskStat, type Placed } from '../../src/folder/placed.ts';
import type { ReadThread } from '../../src/folder/disk-jobs.ts';
import { disjointPaths, isWithin, Scanner, type ScanBatch } from '../../src/folder/scan.ts';
import { MemoryStore } from '../../src/store/memory-store.ts';
import * as keyspace from '../../src/store/keyspace.ts';
import { inlineThread, pathsOnDisk } from './ingest-world.ts';

const name = constantFrom('a', 'a-', 'a0', 'b', '😀', '\uffee');
const paths = array(
  array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join('/')),
  { maxLength: 20 },
);

const stat: DiskStat = { inode: 1, bytes: 0, mtimeMs: 0, ctimeMs: 0, mode: 0 };
const row: Placed = { kind: 'file', stat, content: EMPTY_CONTENT, target: undefined, owner: 'x', dots: [], copies: false };

async function collect(batches: AsyncIterable<ScanBatch>): Promise<Record<string, 'new' | 'gone' | 'changed'>> {
  const all: Record<string, 'new' | 'gone' | 'changed'> = {};
  for await (const { findings } of batches) {
    for (const { path, found, placed } of findings) {
      expect(all[path]).toBeUndefined();
      all[path] = found === undefined ? 'gone' : placed === undefined ? 'new' : 'changed';
    }
  }
  return all;
}

describe('disjointPaths', () => {
  it('keeps the outermost of nested paths', async () => {
    expect(disjointPaths(['b/c', 'a', 'a/x', 'a-b', 'b', 'a'])).toEqual(['a', 'a-b', 'b']);
    expect(isWithin(new Set(['a']), 'a/b/c')).toBe(true);
    expect(isWithin(new Set(['a']), 'ab')).toBe(false);
  });
});

describe('Scanner', () => {
  it('finds exactly the differences between disk and table, of everything and of any paths', async () => {
    await assert(
      asyncProperty(tuple(paths, paths, option(paths, { nil: undefined })), async ([onDisk, known, asked]) => {
        const root = mkdtempSync(join(tmpdir(), 'sameroot-scan-'));
        try {
          for (const path of onDisk) {
            try {
              mkdirSync(dirname(join(root, path)), { recursive: true });
              writeFileSync(join(root, path), 'x');
            } catch {
              // A file where a folder should be, or the reverse.
            }
          }
          const disk = pathsOnDisk(root);
          const store = new MemoryStore();
          const thread = inlineThread();
          // A row has rows for the folders above it.
          const table = [...new Set(known.flatMap((path) => path.split('/').map((_, at, names) => names.slice(0, at + 1).join('/'))))];
          for (const path of table) {
            const isFolder = table.some((other) => other.startsWith(`${path}/`));
            await store.write(placeRows(path, isFolder ? { ...row, kind: 'directory', content: undefined } : row, undefined), {
              durable: false,
            });
          }
          const scopes = asked === undefined ? undefined : disjointPaths(asked);
          const scope = (path: string): boolean => scopes === undefined || isWithin(new Set(scopes), path);
          const wanted: Record<string, string> = {};
          for (const path of table) if (scope(path)) wanted[path] = disk.includes(path) ? 'changed' : 'gone';
          for (const path of disk) if (scope(path) && !table.includes(path)) wanted[path] = 'new';
          expect(await collect(new Scanner({ root, store, table: keyspace.PREFIX.placed, thread }).scan(scopes, NO_RULES))).toEqual(wanted);
        } finally {
          rmSync(root, { recursive: true });
        }
      }),
      { numRuns: 150 },
    );
  });

  it('says nothing of what lies below a path that could not be read', async () => {
    const store = new MemoryStore();
    for (const path of ['shut/in', 'shut', 'away']) await store.write(placeRows(path, row, undefined), { durable: false });
    const problem = { path: 'shut', code: 'FILE_UNREADABLE', message: 'no' };
    const slice = {
      paths: [],
      kinds: new Uint8Array(0),
      stats: new Float64Array(0),
      births: new Float64Array(0),
      problems: [problem],
      done: true,
    };
    const thread = { call: async (job: string) => (job === 'openWalk' ? 1 : slice) } as unknown as ReadThread;
    expect(await collect(new Scanner({ root: '/', store, table: keyspace.PREFIX.placed, thread }).scan(undefined, NO_RULES))).toEqual({
      away: 'gone',
    });
  });
});
