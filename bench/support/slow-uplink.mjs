/** As if this process were behind a slow line: what its sockets send goes out at a pace, all of them together. */
import { Socket } from 'node:net';
import { nowMs, sleep } from './common.mjs';

/** What may go out at once after a pause: the buffer of a network card, not a second's worth. */
const BURST_MS = 5;

export function slowUplink(bytesPerSecond) {
  const { _writeGeneric } = Socket.prototype;
  /** When the line has sent all that was given to it. */
  let freeMs = 0;
  Socket.prototype._writeGeneric = async function (isVector, data, encoding, done) {
    const bytes = isVector ? data.reduce((sum, { chunk }) => sum + chunk.length, 0) : data.length;
    freeMs = Math.max(freeMs, nowMs() - BURST_MS) + (bytes / bytesPerSecond) * 1000;
    const waitMs = freeMs - nowMs();
    if (waitMs > 0) await sleep(waitMs);
    if (this.destroyed) done();
    else _writeGeneric.call(this, isVector, data, encoding, done);
  };
}
