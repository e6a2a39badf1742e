/** One host with a hyperdrive: it either takes a folder in and serves it, or follows another drive into a folder. */
import { connect, createServer } from 'node:net';
import Corestore from 'corestore';
import Hyperdrive from 'hyperdrive';
import Localdrive from 'localdrive';
import MirrorDrive from 'mirror-drive';
import { nowMs } from '../../support/common.mjs';
import { serveCommands } from '../../support/worker-commands.mjs';

let drive;
let socket;
let folder;

async function mirror(from, to) {
  const sinceMs = nowMs();
  await new MirrorDrive(from, to).done();
  return { seconds: (nowMs() - sinceMs) / 1000 };
}

const replicate = (store, isDialer, end) => {
  const stream = store.replicate(isDialer);
  for (const one of [stream, end]) one.on('error', () => end.destroy());
  end.pipe(stream).pipe(end);
};

serveCommands({
  async serve({ source, state }) {
    const store = new Corestore(state);
    drive = new Hyperdrive(store);
    await drive.ready();
    folder = new Localdrive(source);
    const server = createServer((end) => replicate(store, false, end));
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    return { key: drive.key, port: server.address().port };
  },
  takeIn: () => mirror(folder, drive),
  /** Connected, and nothing fetched yet. */
  async follow({ target, state, key, port }) {
    const store = new Corestore(state);
    drive = new Hyperdrive(store, Buffer.from(key));
    await drive.ready();
    folder = new Localdrive(target);
    const found = drive.findingPeers();
    socket = connect(port, '127.0.0.1');
    await new Promise((resolve) => socket.once('connect', resolve));
    replicate(store, true, socket);
    while (drive.core.peers.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    found();
  },
  async pull({ length }) {
    const sinceMs = nowMs();
    const before = socket.bytesRead + socket.bytesWritten;
    // The drive's own head comes by itself; its length says that it is the newest.
    while (drive.core.length < length) {
      await drive.update({ wait: true });
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await mirror(drive, folder);
    return { seconds: (nowMs() - sinceMs) / 1000, bytes: socket.bytesRead + socket.bytesWritten - before };
  },
  length: () => drive.core.length,
});
