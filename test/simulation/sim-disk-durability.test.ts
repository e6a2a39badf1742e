/** What a simulated disk remembers: after a process died, after the power went, after a flush failed, after a crash in the middle. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { OPEN, type Disk } from '../../src/folder/disk.ts';
import { SeededRandom } from '../../src/simulation/random.ts';
import { contentOf, flush, listing, makeWorld, outcome, put, type World } from './sim-disk-fixture.ts';

const PAGE = 4096;

/** What is there, as a new incarnation finds it. */
function found(world: World): string[] {
  return listing(world.mount().disk, '');
}

function lose(world: World, seed: number | string): void {
  world.fileSystem.powerLoss(new SeededRandom(`loss ${seed}`));
}

describe('when the process dies', () => {
  test('everything stays, and its handles and calls are gone', () => {
    const world = makeWorld();
    const { disk } = world.mount();
    disk.mkdir('/a');
    put(disk, '/a/file', 'bytes');
    const handle = disk.open('/a/file', OPEN.readWrite);
    disk.unlink('/a/file');
    put(disk, '/a/other', 'more');
    const before = listing(disk, '');
    world.fileSystem.kill();
    expect(found(world)).toEqual(before);
    expect(() => disk.fstat(handle)).toThrow(/dead/);
    expect(() => disk.lstat('/a')).toThrow(/dead/);
    expect(() => put(disk, '/a/late', 'x')).toThrow(/dead/);
    expect(found(world)).toEqual(before);
  });

  test('a removed file that was open gives its room back', () => {
    const world = makeWorld();
    const { disk } = world.mount();
    const { freeBytes } = disk.space('/');
    put(disk, '/file', new Uint8Array(3 * PAGE));
    disk.open('/file', OPEN.readOnly);
    disk.unlink('/file');
    expect(disk.space('/').freeBytes).toBe(freeBytes - 3 * PAGE);
    world.fileSystem.kill();
    expect(world.mount().disk.space('/').freeBytes).toBe(freeBytes);
  });
});

// --- names at a power loss ------------------------------------------------------------------------------------------

const NAMES = ['a', 'b', 'c', 'd/a', 'd/b', 'e/a'].map((name) => `/${name}`);
const FOLDERS = ['/', '/d', '/e'];

function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/';
}

interface NameChange {
  readonly what: 'make' | 'remove' | 'rename' | 'chmod' | 'flush';
  readonly path: string;
  readonly target: string;
  readonly folder: string;
}

const nameChange: fc.Arbitrary<NameChange> = fc.record({
  what: fc.constantFrom('make', 'make', 'remove', 'rename', 'rename', 'chmod', 'flush'),
  path: fc.constantFrom(...NAMES),
  target: fc.constantFrom(...NAMES),
  folder: fc.constantFrom(...FOLDERS),
});

/** Does it, if it can be done; returns the folders whose names it changes. */
function change(disk: Disk, { what, path, target, folder }: NameChange): string[] {
  const there = disk.lstat(path) !== undefined;
  if (what === 'flush') flush(disk, folder);
  else if (what === 'make' && !there) disk.close(disk.open(path, OPEN.writeOnly | OPEN.create));
  else if (what === 'chmod' && there) disk.chmod(path, (disk.lstat(path)!.mode + 1) % 0o1000);
  else if (what === 'remove' && there) disk.unlink(path);
  else if (what === 'rename' && there && path !== target) disk.rename(path, target);
  else return [];
  if (what === 'flush' || what === 'chmod') return [];
  return what === 'rename' ? [folderOf(path), folderOf(target)] : [folderOf(path)];
}

/** Names, and all that `stat` says. */
function stateOf(disk: Disk): string {
  const stats = [...FOLDERS, ...NAMES].map((path) => JSON.stringify(disk.lstat(path)));
  return [...listing(disk, ''), ...stats].join('\n');
}

test('after a power loss the names and attributes are those of one moment, no earlier than the last flush of a folder covers', () => {
  const survived = { first: 0, between: 0, last: 0 };
  fc.assert(
    fc.property(fc.array(nameChange, { maxLength: 30 }), fc.integer(), (changes, seed) => {
      const world = makeWorld({ reuseChance: 0.5 });
      const { disk } = world.mount();
      for (const folder of ['/d', '/e']) disk.mkdir(folder);
      flush(disk, '/');
      const states = [stateOf(disk)];
      const lastChange = new Map<string, number>();
      let durable = 0;
      for (const one of changes) {
        for (const folder of change(disk, one)) lastChange.set(folder, states.length);
        if (one.what === 'flush') durable = Math.max(durable, lastChange.get(one.folder) ?? 0);
        states.push(stateOf(disk));
      }
      lose(world, seed);
      const state = stateOf(world.mount().disk);
      expect(states.slice(durable)).toContain(state);
      if (state === states.at(-1)) survived.last++;
      else if (state === states[durable]) survived.first++;
      else survived.between++;
    }),
    { numRuns: 300 },
  );
  // The law would hold of a disk that never forgets, too.
  for (const count of Object.values(survived)) expect(count).toBeGreaterThan(10);
});

