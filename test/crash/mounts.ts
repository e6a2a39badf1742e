/**
 * File systems of their own, for tests that fill one or take its writability away. Needs Linux and root; what is mounted
 * is unmounted, also when a test fails.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, statfsSync, truncateSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MIB } from './hosts.ts';

export type FileSystem = 'tmpfs' | 'ext4';

export class Mount implements Disposable {
  readonly #base: string = mkdtempSync(join(tmpdir(), 'sameroot-mount-'));
  readonly path: string = join(this.#base, 'disk');
  readonly #source: readonly string[];

  constructor(system: FileSystem, bytes: number) {
    mkdirSync(this.path);
    const image = join(this.#base, 'image');
    this.#source = system === 'tmpfs' ? ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs'] : ['-o', 'loop', image];
    try {
      if (system === 'ext4') {
        closeSync(openSync(image, 'w'));
        truncateSync(image, bytes);
        run('mkfs.ext4', '-q', '-F', image);
      }
      this.mount();
    } catch (error) {
      rmSync(this.#base, { recursive: true, force: true });
      throw error;
    }
  }

  /** Why there can be none here, if so. */
  static obstacle(system: FileSystem): string | undefined {
    if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'does not run: it needs Linux and root';
    try {
      using _mount = new Mount(system, 8 * MIB);
      return undefined;
    } catch (error) {
      return `does not run: ${(error as Error).message}`;
    }
  }

  mount(): void {
    run('mount', ...this.#source, this.path);
  }

  unmount(): void {
    run('umount', this.path);
  }

  /** `ro`, `rw`, or `abort`: as after an error of the disk, also where files are open. False: files are open for writing. */
  remount(how: 'ro' | 'rw' | 'abort'): boolean {
    return spawnSync('mount', ['-o', `remount,${how}`, this.path]).status === 0;
  }

  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.path);
    return bavail * bsize;
  }

  /** Takes room until only so much is left; `release` gives it back. */
  fillUpTo(leaveBytes: number): void {
    const block = Buffer.alloc(MIB, 'x');
    const file = openSync(join(this.path, 'ballast'), 'a');
    for (let free = this.freeBytes; free > leaveBytes; free = this.freeBytes) writeSync(file, block, 0, Math.min(MIB, free - leaveBytes));
    closeSync(file);
  }

  release(): void {
    rmSync(join(this.path, 'ballast'));
  }

  [Symbol.dispose](): void {
    // A process that the test has killed may take its time to be gone.
    if (spawnSync('umount', [this.path]).status !== 0) spawnSync('umount', ['--lazy', this.path]);
    rmSync(this.#base, { recursive: true, force: true });
  }
}

function run(command: string, ...args: readonly string[]): void {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${error?.message ?? stderr.trim()}`);
}
