import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  linkSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { describe, expect, it } from 'vitest';
import { realTimers } from '../../src/app/real-world.ts';
import { toHex, utf8 } from '../../src/base/bytes.ts';
import { SamerootError } from '../../src/base/errors.ts';
import type { Timers } from '../../src/base/world.ts';
import { contentLevel, EMPTY_CONTENT, listLeaves, singleChunk } from '../../src/content/content-list.ts';
import { hash } from '../../src/content/hash.ts';
import { compareStamps } from '../../src/entry/clock.ts';
import { merge, write, type Entry, type Value } from '../../src/entry/entry.ts';
import { fileKey } from '../../src/folder/paths.ts';
import { placeRows, type Placed } from '../../src/folder/placed.ts';
import * as keyspace from '../../src/store/keyspace.ts';
import { bytesOf, pathsOnDisk, until, World } from './ingest-world.ts';

function only(entry: Entry | undefined): Value {
  expect(entry?.versions.length).toBe(1);
  return entry!.versions[0]!.value;
}

describe('what is found becomes entries', () => {
  it('takes in files, folders and links, with mode and whole milliseconds', async () => {
    await using world = await World.make();
    world.write('a/hello.txt', 'hello');
    world.write('empty', '');
    mkdirSync(world.path('a/nothing'));
    chmodSync(world.path('a/hello.txt'), 0o640);
    utimesSync(world.path('a/hello.txt'), 1_700_000_000, 1_700_000_000.123_7);
    symlinkSync('hello.txt', world.path('a/link'));
    await world.ingest.scanNow();
    expect(world.live).toEqual(['a', 'a/hello.txt', 'a/link', 'a/nothing', 'empty']);
    expect(only(world.entry('a/hello.txt'))).toMatchObject({ kind: 'file', bytes: 5, mode: 0o640, mtimeMs: 1_700_000_000_123 });
    expect(only(world.entry('a/link'))).toMatchObject({ kind: 'symlink' });
    expect(only(world.entry('a/nothing')).kind).toBe('directory');
    const empty = only(world.entry('empty'));
    expect(empty.kind === 'file' && toHex(empty.content)).toBe(toHex(EMPTY_CONTENT));
    expect(world.placed('a/hello.txt')).toMatchObject({ owner: 'a/hello.txt', dots: [world.entry('a/hello.txt')!.versions[0]!.dot] });
    expect(world.ingest.problems.size).toBe(0);
  });

  it('waits with one timer for many paths to settle', async () => {
    let count = 0;
    const after: Timers['after'] = (...wanted) => {
      count++;
      return realTimers.after(...wanted);
    };
    await using world = await World.make(1, { settleMs: 500, timers: { ...realTimers, after } });
    const paths = Array.from({ length: 1000 }, (_, index) => `file ${index}`);
    for (const path of paths) world.write(path, path);
    world.ingest.checkSoon(paths);
    expect(count).toBe(1);
    await until(() => world.live.length === paths.length);
    expect(count).toBeLessThan(100);
  });

  it('writes a file whose time lies in the future like any other, so that an edit is newer', async () => {
    await using world = await World.make();
    world.write('tomorrow', 'first');
    utimesSync(world.path('tomorrow'), 4_102_444_800, 4_102_444_800);
    await world.ingest.scanNow();
    const [found] = world.entry('tomorrow')!.versions;
    expect(found).toMatchObject({ dot: { replica: world.replica.id }, value: { mtimeMs: 4_102_444_800_000 } });
    world.write('tomorrow', 'second');
    await world.ingest.scanNow();
    const [edited] = world.entry('tomorrow')!.versions;
    expect(compareStamps(edited!.stamp, found!.stamp)).toBeGreaterThan(0);
  });

  it('gives hosts that were filled alike the same root', async () => {
    await using a = await World.make(1);
    await using b = await World.make(2);
    for (const world of [a, b]) {
      world.write('data/x.bin', bytesOf(300_000));
      world.write('data/y.txt', 'y');
      symlinkSync('y.txt', world.path('data/z'));
      for (const name of ['data', 'data/x.bin', 'data/y.txt']) chmodSync(world.path(name), 0o755);
      await world.ingest.scanNow();
    }
    expect(toHex(a.replica.head.root)).toBe(toHex(b.replica.head.root));
  });

  it('gives no birth dot once something may have been purged: the key may have had that very one', async () => {
    await using world = await World.make();
    world.write('before', 'same');
    await world.ingest.start();
    const { id } = world.replica;
    await world.replica.adopt({ sequences: new Map([[id, 1]]), replicas: new Set([id]) });
    world.write('after', 'same');
    await world.ingest.scanNow();
    const authors = ['before', 'after'].map((path) => world.entry(path)!.versions.map(({ dot }) => dot.replica === id));
    expect(authors).toEqual([[false], [true]]);
  });

  it('keeps the list and the chunk index of a large file, in slices or whole', async () => {
    await using world = await World.make();
    const bytes = bytesOf(9_000_000);
    world.write('large', bytes);
    world.write('medium', bytes.subarray(0, 2_000_000));
    await world.ingest.scanNow();
    for (const [path, length] of [
      ['large', 9_000_000],
      ['medium', 2_000_000],
    ] as const) {
      const value = only(world.entry(path));
      if (value.kind !== 'file') throw new Error('a file');
      expect(contentLevel(value.content)).toBeGreaterThan(0);
      let offset = 0;
      for (const leaf of listLeaves((page) => world.replica.store.get(keyspace.listPageKey(page)), value.content)) {
        for (const ref of leaf.refs) {
          expect(toHex(hash('chunk', bytes.subarray(offset, offset + ref.bytes)))).toBe(toHex(ref.hash));
          expect(world.replica.store.get(keyspace.chunkPlaceKey(ref.hash))).toBeDefined();
          offset += ref.bytes;
        }
      }
      expect(offset).toBe(length);
    }
  });

  it('does nothing where nothing has changed', async () => {
    await using world = await World.make();
    world.write('a', 'a');
    mkdirSync(world.path('d'));
    await world.ingest.scanNow();
    const { commit } = world.replica.head;
    const hashed = world.thread.jobs.filter((job) => job === 'examineAll').length;
    await world.ingest.scanNow();
    expect(world.replica.head.commit).toBe(commit);
    expect(world.thread.jobs.filter((job) => job === 'examineAll').length).toBe(hashed);
  });
});