test('what is counted fits what is there after each power loss', () => {
  fc.assert(
    fc.property(
      fc.array(nameChange, { maxLength: 20 }),
      fc.array(fc.nat(3 * PAGE), { maxLength: 6 }),
      fc.integer(),
      (changes, sizes, seed) => {
        const world = makeWorld({ reuseChance: 0.5 });
        const { freeBytes } = world.mount().disk.space('/');
        const { disk } = world.mount();
        for (const folder of ['/d', '/e']) disk.mkdir(folder);
        flush(disk, '/');
        for (const one of changes) change(disk, one);
        for (const [index, size] of sizes.entries()) put(disk, `/file${index}`, Buffer.alloc(size, 1), size % 2 === 0);
        lose(world, seed);
        const after = world.mount().disk;
        const numbers = after.readdir('/').map((name) => after.lstat(`/${name}`)!.ino);
        expect(new Set(numbers).size).toBe(numbers.length);
        for (const name of after.readdir('/')) after.removeTree(`/${name}`);
        expect(after.space('/').freeBytes).toBe(freeBytes);
      },
    ),
    { numRuns: 100 },
  );
});

// --- bytes at a power loss ------------------------------------------------------------------------------------------

/** A file with old bytes, flushed, then written to; what became of it after a power loss. */
function tornFile(seed: number, old: Uint8Array, now: Uint8Array, flushed: boolean): Buffer {
  const world = makeWorld();
  const { disk } = world.mount();
  put(disk, '/file', old, true);
  const handle = disk.open('/file', OPEN.readWrite);
  disk.truncate(handle, now.length);
  disk.write(handle, now, 0, now.length, 0);
  if (flushed) disk.flush(handle, 'bytes');
  lose(world, seed);
  return contentOf(world.mount().disk, '/file');
}

test('flushed bytes survive a power loss', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 3 * PAGE }),
      fc.uint8Array({ minLength: 1, maxLength: 3 * PAGE }),
      fc.nat(),
      (old, now, seed) => {
        expect(Buffer.compare(tornFile(seed, old, now, true), now)).toBe(0);
      },
    ),
    { numRuns: 50 },
  );
});

test('bytes that were not flushed come out old, new, short, zero or mixed, and never as something else', () => {
  const old = Buffer.alloc(3 * PAGE, 1);
  const now = Buffer.alloc(4 * PAGE, 2);
  const outcomes = new Set<string>();
  for (let seed = 0; seed < 300; seed++) {
    const bytes = tornFile(seed, old, now, false);
    if (bytes.equals(old)) outcomes.add('old');
    else if (bytes.equals(now)) outcomes.add('new');
    else if (bytes.length < now.length) outcomes.add('short');
    else if (bytes.every((byte) => byte === 0)) outcomes.add('zero');
    else if (bytes.includes(1) && bytes.includes(2)) outcomes.add('mixed');
    else outcomes.add('zeros behind');
    expect(bytes.length).toBeLessThanOrEqual(now.length);
    expect(bytes.every((byte) => byte <= 2)).toBe(true);
  }
  expect([...outcomes].sort()).toEqual(['mixed', 'new', 'old', 'short', 'zero', 'zeros behind']);
});

test('a path that a flushed file is renamed to is old or new; without the flush it may be torn', () => {
  for (const flushed of [true, false]) {
    const seen = new Set<string>();
    for (let seed = 0; seed < 200; seed++) {
      const world = makeWorld();
      const { disk } = world.mount();
      put(disk, '/file', 'the old bytes', true);
      put(disk, '/new', 'the new bytes', flushed);
      disk.rename('/new', '/file');
      lose(world, seed);
      const text = contentOf(world.mount().disk, '/file').toString();
      seen.add(text === 'the old bytes' || text === 'the new bytes' ? text : 'torn');
    }
    expect([...seen].sort()).toEqual([...(flushed ? [] : ['torn']), 'the new bytes', 'the old bytes'].sort());
  }
});

