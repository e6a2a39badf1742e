/**
 * The jobs of a disk thread: everything that is done to the disk, one job after the other, and who may ask for it.
 *
 * A table of jobs is bound to a disk and has all its state in it. The thread's script, `disk-worker.ts`, makes one for
 * the real disk, and the simulator one for each of its hosts: both run the same jobs and see the same errors.
 */
import type { Clock } from '../base/world.ts';
import type { Disk } from './disk.ts';
import { IntoTrash } from './into-trash.ts';
import { errorOf, failureOf, type JobFailure } from './job-failure.ts';
import { PartJobs } from './part-jobs.ts';
import { PlaceJobs } from './place-job.ts';
import { ReadJobs } from './read-jobs.ts';
import { StageJobs } from './stage-jobs.ts';
import { takeTransfer } from './transfer.ts';
import { TrashJobs } from './trash-jobs.ts';

type Methods = ReadJobs & PartJobs & StageJobs & TrashJobs & PlaceJobs;

/** By name. Each is synchronous, and takes and returns what can be sent to another thread. */
export type Jobs = { readonly [K in keyof Methods]: Methods[K] };
export type JobName = keyof Jobs;
export type JobInput<K extends JobName> = Parameters<Jobs[K]>[0];
export type JobOutput<K extends JobName> = ReturnType<Jobs[K]>;

/** Runs the jobs of one folder, in the order of the calls: a thread, or the simulator in place of one. */
export interface JobCaller extends AsyncDisposable {
  /** Jobs that are queued or running. */
  readonly busy: number;
  /** It has died: every call fails. */
  readonly ended?: boolean;
  /** Buffers in `transfer` are moved, not copied, and must not be used afterwards. */
  call<K extends JobName>(name: K, input: JobInput<K>, transfer?: readonly ArrayBuffer[]): Promise<JobOutput<K>>;
  /** Waits for the jobs that are queued; what is called afterwards fails with `CLOSED`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** The read thread as its users see it; every `JobCaller` is one. */
export interface ReadThread {
  call<K extends keyof ReadJobs>(name: K, input: JobInput<K>, transfer?: readonly ArrayBuffer[]): Promise<JobOutput<K>>;
}

/** The work threads as those see them who hash: these jobs leave nothing behind in their thread. */
export interface HashThreads {
  /** See `WorkCaller`. */
  readonly width: number;
  call<K extends 'examineAll' | 'largeStat' | 'largeRun'>(name: K, input: JobInput<K>): Promise<JobOutput<K>>;
}

export interface JobRequest {
  readonly id: number;
  readonly name: JobName;
  readonly input: unknown;
}

export interface JobReply {
  readonly id: number;
  readonly output?: unknown;
  readonly error?: JobFailure;
}

export function makeJobs(disk: Disk, clock: Clock): Jobs {
  const read = new ReadJobs(disk, clock);
  const parts = new PartJobs(disk, clock);
  const stage = new StageJobs(disk, clock);
  // One for both: what they put into the trash must not get the same name.
  const intoTrash = new IntoTrash(disk, clock);
  const trash = new TrashJobs(disk, intoTrash);
  const place = new PlaceJobs(disk, clock, intoTrash);
  return {
    openWalk: (input) => read.openWalk(input),
    walkSlice: (input) => read.walkSlice(input),
    closeWalk: (input) => read.closeWalk(input),
    look: (input) => read.look(input),
    subfolders: (input) => read.subfolders(input),
    checkMarker: (input) => read.checkMarker(input),
    readRules: (input) => read.readRules(input),
    examineAll: (input) => read.examineAll(input),
    largeStat: (input) => read.largeStat(input),
    largeRun: (input) => read.largeRun(input),
    readFiles: (input) => read.readFiles(input),
    checkPart: (input) => parts.checkPart(input),
    copyIntoPart: (input) => parts.copyIntoPart(input),
    stageList: (input) => stage.stageList(input),
    stageVerify: (input) => stage.stageVerify(input),
    stageWhole: (input) => stage.stageWhole(input),
    stageOpenPart: (input) => stage.stageOpenPart(input),
    stagePart: (input) => stage.stagePart(input),
    stageCopyWhole: (input) => stage.stageCopyWhole(input),
    stageWritten: (input) => stage.stageWritten(input),
    stageFinish: (input) => stage.stageFinish(input),
    stageDuplicate: (input) => stage.stageDuplicate(input),
    stageDiscard: (input) => stage.stageDiscard(input),
    takeFromTrash: (input) => trash.takeFromTrash(input),
    restoreFromTrash: (input) => trash.restoreFromTrash(input),
    emptyTrash: (input) => trash.emptyTrash(input),
    emptyTrashDays: (input) => trash.emptyTrashDays(input),
    applyBatch: (input) => place.applyBatch(input),
    readNotes: (input) => place.readNotes(input),
  };
}

/** What a thread answers to a request. */
export function answer(jobs: Jobs, { id, name, input }: JobRequest): JobReply {
  try {
    return { id, output: (jobs[name] as (input: unknown) => unknown)(input) };
  } catch (error) {
    return { id, error: failureOf(error) };
  }
}

/** Runs a job in place, without a thread; input and output are not copied. @throws what the caller of a thread would see */
export function runJob<K extends JobName>(jobs: Jobs, name: K, input: JobInput<K>): JobOutput<K> {
  const { output, error } = answer(jobs, { id: 0, name, input });
  takeTransfer();
  if (error !== undefined) throw errorOf(error);
  return output as JobOutput<K>;
}