describe('local edits', () => {
  it('replaces the version that was shown', async () => {
    await using world = await World.make();
    world.write('a', 'one');
    await world.ingest.scanNow();
    const before = world.entry('a')!.versions[0]!.dot;
    world.write('a', 'two!', 1_700_000_001);
    await world.ingest.scanNow();
    const after = world.entry('a')!;
    expect(after.versions.length).toBe(1);
    expect(after.versions[0]!.dot.replica).toBe(world.replica.id);
    expect(after.context.get(before.replica)).toBe(before.sequence);
    expect(world.placed('a')!.dots).toEqual([after.versions[0]!.dot]);
  });

  it('counts a new time or mode as an edit, and a rewrite of the same as none', async () => {
    await using world = await World.make();
    world.write('a', 'same');
    await world.ingest.scanNow();
    const { root } = world.replica.head;
    rmSync(world.path('a'));
    world.write('a', 'same');
    await world.ingest.scanNow();
    expect(toHex(world.replica.head.root)).toBe(toHex(root));
    utimesSync(world.path('a'), 1, 1_700_000_005);
    await world.ingest.scanNow();
    expect(only(world.entry('a'))).toMatchObject({ mtimeMs: 1_700_000_005_000 });
    chmodSync(world.path('a'), 0o600);
    await world.ingest.scanNow();
    expect(only(world.entry('a'))).toMatchObject({ mode: 0o600 });
  });

  it('writes a tombstone for what is gone, and lets a new file replace it', async () => {
    await using world = await World.make();
    world.write('d/a', 'a');
    await world.ingest.scanNow();
    rmSync(world.path('d'), { recursive: true });
    await world.ingest.scanNow();
    expect(world.live).toEqual([]);
    expect(only(world.entry('d/a')).kind).toBe('deleted');
    expect(world.placed('d/a')).toBeUndefined();
    world.write('d/a', 'again');
    await world.ingest.scanNow();
    expect(only(world.entry('d/a'))).toMatchObject({ kind: 'file', bytes: 5 });
    expect(world.entry('d/a')!.versions[0]!.dot.replica).toBe(world.replica.id);
  });

  it('follows a change of kind', async () => {
    await using world = await World.make();
    world.write('x', 'file');
    world.write('y/in', 'file');
    await world.ingest.scanNow();
    unlinkSync(world.path('x'));
    world.write('x/in', 'file');
    rmSync(world.path('y'), { recursive: true });
    writeFileSync(world.path('y'), 'file');
    await world.ingest.scanNow();
    expect(world.live).toEqual(['x', 'x/in', 'y']);
    expect(only(world.entry('y/in')).kind).toBe('deleted');
  });

  it('leaves a version alone that this disk has not shown yet', async () => {
    await using world = await World.make();
    world.write('a', 'one');
    await world.ingest.scanNow();
    const first = world.entry('a')!.versions[0]!;
    const remote = write(
      world.entry('a'),
      [first.dot],
      { replica: 'aa'.repeat(8), sequence: 1 },
      { wallMs: 5, counter: 0 },
      { kind: 'symlink', target: utf8('t') },
    );
    await world.replica.commit([{ key: fileKey('a'), origin: 'peer', next: (current) => merge(current, remote) }]);
    world.write('a', 'local', 1_700_000_009);
    await world.ingest.scanNow();
    expect(
      world
        .entry('a')!
        .versions.map(({ value }) => value.kind)
        .sort(),
    ).toEqual(['file', 'symlink']);
  });
});