test('flushing a file keeps it and its name, but not what it was renamed to', () => {
  const names = new Set<string>();
  for (let seed = 0; seed < 50; seed++) {
    const world = makeWorld();
    const { disk } = world.mount();
    put(disk, '/made', 'bytes', true);
    disk.rename('/made', '/renamed');
    flush(disk, '/renamed');
    lose(world, seed);
    const [name] = world.mount().disk.readdir('/');
    names.add(name!);
    expect(contentOf(world.mount().disk, `/${name}`).toString()).toBe('bytes');
  }
  expect([...names].sort()).toEqual(['made', 'renamed']);
});

// --- flushes that fail ----------------------------------------------------------------------------------------------

test('a flush that fails says so once; the next one succeeds and does not bring the bytes to the disk', () => {
  const seen = new Set<string>();
  for (let seed = 0; seed < 40; seed++) {
    let failing = false;
    const world = makeWorld({ random: new SeededRandom(`disk ${seed}`) });
    const { disk } = world.mount({ fault: (operation) => (failing && operation === 'flush' ? 'EIO' : undefined) });
    put(disk, '/file', Buffer.alloc(2 * PAGE, 1), true);
    const handle = disk.open('/file', OPEN.readWrite);
    disk.write(handle, Buffer.alloc(2 * PAGE, 2), 0, 2 * PAGE, 0);
    failing = true;
    expect(outcome(() => disk.flush(handle, 'bytes'))).toBe('EIO');
    failing = false;
    disk.flush(handle, 'bytes');
    seen.add(contentOf(disk, '/file').equals(Buffer.alloc(2 * PAGE, 2)) ? 'seen as written' : 'seen as lost');
    if (seed % 2 === 0) disk.write(handle, Buffer.alloc(2 * PAGE, 3), 0, 2 * PAGE, 0);
    disk.flush(handle, 'bytes');
    lose(world, seed);
    const bytes = contentOf(world.mount().disk, '/file');
    // Written again, it is durable; otherwise at least one page is as it was.
    if (seed % 2 === 0) expect(bytes.equals(Buffer.alloc(2 * PAGE, 3))).toBe(true);
    else expect([bytes[0], bytes[PAGE]]).toContain(1);
  }
  expect([...seen].sort()).toEqual(['seen as lost', 'seen as written']);
});

describe('made durable from the main thread:', () => {
  const files = Array.from({ length: 20 }, (_, index) => `file${index}`);

  test.each([
    [1, false],
    [20, false],
    [20, true],
  ])('%i files and their names, with a flush of everything: %s', async (count, canSync) => {
    for (let seed = 0; seed < 20; seed++) {
      const world = makeWorld({ canSync });
      const { disk, makeDurable } = bound(world);
      for (const name of files.slice(0, count)) put(disk, `/${name}`, 'bytes');
      const made = makeDurable('/', [...files.slice(0, count), 'gone'], ['', 'gone']);
      world.run();
      await made;
      lose(world, seed);
      expect(found(world)).toHaveLength(count);
      expect(found(world).every((line) => line.endsWith('bytes'))).toBe(true);
    }
  });

  test.each([1, 20])('an error of the disk is told, with %i files', async (count) => {
    for (const [code, expected] of Object.entries({ EIO: 'IO_ERROR', ENOSPC: 'DISK_FULL' })) {
      const world = makeWorld({ canSync: true });
      const { disk, makeDurable } = bound(world, (operation) =>
        operation === 'flush' || operation === 'syncFileSystem' ? code : undefined,
      );
      for (const name of files.slice(0, count)) put(disk, `/${name}`, 'bytes');
      const made = makeDurable('/', files.slice(0, count), []);
      world.run();
      await expect(made).rejects.toMatchObject({ code: expected });
    }
  });

  test('a process that died meanwhile hears nothing', async () => {
    const world = makeWorld();
    const { disk, makeDurable } = bound(world);
    put(disk, '/file', 'bytes');
    const heard: string[] = [];
    const tell = (): unknown => heard.push('heard');
    makeDurable('/', ['file'], []).then(tell, tell);
    disk.flushLater(disk.open('/file', OPEN.readOnly), tell);
    world.fileSystem.kill();
    world.run();
    await new Promise(setImmediate);
    expect(heard).toEqual([]);
  });

  test('a flush that does not wait is done when it says so', () => {
    const world = makeWorld();
    const { disk } = world.mount();
    put(disk, '/file', 'bytes');
    const errors: unknown[] = [];
    const handle = disk.open('/file', OPEN.readOnly);
    disk.flushLater(handle, (error) => errors.push(error));
    expect(errors).toEqual([]);
    world.run();
    expect(errors).toEqual([undefined]);
    disk.flushLater(handle, (error) => errors.push((error as { code?: string } | undefined)?.code));
    disk.close(handle);
    world.run();
    expect(errors).toEqual([undefined, 'EBADF']);
    lose(world, 0);
    expect(found(world)).toEqual(['/file 644 1 bytes']);
  });
});

