/** The disk floor: incoming bytes stop before the disk is full, so that its other users, our database too, go on. */
import { statfsSync } from 'node:fs';
import { SamerootError } from '../base/errors.ts';
import { GIB, MIB } from '../base/limits.ts';

/** A look costs some microseconds locally and a round trip on a network file system: not for each file. */
const LOOK_EVERY_MS = 500;
const LOOK_EVERY_BYTES: number = 64 * MIB;

interface Seen {
  freeBytes: number;
  defaultFloorBytes: number;
  bytesSince: number;
  atMs: number;
}

const seen = new Map<string, Seen>();

/**
 * Called in the write thread before `bytes` are written below `folder`.
 * @throws {SamerootError} `DISK_FULL` if less than `minFreeBytes` would stay free (default: 1 % of the disk or 1 GiB, the lesser)
 */
export function keepFloor(folder: string, bytes: number, minFreeBytes: number | undefined): void {
  const nowMs = performance.now();
  let state = seen.get(folder);
  const leaves = ({ freeBytes, bytesSince }: Seen): number => freeBytes - bytesSince - bytes;
  const floor = ({ defaultFloorBytes }: Seen): number => minFreeBytes ?? defaultFloorBytes;
  const stale = state === undefined || nowMs - state.atMs > LOOK_EVERY_MS || state.bytesSince > LOOK_EVERY_BYTES;
  if (state === undefined || stale || leaves(state) < floor(state)) {
    const disk = statfsSync(folder);
    const defaultFloorBytes = Math.min((disk.blocks * disk.bsize) / 100, GIB);
    state = { freeBytes: disk.bavail * disk.bsize, defaultFloorBytes, bytesSince: 0, atMs: nowMs };
    seen.set(folder, state);
  }
  if (leaves(state) < floor(state)) {
    const mib = (count: number): number => Math.floor(count / MIB);
    throw new SamerootError('DISK_FULL', `${mib(state.freeBytes)} MiB are free, ${mib(floor(state))} MiB are kept free`, { path: folder });
  }
  state.bytesSince += bytes;
}
