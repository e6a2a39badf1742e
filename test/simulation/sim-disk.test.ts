/** What else a simulated disk does: events, time stamps, numbers, room, rot, backups, names and permissions. */
import { describe, expect, test } from 'vitest';
import { OPEN, type Disk } from '../../src/folder/disk.ts';
import { SeededRandom } from '../../src/simulation/random.ts';
import { contentOf, listing, makeWorld, outcome, put, type World } from './sim-disk-fixture.ts';

describe('a watch', () => {
  /** Told events, in order. */
  function watching(world: World, folder: string): { events: string[]; close: () => void } {
    const events: string[] = [];
    const watch = world.mount().watch(
      folder,
      (event, name) => events.push(`${event} ${name}`),
      () => events.push('error'),
    );
    return { events, close: () => watch.close() };
  }

  function furnished(): { world: World; disk: Disk } {
    const world = makeWorld();
    const { disk } = world.mount();
    for (const folder of ['/d', '/d/sub', '/e']) disk.mkdir(folder);
    put(disk, '/d/file', 'bytes');
    return { world, disk };
  }

  const STORIES: readonly (readonly [what: string, expected: readonly string[], run: (disk: Disk) => void])[] = [
    ['a new file', ['rename new', 'change new'], (disk) => put(disk, '/d/new', 'x')],
    ['a write', ['change file', 'change file'], (disk) => put(disk, '/d/file', 'other')],
    ['a new folder', ['rename new'], (disk) => disk.mkdir('/d/new')],
    ['a removal', ['rename file'], (disk) => disk.unlink('/d/file')],
    ['a rename in it', ['rename file', 'rename new'], (disk) => disk.rename('/d/file', '/d/new')],
    ['a rename out of it', ['rename file'], (disk) => disk.rename('/d/file', '/e/file')],
    ['a mode', ['change file'], (disk) => disk.chmod('/d/file', 0o600)],
    ['a time', ['change file'], (disk) => disk.utimes('/d/file', '1', '1')],
    ['a copy into it', ['rename new', 'change new'], (disk) => disk.copyFile('/d/file', '/d/new', { exclusive: true })],
    ['what happens elsewhere', [], (disk) => put(disk, '/d/sub/new', 'x')],
    ['a look', [], (disk) => disk.readdir('/d')],
  ];

  test.each(STORIES)('is told of %s, and not at once', (_what, expected, run) => {
    const { world, disk } = furnished();
    const { events } = watching(world, '/d');
    run(disk);
    expect(events).toEqual([]);
    world.run();
    expect(events).toEqual(expected);
  });

  test('follows its folder wherever it is moved', () => {
    const { world, disk } = furnished();
    const { events } = watching(world, '/d/sub');
    disk.rename('/d/sub', '/e/moved');
    put(disk, '/e/moved/new', '');
    world.run();
    expect(events).toEqual(['rename sub', 'rename new']);
  });

  test('is told of the end of its folder, sometimes as an error, and hears nothing of the next one there', () => {
    const told = new Set<string>();
    for (let seed = 0; seed < 20; seed++) {
      const world = makeWorld({ random: new SeededRandom(`disk ${seed}`) });
      const { disk } = world.mount();
      disk.mkdir('/d');
      const { events } = watching(world, '/d');
      disk.rmdir('/d');
      disk.mkdir('/d');
      put(disk, '/d/new', '');
      world.run();
      told.add(events.join());
    }
    expect([...told].sort()).toEqual(['rename d', 'rename d,error']);
  });

  test('hears nothing once it is closed, or its process is dead', () => {
    const { world, disk } = furnished();
    const { events, close } = watching(world, '/d');
    put(disk, '/d/new', '');
    close();
    world.run();
    const other = watching(world, '/d');
    put(disk, '/d/newer', '');
    world.fileSystem.kill();
    world.run();
    put(world.mount().disk, '/d/newest', '');
    world.run();
    expect([...events, ...other.events]).toEqual([]);
  });

  test('is refused where there is nothing to watch, or the kernel has none to give', () => {
    const world = makeWorld();
    const { disk } = world.mount();
    put(disk, '/file', '');
    const watch = (folder: string, code?: string): unknown =>
      outcome(() => world.mount({ fault: (operation) => (operation === 'watch' ? code : undefined) }).watch(folder, fail, fail));
    expect([watch('/none'), watch('/file'), watch('/', 'ENOSPC')]).toEqual(['ENOENT', 'ENOTDIR', 'ENOSPC']);
  });

  test('is told what `deliver` lets through', () => {
    const world = makeWorld();
    const { disk } = world.mount();
    const events: string[] = [];
    const twice: (() => void)[] = [];
    const tell = (event: string): unknown => events.push(event);
    world.mount({ deliver: () => {} }).watch('/', tell, fail);
    world.mount({ deliver: (callback) => twice.push(callback, callback) }).watch('/', tell, fail);
    disk.mkdir('/d');
    for (const callback of twice) callback();
    expect(events).toEqual(['rename', 'rename']);
  });
});

