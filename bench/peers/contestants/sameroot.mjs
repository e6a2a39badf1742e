/** Ourselves, with the default settings of `sameroot start`: in plain text, as most peers talk here, and over TLS. */
import { fileURLToPath } from 'node:url';
import { nowMs } from '../../support/common.mjs';
import { machine } from '../../support/report.mjs';
import { countHops, pairChannels } from '../../support/trace.mjs';
import { quiet } from '../../support/workspace.mjs';
import { Relay } from '../support/relay.mjs';
import { FOLDER_CASES } from '../support/folder-case.mjs';

const WALK = fileURLToPath(new URL('../workers/walk.mjs', import.meta.url));

/**
 * The source runs and has indexed; the target is a process with the code loaded that has no node in it yet. `relayed`:
 * they know of each other by a relay only, so that their connection can be cut.
 */
async function open({ space, source: folder, target: targetFolder, settings }, insecure) {
  const { settleMs = 300, trace = false, relayed = false } = settings;
  const options = { insecure, settleMs, advertise: !relayed };
  const source = await space.startNode(folder, { ...options, trace });
  const indexedMs = await source.scan();
  const target = await space.spawn({ trace });
  const relay = relayed ? await Relay.open((await source.address()).port) : undefined;
  if (relay !== undefined) space.adopt(relay);
  const invite = async () => {
    const invitation = await source.invitation({ insecure });
    return relay === undefined ? invitation : { ...invitation, join: [{ host: '127.0.0.1', port: relay.port }] };
  };
  return {
    source,
    target,
    settleMs,
    indexSeconds: (indexedMs - source.startedMs) / 1000,
    async first() {
      const confirmed = source.waitForPeers(1);
      confirmed.catch(() => undefined);
      await target.start(targetFolder, { ...options, ...(await invite()) });
      const { atMs } = await confirmed;
      return { seconds: (atMs - target.startedMs) / 1000, bytes: await source.wireBytes() };
    },
    settle: () => quiet([source, target]),
    async again() {
      const before = await source.wireBytes();
      const sinceMs = nowMs();
      await source.scan();
      const { atMs } = await source.wait();
      return { seconds: (atMs - sinceMs) / 1000, bytes: (await source.wireBytes()) - before };
    },
    ...(relay !== undefined && { meetAgain: () => meetAgain(source, target, relay) }),
    async putRecords(count) {
      await source.call('putRecords', { prefix: 'sample/', from: 0, count, group: 10_000, valueBytes: 32 });
      await source.wait();
      await quiet([source, target]);
    },
  };
}

/** The connection is lost and comes back: from the moment the target connects until both know that they are in sync. */
async function meetAgain(source, target, relay) {
  await quiet([source, target]);
  const traces = () => Promise.all([source.call('trace'), target.call('trace')]);
  const known = (await traces()).map((channels) => channels.length);
  const back = Promise.all([source, target].map((node) => node.call('untilMetAgain')));
  // It is awaited after the cut; a node that ends before must not be an unhandled rejection.
  back.catch(() => undefined);
  const connectedMs = await relay.cut();
  const inSyncMs = Math.max(...(await back).map((output) => output.inSyncMs));
  await quiet([source, target]);
  const pairs = pairChannels(...(await traces()).map((channels, index) => channels.slice(known[index])));
  const until = pairs.map(([a, b]) => countHops(a, b, inSyncMs)).sort((a, b) => b.messages - a.messages)[0];
  const all = pairs.map(([a, b]) => countHops(a, b));
  return {
    seconds: (inSyncMs - connectedMs) / 1000,
    bytes: all.reduce((sum, one) => sum + one.bytes, 0),
    roundTrips: until.roundTrips,
    messages: until.messages,
  };
}

const version = async () => {
  const { versions } = await machine();
  return `${versions.sameroot} (${[versions.commit, versions.hash].filter(Boolean).join(', ')})`;
};

export const contestants = [
  {
    name: 'sameroot',
    about: 'plain text (--insecure)',
    version,
    missing: () => undefined,
    cases: [...FOLDER_CASES, 'live-change', 'differences', 'index', 'memory', 'nodes'],
    open: (parameters) => open(parameters, true),
    differences({ space, ...sizes }) {
      const worker = space.spawnWorker(WALK);
      return { compare: () => worker.call('compare', sizes) };
    },
    async index({ space, source: folder }) {
      const source = await space.spawn();
      await source.cpuSeconds();
      await source.start(folder, { insecure: true });
      const indexedMs = await source.scan();
      const { main, others } = await source.cpuSeconds();
      return { seconds: (indexedMs - source.startedMs) / 1000, cpuSeconds: main + others };
    },
  },
  {
    name: 'sameroot-tls',
    about: 'TLS 1.3, both ends authenticated (the default)',
    version,
    missing: () => undefined,
    cases: [...FOLDER_CASES, 'live-change'],
    open: (parameters) => open(parameters, false),
  },
];