function bound(
  world: World,
  fault: (operation: string) => string | undefined = () => undefined,
): Pick<ReturnType<World['mount']>, 'disk' | 'makeDurable'> {
  const mount = world.mount({ fault });
  return { disk: mount.disk, makeDurable: (...given) => mount.makeDurable(...given) };
}

// --- crashes between effects ----------------------------------------------------------------------------------------

class Died extends Error {}

const STORIES: Readonly<Record<string, (disk: Disk) => void>> = {
  'a tree is removed': (disk) => disk.removeTree('/d'),
  'a file is copied over another': (disk) => disk.copyFile('/d/a', '/file', { exclusive: false }),
  'folders are made': (disk) => disk.mkdir('/x/y/z', { recursive: true }),
  'a file is replaced': (disk) => {
    put(disk, '/new', 'new bytes', true);
    disk.chmod('/new', 0o600);
    disk.utimes('/new', '1', '1');
    disk.rename('/new', '/file');
    flush(disk, '/');
  },
};

describe.each(Object.entries(STORIES))('%s', (_name, tell) => {
  /** Dies before effect number `last`; what is there then, and what the story did before. */
  const crashAt = (last: number): { state: string; effects: string[]; died: boolean } => {
    const effects: string[] = [];
    const world = makeWorld();
    const before = world.mount().disk;
    before.mkdir('/d');
    for (const name of ['/d/a', '/d/b', '/file']) put(before, name, `bytes of ${name}`);
    const { disk } = world.mount({
      effect: (kind) => {
        if (effects.length === last) throw new Died();
        effects.push(kind);
      },
    });
    let died = false;
    try {
      tell(disk);
    } catch {
      // What the `finally` blocks on the way out met may have replaced the error.
      died = true;
      expect(() => disk.lstat('/')).toThrow(/dead/);
    }
    return { state: found(world).join(), effects, died };
  };

  test('can stop before each of its effects, and nothing happens after', () => {
    const whole = crashAt(Infinity);
    expect(whole.died).toBe(false);
    const states = whole.effects.map((_, last) => {
      const { state, effects, died } = crashAt(last);
      expect(died).toBe(true);
      expect(effects).toEqual(whole.effects.slice(0, last));
      return state;
    });
    states.push(whole.state);
    // Each effect but a flush, a time and the mode of an equal file shows; none is two at once.
    const silent = new Set(['disk-flush', 'disk-utimes']);
    for (const [index, kind] of whole.effects.entries()) {
      if (!silent.has(kind) && !(kind === 'disk-open' && states[index] === states[index + 1])) {
        expect(states[index], `before and after ${kind}`).not.toBe(states[index + 1]);
      }
    }
    expect(new Set(states).size).toBeGreaterThan(2);
  });
});

test('every call asks for a fault, and fails as it is told', () => {
  const asked = new Set<string>();
  let armed: string | undefined;
  const { disk } = makeWorld().mount({
    fault: (operation) => {
      asked.add(operation);
      return operation === armed ? 'EIO' : undefined;
    },
  });
  const story = (): void => {
    disk.mkdir('/d');
    put(disk, '/d/file', 'bytes', true);
    const handle = disk.open('/d/file', OPEN.readWrite);
    try {
      disk.fstat(handle);
      disk.truncate(handle, 1);
    } finally {
      disk.close(handle);
    }
    contentOf(disk, '/d/file');
    disk.link('/d/file', '/d/link');
    disk.symlink(Buffer.from('x'), '/d/symlink');
    disk.copyFile('/d/file', '/d/copy', { exclusive: true });
    disk.readlink('/d/symlink');
    disk.readdir('/d');
    disk.readdirBytes('/d');
    disk.subfolders('/d');
    disk.chmod('/d/file', 0o600);
    disk.utimes('/d/file', '1', '1');
    disk.space('/');
    disk.rename('/d/file', '/d/renamed');
    disk.unlink('/d/renamed');
    disk.removeTree('/d');
  };
  story();
  const calls = [...asked].sort();
  for (const call of calls) {
    armed = call;
    expect(outcome(story), call).toBe('EIO');
    armed = undefined;
    disk.removeTree('/d');
  }
  const expected =
    'chmod close copyFile fstat link lstat mkdir open read readdir readdirBytes readlink rename rmdir space subfolders symlink truncate unlink utimes write flush';
  expect(calls).toEqual(expected.split(' ').sort());
});
