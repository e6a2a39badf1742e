/** A simulated disk for tests of it, and what is on any disk as one comparable value. */
import { OPEN, type Disk } from '../../src/folder/disk.ts';
import { SeededRandom } from '../../src/simulation/random.ts';
import type { MountHooks } from '../../src/simulation/sim-disk-gate.ts';
import { SimFileSystem, type SimDiskOptions, type SimMount } from '../../src/simulation/sim-disk.ts';

export interface World {
  readonly fileSystem: SimFileSystem;
  readonly clock: { nowMs: number };
  /** A mount with some hooks of its own; the others do nothing, callbacks run when `run` is called. */
  readonly mount: (hooks?: Partial<MountHooks>) => SimMount;
  readonly run: () => void;
}

export function makeWorld(options: Partial<SimDiskOptions> = {}): World {
  const clock = { nowMs: 1_700_000_000_000 };
  const waiting: (() => void)[] = [];
  const wait = (callback: () => void): void => void waiting.push(callback);
  const fileSystem = new SimFileSystem({
    clock: { wallMs: () => clock.nowMs, monotonicMs: () => clock.nowMs },
    random: new SeededRandom('disk'),
    capacityBytes: 2 ** 24,
    tickMs: 0,
    reuseChance: 0,
    shortWriteChance: 0,
    permissions: false,
    canSync: false,
    ...options,
  });
  return {
    fileSystem,
    clock,
    mount: (hooks) => fileSystem.mount({ effect: () => {}, fault: () => undefined, deliver: wait, defer: wait, ...hooks }),
    run: () => {
      for (const callback of waiting.splice(0)) callback();
    },
  };
}

export function put(disk: Disk, path: string, bytes: Uint8Array | string, flushed: boolean = false): void {
  const source = Buffer.from(bytes);
  const handle = disk.open(path, OPEN.writeOnly | OPEN.create | OPEN.truncate);
  for (let at = 0; at < source.length;) at += disk.write(handle, source, at, source.length - at, at);
  if (flushed) disk.flush(handle, 'bytes');
  disk.close(handle);
}

export function contentOf(disk: Disk, path: string): Buffer {
  const handle = disk.open(path, OPEN.readOnly);
  const bytes = Buffer.alloc(disk.fstat(handle).size);
  disk.read(handle, bytes, 0, bytes.length, 0);
  disk.close(handle);
  return bytes;
}

export function flush(disk: Disk, path: string): void {
  const handle = disk.open(path, OPEN.readOnly);
  disk.flush(handle, disk.fstat(handle).isDirectory() ? 'names' : 'bytes');
  disk.close(handle);
}

/** Everything below a folder, a line for each path: kind, mode, number of names, bytes. */
export function listing(disk: Disk, folder: string): string[] {
  const lines: string[] = [];
  const visit = (prefix: string): void => {
    for (const name of disk.readdir(folder + prefix || '/').sort()) {
      const path = `${prefix}/${name}`;
      const stats = disk.lstat(folder + path)!;
      const mode = (stats.mode & 0o7777).toString(8);
      if (stats.isDirectory()) lines.push(`${path}/ ${mode}`);
      else if (stats.isSymbolicLink()) lines.push(`${path} -> ${Buffer.from(disk.readlink(folder + path)).toString()}`);
      else lines.push(`${path} ${mode} ${stats.nlink} ${contentOf(disk, folder + path).toString('latin1')}`);
      if (stats.isDirectory()) visit(path);
    }
  };
  visit('');
  return lines;
}

/** What a call comes to: its value, or the code of its error. */
export function outcome(call: () => unknown): unknown {
  try {
    return call();
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (typeof code !== 'string') throw error;
    return code;
  }
}
