/** A small file changes while both nodes run: how long until the other host has it. */
import { closeSync, openSync, readSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MIB, nowMs, sleep } from '../support/common.mjs';
import { randomBytesOf, randomOf } from '../support/data.mjs';
import { quiet } from '../support/workspace.mjs';

const FILE_BYTES = 4_096;
const FILES = 20;
const SETTLE_MS = 100;

export const bench = {
  name: 'live-change',
  about: `a 4 KB file changes, until visible and durable on the peer, less the settle delay of ${SETTLE_MS} ms`,
  runs: 1,
  async measure({ size, workspace, figures, detail }) {
    const changes = size(200, 20);
    const space = workspace(200 * MIB);
    try {
      const folders = { source: space.makeFolder('source'), target: space.makeFolder('target') };
      const next = randomBytesOf(7);
      const pause = randomOf(7);
      const nameOf = (index) => `file-${index % FILES}.bin`;
      for (let index = 0; index < FILES; index++) writeFileSync(join(folders.source, nameOf(index)), next(FILE_BYTES));
      const source = await space.startNode(folders.source, { settleMs: SETTLE_MS });
      await source.scan();
      const target = await space.startNode(folders.target, { settleMs: SETTLE_MS, ...(await source.invitation()) });
      await source.waitForPeers(1);
      await quiet([source, target]);
      const samples = { commit: [], visible: [], confirmed: [] };
      for (let index = 0; index < changes; index++) {
        const bytes = next(FILE_BYTES);
        const confirmed = source.callAt('untilNextConfirmed');
        await source.call('cpu');
        const writtenMs = nowMs();
        writeFileSync(join(folders.source, nameOf(index)), bytes);
        const visibleMs = await untilShown(join(folders.target, nameOf(index)), bytes);
        const { output, atMs } = await confirmed;
        samples.commit.push(output.rootMs - writtenMs - SETTLE_MS);
        samples.visible.push(visibleMs - writtenMs - SETTLE_MS);
        samples.confirmed.push(atMs - writtenMs - SETTLE_MS);
        await sleep(20 + pause() * 80);
      }
      const at = (values, share) => values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))];
      figures.add('p50 until durable there, as confirmed here', 'ms', at(samples.confirmed, 0.5), { floor: 50, better: 'lower' });
      figures.add('p99 until durable there, as confirmed here', 'ms', at(samples.confirmed, 0.99), { better: 'lower' });
      figures.add('p50 until visible there', 'ms', at(samples.visible, 0.5), { better: 'lower' });
      figures.add('p99 until visible there', 'ms', at(samples.visible, 0.99), { better: 'lower' });
      figures.add('p50 until committed here', 'ms', at(samples.commit, 0.5), { better: 'lower' });
      detail({ changes, samples });
    } finally {
      await space.close();
    }
  },
};

/** Polled from this process, a third one, about once a millisecond. */
async function untilShown(path, bytes) {
  const shown = Buffer.alloc(bytes.length);
  const deadlineMs = nowMs() + 30_000;
  for (;;) {
    const file = openSync(path, 'r');
    const length = readSync(file, shown);
    closeSync(file);
    if (length === bytes.length && shown.equals(bytes)) return nowMs();
    if (nowMs() > deadlineMs) throw new Error(`${path} did not change within 30 s`);
    await sleep(1);
  }
}
