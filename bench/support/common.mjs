/** What the bench and its node processes share. */
import { resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const distFolder = resolve(process.env.SAMEROOT_DIST ?? fileURLToPath(new URL('../../dist', import.meta.url)));

/** A compiled module of the project; SAMEROOT_DIST names another build to measure. */
export function distUrl(module) {
  return pathToFileURL(`${distFolder}/${module}`).href;
}

/** CLOCK_MONOTONIC: the same in all processes of one machine. */
export function nowMs() {
  return Number(process.hrtime.bigint()) / 1e6;
}

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

export const MIB = 1024 * 1024;
export const GIB = 1024 * MIB;
/** Rates and amounts are printed in MB of 10^6 bytes. */
export const MB = 1e6;
