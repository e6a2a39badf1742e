import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { array, assert, constantFrom, integer, property, string, tuple } from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { realDisk } from '../../src/folder/real-disk.ts';
import { compareText, FolderWalk, WALK_KINDS } from '../../src/folder/folder-walk.ts';
import { IgnoreRules, NO_RULES } from '../../src/folder/ignore.ts';
import { comparePaths } from '../../src/folder/paths.ts';
import { disjointPaths } from '../../src/folder/scan.ts';
import { pathsOnDisk } from './ingest-world.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'sameroot-walk-'));
});
afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

function walkAll(walk: FolderWalk, max: number): { paths: string[]; problems: Record<string, string> } {
  const paths: string[] = [];
  const problems: Record<string, string> = {};
  for (;;) {
    const slice = walk.slice(max);
    paths.push(...slice.paths);
    for (const { path, code } of slice.problems) problems[path] = code;
    if (slice.done) return { paths, problems };
    expect(slice.paths.length).toBeLessThanOrEqual(max);
  }
}

// Names around the slash (0x2f), and on both sides of the surrogates, where UTF-16 order is not UTF-8 order.
const name = array(constantFrom('a', 'b', '-', '.', '0', '~', 'é', '\uffee', '😀'), { minLength: 1, maxLength: 3 })
  .map((letters) => letters.join(''))
  .filter((text) => text !== '.' && text !== '..');
const trees = array(array(name, { minLength: 1, maxLength: 4 }), { maxLength: 25 });

function fill(files: readonly string[][]): void {
  for (const names of files) {
    try {
      mkdirSync(dirname(join(root, ...names)), { recursive: true });
      writeFileSync(join(root, ...names), 'x');
    } catch {
      // A file where a folder should be, or the reverse.
    }
  }
}

describe('compareText', () => {
  it('orders as the UTF-8 bytes do', () => {
    assert(
      property(string({ unit: 'binary' }), string({ unit: 'binary' }), (a, b) => {
        expect(Math.sign(compareText(a, b))).toBe(Math.sign(comparePaths(a, b)));
      }),
      { numRuns: 2000 },
    );
  });
});

describe('FolderWalk', () => {
  it('finds every path once, in bytewise order, whatever the slices', () => {
    assert(
      property(trees, integer({ min: 1, max: 7 }), (files, max) => {
        rmSync(root, { recursive: true, force: true });
        mkdirSync(root);
        fill(files);
        expect(walkAll(new FolderWalk(realDisk, root, NO_RULES), max).paths).toEqual(pathsOnDisk(root));
      }),
      { numRuns: 60 },
    );
  });

  it('finds of some starts just what is at and below them', () => {
    assert(
      property(tuple(trees, array(array(name, { minLength: 1, maxLength: 2 }), { maxLength: 5 })), ([files, starts]) => {
        rmSync(root, { recursive: true, force: true });
        mkdirSync(root);
        fill(files);
        const scopes = disjointPaths(starts.map((names) => names.join('/')));
        const wanted = pathsOnDisk(root).filter((path) => scopes.some((scope) => path === scope || path.startsWith(`${scope}/`)));
        expect(walkAll(new FolderWalk(realDisk, root, NO_RULES, scopes), 3).paths).toEqual(wanted);
      }),
      { numRuns: 60 },
    );
  });

  it('leaves out our own folder, and what is ignored; that of a share inside is reported', () => {
    fill([['.sameroot', 'db'], ['x', '.sameroot', 'y'], ['skip', 'in'], ['a.o']]);
    const { paths, problems } = walkAll(new FolderWalk(realDisk, root, new IgnoreRules('skip/\n*.o')), 10);
    expect(paths).toEqual(['x']);
    expect(problems).toEqual({ 'x/.sameroot': 'FOLDER_NESTED' });
  });

  it('does not follow links, not even on the way to a start', () => {
    fill([['real', 'in']]);
    symlinkSync('real', join(root, 'link'));
    expect(walkAll(new FolderWalk(realDisk, root, NO_RULES), 10).paths).toEqual(['link', 'real', 'real/in']);
    expect(walkAll(new FolderWalk(realDisk, root, NO_RULES, ['link/in']), 10).paths).toEqual([]);
    const slice = new FolderWalk(realDisk, root, NO_RULES, ['link']).slice(10);
    expect(WALK_KINDS[slice.kinds[0]!]).toBe('symlink');
  });

  it('reports what can not be replicated, and goes on', () => {
    execFileSync('mkfifo', [join(root, 'pipe')]);
    writeFileSync(Buffer.concat([Buffer.from(`${root}/n`), Buffer.from([0xc3, 0x28])]), 'x');
    writeFileSync(join(root, 'really\ufffdso'), 'x');
    const before = process.cwd();
    process.chdir(root);
    for (let depth = 0; depth < 17; depth++) {
      mkdirSync('d'.repeat(240));
      process.chdir('d'.repeat(240));
    }
    process.chdir(before);
    const { paths, problems } = walkAll(new FolderWalk(realDisk, root, NO_RULES), 100);
    expect(paths).toContain('really\ufffdso');
    expect(problems['pipe']).toBe('FILE_KIND');
    expect(Object.values(problems)).toContain('NAME_NOT_UTF8');
    expect(Object.values(problems)).toContain('NAME_TOO_LONG');
    expect(paths.filter((path) => path.startsWith('ddd')).length).toBeGreaterThan(10);
    execFileSync('rm', ['-rf', root]);
  });

  it.skipIf(process.getuid?.() === 0)('reports a folder that can not be read', () => {
    fill([['closed', 'in'], ['open']]);
    chmodSync(join(root, 'closed'), 0);
    const { paths, problems } = walkAll(new FolderWalk(realDisk, root, NO_RULES), 10);
    chmodSync(join(root, 'closed'), 0o700);
    expect(paths).toEqual(['closed', 'open']);
    expect(problems).toEqual({ closed: 'FILE_UNREADABLE' });
  });

  it('does not take a missing top for an empty one', () => {
    expect(() => new FolderWalk(realDisk, join(root, 'nowhere'), NO_RULES)).toThrow(expect.objectContaining({ code: 'FOLDER_MISSING' }));
  });
});