describe('renames', () => {
  it('moves a folder without reading a byte, in one commit', async () => {
    await using world = await World.make();
    for (let i = 0; i < 60; i++) world.write(`old/deep/${i}`, bytesOf(1000, i + 1));
    await world.ingest.scanNow();
    const before = only(world.entry('old/deep/7'));
    const { commit } = world.replica.head;
    renameSync(world.path('old'), world.path('new'));
    const jobs = world.thread.jobs.length;
    await world.ingest.scanNow();
    expect(world.thread.jobs.slice(jobs)).not.toContain('examineAll');
    expect(world.ingest.held).toBeUndefined();
    expect(world.replica.head.commit).toBe(commit + 1);
    expect(world.live).toEqual(pathsOnDisk(world.root));
    const after = only(world.entry('new/deep/7'));
    expect(after).toEqual(before);
  });

  it('sees through a swap and an overwrite', async () => {
    await using world = await World.make();
    world.write('a', 'aaa');
    world.write('b', 'bbbb');
    world.write('c', 'cc');
    await world.ingest.scanNow();
    const content = (path: string): string => {
      const value = only(world.entry(path));
      return value.kind === 'file' ? toHex(value.content) : '';
    };
    const [a, b, c] = [content('a'), content('b'), content('c')];
    renameSync(world.path('a'), world.path('t'));
    renameSync(world.path('b'), world.path('a'));
    renameSync(world.path('t'), world.path('b'));
    await world.ingest.scanNow();
    expect([content('a'), content('b')]).toEqual([b, a]);
    renameSync(world.path('c'), world.path('a'));
    await world.ingest.scanNow();
    expect(content('a')).toBe(c);
    expect(world.live).toEqual(['a', 'b']);
  });

  it('reads a file that was renamed and then written to', async () => {
    await using world = await World.make();
    world.write('a', 'one');
    world.write('b', 'two');
    await world.ingest.scanNow();
    const contentOf = (text: string): string => toHex(singleChunk(hash('chunk', utf8(text))));
    renameSync(world.path('a'), world.path('longer'));
    appendFileSync(world.path('longer'), ' and more');
    // As long as it was: only its time tells.
    const { mtimeMs } = world.placed('b')!.stat;
    renameSync(world.path('b'), world.path('as long'));
    writeFileSync(world.path('as long'), 'TWO');
    utimesSync(world.path('as long'), mtimeMs / 1000, mtimeMs / 1000 + 1);
    await world.ingest.scanNow();
    expect(world.live).toEqual(['as long', 'longer']);
    expect(world.live.map((path) => only(world.entry(path))).map((value) => value.kind === 'file' && toHex(value.content))).toEqual([
      contentOf('TWO'),
      contentOf('one and more'),
    ]);
  });

  // ext4 gives 38 of these 40 files an inode of one that was deleted.
  it('reads a file that got the inode, size and time of one that was deleted', async () => {
    await using world = await World.make();
    for (let i = 0; i < 40; i++) world.write(`old${i}`, bytesOf(100, i + 1));
    await world.ingest.scanNow();
    for (let i = 0; i < 40; i++) rmSync(world.path(`old${i}`));
    for (let i = 0; i < 40; i++) world.write(`new${i}`, bytesOf(100, i + 1001));
    await world.ingest.scanNow();
    for (let i = 0; i < 40; i++) {
      expect(toHex(world.placed(`new${i}`)!.content!)).toBe(toHex(singleChunk(hash('chunk', bytesOf(100, i + 1001)))));
    }
  });

  it('does not take a hard link for a rename', async () => {
    await using world = await World.make();
    world.write('a', 'aaa');
    await world.ingest.scanNow();
    linkSync(world.path('a'), world.path('b'));
    await world.ingest.scanNow();
    expect(world.live).toEqual(['a', 'b']);
    expect(only(world.entry('b'))).toEqual(only(world.entry('a')));
  });
});

