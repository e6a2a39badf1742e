/**
 * One host with an okra tree in memory. The source answers requests for nodes over TCP, each a length and a msgpack item;
 * the target runs okra's own `sync` against it, which asks for one node after another.
 */
import { connect, createServer } from 'node:net';
import { sync } from '@canvas-js/okra';
import { Tree } from '@canvas-js/okra-memory';
import { pack, unpack } from 'msgpackr';
import { nowMs } from '../../support/common.mjs';
import { serveCommands } from '../../support/worker-commands.mjs';
import { isOther, keyAt, valueAt } from './records.mjs';

const LENGTH_BYTES = 4;
let tree;

function send(socket, item) {
  const body = pack(item);
  const frame = Buffer.allocUnsafe(LENGTH_BYTES + body.length);
  frame.writeUInt32BE(body.length);
  body.copy(frame, LENGTH_BYTES);
  socket.write(frame);
}

function receive(socket, handle) {
  let waiting = Buffer.alloc(0);
  socket.setNoDelay(true);
  socket.on('data', (piece) => {
    waiting = Buffer.concat([waiting, piece]);
    while (waiting.length >= LENGTH_BYTES) {
      const end = LENGTH_BYTES + waiting.readUInt32BE(0);
      if (waiting.length < end) return;
      const item = unpack(waiting.subarray(LENGTH_BYTES, end));
      waiting = waiting.subarray(end);
      handle(item);
    }
  });
}

async function answer(socket, [id, name, ...parameters]) {
  send(socket, [id, await tree.read((snapshot) => snapshot[name](...parameters))]);
}

/** The source as `sync` wants to see it. */
function remote(socket) {
  const waiting = new Map();
  let requests = 0;
  receive(socket, ([id, item]) => {
    waiting.get(id)(item);
    waiting.delete(id);
  });
  const call = (...parts) =>
    new Promise((resolve) => {
      waiting.set(++requests, resolve);
      send(socket, [requests, ...parts]);
    });
  return {
    requests: () => requests,
    getRoot: () => call('getRoot'),
    getNode: (level, key) => call('getNode', level, key),
    getChildren: (level, key) => call('getChildren', level, key),
  };
}

serveCommands({
  async build({ count, differences }) {
    const sinceMs = nowMs();
    tree = new Tree();
    await tree.write((transaction) => {
      for (let index = 0; index < count; index++) {
        transaction.set(Buffer.from(keyAt(index)), valueAt(index, isOther(index, count, differences)));
      }
    });
    return { seconds: (nowMs() - sinceMs) / 1000 };
  },
  serve: () =>
    new Promise((resolve) => {
      const server = createServer((socket) => {
        socket.on('error', () => socket.destroy());
        receive(socket, (request) => answer(socket, request));
      });
      server.listen(0, '127.0.0.1', () => resolve({ port: server.address().port }));
    }),
  async compare({ port }) {
    const socket = connect(port, '127.0.0.1');
    await new Promise((resolve) => socket.once('connect', resolve));
    const source = remote(socket);
    const sinceMs = nowMs();
    let found = 0;
    await tree.read(async (snapshot) => {
      for await (const delta of sync(source, snapshot)) if (delta !== undefined) found++;
    });
    const seconds = (nowMs() - sinceMs) / 1000;
    const bytes = socket.bytesRead + socket.bytesWritten;
    socket.destroy();
    return { found, seconds, bytes, roundTrips: source.requests() };
  },
});
