/** The threads of one folder: what is done to its disk is done in them. */
import type { Timers } from '../base/world.ts';
import type { JobCaller } from './disk-jobs.ts';
import { DiskThread } from './disk-thread.ts';
import { WORK_THREADS_MAX, WorkThreads, type WorkCaller } from './work-threads.ts';

export interface DiskThreads {
  /** Lists, looks, and reads for peers. */
  readonly read: JobCaller;
  /** Changes the folder, in the order of the calls. */
  readonly write: JobCaller;
  /** What costs processor time and needs no order. */
  readonly work: WorkCaller;
}

/** They take some 0.2 s to be ready: a node starts them first and does the rest meanwhile. */
export function startDiskThreads(timers: Timers, processors: number): DiskThreads {
  const read = new DiskThread('read');
  const width = Math.min(processors, WORK_THREADS_MAX);
  return {
    read,
    write: new DiskThread('write'),
    work: new WorkThreads({ first: read, width, start: () => new DiskThread('work'), timers }),
  };
}

export async function closeDiskThreads({ read, write, work }: DiskThreads): Promise<void> {
  await Promise.all([read, write, work].map((thread) => thread[Symbol.asyncDispose]()));
}