function fail(): never {
  throw new Error('nobody should be told');
}

describe('time stamps', () => {
  const stamps = (disk: Disk): number => disk.lstat('/file')!.ctimeMs;

  test('differ for each change where ticks are fine, and never go back unless the clock does', () => {
    const world = makeWorld();
    const { disk } = world.mount();
    put(disk, '/file', '');
    const seen = [stamps(disk)];
    for (let step = 0; step < 3000; step++) {
      if (step % 10 === 0) world.clock.nowMs += 0.0005;
      disk.chmod('/file', 0o600 + (step % 8));
      seen.push(stamps(disk));
    }
    expect(seen.every((stamp, index) => index === 0 || stamp > seen[index - 1]!)).toBe(true);
    world.clock.nowMs -= 60_000;
    disk.chmod('/file', 0o600);
    expect(stamps(disk)).toBeLessThan(seen[0]!);
  });

  test('are equal within a coarse tick, unless it was waited for the next', () => {
    const world = makeWorld({ tickMs: 10 });
    const { disk } = world.mount();
    put(disk, '/file', '');
    const first = stamps(disk);
    world.clock.nowMs += 9;
    disk.chmod('/file', 0o600);
    expect(stamps(disk)).toBe(first);
    for (let step = 0; step < 3; step++) {
      const before = stamps(disk);
      disk.nextTick();
      disk.chmod('/file', 0o600);
      expect(stamps(disk)).toBeGreaterThan(before);
    }
    world.clock.nowMs += 1;
    const before = stamps(disk);
    disk.chmod('/file', 0o600);
    expect(stamps(disk)).toBeGreaterThan(before);
  });

  test('say what was changed: bytes, attributes, names', () => {
    const world = makeWorld();
    const { disk } = world.mount();
    disk.mkdir('/d');
    put(disk, '/d/file', '');
    const times = (path: string): number[] => {
      const { birthtimeMs, mtimeMs, ctimeMs } = disk.lstat(path)!;
      return [birthtimeMs, mtimeMs, ctimeMs].map((ms) => Math.floor(ms - 1_700_000_000_000));
    };
    world.clock.nowMs += 1000;
    disk.chmod('/d/file', 0o600);
    expect([times('/d/file'), times('/d')]).toEqual([
      [0, 0, 1000],
      [0, 0, 0],
    ]);
    world.clock.nowMs += 1000;
    put(disk, '/d/file', 'x');
    world.clock.nowMs += 1000;
    disk.rename('/d/file', '/d/other');
    expect([times('/d/other'), times('/d')]).toEqual([
      [0, 2000, 3000],
      [0, 3000, 3000],
    ]);
  });
});

test('numbers of inodes that are gone come back as often as they are to', () => {
  const again = (reuseChance: number): number => {
    const { disk } = makeWorld({ reuseChance }).mount();
    let count = 0;
    for (let step = 0; step < 100; step++) {
      put(disk, '/file', '');
      const before = disk.lstat('/file')!.ino;
      disk.unlink('/file');
      put(disk, '/file', '');
      if (disk.lstat('/file')!.ino === before) count++;
      disk.unlink('/file');
    }
    return count;
  };
  expect([again(0), again(1)]).toEqual([0, 100]);
  expect(again(0.5)).toBeGreaterThan(20);
  expect(again(0.5)).toBeLessThan(80);
});

