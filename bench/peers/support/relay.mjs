/**
 * A TCP relay between two hosts, so that their connection can be cut while both go on running. It only passes bytes on,
 * whole pieces as they come.
 */
import { connect, createServer } from 'node:net';
import { nowMs } from '../../support/common.mjs';

export class Relay {
  #server;
  #sockets = new Set();
  #onConnected;

  /** @param {number} port of 127.0.0.1, where connections go on to */
  static async open(port) {
    const relay = new Relay();
    relay.#server = createServer((near) => {
      relay.#onConnected?.(nowMs());
      const far = connect(port, '127.0.0.1');
      for (const [socket, other] of [
        [near, far],
        [far, near],
      ]) {
        relay.#sockets.add(socket);
        socket.setNoDelay(true);
        socket.pipe(other);
        socket.on('error', () => other.destroy());
        socket.on('close', () => {
          relay.#sockets.delete(socket);
          other.destroy();
        });
      }
    });
    await new Promise((resolve, reject) => {
      relay.#server.once('error', reject);
      relay.#server.listen(0, '127.0.0.1', resolve);
    });
    return relay;
  }

  get port() {
    return this.#server.address().port;
  }

  /** Cuts what is connected. Resolves with the moment at which somebody connects again. */
  cut() {
    const connected = new Promise((resolve) => (this.#onConnected = resolve));
    for (const socket of this.#sockets) socket.destroy();
    return connected;
  }

  end() {
    this.kill();
  }

  kill() {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}
