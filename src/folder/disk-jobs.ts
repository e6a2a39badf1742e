/**
 * The jobs of a disk thread, and what goes to it and comes back: what `disk-thread.ts` and the script in the thread,
 * `disk-worker.ts`, agree on. Types only.
 */
import type { ErrorCode } from '../base/errors.ts';
import type { readJobs } from './read-jobs.ts';
import type { writeJobs } from './write-jobs.ts';

export type Jobs = typeof readJobs & typeof writeJobs;

export type JobName = keyof Jobs;
export type JobInput<K extends JobName> = Parameters<Jobs[K]>[0];
export type JobOutput<K extends JobName> = ReturnType<Jobs[K]>;

export interface JobRequest {
  readonly id: number;
  readonly name: JobName;
  readonly input: unknown;
}

export interface JobReply {
  readonly id: number;
  readonly output?: unknown;
  readonly error?: {
    readonly code: ErrorCode | undefined;
    readonly system: string | undefined;
    readonly message: string;
    readonly path: string | undefined;
  };
}