describe('room', () => {
  const PAGE = 4096;

  test('a full disk takes what it has room for, then says so; what is freed can be used', () => {
    // One page is the top folder's.
    const { disk } = makeWorld({ capacityBytes: 5 * PAGE }).mount();
    expect(disk.space('/')).toEqual({ totalBytes: 5 * PAGE, freeBytes: 4 * PAGE });
    const handle = disk.open('/file', OPEN.writeOnly | OPEN.create);
    disk.truncate(handle, 100 * PAGE);
    expect(disk.space('/').freeBytes).toBe(4 * PAGE);
    const bytes = Buffer.alloc(10 * PAGE, 1);
    expect(disk.write(handle, bytes, 0, bytes.length, 50 * PAGE + 100)).toBe(4 * PAGE - 100);
    expect(outcome(() => disk.write(handle, bytes, 0, 10, 60 * PAGE))).toBe('ENOSPC');
    expect(disk.write(handle, bytes, 0, 10, 50 * PAGE)).toBe(10);
    expect(outcome(() => disk.mkdir('/d'))).toBe('ENOSPC');
    expect(outcome(() => disk.copyFile('/file', '/copy', { exclusive: true }))).toBe('ENOSPC');
    expect(disk.readdir('/')).toEqual(['file']);
    disk.truncate(handle, 52 * PAGE);
    expect(disk.space('/').freeBytes).toBe(2 * PAGE);
    expect(disk.fstat(handle).blocks).toBe(16);
    disk.copyFile('/file', '/copy', { exclusive: true });
    expect(disk.space('/').freeBytes).toBe(0);
  });

  test('writes are cut short as often as they are to', () => {
    const { disk } = makeWorld({ shortWriteChance: 1 }).mount();
    const handle = disk.open('/file', OPEN.writeOnly | OPEN.create);
    for (let step = 0; step < 50; step++) {
      const written = disk.write(handle, Buffer.alloc(100), 0, 100, 0);
      expect(written).toBeGreaterThan(0);
      expect(written).toBeLessThan(100);
    }
    expect(disk.write(handle, Buffer.alloc(1), 0, 1, 0)).toBe(1);
  });
});

test('a flipped bit is one bit, tells nobody and lasts', () => {
  const world = makeWorld();
  const { disk } = world.mount();
  put(disk, '/file', Buffer.alloc(5000), true);
  disk.copyFile('/file', '/copy', { exclusive: true });
  const before = disk.lstat('/file');
  const turnBack = world.fileSystem.flipBit('/file', new SeededRandom('flip'))!;
  expect({ ...disk.lstat('/file') }).toEqual({ ...before });
  const bits = (bytes: Buffer): number => bytes.reduce((sum, byte) => sum + byte.toString(2).replaceAll('0', '').length, 0);
  expect([bits(contentOf(disk, '/file')), bits(contentOf(disk, '/copy'))]).toEqual([1, 0]);
  world.fileSystem.powerLoss(new SeededRandom('loss'));
  expect(bits(contentOf(world.mount().disk, '/file'))).toBe(1);
  turnBack();
  expect({ ...world.mount().disk.lstat('/file') }).toEqual({ ...before });
  expect(bits(contentOf(world.mount().disk, '/file'))).toBe(0);
  put(world.mount().disk, '/empty', '');
  expect(world.fileSystem.flipBit('/empty', new SeededRandom('flip'))).toBeUndefined();
  expect(world.fileSystem.flipBit('/none', new SeededRandom('flip'))).toBeUndefined();
});

test('a backup comes back as it was, in new inodes, and is durable', () => {
  const world = makeWorld({ reuseChance: 1 });
  const { disk } = world.mount();
  disk.mkdir('/d');
  put(disk, '/d/file', 'bytes');
  disk.link('/d/file', '/twin');
  disk.symlink(Buffer.from('d/file'), '/link');
  disk.chmod('/d/file', 0o640);
  disk.utimes('/d/file', '1', '1');
  const before = listing(disk, '');
  const numbers = (from: Disk): number[] => ['/d', '/d/file', '/link'].map((path) => from.lstat(path)!.ino);
  const old = numbers(disk);
  const snapshot = world.fileSystem.snapshot();
  put(disk, '/d/file', 'other bytes');
  put(disk, '/d/more', '');
  disk.unlink('/link');
  expect(() => world.fileSystem.restore(snapshot)).toThrow(/no host runs/);
  world.fileSystem.kill();
  world.clock.nowMs += 1000;
  for (let round = 0; round < 2; round++) {
    world.fileSystem.restore(snapshot);
    world.fileSystem.powerLoss(new SeededRandom('loss'));
    const restored = world.mount().disk;
    expect(listing(restored, '')).toEqual(before);
    const { mtimeMs, birthtimeMs, ctimeMs, ino } = restored.lstat('/d/file')!;
    expect(ino).toBe(restored.lstat('/twin')!.ino);
    expect(numbers(restored).filter((number) => old.includes(number))).toEqual([]);
    expect([mtimeMs, birthtimeMs >= world.clock.nowMs, ctimeMs >= world.clock.nowMs]).toEqual([1000, true, true]);
    put(restored, '/d/file', 'other bytes');
    world.fileSystem.kill();
  }
});