describe('conflict copies', () => {
  const copy = 'a.conflict-x.txt';

  async function withCopy(): Promise<{ world: World; shown: Placed }> {
    const world = await World.make();
    world.write('a', 'winner');
    await world.ingest.scanNow();
    world.write(copy, 'loser');
    const stat = (
      await world.thread.call('examineAll', {
        root: world.root,
        paths: [copy],
        chunking: { gear: new Int32Array(256), parameters: { minBytes: 4096, maskBits: 8, maxBytes: 8192 } },
      })
    )[0]!;
    if (stat.state !== 'file') throw new Error('a file');
    const value: Value = { kind: 'file', content: stat.content, bytes: 5, mode: stat.stat.mode, mtimeMs: 1_700_000_000_000 };
    const dot = { replica: 'bb'.repeat(8), sequence: 3 };
    const shown: Placed = {
      kind: 'file',
      stat: stat.stat,
      content: stat.content,
      target: undefined,
      owner: 'a',
      dots: [dot],
      copies: false,
    };
    await world.replica.commit([
      {
        key: fileKey('a'),
        origin: 'peer',
        next: (current) => write(current, [], dot, { wallMs: 1, counter: 0 }, value),
        rows: () => placeRows(copy, shown, undefined),
      },
    ]);
    expect(world.entry('a')!.versions.length).toBe(2);
    return { world, shown };
  }

  it('are no files of their own as long as nobody touches them', async () => {
    const { world } = await withCopy();
    await using _ = world;
    await world.ingest.scanNow();
    expect(world.entry('a')!.versions.length).toBe(2);
    expect(world.entry(copy)).toBeUndefined();
  });

  it('become files when they are edited, and leave the entry', async () => {
    const { world } = await withCopy();
    await using _ = world;
    const { commit } = world.replica.head;
    world.write(copy, 'edited', 1_700_000_001);
    await world.ingest.scanNow();
    expect(world.replica.head.commit).toBe(commit + 1);
    expect(only(world.entry('a'))).toMatchObject({ bytes: 6 });
    expect(only(world.entry(copy))).toMatchObject({ bytes: 6 });
    expect(world.placed(copy)!.owner).toBe(copy);
  });

  it('leave the entry when they are deleted', async () => {
    const { world } = await withCopy();
    await using _ = world;
    rmSync(world.path(copy));
    await world.ingest.scanNow();
    expect(only(world.entry('a'))).toMatchObject({ bytes: 6 });
    expect(world.entry(copy)).toBeUndefined();
    expect(world.placed(copy)).toBeUndefined();
  });

  it('settle the conflict when one is moved over the winner', async () => {
    const { world } = await withCopy();
    await using _ = world;
    renameSync(world.path(copy), world.path('a'));
    await world.ingest.scanNow();
    expect(only(world.entry('a'))).toMatchObject({ bytes: 5 });
    expect(world.live).toEqual(['a']);
  });
});

