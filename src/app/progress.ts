/**
 * How far the node is, shown while it works: a bar on a terminal, one line per state otherwise. It only looks at the
 * status, so that a node without it does the same work.
 */
import { SingleBar } from 'cli-progress';
import type { NodeApi, NodeStatus } from '../node/node-api.ts';
import { describeState } from './describe.ts';
import { formatBytes, formatCount, formatSeconds } from './quantities.ts';
import type { Terminal } from './terminal.ts';

const REDRAW_MS = 200;
const LINE_MS = 500;

export interface Task {
  readonly what: string;
  readonly done: number;
  readonly total: number;
  readonly detail: string;
}

/** Shows the progress of `node` until disposed. `line` is called with each new state that lasts. */
export function showProgress(node: NodeApi, terminal: Terminal, line: (text: string) => void): Disposable {
  const bar = terminal.interactiveErrors ? new TaskBar() : undefined;
  let shown = '';
  const look = () => {
    const status = node.status();
    const task = taskOf(status);
    if (bar !== undefined) bar.show(task);
    // While it works the root changes many times a second; the lines tell where it came to rest.
    if (task !== undefined) return;
    const state = `${status.state} ${status.root} ${status.peers.length}`;
    if (state === shown) return;
    shown = state;
    line(describeState(terminal, status));
  };
  const timer = setInterval(look, bar === undefined ? LINE_MS : REDRAW_MS);
  look();
  return {
    [Symbol.dispose]() {
      clearInterval(timer);
      bar?.show(undefined);
    },
  };
}

function taskOf(status: NodeStatus): Task | undefined {
  const { scan, fetch } = status.progress;
  if (status.pending.fetch > 0) {
    const detail = `${formatCount(fetch.entriesDone)} of ${formatCount(fetch.entries)} entries, ${formatBytes(fetch.bytesDone)} of ${formatBytes(fetch.bytes)}`;
    return { what: 'fetching', done: fetch.bytesDone, total: fetch.bytes, detail };
  }
  if (status.state !== 'scanning') return undefined;
  const detail = `${formatCount(scan.seen)} seen, ${formatCount(scan.hashed)} hashed, ${formatBytes(scan.hashedBytes)}`;
  return { what: 'scanning', done: 0, total: 0, detail };
}

/** Draws over itself on stderr, which has to be a terminal; gone when it is disposed. */
export class TaskBar implements Disposable {
  #bar: SingleBar | undefined;
  #what = '';
  #startedMs = 0;
  #startedAt = 0;

  show(task: Task | undefined): void {
    if (this.#bar !== undefined && task?.what !== this.#what) {
      this.#bar.stop();
      this.#bar = undefined;
    }
    if (task === undefined) return;
    if (this.#bar === undefined) {
      this.#what = task.what;
      this.#startedMs = performance.now();
      this.#startedAt = task.done;
      const format = task.total > 0 ? '{what} [{bar}] {percentage}% {detail}{speed}' : '{what} {detail}';
      this.#bar = new SingleBar({
        format,
        stream: process.stderr,
        clearOnComplete: true,
        hideCursor: true,
        noTTYOutput: false,
        barsize: 24,
      });
      this.#bar.start(Math.max(task.total, 1), task.done, { what: task.what, detail: task.detail, speed: '' });
    }
    this.#bar.setTotal(Math.max(task.total, 1));
    this.#bar.update(task.done, { detail: task.detail, speed: this.#speed(task) });
  }

  [Symbol.dispose](): void {
    this.show(undefined);
  }

  /** Rate since the bar began, and the time left at that rate. */
  #speed(task: Task): string {
    const seconds = (performance.now() - this.#startedMs) / 1000;
    const rate = (task.done - this.#startedAt) / Math.max(seconds, 0.001);
    if (rate <= 0) return '';
    return `, ${formatBytes(Math.round(rate))}/s, ${formatSeconds((task.total - task.done) / rate)} left`;
  }
}