test('names that are not UTF-8 are there, but no program of a host can spell them', () => {
  const world = makeWorld();
  const user = world.fileSystem.mountForUser().disk;
  const name = 'a\udcff\udce4';
  user.mkdir(`/${name}`);
  put(user, `/${name}/ä`, 'bytes');
  expect(user.readdir('/')).toEqual([name]);
  const { disk } = world.mount();
  expect(disk.readdir('/')).toEqual(['a\ufffd\ufffd']);
  expect(disk.subfolders('/')).toEqual(['a\ufffd\ufffd']);
  expect(disk.readdirBytes('/').map((bytes) => [...bytes])).toEqual([[97, 0xff, 0xe4]]);
  expect([disk.lstat(`/${name}`), disk.lstat('/a\ufffd\ufffd')]).toEqual([undefined, undefined]);
});

test('permissions hold for a host that is not root, and never for the user of the simulation', () => {
  const world = makeWorld({ permissions: true });
  const { disk } = world.mount();
  const user = world.fileSystem.mountForUser().disk;
  user.mkdir('/d');
  put(user, '/d/file', 'bytes');
  const calls: readonly (readonly [mode: number, expected: unknown, call: () => unknown])[] = [
    [0o555, 'EACCES', () => put(disk, '/d/new', '')],
    [0o555, 'EACCES', () => disk.unlink('/d/file')],
    [0o555, 'EACCES', () => disk.rename('/d/file', '/file')],
    [0o555, 'EACCES', () => disk.mkdir('/d/new')],
    [0o555, ['file'], () => disk.readdir('/d')],
    [0o333, 'EACCES', () => disk.readdir('/d')],
    [0o333, 5, () => disk.lstat('/d/file')?.size],
    [0o666, 'EACCES', () => disk.lstat('/d/file')],
    [0o755, 'bytes', () => contentOf(disk, '/d/file').toString()],
  ];
  for (const [mode, expected, call] of calls) {
    user.chmod('/d', mode);
    expect(outcome(call), mode.toString(8)).toEqual(expected);
  }
  user.chmod('/d/file', 0o200);
  expect([outcome(() => contentOf(disk, '/d/file')), contentOf(user, '/d/file').toString()]).toEqual(['EACCES', 'bytes']);
  user.chmod('/d/file', 0o400);
  expect(outcome(() => put(disk, '/d/file', 'x'))).toBe('EACCES');
  put(disk, '/made', 'by us');
  expect(outcome(() => disk.open('/read-only', OPEN.writeOnly | OPEN.create, 0o400))).toBeTypeOf('number');
});

test('the same seed tells the same story', () => {
  const story = (): string => {
    const world = makeWorld({ reuseChance: 0.5, shortWriteChance: 0.5, random: new SeededRandom('story') });
    const lines: string[] = [];
    for (let round = 0; round < 5; round++) {
      const { disk } = world.mount({ fault: (operation) => (operation === 'flush' && round === 3 ? 'EIO' : undefined) });
      for (let index = 0; index < 10; index++)
        outcome(() => put(disk, `/file${index}`, Buffer.alloc(1000 * index, round + 1), index % 3 === 0));
      lines.push(...disk.readdir('/').map((name) => JSON.stringify(disk.lstat(`/${name}`))), ...listing(disk, ''));
      world.fileSystem.powerLoss(new SeededRandom(`loss ${round}`));
    }
    return lines.join('\n');
  };
  expect(story()).toBe(story());
});
