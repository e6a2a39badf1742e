/** A small file changes while both hosts run: how long until a third process reads the new bytes on the other host. */
import { closeSync, openSync, readSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MIB, nowMs, sleep } from '../../support/common.mjs';
import { randomBytesOf, randomOf } from '../../support/data.mjs';
import { folderCase } from '../support/folder-case.mjs';
import { percentile } from '../support/maths.mjs';

const FILE_BYTES = 4_096;
const FILES = 20;
const SHOWN_MS_MAX = 60_000;
const nameOf = (index) => `file-${index % FILES}.bin`;

const pairs = folderCase({
  name: 'live-change',
  about: 'a 4 KB file is rewritten while both run, until the new bytes can be read on the other host',
  parts: ({ quick }) => [quick ? { label: '10 changes', changes: 10 } : { label: '100 changes', changes: 100 }],
  diskBytes: () => 200 * MIB,
  build(folder) {
    const next = randomBytesOf(7);
    for (let index = 0; index < FILES; index++) writeFileSync(join(folder, nameOf(index)), next(FILE_BYTES));
  },
  change: () => [],
  settings: { settleMs: 100 },
  metrics: {
    p50Ms: { title: 'p50', unit: 'ms' },
    p99Ms: { title: 'p99', unit: 'ms' },
    settledP50Ms: { title: 'p50 less the wait for a file to be quiet', unit: 'ms' },
    settledP99Ms: { title: 'p99 less the wait for a file to be quiet', unit: 'ms' },
  },
  figures: ['p50Ms', 'p99Ms'],
  goals: [
    { metric: 'settledP50Ms', of: 'sameroot', most: 15 },
    { metric: 'settledP99Ms', of: 'sameroot', most: 100 },
  ],
});

export const cases = [
  {
    ...pairs,
    async turn({ pair, source, target }, { part, run }) {
      const next = randomBytesOf(1_000 + run);
      const pause = randomOf(7);
      const latenciesMs = [];
      for (let index = 0; index < part.changes; index++) {
        const bytes = next(FILE_BYTES);
        const writtenMs = nowMs();
        writeFileSync(join(source, nameOf(index)), bytes);
        latenciesMs.push((await untilShown(join(target, nameOf(index)), bytes)) - writtenMs);
        await sleep(20 + pause() * 80);
      }
      const [p50Ms, p99Ms] = [0.5, 0.99].map((share) => percentile(latenciesMs, share));
      if (pair.settleMs === undefined) return { p50Ms, p99Ms };
      return { p50Ms, p99Ms, settledP50Ms: p50Ms - pair.settleMs, settledP99Ms: p99Ms - pair.settleMs };
    },
  },
];

/** Polled from the bench process, which does nothing else, about once a millisecond. */
async function untilShown(path, bytes) {
  const shown = Buffer.alloc(bytes.length);
  const deadlineMs = nowMs() + SHOWN_MS_MAX;
  for (;;) {
    if (readInto(shown, path) === bytes.length && shown.equals(bytes)) return nowMs();
    if (nowMs() > deadlineMs) throw new Error(`${path} did not change within ${SHOWN_MS_MAX / 1000} s`);
    await sleep(1);
  }
}

/** How many bytes there are; none while a peer has the old file away and the new one not yet there. */
function readInto(buffer, path) {
  let file;
  try {
    file = openSync(path, 'r');
    return readSync(file, buffer);
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
    return 0;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}
