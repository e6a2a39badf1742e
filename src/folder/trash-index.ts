/**
 * What lies in the trash and has no row there: a run that died between a rename into the trash and the commit that records it
 * leaves such files behind. At the start they get their rows. Without them nobody would find the bytes again, and they may be
 * the only ones of a version that is to be shown as a conflict copy: then all hosts would wait for them for ever.
 *
 * Why not a note before the rename, as for what a batch shows (place-notes.ts): it would cost every batch something, and there
 * are file systems without notes. So it costs a start: the names and stats of the trash, as a scan costs those of the folder,
 * and the bytes of what has no row.
 *
 * Invariant: after the first complete run, what an earlier run has moved to the trash is found by its content. Nothing else
 * depends on it, so what can not be read now does not hold up a start: it is tried again.
 */
import { join } from 'node:path';
import { messageOf } from '../base/errors.ts';
import type { Log, Timer, Timers } from '../base/world.ts';
import { makeGear } from '../content/chunker.ts';
import type { Replica } from '../replica/replica.ts';
import * as keyspace from '../store/keyspace.ts';
import { utf8 } from '../base/bytes.ts';
import type { HashThreads, ReadThread } from './disk-jobs.ts';
import { FileHasher, type FoundOutcome } from './file-hasher.ts';
import type { PathGate } from './gate.ts';
import { NO_RULES } from './ignore.ts';
import { TRASH_FOLDER } from './into-trash.ts';
import { Scanner, type Finding } from './scan.ts';
import type { Trash } from './trash.ts';

export interface TrashIndexOptions {
  /** Absolute path of the shared folder. */
  readonly root: string;
  readonly replica: Replica;
  readonly trash: Trash;
  readonly gate: PathGate;
  readonly thread: ReadThread;
  /** They hash. */
  readonly work: HashThreads;
  readonly timers: Timers;
  readonly log: Log;
}

const RETRY_MS = 60_000;
/** `<day>/<path>`, or where that name was taken `<day>/~<time>-<number>/<path>`: see into-trash.ts. */
const PLACE = /^[^/]+\/(?:~[\d.]+-\d+\/)?(.+)$/s;

export class TrashIndex {
  readonly #options: TrashIndexOptions;
  readonly #scanner: Scanner;
  readonly #hasher: FileHasher;
  #retry: Timer | undefined;
  #closed = false;

  constructor(options: TrashIndexOptions) {
    this.#options = options;
    const { replica, thread, work } = options;
    const { store, share } = replica;
    const root = join(options.root, TRASH_FOLDER);
    this.#scanner = new Scanner({ root, store, table: keyspace.trashKey(utf8(`${TRASH_FOLDER}/`)), thread });
    const chunking = { gear: makeGear(share.id), parameters: share.chunker };
    this.#hasher = new FileHasher({ root, store, threads: work, chunking, onHashed: () => undefined });
  }

  /** Resolves after one attempt; where it was not complete, others follow by themselves. */
  async run(): Promise<void> {
    this.#retry?.cancel();
    let complete = false;
    try {
      complete = await this.#attempt();
    } catch (error) {
      if (!this.#closed) this.#options.log.warn('the trash can not be read', { error: messageOf(error) });
    }
    if (complete || this.#closed) return;
    this.#retry = this.#options.timers.after(RETRY_MS, () => void this.run(), { background: true });
  }

  close(): void {
    this.#closed = true;
    this.#retry?.cancel();
  }

  /** False: something may be there that could not be read now. */
  async #attempt(): Promise<boolean> {
    const days = this.#options.trash.days();
    let complete = true;
    if (days.length === 0) return complete;
    for await (const { findings, problems } of this.#scanner.scan(days.reverse(), NO_RULES)) {
      const unknown = findings.filter(({ found, row }) => row === undefined && found?.kind === 'file');
      const indexed = await this.#index(unknown);
      complete &&= indexed && problems.every(({ code }) => code !== 'IO_ERROR');
    }
    return complete;
  }

  async #index(findings: readonly Finding[]): Promise<boolean> {
    let complete = true;
    for await (const outcomes of this.#hasher.examine(findings)) {
      const found = outcomes.filter((outcome) => outcome.state === 'found');
      if (found.length > 0) await this.#record(found);
      complete &&= outcomes.every(
        (outcome) => outcome.state !== 'changing' && (outcome.state !== 'problem' || outcome.code !== 'IO_ERROR'),
      );
    }
    return complete;
  }

  #record(found: readonly FoundOutcome[]): Promise<void> {
    const { gate, replica, trash, log } = this.#options;
    return gate.run(async () => {
      const rows = found.flatMap(({ finding, stat, value, rows }) => {
        const place = `${TRASH_FOLDER}/${finding.path}`;
        const owner = PLACE.exec(finding.path)?.[1];
        if (owner === undefined || value.kind !== 'file' || trash.get(place) !== undefined) return [];
        return [...rows, ...trash.rows(owner, value.content, { path: place, stat })];
      });
      // A power cut takes them, and the next start finds them again.
      await replica.store.write(rows, { durable: false });
      log.info('files in the trash that an interrupted run had not recorded', { files: found.length });
    });
  }
}
