/**
 * The script of a disk thread: takes a job, runs it synchronously, answers. A job may return its buffers with
 * `Transfer` so that they are moved, not copied.
 */
import { parentPort } from 'node:worker_threads';
import { SamerootError, messageOf, systemCode } from '../base/errors.ts';
import type { JobReply, JobRequest, Jobs } from './disk-jobs.ts';
import { readJobs } from './read-jobs.ts';
import { takeTransfer } from './transfer.ts';
import { writeJobs } from './write-jobs.ts';

const jobs: Jobs = { ...readJobs, ...writeJobs };

function run(request: JobRequest): JobReply {
  try {
    const job = jobs[request.name] as (input: unknown) => unknown;
    return { id: request.id, output: job(request.input) };
  } catch (error) {
    const code = error instanceof SamerootError ? error.code : undefined;
    const path = error instanceof SamerootError ? error.path : undefined;
    return { id: request.id, error: { code, system: systemCode(error), message: messageOf(error), path } };
  }
}

parentPort?.on('message', (request: JobRequest) => {
  const reply = run(request);
  parentPort?.postMessage(reply, takeTransfer());
});
