/** What an idle node holds in memory, by the number of its entries. */
import { MB, MIB } from '../support/common.mjs';
import { writeSmallFiles } from '../support/data.mjs';

const IDLE_MS = 2_000;

export const bench = {
  name: 'memory',
  about: 'memory of an idle node with 1,000,000 small records, restarted; with --variants also 200,000 small files',
  runs: 1,
  async measure({ size, variants, workspace, figures, detail }) {
    await withRecords(size(100_000, 5_000), size(1_000_000, 20_000), { workspace, figures, detail });
    if (variants) await withFiles(size(200_000, 5_000), { workspace, figures, detail });
  },
};

async function withRecords(few, many, { workspace, figures, detail }) {
  const space = workspace(4_000 * MIB);
  try {
    const folder = space.makeFolder('node');
    const measured = [];
    let from = 0;
    for (const count of [few, many]) {
      const writer = await space.startNode(folder);
      const since = performance.now();
      await writer.call('putRecords', { prefix: 'sample/', from, count: count - from, group: 10_000, valueBytes: 32 });
      const writeRate = (count - from) / ((performance.now() - since) / 1000);
      const busy = await writer.call('memory', { gc: false });
      from = count;
      await writer.end();
      const memory = await measureIdle(space, folder);
      detail({ entries: count, writeRate, busy, ...memory });
      measured.push(memory.collected);
      if (count === many) figures.add('writing records, all at once', 'records/s', writeRate);
      if (count === many) figures.add('RSS as started, before a collection', 'MB', memory.asStarted.rss / MB, { better: 'lower' });
    }
    const [small, large] = measured;
    figures.add(`RSS with ${many.toLocaleString('en-US')} records`, 'MB', large.rss / MB, { floor: 400, better: 'lower' });
    figures.add('of it anonymous', 'MB', large.rssAnon / MB, { better: 'lower' });
    figures.add(`RSS with ${few.toLocaleString('en-US')} records`, 'MB', small.rss / MB, { better: 'lower' });
    figures.add('anonymous bytes per further entry', 'bytes', (large.rssAnon - small.rssAnon) / (many - few), { better: 'lower' });
  } finally {
    await space.close();
  }
}

async function withFiles(count, { workspace, figures, detail }) {
  const space = workspace(count * 12_000);
  try {
    const folder = space.makeFolder('node');
    writeSmallFiles(folder, count, 200, 600, 8);
    const first = await space.startNode(folder);
    await first.scan();
    const busy = await first.call('memory', { gc: false });
    await first.end();
    const memory = await measureIdle(space, folder);
    figures.add(`RSS with ${count.toLocaleString('en-US')} files`, 'MB', memory.collected.rss / MB, { floor: 400, better: 'lower' });
    figures.add(`peak RSS while ${count.toLocaleString('en-US')} files are read first`, 'MB', busy.rssPeak / MB, { better: 'lower' });
    detail({ files: count, busy, ...memory });
  } finally {
    await space.close();
  }
}

/** A fresh process that has read its folder, idle for a while; then after a collection. */
export async function measureIdle(space, folder) {
  const node = await space.startNode(folder);
  const readyMs = await node.scan();
  const startSeconds = (readyMs - node.startedMs) / 1000;
  await new Promise((done) => setTimeout(done, IDLE_MS));
  const asStarted = await node.call('memory', { gc: false });
  const collected = await node.call('memory', { gc: true });
  const { entries } = await node.call('status');
  await node.end();
  return { startSeconds, entries, asStarted, collected };
}
