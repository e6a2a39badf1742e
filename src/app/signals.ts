/** SIGINT, SIGTERM and SIGHUP as a request to stop: the first one is honoured in order, a second one at once. */

const NUMBERS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;
type StopSignal = keyof typeof NUMBERS;

/**
 * `npm start` passes Ctrl-C on to a child that the terminal has told already: a second signal this soon after the first
 * is the same wish, not a second one.
 */
const ECHO_MS_MAX = 500;

export interface StopRequest extends Disposable {
  /** Resolves with the exit code that shells expect of a process that this signal ends. */
  readonly requested: Promise<number>;
}

export function onStopSignal(): StopRequest {
  let firstMs: number | undefined;
  let resolve: (code: number) => void;
  const requested = new Promise<number>((done) => (resolve = done));
  const handler = (signal: StopSignal) => {
    const code = 128 + NUMBERS[signal];
    const nowMs = performance.now();
    if (firstMs !== undefined && nowMs - firstMs > ECHO_MS_MAX) process.exit(code);
    firstMs ??= nowMs;
    resolve(code);
  };
  const signals = Object.keys(NUMBERS) as StopSignal[];
  for (const signal of signals) process.on(signal, handler);
  return {
    requested,
    [Symbol.dispose]() {
      for (const signal of signals) process.removeListener(signal, handler);
    },
  };
}
