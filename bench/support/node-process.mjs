/** One node in one process: what a second host would be. */
import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { getHeapStatistics } from 'node:v8';
import { distUrl, nowMs } from './common.mjs';
import { slowUplink } from './slow-uplink.mjs';
import { serveCommands } from './worker-commands.mjs';

const MESSAGES_KEPT = 200;
const log = [];
const keep = (level) => (message, fields) => {
  log.push({ level, message, fields: fields === undefined ? '' : JSON.stringify(fields) });
  if (log.length > MESSAGES_KEPT) log.shift();
};
const worldLog = { debug() {}, info: keep('info'), warn: keep('warn'), error: keep('error') };

let node;
/** One item a channel, in the order in which they spoke first. */
const channels = new Map();

/**
 * Notes each message of each channel: when, which way, what type, how many bytes. The API of a node counts bytes but not
 * messages, and round trips are seen only in what was sent after what was received.
 */
async function traceChannels() {
  const { WsChannel } = await import(distUrl('net/ws-channel.js'));
  const { decodeMessage } = await import(distUrl('wire/codec.js'));
  const noteOf = (channel) => {
    let note = channels.get(channel);
    if (note === undefined) {
      note = { greetingWireBytes: channel.wireSentBytes + channel.wireReceivedBytes, messages: [] };
      channels.set(channel, note);
    }
    return note;
  };
  const add = (channel, sent, bytes) =>
    noteOf(channel).messages.push({ atMs: nowMs(), sent, type: decodeMessage(bytes)?.type ?? '?', bytes: bytes.length });
  const { send } = WsChannel.prototype;
  WsChannel.prototype.send = function (bytes) {
    add(this, true, bytes);
    send.call(this, bytes);
  };
  const { get, set } = Object.getOwnPropertyDescriptor(WsChannel.prototype, 'onMessage');
  Object.defineProperty(WsChannel.prototype, 'onMessage', {
    get,
    set(handler) {
      const noted = (bytes) => {
        add(this, false, bytes);
        handler(bytes);
      };
      set.call(this, handler === undefined ? undefined : noted);
    },
  });
}

/** Resolves when this many different peers are connected. */
function untilPeers(count) {
  return new Promise((resolve) => {
    const connected = new Set();
    const stop = node.onChange((event) => {
      if (event.type !== 'peer') return;
      if (event.connected) connected.add(event.nodeId);
      else connected.delete(event.nodeId);
      check();
    });
    for (const peer of node.status().peers) if (peer.connected) connected.add(peer.nodeId);
    const check = () => {
      if (connected.size < count) return;
      stop();
      resolve();
    };
    check();
  });
}

/** CPU seconds of every thread; the main thread has the id of the process. */
function threadSeconds() {
  const ticksPerSecond = 100;
  return readdirSync('/proc/self/task').map((id) => {
    const stat = readFileSync(`/proc/self/task/${id}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { id: Number(id), main: Number(id) === process.pid, seconds: (Number(fields[11]) + Number(fields[12])) / ticksPerSecond };
  });
}

function memory() {
  const status = readFileSync('/proc/self/status', 'latin1');
  const field = (name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) * 1024;
  return {
    rss: field('VmRSS'),
    rssAnon: field('RssAnon'),
    rssFile: field('RssFile'),
    rssPeak: field('VmHWM'),
    heapUsed: getHeapStatistics().used_heap_size,
  };
}

/** Records `r/<prefix><number>`, `group` of them at a time, so that commits are as large as a busy writer's. */
async function putRecords({ prefix, from, count, group, valueBytes }) {
  for (let start = from; start < from + count; start += group) {
    const end = Math.min(start + group, from + count);
    const puts = [];
    for (let index = start; index < end; index++) {
      const value = Buffer.alloc(valueBytes);
      for (let at = 0; at + 4 <= valueBytes; at += 4) value.writeInt32LE(Math.imul(index * 31 + at, 0x9e3779b1) | 0, at);
      puts.push(node.putRecord(`${prefix}${String(index).padStart(9, '0')}`, value, undefined));
    }
    await Promise.all(puts);
  }
}

const commands = {
  async load({ trace, uplink }) {
    // As the program does, first of all. Builds to compare with may be of before.
    const { tierUpLate } = await import(distUrl('app/tier-up.js')).catch(() => ({}));
    tierUpLate?.(availableParallelism());
    await import(distUrl('app/open-node.js'));
    if (trace) await traceChannels();
    if (uplink !== undefined) slowUplink(uplink);
  },
  async start(options) {
    const { openNode } = await import(distUrl('app/open-node.js'));
    const sinceMs = nowMs();
    node = await openNode(options, worldLog);
    return { sinceMs };
  },
  stop: () => node[Symbol.asyncDispose](),
  status: () => node.status(),
  log: () => log,
  scan: () => node.scan(),
  wait: ({ timeoutMs }) => node.wait({ timeoutMs }),
  untilPeers: ({ count }) => untilPeers(count),
  /** The barrier, once the peers that are to come are there. */
  async waitForPeers({ count, timeoutMs }) {
    await untilPeers(count);
    const connectedMs = nowMs();
    return { ...(await node.wait({ timeoutMs })), connectedMs };
  },
  async untilInSync({ root }) {
    for (;;) {
      const status = node.status();
      if (status.state === 'in-sync' && (root === undefined || status.root === root)) return status.root;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  },
  /** Resolves when a commit that is made from now on is confirmed by all peers; `rootMs` is the moment of the commit. */
  untilNextConfirmed: () =>
    new Promise((resolve) => {
      let rootMs;
      const stop = node.onChange((event) => {
        if (event.type === 'root') rootMs ??= nowMs();
        if (event.type !== 'state' || event.state !== 'in-sync' || rootMs === undefined) return;
        stop();
        resolve({ rootMs });
      });
    }),
  /** Resolves when the one peer was lost, is back, and both are in sync for all that this node knows. */
  untilMetAgain: () =>
    new Promise((resolve) => {
      let lost = false;
      let connected = false;
      const stop = node.onChange((event) => {
        if (event.type === 'peer') {
          lost ||= !event.connected;
          connected = event.connected;
        }
        if (!lost || !connected || node.status().state !== 'in-sync') return;
        stop();
        resolve({ inSyncMs: nowMs() });
      });
    }),
  invite: () => node.invite({ expiresMs: 3_600_000 }),
  putRecords,
  memory({ gc }) {
    if (gc) for (let round = 0; round < 4; round++) globalThis.gc();
    return memory();
  },
  cpu: () => ({ threads: threadSeconds(), process: process.cpuUsage(), eventLoop: performance.eventLoopUtilization() }),
  trace: () =>
    [...channels].map(([channel, note]) => ({
      exporter: Buffer.from(channel.exporter()).toString('hex'),
      dialed: channel.dialed,
      wireBytes: channel.wireSentBytes + channel.wireReceivedBytes,
      ...note,
    })),
};

serveCommands(commands);
