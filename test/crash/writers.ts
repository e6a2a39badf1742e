/**
 * Users: one on each host, who creates, overwrites, appends, renames and deletes files all the time, and puts records.
 *
 * Each change tells the model what its author saw. For that to be exact, looking and changing must be one step: the
 * host's process stands still meanwhile, wherever it is just then (`Host.frozen`). What is written slowly instead is
 * written where nobody else writes.
 */
import {
  appendFileSync,
  closeSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { someBytes } from '../node/cluster.ts';
import type { Choices } from './choices.ts';
import { sleep, type Host } from './hosts.ts';
import { ownerOf, sumOf, type Model } from './model.ts';

const FOLDERS = 4;
/** Paths that all hosts write to. */
const COMMON_FILES = 40;
export const RECORD_KEYS: readonly string[] = ['labels', 'manifest', 'rows/1', 'rows/2'];
/** Larger files are written over instead of appended to. */
const APPEND_BYTES_MAX = 128 * 1024;
/** From here on users clean up rather than do something else. */
const MANY_COPIES = 25;
const LOG_FOLDER = 'logs';

export interface Tally {
  writes: number;
  bytes: number;
  readonly kinds: Record<string, number>;
}

export interface WriterOptions {
  readonly name: string;
  readonly host: Host;
  readonly model: Model;
  readonly choices: Choices;
  readonly tally: Tally;
  /** On the file system of the folder, out of the node's sight. */
  readonly outside: string;
  /** Between two changes. */
  readonly pauseMs: number;
}

type Act = () => void | Promise<void>;

export class Writer {
  readonly #options: WriterOptions;
  readonly #acts: readonly (readonly [kind: string, weight: number, act: Act])[];
  #number = 0;
  #log = '';

  constructor(options: WriterOptions) {
    this.#options = options;
    mkdirSync(options.outside, { recursive: true });
    this.#acts = [
      ['create', 10, () => this.#create()],
      ['create slowly', 4, () => this.#createSlowly()],
      ['overwrite', 30, () => this.#overwrite()],
      ['overwrite in place', 8, () => this.#overwriteInPlace()],
      ['append', 14, () => this.#append()],
      ['rename', 11, () => this.#rename()],
      ['delete', 12, () => this.#delete()],
      ['log', 6, () => this.#appendToLog()],
      ['record', 5, () => this.#putRecord()],
    ];
  }

  async run(goesOn: () => boolean): Promise<void> {
    const { choices, pauseMs } = this.#options;
    while (goesOn()) {
      const copies = choices.chance(0.5) ? this.#paths().filter((path) => ownerOf(path) !== undefined) : [];
      if (copies.length > MANY_COPIES) await this.#discard(choices.pick(copies));
      else await this.#act();
      await sleep(choices.fraction() * 2 * pauseMs);
    }
  }

  /** So that no write has to make a record: a write that names no version replaces whatever is there. */
  async makeRecords(): Promise<void> {
    const { host, model, name } = this.#options;
    for (const key of RECORD_KEYS) {
      const bytes = this.#text(100);
      const { status, text } = await host.ask('PUT', recordPath(key), bytes);
      if (status !== 200) throw new Error(text);
      model.put(name, recordPath(key), sumOf(Buffer.from(bytes)), []);
    }
  }

  async #act(): Promise<void> {
    let left = this.#options.choices.below(this.#acts.reduce((sum, [, weight]) => sum + weight, 0));
    for (const [kind, weight, act] of this.#acts) {
      left -= weight;
      if (left >= 0) continue;
      this.#options.tally.kinds[kind] = (this.#options.tally.kinds[kind] ?? 0) + 1;
      await act();
      return;
    }
  }

  // --- what the bytes are ----------------------------------------------------------------------------------------

  /** Lines that say who wrote them, and nobody else writes. */
  #text(bytes: number): string {
    const { name, tally } = this.#options;
    const head = `${name} ${++this.#number}\n`;
    tally.writes++;
    tally.bytes += bytes;
    return head + someBytes(Math.ceil(bytes / 2), this.#number * 64 + name.charCodeAt(0)).toString('hex') + '\n';
  }

  /** Most files are small; some have several chunks. */
  #newBytes(): Buffer {
    const { choices } = this.#options;
    const kind = choices.fraction();
    const most = kind < 0.8 ? 2_000 : kind < 0.97 ? 100_000 : 3_000_000;
    return Buffer.from(this.#text(1 + choices.below(most)));
  }

  #commonPath(): string {
    const { choices } = this.#options;
    return `d${choices.below(FOLDERS)}/f${choices.below(COMMON_FILES / FOLDERS)}.txt`;
  }

  #newPath(): string {
    const { choices, name } = this.#options;
    return `d${choices.below(FOLDERS)}/${name}-${++this.#number}.txt`;
  }

  // --- what is on the disk ---------------------------------------------------------------------------------------

  #absolute(path: string): string {
    const whole = join(this.#options.host.folder, path);
    mkdirSync(dirname(whole), { recursive: true });
    return whole;
  }

  /** The files that everybody may touch, conflict copies too. */
  #paths(): string[] {
    const { folder } = this.#options.host;
    return readdirSync(folder).flatMap((name) =>
      /^d\d+$/.test(name) ? readdirSync(join(folder, name)).map((file) => `${name}/${file}`) : [],
    );
  }

  #somePath(): string | undefined {
    const paths = this.#paths().filter((path) => ownerOf(path) === undefined);
    return paths.length === 0 ? undefined : this.#options.choices.pick(paths);
  }

  /** Undefined: nothing is there. */
  #look(path: string): { readonly sum: string; readonly bytes: Buffer } | undefined {
    let bytes: Buffer;
    try {
      bytes = readFileSync(join(this.#options.host.folder, path));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
    const sum = sumOf(bytes);
    if (!this.#options.model.isKnown(sum)) throw new Error(`${this.#options.name}: ${path} is torn: ${bytes.length} bytes, sum ${sum}`);
    return { sum, bytes };
  }

  #draft(bytes: Buffer): string {
    const draft = join(this.#options.outside, 'draft');
    writeFileSync(draft, bytes);
    return draft;
  }

  // --- what users do ---------------------------------------------------------------------------------------------

  #create(): void {
    const { model, name } = this.#options;
    const path = this.#newPath();
    const bytes = this.#newBytes();
    renameSync(this.#draft(bytes), this.#absolute(path));
    model.wrote(name, path, sumOf(bytes), undefined);
  }

  /** Half now, and the rest some time later, where the first half may have been sent and written over elsewhere meanwhile. */
  async #createSlowly(): Promise<void> {
    const { model, name, host, choices } = this.#options;
    const path = this.#newPath();
    const bytes = this.#newBytes();
    const half = bytes.subarray(0, Math.ceil(bytes.length / 2));
    const target = this.#absolute(path);
    const file = openSync(target, 'wx');
    try {
      model.wrote(name, path, sumOf(half), undefined);
      writeSync(file, half);
      await sleep(choices.fraction() * 200);
      await host.frozen(() => {
        const now = this.#look(path);
        // Otherwise it goes into a file that has been replaced or renamed.
        if (now?.sum === sumOf(half) && fstatSync(file).ino === lstatSync(target).ino) {
          model.wrote(name, path, sumOf(bytes), now.sum);
          writeSync(file, bytes, half.length);
          fsyncSync(file);
        }
      });
    } finally {
      closeSync(file);
    }
  }

  async #overwrite(): Promise<void> {
    const { model, name, host } = this.#options;
    const path = this.#commonPath();
    const bytes = this.#newBytes();
    const draft = this.#draft(bytes);
    await host.frozen(() => {
      model.wrote(name, path, sumOf(bytes), this.#look(path)?.sum);
      renameSync(draft, this.#absolute(path));
    });
  }

  async #overwriteInPlace(): Promise<void> {
    const path = this.#somePath();
    const bytes = this.#newBytes();
    await this.#change(path, () => ({ bytes, keptBytes: 0 }));
  }

  async #append(): Promise<void> {
    const line = Buffer.from(this.#text(20 + this.#options.choices.below(200)));
    await this.#change(this.#somePath(), (old) =>
      old.length > APPEND_BYTES_MAX ? { bytes: line, keptBytes: 0 } : { bytes: Buffer.concat([old, line]), keptBytes: old.length },
    );
  }

  async #change(path: string | undefined, changed: (old: Buffer) => { readonly bytes: Buffer; readonly keptBytes: number }): Promise<void> {
    const { model, name, host } = this.#options;
    if (path === undefined) return;
    await host.frozen(() => {
      const old = this.#look(path);
      if (old === undefined) return;
      const { bytes, keptBytes } = changed(old.bytes);
      model.wrote(name, path, sumOf(bytes), old.sum);
      const file = openSync(this.#absolute(path), 'r+');
      ftruncateSync(file, keptBytes);
      writeSync(file, bytes, keptBytes, bytes.length - keptBytes, keptBytes);
      fsyncSync(file);
      closeSync(file);
    });
  }

  /** To a new name, or over another file. */
  async #rename(): Promise<void> {
    const { model, name, host, choices } = this.#options;
    const [from, to] = [this.#somePath(), choices.chance(0.7) ? this.#newPath() : this.#commonPath()];
    if (from === undefined || from === to) return;
    await host.frozen(() => {
      const moved = this.#look(from);
      if (moved === undefined || model.has(to, moved.sum)) return;
      model.wrote(name, to, moved.sum, this.#look(to)?.sum);
      model.removed(name, from, moved.sum);
      renameSync(join(host.folder, from), this.#absolute(to));
    });
  }

  async #delete(): Promise<void> {
    const path = this.#somePath();
    if (path !== undefined) await this.#discard(path);
  }

  async #discard(path: string): Promise<void> {
    const { model, name, host } = this.#options;
    await host.frozen(() => {
      const old = this.#look(path);
      if (old === undefined) return;
      model.removed(name, path, old.sum);
      rmSync(join(host.folder, path));
    });
  }

  /** A file that only this host writes, line by line, while it is read. */
  #appendToLog(): void {
    const { model, name, choices } = this.#options;
    const path = `${LOG_FOLDER}/${name}.log`;
    const before = this.#log === '' ? undefined : sumOf(Buffer.from(this.#log));
    const line = this.#text(10 + choices.below(100));
    this.#log += line;
    model.wrote(name, path, sumOf(Buffer.from(this.#log)), before);
    appendFileSync(this.#absolute(path), line, { flush: true });
  }

  /** Replaces exactly what it has read; without an answer nobody knows. */
  async #putRecord(): Promise<void> {
    const { model, name, host, choices } = this.#options;
    const path = recordPath(choices.pick(RECORD_KEYS));
    const read = await readRecord(host, path).catch(() => undefined);
    if (read === undefined) return;
    const text = this.#text(10 + choices.below(choices.chance(0.2) ? 100_000 : 500));
    const sum = sumOf(Buffer.from(text));
    const status = await host.ask('PUT', path, text, { 'if-match': read.etag }).then(
      (answer) => answer.status,
      () => undefined,
    );
    if (status === 200) model.put(name, path, sum, read.sums);
    // Somebody was faster: nothing happened. Without an answer, or with one that it failed, nobody knows.
    else if (status === undefined || status >= 500) model.putPerhaps(name, path, sum, read.sums);
    else if (status !== 412) throw new Error(`PUT ${path}: ${status}`);
  }
}

export function recordPath(key: string): string {
  return `/v1/records/${key}`;
}

/** All values of a record, the winner first, and the tag for a write that replaces them. */
export async function readRecord(
  host: Host,
  path: string,
): Promise<{ readonly etag: string; readonly sums: readonly string[] } | undefined> {
  const first = await host.ask('GET', path);
  if (first.status !== 200) return undefined;
  const sums = [sumOf(Buffer.from(first.text))];
  for (let sibling = 0; sibling < first.siblings; sibling++) {
    const { status, etag, text } = await host.ask('GET', `${path}?sibling=${sibling}`);
    // It was written meanwhile.
    if (status !== 200 || etag !== first.etag) return undefined;
    sums.push(sumOf(Buffer.from(text)));
  }
  return { etag: first.etag!, sums };
}
