/** Reads one path over and over from a process of its own: `path-watcher.mjs`. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

const WATCHER = fileURLToPath(new URL('./path-watcher.mjs', import.meta.url));

/** What a reader of the path saw. */
export interface Seen {
  readonly looks: number;
  readonly present: number;
  readonly compared: number;
  /** What must not be: a torn file, or none where there must be one. */
  readonly wrong: readonly string[];
}

export class PathWatcher {
  readonly child: ChildProcess;
  readonly looking: Promise<unknown>;
  readonly #out: Promise<string>;

  /** `allowed`: files with what may be at the path. */
  constructor(path: string, allowed: readonly string[], mayBeAbsent: boolean) {
    this.child = spawn(process.execPath, [WATCHER, path, String(mayBeAbsent), ...allowed], { stdio: ['pipe', 'pipe', 'pipe'] });
    this.looking = once(this.child.stderr!, 'data');
    this.#out = text(this.child.stdout!);
  }

  /** Ends it after one more look. */
  async seen(): Promise<Seen> {
    this.child.stdin!.end();
    return JSON.parse(await this.#out) as Seen;
  }
}