describe('guards', () => {
  it('deletes nothing while the folder has lost its marker, and goes on when it is back', async () => {
    await using world = await World.make();
    world.write('a', 'a');
    await world.ingest.scanNow();
    renameSync(world.path('.sameroot'), world.path('../.sameroot-aside-' + world.replica.id));
    rmSync(world.path('a'));
    await expect(world.ingest.scanNow()).rejects.toMatchObject({ code: 'FOLDER_MISSING' });
    expect(world.ingest.failure?.code).toBe('FOLDER_MISSING');
    expect(world.live).toEqual(['a']);
    renameSync(world.path('../.sameroot-aside-' + world.replica.id), world.path('.sameroot'));
    await world.ingest.scanNow();
    expect(world.ingest.failure).toBeUndefined();
    expect(world.live).toEqual([]);
  });

  async function gutted(): Promise<World> {
    const world = await World.make();
    for (let i = 0; i < 70; i++) world.write(`many/${i}`, `${i}`);
    await world.ingest.scanNow();
    for (let i = 0; i < 60; i++) rmSync(world.path(`many/${i}`));
    world.write('fresh', 'new');
    await world.ingest.scanNow();
    expect(world.ingest.held).toEqual({ count: 60 });
    expect(world.live.length).toBe(72);
    return world;
  }

  it('holds many deletes, lets the rest go on, and commits them when they are accepted', async () => {
    await using world = await gutted();
    world.write('later', 'x');
    rmSync(world.path('many/65'));
    await world.ingest.scanNow();
    expect(world.ingest.held).toEqual({ count: 61 });
    await world.ingest.acceptDeletes();
    expect(world.ingest.held).toBeUndefined();
    expect(world.live).toEqual(pathsOnDisk(world.root));
  });

  it('brings held deletes back on request', async () => {
    await using world = await gutted();
    await world.ingest.restoreDeletes();
    expect(world.ingest.held).toBeUndefined();
    expect(world.live.length).toBe(72);
    expect(world.materialised.length).toBe(60);
    expect(world.placed('many/3')).toBeUndefined();
  });

  it('does not accept what vanished after the question', async () => {
    await using world = await World.make();
    for (let i = 0; i < 400; i++) world.write(`many/${i}`, `${i}`);
    await world.ingest.scanNow();
    for (let i = 0; i < 120; i++) rmSync(world.path(`many/${i}`));
    await world.ingest.scanNow();
    expect(world.ingest.held).toEqual({ count: 120 });
    rmSync(world.path('many'), { recursive: true });
    await world.ingest.acceptDeletes();
    expect(world.ingest.held).toEqual({ count: 401 });
    expect(world.live.length).toBe(401);
  });
});

describe('ignore rules', () => {
  it('keep paths out, and delete nothing elsewhere when a rule is added', async () => {
    await using world = await World.make();
    world.write('keep', 'k');
    world.write('build/x.o', 'x');
    world.write('y.tmp', 'y');
    world.write('.samerootignore', '*.tmp\n');
    await world.ingest.scanNow();
    expect(world.live).toEqual(['.samerootignore', 'build', 'build/x.o', 'keep']);
    world.write('.samerootignore', '*.tmp\nbuild/\n', 1_700_000_002);
    world.write('build/new.o', 'n');
    rmSync(world.path('build/x.o'));
    await world.ingest.scanNow();
    expect(world.live).toEqual(['.samerootignore', 'build', 'build/x.o', 'keep']);
    world.write('.samerootignore', '', 1_700_000_003);
    await world.ingest.scanNow();
    expect(world.live).toEqual(pathsOnDisk(world.root));
  });
});

describe('problems', () => {
  it('are listed path by path, hide nothing else, and disappear', async () => {
    await using world = await World.make();
    execFileSync('mkfifo', [world.path('pipe')]);
    symlinkSync('/etc/passwd', world.path('absolute'));
    mkdirSync(world.path('d'));
    symlinkSync('../../out', world.path('d/up'));
    symlinkSync('../fine', world.path('d/ok'));
    writeFileSync(Buffer.concat([Buffer.from(world.path('bad')), Buffer.from([0xff])]), 'x');
    world.write('fine', 'f');
    await world.ingest.scanNow();
    const codes = Object.fromEntries([...world.ingest.problems].map(([path, { code }]) => [path, code]));
    expect(codes).toEqual({ pipe: 'FILE_KIND', absolute: 'LINK_OUTSIDE', 'd/up': 'LINK_OUTSIDE', 'bad\ufffd': 'NAME_NOT_UTF8' });
    expect(world.live).toEqual(['d', 'd/ok', 'fine']);
    rmSync(world.path('pipe'));
    rmSync(world.path('absolute'));
    await world.ingest.scanNow();
    expect([...world.ingest.problems.keys()].sort()).toEqual(['bad\ufffd', 'd/up']);
  });

  it('do not turn into deletes', async () => {
    await using world = await World.make();
    world.write('x', 'x');
    await world.ingest.scanNow();
    rmSync(world.path('x'));
    execFileSync('mkfifo', [world.path('x')]);
    await world.ingest.scanNow();
    expect(world.live).toEqual(['x']);
    expect(world.ingest.problems.get('x')?.code).toBe('FILE_KIND');
  });

  it('say that a file does not come to rest, and take it in when it does', async () => {
    await using world = await World.make();
    world.write('log', bytesOf(6_000_000));
    const call = world.thread.call;
    let appended = 0;
    // The file meets a writer before each of its runs.
    world.thread.call = async (name, input) => {
      const output = await call(name, input);
      if (name === 'largeStat' && appended < 3) appendFileSync(world.path('log'), `line ${appended++}\n`);
      return output;
    };
    await world.ingest.scanNow();
    expect(appended).toBe(3);
    expect(only(world.entry('log'))).toMatchObject({ bytes: 6_000_000 + 21 });
    expect(world.ingest.problems.size).toBe(0);
  });
});

