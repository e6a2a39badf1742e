/** The disk floor: incoming bytes stop before the disk is full, so that its other users, our database too, go on. */
import { SamerootError } from '../base/errors.ts';
import { GIB, MIB } from '../base/limits.ts';
import type { Clock } from '../base/world.ts';
import type { Disk } from './disk.ts';

/** A look costs some microseconds locally and a round trip on a network file system: not for each file. */
const LOOK_EVERY_MS = 500;
const LOOK_EVERY_BYTES: number = 64 * MIB;

interface Seen {
  freeBytes: number;
  defaultFloorBytes: number;
  bytesSince: number;
  atMs: number;
}

export class DiskFloor {
  readonly #disk: Disk;
  readonly #clock: Clock;
  readonly #seen = new Map<string, Seen>();

  constructor(disk: Disk, clock: Clock) {
    this.#disk = disk;
    this.#clock = clock;
  }

  /**
   * Called before `bytes` are written below `folder`.
   * @throws {SamerootError} `DISK_FULL` if less than `minFreeBytes` would stay free (default: 1 % of the disk or 1 GiB, the lesser)
   */
  keep(folder: string, bytes: number, minFreeBytes: number | undefined): void {
    const nowMs = this.#clock.monotonicMs();
    let state = this.#seen.get(folder);
    const leaves = ({ freeBytes, bytesSince }: Seen): number => freeBytes - bytesSince - bytes;
    const floor = ({ defaultFloorBytes }: Seen): number => minFreeBytes ?? defaultFloorBytes;
    const stale = state === undefined || nowMs - state.atMs > LOOK_EVERY_MS || state.bytesSince > LOOK_EVERY_BYTES;
    if (state === undefined || stale || leaves(state) < floor(state)) {
      const { totalBytes, freeBytes } = this.#disk.space(folder);
      state = { freeBytes, defaultFloorBytes: Math.min(totalBytes / 100, GIB), bytesSince: 0, atMs: nowMs };
      this.#seen.set(folder, state);
    }
    if (leaves(state) < floor(state)) {
      const mib = (count: number): number => Math.floor(count / MIB);
      throw new SamerootError('DISK_FULL', `${mib(state.freeBytes)} MiB are free, ${mib(floor(state))} MiB are kept free`, {
        path: folder,
      });
    }
    state.bytesSince += bytes;
  }
}
