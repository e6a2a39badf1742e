/**
 * The script of a disk thread: takes a job, runs it synchronously on the real disk, answers. Buffers that the job gave
 * away are moved, not copied.
 */
import { parentPort } from 'node:worker_threads';
import { answer, makeJobs, type JobRequest } from './disk-jobs.ts';
import { realDisk } from './real-disk.ts';
import { takeTransfer } from './transfer.ts';

const jobs = makeJobs(realDisk, { wallMs: () => Date.now(), monotonicMs: () => performance.now() });

parentPort?.on('message', (request: JobRequest) => {
  const reply = answer(jobs, request);
  parentPort?.postMessage(reply, takeTransfer());
});
