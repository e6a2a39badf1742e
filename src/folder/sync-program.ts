/**
 * Flushes a whole file system: `syncfs`, which Node.js offers only through the program `sync -f`.
 *
 * A shell runs the program, kept between flushes. The memory of a process that starts another is copied page by page as it goes on
 * writing: 25 ms of CPU time with 280 MB in use, most of it with the event loop held up, and a first sync of 20,000 small
 * files flushes 30 times. The shell is small, and costs us two messages.
 *
 * Invariant: a flush resolves true only after a `sync -f` that began after the call and ended well.
 */
import { spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { SamerootError } from '../base/errors.ts';

/** Takes a path a line; answers with the status and what `sync` said, and NUL. */
const SCRIPT = `while IFS= read -r root; do said=$(LC_ALL=C sync -f "$root" 2>&1); printf '%s %s\\0' "$?" "$said"; done`;
/** The shell goes when it has had nothing to do for so long. */
const IDLE_MS = 5_000;
/** Of a shell that finds no such program, or may not run it. */
const NO_PROGRAM: ReadonlySet<number> = new Set([126, 127]);

interface Waiting {
  /** `undefined`: there is no shell. */
  resolve(answer: string | undefined): void;
  reject(error: unknown): void;
}

export class SyncProgram {
  #shell: Shell | undefined;
  #idle: NodeJS.Timeout | undefined;

  /**
   * False where there is no such program, or it can not be told the path.
   * @throws {SamerootError} `IO_ERROR` if the flush fails, or it is not known how it ended
   */
  async flush(root: string): Promise<boolean> {
    if (root.includes('\n')) return false;
    clearTimeout(this.#idle);
    if (this.#shell?.ended !== false) this.#shell = new Shell();
    const shell = this.#shell;
    const answer = await shell.ask(root);
    if (!shell.busy) this.#idle = setTimeout(() => shell.end(), IDLE_MS).unref();
    if (answer === undefined) return false;
    const status = Number.parseInt(answer, 10);
    const said = answer.slice(answer.indexOf(' ') + 1);
    if (status === 0) return true;
    if (NO_PROGRAM.has(status) || /option|usage/i.test(said.replaceAll(root, ''))) return false;
    throw new SamerootError('IO_ERROR', `the file system could not be flushed: ${said}`, { path: root });
  }
}

/** Keeps the process alive only while it is asked something. */
class Shell {
  readonly #input: Socket;
  readonly #output: Socket;
  readonly #waiting: Waiting[] = [];
  #text = '';
  #ended = false;

  constructor() {
    // In a group of its own: the interrupt of a terminal is for us. In `/`: it keeps no file system from being unmounted.
    const child = spawn('sh', ['-c', SCRIPT], { cwd: '/', detached: true, stdio: ['pipe', 'pipe', 'ignore'] });
    child.unref();
    this.#input = child.stdin as Socket;
    this.#output = child.stdout as Socket;
    // What can not be asked is not answered: the end of the shell tells.
    this.#input.on('error', () => {}).unref();
    this.#output
      .setEncoding('utf8')
      .on('data', (text: string) => this.#take(text))
      .unref();
    child.once('error', () => this.#over((waiting) => waiting.resolve(undefined)));
    child.once('close', () => {
      this.#over((waiting) => waiting.reject(new SamerootError('IO_ERROR', 'the program that flushes the file system has ended')));
    });
  }

  get ended(): boolean {
    return this.#ended;
  }

  get busy(): boolean {
    return this.#waiting.length > 0;
  }

  ask(root: string): Promise<string | undefined> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#output.ref();
      this.#input.write(`${root}\n`);
    });
  }

  end(): void {
    this.#ended = true;
    this.#input.end();
  }

  #take(text: string): void {
    const answers = (this.#text + text).split('\0');
    this.#text = answers.pop()!;
    for (const answer of answers) this.#waiting.shift()?.resolve(answer);
    if (!this.busy) this.#output.unref();
  }

  #over(settle: (waiting: Waiting) => void): void {
    this.#ended = true;
    for (const waiting of this.#waiting.splice(0)) settle(waiting);
  }
}
