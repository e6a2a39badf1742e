/**
 * A child process that is told what to do: its own end. The parent sends `{ id, name, input }`, this process answers
 * `{ id, output, atMs }` or `{ id, error }`. `atMs` is the monotonic clock of the machine, which all processes share, so
 * that a moment seen here and one seen there can be subtracted. It ends when its parent does.
 */
import { nowMs } from './common.mjs';

/** @param {Record<string, (input: object) => unknown>} commands */
export function serveCommands(commands) {
  /** The reply is sent before the process ends. */
  const exit = () => {
    setImmediate(() => process.disconnect());
  };
  const all = { ...commands, exit };
  process.on('message', ({ id, name, input }) => {
    Promise.resolve()
      .then(() => all[name](input))
      .then(
        (output) => process.send({ id, output, atMs: nowMs() }),
        (error) => process.send({ id, error: { message: String(error?.message ?? error), code: error?.code, stack: error?.stack } }),
      );
  });
  // A profile is written by an ordinary exit only; a parent that is gone ends us too.
  process.on('disconnect', () => process.exit(0));
}