describe('between examination and commit', () => {
  it('notices that the file was changed', async () => {
    await using world = await World.make();
    world.write('a', 'one');
    const call = world.thread.call;
    let changed = false;
    world.thread.call = async (name, input) => {
      const output = await call(name, input);
      if (name === 'examineAll' && !changed) {
        changed = true;
        world.write('a', 'three', 1_700_000_004);
      }
      return output;
    };
    await world.ingest.scanNow();
    expect(only(world.entry('a'))).toMatchObject({ bytes: 5 });
    expect(world.placed('a')!.stat.bytes).toBe(5);
  });

  it('notices that the placed row was changed', async () => {
    await using world = await World.make();
    world.write('a', 'one');
    await world.ingest.scanNow();
    const row = world.placed('a')!;
    world.write('a', 'two', 1_700_000_004);
    // While the edit is examined, a version of a peer takes the place of the first one, on the disk too.
    const dot = { replica: 'cc'.repeat(8), sequence: 9 };
    const remote = write(world.entry('a'), row.dots, dot, { wallMs: 5, counter: 0 }, { kind: 'symlink', target: utf8('t') });
    const call = world.thread.call;
    let replaced = false;
    world.thread.call = async (name, input) => {
      const output = await call(name, input);
      if (name === 'examineAll' && !replaced) {
        replaced = true;
        const rows = () => placeRows('a', { ...row, dots: [dot] }, row);
        await world.replica.commit([{ key: fileKey('a'), origin: 'peer', next: (current) => merge(current, remote), rows }]);
      }
      return output;
    };
    await world.ingest.scanNow();
    expect(only(world.entry('a'))).toMatchObject({ kind: 'file', bytes: 3 });
  });

  it('adopts a file that is just what the entry wants there', async () => {
    await using world = await World.make();
    world.write('a', 'one');
    await world.ingest.scanNow();
    const { root } = world.replica.head;
    const dots = world.placed('a')!.dots;
    await world.replica.store.write([{ type: 'del', key: keyspace.placedKey(utf8('a')) }], { durable: true });
    await world.ingest.scanNow();
    expect(toHex(world.replica.head.root)).toBe(toHex(root));
    expect(world.placed('a')!.dots).toEqual(dots);
  });

  it('fails as a whole when the store fails, and goes on when it works again', async () => {
    await using world = await World.make();
    world.write('a', 'one');
    const { store } = world.replica;
    const original = store.write;
    store.write = async () => {
      throw new SamerootError('DISK_FULL', 'no room');
    };
    await expect(world.ingest.scanNow()).rejects.toMatchObject({ code: 'DISK_FULL' });
    expect(world.live).toEqual([]);
    store.write = original;
    await world.ingest.scanNow();
    expect(world.live).toEqual(['a']);
    expect(world.ingest.failure).toBeUndefined();
  });
});

describe('events', () => {
  it('take in what is created, edited, renamed and deleted while it runs', async () => {
    await using world = await World.make();
    world.write('before', 'x');
    await world.ingest.start();
    await until(() => world.live.length === 1);
    world.write('n/e/s/t/file', 'deep');
    world.write('before', 'changed', 1_700_000_001);
    await until(() => world.live.includes('n/e/s/t/file') && world.placed('before')!.stat.bytes === 7);
    renameSync(world.path('n/e'), world.path('moved'));
    await until(() => world.live.includes('moved/s/t/file') && !world.live.includes('n/e/s/t/file'));
    world.write('moved/s/t/second', 'in a folder that was moved');
    await until(() => world.live.includes('moved/s/t/second'));
    rmSync(world.path('moved'), { recursive: true });
    await until(() => world.live.join() === 'before,n');
  });

  it('do not ship a file that is still being written to', async () => {
    await using world = await World.make(1, { settleMs: 150 });
    await world.ingest.start();
    await world.ingest.scanNow();
    for (let i = 0; i < 10; i++) {
      appendFileSync(world.path('growing'), 'part');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await until(() => world.live.includes('growing'));
    // One version by one birth: the parts before were never taken in.
    expect(only(world.entry('growing'))).toMatchObject({ bytes: 40 });
    expect(world.entry('growing')!.versions[0]!.dot.sequence).toBe(1);
    expect(world.entry('growing')!.context.size).toBe(1);
  });
});
